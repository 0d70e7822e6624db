//! What images cost: bytes of files that they share, and that would go with them.

mod files;
mod trees;

use rustix::fs::FileType;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::error::{Context, StoreError};
use super::{ImageId, Store, list};
use crate::store::notices::index_name;

/// Bytes of the files of one image.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Usage {
    /// All, each file counted once.
    pub size: u64,
    /// Of files that other images have, too.
    pub shared: u64,
    /// Of files that no other image has: what its removal and a collection free.
    pub own: u64,
}

/// What no image needs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Unused {
    /// Indexes of layers.
    pub layers: u64,
    /// Objects.
    pub objects: u64,
    /// Bytes of those objects.
    pub bytes: u64,
}

impl Store {
    /// What each image costs. One whose tree cannot be read is left out: fsck tells why.
    ///
    /// # Errors
    /// When the images cannot be listed.
    pub fn usages(&self) -> Result<BTreeMap<ImageId, Usage>, StoreError> {
        let ids = self.images()?;
        let usages = trees::compare(self, &ids);
        files::forget_others(self, &ids);
        Ok(usages)
    }

    /// Looks at the files of a new image while its tree is in memory, so that [`Store::usages`] needs not later.
    pub fn note_files(&self, id: &ImageId) {
        files::of(self, id);
    }

    /// What an image costs; `None` when its tree cannot be read.
    ///
    /// # Errors
    /// As [`Store::usages`].
    pub fn usage(&self, id: &ImageId) -> Result<Option<Usage>, StoreError> {
        Ok(self.usages()?.remove(id))
    }

    /// What none of the images `kept` needs. Files that only images to be removed have are not among it.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn unused(&self, kept: &BTreeSet<ImageId>) -> Result<Unused, StoreError> {
        let records = kept.iter().filter_map(|id| self.record(id).ok());
        let used: BTreeSet<String> =
            records.flat_map(|record| record.layers).map(|layer| layer.diff_id.hex().to_owned()).collect();
        let layers = self.list("layers")?.into_iter().filter(|name| index_name(name) == name);
        let layers = layers.filter(|name| !used.contains(name)).count() as u64;
        let mut unused = Unused { layers, ..Unused::default() };
        for shard in self.list("objects")? {
            let directory = self.path("objects").join(shard);
            for name in list(&directory)? {
                count_object(&directory.join(name), &mut unused)?;
            }
        }
        Ok(unused)
    }
}

fn count_object(path: &Path, unused: &mut Unused) -> Result<(), StoreError> {
    let stat = rustix::fs::lstat(path).context("read", path)?;
    if FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile && stat.st_nlink == 1 {
        unused.objects += 1;
        unused.bytes += u64::try_from(stat.st_size).unwrap_or_default();
    }
    Ok(())
}
