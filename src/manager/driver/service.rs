//! Services of systemd's that stand for units: `sampan@web.service` starts and stops `web.container`, and is
//! stopped here when the unit goes down. Nothing of it stays beside the container.

use super::Manager;
use crate::manager::machine::{Exit, Managed};
use crate::systemd::manager::Systemd;
use crate::systemd::native::{NativeActive, StopMode};
use crate::unit::model::ServiceType;
use crate::unit::name::UnitName;
use std::collections::{BTreeMap, BTreeSet};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

const PREFIX: &str = "sampan@";
const SUFFIX: &str = ".service";

/// What is known of units whose services may have to be stopped.
#[derive(Debug)]
pub(super) struct Services {
    /// Units that are up, or have a job.
    up: BTreeSet<UnitName>,
    /// Units that a job brought down in this turn of the loop.
    stopped: BTreeSet<UnitName>,
    /// Units that went down, to the task that stops their services.
    down: UnboundedSender<(UnitName, StopMode)>,
}

impl Services {
    pub(super) fn new(systemd: Systemd) -> Self {
        let (down, units) = unbounded_channel();
        tokio::task::spawn_local(stop_services(systemd, units));
        Self { up: BTreeSet::new(), stopped: BTreeSet::new(), down }
    }

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
        // What is made for a connection has none.
        let Some(managed) = self.machine.unit(unit).filter(|managed| managed.accepted().is_none()) else {
            return;
        };
        if !managed.is_idle() {
            self.services.up.insert(unit.clone());
        } else if self.services.up.remove(unit) && !is_finished(managed) {
            let stopped = self.services.stopped.contains(unit);
            let mode = if stopped { StopMode::WithDependents } else { StopMode::Alone };
            // The receiver lives as long as the manager.
            let _ = self.services.down.send((unit.clone(), mode));
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

/// Stops the services of units as they go down. systemd is asked once for all that went down meanwhile.
async fn stop_services(systemd: Systemd, mut units: UnboundedReceiver<(UnitName, StopMode)>) {
    let mut batch = Vec::new();
    while units.recv_many(&mut batch, usize::MAX).await > 0 {
        let down: BTreeMap<_, _> = batch.drain(..).collect();
        let up = systemd.units_up(&format!("{PREFIX}*{SUFFIX}")).await;
        let up = up.inspect_err(|error| tracing::warn!("{error}")).unwrap_or_default();
        for (service, _) in up {
            if let Some(mode) = unit_of(&service).and_then(|unit| down.get(&unit)).copied() {
                drop(tokio::task::spawn_local(stop_service(systemd.clone(), service, mode)));
            }
        }
    }
}

async fn stop_service(systemd: Systemd, service: String, mode: StopMode) {
    let stopped = async {
        // One that is just starting waits for a start of the unit that is over, or comes after this.
        match systemd.settled(&service).await?.active {
            NativeActive::Active => systemd.stop_unit(&service, mode).await,
            _ => Ok(()),
        }
    };
    if let Err(error) = stopped.await {
        tracing::warn!("{error}");
    }
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
