//! The words of systemd for states, results and exits.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::Duration;

/// A moment on the two clocks that systemd shows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamp {
    /// Since the epoch, CLOCK_REALTIME.
    pub realtime: Duration,
    /// Since boot, CLOCK_BOOTTIME, so that timers count the time that the host sleeps.
    pub boottime: Duration,
    /// Since boot, CLOCK_MONOTONIC: the clock of `MONOTONIC_USEC=`, sd_notify(3).
    #[serde(default)]
    pub monotonic: Duration,
}

/// The state that dependencies look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ActiveState {
    /// Started.
    Active,
    /// Started, and reading its configuration again.
    Reloading,
    /// Not started, last end clean.
    Inactive,
    /// Not started, last end not clean.
    Failed,
    /// On the way up.
    Activating,
    /// On the way down.
    Deactivating,
}

impl ActiveState {
    /// systemd's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Reloading => "reloading",
            Self::Inactive => "inactive",
            Self::Failed => "failed",
            Self::Activating => "activating",
            Self::Deactivating => "deactivating",
        }
    }

    /// Whether those that require it have what they need.
    pub fn is_up(self) -> bool {
        matches!(self, Self::Active | Self::Reloading)
    }

    /// Whether nothing of it is there or under way.
    pub fn is_down(self) -> bool {
        matches!(self, Self::Inactive | Self::Failed)
    }
}

/// Where a unit is in its life: systemd's sub-states.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// Nothing is there.
    #[default]
    Dead,
    /// Nothing is there, and the last end was not clean.
    Failed,
    /// The conditions are being checked.
    Condition,
    /// The sockets are being opened.
    StartPre,
    /// The sockets are open and nobody has come.
    Listening,
    /// The timer is armed, and nothing runs.
    Waiting,
    /// The timer has nothing left to elapse on, and nothing runs.
    Elapsed,
    /// The image is being pulled.
    Pull,
    /// `exec_condition` is run.
    ExecCondition,
    /// `exec_start_pre` is run.
    ExecStartPre,
    /// The container is being launched, or has not yet said that it is ready.
    Start,
    /// The container is ready, and `exec_start_post` is run.
    StartPost,
    /// The container runs.
    Running,
    /// Nobody uses the container, and it is being brought to a standstill.
    Freezing,
    /// The container stands still until somebody connects.
    Frozen,
    /// A oneshot has run, and counts as up.
    Exited,
    /// The container has been asked to read its configuration again.
    Reload,
    /// The container says that it reads its configuration again.
    ReloadNotify,
    /// A target is reached.
    Active,
    /// `exec_stop` is run.
    Stop,
    /// The watchdog's signal has been sent.
    StopWatchdog,
    /// The stop signal has been sent.
    StopSigterm,
    /// SIGKILL has been sent.
    StopSigkill,
    /// Nothing of the container is left, and `exec_stop_post` is run.
    StopPost,
    /// Commands of a container that has ended are being killed.
    FinalSigkill,
    /// Waiting for the pause before a restart to pass.
    AutoRestart,
}

/// What a stop finds to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ToStop {
    /// Nothing is there.
    Nothing,
    /// It is enough to say that it is over.
    State,
    /// Something has to be asked to end.
    Work,
    /// That has been done already.
    Rest,
}

impl Phase {
    /// What there is to do for a stop.
    pub(super) fn to_stop(self) -> ToStop {
        match self {
            Self::Dead | Self::Failed => ToStop::Nothing,
            Self::Listening
            | Self::Waiting
            | Self::Elapsed
            | Self::Condition
            | Self::StartPre
            | Self::AutoRestart
            | Self::Exited
            | Self::Active => ToStop::State,
            Self::Pull
            | Self::ExecCondition
            | Self::ExecStartPre
            | Self::Start
            | Self::StartPost
            | Self::Running
            | Self::Freezing
            | Self::Frozen
            | Self::Reload
            | Self::ReloadNotify => ToStop::Work,
            Self::Stop
            | Self::StopWatchdog
            | Self::StopSigterm
            | Self::StopSigkill
            | Self::StopPost
            | Self::FinalSigkill => ToStop::Rest,
        }
    }

    /// systemd's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Dead => "dead",
            Self::Failed => "failed",
            Self::Condition | Self::ExecCondition => "condition",
            Self::StartPre | Self::ExecStartPre => "start-pre",
            Self::Listening => "listening",
            Self::Waiting => "waiting",
            Self::Elapsed => "elapsed",
            Self::Pull => "pull",
            Self::Start => "start",
            Self::StartPost => "start-post",
            Self::Running => "running",
            Self::Freezing => "freezing",
            Self::Frozen => "frozen",
            Self::Exited => "exited",
            Self::Reload => "reload",
            Self::ReloadNotify => "reload-notify",
            Self::Active => "active",
            Self::Stop => "stop",
            Self::StopWatchdog => "stop-watchdog",
            Self::StopSigterm => "stop-sigterm",
            Self::StopSigkill => "stop-sigkill",
            Self::StopPost => "stop-post",
            Self::FinalSigkill => "final-sigkill",
            Self::AutoRestart => "auto-restart",
        }
    }

    /// The state that goes with it.
    pub fn active_state(self) -> ActiveState {
        match self {
            Self::Dead => ActiveState::Inactive,
            Self::Failed => ActiveState::Failed,
            Self::Listening
            | Self::Waiting
            | Self::Elapsed
            | Self::Running
            | Self::Freezing
            | Self::Frozen
            | Self::Exited
            | Self::Active => ActiveState::Active,
            Self::Reload | Self::ReloadNotify => ActiveState::Reloading,
            Self::Condition
            | Self::StartPre
            | Self::Pull
            | Self::ExecCondition
            | Self::ExecStartPre
            | Self::Start
            | Self::StartPost
            | Self::AutoRestart => ActiveState::Activating,
            Self::Stop
            | Self::StopWatchdog
            | Self::StopSigterm
            | Self::StopSigkill
            | Self::StopPost
            | Self::FinalSigkill => ActiveState::Deactivating,
        }
    }

    /// Whether a container of ours may be alive.
    pub fn has_run(self) -> bool {
        self.is_starting() || self.has_payload() || self.is_stopping_run()
    }

    /// Whether its container is being launched, or has not said that it is ready.
    pub fn is_starting(self) -> bool {
        matches!(self, Self::ExecCondition | Self::ExecStartPre | Self::Start)
    }

    /// Whether its payload runs, and nobody has asked it to end.
    pub fn has_payload(self) -> bool {
        matches!(self, Self::StartPost | Self::Running | Self::Reload | Self::ReloadNotify) || self.sleeps()
    }

    /// Whether its container stands still as nobody uses it, or is about to.
    pub fn sleeps(self) -> bool {
        matches!(self, Self::Freezing | Self::Frozen)
    }

    /// Whether its container has been asked to end.
    pub(super) fn is_stopping_run(self) -> bool {
        matches!(self, Self::Stop | Self::StopWatchdog | Self::StopSigterm | Self::StopSigkill)
    }

    /// Whether what is left is to see it off.
    pub fn is_final(self) -> bool {
        matches!(self, Self::StopPost | Self::FinalSigkill)
    }

    /// Whether it is up only as its timer is armed.
    pub fn is_waiting(self) -> bool {
        matches!(self, Self::Waiting | Self::Elapsed)
    }

    /// Whether nothing of the unit is there or under way.
    pub fn is_down(self) -> bool {
        matches!(self, Self::Dead | Self::Failed)
    }
}

/// Why a unit is where it is: systemd's `Result=`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum UnitResult {
    /// All well.
    #[default]
    Success,
    /// Something that comes before a process could not be set up: a socket, the image, the scope.
    Resources,
    /// The payload exited with a code other than 0, or what was to become it did.
    ExitCode,
    /// A signal ended the payload.
    Signal,
    /// A signal ended the payload and a core was dumped.
    CoreDump,
    /// A time limit passed.
    Timeout,
    /// A type=notify payload ended before it was ready.
    Protocol,
    /// The kernel killed a process of it for want of memory.
    OomKill,
    /// It did not say in time that it is alive.
    Watchdog,
    /// Its health check failed too often in a row.
    Unhealthy,
    /// A command of `exec_condition` did not let it start.
    ExecCondition,
    /// Started too often.
    StartLimitHit,
    /// Connections asked for it too often.
    TriggerLimitHit,
}

impl UnitResult {
    /// systemd's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Resources => "resources",
            Self::ExitCode => "exit-code",
            Self::Signal => "signal",
            Self::CoreDump => "core-dump",
            Self::Timeout => "timeout",
            Self::Protocol => "protocol",
            Self::OomKill => "oom-kill",
            Self::Watchdog => "watchdog",
            Self::Unhealthy => "unhealthy",
            Self::ExecCondition => "exec-condition",
            Self::StartLimitHit => "start-limit-hit",
            Self::TriggerLimitHit => "trigger-limit-hit",
        }
    }
}

/// How the payload ended, waitid(2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Exit {
    /// With an exit code.
    Code(i32),
    /// By a signal.
    Signal(i32),
    /// By a signal that dumped core.
    Core(i32),
    /// By the kernel's SIGKILL for want of memory.
    OomKill,
    /// It ended while no manager watched, and the kernel keeps no status. Counts as a failure.
    Unknown,
}

/// Signals that end a process cleanly, systemd.service(5) `SuccessExitStatus=`: HUP, INT, PIPE, TERM.
const CLEAN_SIGNALS: [i32; 4] = [1, 2, 13, 15];

impl Exit {
    /// The result of a run that nobody asked to end.
    pub fn result(self) -> UnitResult {
        match self {
            Self::Code(0) => UnitResult::Success,
            Self::Code(_) | Self::Unknown => UnitResult::ExitCode,
            Self::Signal(signal) if CLEAN_SIGNALS.contains(&signal) => UnitResult::Success,
            Self::Signal(_) => UnitResult::Signal,
            Self::Core(_) => UnitResult::CoreDump,
            Self::OomKill => UnitResult::OomKill,
        }
    }

    /// `CLD_*` of waitid(2) and the status; 0 and 0 where unknown.
    pub fn code_and_status(self) -> (i32, i32) {
        match self {
            Self::Code(status) => (1, status),
            Self::Signal(signal) => (2, signal),
            Self::Core(signal) => (3, signal),
            Self::OomKill => (2, libc::SIGKILL),
            Self::Unknown => (0, 0),
        }
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(status) => write!(formatter, "code=exited, status={status}"),
            Self::Signal(signal) => write!(formatter, "code=killed, signal={signal}"),
            Self::Core(signal) => write!(formatter, "code=dumped, signal={signal}"),
            Self::OomKill => write!(formatter, "code=killed, signal={}", libc::SIGKILL),
            Self::Unknown => write!(formatter, "ended while the manager was away"),
        }
    }
}

/// Why something could not be set up, in a sentence for `status`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Step, subject and reason: `execute: /bin/nope: No such file or directory`.
    pub message: String,
    /// errno(3), or 0.
    pub errno: i32,
    /// How what was to be done has ended. Of a launch: systemd.exec(5), "Process Exit Codes"; `None` where no process
    /// had been begun with.
    pub exit: Option<Exit>,
}
