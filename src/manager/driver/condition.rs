//! Conditions and asserts of a unit: a unit that has any is not loaded yet, so the core asks for none.

use super::Manager;
use crate::manager::machine::Event;
use crate::unit::name::UnitName;

impl Manager {
    pub(super) fn check_conditions(&self, unit: &UnitName) {
        self.later(Event::ConditionsChecked { unit: unit.clone(), result: Ok(()) });
    }
}
