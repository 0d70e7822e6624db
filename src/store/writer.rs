//! A writer of the store: takes layers as they are read, and knows what is whole.

use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;
use std::collections::HashSet;
use std::fs::{self, File};
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::Store;
use super::content::Content;
use super::error::{Context, StoreError};
use super::flush::Flusher;
use super::index::{Index, IndexWriter};
use super::inode::Fault;
use super::notices;
use super::objects::{self, Key, LINKS_MAX, Sharing, State};
use super::staging::{Lock, Purpose, Staging};
use crate::image::body::Body;
use crate::image::digest::{ContentHash, Digest};
use crate::image::entry::{LayerEntry, Metadata, Node, TreeEntry};
use crate::image::layer::{Layer, Sink, SinkError};
use crate::image::notices::Notices;

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
    /// Those that it has made, or found whole in the store: a part of them, to save looking again.
    known: HashSet<Key>,
    /// Those that have about as many names as an inode can.
    crowded: HashSet<Key>,
}

/// Most keys that are kept in mind, some 10 MB.
const KNOWN_MAX: usize = 100_000;

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

impl Scrutiny {
    /// What `--verify` asks for, or its absence.
    pub fn of_verify(verify: bool) -> Self {
        if verify { Self::Content } else { Self::Status }
    }
}

/// A layer as it was read, now or at an earlier import.
#[derive(Debug)]
pub struct UnpackedLayer {
    /// The digest of the packed blob, when the image came with one.
    pub digest: Option<Digest>,
    /// The digest of the plain layer.
    pub diff_id: Digest,
    /// Its entries.
    pub index: Index<LayerEntry>,
    /// How many they are.
    pub entries: u64,
    /// Bytes of holes that were hashed to read it.
    pub holes: u64,
    /// What was left out of it.
    pub notices: Notices,
    /// Who read it.
    pub origin: Origin,
}

/// Who read a layer.
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
    pub fn new(store: &'a Store, purpose: Purpose, scrutiny: Scrutiny) -> Result<Self, StoreError> {
        let lock = store.lock(purpose)?;
        let root = File::open(store.root()).context("open", store.root())?;
        let staging = Staging::new(store.root())?;
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

    /// A layer that was read before; `None` when it must be read (again). `digest` is that of its packed blob.
    pub fn known_layer(&self, diff_id: &Digest, digest: Option<&Digest>) -> Option<UnpackedLayer> {
        let index = Index::open(&self.store.layer_index(diff_id)).ok()?;
        let entries = index.count().ok()?;
        let notices = notices::read(&self.store.layer_index(diff_id)).ok()?;
        let (digest, diff_id) = (digest.cloned(), diff_id.clone());
        let (holes, origin) = (0, Origin::Index);
        Some(UnpackedLayer { digest, diff_id, index, entries, holes, notices, origin })
    }

    /// Begins to take a layer.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub fn layer(&self, diff_id: &Digest) -> Result<LayerWriter<'_>, StoreError> {
        let path = self.staged_index(diff_id);
        let index = IndexWriter::create(&path)?;
        Ok(LayerWriter { writer: self, path, index })
    }

    pub(super) fn staged_index(&self, diff_id: &Digest) -> PathBuf {
        self.staging.path(&format!("layer-{}", diff_id.hex()))
    }

    pub(super) fn scrutiny(&self) -> Scrutiny {
        self.scrutiny
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
        // Threads ask, and one of them does it.
        if slot == 0 && !self.claim(key) || self.is_staged(key, slot) {
            return Ok(false);
        }
        let path = self.store.object(key, slot);
        match objects::examine(&path, key)? {
            State::Intact { links } => {
                self.count_links(key, links);
                Ok(false)
            }
            State::Damaged(_) if path.is_file() && !path.is_symlink() => {
                self.heal(&path, key, content, metadata)?;
                Ok(false)
            }
            State::Missing | State::Damaged(_) => self.stage(key, slot, content, metadata),
        }
    }

    /// Another writer may have found the same, so it is looked at again.
    fn heal(&self, path: &Path, key: &Key, content: &Content, metadata: &Metadata) -> Result<(), StoreError> {
        let _lock = self.store.lock_names()?;
        if !matches!(objects::examine(path, key)?, State::Intact { .. }) {
            objects::heal(path, content, metadata)?;
            self.healed.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Whether an object is one that this writer has yet to look after.
    fn claim(&self, key: &Key) -> bool {
        let mut books = self.books();
        if books.known.len() >= KNOWN_MAX {
            books.known.clear();
        }
        books.known.insert(*key)
    }

    fn stage(
        &self,
        key: &Key,
        slot: u32,
        content: &Content,
        metadata: &Metadata,
    ) -> Result<bool, StoreError> {
        let name = key.path(slot);
        let create = || objects::create(self.new_objects.as_fd(), &name, content, metadata);
        let created = create().or_else(|error| match error {
            Fault::Call(Errno::NOENT) => {
                self.make_shard(key)?;
                create()
            }
            error => Err(error),
        });
        match created {
            // Another thread was first.
            Err(Fault::Call(Errno::EXIST)) => Ok(false),
            created => created.context("make", &self.staged_path(key, slot)).map(|()| true),
        }
    }

    fn make_shard(&self, key: &Key) -> Result<(), Errno> {
        match rustix::fs::mkdirat(&self.new_objects, key.shard(), Mode::RWXU) {
            // Another thread was first.
            Err(Errno::EXIST) => Ok(()),
            result => result,
        }
    }

    /// Whether an object is in staging, and so has no place in the store yet.
    pub(super) fn is_staged(&self, key: &Key, slot: u32) -> bool {
        rustix::fs::statat(&self.new_objects, key.path(slot), AtFlags::SYMLINK_NOFOLLOW).is_ok()
    }

    /// Whether an object that this writer has seen could not take another name.
    pub(super) fn is_crowded(&self, key: &Key) -> bool {
        self.books().crowded.contains(key)
    }

    fn count_links(&self, key: &Key, links: u64) {
        if links + 1 > LINKS_MAX {
            self.books().crowded.insert(*key);
        }
    }

    /// What was found out may not hold for the next image: this one has given objects new names.
    pub(super) fn forget(&self) {
        *self.books() = Books::default();
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
        let links = match (self.scrutiny, self.store.sharing) {
            (Scrutiny::Status, Sharing::Exact) => objects::links_if_intact(&path, *size, &entry.metadata),
            _ => match objects::examine(&path, &key)? {
                State::Intact { links } => Some(links),
                State::Missing | State::Damaged(_) => None,
            },
        };
        if let Some(links) = links.filter(|_| slot == 0) {
            self.count_links(&key, links);
            self.claim(&key);
        }
        Ok(links.is_some())
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

/// A layer on its way into the store.
#[derive(Debug)]
pub struct LayerWriter<'a> {
    writer: &'a Writer<'a>,
    path: PathBuf,
    index: IndexWriter<File>,
}

impl LayerWriter<'_> {
    /// Completes the index of the layer, which was read whole. `digest` is that of the packed blob.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn finish(
        self,
        digest: Option<Digest>,
        diff_id: Digest,
        layer: Layer,
    ) -> Result<UnpackedLayer, StoreError> {
        let index = self.index.into_index(&self.path)?;
        let Layer { entries, holes, notices } = layer;
        notices::write(&self.path, &notices)?;
        Ok(UnpackedLayer { digest, diff_id, index, entries, holes, notices, origin: Origin::Stream })
    }
}

impl Sink for LayerWriter<'_> {
    fn file(&mut self, metadata: &Metadata, content: Body<'_>) -> Result<ContentHash, SinkError> {
        if super::inode::to_disk(metadata.uid).is_none() || super::inode::to_disk(metadata.gid).is_none() {
            return Err("its owner or group is an id that the store cannot shift".into());
        }
        let writer = self.writer;
        let size = content.size();
        let (content, hash) = Content::receive(content, || writer.spool())?;
        if size > 0 && writer.ensure(&writer.store.key(&hash, metadata), 0, &content, metadata)? {
            writer.flusher.wrote(size);
        }
        Ok(hash)
    }

    fn entry(&mut self, entry: LayerEntry) -> Result<(), SinkError> {
        self.index.push(&entry).context("write", &self.path)?;
        Ok(())
    }
}
