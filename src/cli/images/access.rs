//! Where images are: in the store itself, or with the manager, who has it.

use std::os::fd::OwnedFd;

use super::Common;
use super::at_store::AtStore;
use super::over_bus::OverBus;
use super::progress::Display;
use crate::image::reference::Reference;
use crate::manager::images::list::Listed;
use crate::manager::images::remove::Consent;
use crate::paths::Paths;
use crate::store::Store;
use crate::transfer::Report;
use crate::transfer::order::{ImportOrder, PullOrder};

/// What the verbs do that everybody may use whom polkit allows it.
pub(super) trait Images {
    /// The images that one of these words means, the latest first; all where there are none.
    fn list(&self, words: &[String]) -> anyhow::Result<Vec<Listed>>;

    /// The ids of all images, sorted.
    fn ids(&self) -> anyhow::Result<Vec<String>> {
        let mut ids: Vec<String> = self.list(&[])?.into_iter().map(|image| image.id).collect();
        ids.sort();
        Ok(ids)
    }

    /// Removes names and images; of each what is gone.
    fn remove(&self, images: &[String], consent: Consent) -> anyhow::Result<Vec<Removal>>;

    /// Gives an image names; its id.
    fn tag(&self, image: &str, names: &[Reference]) -> anyhow::Result<String>;

    /// Brings an image of a registry into the store.
    fn pull(&self, order: PullOrder, display: &mut Display) -> anyhow::Result<Report>;

    /// Brings into the store what a descriptor gives.
    fn import(&self, source: OwnedFd, order: &ImportOrder, display: &mut Display) -> anyhow::Result<Report>;
}

/// What is gone of one image, or why nothing is.
pub(super) type Removal = anyhow::Result<Vec<String>>;

/// The way to the images: root, and whoever names a store or may read this one, needs no manager.
pub(super) fn images(common: &Common, paths: &Paths) -> Box<dyn Images> {
    let is_named = common.store.is_some() || !paths.are_of_this_host();
    let at = common.paths(paths);
    if is_named || rustix::process::geteuid().is_root() || Store::is_readable(&at) {
        return Box::new(AtStore::new(at));
    }
    Box::new(OverBus)
}
