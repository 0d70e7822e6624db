//! Images in the store itself.

use std::os::fd::OwnedFd;

use super::access::{Images, Removal};
use super::progress::Display;
use super::{open_store, short_names};
use crate::image::reference::Reference;
use crate::image::text::printable;
use crate::manager::images::list::{Listed, list};
use crate::manager::images::remove::{Consent, remove};
use crate::paths::Paths;
use crate::settings::{self, Settings};
use crate::store::{ImageId, Scrutiny, Store};
use crate::transfer::order::{ImportOrder, PullOrder};
use crate::transfer::registry::{Event, Order, Pull};
use crate::transfer::worker::Worker;
use crate::transfer::{Report, Terms};

/// The store of these directories.
pub(super) struct AtStore {
    paths: Paths,
}

impl AtStore {
    pub(super) fn new(paths: Paths) -> Self {
        Self { paths }
    }

    /// The store; `None` where none was made yet, which is the same as an empty one.
    fn find(&self) -> anyhow::Result<Option<Store>> {
        Ok(Store::find(&self.paths)?.map(|store| store.with_short_names(short_names(&self.paths))))
    }

    /// What the settings of the host ask of an image.
    fn terms(&self, scrutiny: Scrutiny) -> anyhow::Result<Terms> {
        let limits = Settings::load(&self.paths)?.import;
        Ok(Terms { limits, policy: settings::load_policy(&self.paths)?, scrutiny })
    }

    /// What images cost is asked later, when their trees may be in memory no more.
    fn note(&self, report: &Report) {
        let Ok(store) = Store::open(&self.paths) else { return };
        let new = report.images.iter().filter(|image| !image.present);
        new.filter_map(|image| ImageId::new(image.id.clone()).ok()).for_each(|id| store.note_files(&id));
    }
}

impl Images for AtStore {
    fn list(&self, words: &[String]) -> anyhow::Result<Vec<Listed>> {
        Ok(self.find()?.map(|store| list(&store, words)).transpose()?.unwrap_or_default())
    }

    fn ids(&self) -> anyhow::Result<Vec<String>> {
        let ids = self.find()?.map(|store| store.images()).transpose()?.unwrap_or_default();
        Ok(ids.iter().map(ToString::to_string).collect())
    }

    fn remove(&self, images: &[String], consent: Consent) -> anyhow::Result<Vec<Removal>> {
        let store = open_store(&self.paths)?;
        let removal = |image: &String| {
            let removed = remove(&store, &self.paths, image, consent);
            removed
                .map_err(|error| anyhow::anyhow!("Failed to remove {}: {error}", printable(image.as_bytes())))
        };
        Ok(images.iter().map(removal).collect())
    }

    fn tag(&self, image: &str, names: &[Reference]) -> anyhow::Result<String> {
        let store = open_store(&self.paths)?;
        Ok(store.tag(image, names, &settings::load_policy(&self.paths)?)?.to_string())
    }

    fn pull(&self, order: PullOrder, display: &mut Display) -> anyhow::Result<Report> {
        be_root("pull")?;
        let PullOrder { image, platform, scrutiny } = order;
        let order = Order {
            program: self.paths.helper("sampan-import"),
            root: std::path::absolute(self.paths.root())?,
            store: std::path::absolute(self.paths.store())?,
            reference: image.clone(),
            platform,
            terms: self.terms(scrutiny)?,
        };
        let report = Pull::start(&order)?.wait(|event| show(display, event));
        let report = report.map_err(|error| anyhow::anyhow!("{image}: {error}"))?;
        self.note(&report);
        Ok(report)
    }

    fn import(&self, source: OwnedFd, order: &ImportOrder, display: &mut Display) -> anyhow::Result<Report> {
        be_root("import")?;
        let (program, store) = (self.paths.helper("sampan-import"), std::path::absolute(self.paths.store())?);
        let worker = Worker::start(&program, &store, &order.claims, &self.terms(order.scrutiny)?, source)?;
        let report = worker.wait(|step| display.step(step))?;
        self.note(&report);
        Ok(report)
    }
}

fn be_root(verb: &str) -> anyhow::Result<()> {
    if !rustix::process::geteuid().is_root() {
        anyhow::bail!("{verb} writes files of foreign owners and must be run as root");
    }
    Ok(())
}

fn show(display: &mut Display, event: &Event) {
    match event {
        Event::Resolved { server, digest } => display.say(&format!("Pulling {digest} from {server}")),
        Event::Started { blob, size } => display.begin(blob.short(), Some(*size)),
        Event::Progress { blob, done } => display.advance(blob.short(), *done),
        Event::Finished { blob } => display.end(blob.short()),
        Event::Retrying { reason } => display.say(&format!("Trying again: {reason}")),
        // The error itself follows.
        Event::Failed { .. } => {}
    }
}
