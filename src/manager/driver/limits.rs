//! Limits that are changed while a unit is in memory.

use super::{Manager, Note};
use crate::systemd::manager::Systemd;
use crate::unit::block_device;
use crate::unit::links::Lasting;
use crate::unit::model::Resources;
use crate::unit::name::UnitName;
use crate::unit::property::Assignment;

/// Tells of limits of devices that systemd finds no device for: it goes on without, systemd.resource-control(5), and so
/// does the container.
pub(super) fn tell_devices(unit: &UnitName, invocation: Option<&str>, resources: &Resources) {
    if resources.of_devices().iter().all(|(_, limits)| limits.is_empty()) {
        return;
    }
    let (unit, invocation) = (unit.clone(), invocation.map(str::to_owned));
    let resources = resources.clone();
    // A file system that does not answer holds nobody else up.
    drop(tokio::task::spawn_blocking(move || {
        for (key, path, fault) in block_device::faults(&resources) {
            tracing::warn!(
                SAMPAN_UNIT = %unit,
                INVOCATION_ID = invocation,
                "{unit}: {key}: {} {fault}, continuing without this limit.",
                path.display()
            );
        }
    }));
}

impl Manager {
    /// The limits of what runs.
    pub(super) fn running_limits(&self) -> Vec<(UnitName, Resources)> {
        let units = self.machine.units().iter().filter(|(_, managed)| managed.main_pid().is_some());
        units
            .filter_map(|(name, managed)| Some((name.clone(), (*managed.container()?.resources).clone())))
            .collect()
    }

    fn tell_devices_of(&self, unit: &UnitName, resources: &Resources) {
        let run = self.machine.unit(unit).and_then(|managed| managed.run.as_ref());
        tell_devices(unit, run.map(|run| run.invocation.as_str()), resources);
    }

    /// Has a unit that runs follow its files where they were read again, as systemd does with its own units at a
    /// `daemon-reload`.
    pub fn follow_limits(&self, unit: UnitName, before: Resources) {
        let container = self.machine.unit(&unit).and_then(|managed| managed.container());
        let Some(after) = container.map(|container| (*container.resources).clone()) else { return };
        if before == after {
            return;
        }
        self.tell_devices_of(&unit, &after);
        let (systemd, notes) = (self.systemd.clone(), self.notes.clone());
        drop(tokio::task::spawn_local(async move {
            if let Err(error) = systemd.change_limits(&unit.scope(), &before, after).await {
                tracing::warn!(SAMPAN_UNIT = %unit, "{unit}: {error}; its limits stay until it is restarted");
            }
            // The receiver lives as long as the loop.
            let _ = notes.send(Note::LimitsSet(unit));
        }));
    }

    /// Keeps new limits of a unit and reads it again. Where it runs, the answer is who is to tell its scope, what of
    /// the limits so far may go, and what is new.
    ///
    /// # Errors
    /// When the unit is no container, or the limits cannot be kept.
    pub fn set_properties(
        &mut self,
        unit: &UnitName,
        assignments: &[Assignment],
        lasting: Lasting,
    ) -> Result<Option<(Systemd, Resources, Resources)>, String> {
        let container = self.machine.unit(unit).and_then(|managed| managed.container());
        let container = container.ok_or_else(|| format!("Unit {unit} is not a loaded container."))?;
        let (mut whole, mut limits) = (container.resources.clone(), Resources::default());
        // Nothing else goes by what is set: other limits are numbers, and said whatever they were.
        let before = Resources { allowed_cpus: whole.allowed_cpus.clone(), ..Resources::default() };
        limits.allowed_cpus.clone_from(&whole.allowed_cpus);
        let assignments: Vec<Assignment> =
            assignments.iter().map(|assignment| assignment.clone().over(&whole)).collect();
        for assignment in &assignments {
            assignment.apply(&mut whole);
            assignment.apply(&mut limits);
        }
        if whole.managed_oom.has_idle_limit() {
            return Err(format!(
                "{unit}: nothing follows from managed_oom_memory_pressure_limit \
                 without managed_oom_memory_pressure = \"kill\"."
            ));
        }
        for assignment in &assignments {
            let kept = assignment.keep(&self.paths, unit, lasting);
            kept.map_err(|(path, error)| format!("{}: {error}", path.display()))?;
        }
        self.reload_one(unit);
        let managed = self.machine.unit(unit);
        let runs = managed.and_then(|managed| managed.main_pid()).is_some();
        self.tell_devices_of(unit, &limits);
        Ok(runs.then(|| (self.systemd.clone(), before, limits)))
    }
}
