//! The image before a launch. Whether it is there only the driver can tell; a pull has no part in the start
//! timeout, and leaves as soon as nobody waits for it.

use super::Machine;
use super::event::Action;
use super::state::{Failure, Phase, UnitResult};
use super::unit::{ImageState, Intent, Managed};
use crate::unit::name::UnitName;

impl Machine {
    /// Launches the container of a run that begins; first its image is looked for where a start may pull it.
    pub(super) fn launch_with_image(&mut self, name: &UnitName, run: u64) {
        let Some(managed) = self.units.get_mut(name) else { return };
        if managed.may_pull() {
            managed.image = ImageState::Sought;
            self.actions.push(Action::SeekImage { unit: name.clone(), run });
        } else {
            self.actions.push(Action::Launch { unit: name.clone(), run });
        }
    }

    fn seeks(&mut self, name: &UnitName, run: u64) -> Option<&mut Managed> {
        let is_of_run = |managed: &&mut Managed| managed.run.as_ref().is_some_and(|own| own.number == run);
        self.units.get_mut(name).filter(|managed| managed.image == ImageState::Sought).filter(is_of_run)
    }

    pub(super) fn pulling(&mut self, name: &UnitName, run: u64) {
        if self.seeks(name, run).is_some() {
            self.set_phase(name, Phase::Pull);
        }
    }

    pub(super) fn image_ready(&mut self, name: &UnitName, run: u64, result: Result<(), Failure>) {
        let now = self.now;
        let Some(managed) = self.seeks(name, run) else { return };
        managed.image = ImageState::Settled;
        if let Err(failure) = result {
            managed.failure = Some(failure);
            self.end_run(name, run, None);
            self.end_whole(name, UnitResult::Resources);
            return;
        }
        if managed.phase == Phase::Pull {
            let timeout = managed.container().and_then(|container| container.start_timeout);
            if let Some(run) = &mut managed.run {
                run.started = now;
            }
            let phase = managed.first_phase();
            self.set_phase(name, phase);
            self.set_deadline(name, timeout);
        }
        self.actions.push(Action::Launch { unit: name.clone(), run });
    }

    /// Ends a run that has not got further than its image.
    pub(super) fn leave_image(&mut self, name: &UnitName, intent: Intent) {
        let Some(managed) = self.units.get_mut(name) else { return };
        let Some(run) = managed.run.as_ref().map(|run| run.number) else { return };
        managed.image = ImageState::Settled;
        managed.intent = intent;
        self.end_run(name, run, None);
        self.actions.push(Action::LeaveImage { unit: name.clone(), run });
        let result = match intent {
            Intent::Failed(result, _) => result,
            _ => UnitResult::Success,
        };
        self.end_whole(name, result);
    }
}
