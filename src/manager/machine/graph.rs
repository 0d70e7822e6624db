//! Who depends on whom, the other way round: no question about one unit needs a look at all.

use super::Machine;
use crate::unit::model::Dependencies;
use crate::unit::name::UnitName;
use std::collections::BTreeMap;
use std::sync::LazyLock;

static NONE: LazyLock<Dependencies> = LazyLock::new(Dependencies::default);

/// For each unit those that name it, in the set of the same key.
#[derive(Debug, Default, Clone)]
pub(super) struct Graph(BTreeMap<UnitName, Dependencies>);

impl Graph {
    pub(super) fn add(&mut self, unit: &UnitName, dependencies: &Dependencies) {
        for (index, set) in dependencies.sets().into_iter().enumerate() {
            for named in set {
                let dependents = self.0.entry(named.clone()).or_default();
                dependents.sets_mut()[index].insert(unit.clone());
            }
        }
    }

    pub(super) fn remove(&mut self, unit: &UnitName, dependencies: &Dependencies) {
        for (index, set) in dependencies.sets().into_iter().enumerate() {
            for named in set {
                if let Some(dependents) = self.0.get_mut(named) {
                    dependents.sets_mut()[index].remove(unit);
                }
            }
        }
        for named in dependencies.named() {
            if self.0.get(named).is_some_and(|dependents| dependents.named().next().is_none()) {
                self.0.remove(named);
            }
        }
    }

    /// Whether another unit names one.
    pub(super) fn names(&self, name: &UnitName) -> bool {
        self.0.contains_key(name)
    }

    /// Every unit that another one names.
    pub(super) fn named(&self) -> impl Iterator<Item = &UnitName> {
        self.0.keys()
    }
}

impl Machine {
    /// What a unit says of others.
    pub(super) fn dependencies(&self, name: &UnitName) -> &Dependencies {
        self.units.get(name).and_then(|managed| managed.unit()).map_or(&NONE, |unit| &unit.dependencies)
    }

    /// What others say of a unit: in `requires` are those that require it.
    pub fn dependents(&self, name: &UnitName) -> &Dependencies {
        self.graph.0.get(name).unwrap_or(&NONE)
    }

    /// Whether `unit` is ordered after `other`, by either's word.
    pub(super) fn is_after(&self, unit: &UnitName, other: &UnitName) -> bool {
        self.dependencies(unit).after.contains(other) || self.dependencies(other).before.contains(unit)
    }

    /// Every unit that is ordered with this one, or in conflict.
    pub(super) fn ordered_with(&self, name: &UnitName) -> impl Iterator<Item = &UnitName> {
        let (own, theirs) = (self.dependencies(name), self.dependents(name));
        let sets =
            [&own.after, &theirs.before, &own.before, &theirs.after, &own.conflicts, &theirs.conflicts];
        sets.into_iter().flatten()
    }

    /// Whether two units are in conflict, by either's word.
    pub(super) fn are_rivals(&self, one: &UnitName, other: &UnitName) -> bool {
        self.dependencies(one).conflicts.contains(other) || self.dependencies(other).conflicts.contains(one)
    }

    /// Every unit in conflict with this one, by either's word.
    pub(super) fn in_conflict(&self, name: &UnitName) -> impl Iterator<Item = &UnitName> {
        self.dependencies(name).conflicts.iter().chain(&self.dependents(name).conflicts)
    }

    /// Those that cannot start where this one could not.
    pub(super) fn needing(&self, name: &UnitName) -> impl Iterator<Item = &UnitName> {
        let theirs = self.dependents(name);
        theirs.requires.iter().chain(&theirs.binds_to).chain(&theirs.requisite)
    }
}
