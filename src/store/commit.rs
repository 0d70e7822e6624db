//! The commit of an image: slots chosen, objects and tree in place, and only then a name.

use rustix::fs::RenameFlags;
use serde::Serialize;
use std::collections::HashMap;
use std::fs;
use std::path::Path;

use super::error::{Context, StoreError};
use super::objects::{self, Content, Key, LINKS_MAX, State};
use super::record::{ImageRecord, LayerRecord, size_of};
use super::staging::remove_tree;
use super::writer::{Origin, UnpackedLayer, Writer};
use super::{ImageId, index, tree};
use crate::image::digest::Digest;
use crate::image::document::ConfigDocument;
use crate::image::entry::{Node, TreeEntry};
use crate::image::fold::FoldedEntry;
use crate::image::reference::Reference;

/// An image to commit.
#[derive(Debug)]
pub struct NewImage {
    /// Its id.
    pub id: ImageId,
    /// Digest and bytes of its manifest, where it has one.
    pub manifest: Option<(Digest, Vec<u8>)>,
    /// Its configuration, as it came.
    pub config: Vec<u8>,
    /// The same, read.
    pub document: ConfigDocument,
    /// Its layers, the lowest first.
    pub layers: Vec<UnpackedLayer>,
    /// The fold of them.
    pub entries: Vec<FoldedEntry>,
}

/// What a commit did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The image is new, or was damaged and is whole again.
    Added,
    /// The image was there and whole.
    Present,
}

impl Writer<'_> {
    /// Puts an image into the store and gives it names.
    ///
    /// # Errors
    /// When the store cannot be written; readers then see what they saw before.
    pub fn commit(&mut self, image: NewImage, names: &[Reference]) -> Result<Outcome, StoreError> {
        let present = self.is_present(&image)?;
        let mut entries: Vec<FoldedEntry> = Vec::new();
        let NewImage { id, manifest, config, document, layers, entries: folded } = image;
        if !present {
            entries = folded;
            self.choose_slots(&mut entries)?;
        }
        let entries: Vec<TreeEntry> = entries.into_iter().map(|folded| folded.entry).collect();
        let record = record(&id, manifest.as_ref(), &document, &layers, &entries, names);
        let new = self.staging.path(id.digest().hex());
        if !present {
            fs::create_dir(&new).context("create", &new)?;
            write_json(&new.join("record"), &record)?;
            write_file(&new.join("config"), &config)?;
            if let Some((_, bytes)) = &manifest {
                write_file(&new.join("manifest"), bytes)?;
            }
            write_index(&new.join("index"), &entries)?;
        }
        self.stage_indexes(&layers)?;
        self.store.sync()?;
        self.place_objects()?;
        if !present {
            tree::write(self.store, &new.join("rootfs"), &entries)?;
            self.store.sync()?;
        }
        self.place_indexes(&layers)?;
        if !present {
            self.place_image(&id, &new)?;
        }
        names.iter().try_for_each(|name| self.store.set_name(name, &id, &self.staging))?;
        Ok(if present { Outcome::Present } else { Outcome::Added })
    }

    /// Whether the image is in the store, with its tree as it should be and its objects whole.
    fn is_present(&mut self, image: &NewImage) -> Result<bool, StoreError> {
        let Ok(old) = self.store.entries(&image.id) else { return Ok(false) };
        let same = old.len() == image.entries.len()
            && old
                .iter()
                .zip(&image.entries)
                .all(|(old, new)| TreeEntry { slot: new.entry.slot, ..old.clone() } == new.entry);
        if !same || !self.store.image_faults(&image.id).is_empty() {
            return Ok(false);
        }
        for entry in old.iter().filter(|entry| entry.slot > 0) {
            self.ensure_slot(entry)?;
        }
        Ok(true)
    }

    /// Chooses for each inode with content which of the equal objects it is: no two of one image are the same.
    fn choose_slots(&mut self, entries: &mut [FoldedEntry]) -> Result<(), StoreError> {
        let mut names: HashMap<usize, u64> = HashMap::new();
        for folded in entries.iter() {
            *names.entry(folded.inode).or_default() += 1;
        }
        let mut chosen: HashMap<usize, u32> = HashMap::new();
        let mut next: HashMap<Key, u32> = HashMap::new();
        for folded in entries.iter_mut() {
            let Node::File { size: 1.., sha256 } = &folded.entry.node else { continue };
            if let Some(slot) = chosen.get(&folded.inode) {
                folded.entry.slot = *slot;
                continue;
            }
            let key = Key::new(sha256, &folded.entry.metadata);
            let first = next.get(&key).copied().unwrap_or_default();
            let slot = self.slot_with_room(&key, first, names[&folded.inode], &folded.entry)?;
            next.insert(key, slot + 1);
            chosen.insert(folded.inode, slot);
            folded.entry.slot = slot;
            self.ensure_slot(&folded.entry)?;
        }
        Ok(())
    }

    /// The first slot from `first` on whose inode can take `names` more links, link(2): EMLINK.
    fn slot_with_room(
        &self,
        key: &Key,
        first: u32,
        names: u64,
        entry: &TreeEntry,
    ) -> Result<u32, StoreError> {
        if names >= LINKS_MAX {
            let entry = crate::image::text::printable(entry.path.as_bytes());
            return Err(StoreError::Entry { entry, reason: format!("has more than {LINKS_MAX} names") });
        }
        let has_room = |slot: &u32| {
            let object = rustix::fs::lstat(self.store.object(key, *slot));
            object.is_ok_and(|stat| stat.st_nlink + names <= LINKS_MAX) || object.is_err()
        };
        Ok((first..).find(has_room).unwrap_or(first))
    }

    /// Sees to it that the slot of an entry holds an object; its content is that of slot 0.
    fn ensure_slot(&mut self, entry: &TreeEntry) -> Result<(), StoreError> {
        let Node::File { sha256, .. } = &entry.node else { return Ok(()) };
        if entry.slot == 0 {
            return Ok(());
        }
        let key = Key::new(sha256, &entry.metadata);
        let path = match self.staged.contains(&(key.clone(), 0)) {
            true => self.staged_path(&key, 0),
            false => self.store.object(&key, 0),
        };
        let mut source = fs::File::open(&path).context("open", &path)?;
        let mut copy = self.spool()?;
        if matches!(objects::examine(&self.store.object(&key, entry.slot), &key)?, State::Intact) {
            return Ok(());
        }
        std::io::copy(&mut source, &mut copy).context("copy", &path)?;
        self.ensure(&key, entry.slot, &Content::Unnamed(copy), &entry.metadata)
    }

    /// Moves objects from staging to their places, their data being on disk.
    pub(super) fn place_objects(&mut self) -> Result<(), StoreError> {
        for (key, slot) in std::mem::take(&mut self.staged) {
            let (from, to) = (self.staged_path(&key, slot), self.store.object(&key, slot));
            if let Err(error) = fs::rename(&from, &to) {
                let shard = to.parent().unwrap_or(&to);
                if error.kind() != std::io::ErrorKind::NotFound {
                    return Err(error).context("make", &to);
                }
                fs::create_dir(shard).context("create", shard)?;
                fs::rename(&from, &to).context("make", &to)?;
            }
        }
        Ok(())
    }

    fn stage_indexes(&self, layers: &[UnpackedLayer]) -> Result<(), StoreError> {
        fresh(layers).try_for_each(|layer| {
            write_index(&self.staging.path(&format!("layer-{}", layer.diff_id.hex())), &layer.entries)
        })
    }

    fn place_indexes(&self, layers: &[UnpackedLayer]) -> Result<(), StoreError> {
        for layer in fresh(layers) {
            let from = self.staging.path(&format!("layer-{}", layer.diff_id.hex()));
            match fs::rename(&from, self.store.layer_index(&layer.diff_id)) {
                // The same layer twice in one image.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                result => result.context("make", &self.store.layer_index(&layer.diff_id))?,
            }
        }
        self.store.sync_directory(&self.store.path("layers"))
    }

    /// A damaged image of the same id gives way in one step.
    fn place_image(&self, id: &ImageId, new: &Path) -> Result<(), StoreError> {
        let place = self.store.image_directory(id);
        let flags = if place.exists() { RenameFlags::EXCHANGE } else { RenameFlags::NOREPLACE };
        let here = rustix::fs::CWD;
        rustix::fs::renameat_with(here, new, here, &place, flags).context("make", &place)?;
        self.store.sync_directory(&self.store.path("images"))?;
        remove_tree(new)
    }
}

fn fresh(layers: &[UnpackedLayer]) -> impl Iterator<Item = &UnpackedLayer> {
    layers.iter().filter(|layer| layer.origin == Origin::Stream)
}

fn record(
    id: &ImageId,
    manifest: Option<&(Digest, Vec<u8>)>,
    document: &ConfigDocument,
    layers: &[UnpackedLayer],
    entries: &[TreeEntry],
    names: &[Reference],
) -> ImageRecord {
    let layer =
        |layer: &UnpackedLayer| LayerRecord { digest: layer.digest.clone(), diff_id: layer.diff_id.clone() };
    ImageRecord {
        id: id.digest().clone(),
        digest: manifest.map(|(digest, _)| digest.clone()),
        created: document.created.clone(),
        architecture: document.platform.architecture.clone(),
        layers: layers.iter().map(layer).collect(),
        entries: entries.len() as u64,
        size: size_of(entries),
        notices: layers.iter().flat_map(|layer| layer.notices.clone()).collect(),
        names: names.to_vec(),
        config: document.config.clone(),
    }
}

fn write_json(path: &Path, record: &ImageRecord) -> Result<(), StoreError> {
    let bytes = serde_json::to_vec_pretty(record).map_err(std::io::Error::from).context("write", path)?;
    write_file(path, &bytes)
}

fn write_index<T: Serialize>(path: &Path, entries: &[T]) -> Result<(), StoreError> {
    let bytes = index::write(entries).map_err(std::io::Error::from).context("write", path)?;
    write_file(path, &bytes)
}

fn write_file(path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
    fs::write(path, bytes).context("write", path)
}
