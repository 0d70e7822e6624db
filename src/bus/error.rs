//! Errors of our methods, with names that tell clients what kind they are, as systemd's do. They are listed in
//! org.sampan1(5).

use crate::manager::driver::ExecError;
use crate::manager::machine::RequestError;
use crate::sys::errno::without_numbers;
use crate::unit::enable::EnableError;
use crate::unit::name::NameError;
use zbus::message::{Header, Message};

/// What a method answers instead of a result. Each holds the sentence that goes with the name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BusError {
    /// No unit of this name.
    NoSuchUnit(String),
    /// A unit has this name already.
    UnitExists(String),
    /// No job of this number.
    NoSuchJob(String),
    /// No transfer of this number.
    NoSuchTransfer(String),
    /// No image of this name, or several.
    NoSuchImage(String),
    /// A unit or a container needs the image.
    ImageInUse(String),
    /// No unit has this process.
    NoUnitForPid(String),
    /// No unit has this invocation id.
    NoUnitForInvocationId(String),
    /// The unit is masked.
    UnitMasked(String),
    /// The unit's file has errors.
    BadUnitSetting(String),
    /// The unit does not run.
    UnitInactive(String),
    /// The unit is not down.
    UnitBusy(String),
    /// The unit has left nothing behind.
    NothingToClean(String),
    /// The container has no such program.
    NoSuchProgram(String),
    /// The container has the program, and it cannot be executed.
    NotExecutable(String),
    /// Jobs are in the way, and the mode does not allow to replace them.
    TransactionIsDestructive(String),
    /// The unit and what it needs contradict each other.
    TransactionJobsConflicting(String),
    /// The order of units goes in a circle.
    TransactionOrderIsCyclic(String),
    /// Only other units may ask for this.
    OnlyByDependency(String),
    /// The unit does not allow to stop all others.
    NoIsolation(String),
    /// This cannot be done to units of this kind.
    JobTypeNotApplicable(String),
    /// The call is for connections that have subscribed.
    NotSubscribed(String),
    /// The connection has subscribed already.
    AlreadySubscribed(String),
    /// What was asked for did not work.
    Failed(String),
    /// An argument makes no sense.
    InvalidArgs(String),
    /// The caller may not do this.
    AccessDenied(String),
    /// The caller may do this once its user has given a password.
    InteractiveAuthorizationRequired(String),
    /// The caller asks for too much at once.
    LimitsExceeded(String),
    /// No such object.
    UnknownObject(String),
    /// The object has no such interface.
    UnknownInterface(String),
    /// The interface has no such method.
    UnknownMethod(String),
    /// The interface has no such property.
    UnknownProperty(String),
    /// Properties cannot be written.
    PropertyReadOnly(String),
    /// A unit file is in the way.
    FileExists(String),
}

impl BusError {
    /// Name and sentence.
    fn parts(&self) -> (&'static str, &str) {
        match self {
            Self::NoSuchUnit(text) => ("org.sampan1.Error.NoSuchUnit", text),
            Self::UnitExists(text) => ("org.sampan1.Error.UnitExists", text),
            Self::NoSuchJob(text) => ("org.sampan1.Error.NoSuchJob", text),
            Self::NoSuchTransfer(text) => ("org.sampan1.Error.NoSuchTransfer", text),
            Self::NoSuchImage(text) => ("org.sampan1.Error.NoSuchImage", text),
            Self::ImageInUse(text) => ("org.sampan1.Error.ImageInUse", text),
            Self::NoUnitForPid(text) => ("org.sampan1.Error.NoUnitForPID", text),
            Self::NoUnitForInvocationId(text) => ("org.sampan1.Error.NoUnitForInvocationID", text),
            Self::UnitMasked(text) => ("org.sampan1.Error.UnitMasked", text),
            Self::BadUnitSetting(text) => ("org.sampan1.Error.BadUnitSetting", text),
            Self::UnitInactive(text) => ("org.sampan1.Error.UnitInactive", text),
            Self::UnitBusy(text) => ("org.sampan1.Error.UnitBusy", text),
            Self::NothingToClean(text) => ("org.sampan1.Error.NothingToClean", text),
            Self::NoSuchProgram(text) => ("org.sampan1.Error.NoSuchProgram", text),
            Self::NotExecutable(text) => ("org.sampan1.Error.NotExecutable", text),
            Self::TransactionIsDestructive(text) => ("org.sampan1.Error.TransactionIsDestructive", text),
            Self::TransactionJobsConflicting(text) => ("org.sampan1.Error.TransactionJobsConflicting", text),
            Self::TransactionOrderIsCyclic(text) => ("org.sampan1.Error.TransactionOrderIsCyclic", text),
            Self::JobTypeNotApplicable(text) => ("org.sampan1.Error.JobTypeNotApplicable", text),
            Self::OnlyByDependency(text) => ("org.sampan1.Error.OnlyByDependency", text),
            Self::NoIsolation(text) => ("org.sampan1.Error.NoIsolation", text),
            Self::NotSubscribed(text) => ("org.sampan1.Error.NotSubscribed", text),
            Self::AlreadySubscribed(text) => ("org.sampan1.Error.AlreadySubscribed", text),
            Self::Failed(text) => ("org.sampan1.Error.Failed", text),
            Self::InvalidArgs(text) => ("org.freedesktop.DBus.Error.InvalidArgs", text),
            Self::AccessDenied(text) => ("org.freedesktop.DBus.Error.AccessDenied", text),
            Self::InteractiveAuthorizationRequired(text) => {
                ("org.freedesktop.DBus.Error.InteractiveAuthorizationRequired", text)
            }
            Self::LimitsExceeded(text) => ("org.freedesktop.DBus.Error.LimitsExceeded", text),
            Self::UnknownObject(text) => ("org.freedesktop.DBus.Error.UnknownObject", text),
            Self::UnknownInterface(text) => ("org.freedesktop.DBus.Error.UnknownInterface", text),
            Self::UnknownMethod(text) => ("org.freedesktop.DBus.Error.UnknownMethod", text),
            Self::UnknownProperty(text) => ("org.freedesktop.DBus.Error.UnknownProperty", text),
            Self::PropertyReadOnly(text) => ("org.freedesktop.DBus.Error.PropertyReadOnly", text),
            Self::FileExists(text) => ("org.freedesktop.DBus.Error.FileExists", text),
        }
    }

    /// The message that says so.
    pub(super) fn reply(&self, call: &Header<'_>) -> zbus::Result<Message> {
        let (name, text) = self.parts();
        Message::error(call, name).build(&(without_numbers(text),))
    }
}

impl From<RequestError> for BusError {
    fn from(error: RequestError) -> Self {
        let text = error.to_string();
        match error {
            RequestError::NotFound(_) => Self::NoSuchUnit(text),
            RequestError::Masked(_) => Self::UnitMasked(text),
            RequestError::Bad(_) | RequestError::BadNative(..) => Self::BadUnitSetting(text),
            RequestError::Template(..) | RequestError::IsolationOfStart => Self::InvalidArgs(text),
            RequestError::Cycle(_) => Self::TransactionOrderIsCyclic(text),
            RequestError::Dependency { .. } | RequestError::Contradiction(_) => {
                Self::TransactionJobsConflicting(text)
            }
            RequestError::JobExists { .. }
            | RequestError::Irreversible { .. }
            | RequestError::ShuttingDown(_) => Self::TransactionIsDestructive(text),
            RequestError::NoReload(_) | RequestError::Exclusive(..) => Self::JobTypeNotApplicable(text),
            RequestError::ByDependencyOnly(_) => Self::OnlyByDependency(text),
            RequestError::NoIsolation(_) => Self::NoIsolation(text),
        }
    }
}

impl From<ExecError> for BusError {
    fn from(error: ExecError) -> Self {
        let text = error.to_string();
        match error {
            ExecError::NotFound(_) => Self::NoSuchUnit(text),
            ExecError::Inactive(_) => Self::UnitInactive(text),
            ExecError::Frozen(_) => Self::Failed(text),
            ExecError::NoSuchProgram { .. } => Self::NoSuchProgram(text),
            ExecError::NotExecutable(_) => Self::NotExecutable(text),
            ExecError::Failed(_) => Self::Failed(text),
        }
    }
}

impl From<NameError> for BusError {
    /// What was given as a name may be as long as a message, and is not sent back in full.
    fn from(error: NameError) -> Self {
        const LENGTH_MAX: usize = 512;
        let text: String = error.to_string().chars().take(LENGTH_MAX).collect();
        Self::InvalidArgs(text)
    }
}

impl From<EnableError> for BusError {
    fn from(error: EnableError) -> Self {
        let text = error.to_string();
        match error {
            EnableError::NotFound(_) => Self::NoSuchUnit(text),
            EnableError::Masked(_) => Self::UnitMasked(text),
            EnableError::Bad(..) => Self::BadUnitSetting(text),
            EnableError::Template(..) | EnableError::NotTarget(_) | EnableError::Unlinkable { .. } => {
                Self::InvalidArgs(text)
            }
            EnableError::Exists { .. } => Self::FileExists(text),
            EnableError::Io { .. } | EnableError::Preset(_) => Self::Failed(text),
        }
    }
}

impl From<zbus::Error> for BusError {
    fn from(error: zbus::Error) -> Self {
        Self::Failed(error.to_string())
    }
}
