//! From one request to the jobs that it takes: requirements, conflicts, propagation, cycles.
//! All of it is decided before the first job is made, so that a refused request changes nothing.

use super::Machine;
use super::event::{Request, RequestError, Verb};
use super::job::{JobId, JobKind, JobMode, absorbs};
use super::unit::LoadState;
use crate::unit::model::Dependencies;
use crate::unit::name::UnitName;
use std::collections::BTreeMap;

/// How badly a transaction needs one of its jobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Need {
    /// By `wants` only: dropped where it cannot be.
    Wanted,
    /// By the request or a requirement: the transaction fails with it.
    Required,
}

/// The jobs of one transaction by unit.
type Transaction = BTreeMap<UnitName, (JobKind, Need)>;

impl Machine {
    pub(super) fn enqueue(&mut self, request: &Request) -> Result<JobId, RequestError> {
        let name = &request.unit;
        let active = self.units.get(name).is_some_and(|unit| !unit.phase.is_down());
        let mut transaction = Transaction::new();
        match request.verb {
            Verb::Start => self.add_start(&mut transaction, name, Need::Required)?,
            Verb::Stop => self.add_requested_stop(&mut transaction, name)?,
            Verb::Restart => self.add_restart(&mut transaction, name)?,
            Verb::TryRestart if active => self.add_restart(&mut transaction, name)?,
            Verb::TryRestart => self.add_requested_stop(&mut transaction, name)?,
        }
        self.break_cycles(&mut transaction, name)?;
        self.check_mode(&transaction, request.mode)?;
        let mut anchor = None;
        for (unit, (kind, _)) in &transaction {
            let id = self.install_job(unit, *kind);
            if unit == name {
                anchor = Some(id);
            }
        }
        anchor.ok_or_else(|| RequestError::NotFound(name.clone()))
    }

    fn check_usable(&self, name: &UnitName) -> Result<(), RequestError> {
        if name.is_template() {
            return Err(RequestError::Template(name.clone(), name.as_str().replacen('@', "@NAME", 1)));
        }
        match self.units.get(name).map(|unit| &unit.loaded.state) {
            Some(LoadState::Good) => Ok(()),
            Some(LoadState::Bad(_)) => Err(RequestError::Bad(name.clone())),
            Some(LoadState::Masked) => Err(RequestError::Masked(name.clone())),
            Some(LoadState::NotFound) | None => Err(RequestError::NotFound(name.clone())),
        }
    }

    fn add_start(
        &self,
        transaction: &mut Transaction,
        name: &UnitName,
        need: Need,
    ) -> Result<(), RequestError> {
        match transaction.get_mut(name) {
            Some((JobKind::Stop, _)) => return Err(RequestError::Contradiction(name.clone())),
            Some((_, present)) if *present >= need => return Ok(()),
            Some((_, present)) => *present = need,
            None => {
                self.check_usable(name)?;
                transaction.insert(name.clone(), (JobKind::Start, need));
            }
        }
        self.add_what_a_start_needs(transaction, name, need)
    }

    fn add_what_a_start_needs(
        &self,
        transaction: &mut Transaction,
        name: &UnitName,
        need: Need,
    ) -> Result<(), RequestError> {
        let Some(dependencies) = self.dependencies(name) else { return Ok(()) };
        for dependency in dependencies.requires.iter().chain(&dependencies.binds_to) {
            if !self.is_settled_up(dependency) {
                self.add_start(transaction, dependency, need).map_err(|reason| RequestError::Dependency {
                    unit: name.clone(),
                    dependency: dependency.clone(),
                    reason: Box::new(reason),
                })?;
            }
        }
        for wanted in dependencies.wants.iter().filter(|wanted| !self.is_settled_up(wanted)) {
            let mut with_it = transaction.clone();
            if self.add_start(&mut with_it, wanted, Need::Wanted).is_ok() {
                *transaction = with_it;
            }
        }
        for (other, managed) in &self.units {
            let theirs = managed.unit().is_some_and(|unit| unit.dependencies.conflicts.contains(name));
            let up = !managed.phase.is_down() || managed.job.is_some() || transaction.contains_key(other);
            if other != name && up && (theirs || dependencies.conflicts.contains(other)) {
                self.add_stop(transaction, other)?;
            }
        }
        Ok(())
    }

    /// Whether a dependency is up and nothing is about to change that.
    fn is_settled_up(&self, name: &UnitName) -> bool {
        self.units
            .get(name)
            .is_some_and(|unit| unit.active_state() == super::ActiveState::Active && unit.job.is_none())
    }

    fn add_requested_stop(&self, transaction: &mut Transaction, name: &UnitName) -> Result<(), RequestError> {
        let known = self.units.get(name);
        if known.is_none_or(|unit| unit.loaded.state == LoadState::NotFound && unit.phase.is_down()) {
            return Err(RequestError::NotFound(name.clone()));
        }
        self.add_stop(transaction, name)
    }

    fn add_stop(&self, transaction: &mut Transaction, name: &UnitName) -> Result<(), RequestError> {
        match transaction.get(name) {
            Some((JobKind::Stop, _)) => return Ok(()),
            Some(_) => return Err(RequestError::Contradiction(name.clone())),
            None => transaction.insert(name.clone(), (JobKind::Stop, Need::Required)),
        };
        for dependent in self.live_dependents(name) {
            self.add_stop(transaction, &dependent)?;
        }
        Ok(())
    }

    fn add_restart(&self, transaction: &mut Transaction, name: &UnitName) -> Result<(), RequestError> {
        self.check_usable(name)?;
        if transaction.insert(name.clone(), (JobKind::Restart, Need::Required)).is_some() {
            return Ok(());
        }
        self.add_what_a_start_needs(transaction, name, Need::Required)?;
        for dependent in self.live_dependents(name) {
            if !transaction.contains_key(&dependent) {
                self.add_restart(transaction, &dependent)?;
            }
        }
        Ok(())
    }

    /// Units that are up and must not outlive `name`.
    fn live_dependents(&self, name: &UnitName) -> Vec<UnitName> {
        let depends = |dependencies: &Dependencies| {
            [&dependencies.requires, &dependencies.binds_to, &dependencies.part_of]
                .iter()
                .any(|set| set.contains(name))
        };
        self.units
            .iter()
            .filter(|(_, unit)| !unit.phase.is_down() || unit.job.is_some())
            .filter(|(_, unit)| unit.unit().is_some_and(|unit| depends(&unit.dependencies)))
            .map(|(dependent, _)| dependent.clone())
            .collect()
    }

    /// Drops wanted jobs from ordering cycles, as systemd does, and refuses what is left of them.
    fn break_cycles(&self, transaction: &mut Transaction, anchor: &UnitName) -> Result<(), RequestError> {
        while let Some(cycle) = self.find_cycle(transaction) {
            let victim = cycle.iter().find(|name| {
                *name != anchor && transaction.get(*name).is_some_and(|(_, need)| *need == Need::Wanted)
            });
            match victim {
                Some(victim) => drop_with_dependents(self, transaction, victim),
                None => return Err(RequestError::Cycle(cycle)),
            }
        }
        Ok(())
    }

    fn find_cycle(&self, transaction: &Transaction) -> Option<Vec<UnitName>> {
        let mut done = Vec::new();
        transaction.keys().find_map(|start| self.walk(transaction, start, &mut Vec::new(), &mut done))
    }

    fn walk<'a>(
        &self,
        transaction: &'a Transaction,
        name: &'a UnitName,
        trail: &mut Vec<&'a UnitName>,
        done: &mut Vec<&'a UnitName>,
    ) -> Option<Vec<UnitName>> {
        if let Some(at) = trail.iter().position(|passed| *passed == name) {
            return Some(trail[at..].iter().chain([&name]).map(|name| (*name).clone()).collect());
        }
        if done.contains(&name) {
            return None;
        }
        trail.push(name);
        let earlier = transaction.keys().filter(|other| *other != name && self.is_after(name, other));
        let found = earlier.into_iter().find_map(|other| self.walk(transaction, other, trail, done));
        trail.pop();
        done.push(name);
        found
    }

    fn check_mode(&self, transaction: &Transaction, mode: JobMode) -> Result<(), RequestError> {
        if mode == JobMode::Replace {
            return Ok(());
        }
        for (unit, (kind, _)) in transaction {
            if let Some(job) = self.job_of(unit).filter(|job| !absorbs(job.kind, *kind)) {
                return Err(RequestError::JobExists { unit: unit.clone(), kind: job.kind });
            }
        }
        Ok(())
    }

    pub(super) fn dependencies(&self, name: &UnitName) -> Option<&Dependencies> {
        Some(&self.units.get(name)?.unit()?.dependencies)
    }
}

fn drop_with_dependents(machine: &Machine, transaction: &mut Transaction, victim: &UnitName) {
    transaction.remove(victim);
    let requires = |name: &UnitName| {
        machine.dependencies(name).is_some_and(|dependencies| {
            dependencies.requires.contains(victim) || dependencies.binds_to.contains(victim)
        })
    };
    let orphans: Vec<UnitName> = transaction.keys().filter(|name| requires(name)).cloned().collect();
    for orphan in orphans {
        drop_with_dependents(machine, transaction, &orphan);
    }
}
