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

/// Our side of the bus: objects, name and signals, on one connection after the other.
pub struct Publisher {
    systemd: Systemd,
    /// The connection that systemd knows as the controller of our scopes.
    connection: Connection,
    manager: ManagerHandle,
    notices: UnboundedReceiver<Notice>,
    /// What clients have been told of each unit, so that only differences are sent.
    units: BTreeMap<UnitName, Vec<Property>>,
}

impl Publisher {
    /// Exports the manager's object and takes our name; from then on clients find us.
    ///
    /// # Errors
    /// When another process has the name, or the bus policy forbids it.
    pub async fn begin(
        systemd: Systemd,
        manager: ManagerHandle,
        notices: UnboundedReceiver<Notice>,
    ) -> zbus::Result<Self> {
        let connection = systemd.connection().await;
        let publisher = Self { systemd, connection, manager, notices, units: BTreeMap::new() };
        publisher.appear().await?;
        Ok(publisher)
    }

    async fn appear(&self) -> zbus::Result<()> {
        let server = self.connection.object_server();
        server.at(MANAGER_PATH, ManagerObject::new(self.manager.clone())).await?;
        self.connection.request_name(BUS_NAME).await
    }

    /// Carries notices of the manager to the bus until the manager ends.
    pub async fn run(mut self) {
        let systemd = self.systemd.clone();
        loop {
            let connection = self.connection.clone();
            tokio::select! {
                notice = self.notices.recv() => {
                    let Some(notice) = notice else { return };
                    if let Err(error) = self.tell(notice).await {
                        tracing::debug!("bus: {error}");
                    }
                }
                () = systemd.replaced(&connection) => self.move_on().await,
            }
        }
    }

    /// Takes everything to a new connection.
    async fn move_on(&mut self) {
        self.connection = self.systemd.connection().await;
        let objects = async {
            for unit in self.units.keys() {
                if let Some(all) = self.manager.properties(unit.clone()).await {
                    let object = UnitObject::new(unit.clone(), self.manager.clone(), &all);
                    self.connection.object_server().at(unit_path(unit.as_str()), object).await?;
                }
            }
            let transfers: Option<Vec<u32>> = self
                .manager
                .with(|manager| manager.transfers().all().map(|transfer| transfer.id).collect())
                .await;
            for id in transfers.unwrap_or_default() {
                let object = TransferObject::new(id, self.manager.clone());
                self.connection.object_server().at(transfer_path(id), object).await?;
            }
            self.appear().await
        };
        match objects.await {
            Ok(()) => tracing::info!("Back on the bus as {BUS_NAME}."),
            Err(error) => tracing::error!("cannot come back to the bus as {BUS_NAME}: {error}"),
        }
    }

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
