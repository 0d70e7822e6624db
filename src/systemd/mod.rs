//! Our use of systemd: scopes over its bus interface, the descriptor store and readiness over sd_notify(3),
//! and the receiving side of that protocol for containers. No type of zbus leaves this room.
#![forbid(unsafe_code)]

mod account;
pub mod fdstore;
mod host;
pub mod manager;
pub mod native;
pub mod notify;
pub mod notify_server;
mod properties;
mod proxy;
pub mod service;
mod session;
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
    /// systemd left, or the bus did, during a call.
    #[error("{unit}: the connection to systemd was lost during {call}")]
    Lost {
        /// The method.
        call: &'static str,
        /// The unit that the call was about.
        unit: String,
    },
    /// There was no bus, or no systemd on it, for all of the time that a call may take.
    #[error("{unit}: {call} is not possible: systemd cannot be reached over the system bus since {} s", .after.as_secs())]
    Away {
        /// The method.
        call: &'static str,
        /// The unit that the call was about.
        unit: String,
        /// How long was waited.
        after: Duration,
    },
    /// systemd refused a call.
    #[error("{unit}: systemd refused {call}: {reason}")]
    Refused {
        /// The method.
        call: &'static str,
        /// The unit that the call was about.
        unit: String,
        /// systemd's words.
        reason: String,
    },
    /// A scope of this name runs already.
    #[error("{unit}: a scope of this name is already running; stop it with \"systemctl stop {unit}\"")]
    Running {
        /// The scope.
        unit: String,
    },
    /// The job ended otherwise than with success.
    #[error("{unit}: the {job} job ended with result \"{result}\"")]
    Job {
        /// The unit.
        unit: String,
        /// `start` or `stop`.
        job: &'static str,
        /// As in `org.freedesktop.systemd1.Manager.JobRemoved`: `failed`, `canceled`, ….
        result: String,
    },
    /// systemd did not answer in time.
    #[error("{unit}: systemd did not finish {call} within {} s", .after.as_secs())]
    Timeout {
        /// The method.
        call: &'static str,
        /// The unit that the call was about.
        unit: String,
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
