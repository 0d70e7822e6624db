//! Units of systemd's that ours depend on. Their states come from outside, their jobs are systemd's; to the
//! rest of the core they are units like ours.

use super::Machine;
use super::job::{JobId, JobResult};
use super::state::ActiveState;
use crate::unit::name::UnitName;

/// What systemd says of one of its units.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NativeState {
    /// Whether there is such a unit.
    pub load: NativeLoad,
    /// Its state. `refreshing` and `maintenance` are [`ActiveState::Active`] and [`ActiveState::Inactive`].
    pub active: ActiveState,
    /// Its sub-state, for people.
    pub sub: String,
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
}

impl Machine {
    pub(super) fn native_state(&mut self, name: &UnitName, state: NativeState) {
        if let Some(native) = self.natives.get_mut(name) {
            native.state = Some(state);
        }
    }

    pub(super) fn native_done(&mut self, name: &UnitName, job: JobId, result: JobResult) {
        if self.natives.get(name).is_some_and(|native| native.job == Some(job)) {
            self.finish_job(job, result);
        }
    }
}
