//! The store: objects, layer indexes, images, names. This page is its format on disk.
//!
//! ```text
//! format                   "sampan-store 1", and "ignore-mtime" in a second line; written last when a store is made
//! lock, names.lock         flock(2): who adds, collects or names, and no longer when its holder is dead
//! objects/ab/cdef…[.K]     one inode per distinct file, named by the hash of content and metadata
//! layers/DIFF-ID           the index of one layer (see `index`); named by the hex of its digest
//! layers/DIFF-ID.notices   what was left out of that layer, where anything was
//! images/IMAGE-ID/         rootfs/, record, manifest, config, index
//! refs/                    files named as an image is (a slash is "%"), with the image's id inside; one that would be
//!                          longer than 255 bytes is "%" and the hash of that, with the name in a second line
//! staging/BOOT-ID-…/       work in progress, locked by who is at it; the next writer discards what nobody is at
//! containers/UNIT/         upper directories: of a run, or persistent    volumes/NAME/   named volumes (see `volumes`)
//! containers/UNIT/private/ copies of trees (see `private`)
//! containers/gone-…        what runs that are over have left, on its way out
//! ids                      allocated id ranges
//! usage/IMAGE-ID           inode numbers and sizes of an image's files, a cache (see `usage::files`)
//! ```
//!
//! Readers take no lock: a name leads to an image that is whole. Several writers may add at the same time. They go
//! by one protocol: data into `staging/`, syncfs(2), objects renamed into place, the tree linked to them in
//! `staging/`, layer indexes renamed into place, syncfs(2), then the image and at last its name are renamed into
//! place. A crash leaves no image or a whole one.
//!
//! The link count of an object is its reference count: with one link it is garbage. Two paths of one image are
//! one inode only when the image itself links them; its other equal files use slots `.1`, `.2`, ... Empty files
//! and whatever is not a regular file are never shared.
//!
//! An import that reads a layer hashes each object of it that it finds, and heals it in place when it is damaged.
//! Of layers that it need not read, it looks at the size, owner, mode and time of each object, which a write
//! or a crash changes; `Scrutiny::Content` makes it hash these, too. A store that ignores times knows
//! a written object by its content alone.
//! Nothing here is the only copy of a fact: objects name themselves, the index of an image and its
//! configuration are beside its tree, its record tells the names it was imported under, and a lost layer index
//! costs no more than unpacking that layer again. [`Store::repair`] restores one from the other.
#![forbid(unsafe_code)]

mod commit;
mod content;
mod documents;
mod error;
mod flush;
mod folding;
mod fsck;
mod gc;
mod ids;
mod index;
mod inode;
mod lookup;
mod mend;
mod names;
mod notices;
mod objects;
mod parts;
mod present;
pub mod private;
mod record;
mod repair;
mod rootfs;
mod slots;
mod staging;
mod tree;
mod usage;
pub mod volumes;
mod writer;

use rustix::fs::Access;
use std::fs::{self, File};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use crate::image::config::ImageConfig;
use crate::image::digest::{Algorithm, ContentHash, Digest};
use crate::image::entry::{Metadata, TreeEntry};
use crate::image::short_name::ShortNames;
use crate::paths::Paths;
use error::Context;

pub use commit::{NewImage, Outcome};
pub use error::StoreError;
pub use folding::FoldedImage;
pub use fsck::Finding;
pub use gc::Collected;
pub use ids::IdRange;
pub use index::{Index, from_bytes as parse_index, to_bytes as write_index};
pub use inode::FOREIGN_BASE;
pub use lookup::KnownFile;
pub use objects::Sharing;
pub use private::PrivateCopy;
pub use record::{ImageRecord, LayerRecord};
pub use repair::Repair;
pub use staging::Purpose;
pub use usage::{Unused, Usage};
pub use writer::{LayerWriter, Origin, Scrutiny, UnpackedLayer, Writer};

const FORMAT: &str = "sampan-store 1";
/// The line after it in a store that shares files whatever their times are.
const IGNORE_MTIME: &str = "ignore-mtime";
const DIRECTORIES: [&str; 7] = ["objects", "layers", "images", "refs", "staging", "containers", "volumes"];

/// An image store.
#[derive(Debug, Clone)]
pub struct Store {
    root: PathBuf,
    sharing: Sharing,
    short_names: ShortNames,
}

/// The digest of an image's configuration, by which the image is known.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ImageId(Digest);

impl ImageId {
    /// The id that a configuration's digest is. Only sha256 serves, so that no two forms name one image.
    ///
    /// # Errors
    /// When the digest is of another algorithm.
    pub fn new(digest: Digest) -> Result<Self, StoreError> {
        match digest.algorithm() {
            Algorithm::Sha256 => Ok(Self(digest)),
            Algorithm::Sha512 => Err(StoreError::Name(digest.to_string())),
        }
    }

    /// The digest.
    pub fn digest(&self) -> &Digest {
        &self.0
    }
}

impl std::fmt::Display for ImageId {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(formatter)
    }
}

/// What a launch needs of an image.
#[derive(Debug, Clone)]
pub struct Image {
    /// Its id.
    pub id: ImageId,
    /// The flat tree, owned by foreign ids.
    pub rootfs: PathBuf,
    /// What to run.
    pub config: ImageConfig,
}

impl Store {
    /// Opens the store for reading.
    ///
    /// # Errors
    /// When there is none, or it is of another format.
    pub fn open(paths: &Paths) -> Result<Self, StoreError> {
        let root = paths.store().to_owned();
        let format = root.join("format");
        let found = fs::read_to_string(&format).context("open the image store's", &format)?;
        match sharing(&found) {
            Some(sharing) => Ok(Self { root, sharing, short_names: ShortNames::default() }),
            None => {
                let found = found.trim_end().escape_debug().to_string();
                Err(StoreError::Format { path: root, found, known: FORMAT })
            }
        }
    }

    /// Opens the store for reading, when there is one: a directory in which the making of one was cut short holds
    /// nothing yet.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub fn find(paths: &Paths) -> Result<Option<Self>, StoreError> {
        let root = paths.store();
        if !root.try_exists().context("look at", root)? || !root.join("format").exists() && is_unmade(root)? {
            return Ok(None);
        }
        Self::open(paths).map(Some)
    }

    /// Whether whoever asks may read the store of these directories.
    pub fn is_readable(paths: &Paths) -> bool {
        let may_list = Access::READ_OK | Access::EXEC_OK;
        let may_list = |name| rustix::fs::access(paths.store().join(name), may_list).is_ok();
        ["refs", "images"].into_iter().all(may_list)
    }

    /// Opens the store, and makes it first where it is missing.
    ///
    /// # Errors
    /// When the directory cannot be made, holds something else, or is of another format.
    pub fn create(paths: &Paths) -> Result<Self, StoreError> {
        Self::create_sharing(paths, Sharing::default())
    }

    /// The same; a store that is made shares files so, one that is there does as it was told before.
    ///
    /// # Errors
    /// As [`Store::create`].
    pub fn create_sharing(paths: &Paths, sharing: Sharing) -> Result<Self, StoreError> {
        let root = paths.store();
        if root.join("format").exists() {
            return Self::open(paths);
        }
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true).mode(0o700).create(root).context("create", root)?;
        let directory = File::open(root).context("open", root)?;
        rustix::fs::flock(&directory, rustix::fs::FlockOperation::LockExclusive).context("lock", root)?;
        if root.join("format").exists() {
            return Self::open(paths);
        }
        // An administrator may have made it, or mounted a disk there.
        fs::set_permissions(root, fs::Permissions::from_mode(0o700)).context("protect", root)?;
        Self::populate(root, &builder, sharing)?;
        Self::open(paths)
    }

    /// Makes the directories of a store in an empty one, or one in which this was cut short.
    fn populate(root: &Path, builder: &fs::DirBuilder, sharing: Sharing) -> Result<(), StoreError> {
        if !is_unmade(root)? {
            return Err(StoreError::NotAStore(root.to_owned()));
        }
        for name in DIRECTORIES {
            builder.create(root.join(name)).context("create", &root.join(name))?;
        }
        let format = match sharing {
            Sharing::Exact => format!("{FORMAT}\n"),
            Sharing::AnyTime => format!("{FORMAT}\n{IGNORE_MTIME}\n"),
        };
        ids::replace(&root.join("format"), &root.join("format.new"), format.as_bytes())
    }

    /// The same store; texts are read as names by these rules.
    #[must_use]
    pub fn with_short_names(mut self, short_names: ShortNames) -> Self {
        self.short_names = short_names;
        self
    }

    /// Which files of this store are shared.
    pub fn sharing(&self) -> Sharing {
        self.sharing
    }

    /// The directory of the store.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The flat tree and the configuration of an image.
    ///
    /// # Errors
    /// When it is not in the store, or its record cannot be read.
    pub fn image(&self, id: &ImageId) -> Result<Image, StoreError> {
        let record = self.record(id)?;
        Ok(Image { id: id.clone(), rootfs: self.rootfs(id), config: record.config })
    }

    /// The tree of an image, with no look at whether it is there.
    pub fn rootfs(&self, id: &ImageId) -> PathBuf {
        self.image_directory(id).join("rootfs")
    }

    /// The entries of an image's tree, sorted by path.
    ///
    /// # Errors
    /// When the image is not in the store, or its index is damaged.
    pub fn entries(&self, id: &ImageId) -> Result<Vec<TreeEntry>, StoreError> {
        self.index(id)?.records().collect()
    }

    /// The same, read one by one.
    ///
    /// # Errors
    /// As [`Store::entries`].
    pub fn index(&self, id: &ImageId) -> Result<Index<TreeEntry>, StoreError> {
        Index::open(&self.image_directory(id).join("index"))
    }

    /// The ids of all images, sorted.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn images(&self) -> Result<Vec<ImageId>, StoreError> {
        let parse = |name: &String| Digest::parse(&format!("sha256:{name}")).ok().map(ImageId);
        Ok(self.list("images")?.iter().filter_map(parse).collect())
    }

    /// The directory for a unit's persistent root, made when it is missing.
    ///
    /// # Errors
    /// When the name cannot be one, or the directory cannot be made.
    pub fn containers_dir(&self, unit: &str) -> Result<PathBuf, StoreError> {
        self.named_directory("containers", unit, 0o700)
    }

    /// What has those of all units.
    pub fn all_containers_dir(&self) -> PathBuf {
        self.path("containers")
    }

    fn named_directory(&self, kind: &str, name: &str, mode: u32) -> Result<PathBuf, StoreError> {
        let valid =
            |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-' | b'@' | b':');
        if name.starts_with('.') || name.is_empty() || name.len() > 255 || !name.bytes().all(valid) {
            return Err(StoreError::Name(name.to_owned()));
        }
        let path = self.path(kind).join(name);
        fs::DirBuilder::new().recursive(true).mode(mode).create(&path).context("create", &path)?;
        Ok(path)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    fn image_directory(&self, id: &ImageId) -> PathBuf {
        self.path("images").join(id.0.hex())
    }

    fn layer_index(&self, diff_id: &Digest) -> PathBuf {
        self.path("layers").join(diff_id.hex())
    }

    /// The key of a file's object.
    fn key(&self, content: &ContentHash, metadata: &Metadata) -> objects::Key {
        objects::Key::new(content, metadata, self.sharing)
    }

    fn object(&self, key: &objects::Key, slot: u32) -> PathBuf {
        self.path("objects").join(key.path(slot))
    }

    /// Names in one of the store's directories, sorted. What is not UTF-8 is not ours.
    fn list(&self, directory: &str) -> Result<Vec<String>, StoreError> {
        list(&self.path(directory))
    }

    /// The directories of objects; fsck names what else is there.
    fn shards(&self) -> Result<Vec<String>, StoreError> {
        Ok(self.list("objects")?.into_iter().filter(|name| self.is_shard(name)).collect())
    }

    fn is_shard(&self, name: &str) -> bool {
        let path = self.path("objects").join(name);
        name.len() == 2
            && crate::image::digest::is_lower_hex(name)
            && path.symlink_metadata().is_ok_and(|metadata| metadata.is_dir())
    }

    fn sync_directory(&self, path: &Path) -> Result<(), StoreError> {
        File::open(path).and_then(|directory| directory.sync_all()).context("sync", path)
    }
}

/// What the file `format` says of sharing; `None` when it is of another format.
fn sharing(format: &str) -> Option<Sharing> {
    let mut lines = format.lines();
    match (lines.next()?, lines.next(), lines.next()) {
        (FORMAT, None, None) => Some(Sharing::Exact),
        (FORMAT, Some(IGNORE_MTIME), None) => Some(Sharing::AnyTime),
        _ => None,
    }
}

/// What mke2fs(8) makes in a new file system: a disk of its own is a good place for a store.
const OF_NEW_DISK: &str = "lost+found";

/// Whether a directory holds nothing but what the making of a store begins with.
fn is_unmade(root: &Path) -> Result<bool, StoreError> {
    for entry in fs::read_dir(root).context("read", root)? {
        let name = entry.context("read", root)?.file_name();
        let is_begun = name == "format.new" || DIRECTORIES.iter().any(|directory| name == *directory);
        if !is_begun && name != OF_NEW_DISK {
            return Ok(false);
        }
    }
    Ok(true)
}

fn list(path: &Path) -> Result<Vec<String>, StoreError> {
    let mut names = Vec::new();
    for entry in fs::read_dir(path).context("read", path)? {
        names.extend(entry.context("read", path)?.file_name().into_string().ok());
    }
    names.sort();
    Ok(names)
}
