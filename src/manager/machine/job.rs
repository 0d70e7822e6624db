//! Jobs: what is to become of one unit, and which of two must come first.

use super::Machine;
use super::event::Action;
use crate::unit::name::UnitName;
use serde::{Deserialize, Serialize};

/// The number of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct JobId(pub u32);

/// What a job does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum JobKind {
    /// Brings the unit up.
    Start,
    /// Brings the unit down.
    Stop,
    /// Brings the unit down, then becomes a start.
    Restart,
}

impl JobKind {
    /// systemd's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Stop => "stop",
            Self::Restart => "restart",
        }
    }

    fn goes_down(self) -> bool {
        self != Self::Start
    }
}

/// What becomes of jobs in the way of a new one, systemctl(1) `--job-mode=`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum JobMode {
    /// They are cancelled.
    #[default]
    Replace,
    /// The new one is refused.
    Fail,
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
    /// As asked.
    Done,
    /// The unit failed.
    Failed,
    /// Another job took its place.
    Canceled,
    /// A unit that it requires failed.
    Dependency,
    /// A time limit passed.
    Timeout,
    /// Nothing was to be done.
    Skipped,
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
        }
    }
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
}

impl Machine {
    /// Makes a job, in the place of the one that the unit may have.
    pub(super) fn install_job(&mut self, unit: &UnitName, kind: JobKind) -> JobId {
        if let Some(id) = self.units.get(unit).and_then(|managed| managed.job) {
            if self.jobs.get(&id).is_some_and(|job| absorbs(job.kind, kind)) {
                return id;
            }
            self.finish_job(id, JobResult::Canceled);
        }
        self.last_job = self.last_job.wrapping_add(1).max(1);
        let id = JobId(self.last_job);
        self.jobs.insert(id, Job { id, unit: unit.clone(), kind, phase: JobPhase::Waiting });
        if let Some(managed) = self.units.get_mut(unit) {
            managed.job = Some(id);
        }
        self.actions.push(Action::JobNew(id, unit.clone()));
        id
    }

    /// Ends a job, and with it those that wait for a unit that failed.
    pub(super) fn finish_job(&mut self, id: JobId, result: JobResult) {
        let Some(job) = self.jobs.remove(&id) else { return };
        if let Some(managed) = self.units.get_mut(&job.unit).filter(|managed| managed.job == Some(id)) {
            managed.job = None;
        }
        self.actions.push(Action::JobRemoved(id, job.unit.clone(), job.kind, result));
        // A restart keeps the sockets open between its halves; where the second never comes, they are closed.
        if result != JobResult::Canceled && self.units.get(&job.unit).is_some_and(|unit| unit.phase.is_down())
        {
            self.close_sockets(&job.unit);
        }
        let failed = matches!(result, JobResult::Failed | JobResult::Timeout | JobResult::Dependency);
        if failed && job.kind != JobKind::Stop {
            for dependent in self.waiting_dependents(&job.unit) {
                self.finish_job(dependent, JobResult::Dependency);
            }
        }
    }

    /// Ends the job of a unit if it is of the kind.
    pub(super) fn finish_unit_job(&mut self, unit: &UnitName, kind: JobKind, result: JobResult) {
        let job = self.job_of(unit).filter(|job| job.kind == kind && job.phase == JobPhase::Running);
        if let Some(id) = job.map(|job| job.id) {
            self.finish_job(id, result);
        }
    }

    pub(super) fn job_of(&self, unit: &UnitName) -> Option<&Job> {
        self.jobs.get(&self.units.get(unit)?.job?)
    }

    fn waiting_dependents(&self, failed: &UnitName) -> Vec<JobId> {
        let requires = |unit: &UnitName| {
            self.units.get(unit).and_then(|managed| managed.unit()).is_some_and(|unit| {
                unit.dependencies.requires.contains(failed) || unit.dependencies.binds_to.contains(failed)
            })
        };
        self.jobs
            .values()
            .filter(|job| job.kind != JobKind::Stop && job.phase == JobPhase::Waiting && requires(&job.unit))
            .map(|job| job.id)
            .collect()
    }

    /// Whether a job must wait for another one.
    pub(super) fn is_blocked(&self, job: &Job) -> bool {
        self.jobs.values().any(|other| other.id != job.id && self.comes_first(other, job))
    }

    /// Whether `first` must be over before `second` begins, systemd.unit(5) `Before=`: what goes down goes
    /// before what comes up, up in the order of `after`, down in the reverse.
    fn comes_first(&self, first: &Job, second: &Job) -> bool {
        let second_after_first = self.is_after(&second.unit, &first.unit);
        let first_after_second = self.is_after(&first.unit, &second.unit);
        match (first.kind.goes_down(), second.kind.goes_down()) {
            (false, false) => second_after_first,
            (true, true) => first_after_second,
            (true, false) => second_after_first || first_after_second,
            (false, true) => false,
        }
    }

    /// Whether `unit` is ordered after `other`, by either's word.
    pub(super) fn is_after(&self, unit: &UnitName, other: &UnitName) -> bool {
        let dependencies = |name: &UnitName| Some(&self.units.get(name)?.unit()?.dependencies);
        dependencies(unit).is_some_and(|own| own.after.contains(other))
            || dependencies(other).is_some_and(|theirs| theirs.before.contains(unit))
    }
}

/// Whether a job does what a new one asks for.
pub(super) fn absorbs(present: JobKind, new: JobKind) -> bool {
    present == new || (present == JobKind::Restart && new == JobKind::Start)
}
