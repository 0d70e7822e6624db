//! Unit files that change, and managers that die: what is read, when, and by whom.

use super::super::*;
use super::fixture::left;
use super::world::World;
use std::collections::BTreeMap;

impl World {
    /// All files are read.
    pub fn load(&mut self, choice: u8) {
        let mut loaded = self.files.clone();
        loaded.extend(self.retired_files());
        self.rule(&loaded);
        self.handle(Event::Loaded(loaded), choice);
        if !self.adopts {
            self.check_control();
        }
    }

    /// What is valid rules from now on; what is not, no sooner than the unit is down.
    fn rule(&mut self, loaded: &BTreeMap<UnitName, Loaded>) {
        let differs = self.files_differ();
        for (name, file) in loaded {
            let managed = self.machine.unit(name);
            let idle = managed.is_none_or(Managed::is_forgettable);
            match &file.unit {
                Some(unit) => drop(self.units.insert(name.clone(), unit.clone())),
                None if idle => drop(self.units.remove(name)),
                None => {}
            }
        }
        if !differs {
            return;
        }
        self.unseen.clear();
        let running = self.machine.jobs().values().filter(|job| job.phase == JobPhase::Running);
        self.begun = running.map(|job| job.id).collect();
        // What was decided by the versions before is not decided again, as in systemd.
        let decided = self.machine.units().iter().filter(|(_, managed)| !managed.is_idle());
        self.risen.extend(decided.map(|(name, _)| name.clone()));
    }

    /// Whether a reload brings anything new.
    fn files_differ(&self) -> bool {
        let is_new =
            |(name, file): (_, &Loaded)| file.unit.is_some() && file.unit.as_ref() != self.units.get(name);
        self.files.iter().any(is_new)
    }

    /// Somebody writes a file, breaks it, masks it, removes it or brings it back, and mostly says so.
    pub fn rewrite(&mut self, unit: UnitName, choice: u8) {
        let versions = &self.versions[&unit];
        let file = match choice / 8 % 8 {
            5 => Loaded::unusable(LoadState::Bad("x".into())),
            6 => Loaded::unusable(LoadState::Masked),
            7 => Loaded::unusable(LoadState::NotFound),
            version => Loaded::good(versions[usize::from(version) % versions.len()].clone()),
        };
        let dependencies = file.unit.as_ref().map(|unit| &unit.dependencies);
        self.tell(format_args!("{unit} is {} now: {dependencies:?}", file.state.as_str()));
        self.files.insert(unit, file);
        if choice / 64 != 0 {
            self.load(choice);
        }
    }

    /// The manager is gone at once, and another one finds its records and what lives.
    pub fn crash(&mut self, choice: u8) {
        self.tell(format_args!("{:?} crash", self.now));
        let old = std::mem::take(&mut self.machine);
        self.pending.clear();
        self.seeking.clear();
        self.commands.clear();
        self.unseen.clear();
        self.jobs.clear();
        self.watched.clear();
        self.adopts = true;
        self.begun.clear();
        if self.files_differ() {
            self.risen.extend(old.units().keys().cloned());
        }
        self.load(choice);
        // Descriptors of units that nobody knows are closed.
        self.open.retain(|unit| old.units().contains_key(unit));
        // What was retired first: what becomes of the others hangs on it.
        let mut units: Vec<_> = old.units().iter().collect();
        units.sort_by_key(|(unit, _)| unit.successor().is_none());
        for (unit, managed) in units {
            if managed.phase == Phase::Dead && managed.job.is_none() {
                // It has no record.
                self.open.remove(unit);
                self.alive.remove(unit);
                self.launches.remove(unit);
                if unit.successor().is_some() {
                    self.units.remove(unit);
                }
                continue;
            }
            self.restore_definition(unit, managed, choice);
            self.adopt(unit, left(&old, unit), choice);
        }
        self.adopts = false;
        self.handle(Event::AdoptionDone, choice);
    }

    /// What has no valid file goes on by the version that ruled.
    fn restore_definition(&mut self, name: &UnitName, managed: &Managed, choice: u8) {
        let Some(unit) = managed.unit() else { return };
        let own = || Loaded::good(unit.clone());
        let file = self.files.get(name).cloned().unwrap_or_else(own);
        if self.machine.unit(name).is_none() && name.successor().is_some() {
            self.handle(Event::LoadedMore(BTreeMap::from([(name.clone(), file)])), choice);
        } else if file.unit.is_none() {
            let restored = Loaded { unit: Some(unit.clone()), ..file.clone() };
            self.units.insert(name.clone(), unit.clone());
            self.handle(Event::LoadedMore(BTreeMap::from([(name.clone(), restored)])), choice);
        }
    }

    fn adopt(&mut self, unit: &UnitName, left: Left, choice: u8) {
        let run = left.run.clone().filter(|run| run.ended.is_none());
        let may_run = left.phase.has_run();
        let begun = run.as_ref().is_some_and(|run| run.pid != 0);
        if !begun {
            self.alive.remove(unit);
        }
        if !self.machine.unit(unit).is_some_and(Managed::has_sockets) {
            // The store is asked for those only that the unit names.
            self.open.remove(unit);
        }
        self.handle(Event::Adopted { unit: unit.clone(), left: Box::new(left) }, choice);
        let Some(run) = run.filter(|_| begun).map(|run| run.number) else { return };
        self.pending.push_back(Event::Executed { unit: unit.clone(), run });
        if choice.is_multiple_of(3) || !may_run {
            self.pending.push_back(Event::Ended { unit: unit.clone(), run, exit: Exit::Unknown });
        }
    }
}
