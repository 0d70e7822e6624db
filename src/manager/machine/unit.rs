//! One unit as the core sees it.

use super::event::{HealthState, Unmet};
use super::job::JobId;
use super::schedule::Schedule;
use super::state::{ActiveState, Exit, Failure, Phase, Stamp, UnitResult};
use super::timers::Timers;
use crate::unit::model::{
    Accepted, Body, CollectMode, Container, ImageSource, Pass, PullPolicy, ReadyOn, ServiceType, StartOn,
    Unit,
};
use crate::unit::sparse::Sparse;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

/// What its files make of a unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LoadState {
    /// Valid.
    Good,
    /// Its files have errors, rendered here as `sampanctl verify` prints them.
    Bad(String),
    /// Masked.
    Masked,
    /// No file.
    NotFound,
}

impl LoadState {
    /// systemd's word, but for `bad`, which is `bad-setting` there.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Good => "loaded",
            Self::Bad(_) => "bad",
            Self::Masked => "masked",
            Self::NotFound => "not-found",
        }
    }
}

/// A unit as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loaded {
    /// What its files are now.
    pub state: LoadState,
    /// The version that rules: the valid one, or the last that was valid while the unit is up.
    pub unit: Option<Arc<Unit>>,
}

impl Loaded {
    /// A valid unit.
    pub fn good(unit: Arc<Unit>) -> Self {
        Self { state: LoadState::Good, unit: Some(unit) }
    }

    /// A unit that has no valid version.
    pub fn unusable(state: LoadState) -> Self {
        Self { state, unit: None }
    }
}

/// One launch of a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// Tells runs apart.
    pub number: u64,
    /// The first process, 0 while it does not exist yet.
    pub pid: u32,
    /// The invocation id, empty while there is none.
    pub invocation: String,
    /// When it was decided on.
    #[serde(default)]
    pub began: Stamp,
    /// When its process started; until then when it was decided on, or its image had come.
    pub started: Stamp,
    /// When it ended.
    pub ended: Option<Stamp>,
    /// How it ended.
    pub exit: Option<Exit>,
    /// The process that the payload names as its main one, `MAINPID=`.
    #[serde(default)]
    pub main_pid: Option<u32>,
    /// The watchdog's time that the payload asked for, `WATCHDOG_USEC=`.
    #[serde(default)]
    pub watchdog: Option<Duration>,
    /// As what it was launched.
    #[serde(default)]
    pub terms: Option<Terms>,
}

/// What a run is, from its launch to its end: a file that is changed meanwhile is about the next one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    /// `container.type`
    pub kind: ServiceType,
    /// `container.ready`
    pub ready: ReadyOn,
}

impl Terms {
    pub(super) fn of(container: &Container) -> Self {
        Self { kind: container.kind, ready: container.ready }
    }

    /// Of one that begins beside another, which goes on until this one can be reached by its sockets.
    pub(super) fn of_successor(container: &Container) -> Self {
        let binds = container.sockets.values().any(|socket| socket.pass != Pass::Fd);
        let ready =
            if container.ready == ReadyOn::Exec && binds { ReadyOn::Listening } else { container.ready };
        Self { ready, ..Self::of(container) }
    }
}

impl Run {
    pub(super) fn new(number: u64, now: Stamp, terms: Terms) -> Self {
        Self {
            number,
            pid: 0,
            invocation: String::new(),
            began: now,
            started: now,
            ended: None,
            exit: None,
            main_pid: None,
            watchdog: None,
            terms: Some(terms),
        }
    }
}

/// Moments that `status` shows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamps {
    /// Last change of the phase.
    pub changed: Stamp,
    /// Last time it became active.
    pub active_enter: Stamp,
    /// Last time it ceased to be active.
    pub active_exit: Stamp,
    /// Last time it became inactive or failed.
    pub inactive_enter: Stamp,
    /// Last time it ceased to be inactive.
    pub inactive_exit: Stamp,
}

/// Everything that is known of one unit.
#[derive(Debug, Clone)]
pub struct Managed {
    /// Its files.
    pub loaded: Loaded,
    /// Where it is in its life.
    pub phase: Phase,
    /// Why.
    pub result: UnitResult,
    /// What could not be set up.
    pub failure: Option<Failure>,
    /// The run that lives, or the last one.
    pub run: Option<Box<Run>>,
    /// The job that is not over.
    pub job: Option<JobId>,
    /// Restarts by the policy since the last start that was asked for.
    pub restarts: u32,
    /// The verdict of the health check.
    pub health: HealthState,
    /// What the last check said that failed while the start waits for a good one.
    pub unwell: String,
    /// The condition that kept the last start from happening.
    pub unmet: Option<Box<Unmet>>,
    /// Text of the payload, sd_notify(3).
    pub status_text: String,
    /// errno(3) of the payload, `ERRNO=`.
    pub status_errno: i32,
    /// Moments.
    pub stamps: Stamps,
    /// Those of before a start from rest whose conditions are being checked.
    pub(super) rested: Option<Box<Stamps>>,
    /// Its time limits.
    pub(super) timers: Timers,
    /// Its timer.
    pub schedule: Sparse<Schedule>,
    /// Starts by other units in the interval of their limit, on CLOCK_BOOTTIME.
    pub(super) automatic: VecDeque<Duration>,
    /// When the payload was asked to reload, on CLOCK_MONOTONIC.
    pub(super) reload_asked: Option<Duration>,
    /// Starts in the interval of the start limit, on CLOCK_BOOTTIME.
    pub(super) starts: VecDeque<Duration>,
    /// Connections in the interval of the trigger limit, on CLOCK_BOOTTIME.
    pub(super) triggers: VecDeque<Duration>,
    /// What follows when the run under way has ended.
    pub(super) intent: Intent,
    /// What the commands of its end came to so far.
    pub(super) farewell: UnitResult,
    /// Whether the sockets of the unit are held.
    pub(super) sockets: SocketState,
    /// Whether the run under way still waits for its image.
    pub(super) image: ImageState,
    /// Whether a container of before serves until this one is up.
    pub(super) standby: Standby,
}

/// Whether a container of before goes on until the one that starts is up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Standby {
    /// None does.
    #[default]
    None,
    /// The one that has been retired does: the unit is up by it, and goes on with it where the start fails.
    Serving,
}

/// Whether a run waits for its image.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum ImageState {
    /// It does not, or there is no run.
    #[default]
    Settled,
    /// The driver sees to it.
    Sought,
}

/// What follows when a run has ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Intent {
    /// The restart policy decides.
    #[default]
    Policy,
    /// Nothing: the unit goes down.
    Down,
    /// Nothing: nobody uses it, and the unit listens.
    Sleep,
    /// It is launched again.
    Again,
    /// It was stopped for a fault, which is its result.
    Failed(UnitResult, Then),
}

/// What follows a stop for a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Then {
    /// The restart policy decides.
    Policy,
    /// A restart.
    Restart,
    /// Nothing.
    Rest,
}

/// Whether sockets are held.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum SocketState {
    /// None is.
    #[default]
    Closed,
    /// All are.
    Open,
}

impl Managed {
    /// A unit that was just read.
    pub fn new(loaded: Loaded) -> Self {
        Self {
            loaded,
            phase: Phase::Dead,
            result: UnitResult::Success,
            failure: None,
            run: None,
            job: None,
            restarts: 0,
            health: HealthState::Unknown,
            unwell: String::new(),
            unmet: None,
            status_text: String::new(),
            status_errno: 0,
            stamps: Stamps::default(),
            rested: None,
            timers: Timers::default(),
            schedule: Sparse::default(),
            automatic: VecDeque::new(),
            reload_asked: None,
            starts: VecDeque::new(),
            triggers: VecDeque::new(),
            intent: Intent::Policy,
            farewell: UnitResult::Success,
            sockets: SocketState::Closed,
            image: ImageState::Settled,
            standby: Standby::None,
        }
    }

    /// Whether it is down, and nothing is under way.
    pub fn is_idle(&self) -> bool {
        self.phase.is_down() && self.job.is_none()
    }

    /// Whether it is idle, and nothing is left to tell of it: no failure, and no process that does not end.
    pub fn is_forgettable(&self) -> bool {
        let collect = self.unit().map(|unit| unit.handling.collect).unwrap_or_default();
        let told = self.phase == Phase::Dead || collect == CollectMode::InactiveOrFailed;
        self.is_idle() && told && self.run.as_ref().is_none_or(|run| run.ended.is_some())
    }

    /// What its run was launched as.
    pub(super) fn terms(&self) -> Option<Terms> {
        let own = self.run.as_ref().and_then(|run| run.terms);
        own.or_else(|| self.container().map(Terms::of))
    }

    /// Whether its run counts as started when its server listens.
    pub fn awaits_listening(&self) -> bool {
        let terms = self.terms();
        terms.is_some_and(|own| own.ready == ReadyOn::Listening && own.kind != ServiceType::Oneshot)
    }

    /// Starts in the interval of the start limit, on CLOCK_BOOTTIME.
    pub fn starts(&self) -> &VecDeque<Duration> {
        &self.starts
    }

    /// The valid version of its file.
    pub fn unit(&self) -> Option<&Arc<Unit>> {
        self.loaded.unit.as_ref()
    }

    /// The container that it describes.
    pub fn container(&self) -> Option<&Container> {
        match &self.unit()?.body {
            Body::Container(container) => Some(container),
            Body::Target => None,
        }
    }

    /// The state that dependencies look at.
    pub fn active_state(&self) -> ActiveState {
        self.active_state_in(self.phase)
    }

    /// The same in another phase.
    pub(super) fn active_state_in(&self, phase: Phase) -> ActiveState {
        match self.standby {
            Standby::None => phase.active_state(),
            Standby::Serving => ActiveState::Active,
        }
    }

    /// Whether a start of the unit ends in listening.
    pub(super) fn starts_on_socket(&self) -> bool {
        self.container().is_some_and(|container| container.start == StartOn::Socket)
    }

    /// Whether it listens for instances, and never runs itself.
    pub fn accepts(&self) -> bool {
        self.container().is_some_and(Container::accepts)
    }

    /// The connection that it was made for: it runs once.
    pub fn accepted(&self) -> Option<&Accepted> {
        self.container()?.accepted.as_deref()
    }

    /// Whether a start from rest ends in waiting for the timer. A restart of what ran runs it again.
    pub(super) fn waits_at_start(&self) -> bool {
        let waits = self.container().is_some_and(|container| container.start == StartOn::Timer);
        waits && self.intent != Intent::Again
    }

    pub(super) fn has_sockets(&self) -> bool {
        self.container().is_some_and(|container| !container.sockets.is_empty())
    }

    /// Whether a start may have to pull the image.
    pub(super) fn may_pull(&self) -> bool {
        self.container().is_some_and(|container| {
            container.pull != PullPolicy::Never && matches!(container.image, ImageSource::Reference(_))
        })
    }

    pub(super) fn is_run(&self, number: u64) -> bool {
        self.phase.has_run() && self.run.as_ref().is_some_and(|run| run.number == number)
    }

    /// The process of the container that lives.
    pub fn main_pid(&self) -> Option<u32> {
        let run = self.run.as_ref()?;
        (self.phase.has_run() && run.pid != 0).then_some(run.pid)
    }

    /// How often the payload must say that it is alive.
    pub fn watchdog_time(&self) -> Option<Duration> {
        let own = self.run.as_ref().and_then(|run| run.watchdog);
        own.or_else(|| self.container()?.watchdog).filter(|time| !time.is_zero())
    }
}
