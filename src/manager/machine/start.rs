//! How a unit comes up: conditions, sockets, the launch, readiness.

use super::Machine;
use super::event::{Action, HealthState, Launched, Unmet};
use super::job::{JobKind, JobResult};
use super::restart::exceeds_limit;
use super::state::{Exit, Failure, Phase, UnitResult};
use super::unit::{Intent, Run, SocketState, Standby, Terms};
use crate::unit::model::{Otherwise, ReadyOn, ServiceType};
use crate::unit::name::UnitName;

impl Machine {
    /// Brings a unit up that is down: conditions first.
    pub(super) fn begin_start(&mut self, name: &UnitName) {
        let Some(managed) = self.units.get_mut(name) else { return };
        managed.result = UnitResult::Success;
        managed.failure = None;
        managed.unmet = None;
        if managed.unit().is_some_and(|unit| !unit.conditions.is_empty()) {
            managed.rested = managed.phase.is_down().then(|| Box::new(managed.stamps));
            self.set_phase(name, Phase::Condition);
            self.actions.push(Action::CheckConditions(name.clone()));
        } else {
            self.start_unconditionally(name);
        }
    }

    pub(super) fn conditions_checked(&mut self, name: &UnitName, result: Result<(), Unmet>) {
        let checked = self.units.get_mut(name).filter(|managed| managed.phase == Phase::Condition);
        let Some(managed) = checked else { return };
        let Err(unmet) = result else { return self.start_unconditionally(name) };
        let outcome = match unmet.otherwise {
            Otherwise::Skip => JobResult::Done,
            Otherwise::Fail => JobResult::Assert,
        };
        managed.unmet = Some(Box::new(unmet));
        managed.intent = Intent::Policy;
        let rested = managed.rested.take();
        if self.fall_back(name, UnitResult::ExecCondition) {
            return;
        }
        if self.is_armed(name) {
            self.rest(name, UnitResult::Success);
            return self.finish_unit_job(name, JobKind::Start, outcome);
        }
        self.close_sockets(name);
        self.set_phase(name, Phase::Dead);
        if let Some((managed, rested)) = self.units.get_mut(name).zip(rested) {
            // It has rested all the time, as units of systemd's do.
            managed.stamps = *rested;
        }
        self.finish_unit_job(name, JobKind::Start, outcome);
    }

    fn start_unconditionally(&mut self, name: &UnitName) {
        let Some(managed) = self.units.get(name) else { return };
        if managed.container().is_none() {
            self.set_phase(name, Phase::Active);
            self.finish_unit_job(name, JobKind::Start, JobResult::Done);
        } else if managed.has_sockets() {
            self.set_phase(name, Phase::StartPre);
            self.actions.push(Action::OpenSockets(name.clone()));
        } else {
            self.begin_launch(name);
        }
    }

    pub(super) fn sockets_opened(&mut self, name: &UnitName, result: Result<(), Failure>) {
        let Some(managed) = self.units.get_mut(name) else {
            // It has gone while they were opened.
            self.actions.push(Action::CloseSockets(name.clone()));
            return;
        };
        managed.sockets = SocketState::Open;
        if managed.phase != Phase::StartPre {
            if managed.phase.is_down() {
                self.close_sockets(name);
            }
            return;
        }
        match result {
            Err(failure) => {
                managed.failure = Some(failure);
                managed.intent = Intent::Down;
                if managed.standby == Standby::None {
                    self.close_sockets(name);
                }
                self.end_whole(name, UnitResult::Resources);
            }
            Ok(()) if managed.standby == Standby::Serving => self.begin_launch(name),
            Ok(()) if managed.accepts() || managed.starts_on_socket() && managed.intent != Intent::Again => {
                managed.intent = Intent::Policy;
                self.listen(name);
                self.finish_unit_job(name, JobKind::Start, JobResult::Done);
            }
            Ok(()) => self.begin_launch(name),
        }
    }

    pub(super) fn listen(&mut self, name: &UnitName) {
        self.set_phase(name, Phase::Listening);
        self.actions.push(Action::WatchSockets(name.clone()));
    }

    pub(super) fn close_sockets(&mut self, name: &UnitName) {
        let Some(managed) = self.units.get_mut(name) else { return };
        if managed.sockets == SocketState::Open {
            managed.sockets = SocketState::Closed;
            self.actions.push(Action::CloseSockets(name.clone()));
        }
    }

    pub(super) fn connection(&mut self, name: &UnitName, _socket: &str) {
        let now = self.now.boottime;
        if self.units.get(name).is_some_and(|managed| managed.phase.sleeps()) {
            return self.wake_up(name);
        }
        let listening = self.units.get_mut(name).filter(|managed| managed.phase == Phase::Listening);
        let Some(managed) = listening else { return };
        let Some(limit) = managed.container().map(|container| container.trigger_limit) else { return };
        // A payload that never takes what has come must not be launched in a loop, whatever its start limit is.
        if exceeds_limit(&mut managed.triggers, limit, now) {
            self.end_whole(name, UnitResult::TriggerLimitHit);
        } else if !managed.accepts() {
            self.begin_launch(name);
        }
    }

    fn begin_launch(&mut self, name: &UnitName) {
        let now = self.now;
        let Some(managed) = self.units.get_mut(name) else { return };
        let Some(container) = managed.container() else { return };
        let (limit, timeout) = (container.start_limit, container.start_timeout);
        let terms = match managed.standby {
            Standby::None => Terms::of(container),
            Standby::Serving => Terms::of_successor(container),
        };
        managed.intent = Intent::Policy;
        if let Some(hung) = managed.run.as_ref().filter(|run| run.ended.is_none()) {
            let message = format!("launch: process {} of an earlier run has still not ended", hung.pid);
            managed.failure = Some(Failure { message, errno: 0, exit: None });
            managed.intent = Intent::Down;
            self.end_whole(name, UnitResult::Resources);
            return;
        }
        if exceeds_limit(&mut managed.starts, limit, now.boottime) {
            self.end_whole(name, UnitResult::StartLimitHit);
            return;
        }
        self.last_run += 1;
        let run = self.last_run;
        managed.run = Some(Box::new(Run::new(run, now, terms)));
        managed.farewell = UnitResult::Success;
        managed.status_text.clear();
        managed.status_errno = 0;
        managed.health = HealthState::Unknown;
        managed.unwell.clear();
        let listened = managed.sockets == SocketState::Open;
        let phase = managed.first_phase();
        self.set_phase(name, phase);
        self.set_deadline(name, timeout);
        self.timer_unit_begins(name);
        if listened {
            self.actions.push(Action::UnwatchSockets(name.clone()));
        }
        self.launch_with_image(name, run);
    }

    pub(super) fn started(&mut self, name: &UnitName, run: u64, launched: Launched) {
        let now = self.now;
        let Some(managed) = self.units.get_mut(name).filter(|managed| managed.is_run(run)) else { return };
        if let Some(run) = &mut managed.run {
            run.pid = launched.pid;
            run.invocation = launched.invocation;
            run.started = now;
        }
        self.actions.push(Action::Changed(name.clone()));
    }

    /// A run that is still wanted is launched again. Until that has a process, it has none: who would look for the one
    /// that has ended finds that it failed.
    pub(super) fn unstarted(&mut self, name: &UnitName, run: u64, exit: Exit) {
        let Some(managed) = self.units.get_mut(name).filter(|managed| managed.is_run(run)) else { return };
        if !managed.phase.is_starting() {
            return self.ended(name, run, exit);
        }
        if let Some(run) = &mut managed.run {
            run.pid = 0;
        }
        self.actions.push(Action::Changed(name.clone()));
        self.actions.push(Action::Launch { unit: name.clone(), run });
    }

    /// What `ready` of the unit may wait for has happened.
    pub(super) fn ready(&mut self, name: &UnitName, run: u64, on: ReadyOn) {
        let starting = |managed: &&super::Managed| managed.is_run(run) && managed.phase == Phase::Start;
        let Some(managed) = self.units.get(name).filter(starting) else { return };
        let waits =
            managed.terms().is_some_and(|terms| terms.kind != ServiceType::Oneshot && terms.ready == on);
        if waits {
            self.begin_start_post(name);
        }
    }

    /// The container is up, for the first time or again.
    pub(super) fn enter_running(&mut self, name: &UnitName) {
        let begins = |phase| matches!(phase, Phase::Start | Phase::StartPost);
        let first = self.units.get(name).is_some_and(|managed| begins(managed.phase));
        self.set_phase(name, Phase::Running);
        if first {
            self.watch_run(name);
            self.release_retired(name);
        }
        self.look_at_overlap(name);
    }
}
