//! Units of systemd's that ours depend on. Their states come from outside, their jobs are systemd's; to the
//! rest of the core they are units like ours.

use super::Machine;
use super::event::Action;
use super::job::{Job, JobId, JobKind, JobPhase, JobResult};
use super::request::RequestError;
use super::state::ActiveState;
use crate::unit::name::UnitName;

/// What systemd says of one of its units.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NativeState {
    /// Whether there is such a unit.
    pub load: NativeLoad,
    /// Its state. `refreshing` and `maintenance` are [`ActiveState::Active`] and [`ActiveState::Inactive`].
    pub active: ActiveState,
    /// The job of systemd's that it has.
    pub job: Option<NativeJob>,
}

/// Whether systemd has a unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NativeLoad {
    /// It has.
    Loaded,
    /// It is masked.
    Masked,
    /// It has no such unit.
    NotFound,
    /// Its file is bad, with what systemd says.
    Bad(String),
}

/// A job of systemd's, as far as it matters to others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NativeJob {
    /// `start` and `verify-active`
    Start,
    /// `stop`
    Stop,
    /// `restart` and `try-restart`
    Restart,
    /// `reload`
    Reload,
}

/// A unit of systemd's that is watched.
#[derive(Debug, Clone, Default)]
pub struct Native {
    /// `None` until systemd has told it.
    pub state: Option<NativeState>,
    /// Our job that is not over.
    pub job: Option<JobId>,
}

impl Native {
    /// Its state; one that is not known yet is on the way up, so that others wait for it.
    pub fn active_state(&self) -> ActiveState {
        self.state.as_ref().map_or(ActiveState::Activating, |state| state.active)
    }

    /// Whether it can be started, as far as that is known.
    pub(super) fn check_usable(&self, name: &UnitName) -> Result<(), RequestError> {
        match self.state.as_ref().map(|state| &state.load) {
            None | Some(NativeLoad::Loaded) => Ok(()),
            Some(NativeLoad::NotFound) => Err(RequestError::NotFound(name.clone())),
            Some(NativeLoad::Masked) => Err(RequestError::Masked(name.clone())),
            Some(NativeLoad::Bad(error)) => Err(RequestError::BadNative(name.clone(), error.clone())),
        }
    }
}

impl Machine {
    pub(super) fn native_state(&mut self, name: &UnitName, state: NativeState) {
        let Some(native) = self.natives.get_mut(name) else { return };
        let old = native.state.replace(state.clone());
        self.follow_native(name, old.as_ref(), &state);
        self.wake(name);
        let verifies = |job: &&super::Job| {
            job.kind == JobKind::VerifyActive || old.is_none() && job.phase == JobPhase::Waiting
        };
        if let Some(id) = self.job_of(name).filter(verifies).map(|job| job.id) {
            if let Some(job) = self.jobs.get_mut(&id) {
                job.phase = JobPhase::Waiting;
            }
            self.queue.insert(id);
        }
    }

    /// A job of a unit of systemd's is systemd's to do. One whose state is not known yet waits for that.
    pub(super) fn run_native(&mut self, job: &Job) {
        let Some(native) = self.natives.get(&job.unit) else { return };
        let Some(state) = &native.state else {
            if let Some(job) = self.jobs.get_mut(&job.id) {
                job.phase = JobPhase::Waiting;
            }
            return;
        };
        let exists = state.load == NativeLoad::Loaded;
        match (job.kind, state.active) {
            (JobKind::Nop, _) => self.finish_job(job.id, JobResult::Done),
            (JobKind::VerifyActive, active) if active.is_up() => self.finish_job(job.id, JobResult::Done),
            (JobKind::VerifyActive, ActiveState::Activating) => {}
            (JobKind::VerifyActive, _) => self.finish_job(job.id, JobResult::Skipped),
            (JobKind::Stop, active) if active.is_down() => self.finish_job(job.id, JobResult::Done),
            (kind, _) if kind.goes_up() && !exists => self.finish_job(job.id, JobResult::Failed),
            (kind, _) => {
                self.actions.push(Action::RunNative { unit: job.unit.clone(), job: job.id, kind });
            }
        }
    }

    pub(super) fn native_done(&mut self, name: &UnitName, job: JobId, result: JobResult) {
        if self.natives.get(name).is_some_and(|native| native.job == Some(job)) {
            self.finish_job(job, result);
        }
    }
}
