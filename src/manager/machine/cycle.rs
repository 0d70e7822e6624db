//! Ordering cycles: found before the first job is made, broken where a job is merely wanted, and otherwise
//! named whole.

use super::Machine;
use super::job::{JobKind, JobPhase, Order};
use super::request::RequestError;
use super::transaction::{Barred, Need, Transaction, Way, bar};
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

impl Machine {
    /// Bars a wanted job of a cycle, as systemd does; answers with the cycle.
    pub(super) fn break_cycle(
        &self,
        jobs: &Transaction,
        anchor: &UnitName,
        barred: &mut Barred,
    ) -> Result<Option<Vec<UnitName>>, RequestError> {
        let Some(cycle) = self.find_cycle(jobs) else { return Ok(None) };
        let victim = cycle.iter().find_map(|name| {
            let planned = jobs.get(name).filter(|_| name != anchor)?;
            match (planned.up, planned.down) {
                (Some((_, Need::Wanted)), _) => Some((name, Way::Up)),
                (None, Some(Need::Wanted)) => Some((name, Way::Down)),
                _ => None,
            }
        });
        let error = RequestError::Cycle(cycle.clone());
        let Some((victim, way)) = victim else { return Err(error) };
        tracing::warn!(SAMPAN_UNIT = %victim, "{error}; {victim} is left out to break it");
        bar(self, barred, victim, way, error);
        Ok(Some(cycle))
    }

    /// Walks back from each job to those that come first, depth first and without recursion: a chain of
    /// dependencies can be as long as there are units.
    fn find_cycle(&self, jobs: &Transaction) -> Option<Vec<UnitName>> {
        let mut marks: HashMap<&UnitName, Mark> = HashMap::new();
        for start in jobs.keys() {
            if marks.contains_key(start) {
                continue;
            }
            marks.insert(start, Mark::Open);
            let mut trail = vec![(start, self.earlier(jobs, start))];
            while let Some((name, open)) = trail.last_mut() {
                let Some(next) = open.pop() else {
                    marks.insert(name, Mark::Done);
                    trail.pop();
                    continue;
                };
                match marks.get(next) {
                    Some(Mark::Done) => {}
                    Some(Mark::Open) => {
                        let way = trail.iter().map(|(name, _)| *name).skip_while(|name| *name != next);
                        return Some(way.chain([next]).cloned().collect());
                    }
                    None => {
                        marks.insert(next, Mark::Open);
                        let open = self.earlier(jobs, next);
                        trail.push((next, open));
                    }
                }
            }
        }
        None
    }

    /// Units whose jobs come before that of a unit, planned ones and those that wait already.
    fn earlier<'a>(&'a self, jobs: &Transaction, name: &'a UnitName) -> Vec<&'a UnitName> {
        let Some(kind) = self.coming(jobs, name) else { return Vec::new() };
        let earlier = |other: &&UnitName| {
            self.coming(jobs, other).is_some_and(|theirs| self.comes_first((other, theirs), (name, kind)))
        };
        self.ordered_with(name).filter(earlier).collect()
    }

    fn coming(&self, jobs: &Transaction, name: &UnitName) -> Option<JobKind> {
        let waits = |job: &&super::Job| job.phase == JobPhase::Waiting && job.order == Order::Kept;
        let planned = jobs.get(name).and_then(super::transaction::Planned::kind);
        planned.or_else(|| self.job_of(name).filter(waits).map(|job| job.kind))
    }
}
