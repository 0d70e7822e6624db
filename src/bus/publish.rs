//! Tells subscribers what changes. Nothing is sent, and nothing is kept, while there are none.

use super::serve::{Bus, Shared};
use super::wire::{MANAGER_PATH, dictionary, job_path, transfer_path, unit_path};
use super::{manager, transfer, unit};
use crate::manager::driver::{Notice, TransferNotice};
use crate::manager::transfer::Change;
use crate::manager::view::{self, Property};
use crate::unit::name::UnitName;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use tokio::sync::mpsc::UnboundedReceiver;
use zbus::DynamicType;

/// How many notices are taken at once. Changes of one unit among them are told as one.
const BATCH: usize = 256;

impl Bus {
    /// What carries notices of the manager to the bus until the manager ends.
    pub fn publish(&self, notices: UnboundedReceiver<Notice>) -> impl Future<Output = ()> + use<> {
        let publisher = Publisher { shared: Rc::clone(&self.shared), told: BTreeMap::new() };
        publisher.run(notices)
    }
}

/// What subscribers have been told of each unit, so that only differences are sent.
struct Publisher {
    shared: Rc<Shared>,
    told: BTreeMap<UnitName, Vec<Property>>,
}

impl Publisher {
    async fn run(mut self, mut notices: UnboundedReceiver<Notice>) {
        let mut batch = Vec::new();
        while notices.recv_many(&mut batch, BATCH).await > 0 {
            if !self.shared.subscribers.exist() {
                batch.clear();
                self.told.clear();
                continue;
            }
            if let Err(error) = self.tell(&mut batch).await {
                tracing::debug!("bus: {error}");
            }
        }
    }

    /// A unit's new state is told before the end of the job that led to it.
    async fn tell(&mut self, batch: &mut Vec<Notice>) -> zbus::Result<()> {
        let mut changed = BTreeSet::new();
        for notice in batch.iter() {
            match notice {
                Notice::New(unit) => self.unit_signal("UnitNew", unit).await?,
                Notice::Changed(unit) => drop(changed.insert(unit.clone())),
                _ => {}
            }
        }
        self.changed(changed).await?;
        for notice in batch.drain(..) {
            match notice {
                Notice::New(_) | Notice::Changed(_) => {}
                Notice::Removed(unit) => {
                    self.told.remove(&unit);
                    self.unit_signal("UnitRemoved", &unit).await?;
                }
                Notice::JobNew(id, unit) => {
                    self.signal("JobNew", &(id.0, job_path(id.0), unit.as_str())).await?;
                }
                Notice::JobRemoved(id, unit, result) => {
                    let body = (id.0, job_path(id.0), unit.as_str(), result.as_str());
                    self.signal("JobRemoved", &body).await?;
                }
                Notice::Reloading(active) => self.signal("Reloading", &(active,)).await?,
                Notice::Transfer(id, notice) => self.transfer(id, notice).await?,
            }
        }
        Ok(())
    }

    async fn changed(&mut self, units: BTreeSet<UnitName>) -> zbus::Result<()> {
        if units.is_empty() {
            return Ok(());
        }
        let values = self.shared.manager.with(move |manager| {
            let values = |unit: UnitName| (view::changing(manager, &unit), unit);
            units.into_iter().map(values).collect::<Vec<_>>()
        });
        for (now, unit) in values.await.unwrap_or_default().into_iter().filter(|(now, _)| !now.is_empty()) {
            let before = self.told.insert(unit.clone(), now.clone()).unwrap_or_default();
            let differs = |property: &Property| !before.contains(property);
            let changed: Vec<Property> = now.into_iter().filter(differs).collect();
            if changed.is_empty() {
                continue;
            }
            let body = (unit::NAME, dictionary(changed), Vec::<&str>::new());
            let path = unit_path(unit.as_str());
            emit(&self.shared, path.as_str(), "org.freedesktop.DBus.Properties", "PropertiesChanged", &body)
                .await?;
        }
        Ok(())
    }

    async fn transfer(&self, id: u32, notice: TransferNotice) -> zbus::Result<()> {
        match notice {
            TransferNotice::New(image) => self.told_of(id, "Began", &(image.to_string(),)).await,
            TransferNotice::Changed(Change::Resolved { server, digest }) => {
                self.told_of(id, "Resolved", &(server, digest.to_string())).await
            }
            TransferNotice::Changed(Change::Layer(digest, layer)) => {
                self.told_of(id, "Progress", &(digest.to_string(), layer.done, layer.total)).await
            }
            TransferNotice::Changed(Change::Retrying(reason)) => {
                self.told_of(id, "Retrying", &(reason,)).await
            }
            TransferNotice::Finished(image_id) => self.told_of(id, "Finished", &(image_id,)).await,
            TransferNotice::Failed(reason) => self.told_of(id, "Failed", &(reason,)).await,
            TransferNotice::Canceled => self.told_of(id, "Canceled", &()).await,
        }
    }

    async fn told_of(
        &self,
        id: u32,
        member: &str,
        body: &(impl Serialize + DynamicType),
    ) -> zbus::Result<()> {
        emit(&self.shared, transfer_path(id).as_str(), transfer::NAME, member, body).await
    }

    async fn signal(&self, member: &str, body: &(impl Serialize + DynamicType)) -> zbus::Result<()> {
        emit(&self.shared, MANAGER_PATH, manager::NAME, member, body).await
    }

    async fn unit_signal(&self, member: &str, unit: &UnitName) -> zbus::Result<()> {
        self.signal(member, &(unit.as_str(), unit_path(unit.as_str()))).await
    }
}

/// Tells that links of unit files have changed.
pub(super) async fn unit_files_changed(shared: &Shared) {
    if !shared.subscribers.exist() {
        return;
    }
    if let Err(error) = emit(shared, MANAGER_PATH, manager::NAME, "UnitFilesChanged", &()).await {
        tracing::debug!("bus: {error}");
    }
}

async fn emit(
    shared: &Shared,
    path: &str,
    interface: &str,
    member: &str,
    body: &(impl Serialize + DynamicType),
) -> zbus::Result<()> {
    shared.connection.emit_signal(None::<&str>, path, interface, member, body).await
}
