//! Containers that nobody uses: they are brought to a standstill, where nothing can escape the second look, and stay
//! there or are stopped. Their sockets stay open, and whoever connects wakes them.

use super::Machine;
use super::event::{Action, Purpose};
use super::state::Phase;
use super::unit::{Intent, Managed};
use crate::unit::model::{Idle, Sleep};
use crate::unit::name::UnitName;
use std::time::Duration;

/// How long the driver may take for a standstill.
const FREEZE_TIMEOUT: Duration = Duration::from_secs(10);

impl Machine {
    /// Nobody has used a container for as long as its unit says.
    pub(super) fn idle(&mut self, name: &UnitName, run: u64) {
        let rests = |managed: &&Managed| {
            managed.is_run(run) && managed.phase == Phase::Running && managed.job.is_none()
        };
        let Some(idle) = self.units.get(name).filter(rests).and_then(Managed::idle) else { return };
        self.set_phase(name, Phase::Freezing);
        self.freeze(name, run, purpose(idle.sleep));
    }

    fn freeze(&mut self, name: &UnitName, run: u64, purpose: Purpose) {
        self.set_deadline(name, Some(FREEZE_TIMEOUT));
        self.actions.push(Action::Freeze { unit: name.clone(), run, purpose });
    }

    /// It stands still, and nobody has come.
    pub(super) fn frozen(&mut self, name: &UnitName, run: u64) {
        let Some(managed) = self.units.get(name).filter(|managed| managed.is_run(run)) else { return };
        let slept = match managed.phase {
            Phase::Freezing => false,
            Phase::Frozen => true,
            _ => return,
        };
        match managed.idle().map(|idle| idle.sleep) {
            None => self.wake_up(name),
            Some(Sleep::Freeze { stop_after }) if !slept => self.sleep(name, stop_after),
            Some(Sleep::Stop | Sleep::Freeze { .. }) => self.begin_stop(name, Intent::Sleep),
        }
    }

    fn sleep(&mut self, name: &UnitName, stop_after: Option<Duration>) {
        self.set_phase(name, Phase::Frozen);
        self.set_deadline(name, stop_after);
        if let Some(managed) = self.units.get_mut(name) {
            managed.timers.watchdog = None;
            self.arm(name);
        }
        self.actions.push(Action::WatchSockets(name.clone()));
    }

    /// The time of a standstill is over: it is stopped, unless somebody has just come.
    pub(super) fn slept_long_enough(&mut self, name: &UnitName) {
        let run = self.units.get(name).and_then(|managed| managed.run.as_ref()).map(|run| run.number);
        if let Some(run) = run {
            self.freeze(name, run, Purpose::Stop);
        }
    }

    /// A container that sleeps is needed.
    pub(super) fn wake_up(&mut self, name: &UnitName) {
        let now = self.now.boottime;
        let Some(managed) = self.units.get_mut(name).filter(|managed| managed.phase.sleeps()) else { return };
        managed.timers.watchdog = managed.watchdog_time().map(|time| now.saturating_add(time));
        let run = managed.run.as_ref().map(|run| run.number);
        self.actions.push(Action::UnwatchSockets(name.clone()));
        self.set_phase(name, Phase::Running);
        if let Some(run) = run {
            self.actions.push(Action::Thaw { unit: name.clone(), run });
        }
    }

    /// An earlier manager left it asleep, or about to be.
    pub(super) fn adopt_sleep(&mut self, name: &UnitName, phase: Phase, changed: Duration, since: Duration) {
        let Some(managed) = self.units.get(name) else { return };
        let Some(run) = managed.run.as_ref().map(|run| run.number) else { return };
        let Some(idle) = managed.idle() else {
            self.set_phase(name, Phase::Freezing);
            return self.wake_up(name);
        };
        let stop_after = idle.stop_after();
        let slept = self.now.boottime.saturating_sub(changed);
        self.set_phase(name, phase);
        self.watch_run_since(name, since);
        if phase == Phase::Frozen {
            self.sleep(name, stop_after.map(|time| time.saturating_sub(slept)));
        } else {
            self.freeze(name, run, purpose(idle.sleep));
        }
    }
}

/// What follows a standstill.
fn purpose(sleep: Sleep) -> Purpose {
    match sleep {
        Sleep::Stop => Purpose::Stop,
        Sleep::Freeze { .. } => Purpose::Sleep,
    }
}

impl Managed {
    /// When a container that stands still is stopped, on CLOCK_BOOTTIME.
    pub fn stops_when_idle(&self) -> Option<Duration> {
        self.timers.phase.filter(|_| self.phase == Phase::Frozen)
    }

    /// When its container sleeps.
    pub fn idle(&self) -> Option<Idle> {
        self.container()?.idle
    }
}
