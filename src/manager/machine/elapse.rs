//! When a unit with `[timer]` starts by itself: systemd.timer(5).
//!
//! A start of the unit arms its timer, and only what brings the unit down disarms it. In between the unit goes from
//! rest to a run and back, as systemd's service does beside its timer.

use super::Machine;
use super::event::Action;
use super::job::{Asked, JobKind, JobMode};
use super::request::{Request, Verb};
use super::schedule::{Because, Clocks, Elapses, Plan, Schedule, TimerStage};
use super::state::{Failure, Phase, Stamp, UnitResult};
use super::unit::{Intent, Managed};
use super::wake::Clock;
use crate::unit::model::{Timer, Unit};
use crate::unit::name::UnitName;
use jiff::tz::TimeZone;
use std::time::Duration;

impl Machine {
    pub(super) fn set_clocks(&mut self, clocks: Clocks) {
        self.clocks = clocks;
    }

    /// Arms the timer of a unit that has one; one that is armed stays as it is.
    pub(super) fn arm_timer(&mut self, name: &UnitName) {
        let now = self.now;
        let Some(managed) = self.units.get_mut(name) else { return };
        let Some(timer) = managed.timer() else { return };
        let unread = timer.persistent;
        if managed.schedule.stage != TimerStage::Dead {
            return;
        }
        let ended = managed.schedule.ended;
        managed.schedule =
            Schedule { stage: TimerStage::Waiting, armed: now, ended, unread, ..Schedule::default() }.into();
        if unread {
            self.actions.push(Action::ReadStamp(name.clone()));
        } else {
            self.reschedule(name, Because::Unit);
        }
    }

    pub(super) fn disarm_timer(&mut self, name: &UnitName) {
        let Some(managed) = self.units.get_mut(name) else { return };
        managed.schedule.stage = TimerStage::Dead;
        (managed.schedule.next_realtime, managed.schedule.next_boottime) = (None, None);
        managed.schedule.settle();
        self.wakes.remove(name);
    }

    pub(super) fn is_armed(&self, name: &UnitName) -> bool {
        self.units.get(name).is_some_and(|managed| managed.schedule.stage != TimerStage::Dead)
    }

    /// Whether a unit is up only as its timer is armed.
    pub(super) fn is_waiting(&self, name: &UnitName) -> bool {
        let phase = self.units.get(name).map(|managed| managed.phase);
        matches!(phase, Some(Phase::Waiting | Phase::Elapsed))
    }

    /// Whether a unit waits, and nobody has asked for more.
    pub(super) fn only_waits(&self, name: &UnitName) -> bool {
        self.is_waiting(name) && self.job_of(name).is_none()
    }

    /// Whether a start of a unit that is down runs nothing, and so needs nothing.
    pub(super) fn only_arms(&self, name: &UnitName) -> bool {
        self.units.get(name).is_some_and(|managed| managed.phase.is_down() && managed.waits_at_start())
    }

    /// [`Action::ReadStamp`] is done.
    pub(super) fn stamp_read(&mut self, name: &UnitName, last: Option<Duration>) {
        let unread = self.units.get_mut(name).filter(|managed| managed.schedule.unread);
        let Some(managed) = unread else { return };
        managed.schedule.unread = false;
        // A time to come is that of a clock that was wrong.
        let past = last.filter(|last| *last < self.now.realtime);
        let stamp = past.map(|realtime| Stamp { realtime, ..Stamp::default() });
        managed.schedule.last_trigger = managed.schedule.last_trigger.or(stamp);
        self.reschedule(name, Because::Unit);
        self.settle_waiting(name);
        self.actions.push(Action::Changed(name.clone()));
    }

    /// When the parts of an armed timer elapse next.
    pub fn elapses(&self, name: &UnitName) -> Elapses {
        let Some(managed) = self.units.get(name) else { return Elapses::default() };
        let Some(timer) = managed.timer() else { return Elapses::default() };
        let schedule = &managed.schedule;
        if matches!(schedule.stage, TimerStage::Dead | TimerStage::Running) || schedule.unread {
            return Elapses::default();
        }
        let began = managed.run.as_ref().map(|run| run.began);
        let plan = Plan { name, timer, clocks: &self.clocks, now: self.now, began };
        plan.elapses(schedule)
    }

    /// Finds out when an armed timer elapses next.
    pub(super) fn reschedule(&mut self, name: &UnitName, because: Because) {
        let Some(managed) = self.units.get_mut(name) else { return };
        let Some(timer) = managed.timer().cloned() else { return };
        if managed.schedule.stage == TimerStage::Dead || managed.schedule.unread {
            return;
        }
        let began = managed.run.as_ref().map(|run| run.began);
        let refused = managed.result == UnitResult::StartLimitHit;
        let plan = Plan { name, timer: &timer, clocks: &self.clocks, now: self.now, began };
        let schedule = &mut managed.schedule;
        schedule.next_realtime = plan.realtime(schedule).map(|next| plan.delayed(next));
        schedule.next_boottime = plan.boottime(schedule, because).map(|next| plan.delayed(next));
        if refused {
            schedule.pause(self.now);
        }
        let (realtime, boottime) = (schedule.next_realtime, schedule.next_boottime);
        let waits = realtime.is_some() || boottime.is_some();
        let waits = waits || timer.on_clock_change || timer.on_timezone_change;
        schedule.stage = if waits { TimerStage::Waiting } else { TimerStage::Elapsed };
        self.wakes.remove(name);
        let clocks = if timer.wake_system {
            [Clock::RealtimeAlarm, Clock::BoottimeAlarm]
        } else {
            [Clock::Realtime, Clock::Boottime]
        };
        for (clock, next) in clocks.into_iter().zip([realtime, boottime]) {
            if let Some(next) = next {
                self.wakes.insert(clock, name, next, timer.accuracy);
            }
        }
    }

    /// The container is about to run: what counts from there is another time now.
    pub(super) fn timer_unit_begins(&mut self, name: &UnitName) {
        let stage = self.units.get(name).map(|managed| managed.schedule.stage);
        if matches!(stage, Some(TimerStage::Waiting | TimerStage::Elapsed)) {
            self.reschedule(name, Because::Unit);
        }
    }

    /// A unit with an armed timer has nothing to do any more: it waits for the next time.
    pub(super) fn wait_for_timer(&mut self, name: &UnitName) {
        let now = self.now;
        let Some(managed) = self.units.get_mut(name) else { return };
        managed.intent = Intent::Policy;
        if !managed.phase.is_down() {
            managed.schedule.ended = Some(now);
        }
        self.reschedule(name, Because::Unit);
        self.set_phase(name, Phase::Waiting);
        self.settle_waiting(name);
    }

    /// A unit with an armed timer listens again.
    pub(super) fn timer_listens(&mut self, name: &UnitName) {
        let now = self.now;
        if let Some(managed) = self.units.get_mut(name) {
            managed.intent = Intent::Policy;
            managed.schedule.ended = Some(now);
        }
        self.reschedule(name, Because::Unit);
    }

    /// The phase of a unit that waits is that of its timer; one that has nothing to wait for may go down.
    fn settle_waiting(&mut self, name: &UnitName) {
        let Some(managed) = self.units.get(name).filter(|managed| managed.phase.is_waiting()) else { return };
        let remains = managed.timer().is_none_or(|timer| timer.remain_after_elapse || timer.is_recurring());
        let phase = match managed.schedule.stage {
            TimerStage::Waiting | TimerStage::Running => Phase::Waiting,
            TimerStage::Dead | TimerStage::Elapsed if remains => Phase::Elapsed,
            TimerStage::Dead | TimerStage::Elapsed => return self.go_down(name, managed.result),
        };
        if phase != managed.phase {
            self.set_phase(name, phase);
        }
    }

    /// A job of a unit is over. What the timer began is over, too, where the unit is at rest.
    pub(super) fn timer_job_over(&mut self, name: &UnitName) {
        let Some(managed) = self.units.get(name) else { return };
        if managed.phase.is_down() {
            return self.disarm_timer(name);
        }
        let at_rest = managed.phase.is_waiting() || managed.phase == Phase::Listening;
        if at_rest && managed.job.is_none() && managed.schedule.stage == TimerStage::Running {
            self.reschedule(name, Because::Unit);
            self.settle_waiting(name);
        }
    }

    /// What is due elapses.
    pub(super) fn timers_elapse(&mut self) {
        for name in self.wakes.due(self.now) {
            self.elapse(&name);
        }
    }

    fn elapse(&mut self, name: &UnitName) {
        let now = self.now;
        self.wakes.remove(name);
        let stops = self.job_of(name).is_some_and(|job| job.kind == JobKind::Stop);
        let Some(managed) = self.units.get_mut(name) else { return };
        if managed.schedule.stage != TimerStage::Waiting {
            return;
        }
        managed.schedule.stage = TimerStage::Running;
        // Where the stop comes to nothing, what was due is due again.
        if stops {
            return;
        }
        managed.schedule.last_trigger = Some(now);
        (managed.schedule.next_realtime, managed.schedule.next_boottime) = (None, None);
        let at_rest = managed.phase.is_waiting() || managed.phase == Phase::Listening;
        if managed.timer().is_some_and(|timer| timer.persistent) {
            self.actions.push(Action::TouchStamp { unit: name.clone(), at: now.realtime });
        }
        self.actions.push(Action::Changed(name.clone()));
        // One that runs is left running.
        if !at_rest {
            return;
        }
        let request = Request { unit: name.clone(), verb: Verb::Start, mode: JobMode::Replace };
        if let Err(error) = self.enqueue(&request) {
            tracing::warn!(SAMPAN_UNIT = %name, "{name}: the timer has elapsed, but: {error}");
            if let Some(managed) = self.units.get_mut(name) {
                managed.result = UnitResult::Resources;
                let message = format!("timer: {error}");
                managed.failure = Some(Failure { message, errno: 0, exit: None });
            }
            self.timer_job_over(name);
        }
    }

    /// Somebody has set the clock.
    pub(super) fn clock_set(&mut self) {
        let now = self.now.realtime;
        self.for_each_waiting(|machine, name, timer| {
            if let Some(managed) = machine.units.get_mut(name)
                && let Some(last) = &mut managed.schedule.last_trigger
            {
                last.realtime = last.realtime.min(now);
            }
            if timer.on_clock_change {
                machine.elapse(name);
            } else {
                machine.reschedule(name, Because::ClockSet);
            }
        });
    }

    /// The host is in another time zone.
    pub(super) fn zone_changed(&mut self, zone: TimeZone) {
        if self.clocks.zone == zone {
            return;
        }
        self.clocks.zone = zone;
        self.for_each_waiting(|machine, name, timer| {
            if timer.on_timezone_change {
                machine.elapse(name);
            } else {
                machine.reschedule(name, Because::Unit);
            }
        });
    }

    fn for_each_waiting(&mut self, each: impl Fn(&mut Self, &UnitName, &Timer)) {
        let waits = |managed: &&Managed| managed.schedule.stage == TimerStage::Waiting;
        let named = self.units.iter().filter(|(_, managed)| waits(managed));
        let timers = named.filter_map(|(name, managed)| Some((name.clone(), managed.timer()?.clone())));
        for (name, timer) in timers.collect::<Vec<_>>() {
            each(self, &name, &timer);
            self.settle_waiting(&name);
            self.actions.push(Action::Changed(name));
        }
    }

    /// Other files: a changed timer is armed anew, one that is new to a unit that is up is armed, and what only waited
    /// for one that is gone goes down.
    pub(super) fn change_timer(&mut self, name: &UnitName, old: &Unit, new: &Unit) {
        let of = |unit: &Unit| unit.body.container().and_then(|container| container.timer.clone());
        let (old, new) = (of(old), of(new));
        if old == new {
            return;
        }
        let Some(managed) = self.units.get_mut(name) else { return };
        managed.schedule.spent.clear();
        match new {
            Some(_) if managed.schedule.stage == TimerStage::Running => {}
            Some(_) if managed.schedule.stage != TimerStage::Dead => {
                self.reschedule(name, Because::Unit);
                self.settle_waiting(name);
            }
            Some(_) if managed.active_state().is_up() => self.arm_timer(name),
            Some(_) => {}
            None => self.forget_timer(name),
        }
    }

    /// The timer goes on as an earlier manager left it, which had the unit in a phase; what elapsed meanwhile is due at
    /// once.
    pub(super) fn adopt_timer(&mut self, name: &UnitName, before: Phase) {
        let is_armed = self.is_armed(name);
        let jobs = || self.left.iter().filter(|(unit, ..)| unit == name).map(|(_, kind, _)| *kind);
        let (stops, goes_up) = (jobs().any(|kind| kind == JobKind::Stop), jobs().any(JobKind::goes_up));
        let Some(managed) = self.units.get_mut(name) else { return };
        if managed.timer().is_none() || !is_armed {
            return self.forget_timer(name);
        }
        if managed.phase.is_down() {
            match (stops, goes_up) {
                // It is decided by that whether the timer stays armed.
                (true, _) if !before.is_down() => self.rest(name, UnitResult::Success),
                // What was about to run is to run.
                (false, true)
                    if !managed.starts_on_socket() || managed.schedule.stage == TimerStage::Running =>
                {
                    managed.intent = Intent::Again;
                }
                (false, true) => {}
                _ => return self.forget_timer(name),
            }
        }
        if before.has_run() || before.is_final() {
            self.adopt_restart(name);
        }
        self.resume_timer(name);
    }

    fn resume_timer(&mut self, name: &UnitName) {
        let Some(schedule) = self.units.get(name).map(|managed| &managed.schedule) else { return };
        if schedule.unread {
            self.actions.push(Action::ReadStamp(name.clone()));
        } else if schedule.stage != TimerStage::Running {
            self.reschedule(name, Because::Unit);
            self.settle_waiting(name);
        }
    }

    /// A restart whose first half was over when the earlier manager was gone is a start: what ran is to run again.
    fn adopt_restart(&mut self, name: &UnitName) {
        let phase = self.units.get(name).map(|managed| managed.phase);
        if matches!(phase, Some(Phase::Waiting | Phase::AutoRestart)) {
            let restarts =
                self.left.iter_mut().filter(|(unit, kind, _)| unit == name && *kind == JobKind::Restart);
            for (_, kind, asked) in restarts {
                (*kind, *asked) = (JobKind::Start, Asked::ByName);
            }
        }
    }

    /// The unit has no timer any more, or is down; what only waited for it goes down.
    fn forget_timer(&mut self, name: &UnitName) {
        self.disarm_timer(name);
        if self.is_waiting(name) {
            self.set_phase(name, Phase::Dead);
        }
    }

    /// Jobs of an earlier manager go on; what had none is at rest.
    pub(super) fn resume_timers(&mut self) {
        for name in self.units.keys().cloned().collect::<Vec<_>>() {
            if self.is_armed(&name) {
                self.timer_job_over(&name);
            }
        }
    }
}

impl Managed {
    /// The timer of its file.
    pub fn timer(&self) -> Option<&Timer> {
        self.container()?.timer.as_deref()
    }
}

impl Timer {
    /// Whether a start of the unit, whoever asks for it, gives it something to elapse on again.
    fn is_recurring(&self) -> bool {
        self.monotonic.iter().any(|(base, _)| !base.is_single())
    }
}
