//! Ordering cycles: found before the first job is made, and named whole. What comes up in a cycle is refused,
//! unless a job that is merely wanted can be left out. Nothing is kept from going down by one: there a job does
//! without its order.

use super::Machine;
use super::job::{Job, JobKind, JobPhase, Order};
use super::request::RequestError;
use super::transaction::{Barred, Transaction, Way, bar};
use crate::unit::name::UnitName;
use std::collections::HashMap;

/// How far the search is with a unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mark {
    /// It is on the trail that is being walked.
    Open,
    /// No cycle goes through it.
    Done,
}

/// What became of the cycles of a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cycles {
    /// It has none.
    None,
    /// A job was barred, so that there may be one less.
    Broken,
}

impl Machine {
    /// Bars a wanted job of a cycle, as systemd does, or takes one that goes down out of the order.
    pub(super) fn break_cycle(
        &self,
        jobs: &mut Transaction,
        anchor: &UnitName,
        barred: &mut Barred,
    ) -> Result<Cycles, RequestError> {
        while let Some(cycle) = self.find_cycle(jobs.keys(), Way::Down, jobs) {
            // A restart comes up again in its order where a stop can do without.
            let rank = |name: &&UnitName| match jobs.get(*name).and_then(|planned| planned.kind()) {
                Some(JobKind::Stop) if *name != anchor => 0,
                Some(JobKind::Stop) => 1,
                Some(_) => 2,
                None => 3,
            };
            let victim = cycle.iter().min_by_key(rank).cloned();
            let Some(planned) = victim.as_ref().and_then(|victim| jobs.get_mut(victim)) else { break };
            planned.order = Order::Cyclic;
            tell(&cycle, victim.as_ref());
        }
        let Some(cycle) = self.find_cycle(jobs.keys(), Way::Up, jobs) else { return Ok(Cycles::None) };
        let is_wanted =
            |name: &&UnitName| *name != anchor && jobs.get(*name).is_some_and(|job| job.is_wanted());
        let error = RequestError::Cycle(cycle.clone());
        let Some(victim) = cycle.iter().find(is_wanted) else { return Err(error) };
        tracing::warn!(SAMPAN_UNIT = %victim, "{error}; {victim} is left out to break it");
        bar(self, barred, victim, Way::Up, error);
        Ok(Cycles::Broken)
    }

    /// Jobs that wait already may come to wait for each other when their units are read again.
    pub(super) fn break_waiting_cycles(&mut self) {
        let none = Transaction::new();
        for way in [Way::Up, Way::Down] {
            let units: Vec<UnitName> = self.jobs.values().map(|job| job.unit.clone()).collect();
            while let Some(cycle) = self.find_cycle(units.iter(), way, &none) {
                let victim = cycle.first().and_then(|name| self.job_of(name)).map(|job| job.id);
                let Some(job) = victim.and_then(|id| self.jobs.get_mut(&id)) else { break };
                job.order = Order::Cyclic;
                let id = job.id;
                self.requeue(id);
                tell(&cycle, cycle.first());
            }
        }
    }

    /// Walks back from each job to those that come first, depth first and without recursion: a chain of
    /// dependencies can be as long as there are units. Nothing that goes down waits for what comes up, so that
    /// each way has its own cycles.
    fn find_cycle<'a>(
        &'a self,
        starts: impl Iterator<Item = &'a UnitName>,
        way: Way,
        jobs: &Transaction,
    ) -> Option<Vec<UnitName>> {
        let mut marks: HashMap<&UnitName, Mark> = HashMap::new();
        for start in starts {
            if marks.contains_key(start) || !self.goes(start, way, jobs) {
                continue;
            }
            marks.insert(start, Mark::Open);
            let mut trail = vec![(start, self.earlier(start, way, jobs))];
            while let Some((name, open)) = trail.last_mut() {
                let Some(next) = open.pop() else {
                    marks.insert(name, Mark::Done);
                    trail.pop();
                    continue;
                };
                match marks.get(next) {
                    Some(Mark::Done) => {}
                    Some(Mark::Open) => {
                        let cycle = trail.iter().map(|(name, _)| *name).skip_while(|name| *name != next);
                        return Some(cycle.chain([next]).cloned().collect());
                    }
                    None => {
                        marks.insert(next, Mark::Open);
                        let open = self.earlier(next, way, jobs);
                        trail.push((next, open));
                    }
                }
            }
        }
        None
    }

    /// Units whose jobs come before that of a unit.
    fn earlier<'a>(&'a self, name: &'a UnitName, way: Way, jobs: &Transaction) -> Vec<&'a UnitName> {
        let (own, theirs) = (self.dependencies(name), self.dependents(name));
        let sets = match way {
            Way::Up => own.after.iter().chain(&theirs.before),
            Way::Down => own.before.iter().chain(&theirs.after),
        };
        sets.filter(|other| *other != name && self.goes(other, way, jobs)).collect()
    }

    /// Whether a unit has a job that will take it this way in its order, a planned one or one that waits.
    fn goes(&self, name: &UnitName, way: Way, jobs: &Transaction) -> bool {
        let waits = |job: &&Job| job.phase == JobPhase::Waiting;
        let present = self.job_of(name).filter(waits);
        let planned = jobs.get(name).filter(|planned| planned.kind().is_some());
        let order = planned.map(|planned| planned.order).or_else(|| Some(present?.order));
        let kind = match (planned.and_then(|planned| planned.kind()), present.map(|job| job.kind)) {
            (Some(planned), Some(present)) => {
                present.merged(planned, self.active_state(name)).unwrap_or(planned)
            }
            (planned, present) => planned.or(present).unwrap_or(JobKind::Nop),
        };
        let goes = match way {
            Way::Up => !matches!(kind, JobKind::Stop | JobKind::Nop),
            Way::Down => kind.goes_down(),
        };
        goes && order == Some(Order::Kept) && present.is_none_or(|job| job.order == Order::Kept)
    }
}

fn tell(cycle: &[UnitName], victim: Option<&UnitName>) {
    let error = RequestError::Cycle(cycle.to_vec());
    if let Some(victim) = victim {
        tracing::warn!(SAMPAN_UNIT = %victim, "{error}; the job of {victim} does not wait, to break it");
    }
}
