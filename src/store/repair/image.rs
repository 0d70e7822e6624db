//! An image's own files: its index from layers or tree, its record from configuration and manifest, its tree.
//!
//! A file that cannot be read is not damaged for that: the disk may be at fault, so the repair ends there.

use rustix::fs::{CWD, RenameFlags};
use rustix::io::Errno;
use std::collections::HashMap;
use std::path::Path;

use super::Repairer;
use crate::image::digest::Digest;
use crate::image::document::{self, ConfigDocument};
use crate::image::entry::{EntryPath, LayerEntry, Node, TreeEntry};
use crate::image::fold::fold;
use crate::image::limits::Limits;
use crate::image::manifest::{self, Descriptor, Document};
use crate::store::error::{Context, StoreError};
use crate::store::fsck::{finding, same};
use crate::store::mend::mend;
use crate::store::objects::Key;
use crate::store::record::{ImageRecord, LayerRecord, size_of};
use crate::store::staging::remove_tree;
use crate::store::{ImageId, index};

impl Repairer<'_> {
    /// Restores the index and the record of every image.
    pub(super) fn images(&mut self) -> Result<(), StoreError> {
        for id in self.store.images()? {
            let directory = self.store.image_directory(&id);
            let config = read(&directory.join("config"))?.filter(|bytes| Digest::of(bytes) == *id.digest());
            if config.is_none() {
                self.lose(&id, "its configuration is damaged".to_owned());
            }
            let document = config.and_then(|bytes| document::parse(&bytes, "config").ok());
            let diff_ids = match (&document, self.old_record(&id)?) {
                (Some(document), _) => document.diff_ids.clone(),
                (None, Some(record)) => record.layers.into_iter().map(|layer| layer.diff_id).collect(),
                (None, None) => Vec::new(),
            };
            self.restore_index(&id, &diff_ids)?;
            let faulty = self.store.record_fault(&id).is_some() || self.store.manifest_fault(&id).is_some();
            if let Some(document) = document.filter(|_| faulty) {
                self.restore_record(&id, &document)?;
            }
        }
        Ok(())
    }

    pub(super) fn old_record(&self, id: &ImageId) -> Result<Option<ImageRecord>, StoreError> {
        let bytes = read(&self.store.image_directory(id).join("record"))?;
        Ok(bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()))
    }

    fn restore_index(&mut self, id: &ImageId, diff_ids: &[Digest]) -> Result<(), StoreError> {
        let path = self.store.image_directory(id).join("index");
        let found = read(&path)?.and_then(|bytes| index::from_bytes::<TreeEntry>(&bytes).ok());
        let folded = self.store.folded(diff_ids)?;
        let entries = match (found, folded) {
            (Some(found), None) => found,
            (Some(found), Some(folded)) if same(&found, &folded) => found,
            (_, folded) => match folded.map_or_else(|| self.index_of_tree(id), |folded| Ok(Some(folded)))? {
                Some(entries) => {
                    let bytes = index::to_bytes(&entries).context("write", &path)?;
                    self.replace(&path, &bytes)?;
                    self.note(&path, "is made again from the indexes of its layers or from its tree");
                    entries
                }
                None => {
                    self.lose(id, "its index is damaged, and neither layers nor tree can tell it".to_owned());
                    return Ok(());
                }
            },
        };
        self.entries.insert(id.clone(), entries);
        Ok(())
    }

    /// The manifest tells the digests of the packed layers.
    fn restore_record(&mut self, id: &ImageId, document: &ConfigDocument) -> Result<(), StoreError> {
        let Some(entries) = self.entries.get(id) else { return Ok(()) };
        let old = self.old_record(id)?;
        let manifest = self.whole_manifest(id)?;
        let packed = manifest.as_ref().map(|(_, layers)| layers.as_slice()).unwrap_or_default();
        let layer = |(position, diff_id): (usize, &Digest)| LayerRecord {
            digest: packed.get(position).map(|descriptor| descriptor.digest.clone()),
            diff_id: diff_id.clone(),
        };
        let record = ImageRecord {
            digest: manifest.as_ref().map(|(digest, _)| digest.clone()),
            layers: document.diff_ids.iter().enumerate().map(layer).collect(),
            notices: old.as_ref().map(|old| old.notices.clone()).unwrap_or_default(),
            imported_as: old.as_ref().map(|old| old.imported_as.clone()).unwrap_or_default(),
            came_as: old.map(|old| old.came_as).unwrap_or_default(),
            ..ImageRecord::of(id, document, entries.len() as u64, size_of(entries))
        };
        let path = self.store.image_directory(id).join("record");
        self.replace(&path, &record.to_bytes().context("write", &path)?)?;
        self.note(&path, "is made again from the configuration and the manifest");
        match manifest {
            Some(_) => Ok(()),
            None => self.remove_manifest(id),
        }
    }

    /// The manifest with its digest, when it leads to this image's configuration.
    fn whole_manifest(&self, id: &ImageId) -> Result<Option<(Digest, Vec<Descriptor>)>, StoreError> {
        let bytes = read(&self.store.image_directory(id).join("manifest"))?;
        Ok(bytes.and_then(|bytes| match manifest::parse(&bytes, "", "manifest") {
            Ok(Document::Manifest(manifest)) if manifest.config.digest == *id.digest() => {
                Some((Digest::of(&bytes), manifest.layers))
            }
            _ => None,
        }))
    }

    fn remove_manifest(&mut self, id: &ImageId) -> Result<(), StoreError> {
        let path = self.store.image_directory(id).join("manifest");
        if path.symlink_metadata().is_ok() {
            remove_tree(&path)?;
            let what = "was damaged and is removed: the image has no digest until it is imported again";
            self.note(&path, what);
        }
        Ok(())
    }

    /// Mends the trees that are not as their index says. A container may run from one, which would lose every name
    /// with another in its place: so that happens only to what is no tree at all.
    pub(super) fn trees(&mut self) -> Result<(), StoreError> {
        for (id, entries) in self.entries.iter().filter(|(id, _)| !self.lost.contains_key(*id)) {
            let rootfs = self.store.rootfs(id);
            if rootfs.symlink_metadata().is_ok_and(|metadata| metadata.is_dir()) {
                let mended = mend(self.store, &rootfs, entries, &self.writer.staging)?;
                if mended > 0 {
                    self.writer.sync()?;
                    let entries =
                        if mended == 1 { "1 entry is".to_owned() } else { format!("{mended} entries are") };
                    let what = format!("is mended: {entries} as the image's index says again");
                    self.done.push(finding(&rootfs, what));
                }
                continue;
            }
            let new = self.writer.staging.path(id.digest().hex());
            self.writer.write_tree(&new, &self.store.index(id)?)?;
            self.writer.sync()?;
            remove_tree(&rootfs)?;
            rustix::fs::renameat_with(CWD, &new, CWD, &rootfs, RenameFlags::NOREPLACE)
                .context("make", &rootfs)?;
            self.store.sync_directory(rootfs.parent().unwrap_or(&rootfs))?;
            self.done.push(finding(&rootfs, "is written again from the image's index"));
        }
        Ok(())
    }
}

impl crate::store::Store {
    /// The tree that layers give whose indexes are all whole; each equal file has a slot of its own.
    pub(in crate::store) fn folded(&self, diff_ids: &[Digest]) -> Result<Option<Vec<TreeEntry>>, StoreError> {
        let mut layers = Vec::new();
        for diff_id in diff_ids {
            let bytes = read(&self.layer_index(diff_id))?;
            let Some(entries) = bytes.and_then(|bytes| index::from_bytes::<LayerEntry>(&bytes).ok()) else {
                return Ok(None);
            };
            layers.push((diff_id.clone(), entries));
        }
        let Ok(folded) = fold(&layers, &Limits::of_the_kernel()) else { return Ok(None) };
        let mut slots: HashMap<EntryPath, u32> = HashMap::new();
        let mut next: HashMap<Key, u32> = HashMap::new();
        let entry = |folded: crate::image::fold::FoldedEntry| {
            let mut entry = folded.entry;
            if let Node::File { size: 1.., sha256 } = &entry.node {
                let free = next.entry(self.key(sha256, &entry.metadata)).or_default();
                let first = entry.hard_link.as_ref().unwrap_or(&entry.path).clone();
                entry.slot = *slots.entry(first).or_insert_with(|| std::mem::replace(free, *free + 1));
            }
            entry
        };
        let entries = folded.into_iter().map(entry).collect();
        Ok((!diff_ids.is_empty()).then_some(entries))
    }
}

/// A file of the store; `None` when it is missing, or something else stands in its place.
fn read(path: &Path) -> Result<Option<Vec<u8>>, StoreError> {
    let result = std::fs::read(path);
    match result.as_ref().err().and_then(Errno::from_io_error) {
        Some(Errno::NOENT | Errno::ISDIR | Errno::NOTDIR | Errno::LOOP) => Ok(None),
        _ => result.map(Some).context("read", path),
    }
}
