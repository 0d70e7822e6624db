//! Tells subscribers what changes. Nothing is sent, and nothing is kept, while there are none.

use super::ledger::Space;
use super::serve::Shared;
use super::wire::{MANAGER_PATH, dictionary, job_path, transfer_path, unit_path};
use super::{manager, transfer as own, unit};
use crate::manager::driver::{Notice, TransferNotice};
use crate::manager::transfer::Change;
use crate::manager::view::{self, Property};
use crate::transfer::Report;
use crate::unit::name::UnitName;
use serde::Serialize;
use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::rc::Rc;
use tokio::sync::mpsc::UnboundedReceiver;
use zbus::{DynamicType, Message};

/// How many notices are taken at once. Changes of one unit among them are told as one.
const BATCH: usize = 256;

/// What carries notices of the manager to the bus.
pub(super) struct Publisher {
    notices: UnboundedReceiver<Notice>,
}

/// What those who listen have been told of each unit, so that only differences are sent: a hash of each property. It is
/// one block of memory for all units, which is wholly free when nobody listens any more.
#[derive(Default)]
pub(super) struct Told(RefCell<HashMap<UnitName, [u64; view::TOLD]>>);

impl Told {
    /// Those properties of a unit that are not as they were told last.
    fn news(&self, unit: &UnitName, now: Vec<Property>) -> Vec<Property> {
        let hashes = std::array::from_fn(|index| now.get(index).map(hash).unwrap_or_default());
        let before = self.0.borrow_mut().insert(unit.clone(), hashes);
        let is_news = |index: usize| before.is_none_or(|before| before[index] != hashes[index]);
        now.into_iter()
            .enumerate()
            .filter(|(index, _)| is_news(*index))
            .map(|(_, property)| property)
            .collect()
    }

    fn forget(&self, unit: &UnitName) {
        self.0.borrow_mut().remove(unit);
    }
}

fn hash(property: &Property) -> u64 {
    let mut hasher = DefaultHasher::new();
    property.hash(&mut hasher);
    hasher.finish()
}

/// Somebody does not listen any more. Nothing is kept for nobody.
pub(super) fn left(shared: &Shared) {
    if !is_listened_to(shared) {
        shared.told.0.take();
    }
}

impl Publisher {
    pub(super) fn new(notices: UnboundedReceiver<Notice>) -> Self {
        Self { notices }
    }

    /// Works until the manager ends.
    pub(super) async fn run(&mut self, shared: &Rc<Shared>) {
        let mut batch = Vec::new();
        while self.notices.recv_many(&mut batch, BATCH).await > 0 {
            if !is_listened_to(shared) {
                batch.clear();
                continue;
            }
            if let Err(error) = self.tell(shared, &mut batch).await {
                tracing::debug!("bus: {error}");
            }
        }
    }

    /// A unit's new state is told before the end of the job that led to it.
    async fn tell(&self, shared: &Shared, batch: &mut Vec<Notice>) -> zbus::Result<()> {
        let mut changed = BTreeSet::new();
        for notice in batch.iter() {
            match notice {
                Notice::New(unit) => unit_signal(shared, "UnitNew", unit).await?,
                Notice::Changed(unit) => drop(changed.insert(unit.clone())),
                _ => {}
            }
        }
        self.changed(shared, changed).await?;
        for notice in batch.drain(..) {
            match notice {
                Notice::New(_) | Notice::Changed(_) => {}
                Notice::Removed(unit) => {
                    shared.told.forget(&unit);
                    unit_signal(shared, "UnitRemoved", &unit).await?;
                }
                Notice::JobNew(id, unit) => {
                    signal(shared, "JobNew", &(id.0, job_path(id.0), unit.as_str())).await?;
                }
                Notice::JobRemoved(id, unit, result) => {
                    let body = (id.0, job_path(id.0), unit.as_str(), result.as_str());
                    signal(shared, "JobRemoved", &body).await?;
                }
                Notice::Reloading(active) => signal(shared, "Reloading", &(active,)).await?,
                Notice::Transfer(id, notice) => transfer(shared, id, notice).await?,
            }
        }
        Ok(())
    }

    async fn changed(&self, shared: &Shared, units: BTreeSet<UnitName>) -> zbus::Result<()> {
        if units.is_empty() {
            return Ok(());
        }
        let values = shared.manager.with(move |manager| {
            let values = |unit: UnitName| (view::changing(manager, &unit), unit);
            units.into_iter().map(values).collect::<Vec<_>>()
        });
        for (now, unit) in values.await.unwrap_or_default().into_iter().filter(|(now, _)| !now.is_empty()) {
            let changed = shared.told.news(&unit, now);
            if changed.is_empty() {
                continue;
            }
            let body = (unit::NAME, dictionary(changed), Vec::<&str>::new());
            let path = unit_path(unit.as_str());
            emit(shared, path.as_str(), "org.freedesktop.DBus.Properties", "PropertiesChanged", &body)
                .await?;
        }
        Ok(())
    }
}

async fn transfer(shared: &Shared, id: u32, notice: TransferNotice) -> zbus::Result<()> {
    match notice {
        TransferNotice::New(image) => told_of(shared, id, "Began", &(image,)).await,
        TransferNotice::Changed(Change::Resolved { server, digest }) => {
            told_of(shared, id, "Resolved", &(server, digest.to_string())).await
        }
        TransferNotice::Changed(Change::Layer(part, layer)) => {
            told_of(shared, id, "Progress", &(part, layer.done, layer.total)).await
        }
        TransferNotice::Changed(Change::Retrying(reason)) => {
            told_of(shared, id, "Retrying", &(reason,)).await
        }
        TransferNotice::Changed(Change::Writing(entries)) => {
            told_of(shared, id, "Writing", &(entries,)).await
        }
        TransferNotice::Finished(report) => finished(shared, id, report).await,
        TransferNotice::Failed(reason) => told_of(shared, id, "Failed", &(reason,)).await,
        TransferNotice::Canceled => told_of(shared, id, "Canceled", &()).await,
    }
}

/// What came of it, before its end.
async fn finished(shared: &Shared, id: u32, report: Report) -> zbus::Result<()> {
    let first = report.images.first().map(|image| image.id.to_string()).unwrap_or_default();
    for image in report.images {
        let names: Vec<String> = image.names.iter().map(ToString::to_string).collect();
        let body = (image.id.to_string(), names, image.present, image.notices);
        told_of(shared, id, "Imported", &body).await?;
    }
    if report.healed > 0 {
        told_of(shared, id, "Healed", &(report.healed,)).await?;
    }
    told_of(shared, id, "Finished", &(first,)).await
}

async fn told_of(
    shared: &Shared,
    id: u32,
    member: &str,
    body: &(impl Serialize + DynamicType),
) -> zbus::Result<()> {
    emit(shared, transfer_path(id).as_str(), own::NAME, member, body).await
}

async fn signal(shared: &Shared, member: &str, body: &(impl Serialize + DynamicType)) -> zbus::Result<()> {
    emit(shared, MANAGER_PATH, manager::NAME, member, body).await
}

async fn unit_signal(shared: &Shared, member: &str, unit: &UnitName) -> zbus::Result<()> {
    signal(shared, member, &(unit.as_str(), unit_path(unit.as_str()))).await
}

/// Tells that links of unit files have changed.
pub(super) async fn unit_files_changed(shared: &Shared) {
    if !is_listened_to(shared) {
        return;
    }
    if let Err(error) = emit(shared, MANAGER_PATH, manager::NAME, "UnitFilesChanged", &()).await {
        tracing::debug!("bus: {error}");
    }
}

fn is_listened_to(shared: &Shared) -> bool {
    shared.peers.listen() || shared.end().subscribers.exist()
}

async fn emit(
    shared: &Shared,
    path: &str,
    interface: &str,
    member: &str,
    body: &(impl Serialize + DynamicType),
) -> zbus::Result<()> {
    let signal = || Message::signal(path, interface, member);
    if shared.peers.listen() {
        shared.peers.tell(&signal().build(body)?);
    }
    let end = shared.end();
    if !end.subscribers.exist() {
        return Ok(());
    }
    if end.ledger.space().await == Space::Much {
        let signal = signal().build(body)?;
        end.ledger.note_to_all(signal.data().len());
        return end.connection.send(&signal).await;
    }
    // The bus also keeps what is for everybody on our account, for those that listen and do not read.
    for (name, user) in end.subscribers.all() {
        if user == 0 || end.ledger.may_answer(&name).await {
            let signal = signal().destination(name.as_str()).build(body)?;
            end.ledger.note(&name, signal.data().len());
            end.connection.send(&signal).await?;
        }
    }
    Ok(())
}
