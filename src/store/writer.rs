//! The one writer of the store: takes contents of files as layers are read, and knows what is whole.

use rustix::fs::{Mode, OFlags};
use sha2::Digest as _;
use std::collections::{BTreeSet, HashSet};
use std::error::Error;
use std::fs::{self, File};
use std::io::{Read, Write as _};

use super::error::{Context, StoreError};
use super::objects::{self, Content, Key, State};
use super::staging::{Lock, Staging};
use super::{Store, index};
use crate::image::digest::{ContentHash, Digest};
use crate::image::entry::{LayerEntry, Metadata, Node};
use crate::image::fold::FoldedEntry;
use crate::image::layer::Sink;

/// Files up to this size are hashed in memory, so that what the store has already is never written.
const MEMORY_MAX: u64 = 1 << 20;

/// Holds the store's lock and a staging directory until dropped.
#[derive(Debug)]
pub struct Writer<'a> {
    pub(super) store: &'a Store,
    pub(super) staging: Staging,
    /// Objects that this writer has made or read and found whole.
    known: HashSet<Key>,
    /// Objects in staging, which have no place in the store yet.
    pub(super) staged: BTreeSet<(Key, u32)>,
    healed: u64,
    // Dropped last: the staging directory goes while the lock is held.
    _lock: Lock,
}

/// A layer as it was read, now or at an earlier import.
#[derive(Debug)]
pub struct UnpackedLayer {
    /// The digest of the packed blob, when the image came with one.
    pub digest: Option<Digest>,
    /// The digest of the plain layer.
    pub diff_id: Digest,
    /// Its entries.
    pub entries: Vec<LayerEntry>,
    /// What was left out of it.
    pub notices: Vec<String>,
    /// Where the entries come from.
    pub origin: Origin,
}

/// Where a layer's entries come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// This import read the layer.
    Stream,
    /// An earlier one did, and left its index.
    Index,
}

impl<'a> Writer<'a> {
    /// Waits for the lock and makes a staging directory.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub fn new(store: &'a Store) -> Result<Self, StoreError> {
        let lock = store.lock()?;
        let staging = Staging::new(store, &lock)?;
        let objects = staging.path("objects");
        fs::create_dir(&objects).context("create", &objects)?;
        Ok(Self { store, staging, known: HashSet::new(), staged: BTreeSet::new(), healed: 0, _lock: lock })
    }

    /// A file without a name on the store's file system, for a source that cannot be read twice.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn spool(&self) -> Result<File, StoreError> {
        let path = self.staging.path("objects");
        let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
        rustix::fs::open(&path, flags, Mode::RUSR | Mode::WUSR)
            .map(File::from)
            .context("make a file in", &path)
    }

    /// The entries of a layer that was read before; `None` when it must be read (again).
    pub fn known_layer(&self, diff_id: &Digest) -> Option<Vec<LayerEntry>> {
        index::read(&self.store.layer_index(diff_id)).ok()
    }

    /// Positions of layers taken from their index of which an object in use is missing or damaged: reading
    /// them again heals it.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn unsound_layers(
        &mut self,
        entries: &[FoldedEntry],
        layers: &[UnpackedLayer],
    ) -> Result<BTreeSet<usize>, StoreError> {
        let mut unsound = BTreeSet::new();
        for folded in entries {
            let Node::File { size: 1.., sha256 } = &folded.entry.node else { continue };
            let key = Key::new(sha256, &folded.entry.metadata);
            let from_index = layers.get(folded.layer).is_some_and(|layer| layer.origin == Origin::Index);
            if from_index && !self.is_whole(&key)? {
                unsound.insert(folded.layer);
            }
        }
        Ok(unsound)
    }

    /// How many damaged objects this writer has made whole.
    pub fn healed(&self) -> u64 {
        self.healed
    }

    /// Sees to it that an equal object, its slot included, is in the store or in staging and whole.
    pub(super) fn ensure(
        &mut self,
        key: &Key,
        slot: u32,
        content: &Content,
        metadata: &Metadata,
    ) -> Result<(), StoreError> {
        let place = (key.clone(), slot);
        if self.staged.contains(&place) || (slot == 0 && self.known.contains(key)) {
            return Ok(());
        }
        let path = self.store.object(key, slot);
        match objects::examine(&path, key)? {
            State::Intact => {}
            State::Damaged(_) if path.is_file() && !path.is_symlink() => {
                objects::heal(&path, content, metadata)?;
                self.healed += 1;
            }
            State::Missing | State::Damaged(_) => {
                objects::create(&self.staged_path(key, slot), content, metadata)?;
                self.staged.insert(place);
            }
        }
        if slot == 0 {
            self.known.insert(key.clone());
        }
        Ok(())
    }

    pub(super) fn staged_path(&self, key: &Key, slot: u32) -> std::path::PathBuf {
        self.staging.path("objects").join(key.name(slot))
    }

    fn is_whole(&mut self, key: &Key) -> Result<bool, StoreError> {
        if self.known.contains(key) {
            return Ok(true);
        }
        let whole = matches!(objects::examine(&self.store.object(key, 0), key)?, State::Intact);
        if whole {
            self.known.insert(key.clone());
        }
        Ok(whole)
    }

    /// Copies a large content to an unnamed file, and hashes it on the way.
    fn stream(&self, content: &mut dyn Read) -> Result<(Content, ContentHash), Box<dyn Error + Send + Sync>> {
        let mut file = self.spool()?;
        let mut hasher = sha2::Sha256::new();
        let mut buffer = vec![0; 256 << 10];
        loop {
            match content.read(&mut buffer)? {
                0 => return Ok((Content::Unnamed(file), ContentHash::finish(hasher))),
                count => {
                    hasher.update(&buffer[..count]);
                    file.write_all(&buffer[..count])?;
                }
            }
        }
    }
}

impl Sink for Writer<'_> {
    fn file(
        &mut self,
        metadata: &Metadata,
        size: u64,
        content: &mut dyn Read,
    ) -> Result<ContentHash, Box<dyn Error + Send + Sync>> {
        if super::inode::to_disk(metadata.uid).is_none() || super::inode::to_disk(metadata.gid).is_none() {
            return Err("its owner or group is an id that the store cannot shift".into());
        }
        let (content, hash) = if size <= MEMORY_MAX {
            let mut bytes = Vec::with_capacity(usize::try_from(size)?);
            content.read_to_end(&mut bytes)?;
            let hash = ContentHash::of(&bytes);
            (Content::Memory(bytes), hash)
        } else {
            self.stream(content)?
        };
        if size > 0 {
            self.ensure(&Key::new(&hash, metadata), 0, &content, metadata)?;
        }
        Ok(hash)
    }
}
