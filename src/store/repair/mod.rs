//! Repair of the store: whatever something whole in it can restore is restored, from the bottom up: indexes and
//! records, then objects, then trees, then names. What nothing can restore is named or taken out.
//!
//! An index comes from the indexes of the image's layers, or from its tree when every file there is an object; a
//! record from the configuration and the manifest; an object from any file of the same content, of whatever image
//! and metadata; a tree from its index. What an image still lacks then only its source can give: when one of its
//! names leads to a registry the image stays, and pulling it heals it; else the image is taken out.

mod content;
mod image;
mod tree;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use super::error::{Context, StoreError};
use super::fsck::{Finding, finding, is_digest, read_whole};
use super::ids::replace;
use super::names::{file_name, is_file_name, text_of};
use super::notices;
use super::staging::{Purpose, remove_tree};
use super::writer::{Scrutiny, Writer};
use super::{ImageId, PrivateCopy, Store};
use crate::image::entry::{LayerEntry, TreeEntry};
use crate::image::reference::Reference;

/// What a repair did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Repair {
    /// What was restored or taken out; each sentence follows its path.
    pub repaired: Vec<Finding>,
    /// What is still wrong.
    pub remaining: Vec<Finding>,
}

/// A repair at work: the store's lock, and the images whose index is known.
struct Repairer<'a> {
    store: &'a Store,
    writer: Writer<'a>,
    entries: BTreeMap<ImageId, Vec<TreeEntry>>,
    /// Images that lack something, and what.
    lost: BTreeMap<ImageId, String>,
    /// Images of which something cannot be read, which another day or another cable may change.
    unreadable: BTreeMap<ImageId, String>,
    done: Vec<Finding>,
}

impl Store {
    /// Restores what is damaged or missing, and takes out what cannot be restored, but never the images that `kept`
    /// tells, which is asked when nobody else changes the store any more.
    ///
    /// # Errors
    /// When the store cannot be read or written. What was repaired until then stays repaired.
    pub fn repair(&self, kept: impl FnOnce() -> BTreeSet<ImageId>) -> Result<Repair, StoreError> {
        let missing = self.missing_directories();
        for path in &missing {
            DirBuilder::new().mode(0o700).create(path).context("create", path)?;
        }
        let mut repairer = Repairer {
            store: self,
            writer: Writer::new(self, Purpose::Collect, Scrutiny::Content)?,
            entries: BTreeMap::new(),
            lost: BTreeMap::new(),
            unreadable: BTreeMap::new(),
            done: missing.iter().map(|path| finding(path, "was missing and is made again")).collect(),
        };
        repairer.layers()?;
        repairer.images()?;
        repairer.objects()?;
        repairer.trees()?;
        repairer.names()?;
        let kept = kept();
        let mut unhealed = repairer.take_out(&kept)?;
        unhealed.extend(repairer.private_copies(&kept)?);
        repairer.remove_garbage()?;
        let repaired = std::mem::take(&mut repairer.done);
        drop(repairer);
        let mut remaining = self.fsck()?;
        remaining.extend(unhealed);
        Ok(Repair { repaired, remaining })
    }
}

impl Repairer<'_> {
    fn note(&mut self, path: &Path, what: impl Into<String>) {
        self.done.push(finding(path, what));
    }

    /// An image cannot be made whole; the first reason is told.
    fn lose(&mut self, id: &ImageId, why: String) {
        self.lost.entry(id.clone()).or_insert(why);
    }

    /// A layer's index saves reading the layer again, and is worth no more than that.
    fn layers(&mut self) -> Result<(), StoreError> {
        for name in self.store.list("layers")?.into_iter().filter(|name| is_digest(name)) {
            let path = self.store.path("layers").join(name);
            match read_whole::<LayerEntry>(&path).and_then(|_| notices::read(&path)) {
                Ok(_) => {}
                Err(StoreError::Damaged { path: damaged, .. }) => {
                    remove_tree(&path)?;
                    remove_tree(&damaged)?;
                    self.note(
                        &path,
                        "was a damaged index and is removed: the next import reads the layer again",
                    );
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Puts a file of the store in its place, whole.
    fn replace(&self, path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
        if path.symlink_metadata().is_ok_and(|metadata| !metadata.is_file()) {
            remove_tree(path)?;
        }
        replace(path, &self.writer.staging.path("replaced"), bytes)?;
        self.store.sync_directory(path.parent().unwrap_or(path))
    }

    /// A name whose file is damaged or missing gets the image whose record says it.
    fn names(&mut self) -> Result<(), StoreError> {
        let whole: Vec<String> = self.store.names()?.iter().map(|(name, _)| file_name(name)).collect();
        let files = self.store.list("refs")?.into_iter().filter(|file| is_file_name(file));
        for file in files.filter(|file| !whole.contains(file)) {
            let path = self.store.path("refs").join(&file);
            match self.imported_as(&file)?.as_slice() {
                [(name, id)] => {
                    self.replace(&path, text_of(name, id).as_bytes())?;
                    self.note(&path, format!("leads to {id} again, whose record says this name"));
                }
                _ => {
                    remove_tree(&path)?;
                    self.note(&path, "led to no image and is removed: import or tag the image again");
                }
            }
        }
        for (reference, id) in self.store.lost_names()? {
            let path = self.store.path("refs").join(file_name(&reference));
            self.replace(&path, text_of(&reference, &id).as_bytes())?;
            self.note(&path, format!("was missing and leads to {id} again, whose record says this name"));
        }
        Ok(())
    }

    /// The images whose records say the name of a file.
    fn imported_as(&self, file: &str) -> Result<Vec<(Reference, ImageId)>, StoreError> {
        let mut images = Vec::new();
        for id in self.store.images()? {
            let names = self.old_record(&id)?.map(|record| record.imported_as).unwrap_or_default();
            images.extend(names.into_iter().find(|name| file_name(name) == file).map(|name| (name, id)));
        }
        Ok(images)
    }

    /// Removes the images that only a source could heal and that have none; says of the others what to do.
    fn take_out(&mut self, kept: &BTreeSet<ImageId>) -> Result<Vec<Finding>, StoreError> {
        let mut unhealed = Vec::new();
        for (id, why) in std::mem::take(&mut self.unreadable) {
            self.lost.remove(&id);
            let what = format!("cannot be made whole: {why}; if the disk is not at fault, repair again");
            unhealed.push(finding(&self.store.image_directory(&id), what));
        }
        for (id, why) in std::mem::take(&mut self.lost) {
            let path: PathBuf = self.store.image_directory(&id);
            let names = self.store.names()?.into_iter();
            let names: Vec<Reference> = names.filter(|(_, of)| *of == id).map(|(name, _)| name).collect();
            if let Some(source) = names.iter().find(|name| !name.name().starts_with("localhost/")) {
                let what = format!(
                    "cannot be made whole: {why}; run \"sampanctl pull --verify {source}\" to heal it"
                );
                unhealed.push(finding(&path, what));
            } else if kept.contains(&id) {
                let what = "a container runs from it, so it stays: import it again";
                unhealed.push(finding(&path, format!("cannot be made whole: {why}; {what}")));
            } else {
                self.remove(&id, &names)?;
                let names: Vec<String> = names.iter().map(ToString::to_string).collect();
                let called =
                    if names.is_empty() { String::new() } else { format!(" ({})", names.join(", ")) };
                self.note(&path, format!("is taken out{called}: {why}; import it again"));
            }
        }
        Ok(unhealed)
    }

    /// A unit's copy of a tree that is damaged goes: the unit's next start makes another. Gives those that stay, as a
    /// container runs from the image.
    fn private_copies(&mut self, kept: &BTreeSet<ImageId>) -> Result<Vec<Finding>, StoreError> {
        let copies = self.store.private_copies()?.into_iter();
        let damaged: Vec<PrivateCopy> =
            copies.filter(|copy| !self.store.copy_faults(copy).is_empty()).collect();
        let unhealed = damaged.iter().filter(|copy| kept.contains(&copy.image)).map(|copy| {
            let what = "is damaged, and containers run from its image: stop them, and repair again";
            finding(&copy.tree, what)
        });
        let unhealed = unhealed.collect();
        let is_damaged = |copy: &PrivateCopy| damaged.contains(copy) && !kept.contains(&copy.image);
        let wants = || Ok(|copy: &PrivateCopy| !is_damaged(copy));
        for (copy, _) in self.store.remove_private(wants)? {
            let what = format!("was damaged and is removed: the next start of {} copies it again", copy.unit);
            self.note(&copy.tree, what);
        }
        Ok(unhealed)
    }

    fn remove(&mut self, id: &ImageId, names: &[Reference]) -> Result<(), StoreError> {
        for name in names {
            self.store.remove_name(&file_name(name))?;
        }
        self.entries.remove(id);
        self.store.remove_image(id, &self.writer.staging)
    }
}
