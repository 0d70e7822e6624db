//! Errors of our methods, with names that tell clients what kind they are, as systemd's do.

use crate::manager::machine::RequestError;
use crate::unit::name::NameError;

/// What a method answers instead of a result: `org.sampan1.NoSuchUnit` and so on.
#[derive(Debug, zbus::DBusError)]
#[zbus(prefix = "org.sampan1")]
pub enum BusError {
    /// Of the bus itself.
    #[zbus(error)]
    Bus(zbus::Error),
    /// No unit of this name.
    NoSuchUnit(String),
    /// No job of this number.
    NoSuchJob(String),
    /// The unit is masked.
    UnitMasked(String),
    /// The unit's file has errors.
    BadUnitSetting(String),
    /// The transaction cannot be.
    TransactionRefused(String),
    /// The unit cannot do this at all.
    JobTypeNotApplicable(String),
    /// Only other units may ask for this.
    OnlyByDependency(String),
    /// The unit does not allow to stop all others.
    NoIsolation(String),
    /// The unit is not up.
    UnitInactive(String),
    /// An argument makes no sense.
    InvalidArgument(String),
    /// What was asked for did not work.
    Failed(String),
}

impl From<RequestError> for BusError {
    fn from(error: RequestError) -> Self {
        let text = error.to_string();
        match error {
            RequestError::NotFound(_) => Self::NoSuchUnit(text),
            RequestError::Masked(_) => Self::UnitMasked(text),
            RequestError::Bad(_) | RequestError::BadNative(..) => Self::BadUnitSetting(text),
            RequestError::Template(..) | RequestError::IsolationOfStart => Self::InvalidArgument(text),
            RequestError::NoReload(_) => Self::JobTypeNotApplicable(text),
            RequestError::ByDependencyOnly(_) => Self::OnlyByDependency(text),
            RequestError::NoIsolation(_) => Self::NoIsolation(text),
            RequestError::NotActive(_) => Self::UnitInactive(text),
            RequestError::Dependency { .. }
            | RequestError::Cycle(_)
            | RequestError::Contradiction(_)
            | RequestError::Irreversible { .. }
            | RequestError::JobExists { .. } => Self::TransactionRefused(text),
        }
    }
}

impl From<NameError> for BusError {
    fn from(error: NameError) -> Self {
        Self::InvalidArgument(error.to_string())
    }
}
