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
    /// The unit is masked.
    UnitMasked(String),
    /// The unit's file has errors.
    BadUnitSetting(String),
    /// The transaction cannot be.
    TransactionRefused(String),
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
            RequestError::Bad(_) => Self::BadUnitSetting(text),
            RequestError::Template(..) => Self::InvalidArgument(text),
            RequestError::Dependency { .. }
            | RequestError::Cycle(_)
            | RequestError::Contradiction(_)
            | RequestError::JobExists { .. } => Self::TransactionRefused(text),
        }
    }
}

impl From<NameError> for BusError {
    fn from(error: NameError) -> Self {
        Self::InvalidArgument(error.to_string())
    }
}
