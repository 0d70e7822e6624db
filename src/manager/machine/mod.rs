//! The pure core: `(state, event) -> (state, [action])`.
//!
//! A [`Machine`] knows units, their jobs and the time that each event carries, and nothing else. It asks for
//! effects by [`Action`]s and hears of their outcome as later [`Event`]s; any of them may fail or come late.
//! A *run* is one launch of a container; events of a run that is over are dropped.
//!
//! One function alone writes a unit's phase: `Machine::set_phase`.

mod adopt;
mod commands;
mod cycle;
mod elapse;
mod end;
mod event;
mod follow;
mod graph;
mod idle;
mod image;
mod job;
mod load;
mod native;
mod notify;
mod overlap;
mod reload;
mod request;
mod restart;
mod schedule;
mod settle;
mod shutdown;
#[cfg(test)]
mod simulation;
mod start;
mod state;
#[cfg(test)]
mod tests;
mod timers;
mod transaction;
mod unit;
mod units;
mod wake;

pub use event::{Action, Event, HealthState, Launched, Left, Purpose, Unmet};
pub use job::{Asked, Job, JobId, JobKind, JobMode, JobPhase, JobResult, Order, Tenure};
pub use native::{Native, NativeJob, NativeLoad, NativeState};
pub use request::{Request, RequestError, Verb};
pub use schedule::{Clocks, Elapses, Schedule, TimerStage};
pub use state::{ActiveState, Exit, Failure, Phase, Stamp, UnitResult};
pub use unit::{LoadState, Loaded, Managed, Run, Stamps, Terms};
pub use units::Units;
pub use wake::Clock;

use crate::unit::model::ReadyOn;
use crate::unit::name::UnitName;
use follow::Change;
use graph::Graph;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;
use wake::Wakes;

/// All units and jobs of one manager.
#[derive(Debug, Default, Clone)]
pub struct Machine {
    units: Units,
    natives: BTreeMap<UnitName, Native>,
    jobs: BTreeMap<JobId, Job>,
    graph: Graph,
    /// Jobs to be looked at.
    queue: BTreeSet<JobId>,
    /// Jobs that wait for something to become of a unit.
    waiting: BTreeMap<UnitName, BTreeSet<JobId>>,
    /// What has become of units, to be followed.
    changes: VecDeque<Change>,
    /// Units by their next time limit.
    due: BTreeSet<(Duration, UnitName)>,
    /// Timers of units by what they wait for.
    wakes: Wakes,
    clocks: Clocks,
    /// Jobs of an earlier manager.
    left: Vec<(UnitName, JobKind, Asked)>,
    standing: Standing,
    last_job: u32,
    /// Numbers of runs are never used again, not even by another unit.
    last_run: u64,
    /// Units in memory that have no file.
    vanished: BTreeSet<UnitName>,
    now: Stamp,
    actions: Vec<Action>,
}

/// Whether units may start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Standing {
    /// They may.
    #[default]
    Open,
    /// The host goes down.
    ShuttingDown,
}

impl Machine {
    /// All units in memory, by name.
    pub fn units(&self) -> &Units {
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
            Event::LoadedMore(units) => self.insert_units(units),
            Event::NativeState { unit, state } => self.native_state(&unit, state),
            Event::NativeDone { unit, job, result } => self.native_done(&unit, job, result),
            Event::ConditionsChecked { unit, result } => self.conditions_checked(&unit, result),
            Event::JobCanceled(job) => self.finish_job(job, JobResult::Canceled),
            Event::SocketsOpened { unit, result } => self.sockets_opened(&unit, result),
            Event::Connection { unit, socket } => self.connection(&unit, &socket),
            Event::Idle { unit, run } => self.idle(&unit, run),
            Event::Frozen { unit, run } => self.frozen(&unit, run),
            Event::Wanted { unit } => self.wake_up(&unit),
            Event::Pulling { unit, run } => self.pulling(&unit, run),
            Event::ImageReady { unit, run, result } => self.image_ready(&unit, run, result),
            Event::Started { unit, run, launched } => self.started(&unit, run, launched),
            Event::StartPreBegun { unit, run } => self.start_pre_begun(&unit, run),
            Event::CommandsDone { unit, run, stage, result } => {
                self.commands_done(&unit, run, stage, result);
            }
            Event::Unstarted { unit, run, exit } => self.unstarted(&unit, run, exit),
            Event::Executed { unit, run } => self.executed(&unit, run),
            Event::Notified { unit, run, what } => self.notified(&unit, run, what),
            Event::Listening { unit, run } => self.ready(&unit, run, ReadyOn::Listening),
            Event::Health { unit, run, health } => self.health_told(&unit, run, health),
            Event::Unwell { unit, run, said } => {
                if let Some(managed) = self.units.get_mut(&unit).filter(|managed| managed.is_run(run)) {
                    managed.unwell = said;
                }
            }
            Event::OomKilled { unit, run } => self.oom_killed(&unit, run),
            Event::LaunchFailed { unit, run, process, failure } => {
                self.launch_failed(&unit, run, process, failure)
            }
            Event::Ended { unit, run, exit } => self.ended(&unit, run, exit),
            Event::StopRequested { unit } => self.stop_requested(&unit),
            Event::TimersDue => {
                self.timers_due();
                self.timers_elapse();
            }
            Event::Clocks(clocks) => self.set_clocks(clocks),
            Event::ClockSet => self.clock_set(),
            Event::ZoneChanged(zone) => self.zone_changed(zone),
            Event::StampRead { unit, last } => self.stamp_read(&unit, last),
            Event::ResetFailed { unit } => self.reset_failed(unit.as_ref()),
            Event::Reloaded { unit, run, result } => self.reloaded(&unit, run, result),
            Event::Adopted { unit, left } => self.adopted(&unit, *left),
            Event::AdoptionDone => self.resume_jobs(),
            Event::ShuttingDown => self.shut_down(),
        }
    }
}
