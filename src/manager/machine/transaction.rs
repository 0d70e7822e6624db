//! From one request to the jobs that it takes: requirements, conflicts, propagation.
//! All of it is decided before the first job is made, so that a refused request changes nothing.
//!
//! A transaction is collected from its anchor, the job that was asked for. Where one of its jobs cannot be, or
//! stands in an ordering cycle, it is *barred* with all that cannot be without it, and the transaction is
//! collected anew; once the anchor is barred, the request is refused.

use super::Machine;
use super::cycle::Cycles;
use super::job::{JobKind, JobMode, Order};
use super::request::RequestError;
use super::unit::{Intent, LoadState};
use crate::unit::name::UnitName;
use std::collections::{BTreeMap, VecDeque};

/// How badly a transaction needs one of its jobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Need {
    /// By `wants` only: dropped where it cannot be.
    Wanted,
    /// By the request or a requirement: the transaction fails with it.
    Required,
}

/// One way that a job can take a unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Way {
    Up,
    Down,
}

/// What is planned for one unit: at most one job each way. A restart goes both, and counts as up.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Planned {
    up: Option<(JobKind, Need)>,
    down: Option<Need>,
    pub(super) order: Order,
}

/// A job that is to be made.
#[derive(Debug, Clone, Copy)]
pub(super) struct Chosen {
    pub(super) kind: JobKind,
    pub(super) order: Order,
}

/// The jobs of one transaction by unit.
pub(super) type Transaction = BTreeMap<UnitName, Planned>;

/// What cannot be part of a transaction, and why.
pub(super) type Barred = BTreeMap<(UnitName, Way), RequestError>;

/// A job to be added.
struct Step {
    unit: UnitName,
    kind: JobKind,
    need: Need,
}

/// A transaction that is being collected.
struct Collection<'a> {
    machine: &'a Machine,
    anchor: &'a UnitName,
    mode: JobMode,
    barred: &'a mut Barred,
    jobs: Transaction,
    open: VecDeque<Step>,
}

impl Machine {
    /// The jobs, one for each unit, that a job of the anchor takes.
    pub(super) fn plan(
        &self,
        anchor: &UnitName,
        kind: JobKind,
        mode: JobMode,
    ) -> Result<BTreeMap<UnitName, Chosen>, RequestError> {
        let mut barred = Barred::new();
        loop {
            let known = barred.len();
            let mut jobs = Collection::of(self, anchor, kind, mode, &mut barred);
            let way = if kind == JobKind::Stop { Way::Down } else { Way::Up };
            if let Some(error) = barred.get(&(anchor.clone(), way)) {
                return Err(error.clone());
            }
            if barred.len() > known {
                continue;
            }
            jobs.retain(|unit, planned| unit == anchor || self.is_worth_doing(unit, planned));
            if mode == JobMode::IgnoreDependencies {
                jobs.values_mut().for_each(|planned| planned.order = Order::Ignored);
            }
            if self.break_cycle(&mut jobs, anchor, &mut barred)? == Cycles::None {
                let chosen = |(unit, planned): (UnitName, Planned)| {
                    Some((unit, Chosen { kind: planned.kind()?, order: planned.order }))
                };
                return Ok(jobs.into_iter().filter_map(chosen).collect());
            }
        }
    }

    /// Whether a job changes anything.
    fn is_worth_doing(&self, unit: &UnitName, planned: &Planned) -> bool {
        let Some(kind) = planned.kind() else { return false };
        let state = self.state_for_jobs(unit);
        let contradicts = self.job_of(unit).is_some_and(|job| job.kind.merged(kind, state).is_none());
        contradicts || !kind.is_redundant(state)
    }

    /// Whether a unit is up already, which is enough for those that need it, whatever its files are now.
    fn serves(&self, name: &UnitName, kind: JobKind) -> bool {
        matches!(kind, JobKind::Start | JobKind::VerifyActive) && self.active_state(name).is_up()
    }

    /// Whether a unit can have a job that brings it up. One whose files have errors goes on by their last valid
    /// version where its policy restarts it.
    pub(super) fn check_usable(&self, name: &UnitName) -> Result<(), RequestError> {
        if name.is_template() {
            return Err(RequestError::Template(name.clone(), name.as_str().replacen('@', "@NAME", 1)));
        }
        if self.units.contains_key(name) {
            return match self.units.get(name).map(|unit| (&unit.loaded.state, unit.intent)) {
                // The policy restarts the version that ran.
                Some((LoadState::Good, _) | (LoadState::Bad(_), Intent::Again)) => Ok(()),
                Some((LoadState::Bad(_), _)) => Err(RequestError::Bad(name.clone())),
                Some((LoadState::Masked, _)) => Err(RequestError::Masked(name.clone())),
                Some((LoadState::NotFound, _)) | None => Err(RequestError::NotFound(name.clone())),
            };
        }
        self.natives
            .get(name)
            .map_or_else(|| Err(RequestError::NotFound(name.clone())), |native| native.check_usable(name))
    }
}

impl Planned {
    fn of(kind: JobKind, need: Need) -> Self {
        if kind == JobKind::Stop {
            Self { down: Some(need), ..Self::default() }
        } else {
            Self { up: Some((kind, need)), ..Self::default() }
        }
    }

    /// Whether the transaction does without what brings the unit up.
    pub(super) fn is_wanted(&self) -> bool {
        matches!(self.up, Some((_, Need::Wanted)))
    }

    /// The job that is left.
    pub(super) fn kind(&self) -> Option<JobKind> {
        self.up.map(|(kind, _)| kind).or_else(|| self.down.map(|_| JobKind::Stop))
    }
}

impl<'a> Collection<'a> {
    fn of(
        machine: &'a Machine,
        anchor: &'a UnitName,
        kind: JobKind,
        mode: JobMode,
        barred: &'a mut Barred,
    ) -> Transaction {
        let (jobs, open) = (Transaction::new(), VecDeque::new());
        let mut collection = Self { machine, anchor, mode, barred, jobs, open };
        collection.push(anchor, kind, Need::Required);
        while let Some(step) = collection.open.pop_front() {
            collection.take(step);
        }
        if mode == JobMode::Isolate {
            collection.stop_all_others();
        }
        collection.resolve();
        collection.jobs
    }

    fn push(&mut self, unit: &UnitName, kind: JobKind, need: Need) {
        self.open.push_back(Step { unit: unit.clone(), kind, need });
    }

    /// Adds one job, and opens those that come with it. One that is there already is looked at again only
    /// where it is needed more than before, or is another one now.
    fn take(&mut self, Step { unit, kind, need }: Step) {
        let way = if kind == JobKind::Stop { Way::Down } else { Way::Up };
        if self.barred.contains_key(&(unit.clone(), way)) {
            return;
        }
        if kind != JobKind::Stop
            && !self.machine.serves(&unit, kind)
            && let Err(error) = self.machine.check_usable(&unit)
        {
            return bar(self.machine, self.barred, &unit, way, error);
        }
        // Nothing of it runs that could not be without another unit, or together with it.
        let goes_down = matches!(kind, JobKind::Stop | JobKind::Restart);
        if goes_down && unit != *self.anchor && self.machine.only_waits(&unit) {
            return;
        }
        let state = self.machine.state_for_jobs(&unit);
        let new = Planned::of(kind, need);
        let planned = self.jobs.entry(unit.clone()).or_default();
        let before = *planned;
        planned.down = before.down.max(new.down);
        planned.up = match (before.up, new.up) {
            (Some((one, first)), Some((other, second))) => {
                Some((one.merged(other, state).unwrap_or(one), first.max(second)))
            }
            (one, other) => one.or(other),
        };
        if (before.up, before.down) == (planned.up, planned.down) {
            return;
        }
        if matches!(self.mode, JobMode::IgnoreDependencies | JobMode::IgnoreRequirements) {
            return;
        }
        let kind = if way == Way::Up { planned.up.map_or(kind, |(kind, _)| kind) } else { kind };
        self.open_dependencies(&unit, kind, need);
    }

    fn open_dependencies(&mut self, unit: &UnitName, kind: JobKind, need: Need) {
        let machine = self.machine;
        let (own, theirs) = (machine.dependencies(unit), machine.dependents(unit));
        if matches!(kind, JobKind::Start | JobKind::Restart | JobKind::Overlap)
            && !self.runs_nothing(unit, kind)
        {
            for needed in own.requires.iter().chain(&own.binds_to) {
                self.push(needed, JobKind::Start, need);
            }
            for needed in &own.requisite {
                self.push(needed, JobKind::VerifyActive, need);
            }
            for wanted in own.wants.iter().chain(&own.upholds) {
                self.push(wanted, JobKind::Start, Need::Wanted);
            }
            for rival in machine.in_conflict(unit) {
                self.push(rival, JobKind::Stop, need);
            }
        }
        let both = theirs.requires.iter().chain(&theirs.requisite).chain(&theirs.binds_to);
        let both = both.chain(&theirs.part_of);
        let only_stops = own.propagates_stop_to.iter().chain(&theirs.stop_propagated_from);
        match kind {
            JobKind::Stop => both.chain(only_stops).for_each(|unit| self.push(unit, JobKind::Stop, need)),
            JobKind::Restart => {
                both.for_each(|unit| self.push_try_restart(unit, need));
                only_stops.for_each(|unit| self.push(unit, JobKind::Stop, need));
            }
            JobKind::Start if self.mode == JobMode::RestartDependencies => {
                both.for_each(|unit| self.push_try_restart(unit, need));
            }
            JobKind::Reload => {
                let reloaded = own.propagates_reload_to.iter().chain(&theirs.reload_propagated_from);
                reloaded.for_each(|unit| self.push_try_reload(unit));
            }
            _ => {}
        }
    }

    /// Whether a unit will only wait for its timer after a job.
    fn runs_nothing(&self, unit: &UnitName, kind: JobKind) -> bool {
        let waits = self.machine.units.get(unit).is_some_and(|managed| managed.waits_at_start());
        let begins = unit == self.anchor && kind == JobKind::Start;
        self.machine.only_arms(unit) || (waits && self.machine.is_waiting(unit) && !begins)
    }

    /// What was made for a connection is over with it.
    fn push_try_restart(&mut self, unit: &UnitName, need: Need) {
        if !self.machine.active_state(unit).is_down() {
            let once = self.machine.units.get(unit).is_some_and(|managed| managed.accepted().is_some());
            self.push(unit, if once { JobKind::Stop } else { JobKind::Restart }, need);
        }
    }

    fn push_try_reload(&mut self, unit: &UnitName) {
        if self.machine.active_state(unit).is_up() && self.machine.can_reload(unit) {
            self.push(unit, JobKind::Reload, Need::Wanted);
        }
    }

    fn stop_all_others(&mut self) {
        for (name, managed) in self.machine.units.iter() {
            let stays = managed.unit().is_some_and(|unit| unit.handling.ignore_on_isolate);
            if !stays && !managed.is_idle() && !self.jobs.contains_key(name) {
                self.jobs.insert(name.clone(), Planned::of(JobKind::Stop, Need::Wanted));
            }
        }
    }

    /// Of two jobs that contradict each other the one goes without which the transaction still does what was
    /// asked for; where both could go, a conflict wins.
    fn resolve(&mut self) {
        let contradictions = self.jobs.iter().filter_map(|(unit, planned)| {
            Some((unit.clone(), planned.up.filter(|(kind, _)| *kind != JobKind::Nop)?.1, planned.down?))
        });
        for (unit, up, down) in contradictions.collect::<Vec<_>>() {
            let way = if up > down { Way::Down } else { Way::Up };
            bar(self.machine, self.barred, &unit, way, RequestError::Contradiction(unit.clone()));
        }
    }
}

/// Bars a job, and all that cannot be without it.
pub(super) fn bar(machine: &Machine, barred: &mut Barred, unit: &UnitName, way: Way, error: RequestError) {
    let mut open = vec![(unit.clone(), way, error)];
    while let Some((unit, way, error)) = open.pop() {
        if barred.contains_key(&(unit.clone(), way)) {
            continue;
        }
        match way {
            Way::Up => {
                for dependent in machine.needing(&unit).filter(|dependent| !machine.only_arms(dependent)) {
                    let reason = RequestError::Dependency {
                        unit: dependent.clone(),
                        dependency: unit.clone(),
                        reason: Box::new(error.clone()),
                    };
                    open.push((dependent.clone(), Way::Up, reason));
                }
            }
            // What is in conflict with a unit that stays up cannot come up.
            Way::Down => {
                open.extend(machine.in_conflict(&unit).map(|rival| (rival.clone(), Way::Up, error.clone())));
            }
        }
        barred.insert((unit, way), error);
    }
}
