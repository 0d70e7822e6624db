//! Services of systemd's that stand for units: `sampan@web.service` starts and stops `web.container`, and is
//! stopped here when the unit goes down. Nothing of it stays beside the container.

use super::Manager;
use crate::manager::machine::{Exit, Managed};
use crate::systemd::SystemdError;
use crate::systemd::manager::Systemd;
use crate::systemd::native::{NativeActive, StopMode};
use crate::unit::model::ServiceType;
use crate::unit::name::UnitName;
use std::collections::BTreeSet;

const PREFIX: &str = "sampan@";
const SUFFIX: &str = ".service";

/// What is known of units whose services may have to be stopped.
#[derive(Debug, Default)]
pub(super) struct Services {
    /// Units that are up, or have a job.
    up: BTreeSet<UnitName>,
    /// Units that a job brought down in this turn of the loop.
    stopped: BTreeSet<UnitName>,
}

impl Services {
    /// A job has brought the unit down.
    pub(super) fn stopped(&mut self, unit: &UnitName) {
        self.stopped.insert(unit.clone());
    }

    /// The turn of the loop is over.
    pub(super) fn end_turn(&mut self) {
        self.stopped.clear();
    }
}

impl Manager {
    /// Looks whether a unit that changed went down.
    pub(super) fn follow_service(&mut self, unit: &UnitName) {
        let Some(managed) = self.machine.unit(unit) else { return };
        if !managed.is_idle() {
            self.services.up.insert(unit.clone());
        } else if self.services.up.remove(unit) && !is_finished(managed) {
            let stopped = self.services.stopped.contains(unit);
            let mode = if stopped { StopMode::WithDependents } else { StopMode::Alone };
            let (systemd, unit) = (self.systemd.clone(), unit.clone());
            tokio::task::spawn_local(async move {
                if let Err(error) = stop_services(&systemd, &unit, mode).await {
                    tracing::warn!(SAMPAN_UNIT = %unit, "{error}");
                }
            });
        }
    }

    /// Stops services whose units went down while nobody looked.
    pub(super) fn look_at_services(&self) {
        let units = self.machine.units().iter();
        let down = units.filter(|(_, managed)| managed.is_idle() && !is_finished(managed));
        let down: BTreeSet<UnitName> = down.map(|(name, _)| name.clone()).collect();
        drop(tokio::task::spawn_local(stop_orphans(self.systemd.clone(), down)));
    }
}

async fn stop_orphans(systemd: Systemd, down: BTreeSet<UnitName>) {
    // What systemd cannot be asked now, it is asked when it is back.
    let services = systemd.units_up(&format!("{PREFIX}*{SUFFIX}")).await.unwrap_or_default();
    for (service, state) in services {
        let is_orphaned = state.active == NativeActive::Active
            && unit_of(&service).is_some_and(|unit| down.contains(&unit));
        if is_orphaned && let Err(error) = systemd.stop_unit(&service, StopMode::Alone).await {
            tracing::warn!("{error}");
        }
    }
}

/// A oneshot that has done its work leaves its service as `RemainAfterExit=` means it.
fn is_finished(managed: &Managed) -> bool {
    let oneshot = managed.container().is_some_and(|container| container.kind == ServiceType::Oneshot);
    oneshot && managed.run.as_ref().and_then(|run| run.exit) == Some(Exit::Code(0))
}

async fn stop_services(systemd: &Systemd, unit: &UnitName, mode: StopMode) -> Result<(), SystemdError> {
    for (service, _) in systemd.units_up(&format!("{PREFIX}*{SUFFIX}")).await? {
        // One that is just starting waits for a start of the unit that is over, or comes after this.
        if unit_of(&service).as_ref() == Some(unit)
            && systemd.settled(&service).await?.active == NativeActive::Active
        {
            systemd.stop_unit(&service, mode).await?;
        }
    }
    Ok(())
}

/// The unit that a service stands for.
fn unit_of(service: &str) -> Option<UnitName> {
    UnitName::from_command_line(service.strip_prefix(PREFIX)?.strip_suffix(SUFFIX)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_stand_for_units() {
        for (service, unit) in [
            ("sampan@web.service", Some("web.container")),
            ("sampan@my-web.service", Some("my-web.container")),
            ("sampan@web@blue.service", Some("web@blue.container")),
            (r"sampan@web\x40blue.service", Some("web@blue.container")),
            (r"sampan@my\x2dweb.service", Some("my-web.container")),
            ("sampan@lamp.target.service", Some("lamp.target")),
            ("sampand.service", None),
            ("sampan@.service", None),
            (r"sampan@a\x2.service", None),
        ] {
            assert_eq!(unit_of(service).as_ref().map(UnitName::as_str), unit, "{service}");
        }
    }
}
