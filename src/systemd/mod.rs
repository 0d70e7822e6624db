//! Our use of systemd: scopes over its bus interface, the descriptor store and readiness over sd_notify(3),
//! and the receiving side of that protocol for containers. No type of zbus leaves this room.
#![forbid(unsafe_code)]

pub mod fdstore;
pub mod manager;
pub mod notify;
pub mod notify_server;
mod properties;
mod proxy;
pub mod signals;

use std::path::PathBuf;
use std::time::Duration;

/// Why systemd did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum SystemdError {
    /// There is no bus, or no systemd on it.
    #[error("cannot reach systemd over the system bus: {reason}; is this host booted with systemd?")]
    Connect {
        /// What the bus said.
        reason: String,
    },
    /// The bus connection ended.
    #[error("the connection to the system bus is lost")]
    Disconnected,
    /// systemd refused a call.
    #[error("{scope}: systemd refused {call}: {reason}")]
    Refused {
        /// The method.
        call: &'static str,
        /// The scope that the call was about.
        scope: String,
        /// systemd's words.
        reason: String,
    },
    /// A scope of this name runs already.
    #[error("{scope}: a scope of this name is already running; stop it with \"systemctl stop {scope}\"")]
    Running {
        /// The scope.
        scope: String,
    },
    /// The job ended otherwise than with success.
    #[error("{scope}: the {job} job ended with result \"{result}\"")]
    Job {
        /// The scope.
        scope: String,
        /// `start` or `stop`.
        job: &'static str,
        /// As in `org.freedesktop.systemd1.Manager.JobRemoved`: `failed`, `canceled`, ….
        result: String,
    },
    /// systemd did not answer in time.
    #[error("{scope}: systemd did not finish {call} within {} s", .after.as_secs())]
    Timeout {
        /// The method.
        call: &'static str,
        /// The scope that the call was about.
        scope: String,
        /// How long was waited.
        after: Duration,
    },
    /// A notification could not be sent or a socket for them not be made.
    #[error("{}: {source}", .socket.display())]
    Notify {
        /// The socket.
        socket: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The descriptors that systemd passed are not as it promised.
    #[error("cannot take the descriptors passed by systemd ($LISTEN_FDS): {source}")]
    Passed {
        /// Why.
        source: std::io::Error,
    },
}
