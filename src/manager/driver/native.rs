//! Units of systemd's that ours depend on: none can be named in a unit file yet, so the core asks for none.

use super::Manager;
use crate::manager::machine::{ActiveState, Event, JobId, JobKind, JobResult, NativeLoad, NativeState};
use crate::unit::name::UnitName;

impl Manager {
    pub(super) fn watch_native(&self, unit: &UnitName) {
        let state = NativeState {
            load: NativeLoad::NotFound,
            active: ActiveState::Inactive,
            sub: String::new(),
            job: None,
        };
        self.later(Event::NativeState { unit: unit.clone(), state });
    }

    pub(super) fn unwatch_native(&self, unit: &UnitName) {
        tracing::debug!("{unit}: nobody depends on it any more");
    }

    pub(super) fn run_native(&self, unit: &UnitName, job: JobId, kind: JobKind) {
        tracing::warn!("{unit}: systemd is not asked to {} it", kind.as_str());
        self.later(Event::NativeDone { unit: unit.clone(), job, result: JobResult::Failed });
    }
}
