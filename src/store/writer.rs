//! The one writer of the store: takes contents of files as layers are read, and knows what is whole.

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use std::collections::{BTreeSet, HashSet};
use std::error::Error;
use std::fs::{self, File};
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::content::Content;
use super::error::{Context, StoreError};
use super::flush::Flusher;
use super::objects::{self, Key, Sharing, State};
use super::staging::{Lock, Staging};
use super::{Store, index};
use crate::image::body::Body;
use crate::image::digest::{ContentHash, Digest};
use crate::image::entry::{LayerEntry, Metadata, Node, TreeEntry};
use crate::image::fold::FoldedEntry;
use crate::image::layer::Sink;

/// Holds the store's lock and a staging directory until dropped. Layers may be read in several threads.
#[derive(Debug)]
pub struct Writer<'a> {
    pub(super) store: &'a Store,
    pub(super) staging: Staging,
    /// The directory of new objects in staging, with a directory for each shard.
    pub(super) new_objects: OwnedFd,
    /// Open since before the first write, so that it hears of each that fails, syncfs(2).
    root: File,
    flusher: Flusher,
    books: Mutex<Books>,
    scrutiny: Scrutiny,
    healed: AtomicU64,
    // Dropped last: the staging directory goes while the lock is held.
    _lock: Lock,
}

/// What a writer knows of objects.
#[derive(Debug, Default)]
struct Books {
    /// Those that it has made, or found whole in the store.
    known: HashSet<Key>,
    /// Those in staging, which have no place in the store yet.
    staged: BTreeSet<(Key, u32)>,
}

/// How closely a writer looks at objects that a layer of an earlier import needs. Those that are in a layer that
/// it reads are always read, too.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Scrutiny {
    /// At their size, owner, mode and time, which a write or a crash changes.
    #[default]
    Status,
    /// At their content, which a failing disk may change.
    Content,
}

/// A layer as it was read, now or at an earlier import.
#[derive(Debug)]
pub struct UnpackedLayer {
    /// The digest of the packed blob, when the image came with one.
    pub digest: Option<Digest>,
    /// The digest of the plain layer.
    pub diff_id: Digest,
    /// Its entries, until they are folded.
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
    pub fn new(store: &'a Store, scrutiny: Scrutiny) -> Result<Self, StoreError> {
        let lock = store.lock()?;
        let root = File::open(store.root()).context("open", store.root())?;
        let staging = Staging::new(store, &lock)?;
        let path = staging.path("objects");
        fs::create_dir(&path).context("create", &path)?;
        let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
        let new_objects = rustix::fs::open(&path, flags, Mode::empty()).context("open", &path)?;
        let flusher = Flusher::start(&root).context("start a thread for", store.root())?;
        let (books, healed) = (Mutex::default(), AtomicU64::new(0));
        Ok(Self { store, staging, new_objects, root, flusher, books, scrutiny, healed, _lock: lock })
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
        &self,
        entries: &[FoldedEntry],
        layers: &[UnpackedLayer],
    ) -> Result<BTreeSet<usize>, StoreError> {
        let mut unsound = BTreeSet::new();
        for folded in entries {
            let from_index = layers.get(folded.layer).is_some_and(|layer| layer.origin == Origin::Index);
            if from_index && !self.is_whole(&folded.entry, 0)? {
                unsound.insert(folded.layer);
            }
        }
        Ok(unsound)
    }

    /// How many damaged objects this writer has made whole.
    pub fn healed(&self) -> u64 {
        self.healed.load(Ordering::Relaxed)
    }

    /// Sees to it that an equal object, its slot included, is in the store or in staging and whole. Tells
    /// whether it is new.
    pub(super) fn ensure(
        &self,
        key: &Key,
        slot: u32,
        content: &Content,
        metadata: &Metadata,
    ) -> Result<bool, StoreError> {
        if !self.claim(key, slot) {
            return Ok(false);
        }
        let path = self.store.object(key, slot);
        match objects::examine(&path, key)? {
            State::Intact => Ok(false),
            State::Damaged(_) if path.is_file() && !path.is_symlink() => {
                objects::heal(&path, content, metadata)?;
                self.healed.fetch_add(1, Ordering::Relaxed);
                Ok(false)
            }
            State::Missing | State::Damaged(_) => {
                self.stage(key, slot, content, metadata)?;
                self.books().staged.insert((*key, slot));
                Ok(true)
            }
        }
    }

    /// Whether an object is one that this writer has yet to look after. Threads ask, and one of them does it.
    fn claim(&self, key: &Key, slot: u32) -> bool {
        let mut books = self.books();
        match slot {
            0 => books.known.insert(*key),
            slot => !books.staged.contains(&(*key, slot)),
        }
    }

    fn stage(&self, key: &Key, slot: u32, content: &Content, metadata: &Metadata) -> Result<(), StoreError> {
        let name = key.path(slot);
        let create = || objects::create(self.new_objects.as_fd(), &name, content, metadata);
        let created = create().or_else(|error| match error {
            Errno::NOENT => {
                self.make_shard(key)?;
                create()
            }
            error => Err(error),
        });
        created.context("make", &self.staged_path(key, slot))
    }

    fn make_shard(&self, key: &Key) -> Result<(), Errno> {
        match rustix::fs::mkdirat(&self.new_objects, key.shard(), Mode::RWXU) {
            // Another thread was first.
            Err(Errno::EXIST) => Ok(()),
            result => result,
        }
    }

    pub(super) fn is_staged(&self, key: &Key, slot: u32) -> bool {
        self.books().staged.contains(&(*key, slot))
    }

    pub(super) fn take_staged(&self) -> BTreeSet<(Key, u32)> {
        std::mem::take(&mut self.books().staged)
    }

    pub(super) fn staged(&self) -> BTreeSet<(Key, u32)> {
        self.books().staged.clone()
    }

    pub(super) fn staged_path(&self, key: &Key, slot: u32) -> PathBuf {
        self.staging.path("objects").join(key.path(slot))
    }

    /// Whether the object of an entry, if it has one, is in the store or in staging and whole.
    pub(super) fn is_whole(&self, entry: &TreeEntry, slot: u32) -> Result<bool, StoreError> {
        let Node::File { size: size @ 1.., sha256 } = &entry.node else { return Ok(true) };
        let key = self.store.key(sha256, &entry.metadata);
        if slot == 0 && self.books().known.contains(&key) {
            return Ok(true);
        }
        let path = self.store.object(&key, slot);
        let whole = match (self.scrutiny, self.store.sharing) {
            (Scrutiny::Status, Sharing::Exact) => objects::looks_intact(&path, *size, &entry.metadata),
            _ => matches!(objects::examine(&path, &key)?, State::Intact),
        };
        if whole && slot == 0 {
            self.books().known.insert(key);
        }
        Ok(whole)
    }

    /// Writes everything of the store's file system to its disk.
    pub(super) fn sync(&self) -> Result<(), StoreError> {
        let synced = rustix::fs::syncfs(&self.root).and_then(|()| self.flusher.check());
        synced.context("sync", self.store.root())
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        // Each change of the books is one step: a thread that died in between left nothing half done.
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sink for Writer<'_> {
    fn file(
        &self,
        metadata: &Metadata,
        content: Body<'_>,
    ) -> Result<ContentHash, Box<dyn Error + Send + Sync>> {
        if super::inode::to_disk(metadata.uid).is_none() || super::inode::to_disk(metadata.gid).is_none() {
            return Err("its owner or group is an id that the store cannot shift".into());
        }
        let size = content.size();
        let (content, hash) = Content::receive(content, || self.spool())?;
        if size > 0 && self.ensure(&self.store.key(&hash, metadata), 0, &content, metadata)? {
            self.flusher.wrote(size);
        }
        Ok(hash)
    }
}
