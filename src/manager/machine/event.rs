//! What the core hears and what it asks for.

use super::job::{JobId, JobKind, JobMode, JobResult};
use super::native::NativeState;
use super::state::{Exit, Failure, Phase};
use super::unit::{Loaded, Run, Stamps};
use crate::systemd::notify_server::Notification;
use crate::unit::model::Otherwise;
use crate::unit::name::UnitName;
use std::collections::BTreeMap;

/// What a person or a target asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The unit.
    pub unit: UnitName,
    /// What is to become of it.
    pub verb: Verb,
    /// What becomes of jobs in the way.
    pub mode: JobMode,
}

/// The verbs that make jobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// Start it.
    Start,
    /// Stop it.
    Stop,
    /// Stop it where it is active, then start it.
    Restart,
    /// Restart it only where it is active.
    TryRestart,
}

/// Why a request was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// No file defines it.
    #[error("Unit {0} not found.")]
    NotFound(UnitName),
    /// It is masked.
    #[error("Unit {0} is masked.")]
    Masked(UnitName),
    /// Its file has errors.
    #[error("Unit {0} has a bad unit file: see \"sampanctl verify {0}\".")]
    Bad(UnitName),
    /// A template has no life of its own.
    #[error("Unit name {0} is a template: give it an instance, such as {1}.")]
    Template(UnitName, String),
    /// A unit that it needs cannot be used.
    #[error("Unit {unit} requires {dependency}: {reason}")]
    Dependency {
        /// The unit that needs it.
        unit: UnitName,
        /// The unit that is needed.
        dependency: UnitName,
        /// What is wrong with that one.
        reason: Box<RequestError>,
    },
    /// `after` and `before` contradict each other.
    #[error("Ordering cycle: {}", .0.iter().map(|name| name.as_str()).collect::<Vec<_>>().join(" after "))]
    Cycle(Vec<UnitName>),
    /// One and the same unit would have to start and stop.
    #[error("Transaction contradicts itself: {0} would be started and stopped. See conflicts= of the units.")]
    Contradiction(UnitName),
    /// Another job is in the way and the mode is `fail`.
    #[error("Unit {unit} has a {kind} job already, and --job-mode=fail forbids to replace it.", kind = .kind.as_str())]
    JobExists {
        /// The unit.
        unit: UnitName,
        /// The job that is there.
        kind: JobKind,
    },
}

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
    /// [`Action::RunNative`] is done.
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
        /// Why.
        failure: Failure,
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
    /// The clock has reached [`super::Machine::next_deadline`].
    TimersDue,
    /// Forget a failure; of all units where none is named.
    ResetFailed {
        /// The unit.
        unit: Option<UnitName>,
    },
    /// A unit of an earlier manager is still there.
    Adopted {
        /// The unit.
        unit: UnitName,
        /// How it was left.
        left: Box<Left>,
    },
}

/// What kept a unit from starting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unmet {
    /// `condition` or `assert`.
    pub otherwise: Otherwise,
    /// The key and its value: `path_exists = "/srv/blog"`.
    pub text: String,
}

/// How a container is, by its health check.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
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
    /// Launch the container; answer with [`Event::Started`] and so on.
    Launch {
        /// The unit.
        unit: UnitName,
        /// The run that the answers name.
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
    /// Something of a unit changed: keep its record, tell listeners.
    Changed(UnitName),
    /// A job was made.
    JobNew(JobId, UnitName),
    /// A job is over.
    JobRemoved(JobId, UnitName, JobKind, JobResult),
    /// A unit is no longer in memory.
    Removed(UnitName),
}
