//! The commit of an image: slots chosen, objects and tree in place, and only then a name.

use rustix::fs::{CWD, RenameFlags};
use rustix::io::Errno;
use std::fs;
use std::path::Path;
use std::time::Instant;

use super::error::{Context, StoreError};
use super::folding::FoldedImage;
use super::index::Index;
use super::mend::mend;
use super::notices;
use super::record::{self, ImageRecord, LayerRecord};
use super::rootfs;
use super::staging::remove_tree;
use super::writer::{Origin, UnpackedLayer, Writer};
use super::{ImageId, list};
use crate::image::digest::Digest;
use crate::image::document::ConfigDocument;
use crate::image::entry::TreeEntry;
use crate::image::notices::Notices;
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
    pub tree: FoldedImage,
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
    pub fn commit(&self, image: NewImage, names: &[Reference]) -> Result<Outcome, StoreError> {
        let begin = Instant::now();
        let id = image.id.clone();
        if self.is_present(&image)? {
            // Its layers' indexes may be new, or objects that were healed.
            self.sync()?;
            self.place_objects()?;
            self.place_indexes(&image.layers)?;
            if self.name(&id, names)? {
                return Ok(Outcome::Present);
            }
        }
        let new = self.staging.path(id.digest().hex());
        let (layers, index) = self.stage_image(image, &new)?;
        // No object is in sight before its bytes are on the disk,
        self.sync()?;
        tracing::debug!("{id}: on disk after {:?}", begin.elapsed());
        self.place_objects()?;
        self.write_tree(&new.join("rootfs"), &index)?;
        self.forget();
        self.place_indexes(&layers)?;
        // and no image before all of its objects are.
        self.sync()?;
        tracing::debug!("{id}: tree on disk after {:?}", begin.elapsed());
        let diff_ids: Vec<Digest> = layers.into_iter().map(|layer| layer.diff_id).collect();
        let _lock = self.store.lock_names()?;
        let outcome = match self.has(&id, &diff_ids)? {
            // Another writer was first, and containers may run from its tree.
            true => Outcome::Present,
            false => {
                self.keep_names(&id, &new)?;
                self.place_image(&id, &new)?;
                Outcome::Added
            }
        };
        self.set_names(&id, names)?;
        Ok(outcome)
    }

    /// Makes the directory of an image in staging, all but its tree, and returns its layers and its index.
    fn stage_image(
        &self,
        image: NewImage,
        new: &Path,
    ) -> Result<(Vec<UnpackedLayer>, Index<TreeEntry>), StoreError> {
        let NewImage { id, manifest, config, document, layers, tree } = image;
        fs::create_dir(new).context("create", new)?;
        let index = self.choose_slots(&tree, &new.join("index"))?;
        let record = new_record(&id, manifest.as_ref(), &document, &layers, &tree);
        let path = new.join("record");
        write_file(&path, &record.to_bytes().context("write", &path)?)?;
        write_file(&new.join("config"), &config)?;
        if let Some((_, bytes)) = &manifest {
            write_file(&new.join("manifest"), bytes)?;
        }
        Ok((layers, index))
    }

    /// Gives names to an image; tells whether it is in the store still, which somebody may have removed it from.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub fn name(&self, id: &ImageId, names: &[Reference]) -> Result<bool, StoreError> {
        let _lock = self.store.lock_names()?;
        let directory = self.store.image_directory(id);
        if !directory.try_exists().context("look at", &directory)? {
            return Ok(false);
        }
        self.set_names(id, names)?;
        Ok(true)
    }

    fn set_names(&self, id: &ImageId, names: &[Reference]) -> Result<(), StoreError> {
        names.iter().try_for_each(|name| self.store.set_name(name, id, &self.staging))
    }

    /// Whether the tree of the image is in the store, as it should be and with its objects whole.
    fn is_present(&self, image: &NewImage) -> Result<bool, StoreError> {
        let Ok(old) = self.store.index(&image.id) else { return Ok(false) };
        let mut entries = old.records();
        for folded in image.tree.index.records() {
            let new = folded?.entry;
            let old = entries.next().transpose()?.map(|entry| TreeEntry { slot: 0, ..entry });
            if old != Some(new) {
                return Ok(false);
            }
        }
        Ok(entries.next().is_none() && self.is_sound(&image.id, &old)?)
    }

    pub(super) fn write_tree(&self, rootfs: &Path, entries: &Index<TreeEntry>) -> Result<(), StoreError> {
        rootfs::write(self.store, rootfs, entries)
    }

    /// Gives the objects in staging their places; those that another writer has placed meanwhile stay. A directory
    /// of them is placed as it is where the store has none of that name.
    pub(super) fn place_objects(&self) -> Result<(), StoreError> {
        let (staged, placed) = (self.staging.path("objects"), self.store.path("objects"));
        for shard in list(&staged)? {
            let (from, to) = (staged.join(&shard), placed.join(&shard));
            if rename_to_free(&from, &to).context("make", &to)? {
                continue;
            }
            for name in list(&from)? {
                let (from, to) = (from.join(&name), to.join(&name));
                // What is no file is no object, and gives way.
                if !rename_to_free(&from, &to).context("make", &to)? && (!to.is_file() || to.is_symlink()) {
                    fs::rename(&from, &to).context("make", &to)?;
                }
            }
        }
        Ok(())
    }

    fn place_indexes(&self, layers: &[UnpackedLayer]) -> Result<(), StoreError> {
        for layer in fresh(layers) {
            let (staged, placed) =
                (self.staged_index(&layer.diff_id), self.store.layer_index(&layer.diff_id));
            // The same layer twice in one image.
            if !staged.try_exists().context("look at", &staged)? {
                continue;
            }
            notices::place(&staged, &placed)?;
            fs::rename(&staged, &placed).context("make", &placed)?;
        }
        self.store.sync_directory(&self.store.path("layers"))
    }

    /// The names of a damaged image of the same id are those of the new one.
    fn keep_names(&self, id: &ImageId, new: &Path) -> Result<(), StoreError> {
        let Ok(ImageRecord { imported_as, came_as, .. }) = self.store.record(id) else { return Ok(()) };
        let path = new.join("record");
        let record = ImageRecord { imported_as, came_as, ..record::read(&path)? };
        write_file(&path, &record.to_bytes().context("write", &path)?)?;
        self.sync()
    }

    /// A damaged image of the same id gives way in one step. Its tree is mended and stays: a container may run from
    /// it, which would lose every name with it.
    fn place_image(&self, id: &ImageId, new: &Path) -> Result<(), StoreError> {
        let (place, rootfs) = (self.store.image_directory(id), self.store.rootfs(id));
        let keeps_tree = rootfs.symlink_metadata().is_ok_and(|metadata| metadata.is_dir());
        if keeps_tree {
            let entries: Vec<TreeEntry> =
                Index::open(&new.join("index"))?.records().collect::<Result<_, _>>()?;
            mend(self.store, &rootfs, &entries, &self.staging)?;
            self.sync()?;
        }
        let flags = if place.try_exists().context("look at", &place)? {
            RenameFlags::EXCHANGE
        } else {
            RenameFlags::NOREPLACE
        };
        rustix::fs::renameat_with(CWD, new, CWD, &place, flags).context("make", &place)?;
        if keeps_tree {
            let old = new.join("rootfs");
            rustix::fs::renameat_with(CWD, &old, CWD, &rootfs, RenameFlags::EXCHANGE)
                .context("keep", &rootfs)?;
        }
        self.store.sync_directory(&self.store.path("images"))?;
        remove_tree(new)
    }
}

/// Renames to where nothing is; tells whether nothing was.
fn rename_to_free(from: &Path, to: &Path) -> Result<bool, Errno> {
    match rustix::fs::renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        Ok(()) => Ok(true),
        Err(Errno::EXIST) => Ok(false),
        Err(error) => Err(error),
    }
}

fn fresh(layers: &[UnpackedLayer]) -> impl Iterator<Item = &UnpackedLayer> {
    layers.iter().filter(|layer| layer.origin == Origin::Stream)
}

fn new_record(
    id: &ImageId,
    manifest: Option<&(Digest, Vec<u8>)>,
    document: &ConfigDocument,
    layers: &[UnpackedLayer],
    tree: &FoldedImage,
) -> ImageRecord {
    let layer =
        |layer: &UnpackedLayer| LayerRecord { digest: layer.digest.clone(), diff_id: layer.diff_id.clone() };
    ImageRecord {
        digest: manifest.map(|(digest, _)| digest.clone()),
        layers: layers.iter().map(layer).collect(),
        notices: layers.iter().map(|layer| &layer.notices).collect::<Notices>().into_sentences(),
        ..ImageRecord::of(id, document, tree.entries, tree.size)
    }
}

fn write_file(path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
    fs::write(path, bytes).context("write", path)
}
