//! Jobs: what is to become of one unit.

use super::Machine;
use super::event::Action;
use super::state::{ActiveState, Failure};
use super::unit::Intent;
use crate::unit::name::UnitName;
use serde::{Deserialize, Serialize};

/// The number of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct JobId(pub u32);

/// What a job does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum JobKind {
    /// Brings the unit up.
    Start,
    /// Fails where the unit is not up.
    VerifyActive,
    /// Brings the unit down.
    Stop,
    /// Has the unit read its configuration again.
    Reload,
    /// Brings the unit down, then becomes a start.
    Restart,
    /// Begins another container beside the one that runs, and becomes its start; where none runs, a restart.
    Overlap,
    /// Does nothing: a try-restart of a unit that is down.
    Nop,
}

impl JobKind {
    /// systemd's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::VerifyActive => "verify-active",
            Self::Stop => "stop",
            Self::Reload => "reload",
            Self::Restart => "restart",
            Self::Overlap => "overlap",
            Self::Nop => "nop",
        }
    }

    pub(super) fn goes_down(self) -> bool {
        matches!(self, Self::Stop | Self::Restart)
    }

    /// Whether the unit is up when the job is done.
    pub(super) fn goes_up(self) -> bool {
        matches!(self, Self::Start | Self::VerifyActive | Self::Restart | Self::Overlap)
    }

    /// One job that does what both do for a unit in the given state; `None` where they contradict each other.
    pub(super) fn merged(self, other: Self, state: ActiveState) -> Option<Self> {
        use JobKind::{Nop, Overlap, Reload, Restart, Start, Stop, VerifyActive};
        match (self, other) {
            (one, same) if one == same => Some(one),
            (Nop, one) | (one, Nop) => Some(one),
            (Stop, _) | (_, Stop) => None,
            (Restart, _) | (_, Restart) => Some(Restart),
            // The container that is on its way up is another one already.
            (Overlap, Start) | (Start, Overlap) if state == ActiveState::Activating => Some(Start),
            (Overlap, _) | (_, Overlap) => Some(Overlap),
            (Start, VerifyActive) | (VerifyActive, Start) => Some(Start),
            (Reload, VerifyActive) | (VerifyActive, Reload) => Some(Reload),
            (Reload, Start) | (Start, Reload) if state.is_up() => Some(Reload),
            _ => Some(Start),
        }
    }

    /// Whether a job that runs does what another one asks for as well.
    fn includes(self, other: Self) -> bool {
        use JobKind::{Nop, Overlap, Reload, Restart, Start, VerifyActive};
        self == other
            || matches!(
                (self, other),
                (_, Nop)
                    | (Restart | Overlap, Start | VerifyActive | Reload)
                    | (Start | Reload, VerifyActive)
            )
    }

    /// Whether there is nothing left to do for a unit in a state.
    pub(super) fn is_redundant(self, state: ActiveState) -> bool {
        match self {
            Self::Start | Self::VerifyActive => state.is_up(),
            Self::Stop => state.is_down(),
            Self::Reload => state == ActiveState::Reloading,
            Self::Restart | Self::Overlap => state == ActiveState::Activating,
            Self::Nop => true,
        }
    }
}

/// What becomes of jobs in the way of a new one, and of other units, systemctl(1) `--job-mode=`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum JobMode {
    /// Jobs in the way are cancelled.
    #[default]
    Replace,
    /// The request is refused where a job is in the way.
    Fail,
    /// As replace, and no later job can replace the new ones.
    ReplaceIrreversibly,
    /// All other units are stopped.
    Isolate,
    /// All other jobs are cancelled.
    Flush,
    /// Only this unit, at once.
    IgnoreDependencies,
    /// Only this unit, in its order.
    IgnoreRequirements,
    /// What depends on the unit is restarted with its start.
    RestartDependencies,
}

impl JobMode {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Replace,
        Self::Fail,
        Self::ReplaceIrreversibly,
        Self::Isolate,
        Self::Flush,
        Self::IgnoreDependencies,
        Self::IgnoreRequirements,
        Self::RestartDependencies,
    ];

    /// systemd's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Replace => "replace",
            Self::Fail => "fail",
            Self::ReplaceIrreversibly => "replace-irreversibly",
            Self::Isolate => "isolate",
            Self::Flush => "flush",
            Self::IgnoreDependencies => "ignore-dependencies",
            Self::IgnoreRequirements => "ignore-requirements",
            Self::RestartDependencies => "restart-dependencies",
        }
    }

    /// The mode of one of systemd's words.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mode| mode.as_str() == word)
    }
}

/// How far a job is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobPhase {
    /// Others come first.
    Waiting,
    /// Its unit is on the way.
    Running,
}

/// How a job ended, in systemd's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobResult {
    /// As asked, or a condition does not hold.
    Done,
    /// The unit failed.
    Failed,
    /// Another job took its place, or somebody cancelled it.
    Canceled,
    /// A unit that it requires failed.
    Dependency,
    /// A time limit passed.
    Timeout,
    /// Nothing was to be done.
    Skipped,
    /// The unit is in a state in which this cannot be done.
    Invalid,
    /// An assert does not hold.
    Assert,
}

impl JobResult {
    /// systemd's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Canceled => "canceled",
            Self::Dependency => "dependency",
            Self::Timeout => "timeout",
            Self::Skipped => "skipped",
            Self::Invalid => "invalid",
            Self::Assert => "assert",
        }
    }
}

/// Which jobs of others one waits for, and has wait.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Order {
    /// Those of units that its own is ordered with, or in conflict with.
    #[default]
    Kept,
    /// Those of units in conflict: its order is part of a cycle.
    Cyclic,
    /// None: mode `ignore-dependencies`.
    Ignored,
}

/// Whether another job can take the place of one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Tenure {
    /// It can.
    #[default]
    Replaceable,
    /// It cannot, if it contradicts it: mode `replace-irreversibly`.
    Irreversible,
}

/// Whom a job is for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Asked {
    /// Its unit: somebody has named it.
    #[default]
    ByName,
    /// Another unit, whose relations bring it along. It has no say in whether a timer is armed.
    Along,
}

/// One job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// Its number.
    pub id: JobId,
    /// Its unit.
    pub unit: UnitName,
    /// What it does.
    pub kind: JobKind,
    /// How far it is.
    pub phase: JobPhase,
    /// Whether it waits for others.
    pub order: Order,
    /// Whether it can be replaced.
    pub tenure: Tenure,
    /// Whom it is for.
    pub asked: Asked,
}

impl Machine {
    /// The job of a unit that is not over.
    pub(super) fn job_of(&self, unit: &UnitName) -> Option<&Job> {
        let managed = self.units.get(unit).and_then(|managed| managed.job);
        self.jobs.get(&managed.or_else(|| self.natives.get(unit)?.job)?)
    }

    fn set_job(&mut self, unit: &UnitName, job: Option<JobId>) {
        if let Some(managed) = self.units.get_mut(unit) {
            managed.job = job;
        } else if let Some(native) = self.natives.get_mut(unit) {
            native.job = job;
        }
    }

    /// Makes a job, merges it into the one that the unit has, or puts it in that one's place.
    pub(super) fn install_job(
        &mut self,
        unit: &UnitName,
        kind: JobKind,
        order: Order,
        tenure: Tenure,
    ) -> JobId {
        let state = self.state_for_jobs(unit);
        if let Some((id, present)) = self.job_of(unit).map(|job| (job.id, job.kind)) {
            if let Some(merged) = present.merged(kind, state) {
                self.merge_job(id, (kind, merged), order, tenure);
                return id;
            }
            self.remove_job(id, JobResult::Canceled);
            if present == JobKind::Stop {
                let rivals = self.waiting_on_stop_of(unit);
                rivals.into_iter().for_each(|rival| self.finish_job(rival, JobResult::Canceled));
            }
        }
        self.last_job = self.last_job.wrapping_add(1).max(1);
        let id = JobId(self.last_job);
        let job = Job {
            id,
            unit: unit.clone(),
            kind,
            phase: JobPhase::Waiting,
            order,
            tenure,
            asked: Asked::ByName,
        };
        self.jobs.insert(id, job);
        self.set_job(unit, Some(id));
        self.queue.insert(id);
        self.actions.push(Action::JobNew(id, unit.clone()));
        id
    }

    /// Makes a job that comes with another one. What somebody has asked for already stays so.
    pub(super) fn install_along(&mut self, unit: &UnitName, kind: JobKind, order: Order, tenure: Tenure) {
        let present = self.job_of(unit).map(|job| (job.id, job.asked));
        let id = self.install_job(unit, kind, order, tenure);
        self.came_along(id, present);
    }

    /// A job was made for another unit's sake, or merged into the one that was there.
    pub(super) fn came_along(&mut self, id: JobId, present: Option<(JobId, Asked)>) {
        let asked = present.filter(|(before, _)| *before == id).map_or(Asked::Along, |(_, asked)| asked);
        if let Some(job) = self.jobs.get_mut(&id) {
            job.asked = asked;
        }
    }

    fn merge_job(&mut self, id: JobId, (new, merged): (JobKind, JobKind), order: Order, tenure: Tenure) {
        let Some(job) = self.jobs.get_mut(&id) else { return };
        job.asked = Asked::ByName;
        if tenure == Tenure::Irreversible {
            job.tenure = tenure;
        }
        if order > job.order {
            job.order = order;
            self.requeue(id);
        }
        let Some(job) = self.jobs.get_mut(&id) else { return };
        if job.phase == JobPhase::Running && job.kind.includes(new) {
            return;
        }
        job.kind = merged;
        job.phase = JobPhase::Waiting;
        self.requeue(id);
    }

    /// Ends a job, and with it those that wait for a unit that failed.
    pub(super) fn finish_job(&mut self, id: JobId, result: JobResult) {
        let mut over = vec![(id, result)];
        while let Some((id, result)) = over.pop() {
            let Some(job) = self.remove_job(id, result) else { continue };
            // A restart keeps the sockets open between its halves; where the second never comes, they are
            // closed.
            if self.units.get(&job.unit).is_some_and(|unit| unit.phase.is_down()) {
                self.close_sockets(&job.unit);
            }
            self.timer_job_over(&job.unit);
            self.rest_if_given_up(&job.unit);
            self.forget_unnamed(&job.unit);
            if (job.kind, result) == (JobKind::Stop, JobResult::Canceled) {
                over.extend(self.waiting_on_stop_of(&job.unit).into_iter().map(|id| (id, result)));
            }
            if job.kind.goes_up() && !matches!(result, JobResult::Done | JobResult::Canceled) {
                let failed = self.waiting_on_start_of(&job.unit);
                for dependent in failed.iter().filter_map(|dependent| self.jobs.get(dependent)) {
                    let message = format!("dependency: {}", self.why_down(&job.unit));
                    if let Some(managed) = self.units.get_mut(&dependent.unit) {
                        managed.failure = Some(Failure { message, errno: 0, exit: None });
                    }
                }
                over.extend(failed.into_iter().map(|id| (id, JobResult::Dependency)));
            }
        }
    }

    fn remove_job(&mut self, id: JobId, result: JobResult) -> Option<Job> {
        let job = self.jobs.remove(&id)?;
        self.set_job(&job.unit, None);
        self.queue.remove(&id);
        self.wake(&job.unit);
        self.actions.push(Action::JobRemoved(id, job.unit.clone(), job.kind, result));
        if let Some(managed) = self.units.get_mut(&job.unit).filter(|unit| unit.phase.is_down()) {
            managed.intent = Intent::Policy;
        }
        Some(job)
    }

    fn waiting_on_start_of(&self, failed: &UnitName) -> Vec<JobId> {
        let waits = |job: &&super::Job| {
            job.kind.goes_up() && job.phase == JobPhase::Waiting && !self.only_arms(&job.unit)
        };
        self.needing(failed).filter_map(|unit| self.job_of(unit)).filter(waits).map(|job| job.id).collect()
    }

    /// What is in conflict with a unit cannot come up where somebody decides that the unit stays up.
    fn waiting_on_stop_of(&self, stays: &UnitName) -> Vec<JobId> {
        let state = self.active_state(stays);
        if state.is_down() || state == ActiveState::Deactivating {
            return Vec::new();
        }
        let waits = |job: &&Job| job.kind.goes_up() && job.phase == JobPhase::Waiting;
        self.in_conflict(stays).filter_map(|unit| self.job_of(unit)).filter(waits).map(|job| job.id).collect()
    }

    /// One line on a unit that others cannot do without.
    fn why_down(&self, name: &UnitName) -> String {
        let refused = self.natives.get(name).and_then(|native| native.check_usable(name).err());
        let down = || format!("{name} is not up, and this unit requires it");
        refused.map_or_else(down, |error| error.to_string())
    }

    /// Ends the job of a unit if it runs and is of the kind.
    pub(super) fn finish_unit_job(&mut self, unit: &UnitName, kind: JobKind, result: JobResult) {
        let job = self.job_of(unit).filter(|job| job.kind == kind && job.phase == JobPhase::Running);
        if let Some(id) = job.map(|job| job.id) {
            self.finish_job(id, result);
        }
    }

    /// The second half of a restart waits for others like any start.
    pub(super) fn restart_becomes_start(&mut self, id: JobId) {
        let Some(job) = self.jobs.get_mut(&id) else { return };
        job.kind = JobKind::Start;
        job.phase = JobPhase::Waiting;
        self.requeue(id);
    }
}
