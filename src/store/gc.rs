//! Removal: of names and images at once, of everything that nothing needs in a collection.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use super::error::{Context, StoreError};
use super::names::file_name;
use super::notices::index_name;
use super::staging::{Purpose, Staging, remove_tree};
use super::{ImageId, Store, list};
use crate::image::digest::Digest;

/// What a collection removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Collected {
    /// Images without a name that nothing roots.
    pub images: u64,
    /// Indexes of layers that no image uses.
    pub layers: u64,
    /// Objects that no image links.
    pub objects: u64,
    /// Bytes of those objects.
    pub bytes: u64,
}

impl Store {
    /// Removes a name, or all names of an image that is given by its id; an image that has no name left goes,
    /// too. None of it needs to be whole. Its objects stay for others until [`Store::gc`]. `consent` is asked once
    /// nobody else changes names any more.
    ///
    /// # Errors
    /// When there is no consent or nothing of this name, or it cannot be removed.
    pub fn remove<E: From<StoreError>>(
        &self,
        text: &str,
        consent: impl FnOnce() -> Result<(), E>,
    ) -> Result<Vec<String>, E> {
        let _lock = self.lock(Purpose::Add)?;
        let _names = self.lock_names()?;
        consent()?;
        Ok(self.remove_locked(text)?)
    }

    fn remove_locked(&self, text: &str) -> Result<Vec<String>, StoreError> {
        let id = match self.resolve(text) {
            Ok(id) => Some(id),
            Err(StoreError::NoImage(_)) => None,
            Err(error) => return Err(error),
        };
        let files: Vec<String> = self.list("refs")?;
        let asked: Vec<String> = self.short_names.candidates(text).iter().map(file_name).collect();
        let of_image = self.names()?.into_iter().filter(|(_, other)| Some(other) == id.as_ref());
        let all: Vec<String> = of_image.map(|(name, _)| file_name(&name)).collect();
        let going = match (asked.into_iter().find(|name| files.contains(name)), &id) {
            (Some(name), _) => vec![name],
            (None, Some(_)) => all.clone(),
            (None, None) => return Err(StoreError::NoImage(crate::image::text::printable(text.as_bytes()))),
        };
        let image_goes = all.iter().all(|name| going.contains(name));
        let forgotten = id.as_ref().map_or(Ok(()), |id| self.forget_names(id, &going));
        if !image_goes {
            // The record of an image that goes anyway may be on a disk that has no room for another.
            forgotten?;
        }
        let mut removed = going.iter().map(|name| self.remove_name(name)).collect::<Result<Vec<_>, _>>()?;
        if let Some(id) = id.filter(|_| image_goes) {
            self.remove_image(&id, &Staging::new(&self.root)?)?;
            removed.push(id.to_string());
        }
        Ok(removed)
    }

    /// Removes images that never had a name or lost it to another, and that none of `roots` (ids or names, as units
    /// write them) means, then layer indexes that no image uses and objects that no image links. `roots` is asked once
    /// nobody adds any more: somebody may come to use an image while this waits for that.
    ///
    /// # Errors
    /// When the store cannot be read or a file cannot be removed.
    pub fn gc(&self, roots: impl FnOnce() -> Vec<String>) -> Result<Collected, StoreError> {
        let _lock = self.lock(Purpose::Collect)?;
        let mut kept: BTreeSet<ImageId> = self.names()?.into_iter().map(|(_, id)| id).collect();
        kept.extend(self.lost_names()?.into_iter().map(|(_, id)| id));
        kept.extend(roots().iter().filter_map(|root| self.resolve(root).ok()));
        let mut collected = Collected::default();
        let staging = Staging::new(&self.root)?;
        for id in self.images()?.iter().filter(|id| !kept.contains(id)) {
            self.remove_image(id, &staging)?;
            collected.images += 1;
        }
        self.collect_layers(&mut collected)?;
        self.collect_objects(&mut collected)?;
        Ok(collected)
    }

    pub(super) fn remove_name(&self, file: &str) -> Result<String, StoreError> {
        let path = self.path("refs").join(file);
        let name = self.name_of(file)?.map_or_else(|| file.replace('%', "/"), |name| name.to_string());
        fs::remove_file(&path).context("remove", &path)?;
        self.sync_directory(&self.path("refs"))?;
        Ok(name)
    }

    /// Out of the readers' sight first, in one step.
    pub(super) fn remove_image(&self, id: &ImageId, staging: &Staging) -> Result<(), StoreError> {
        let (from, to) = (self.image_directory(id), staging.path("removed"));
        fs::rename(&from, &to).context("remove", &from)?;
        self.sync_directory(&self.path("images"))?;
        remove_tree(&to)
    }

    /// An image whose record is damaged keeps no layer index: unpacking again is all that is lost.
    fn collect_layers(&self, collected: &mut Collected) -> Result<(), StoreError> {
        let mut used: BTreeSet<Digest> = BTreeSet::new();
        for id in self.images()? {
            let layers = self.record_if_whole(&id)?.map(|record| record.layers).unwrap_or_default();
            used.extend(layers.into_iter().map(|layer| layer.diff_id));
        }
        for name in self.list("layers")? {
            let index = index_name(&name);
            if !used.iter().any(|diff_id| diff_id.hex() == index) {
                remove_tree(&self.path("layers").join(&name))?;
                collected.layers += u64::from(index == name);
            }
        }
        Ok(())
    }

    fn collect_objects(&self, collected: &mut Collected) -> Result<(), StoreError> {
        for shard in self.shards()? {
            let directory = self.path("objects").join(shard);
            for name in list(&directory)? {
                collect_object(&directory.join(name), collected)?;
            }
        }
        Ok(())
    }
}

/// Directories and links are no objects: fsck names them, nobody removes what is not ours.
fn collect_object(path: &Path, collected: &mut Collected) -> Result<(), StoreError> {
    let metadata = fs::symlink_metadata(path).context("read", path)?;
    if metadata.is_file() && metadata.nlink() == 1 {
        fs::remove_file(path).context("remove", path)?;
        collected.objects += 1;
        collected.bytes += metadata.len();
    }
    Ok(())
}
