//! Conditions and asserts: whether a start may go on. Only the driver can look at the host.

use super::Machine;
use super::event::Unmet;
use crate::unit::name::UnitName;

impl Machine {
    pub(super) fn conditions_checked(&mut self, name: &UnitName, result: Result<(), Unmet>) {
        if let Some(managed) = self.units.get_mut(name) {
            managed.unmet = result.err();
        }
    }
}
