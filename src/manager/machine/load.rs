//! Unit files into the core. While a unit is up, its last valid version rules on.

use super::Machine;
use super::event::Action;
use super::job::JobResult;
use super::native::Native;
use super::unit::{LoadState, Loaded, Managed};
use crate::unit::name::{UnitKind, UnitName};
use std::collections::{BTreeMap, BTreeSet};

impl Machine {
    /// All unit files have been read again.
    pub(super) fn replace_units(&mut self, mut loaded: BTreeMap<UnitName, Loaded>) {
        let gone: Vec<UnitName> =
            self.units.keys().filter(|name| !loaded.contains_key(name)).cloned().collect();
        loaded.extend(gone.into_iter().map(|name| (name, Loaded::unusable(LoadState::NotFound))));
        self.insert_units(loaded);
    }

    pub(super) fn insert_units(&mut self, loaded: BTreeMap<UnitName, Loaded>) {
        for (name, new) in loaded {
            self.insert_unit(name, new);
        }
        self.watch_natives();
        self.break_waiting_cycles();
        self.requeue_all();
    }

    fn insert_unit(&mut self, name: UnitName, mut new: Loaded) {
        let Some(managed) = self.units.get_mut(&name) else {
            if new.state != LoadState::NotFound || new.unit.is_some() {
                self.forget_native(&name);
                if let Some(unit) = &new.unit {
                    self.graph.add(&name, &unit.dependencies);
                }
                self.actions.push(Action::Changed(name.clone()));
                self.units.insert(name, Managed::new(new));
            }
            return;
        };
        if new.unit.is_none() && (new.state == LoadState::NotFound || !managed.is_forgettable()) {
            new.unit = managed.loaded.unit.clone();
        }
        if managed.loaded == new {
            return;
        }
        if new.state == LoadState::NotFound {
            self.vanished.insert(name.clone());
        }
        let old = std::mem::replace(&mut managed.loaded, new.clone());
        if let Some(unit) = &old.unit {
            self.graph.remove(&name, &unit.dependencies);
        }
        if let Some(unit) = &new.unit {
            self.graph.add(&name, &unit.dependencies);
        }
        if let Some((old, new)) = old.unit.zip(new.unit) {
            self.change_limits(&name, &old, &new);
            self.change_timer(&name, &old, &new);
        }
        self.actions.push(Action::Changed(name));
    }

    /// A unit without a file stays in memory for as long as there is something to tell of it.
    pub(super) fn forget_vanished(&mut self) {
        let units = &self.units;
        let is_over = |name: &UnitName| {
            let managed = units.get(name);
            managed.is_none_or(|own| own.loaded.state != LoadState::NotFound || own.is_forgettable())
        };
        let vanished = std::mem::take(&mut self.vanished);
        let (over, stays): (BTreeSet<_>, BTreeSet<_>) = vanished.into_iter().partition(is_over);
        self.vanished = stays;
        for name in &over {
            let gone = self.units.get(name).is_some_and(|own| own.loaded.state == LoadState::NotFound);
            if !gone {
                continue;
            }
            self.close_sockets(name);
            let Some(managed) = self.units.remove(name) else { continue };
            if let Some(unit) = managed.unit() {
                self.graph.remove(name, &unit.dependencies);
            }
            self.actions.push(Action::Removed(name.clone()));
        }
        if !over.is_empty() {
            self.watch_natives();
        }
    }

    /// Names that ours depend on and that are none of ours are units of systemd's.
    fn watch_natives(&mut self) {
        let can_be = |name: &&UnitName| {
            matches!(name.kind(), UnitKind::Native | UnitKind::Target) && !self.units.contains_key(name)
        };
        let named: Vec<UnitName> = self.graph.named().filter(can_be).cloned().collect();
        for name in &named {
            if !self.natives.contains_key(name) {
                self.natives.insert(name.clone(), Native::default());
                self.actions.push(Action::WatchNative(name.clone()));
            }
        }
        let unnamed = self
            .natives
            .iter()
            .filter(|(name, native)| native.job.is_none() && named.binary_search(name).is_err());
        for name in unnamed.map(|(name, _)| name.clone()).collect::<Vec<_>>() {
            self.forget_native(&name);
        }
    }

    /// The job of a unit of systemd's is over that has kept it in memory.
    pub(super) fn forget_unnamed(&mut self, name: &UnitName) {
        let idle = self.natives.get(name).is_some_and(|native| native.job.is_none());
        if idle && !self.graph.names(name) {
            self.forget_native(name);
        }
    }

    fn forget_native(&mut self, name: &UnitName) {
        if let Some(job) = self.natives.get(name).and_then(|native| native.job) {
            self.finish_job(job, JobResult::Canceled);
        }
        if self.natives.remove(name).is_some() {
            self.wake(name);
            self.actions.push(Action::UnwatchNative(name.clone()));
        }
    }
}
