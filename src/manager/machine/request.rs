//! What a person, the manager or another unit asks for, and why it may be refused.

use super::job::{JobId, JobKind, JobMode, JobResult, Order, Tenure};
use super::transaction::Chosen;
use super::unit::LoadState;
use super::{Machine, Standing};
use crate::unit::name::{DEFAULT_TARGET, UnitName};
use crate::unit::overlap::Exclusive;
use std::collections::BTreeMap;

/// A job that is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The unit.
    pub unit: UnitName,
    /// What is to become of it.
    pub verb: Verb,
    /// What becomes of other jobs and units.
    pub mode: JobMode,
}

/// The verbs that make jobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// Start it.
    Start,
    /// Stop it.
    Stop,
    /// Have it read its configuration again.
    Reload,
    /// Stop it where it is active, then start it.
    Restart,
    /// Start another container beside the one that runs, and stop that when the other one is up.
    RestartOverlapping,
    /// Restart it only where it is active.
    TryRestart,
    /// Reload it where it can be, restart it otherwise.
    ReloadOrRestart,
    /// The same, only where it is active.
    TryReloadOrRestart,
}

impl Verb {
    /// systemctl's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Stop => "stop",
            Self::Reload => "reload",
            Self::Restart | Self::RestartOverlapping => "restart",
            Self::TryRestart => "try-restart",
            Self::ReloadOrRestart => "reload-or-restart",
            Self::TryReloadOrRestart => "try-reload-or-restart",
        }
    }
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
    /// A unit of systemd's has a bad file.
    #[error("Unit {0} has a bad unit file: {1}")]
    BadNative(UnitName, String),
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
    #[error(
        "Ordering cycle: {}. Take one of these away, see \"sampanctl verify\".",
        .0.iter().map(|name| name.as_str()).collect::<Vec<_>>().join(" after ")
    )]
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
    /// Another job is in the way that cannot be replaced.
    #[error("Unit {unit} has a {kind} job that cannot be replaced.", kind = .kind.as_str())]
    Irreversible {
        /// The unit.
        unit: UnitName,
        /// The job that is there.
        kind: JobKind,
    },
    /// It says nothing of how it is reloaded.
    #[error("Unit {0} cannot be reloaded: it has neither \"reload_signal\" nor \"reload_command\".")]
    NoReload(UnitName),
    /// `refuse_manual_start` or `refuse_manual_stop`.
    #[error(
        "Unit {0} may be requested by dependency only: it has refuse_manual_start= or refuse_manual_stop=."
    )]
    ByDependencyOnly(UnitName),
    /// `isolate` of a unit without `allow_isolate`.
    #[error("Unit {0} may not be isolated: it has no allow_isolate=.")]
    NoIsolation(UnitName),
    /// Nothing starts while the host goes down.
    #[error("Unit {0} is not started: the host is shutting down.")]
    ShuttingDown(UnitName),
    /// Two containers of a unit cannot run side by side.
    #[error("Unit {0} cannot be restarted with --overlap: {1}.")]
    Exclusive(UnitName, Exclusive),
    /// `isolate` with another verb than `start`.
    #[error("Only a start can be isolated.")]
    IsolationOfStart,
}

impl Machine {
    /// Whether a person may ask for it; the manager itself may always.
    ///
    /// # Errors
    /// With `refuse_manual_start` and `refuse_manual_stop`.
    pub fn permits(&self, request: &Request) -> Result<(), RequestError> {
        let unit = self.units.get(&request.unit).and_then(|managed| managed.unit());
        let handling = unit.map(|unit| unit.handling).unwrap_or_default();
        let refused = match request.verb {
            Verb::Start => handling.refuse_manual_start,
            Verb::Stop => handling.refuse_manual_stop,
            Verb::Restart
            | Verb::RestartOverlapping
            | Verb::TryRestart
            | Verb::ReloadOrRestart
            | Verb::TryReloadOrRestart => handling.refuse_manual_start || handling.refuse_manual_stop,
            Verb::Reload => false,
        };
        if refused { Err(RequestError::ByDependencyOnly(request.unit.clone())) } else { Ok(()) }
    }

    pub(super) fn enqueue(&mut self, request: &Request) -> Result<JobId, RequestError> {
        let Request { unit, mode, .. } = request;
        let kind = self.kind_of(request)?;
        if *mode == JobMode::Isolate {
            self.check_isolation(request)?;
        }
        if kind.goes_up() && self.standing == Standing::ShuttingDown {
            return Err(RequestError::ShuttingDown(unit.clone()));
        }
        let jobs = self.plan(unit, kind, *mode)?;
        self.check_destruction(&jobs, *mode)?;
        if matches!(mode, JobMode::Isolate | JobMode::Flush) {
            self.flush(&jobs);
        }
        Ok(self.install(&jobs, unit, *mode))
    }

    /// What a verb comes to in the state that the unit is in.
    fn kind_of(&self, request: &Request) -> Result<JobKind, RequestError> {
        let unit = &request.unit;
        let state = self.active_state(unit);
        if request.verb == Verb::Stop {
            let known = self.units.get(unit);
            let gone = known.is_some_and(|managed| {
                managed.loaded.state == LoadState::NotFound && managed.phase.is_down()
            });
            let unknown = known.is_none() && !self.natives.contains_key(unit);
            return if gone || unknown {
                Err(RequestError::NotFound(unit.clone()))
            } else {
                Ok(JobKind::Stop)
            };
        }
        self.check_usable(unit)?;
        let restart =
            |only_if_up| if only_if_up && state.is_down() { JobKind::Nop } else { JobKind::Restart };
        Ok(match request.verb {
            Verb::Start | Verb::Stop => JobKind::Start,
            Verb::Reload if self.can_reload(unit) => JobKind::Reload,
            Verb::Reload => return Err(RequestError::NoReload(unit.clone())),
            Verb::Restart => restart(false),
            Verb::RestartOverlapping => self.kind_of_overlap(unit)?,
            Verb::TryRestart => restart(true),
            Verb::ReloadOrRestart | Verb::TryReloadOrRestart if self.can_reload(unit) && state.is_up() => {
                JobKind::Reload
            }
            Verb::ReloadOrRestart => restart(false),
            Verb::TryReloadOrRestart => restart(true),
        })
    }

    fn check_isolation(&self, request: &Request) -> Result<(), RequestError> {
        if request.verb != Verb::Start {
            return Err(RequestError::IsolationOfStart);
        }
        let unit = self.units.get(&request.unit).and_then(|managed| managed.unit());
        let allowed = unit.is_some_and(|unit| unit.handling.allow_isolate);
        if allowed || request.unit.as_str() == DEFAULT_TARGET {
            return Ok(());
        }
        Err(RequestError::NoIsolation(request.unit.clone()))
    }

    /// Whether jobs that are there may go.
    fn check_destruction(
        &self,
        jobs: &BTreeMap<UnitName, Chosen>,
        mode: JobMode,
    ) -> Result<(), RequestError> {
        for (unit, Chosen { kind, .. }) in jobs {
            let Some(job) = self.job_of(unit) else { continue };
            if job.kind.merged(*kind, self.state_for_jobs(unit)).is_some() {
                continue;
            }
            let (unit, kind) = (unit.clone(), job.kind);
            if job.tenure == Tenure::Irreversible {
                return Err(RequestError::Irreversible { unit, kind });
            }
            if mode == JobMode::Fail {
                return Err(RequestError::JobExists { unit, kind });
            }
        }
        Ok(())
    }

    fn flush(&mut self, jobs: &BTreeMap<UnitName, Chosen>) {
        let others = self.jobs.values().filter(|job| !jobs.contains_key(&job.unit));
        let others = others.filter(|job| job.tenure == Tenure::Replaceable);
        for id in others.map(|job| job.id).collect::<Vec<_>>() {
            self.finish_job(id, JobResult::Canceled);
        }
    }

    fn install(&mut self, jobs: &BTreeMap<UnitName, Chosen>, anchor: &UnitName, mode: JobMode) -> JobId {
        let tenure = match mode {
            JobMode::ReplaceIrreversibly => Tenure::Irreversible,
            _ => Tenure::Replaceable,
        };
        for (unit, job) in jobs.iter().filter(|(unit, _)| *unit != anchor) {
            match mode {
                // It is about all units, each in its own right.
                JobMode::Isolate => drop(self.install_job(unit, job.kind, job.order, tenure)),
                _ => self.install_along(unit, job.kind, job.order, tenure),
            }
        }
        let nothing = Chosen { kind: JobKind::Nop, order: Order::Kept };
        let job = jobs.get(anchor).unwrap_or(&nothing);
        self.install_job(anchor, job.kind, job.order, tenure)
    }
}
