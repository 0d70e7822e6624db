//! What goes wrong between the command line and the manager, and the exit status that says so.

use super::client::{self, Bus};
use std::time::Duration;
use zbus::{DBusError, fdo};

/// Failure, whatever the reason.
pub const FAILURE: u8 = 1;
/// `is-active` and `status` of a unit that does not run (LSB).
pub const NOT_RUNNING: u8 = 3;
/// `is-active` and `status` of a unit that does not exist (LSB).
pub const UNKNOWN_UNIT: u8 = 4;

/// A command in a container that cannot be executed, as a shell has it.
pub const NOT_EXECUTABLE: u8 = 126;
/// The same of one that is not there.
pub const NO_PROGRAM: u8 = 127;

/// Exit statuses of verbs that change something, as systemctl's (LSB).
const NOT_SUPPORTED: u8 = 3;
const NO_PERMISSION: u8 = 4;
const NOT_INSTALLED: u8 = 5;

/// A failure of a verb.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// There is no bus, or nobody has our name on it.
    #[error("Failed to connect to sampand: {reason}. Is it running? \"systemctl start sampand\".")]
    Unreachable {
        /// What the bus says.
        reason: String,
    },
    /// Somebody has the bus's socket, and does not answer.
    #[error(
        "Failed to connect to sampand: the system bus does not answer since {} s. Containers run on meanwhile. See \
         \"systemctl status dbus\".", .after.as_secs()
    )]
    Bus {
        /// How long was waited.
        after: Duration,
    },
    /// The manager answered with an error.
    #[error("Failed to {action}: {reason}")]
    Refused {
        /// What was asked for: `start web.container`.
        action: String,
        /// The manager's message.
        reason: String,
        /// The exit status.
        status: u8,
    },
    /// The manager left the bus during a call.
    #[error(
        "Failed to {action}: sampand ended before it answered, and may have done it all the same. See \"systemctl \
         status sampand\"."
    )]
    Left {
        /// What was asked for.
        action: String,
    },
    /// The bus holds back no more calls for the manager.
    #[error(
        "Failed to {action}: others call sampand faster than it can answer. Try again, and see who: busctl monitor org.sampan1"
    )]
    Busy {
        /// What was to be done.
        action: String,
    },
    /// A process is in no container of ours.
    #[error("Failed to get unit for PID {pid}: PID {pid} does not belong to any loaded unit.")]
    NoUnitOfProcess {
        /// The process.
        pid: u32,
    },
    /// `--user`, and no manager of the user.
    #[error(
        "Failed to connect to the manager of this user: {reason}. Without --user the manager of the system is meant."
    )]
    NoUserManager {
        /// What is missing.
        reason: String,
    },
    /// `--root=` before a verb over what runs.
    #[error(
        "This verb is about what runs on this host, and --root= means the files below another directory. Verbs over \
         unit files, images and volumes work with --root=, such as enable, edit, cat, list-unit-files, verify, images \
         and pull."
    )]
    OtherRoot,
    /// A program that a verb needs cannot be executed.
    #[error("Failed to execute {program}: {error}")]
    Program {
        /// The program.
        program: String,
        /// Why not.
        error: std::io::Error,
    },
    /// The image of a container has no shell.
    #[error(
        "The image of {unit} has no shell: run one of its programs with \"sampanctl exec {unit} PROGRAM\"."
    )]
    NoShell {
        /// The unit.
        unit: String,
    },
    /// Who sat at the terminal of a command in a container has left it.
    #[error("Left the terminal: the command in the container is ended.")]
    LeftTerminal,
    /// The terminal cannot be used.
    #[error("Failed to set up the terminal: {0}")]
    Terminal(#[from] rustix::io::Errno),
    /// Signals cannot be caught.
    #[error("Failed to catch signals: {0}")]
    Signals(std::io::Error),
}

impl CliError {
    /// The error of a call that was to do `action`.
    pub fn of_call(action: &str, error: zbus::Error) -> Self {
        if let Some(reason) = unreachable_reason(&error) {
            return Self::unreachable(reason);
        }
        if is_left(&error) {
            return Self::Left { action: action.to_owned() };
        }
        if is_full(&error) {
            return Self::Busy { action: action.to_owned() };
        }
        let (reason, status) = message(error);
        Self::Refused { action: action.to_owned(), reason, status }
    }

    /// The error of signals that cannot be caught.
    pub fn of_signals(error: std::io::Error) -> Self {
        Self::Signals(error)
    }

    /// The error of a connection that could not be made.
    pub fn of_connection(error: zbus::Error) -> Self {
        Self::unreachable(trimmed(message(error).0))
    }

    fn unreachable(reason: String) -> Self {
        match client::bus() {
            Bus::System => Self::Unreachable { reason },
            Bus::User => Self::NoUserManager { reason },
        }
    }

    /// The same of a command that is a shell.
    #[must_use]
    pub fn of_shell(self, unit: &str) -> Self {
        match self {
            Self::Refused { status: NO_PROGRAM, .. } => Self::NoShell { unit: unit.to_owned() },
            error => error,
        }
    }

    /// The same of a verb over unit files, of which systemctl(1) tells only that it failed, or that it was not allowed.
    #[must_use]
    pub fn of_unit_files(self) -> Self {
        match self {
            Self::Refused { action, reason, status } if status != NO_PERMISSION => {
                Self::Refused { action, reason, status: FAILURE }
            }
            error => error,
        }
    }

    /// Whether there is no manager to talk to.
    pub fn is_unreachable(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::NoUserManager { .. })
    }

    /// Whether a unit was asked for that does not exist.
    pub fn is_unknown_unit(&self) -> bool {
        matches!(self, Self::Refused { status: NOT_INSTALLED, .. })
    }

    /// The exit status.
    pub fn status(&self) -> u8 {
        match self {
            Self::Refused { status, .. } => *status,
            Self::NoShell { .. } => NO_PROGRAM,
            _ => FAILURE,
        }
    }
}

/// The sentence that follows ends in a full stop already.
fn trimmed(text: String) -> String {
    text.trim_end_matches(['.', '\n']).to_owned()
}

/// What dbus-daemon(1) says where `max_outgoing_bytes` or `max_outgoing_unix_fds` of the manager's connection are
/// reached: the manager's own limits have the same name.
fn is_full(error: &zbus::Error) -> bool {
    let reason = match error {
        zbus::Error::FDO(error) => match error.as_ref() {
            fdo::Error::LimitsExceeded(reason) => Some(reason),
            _ => None,
        },
        zbus::Error::MethodError(name, reason, _)
            if name.as_str() == "org.freedesktop.DBus.Error.LimitsExceeded" =>
        {
            reason.as_ref()
        }
        _ => None,
    };
    reason.is_some_and(|reason| reason.contains("full message queue"))
}

/// The bus tells that the manager left it before it answered.
fn is_left(error: &zbus::Error) -> bool {
    match error {
        zbus::Error::FDO(error) => matches!(**error, fdo::Error::NoReply(_)),
        zbus::Error::MethodError(name, ..) => name.as_str() == "org.freedesktop.DBus.Error.NoReply",
        _ => false,
    }
}

fn unreachable_reason(error: &zbus::Error) -> Option<String> {
    use fdo::Error::{NameHasNoOwner, NoServer, ServiceUnknown, SpawnFailed, SpawnServiceNotFound};
    match error {
        zbus::Error::FDO(error) => match error.as_ref() {
            ServiceUnknown(reason)
            | NameHasNoOwner(reason)
            | NoServer(reason)
            | SpawnFailed(reason)
            | SpawnServiceNotFound(reason) => Some(trimmed(reason.clone())),
            _ => None,
        },
        // systemd was asked to start it and did not: it is masked, say.
        zbus::Error::MethodError(name, Some(text), _) if name.starts_with("org.freedesktop.systemd1.") => {
            Some(trimmed(text.clone()))
        }
        zbus::Error::InputOutput(error) => Some(trimmed(error.to_string())),
        _ => None,
    }
}

/// The text of an error without its D-Bus name, and the exit status that its name means.
fn message(error: zbus::Error) -> (String, u8) {
    match error {
        zbus::Error::FDO(error) => of_fdo(*error),
        zbus::Error::MethodError(name, text, _) => {
            let status = status_of_name(name.as_str());
            (text.unwrap_or_else(|| name.to_string()), status)
        }
        error => (error.to_string(), FAILURE),
    }
}

fn of_fdo(error: fdo::Error) -> (String, u8) {
    let status = match error {
        fdo::Error::AccessDenied(_)
        | fdo::Error::AuthFailed(_)
        | fdo::Error::InteractiveAuthorizationRequired(_) => NO_PERMISSION,
        fdo::Error::UnknownObject(_) => NOT_INSTALLED,
        fdo::Error::NotSupported(_) => NOT_SUPPORTED,
        _ => FAILURE,
    };
    let text = error.description().map(str::to_owned);
    (text.unwrap_or_else(|| error.to_string()), status)
}

/// As systemctl has them, with those of `exec` beside. A masked unit and one with a bad file are plain failures there.
fn status_of_name(name: &str) -> u8 {
    match name.rsplit('.').next().unwrap_or_default() {
        "OnlyByDependency" | "NoIsolation" | "TransactionIsDestructive" => NO_PERMISSION,
        "NoSuchUnit" => NOT_INSTALLED,
        "JobTypeNotApplicable" => NOT_SUPPORTED,
        "NoSuchProgram" => NO_PROGRAM,
        "NotExecutable" => NOT_EXECUTABLE,
        _ => FAILURE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_manager_is_told_with_the_next_step() {
        let error = fdo::Error::ServiceUnknown("The name is not activatable.".to_owned());
        let error = CliError::of_call("list units", zbus::Error::FDO(Box::new(error)));
        assert_eq!(error.status(), 1);
        assert_eq!(
            error.to_string(),
            "Failed to connect to sampand: The name is not activatable. Is it running? \
             \"systemctl start sampand\"."
        );
    }

    #[test]
    fn errors_keep_the_statuses_of_systemctl() {
        let of = |error| CliError::of_call("start web.container", zbus::Error::FDO(Box::new(error)));
        let unknown = of(fdo::Error::UnknownObject("Unit web.container not found.".to_owned()));
        assert_eq!(unknown.to_string(), "Failed to start web.container: Unit web.container not found.");
        assert_eq!(unknown.status(), 5);
        assert_eq!(of(fdo::Error::AccessDenied("Access denied".to_owned())).status(), 4);
        for (name, status) in [
            ("OnlyByDependency", 4),
            ("NoIsolation", 4),
            ("TransactionIsDestructive", 4),
            ("NoSuchUnit", 5),
            ("JobTypeNotApplicable", 3),
            ("UnitMasked", 1),
            ("BadUnitSetting", 1),
            ("TransactionJobsConflicting", 1),
        ] {
            assert_eq!(status_of_name(&format!("org.sampan1.Error.{name}")), status, "{name}");
        }
    }
}
