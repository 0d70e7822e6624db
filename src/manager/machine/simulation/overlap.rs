//! Containers of the simulation that have a successor.

use super::super::unit::Standby;
use super::super::*;
use super::world::World;
use std::collections::BTreeMap;

impl World {
    pub fn retire(&mut self, unit: &UnitName, retired: UnitName, run: u64) {
        assert_eq!(self.alive.remove(unit), Some(run), "{unit} is retired, and is not there");
        assert!(!self.alive.contains_key(&retired), "{unit} has three containers");
        self.alive.insert(retired.clone(), run);
        // It is the unit's again already where that may not be started.
        let specification = self.machine.unit(&retired).and_then(Managed::unit).cloned();
        self.units.extend(specification.map(|specification| (retired.clone(), specification)));
        if self.killed.remove(unit) {
            self.killed.insert(retired.clone());
        }
        self.unseen.remove(unit);
        self.readdress(&retired, run);
    }

    pub fn recall(&mut self, unit: UnitName, retired: &UnitName, run: u64) {
        assert_eq!(self.alive.remove(retired), Some(run), "{unit} goes on with what is not there");
        if let Some(hung) = self.alive.insert(unit.clone(), run) {
            assert!(self.killed.remove(&unit), "{unit} goes on with two containers");
            self.killed.insert(retired.clone());
            self.alive.insert(retired.clone(), hung);
            self.readdress(retired, hung);
        }
        self.unseen.insert(unit.clone());
        self.readdress(&unit, run);
    }

    /// What was on its way when a container became that of another unit.
    fn readdress(&mut self, unit: &UnitName, run: u64) {
        for (of, number) in self.pending.iter_mut().filter_map(Event::run_mut) {
            if number == run {
                of.clone_from(unit);
            }
        }
    }

    /// One ends by itself.
    pub fn end_retired(&mut self, unit: &UnitName, choice: u8) {
        let Some(retired) = unit.retired() else { return };
        if let Some(run) = self.alive.get(&retired).copied() {
            self.handle(Event::Ended { unit: retired, run, exit: Exit::Code(1) }, choice);
        }
    }

    /// They stay what they were made as.
    pub fn retired_files(&self) -> BTreeMap<UnitName, Loaded> {
        let retired = self.machine.units().iter().filter(|(name, _)| name.successor().is_some());
        let file = |(name, managed): (&UnitName, &Managed)| {
            Some((name.clone(), Loaded::good(managed.unit()?.clone())))
        };
        retired.filter_map(file).collect()
    }

    /// Whoever has been retired serves until the next one is up, and is stopped then. Meanwhile the unit is up.
    pub fn check_overlap(&self, name: &UnitName, managed: &Managed) {
        if managed.standby == Standby::Serving {
            assert!(managed.active_state().is_up(), "{name} is not up, and its container of before serves");
            let old = name.retired().and_then(|retired| self.machine.unit(&retired));
            assert!(old.is_some_and(|old| !old.phase.is_down()), "{name} goes on with nobody");
        }
        let Some(successor) = name.successor() else { return };
        let serves = self.machine.unit(&successor).is_some_and(|own| own.standby == Standby::Serving);
        let rests = managed.phase == Phase::Running && managed.job.is_none();
        assert!(serves || !rests, "{name} has a successor, and is not stopped");
    }
}
