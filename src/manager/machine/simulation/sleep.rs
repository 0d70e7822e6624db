//! Containers of the simulation that are brought to a standstill, and who may go on.

use super::super::*;
use super::world::World;

impl World {
    /// Follows what an action does to a container that stands still.
    pub fn note_motion(&mut self, action: &Action, choice: u8) {
        match action {
            Action::Freeze { unit, run, purpose } => self.freeze(unit, *run, *purpose, choice),
            Action::WatchSockets(unit) => drop(self.looked_at.insert(unit.clone())),
            Action::UnwatchSockets(unit) | Action::CloseSockets(unit) => drop(self.looked_at.remove(unit)),
            Action::Thaw { unit, .. }
            | Action::Terminate { unit, .. }
            | Action::Kill { unit, .. }
            | Action::Abort { unit, .. }
            | Action::RunCommands { unit, .. } => drop(self.standing.remove(unit)),
            _ => {}
        }
    }

    /// Somebody may come while it is being done, and the answer may never come.
    fn freeze(&mut self, unit: &UnitName, run: u64, purpose: Purpose, choice: u8) {
        let managed = self.machine.unit(unit).expect("it is in memory");
        assert!(managed.idle().is_some(), "{unit} never sleeps, and is frozen");
        if purpose == Purpose::Sleep {
            assert_ne!(managed.phase, Phase::Frozen, "{unit} sleeps already");
        }
        let unit = unit.clone();
        match choice % 4 {
            0 => self.pending.push_back(Event::Wanted { unit }),
            1 => {}
            _ => {
                self.standing.insert(unit.clone());
                self.pending.push_back(Event::Frozen { unit, run });
            }
        }
    }

    /// Nothing stands still that is meant to go on, and what sleeps can be woken.
    pub fn check_sleep(&self, name: &UnitName, managed: &Managed) {
        let stands = self.standing.contains(name) && self.alive.contains_key(name);
        assert!(!stands || managed.phase.sleeps(), "{name} is {:?} and stands still", managed.phase);
        let wakes = self.looked_at.contains(name) && self.open.contains(name);
        assert!(managed.phase != Phase::Frozen || wakes, "{name} sleeps, and nobody can wake it");
    }
}
