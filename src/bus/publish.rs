//! Puts the manager on the bus and tells clients what changes.

use super::manager::ManagerObject;
use super::transfer::{self, TransferObject};
use super::unit::{INTERFACE, UnitObject, dictionary};
use super::wire::{BUS_NAME, MANAGER_PATH, job_path, transfer_path, unit_path};
use crate::manager::driver::{ManagerHandle, Notice, TransferNotice};
use crate::manager::view::Property;
use crate::systemd::manager::Systemd;
use crate::unit::name::UnitName;
use std::borrow::Cow;
use std::collections::BTreeMap;
use tokio::sync::mpsc::UnboundedReceiver;
use zbus::Connection;
use zbus::names::InterfaceName;
use zbus::object_server::SignalEmitter;

/// Exports the manager's object on the connection that systemd knows as the controller of our scopes.
///
/// # Errors
/// When the bus does not take the object.
pub async fn export(systemd: &Systemd, manager: &ManagerHandle) -> zbus::Result<()> {
    systemd.connection().object_server().at(MANAGER_PATH, ManagerObject::new(manager.clone())).await?;
    Ok(())
}

/// Takes our name; from now on clients find us.
///
/// # Errors
/// When another process has the name, or the bus policy forbids it.
pub async fn take_name(systemd: &Systemd) -> zbus::Result<()> {
    systemd.connection().request_name(BUS_NAME).await
}

/// Carries notices of the manager to the bus until the manager ends.
pub async fn publish(systemd: Systemd, manager: ManagerHandle, mut notices: UnboundedReceiver<Notice>) {
    let mut publisher =
        Publisher { connection: systemd.connection().clone(), manager, units: BTreeMap::new() };
    while let Some(notice) = notices.recv().await {
        if let Err(error) = publisher.tell(notice).await {
            tracing::debug!("bus: {error}");
        }
    }
}

/// What clients have been told of each unit, so that only differences are sent.
struct Publisher {
    connection: Connection,
    manager: ManagerHandle,
    units: BTreeMap<UnitName, Vec<Property>>,
}

impl Publisher {
    async fn tell(&mut self, notice: Notice) -> zbus::Result<()> {
        match notice {
            Notice::JobNew(id, unit) => {
                let emitter = SignalEmitter::new(&self.connection, MANAGER_PATH)?;
                ManagerObject::job_new(&emitter, id.0, job_path(id.0), unit.to_string()).await
            }
            Notice::JobRemoved(id, unit, _, result) => {
                let emitter = SignalEmitter::new(&self.connection, MANAGER_PATH)?;
                let result = result.as_str().to_owned();
                ManagerObject::job_removed(&emitter, id.0, job_path(id.0), unit.to_string(), result).await
            }
            Notice::Changed(unit, properties) => self.changed(unit, properties).await,
            Notice::Transfer(id, notice) => self.transfer(id, notice).await,
            Notice::Removed(unit) => {
                self.units.remove(&unit);
                let server = self.connection.object_server();
                server.remove::<UnitObject, _>(unit_path(unit.as_str())).await.map(drop)
            }
        }
    }

    /// The object is there before its first signal and after its last.
    async fn transfer(&self, id: u32, notice: TransferNotice) -> zbus::Result<()> {
        let (path, server) = (transfer_path(id), self.connection.object_server());
        if let TransferNotice::New(_) = &notice {
            server.at(&path, TransferObject::new(id, self.manager.clone())).await?;
        }
        let is_last = matches!(
            notice,
            TransferNotice::Finished(_) | TransferNotice::Failed(_) | TransferNotice::Canceled
        );
        transfer::tell(&SignalEmitter::new(&self.connection, &path)?, notice).await?;
        if is_last {
            server.remove::<TransferObject, _>(&path).await?;
        }
        Ok(())
    }

    async fn changed(&mut self, unit: UnitName, properties: Vec<Property>) -> zbus::Result<()> {
        let path = unit_path(unit.as_str());
        let Some(known) = self.units.insert(unit.clone(), properties.clone()) else {
            let Some(all) = self.manager.properties(unit.clone()).await else { return Ok(()) };
            let object = UnitObject::new(unit, self.manager.clone(), &all);
            return self.connection.object_server().at(path, object).await.map(drop);
        };
        let differs = |property: &Property| !known.contains(property);
        let changed: Vec<Property> = properties.into_iter().filter(differs).collect();
        if changed.is_empty() {
            return Ok(());
        }
        let dictionary = dictionary(changed)?;
        let changed = dictionary.iter().map(|(name, value)| (name.as_str(), zbus::Variant::clone(value)));
        let emitter = SignalEmitter::new(&self.connection, path)?;
        let interface = InterfaceName::from_static_str_unchecked(INTERFACE);
        zbus::fdo::Properties::properties_changed(&emitter, interface, changed.collect(), Cow::Borrowed(&[]))
            .await
    }
}
