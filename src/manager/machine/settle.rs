//! Runs the jobs that nothing holds back. A job that is held back waits for one unit among those that hold it,
//! and is looked at again when something becomes of that one; so a start of many units is linear in their
//! dependencies.

use super::Machine;
use super::event::Action;
use super::job::{Asked, Job, JobId, JobKind, JobPhase, JobResult, Order};
use super::native::NativeJob;
use super::schedule::TimerStage;
use super::state::{ActiveState, Phase, ToStop, UnitResult};
use super::unit::Intent;
use crate::unit::name::UnitName;
use std::hash::{DefaultHasher, Hash, Hasher};

impl Machine {
    /// Runs jobs, and follows what changes, until all that is left waits for an event.
    pub(super) fn settle(&mut self) {
        loop {
            if let Some(change) = self.changes.pop_front() {
                self.follow(&change);
            } else if let Some(id) = self.queue.pop_first() {
                self.try_job(id);
            } else {
                self.forget_vanished();
                if self.queue.is_empty() && self.changes.is_empty() {
                    return;
                }
            }
        }
    }

    fn try_job(&mut self, id: JobId) {
        let Some(job) = self.jobs.get(&id).filter(|job| job.phase == JobPhase::Waiting) else { return };
        if let Some(holder) = self.holder_of(job).cloned() {
            self.waiting.entry(holder).or_default().insert(id);
            return;
        }
        let job = job.clone();
        if let Some(job) = self.jobs.get_mut(&id) {
            job.phase = JobPhase::Running;
        }
        if self.natives.contains_key(&job.unit) {
            return self.run_native(&job);
        }
        match job.kind {
            JobKind::Start => self.run_start(&job),
            JobKind::VerifyActive => self.run_verify(&job),
            JobKind::Stop => self.run_stop(&job),
            JobKind::Reload => self.run_reload(&job),
            JobKind::Restart => self.run_restart(&job),
            JobKind::Overlap => self.run_overlap(&job),
            JobKind::Nop => self.finish_job(id, JobResult::Done),
        }
    }

    /// Something became of a unit: those that wait for it are looked at again.
    pub(super) fn wake(&mut self, unit: &UnitName) {
        self.queue.extend(self.waiting.remove(unit).unwrap_or_default());
    }

    /// A job is another one now.
    pub(super) fn requeue(&mut self, id: JobId) {
        if let Some(unit) = self.jobs.get(&id).map(|job| job.unit.clone()) {
            self.wake(&unit);
        }
        self.queue.insert(id);
    }

    /// The order may be another one now.
    pub(super) fn requeue_all(&mut self) {
        self.waiting.clear();
        let waiting = self.jobs.values().filter(|job| job.phase == JobPhase::Waiting);
        self.queue.extend(waiting.map(|job| job.id));
    }

    /// A unit that a job must wait for: of many any one, so that in whatever order they are over a wait for one of
    /// them is as long as not, and the job is looked at a few times only.
    fn holder_of(&self, job: &Job) -> Option<&UnitName> {
        let lot = |name: &&UnitName| {
            let mut hasher = DefaultHasher::new();
            name.hash(&mut hasher);
            hasher.finish()
        };
        self.ordered_with(&job.unit).filter(|other| self.holds(other, job)).max_by_key(lot)
    }

    fn holds(&self, other: &UnitName, job: &Job) -> bool {
        let theirs = self.job_of(other);
        if theirs.is_some_and(|theirs| self.comes_first(theirs, job)) {
            return true;
        }
        if !job.kind.goes_up() || job.kind.goes_down() || job.order == Order::Ignored {
            return false;
        }
        let ends = self.active_state(other) == ActiveState::Deactivating;
        ends && self.are_rivals(&job.unit, other)
            || theirs.is_none()
                && job.order == Order::Kept
                && self.is_after(&job.unit, other)
                && self.is_on_the_way(other)
    }

    /// Whether systemd is at work on a unit of its own.
    fn is_on_the_way(&self, name: &UnitName) -> bool {
        let Some(native) = self.natives.get(name) else { return false };
        let has_job = native.state.as_ref().is_some_and(|state| {
            matches!(state.job, Some(NativeJob::Start | NativeJob::Stop | NativeJob::Restart))
        });
        has_job || native.active_state() == ActiveState::Activating
    }

    /// Whether one job must be over before another begins, systemd.unit(5) `Before=`: what goes down goes before what
    /// comes up, up in the order of `after`, down in the reverse. What is in conflict is never up together, with or
    /// without an order.
    fn comes_first(&self, first: &Job, second: &Job) -> bool {
        let order = first.order.max(second.order);
        if first.kind == JobKind::Nop || second.kind == JobKind::Nop || order == Order::Ignored {
            return false;
        }
        let is_ordered =
            |later: &Job, earlier: &Job| order == Order::Kept && self.is_after(&later.unit, &earlier.unit);
        match (first.kind.goes_down(), second.kind.goes_down()) {
            (false, false) => is_ordered(second, first),
            (true, true) => is_ordered(first, second),
            // What has been retired ends beside whatever becomes of the unit, but there are never more than two.
            (true, false) if first.unit.successor().as_ref() == Some(&second.unit) => {
                second.kind == JobKind::Overlap
            }
            (true, false) => {
                is_ordered(second, first)
                    || is_ordered(first, second)
                    || self.are_rivals(&second.unit, &first.unit)
            }
            (false, true) => false,
        }
    }

    fn run_start(&mut self, job: &Job) {
        let arms = self.only_arms(&job.unit);
        if !arms && self.lacks_a_requirement(&job.unit) {
            return self.finish_job(job.id, JobResult::Dependency);
        }
        let Some(managed) = self.units.get_mut(&job.unit) else { return };
        let has_elapsed = managed.schedule.stage == TimerStage::Running;
        match managed.phase {
            // What sleeps is up for others, and runs when it is asked for by name.
            Phase::Listening if managed.idle().is_some() && job.asked == Asked::Along => {
                self.finish_job(job.id, JobResult::Done);
            }
            Phase::Listening if !managed.starts_on_socket() => self.begin_start(&job.unit),
            Phase::Waiting | Phase::Elapsed if job.asked == Asked::Along => {
                self.finish_job(job.id, JobResult::Done);
            }
            Phase::Waiting | Phase::Elapsed => self.begin_again(&job.unit),
            Phase::Listening if has_elapsed => self.begin_again(&job.unit),
            Phase::Dead | Phase::Failed if arms => self.begin_waiting(job),
            Phase::Running
            | Phase::Freezing
            | Phase::Frozen
            | Phase::Exited
            | Phase::Active
            | Phase::Listening
            | Phase::Reload
            | Phase::ReloadNotify => self.finish_job(job.id, JobResult::Done),
            Phase::Condition
            | Phase::StartPre
            | Phase::Pull
            | Phase::ExecCondition
            | Phase::ExecStartPre
            | Phase::Start
            | Phase::StartPost => {}
            Phase::Stop
            | Phase::StopWatchdog
            | Phase::StopSigterm
            | Phase::StopSigkill
            | Phase::StopPost
            | Phase::FinalSigkill => managed.intent = Intent::Again,
            Phase::AutoRestart if managed.intent == Intent::Again => self.begin_start(&job.unit),
            Phase::Dead | Phase::Failed | Phase::AutoRestart => {
                managed.restarts = 0;
                self.arm_timer(&job.unit);
                self.begin_start(&job.unit);
            }
        }
    }

    /// Runs the container of a unit that is up without it.
    fn begin_again(&mut self, name: &UnitName) {
        if let Some(managed) = self.units.get_mut(name) {
            managed.intent = Intent::Again;
            managed.restarts = 0;
        }
        self.begin_start(name);
    }

    /// Arms the timer, and runs nothing.
    fn begin_waiting(&mut self, job: &Job) {
        if let Some(managed) = self.units.get_mut(&job.unit) {
            managed.result = UnitResult::Success;
            managed.failure = None;
            managed.unmet = None;
        }
        self.arm_timer(&job.unit);
        self.wait_for_timer(&job.unit);
        self.finish_job(job.id, JobResult::Done);
    }

    /// Whether something that must be up already is not: `requisite`, and `binds_to` with `after`.
    fn lacks_a_requirement(&self, name: &UnitName) -> bool {
        let own = self.dependencies(name);
        let bound = own.binds_to.iter().filter(|bound| own.after.contains(*bound));
        let mut needed = own.requisite.iter().chain(bound);
        self.job_of(name).is_none_or(|job| job.order != Order::Ignored)
            && needed.any(|needed| !self.active_state(needed).is_up())
    }

    fn run_verify(&mut self, job: &Job) {
        match self.active_state(&job.unit) {
            state if state.is_up() => self.finish_job(job.id, JobResult::Done),
            // Its next state tells, see [`Machine::set_phase`].
            ActiveState::Activating => {}
            _ => self.finish_job(job.id, JobResult::Skipped),
        }
    }

    fn run_stop(&mut self, job: &Job) {
        let Some(managed) = self.units.get_mut(&job.unit) else { return };
        match managed.phase.to_stop() {
            ToStop::Nothing => self.finish_job(job.id, JobResult::Done),
            ToStop::State if job.asked == Asked::Along && managed.phase.is_waiting() => {
                self.finish_job(job.id, JobResult::Done);
            }
            ToStop::State if managed.phase == Phase::Exited && managed.has_farewell() => {
                self.begin_stop_exited(&job.unit, Intent::Down);
            }
            ToStop::State => {
                managed.intent = Intent::Policy;
                self.close_sockets(&job.unit);
                self.set_phase(&job.unit, Phase::Dead);
                self.finish_job(job.id, JobResult::Done);
            }
            ToStop::Work => self.begin_stop(&job.unit, Intent::Down),
            ToStop::Rest => managed.intent = Intent::Down,
        }
    }

    fn run_restart(&mut self, job: &Job) {
        let Some(managed) = self.units.get_mut(&job.unit) else { return };
        match managed.phase.to_stop() {
            ToStop::Nothing => self.restart_becomes_start(job.id),
            ToStop::State if job.asked == Asked::Along && managed.phase.is_waiting() => {
                self.finish_job(job.id, JobResult::Done);
            }
            ToStop::State if managed.phase == Phase::Exited && managed.has_farewell() => {
                self.begin_stop_exited(&job.unit, Intent::Again);
            }
            ToStop::State => {
                managed.intent = Intent::Policy;
                self.set_phase(&job.unit, Phase::Dead);
                self.restart_becomes_start(job.id);
            }
            ToStop::Work => self.begin_stop(&job.unit, Intent::Again),
            ToStop::Rest => managed.intent = Intent::Again,
        }
    }

    /// Writes the phase of a unit. Nothing else does.
    pub(super) fn set_phase(&mut self, name: &UnitName, phase: Phase) {
        let now = self.now;
        let Some(managed) = self.units.get_mut(name) else { return };
        let (before, after) = (managed.active_state(), managed.active_state_in(phase));
        let pauses = |phase| phase == Phase::AutoRestart;
        // A pause before a restart is a beginning, as is what follows one, and a run of a unit that waited.
        let begins = before != after || pauses(phase) || pauses(managed.phase);
        managed.phase = phase;
        managed.timers.phase = None;
        managed.stamps.changed = now;
        match (before.is_up(), after.is_up()) {
            (false, true) => managed.stamps.active_enter = now,
            (true, false) => managed.stamps.active_exit = now,
            _ => {}
        }
        match (before.is_down(), after.is_down()) {
            (false, true) => managed.stamps.inactive_enter = now,
            (true, false) => managed.stamps.inactive_exit = now,
            _ if begins && after == ActiveState::Activating => managed.stamps.inactive_exit = now,
            _ => {}
        }
        if phase == Phase::AutoRestart {
            managed.stamps.inactive_enter = now;
        }
        // A restart keeps its timer between its halves.
        if after.is_down() && managed.intent != Intent::Again {
            self.disarm_timer(name);
        }
        self.arm(name);
        self.actions.push(Action::Entered(name.clone()));
        self.changed_state(name, before, after);
        self.wake(name);
        if let Some(job) = self.job_of(name).filter(|job| job.kind == JobKind::VerifyActive) {
            let id = job.id;
            if let Some(job) = self.jobs.get_mut(&id) {
                job.phase = JobPhase::Waiting;
            }
            self.queue.insert(id);
        }
    }
}
