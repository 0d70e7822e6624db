//! What the core hears and what it asks for.

use super::job::{Asked, JobId, JobKind, JobResult};
use super::native::NativeState;
use super::schedule::{Clocks, Schedule};
use super::state::{Exit, Failure, Phase, Stamp, UnitResult};
use super::unit::{Loaded, Run, Stamps};
use crate::systemd::notify_server::Notification;
use crate::unit::model::{Otherwise, Stage};
use crate::unit::name::UnitName;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// What the driver tells of a run that has begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Launched {
    /// The first process of the container.
    pub pid: u32,
    /// The invocation id, 32 hexadecimal digits.
    pub invocation: String,
}

/// What has happened.
#[derive(Debug, Clone)]
pub enum Event {
    /// All unit files have been read again.
    Loaded(BTreeMap<UnitName, Loaded>),
    /// Some units have been read: those that a request names or needs.
    LoadedMore(BTreeMap<UnitName, Loaded>),
    /// A unit of systemd's that is watched has another state, another job, or is known for the first time.
    NativeState {
        /// The unit.
        unit: UnitName,
        /// What systemd says of it.
        state: NativeState,
    },
    /// [`Action::RunNative`] is done. What it made of the unit's state has to be told before.
    NativeDone {
        /// The unit.
        unit: UnitName,
        /// The job that the action named.
        job: JobId,
        /// How systemd's job ended; a job that systemd refused has [`JobResult::Failed`].
        result: JobResult,
    },
    /// [`Action::CheckConditions`] is done.
    ConditionsChecked {
        /// The unit.
        unit: UnitName,
        /// The first condition that does not hold.
        result: Result<(), Unmet>,
    },
    /// Somebody cancels a job.
    JobCanceled(JobId),
    /// [`Action::OpenSockets`] is done.
    SocketsOpened {
        /// The unit.
        unit: UnitName,
        /// What went wrong.
        result: Result<(), Failure>,
    },
    /// Somebody has connected to a socket of a unit that was listening.
    Connection {
        /// The unit.
        unit: UnitName,
        /// The socket's name.
        socket: String,
    },
    /// Nobody has used a container for as long as its unit says.
    Idle {
        /// The unit.
        unit: UnitName,
        /// The run.
        run: u64,
    },
    /// [`Action::Freeze`] is done: the container stands still, and nobody has come meanwhile.
    Frozen {
        /// The unit.
        unit: UnitName,
        /// The run.
        run: u64,
    },
    /// A container that sleeps is needed.
    Wanted {
        /// The unit.
        unit: UnitName,
    },
    /// The image that a run seeks has to be pulled.
    Pulling {
        /// The unit.
        unit: UnitName,
        /// The run.
        run: u64,
    },
    /// [`Action::SeekImage`] is done: the run can be launched, or why it cannot.
    ImageReady {
        /// The unit.
        unit: UnitName,
        /// The run.
        run: u64,
        /// What went wrong.
        result: Result<(), Failure>,
    },
    /// The first process of a run exists.
    Started {
        /// The unit.
        unit: UnitName,
        /// The run.
        run: u64,
        /// Its process.
        launched: Launched,
    },
    /// The commands of `exec_condition` are over, and those of `exec_start_pre` come.
    StartPreBegun {
        /// The unit.
        unit: UnitName,
        /// The run.
        run: u64,
    },
    /// The commands of a stage are over: [`Action::RunCommands`] is done, or a launch has ended by them and nothing of
    /// it is left.
    CommandsDone {
        /// The unit.
        unit: UnitName,
        /// The run.
        run: u64,
        /// Which.
        stage: Stage,
        /// What failed, with its exit.
        result: Result<(), Failure>,
    },
    /// The first process has ended with the manager that launched it, before there was a payload.
    Unstarted {
        /// The unit.
        unit: UnitName,
        /// The run.
        run: u64,
        /// How.
        exit: Exit,
    },
    /// The payload has been executed.
    Executed {
        /// The unit.
        unit: UnitName,
        /// The run.
        run: u64,
    },
    /// The payload has said something of itself, sd_notify(3).
    Notified {
        /// The unit.
        unit: UnitName,
        /// The run.
        run: u64,
        /// What.
        what: Notification,
    },
    /// The payload listens on its addresses: what `ready = "listening"` waits for.
    Listening {
        /// The unit.
        unit: UnitName,
        /// The run.
        run: u64,
    },
    /// A health check has failed that does not count yet, in other words than the one before.
    Unwell {
        /// The unit.
        unit: UnitName,
        /// The run.
        run: u64,
        /// What it said.
        said: String,
    },
    /// The health check has a new verdict; the first good one is what `ready = "health"` waits for.
    Health {
        /// The unit.
        unit: UnitName,
        /// The run.
        run: u64,
        /// The verdict.
        health: HealthState,
    },
    /// A launch has failed and nothing of it is left.
    LaunchFailed {
        /// The unit.
        unit: UnitName,
        /// The run.
        run: u64,
        /// What was to become the payload and has exited with the status of the failure; `None` where it has none.
        process: Option<u32>,
        /// Why.
        failure: Failure,
    },
    /// The kernel has killed a process of a run for want of memory.
    OomKilled {
        /// The unit.
        unit: UnitName,
        /// The run.
        run: u64,
    },
    /// The payload has ended and nothing of the run is left.
    Ended {
        /// The unit.
        unit: UnitName,
        /// The run.
        run: u64,
        /// How.
        exit: Exit,
    },
    /// `systemctl stop` of the scope.
    StopRequested {
        /// The unit.
        unit: UnitName,
    },
    /// A clock has reached [`super::Machine::next_deadline`] or [`super::Machine::next_wake`].
    TimersDue,
    /// What there is to know of the host's clocks; told before anything that has a timer.
    Clocks(Clocks),
    /// Somebody has set CLOCK_REALTIME.
    ClockSet,
    /// The time zone of the host may be another one.
    ZoneChanged(TimeZone),
    /// [`Action::ReadStamp`] is done.
    StampRead {
        /// The unit.
        unit: UnitName,
        /// When its timer elapsed last, since 1970; `None`: it never did.
        last: Option<Duration>,
    },
    /// Forget a failure; of all units where none is named.
    ResetFailed {
        /// The unit.
        unit: Option<UnitName>,
    },
    /// [`Action::Reload`] is done: the signal is sent, or the command is over.
    Reloaded {
        /// The unit.
        unit: UnitName,
        /// The run.
        run: u64,
        /// What went wrong.
        result: Result<(), Failure>,
    },
    /// A unit of an earlier manager is still there. Nothing follows from it before [`Event::AdoptionDone`].
    Adopted {
        /// The unit.
        unit: UnitName,
        /// How it was left.
        left: Box<Left>,
    },
    /// Every unit of an earlier manager has been adopted.
    AdoptionDone,
    /// The host goes down: all units stop in their order, and nothing starts any more.
    ShuttingDown,
}

impl Event {
    /// The run that it is about, and the unit that this was of when it happened.
    pub fn run_mut(&mut self) -> Option<(&mut UnitName, u64)> {
        match self {
            Self::Idle { unit, run }
            | Self::Frozen { unit, run }
            | Self::Pulling { unit, run }
            | Self::ImageReady { unit, run, .. }
            | Self::Started { unit, run, .. }
            | Self::StartPreBegun { unit, run }
            | Self::CommandsDone { unit, run, .. }
            | Self::Unstarted { unit, run, .. }
            | Self::Executed { unit, run }
            | Self::Notified { unit, run, .. }
            | Self::Listening { unit, run }
            | Self::Unwell { unit, run, .. }
            | Self::Health { unit, run, .. }
            | Self::LaunchFailed { unit, run, .. }
            | Self::OomKilled { unit, run }
            | Self::Ended { unit, run, .. }
            | Self::Reloaded { unit, run, .. } => Some((unit, *run)),
            _ => None,
        }
    }
}

/// What kept a unit from starting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unmet {
    /// `condition` or `assert`.
    pub otherwise: Otherwise,
    /// What does not hold: `path_exists = "/srv/blog" was not met`.
    pub text: String,
    /// When it was looked at.
    pub at: Stamp,
}

/// How a container is, by its health check.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum HealthState {
    /// It has none, or none has been made yet.
    #[default]
    Unknown,
    /// The last check was good.
    Healthy,
    /// As many checks in a row as `health.retries` says have failed; with what the last one said.
    Unhealthy(String),
}

/// How an earlier manager left a unit.
#[derive(Debug, Clone)]
pub struct Left {
    /// Where it is in its life.
    pub phase: Phase,
    /// The run, where a container lives.
    pub run: Option<Run>,
    /// When it came to be so.
    pub stamps: Stamps,
    /// Why it is there.
    pub result: UnitResult,
    /// What could not be set up.
    pub failure: Option<Failure>,
    /// Restarts by the policy.
    pub restarts: u32,
    /// Starts in the interval of its limit, on CLOCK_BOOTTIME.
    pub starts: VecDeque<Duration>,
    /// Its timer.
    pub schedule: Schedule,
    /// Its job, where one was not over, and whom that was for.
    pub job: Option<(JobKind, Asked)>,
}

/// What a container is brought to a standstill for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// It waits there for the next connection.
    Sleep,
    /// It is stopped.
    Stop,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Open the sockets of a unit that are not open, close those that it no longer has; answer with
    /// [`Event::SocketsOpened`].
    OpenSockets(UnitName),
    /// Close all sockets of a unit.
    CloseSockets(UnitName),
    /// Tell the next connection by [`Event::Connection`].
    WatchSockets(UnitName),
    /// Leave connections to the payload.
    UnwatchSockets(UnitName),
    /// Bring a container to a standstill, and look whether somebody uses it after all: answer with [`Event::Frozen`], or
    /// with [`Event::Wanted`]. It may stand still already.
    Freeze {
        /// The unit.
        unit: UnitName,
        /// The run.
        run: u64,
        /// Whether it is to be stopped then, so that new connections have to wait for the next run.
        purpose: Purpose,
    },
    /// Let a container go on that was frozen by [`Action::Freeze`].
    Thaw {
        /// The unit.
        unit: UnitName,
        /// The run.
        run: u64,
    },
    /// What lives of a run belongs to the unit under which it has been retired from now on, and is to give its scope to the
    /// next launch.
    Retire {
        /// The unit that it was of.
        unit: UnitName,
        /// The unit that it is of.
        retired: UnitName,
        /// The run.
        run: u64,
    },
    /// The reverse: the next one is over. One that does not end, although it was killed, takes the place of that one.
    Recall {
        /// The unit that it is of again.
        unit: UnitName,
        /// The unit that it was of.
        retired: UnitName,
        /// The run.
        run: u64,
    },
    /// A container is up beside the one that has been retired, which is about to be stopped.
    Overlapped {
        /// The unit.
        unit: UnitName,
        /// When that one was retired, on CLOCK_BOOTTIME.
        since: Duration,
    },
    /// Keep telling [`Event::NativeState`] of a unit of systemd's, and its present state soon.
    WatchNative(UnitName),
    /// Nobody depends on it any more.
    UnwatchNative(UnitName),
    /// Have systemd start, stop, restart or reload one of its units, and answer with [`Event::NativeDone`].
    RunNative {
        /// The unit.
        unit: UnitName,
        /// The job that the answer names.
        job: JobId,
        /// What is to be done.
        kind: JobKind,
    },
    /// Look at the unit's conditions, and answer with [`Event::ConditionsChecked`].
    CheckConditions(UnitName),
    /// See to it that the image of a unit is in the store, as its `pull` says; answer with
    /// [`Event::ImageReady`], and with [`Event::Pulling`] before where that takes a while.
    SeekImage {
        /// The unit.
        unit: UnitName,
        /// The run that the answers name.
        run: u64,
    },
    /// Nobody waits for the image of a run any more.
    LeaveImage {
        /// The unit.
        unit: UnitName,
        /// The run.
        run: u64,
    },
    /// Launch the container, with the commands that come before its payload; answer with [`Event::Started`] and so
    /// on.
    Launch {
        /// The unit.
        unit: UnitName,
        /// The run that the answers name.
        run: u64,
    },
    /// Run the commands of a stage: answer with [`Event::CommandsDone`].
    RunCommands {
        /// The unit.
        unit: UnitName,
        /// The run that they belong to.
        run: u64,
        /// Which.
        stage: Stage,
    },
    /// Kill the commands of a stage that are under way. The answer comes all the same.
    EndCommands {
        /// The unit.
        unit: UnitName,
        /// The run.
        run: u64,
    },
    /// Send the stop signal.
    Terminate {
        /// The unit.
        unit: UnitName,
        /// The run.
        run: u64,
    },
    /// Kill all that is left of a run.
    Kill {
        /// The unit.
        unit: UnitName,
        /// The run.
        run: u64,
    },
    /// Send the watchdog's signal.
    Abort {
        /// The unit.
        unit: UnitName,
        /// The run.
        run: u64,
    },
    /// Have the payload read its configuration again, as `reload` of the unit says; answer with
    /// [`Event::Reloaded`].
    Reload {
        /// The unit.
        unit: UnitName,
        /// The run.
        run: u64,
    },
    /// Read when the timer of a unit elapsed last, and answer with [`Event::StampRead`]. Where that is not known, it is
    /// armed for the first time, which is remembered.
    ReadStamp(UnitName),
    /// Remember on disk when the timer of a unit elapsed.
    TouchStamp {
        /// The unit.
        unit: UnitName,
        /// Since 1970.
        at: Duration,
    },
    /// A unit entered its phase, perhaps not for the first time in a row: what [`Action::Changed`] does, and it is
    /// worth a line in the journal.
    Entered(UnitName),
    /// Something else of a unit changed: keep its record, tell listeners.
    Changed(UnitName),
    /// A job was made.
    JobNew(JobId, UnitName),
    /// A job is over.
    JobRemoved(JobId, UnitName, JobKind, JobResult),
    /// A unit is no longer in memory.
    Removed(UnitName),
}
