//! Freeze and thaw, as systemctl(1) has them: not jobs, but at once. A frozen container that is to stop is
//! thawed, since it could not hear the signal.

use super::Machine;
use super::event::Action;
use super::request::RequestError;
use super::state::Stamp;
use super::unit::{Freezer, Managed};
use crate::unit::name::UnitName;

impl Machine {
    /// Freezes or thaws the container of a unit: `target` is [`Freezer::Frozen`] or [`Freezer::Running`].
    ///
    /// # Errors
    /// When none is up.
    pub fn freeze(
        &mut self,
        now: Stamp,
        name: &UnitName,
        target: Freezer,
    ) -> (Result<(), RequestError>, Vec<Action>) {
        self.now = now;
        let up = |managed: &&mut Managed| managed.main_pid().is_some() && managed.active_state().is_up();
        let Some(managed) = self.units.get_mut(name).filter(up) else {
            return (Err(RequestError::NotActive(name.clone())), Vec::new());
        };
        if managed.freezer != target {
            managed.freezer = if target == Freezer::Frozen { Freezer::Freezing } else { Freezer::Thawing };
            let run = managed.run.as_ref().map_or(0, |run| run.number);
            self.actions.push(Action::Freeze { unit: name.clone(), run, target });
            self.actions.push(Action::Changed(name.clone()));
        }
        (Ok(()), std::mem::take(&mut self.actions))
    }

    pub(super) fn freezer_told(&mut self, name: &UnitName, run: u64, state: Freezer) {
        if let Some(managed) = self.units.get_mut(name).filter(|managed| managed.is_run(run)) {
            managed.freezer = state;
            self.actions.push(Action::Changed(name.clone()));
        }
    }

    pub(super) fn thaw_to_stop(&mut self, name: &UnitName) {
        let Some(managed) = self.units.get_mut(name) else { return };
        if managed.freezer != Freezer::Running {
            managed.freezer = Freezer::Thawing;
            let run = managed.run.as_ref().map_or(0, |run| run.number);
            self.actions.push(Action::Freeze { unit: name.clone(), run, target: Freezer::Running });
        }
    }
}
