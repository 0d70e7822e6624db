//! Reloads: a signal or a command, and for payloads that say so the wait for `READY=1`, as with
//! `Type=notify-reload` of systemd.service(5).

use super::Machine;
use super::event::Action;
use super::job::{Job, JobKind, JobResult};
use super::state::{ActiveState, Failure, Phase};
use crate::unit::model::{Reload, ServiceType};
use crate::unit::name::UnitName;
use std::time::Duration;

impl Machine {
    /// Whether there is a way to have a unit read its configuration again.
    pub(super) fn can_reload(&self, name: &UnitName) -> bool {
        let ours = self.units.get(name).and_then(|managed| managed.container());
        ours.is_some_and(|container| container.reload.is_some()) || self.natives.contains_key(name)
    }

    pub(super) fn run_reload(&mut self, job: &Job) {
        let Some(managed) = self.units.get(&job.unit) else { return };
        let timeout = managed.container().and_then(|container| container.start_timeout);
        let run = managed.run.as_ref().map(|run| run.number);
        match (managed.phase, run) {
            (Phase::Running | Phase::Freezing | Phase::Frozen, Some(run)) => {
                let unit = job.unit.clone();
                self.wake_up(&unit);
                self.set_phase(&unit, Phase::Reload);
                self.set_deadline(&unit, timeout);
                if let Some(managed) = self.units.get_mut(&unit) {
                    managed.reload_asked = Some(self.now.monotonic);
                }
                self.actions.push(Action::Reload { unit, run });
            }
            // There is no container that could have read an older one.
            (Phase::Listening | Phase::Exited | Phase::Active, _) => self.finish_job(job.id, JobResult::Done),
            (phase, _) if phase.is_waiting() => self.finish_job(job.id, JobResult::Done),
            // The reload that is under way does it, and the start reads it anyway.
            (Phase::Reload | Phase::ReloadNotify, _) => {}
            (phase, _) if phase.active_state() == ActiveState::Activating => {
                self.finish_job(job.id, JobResult::Done);
            }
            _ => self.finish_job(job.id, JobResult::Invalid),
        }
    }

    /// The signal is sent, or the command is over.
    pub(super) fn reloaded(&mut self, name: &UnitName, run: u64, result: Result<(), Failure>) {
        let of_run = |managed: &&mut super::Managed| managed.is_run(run) && managed.phase == Phase::Reload;
        let Some(managed) = self.units.get_mut(name).filter(of_run) else { return };
        let notifies = managed.terms().is_some_and(|terms| terms.kind == ServiceType::Notify);
        let by_signal = managed.container().is_some_and(|own| matches!(own.reload, Some(Reload::Signal(_))));
        let answers = notifies && by_signal;
        match result {
            Err(failure) => {
                managed.failure = Some(failure);
                self.end_reload(name, JobResult::Failed);
            }
            Ok(()) if !answers => self.reload_done(name),
            Ok(()) => {}
        }
    }

    /// `RELOADING=1`, by itself or as the answer to the signal. One that was sent before the signal is none.
    pub(super) fn said_reloading(&mut self, name: &UnitName, since: Option<Duration>) {
        let Some(managed) = self.units.get(name) else { return };
        let timeout = managed.container().and_then(|container| container.start_timeout);
        let answers = match (since, managed.reload_asked) {
            (Some(since), Some(asked)) => since >= asked,
            _ => true,
        };
        if managed.phase == Phase::Running || managed.phase == Phase::Reload && answers {
            self.set_phase(name, Phase::ReloadNotify);
            self.set_deadline(name, timeout);
        }
    }

    pub(super) fn reload_done(&mut self, name: &UnitName) {
        if let Some(managed) = self.units.get_mut(name) {
            managed.failure = None;
        }
        self.end_reload(name, JobResult::Done);
    }

    /// The container goes on with what it has.
    pub(super) fn reload_timed_out(&mut self, name: &UnitName) {
        if let Some(managed) = self.units.get_mut(name) {
            let by_command =
                managed.container().is_some_and(|own| matches!(own.reload, Some(Reload::Command(_))));
            let message = match by_command {
                true => "reload_command: timed out, killed",
                false => "reload: the container has not answered in time",
            };
            managed.failure = Some(Failure { message: message.to_owned(), errno: 0, exit: None });
        }
        self.end_commands(name);
        self.end_reload(name, JobResult::Timeout);
    }

    fn end_reload(&mut self, name: &UnitName, result: JobResult) {
        self.enter_running(name);
        self.finish_unit_job(name, JobKind::Reload, result);
    }
}
