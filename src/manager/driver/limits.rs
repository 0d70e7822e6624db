//! Limits that are changed while a unit is in memory.

use super::Manager;
use crate::systemd::manager::Systemd;
use crate::unit::links::Lasting;
use crate::unit::model::Resources;
use crate::unit::name::UnitName;
use crate::unit::property::Assignment;

impl Manager {
    /// Keeps new limits of a unit and reads it again. Where it runs, the answer is what its scope is to be told, and
    /// who is to tell it.
    ///
    /// # Errors
    /// When the unit is no container, or the limits cannot be kept.
    pub fn set_properties(
        &mut self,
        unit: &UnitName,
        assignments: &[Assignment],
        lasting: Lasting,
    ) -> Result<Option<(Systemd, Resources)>, String> {
        let container = self.machine.unit(unit).and_then(|managed| managed.container());
        container.ok_or_else(|| format!("Unit {unit} is not a loaded container."))?;
        let mut limits = Resources::default();
        for assignment in assignments {
            assignment.apply(&mut limits);
            let kept = assignment.keep(&self.paths, unit, lasting);
            kept.map_err(|(path, error)| format!("{}: {error}", path.display()))?;
        }
        self.reload_one(unit);
        let runs = self.machine.unit(unit).and_then(|managed| managed.main_pid()).is_some();
        Ok(runs.then(|| (self.systemd.clone(), limits)))
    }
}
