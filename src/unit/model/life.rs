//! The life of a container: when it counts as started, how it ends, when it starts again.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::time::Duration;

/// `container.type`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ServiceType {
    /// Started once the payload has been executed.
    #[default]
    Exec,
    /// Started once the payload sends `READY=1`, sd_notify(3).
    Notify,
    /// Started once the payload has exited with success.
    Oneshot,
}

/// `container.ready`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ReadyOn {
    /// The payload has been executed.
    #[default]
    Exec,
    /// The payload sent `READY=1`.
    Notify,
    /// The health check passed.
    Health,
    /// The sockets are in LISTEN.
    Listening,
}

/// How a payload is asked to read its configuration again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reload {
    /// By a signal, `container.reload_signal`. One of `type = "notify"` says when it is done, as with
    /// `Type=notify-reload`, systemd.service(5).
    Signal(i32),
    /// By a command that runs in the container, `container.reload_command`.
    Command(Vec<String>),
}

/// An exit code or a signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum ExitStatus {
    /// exit(3)
    Code(i32),
    /// signal(7)
    Signal(i32),
}

/// A set of exit codes and signals.
pub type ExitStatuses = BTreeSet<ExitStatus>;

/// `container.restart`, systemd.service(5).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RestartPolicy {
    /// Never.
    #[default]
    No,
    /// On whatever end but a stop that was asked for.
    Always,
    /// On a clean end only.
    OnSuccess,
    /// On exit codes but 0, signals, time-outs and watchdog.
    OnFailure,
    /// On signals, time-outs and watchdog.
    OnAbnormal,
    /// On uncaught signals.
    OnAbort,
    /// On watchdog only.
    OnWatchdog,
}

/// `container.start_limit` and `activation.trigger_limit`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct StartLimit {
    /// Starts allowed in an interval; 0 means no limit.
    pub burst: u32,
    /// The interval.
    pub interval: Duration,
}

impl StartLimit {
    /// How often traffic starts a unit that does not say it, as in systemd.socket(5).
    pub const TRIGGERS: Self = Self { burst: 20, interval: Duration::from_secs(2) };

    /// The same of a unit with an instance for each connection.
    pub const CONNECTIONS: Self = Self { burst: 200, interval: Duration::from_secs(2) };

    /// How often traffic starts a unit that a manager before knew.
    pub(super) fn of_triggers() -> Self {
        Self::TRIGGERS
    }
}

/// `activation.start`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum StartOn {
    /// A start of the unit runs the container.
    #[default]
    Boot,
    /// A start of the unit opens its sockets; the first connection runs the container.
    Socket,
    /// A start of the unit arms its timer, which runs the container.
    Timer,
}
