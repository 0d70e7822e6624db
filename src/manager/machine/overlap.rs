//! `restart --overlap`: the next container of a unit begins beside the one that runs, which is stopped when the next one
//! is up, and goes on where that fails.
//!
//! The one that runs is *retired*: a unit of its own by [`overlap::retired`], so that all that can become of a container
//! on its way down becomes of it as of any other. While it is on standby, the unit is up by it, whatever the phase of the
//! start is.

use super::Machine;
use super::event::{Action, HealthState};
use super::job::{Job, JobId, JobKind, JobPhase, JobResult, Order, Tenure};
use super::request::RequestError;
use super::state::{ActiveState, Failure, Phase, ToStop, UnitResult};
use super::unit::{ImageState, Intent, Loaded, Managed, Run, Standby};
use crate::unit::name::UnitName;
use crate::unit::overlap;
use std::sync::Arc;

impl Machine {
    /// The unit by whose container another one is up while its next one starts.
    pub fn on_standby(&self, name: &UnitName) -> Option<UnitName> {
        let serves = self.units.get(name).is_some_and(|managed| managed.standby == Standby::Serving);
        name.retired().filter(|_| serves)
    }

    /// The state of a unit as far as jobs are concerned: one whose next container starts is on its way up.
    pub(super) fn state_for_jobs(&self, name: &UnitName) -> ActiveState {
        match self.on_standby(name) {
            Some(_) => ActiveState::Activating,
            None => self.active_state(name),
        }
    }

    /// What a restart with an overlap comes to in the state that the unit is in.
    pub(super) fn kind_of_overlap(&self, name: &UnitName) -> Result<JobKind, RequestError> {
        let Some(managed) = self.units.get(name) else { return Ok(JobKind::Restart) };
        let Some(container) = managed.container() else { return Ok(JobKind::Restart) };
        if container.accepts() && managed.phase == Phase::Listening {
            // Its instances go on, and each connection gets a new one anyway.
            return Ok(JobKind::Nop);
        }
        overlap::check(name, container).map_err(|why| RequestError::Exclusive(name.clone(), why))?;
        Ok(match managed.phase.to_stop() {
            ToStop::Work => JobKind::Overlap,
            ToStop::Nothing | ToStop::State | ToStop::Rest => JobKind::Restart,
        })
    }

    pub(super) fn run_overlap(&mut self, job: &Job) {
        let Some(managed) = self.units.get(&job.unit) else { return };
        match managed.phase {
            Phase::Running => self.begin_overlap(job),
            // It begins when that is over, see [`Machine::look_at_overlap`].
            Phase::Reload | Phase::ReloadNotify => {}
            phase if phase.is_starting() || matches!(phase, Phase::Pull | Phase::StartPost) => {
                self.overlap_becomes(job, JobKind::Start);
            }
            // Nobody uses what sleeps, and there is nothing to go on with where nothing runs.
            _ => {
                self.overlap_becomes(job, JobKind::Restart);
                self.try_again(job.id);
            }
        }
    }

    /// A reload is over that an overlap may have waited for.
    pub(super) fn look_at_overlap(&mut self, name: &UnitName) {
        let asked = |job: &&Job| job.kind == JobKind::Overlap && job.phase == JobPhase::Running;
        if let Some(id) = self.job_of(name).filter(asked).map(|job| job.id) {
            self.try_again(id);
        }
    }

    fn try_again(&mut self, id: JobId) {
        if let Some(job) = self.jobs.get_mut(&id) {
            job.phase = JobPhase::Waiting;
        }
        self.requeue(id);
    }

    fn overlap_becomes(&mut self, job: &Job, kind: JobKind) {
        if let Some(job) = self.jobs.get_mut(&job.id) {
            job.kind = kind;
        }
    }

    fn begin_overlap(&mut self, job: &Job) {
        let name = &job.unit;
        let Some(managed) = self.units.get(name) else { return };
        let specification = managed.unit().and_then(|unit| overlap::retired(unit));
        let Some((unit, run)) = specification.zip(managed.run.as_ref().map(|run| run.number)) else {
            return self.finish_job(job.id, JobResult::Invalid);
        };
        if self.units.get(&unit.name).is_some_and(|before| !before.is_forgettable()) {
            let message = format!("overlap: {}, an earlier container, has still not ended", unit.name);
            return self.refuse_overlap(job, message);
        }
        drop(self.take_retired(&unit.name));
        self.overlap_becomes(job, JobKind::Start);
        self.retire(name, Arc::new(unit), run);
        self.begin_start(name);
    }

    fn refuse_overlap(&mut self, job: &Job, message: String) {
        if let Some(managed) = self.units.get_mut(&job.unit) {
            managed.failure = Some(Failure { message, errno: 0, exit: None });
        }
        self.finish_job(job.id, JobResult::Failed);
    }

    /// The container of a unit becomes one of its own, and goes on as it is.
    fn retire(&mut self, name: &UnitName, unit: Arc<crate::unit::model::Unit>, run: u64) {
        let (now, retired) = (self.now, unit.name.clone());
        let Some(own) = self.units.get_mut(name) else { return };
        let mut old = Managed::new(Loaded::good(unit.clone()));
        old.phase = Phase::Running;
        old.run = own.run.take();
        old.stamps = own.stamps;
        old.stamps.changed = now;
        old.status_text = std::mem::take(&mut own.status_text);
        (old.timers.runtime, old.timers.watchdog) = (own.timers.runtime.take(), own.timers.watchdog.take());
        own.standby = Standby::Serving;
        self.arm(name);
        self.graph.add(&retired, &unit.dependencies);
        self.units.insert(retired.clone(), old);
        self.arm(&retired);
        self.actions.push(Action::Retire { unit: name.clone(), retired: retired.clone(), run });
        self.actions.push(Action::Changed(retired));
    }

    /// The next container is up: the one before is stopped.
    pub(super) fn release_retired(&mut self, name: &UnitName) {
        let Some(retired) = self.on_standby(name) else { return };
        let (now, since) = (self.now, self.units.get(&retired).map(|old| old.stamps.changed.boottime));
        if let Some(managed) = self.units.get_mut(name) {
            managed.standby = Standby::None;
            // The time that a container may run counts from here.
            managed.stamps.active_enter = now;
        }
        if let Some(since) = since {
            self.actions.push(Action::Overlapped { unit: name.clone(), since });
            self.install_along(&retired, JobKind::Stop, Order::Kept, Tenure::Replaceable);
        }
    }

    /// The next container has not come up, and nothing of it is left: the unit goes on with the one before, if that is
    /// still there. Whether it does.
    pub(super) fn fall_back(&mut self, name: &UnitName, result: UnitResult) -> bool {
        let Some(retired) = self.on_standby(name) else { return false };
        let serves = self.units.get(&retired).is_some_and(|old| old.phase == Phase::Running);
        if !serves || self.job_of(&retired).is_some() {
            self.stand_alone(name);
            return false;
        }
        let Some(old) = self.take_retired(&retired) else { return false };
        let Some(managed) = self.units.get_mut(name) else { return false };
        let hung = managed.run.take_if(|run| run.ended.is_none());
        let message = format!("{}; the container of before goes on", managed.why_not_up(result));
        let run = old.run.as_ref().map(|run| run.number).unwrap_or_default();
        (managed.run, managed.status_text) = (old.run, old.status_text);
        (managed.timers.runtime, managed.timers.watchdog) = (old.timers.runtime, old.timers.watchdog);
        (managed.health, managed.image) = (HealthState::Unknown, ImageState::Settled);
        let intent = std::mem::take(&mut managed.intent);
        managed.failure = Some(Failure { message, errno: 0, exit: None });
        managed.unmet = None;
        self.actions.push(Action::Recall { unit: name.clone(), retired: retired.clone(), run });
        match hung {
            Some(hung) => self.keep_hung(&retired, old.loaded, hung),
            None => self.actions.push(Action::Removed(retired)),
        }
        self.set_phase(name, Phase::Running);
        if let Some(managed) = self.units.get_mut(name) {
            managed.standby = Standby::None;
            (managed.result, managed.farewell) = (UnitResult::Success, UnitResult::Success);
            managed.intent = intent;
        }
        let outcome = match (result, intent) {
            (UnitResult::Success, Intent::Down) => JobResult::Canceled,
            (UnitResult::Timeout, _) => JobResult::Timeout,
            _ => JobResult::Failed,
        };
        self.finish_unit_job(name, JobKind::Start, outcome);
        self.go_on_after_fall_back(name);
        true
    }

    /// A process of the container that has not come up hangs in the kernel: there is no other one before it has ended.
    fn keep_hung(&mut self, retired: &UnitName, loaded: Loaded, run: Box<Run>) {
        if let Some(unit) = &loaded.unit {
            self.graph.add(retired, &unit.dependencies);
        }
        let gone = Managed { phase: Phase::Failed, result: UnitResult::Timeout, ..Managed::new(loaded) };
        self.units.insert(retired.clone(), Managed { run: Some(run), ..gone });
        self.actions.push(Action::Changed(retired.clone()));
    }

    /// What was to become of the unit becomes of the container that it has again.
    fn go_on_after_fall_back(&mut self, name: &UnitName) {
        let job = self.job_of(name).filter(|job| job.phase == JobPhase::Running).map(|job| job.kind);
        let Some(managed) = self.units.get_mut(name) else { return };
        let intent = std::mem::take(&mut managed.intent);
        match (job, intent) {
            (Some(JobKind::Restart), _) => self.begin_stop(name, Intent::Again),
            (Some(JobKind::Stop), _) | (None, Intent::Down) => self.begin_stop(name, Intent::Down),
            _ => {}
        }
    }

    fn take_retired(&mut self, retired: &UnitName) -> Option<Managed> {
        let old = self.units.remove(retired)?;
        if let Some(unit) = old.unit() {
            self.graph.remove(retired, &unit.dependencies);
        }
        if let Some(armed) = old.timers.armed {
            self.due.remove(&(armed, retired.clone()));
        }
        self.vanished.remove(retired);
        self.wake(retired);
        Some(old)
    }

    /// A unit is down. Where its container was on standby for another one, that has only the one that starts.
    pub(super) fn retired_has_ended(&mut self, name: &UnitName) {
        if let Some(successor) = name.successor() {
            self.stand_alone(&successor);
        }
    }

    /// Nothing but the container that starts is left of a unit.
    fn stand_alone(&mut self, name: &UnitName) {
        let now = self.now;
        let Some(managed) = self.units.get_mut(name).filter(|own| own.standby == Standby::Serving) else {
            return;
        };
        let before = managed.active_state();
        managed.standby = Standby::None;
        let after = managed.active_state();
        managed.stamps.active_exit = now;
        self.changed_state(name, before, after);
        self.wake(name);
        self.actions.push(Action::Changed(name.clone()));
    }

    /// An earlier manager left a unit in a phase. What was retired for it is adopted before it.
    pub(super) fn adopt_standby(&mut self, name: &UnitName, phase: Phase) {
        let starts = phase.is_starting()
            || matches!(phase, Phase::Condition | Phase::StartPre | Phase::Pull | Phase::StartPost);
        let serves = name.retired().and_then(|retired| self.units.get(&retired));
        let serves = serves.is_some_and(|old| old.phase == Phase::Running);
        if let Some(managed) = self.units.get_mut(name).filter(|_| starts && serves) {
            managed.standby = Standby::Serving;
        }
    }

    /// What was retired for units that are up, or that are not on their way there, is stopped.
    pub(super) fn release_adopted(&mut self) {
        let is_left = |name: &&UnitName| {
            let successor = name.successor();
            successor.is_some_and(|name| self.on_standby(&name).is_none())
        };
        for name in self.units.keys().filter(is_left).cloned().collect::<Vec<_>>() {
            self.install_along(&name, JobKind::Stop, Order::Kept, Tenure::Replaceable);
        }
    }
}

impl Managed {
    /// Why the container that started has not come up, in words.
    fn why_not_up(&self, result: UnitResult) -> String {
        let exit = self.run.as_ref().and_then(|run| run.exit);
        match (&self.failure, &self.unmet, exit) {
            (Some(failure), ..) => failure.message.clone(),
            (_, Some(unmet), _) => unmet.text.clone(),
            (.., Some(exit)) => format!("start: the next container has ended ({exit})"),
            _ => format!("start: the next container has not come up (result '{}')", result.as_str()),
        }
    }
}
