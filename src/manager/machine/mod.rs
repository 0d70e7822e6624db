//! The pure core: `(state, event) -> (state, [action])`.
//!
//! A [`Machine`] knows units, their jobs and the time that each event carries, and nothing else. It asks for
//! effects by [`Action`]s and hears of their outcome as later [`Event`]s; any of them may fail or come late.
//! A *run* is one launch of a container; events of a run that is over are dropped.
//!
//! One function alone writes a unit's phase: `Machine::set_phase`.

mod condition;
mod event;
mod image;
mod job;
mod lifecycle;
mod native;
mod restart;
mod settle;
#[cfg(test)]
mod simulation;
mod state;
#[cfg(test)]
mod tests;
mod transaction;
mod unit;

pub use event::{Action, Event, HealthState, Launched, Left, Request, RequestError, Unmet, Verb};
pub use job::{Job, JobId, JobKind, JobMode, JobPhase, JobResult};
pub use native::{Native, NativeJob, NativeLoad, NativeState};
pub use state::{ActiveState, Exit, Failure, Phase, Stamp, UnitResult};
pub use unit::{LoadState, Loaded, Managed, Run, Stamps};

use crate::unit::model::ReadyOn;
use crate::unit::name::UnitName;
use std::collections::BTreeMap;
use std::time::Duration;

/// All units and jobs of one manager.
#[derive(Debug, Default, Clone)]
pub struct Machine {
    units: BTreeMap<UnitName, Managed>,
    natives: BTreeMap<UnitName, Native>,
    jobs: BTreeMap<JobId, Job>,
    last_job: u32,
    now: Stamp,
    actions: Vec<Action>,
}

impl Machine {
    /// All units in memory, by name.
    pub fn units(&self) -> &BTreeMap<UnitName, Managed> {
        &self.units
    }

    /// One unit.
    pub fn unit(&self, name: &UnitName) -> Option<&Managed> {
        self.units.get(name)
    }

    /// The units of systemd's that ours depend on.
    pub fn natives(&self) -> &BTreeMap<UnitName, Native> {
        &self.natives
    }

    /// All jobs that are not over.
    pub fn jobs(&self) -> &BTreeMap<JobId, Job> {
        &self.jobs
    }

    /// When the next timer of a unit is due, on the monotonic clock.
    pub fn next_deadline(&self) -> Option<Duration> {
        self.units.values().filter_map(|unit| unit.deadline).min()
    }

    /// Asks for a job.
    ///
    /// # Errors
    /// When the unit cannot be used, or its dependencies contradict each other; then nothing has changed.
    pub fn request(&mut self, now: Stamp, request: &Request) -> (Result<JobId, RequestError>, Vec<Action>) {
        self.now = now;
        let answer = self.enqueue(request);
        self.settle();
        (answer, std::mem::take(&mut self.actions))
    }

    /// Takes one event in and answers with what is to be done.
    pub fn handle(&mut self, now: Stamp, event: Event) -> Vec<Action> {
        self.now = now;
        self.dispatch(event);
        self.settle();
        std::mem::take(&mut self.actions)
    }

    fn dispatch(&mut self, event: Event) {
        match event {
            Event::Loaded(units) => self.replace_units(units),
            Event::LoadedMore(units) => {
                units.into_iter().for_each(|(name, loaded)| self.insert_unit(name, loaded));
            }
            Event::NativeState { unit, state } => self.native_state(&unit, state),
            Event::NativeDone { unit, job, result } => self.native_done(&unit, job, result),
            Event::ConditionsChecked { unit, result } => self.conditions_checked(&unit, result),
            Event::JobCanceled(job) => self.finish_job(job, JobResult::Canceled),
            Event::SocketsOpened { unit, result } => self.sockets_opened(&unit, result),
            Event::Connection { unit, socket } => self.connection(&unit, &socket),
            Event::Pulling { unit, run } => self.pulling(&unit, run),
            Event::ImageReady { unit, run, result } => self.image_ready(&unit, run, result),
            Event::Started { unit, run, launched } => self.started(&unit, run, launched),
            Event::Executed { unit, run } => self.ready(&unit, run, ReadyOn::Exec),
            Event::Notified { unit, run, what } => self.notified(&unit, run, what),
            Event::Listening { unit, run } => self.ready(&unit, run, ReadyOn::Listening),
            Event::Health { unit, run, health } => self.health_told(&unit, run, health),
            Event::LaunchFailed { unit, run, failure } => self.launch_failed(&unit, run, failure),
            Event::Ended { unit, run, exit } => self.ended(&unit, run, exit),
            Event::StopRequested { unit } => self.stop_requested(&unit),
            Event::TimersDue => self.timers_due(),
            Event::ResetFailed { unit } => self.reset_failed(unit.as_ref()),
            Event::Adopted { unit, left } => self.adopted(&unit, *left),
        }
    }
}
