//! Time limits: of starts, stops and pauses, of the whole run, and the watchdog's. One index knows what is due
//! next.

use super::Machine;
use super::event::Action;
use super::job::{JobKind, JobMode};
use super::request::{Request, Verb};
use super::state::{Failure, Phase, UnitResult};
use super::unit::{ImageState, Intent, Managed, Terms, Then};
use crate::unit::model::{Container, Idle, ReadyOn, ServiceType, Stage, Unit};
use crate::unit::name::UnitName;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

/// When a unit wants [`super::Event::TimersDue`], on CLOCK_BOOTTIME.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Timers {
    /// The phase must be over.
    pub(super) phase: Option<Duration>,
    /// The run must be over.
    pub(super) runtime: Option<Duration>,
    /// The payload must have said that it is alive.
    pub(super) watchdog: Option<Duration>,
    /// What the index has.
    pub(super) armed: Option<Duration>,
}

impl Machine {
    /// When the next timer of a unit is due, on CLOCK_BOOTTIME.
    pub fn next_deadline(&self) -> Option<Duration> {
        self.due.first().map(|(deadline, _)| *deadline)
    }

    /// The units whose payloads should have told by now that they live.
    pub fn watchdogs_due(&self, now: Duration) -> Vec<UnitName> {
        let due = self.due.iter().take_while(|(deadline, _)| *deadline <= now).map(|(_, name)| name);
        let is_late = |name: &&UnitName| {
            let watchdog = self.units.get(name).and_then(|managed| managed.timers.watchdog);
            watchdog.is_some_and(|deadline| deadline <= now)
        };
        due.filter(is_late).cloned().collect()
    }

    /// Brings the index up to date.
    pub(super) fn arm(&mut self, name: &UnitName) {
        let Some(managed) = self.units.get_mut(name) else { return };
        let timers = &mut managed.timers;
        let next = [timers.phase, timers.runtime, timers.watchdog].into_iter().flatten().min();
        if next == timers.armed {
            return;
        }
        if let Some(armed) = timers.armed {
            self.due.remove(&(armed, name.clone()));
        }
        timers.armed = next;
        self.due.extend(next.map(|next| (next, name.clone())));
    }

    /// The present phase must be over in time.
    pub(super) fn set_deadline(&mut self, name: &UnitName, timeout: Option<Duration>) {
        let now = self.now.boottime;
        if let Some(managed) = self.units.get_mut(name) {
            managed.timers.phase = timeout.map(|timeout| now.saturating_add(timeout));
            self.arm(name);
        }
    }

    /// `EXTEND_TIMEOUT_USEC=`: never shortens one.
    pub(super) fn extend_timeouts(&mut self, name: &UnitName, by: Duration) {
        let until = self.now.boottime.saturating_add(by);
        let Some(managed) = self.units.get_mut(name) else { return };
        let timers = &mut managed.timers;
        for timer in [&mut timers.phase, &mut timers.runtime].into_iter().flatten() {
            *timer = until.max(*timer);
        }
        self.arm(name);
    }

    /// The limits of a run that is up.
    pub(super) fn watch_run(&mut self, name: &UnitName) {
        let now = self.now.boottime;
        let Some(managed) = self.units.get_mut(name) else { return };
        let Some(container) = managed.container() else { return };
        let runtime =
            container.runtime_max.map(|longest| longest.saturating_add(extra(container, name, now)));
        let watchdog = managed.watchdog_time();
        managed.timers.runtime = runtime.map(|longest| now.saturating_add(longest));
        managed.timers.watchdog = watchdog.map(|time| now.saturating_add(time));
        self.arm(name);
    }

    /// Other limits in new files count from where the old ones did, as after a reload of systemd's.
    pub(super) fn change_limits(&mut self, name: &UnitName, old: &Unit, new: &Unit) {
        let Some((old, new)) = old.body.container().zip(new.body.container()) else { return };
        let Some(managed) = self.units.get(name) else { return };
        let (phase, stamps) = (managed.phase, managed.stamps);
        let (before, after) = match phase {
            phase if phase.is_starting() && managed.image == ImageState::Settled => {
                (old.start_timeout, new.start_timeout)
            }
            Phase::StartPost | Phase::Reload | Phase::ReloadNotify => (old.start_timeout, new.start_timeout),
            Phase::Stop | Phase::StopWatchdog | Phase::StopSigterm | Phase::StopPost => {
                (old.stop_timeout, new.stop_timeout)
            }
            Phase::Frozen => (old.idle.and_then(Idle::stop_after), new.idle.and_then(Idle::stop_after)),
            _ => (None, None),
        };
        if phase.sleeps() && new.idle.is_none() {
            return self.wake_up(name);
        }
        if before != after {
            let passed = self.now.boottime.saturating_sub(stamps.changed.boottime);
            self.set_deadline(name, after.map(|limit| limit.saturating_sub(passed)));
        }
        let runs_for = |own: &Container| (own.runtime_max, own.runtime_randomized_extra);
        let runs = matches!(phase, Phase::Running | Phase::Reload | Phase::ReloadNotify) || phase.sleeps();
        if runs && (runs_for(old), old.watchdog) != (runs_for(new), new.watchdog) {
            self.watch_run_since(name, stamps.active_enter.boottime);
        }
    }

    /// The time that a container may run counts from its start, whoever learns of it when.
    pub(super) fn watch_run_since(&mut self, name: &UnitName, since: Duration) {
        let now = self.now;
        self.now.boottime = since.min(now.boottime);
        self.watch_run(name);
        self.now = now;
        self.alive(name);
    }

    pub(super) fn timers_due(&mut self) {
        let now = self.now.boottime;
        while let Some((deadline, name)) = self.due.first().cloned() {
            if deadline > now {
                return;
            }
            self.timer_due(&name);
            self.arm(&name);
        }
    }

    fn timer_due(&mut self, name: &UnitName) {
        let now = self.now.boottime;
        let is_due = |timer: &mut Option<Duration>| timer.take_if(|deadline| *deadline <= now).is_some();
        let Some(managed) = self.units.get_mut(name) else {
            self.due.pop_first();
            return;
        };
        let timers = &mut managed.timers;
        let (phase, runtime, watchdog) =
            (is_due(&mut timers.phase), is_due(&mut timers.runtime), is_due(&mut timers.watchdog));
        if phase {
            self.phase_due(name);
        }
        let result = if watchdog { UnitResult::Watchdog } else { UnitResult::Timeout };
        if (watchdog || runtime) && self.active_state(name).is_up() {
            self.begin_stop(name, Intent::Failed(result, Then::Policy));
        }
    }

    fn phase_due(&mut self, name: &UnitName) {
        let Some(managed) = self.units.get_mut(name) else { return };
        match managed.phase {
            Phase::ExecCondition | Phase::ExecStartPre | Phase::Start | Phase::StartPost => {
                managed.fail_late(managed.late_start());
                self.begin_stop(name, Intent::Failed(UnitResult::Timeout, Then::Policy));
            }
            Phase::Stop | Phase::StopPost => self.commands_timed_out(name),
            Phase::StopSigkill if managed.has_ended() => self.commands_given_up(name),
            Phase::FinalSigkill => self.commands_given_up(name),
            Phase::Reload | Phase::ReloadNotify => self.reload_timed_out(name),
            Phase::StopSigterm => {
                managed.fail_late("stop: not over in time, killed".to_owned());
                self.begin_kill(name);
            }
            Phase::StopWatchdog => self.begin_kill(name),
            Phase::StopSigkill => self.give_up(name),
            Phase::AutoRestart => self.restart_by_itself(name),
            Phase::Freezing => self.wake_up(name),
            Phase::Frozen => self.slept_long_enough(name),
            _ => {}
        }
    }

    /// What depends on the unit is restarted with it, as systemd does.
    fn restart_by_itself(&mut self, name: &UnitName) {
        // It is about to go down anyway.
        if self.job_of(name).is_some_and(|job| job.kind == JobKind::Stop) {
            return;
        }
        let Some(managed) = self.units.get_mut(name) else { return };
        managed.restarts = managed.restarts.saturating_add(1);
        managed.intent = Intent::Again;
        let request = Request { unit: name.clone(), verb: Verb::Start, mode: JobMode::RestartDependencies };
        let Err(error) = self.enqueue(&request) else { return };
        if let Some(managed) = self.units.get_mut(name) {
            let message = format!("restart: {error}");
            managed.failure = Some(Failure { message, errno: 0, exit: None });
            managed.intent = Intent::Down;
        }
        self.after_end(name, UnitResult::Resources);
    }

    /// `WATCHDOG=1`
    pub(super) fn alive(&mut self, name: &UnitName) {
        let now = self.now.boottime;
        let Some(managed) = self.units.get_mut(name) else { return };
        if managed.timers.watchdog.is_some() {
            managed.timers.watchdog = managed.watchdog_time().map(|time| now.saturating_add(time));
            self.arm(name);
        }
    }

    /// `WATCHDOG_USEC=`: another time for this run, from now on.
    pub(super) fn set_watchdog(&mut self, name: &UnitName, time: Duration) {
        let now = self.now.boottime;
        let Some(managed) = self.units.get_mut(name) else { return };
        if let Some(run) = &mut managed.run {
            run.watchdog = Some(time);
        }
        if managed.active_state().is_up() {
            managed.timers.watchdog = managed.watchdog_time().map(|time| now.saturating_add(time));
            self.arm(name);
        }
        self.actions.push(Action::Changed(name.clone()));
    }
}

impl Managed {
    /// What has not come about in the time of a start.
    fn late_start(&self) -> String {
        let stage = match self.phase {
            Phase::ExecCondition => Some(Stage::Condition),
            Phase::ExecStartPre => Some(Stage::StartPre),
            Phase::StartPost => Some(Stage::StartPost),
            _ => None,
        };
        if let Some(stage) = stage {
            return format!("{}: timed out, killed", stage.key());
        }
        match self.terms() {
            Some(Terms { kind: ServiceType::Oneshot, .. }) => "start: not over in time".to_owned(),
            Some(Terms { ready: ReadyOn::Notify, .. }) => "start: READY=1 has not come in time".to_owned(),
            Some(Terms { ready: ReadyOn::Listening, .. }) => "start: no port listens in time".to_owned(),
            Some(Terms { ready: ReadyOn::Health, .. }) if self.unwell.is_empty() => {
                "start: no health check has ended in time".to_owned()
            }
            Some(Terms { ready: ReadyOn::Health, .. }) => {
                format!("start: not healthy in time: {}", self.unwell)
            }
            Some(Terms { ready: ReadyOn::Exec, .. }) | None => {
                "start: the launch was not over in time".to_owned()
            }
        }
    }

    /// What was too late, where nothing else has gone wrong before.
    fn fail_late(&mut self, message: String) {
        self.failure.get_or_insert(Failure { message, errno: 0, exit: None });
    }
}

/// A share of `runtime_randomized_extra`. The core has no dice: the time and the name are as good, since all
/// that matters is that units do not end together.
fn extra(container: &Container, name: &UnitName, now: Duration) -> Duration {
    let mut hasher = DefaultHasher::new();
    (name, now).hash(&mut hasher);
    let share = (hasher.finish() >> 32) as u32;
    container.runtime_randomized_extra.mul_f64(f64::from(share) / f64::from(u32::MAX))
}
