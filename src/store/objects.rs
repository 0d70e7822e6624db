//! Objects: one inode for each distinct file, named by the hash of its content and metadata.

use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;
use sha2::Digest as _;
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::path::{Path, PathBuf};

use super::content::Content;
use super::error::{Context, StoreError};
use super::inode::{self, Fault};
use crate::image::digest::{ContentHash, ContentHasher, hex};
use crate::image::entry::Metadata;

/// Most names that an inode is given: below the limit of ext4 (65,000) and of btrfs and XFS.
pub(super) const LINKS_MAX: u64 = 64_000;

/// Which equal files of different images are one object.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Sharing {
    /// Those whose times are equal, too.
    #[default]
    Exact,
    /// Those that differ in nothing but their times: all have that of the first.
    AnyTime,
}

/// The hash of a file's content, mode, owner, attributes and, where that counts, time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Key([u8; 32]);

impl Key {
    pub(super) fn new(content: &ContentHash, metadata: &Metadata, sharing: Sharing) -> Self {
        let mut hasher = sha2::Sha256::new();
        let seconds = metadata.mtime.seconds.to_le_bytes();
        let nanoseconds = metadata.mtime.nanoseconds.to_le_bytes();
        hasher.update(match sharing {
            Sharing::Exact => b"sampan object 1\0".as_slice(),
            Sharing::AnyTime => b"sampan object 1 of any time\0",
        });
        hasher.update(content.bytes());
        for number in [metadata.mode, metadata.uid, metadata.gid] {
            hasher.update(number.to_le_bytes());
        }
        if sharing == Sharing::Exact {
            hasher.update(nanoseconds);
            hasher.update(seconds);
        }
        for (name, value) in &metadata.xattrs {
            for part in [name.as_bytes(), &value.0] {
                hasher.update((part.len() as u64).to_le_bytes());
                hasher.update(part);
            }
        }
        Self(hasher.finalize().into())
    }

    /// Its first 64 bits.
    pub(super) fn beginning(&self) -> [u32; 2] {
        let [a, b, c, d, e, f, g, h, ..] = self.0;
        [u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h])]
    }

    /// The directory of the objects whose keys begin as this one does.
    pub(super) fn shard(&self) -> String {
        hex(&self.0[..1])
    }

    /// The name in that directory; equal files of one image are told apart by their slot.
    pub(super) fn name(&self, slot: u32) -> String {
        match slot {
            0 => hex(&self.0[1..]),
            slot => format!("{}.{slot}", hex(&self.0[1..])),
        }
    }

    /// The name below `objects/`.
    pub(super) fn path(&self, slot: u32) -> PathBuf {
        PathBuf::from(format!("{}/{}", self.shard(), self.name(slot)))
    }

    /// The key and slot that a file's place below `objects/` says; `None` for what is no object's place.
    pub(super) fn of_place(shard: &str, name: &str) -> Option<(Self, u32)> {
        let (rest, slot) = match name.split_once('.') {
            Some((rest, slot)) => (rest, slot.parse().ok().filter(|slot| *slot > 0)?),
            None => (name, 0),
        };
        let hash = ContentHash::try_from(format!("{shard}{rest}").as_str()).ok()?;
        let key = Self(*hash.bytes());
        (key.path(slot) == Path::new(shard).join(name)).then_some((key, slot))
    }
}

/// What is found where an object should be.
#[derive(Debug)]
pub(super) enum State {
    Missing,
    Intact {
        /// Names of its inode.
        links: u64,
    },
    Damaged(String),
}

/// Reads a whole object, to see whether it is what its key says.
pub(super) fn examine(path: &Path, key: &Key) -> Result<State, StoreError> {
    let file = match inode::open(path) {
        Ok(file) => file,
        Err(Errno::NOENT) => return Ok(State::Missing),
        Err(Errno::LOOP | Errno::NXIO) => return Ok(State::Damaged("is not a regular file".to_owned())),
        Err(error) => return Err(error).context("open", path),
    };
    let found = inode::examine(&file).context("read", path)?;
    if inode::file_type(&found.stat) != FileType::RegularFile {
        return Ok(State::Damaged("is not a regular file".to_owned()));
    }
    let content = hash(&mut File::from(file)).context("read", path)?;
    // A store that shares whatever the time has objects of its own form only, and either form is exact.
    let of = |sharing| Key::new(&content, &found.metadata, sharing);
    if of(Sharing::Exact) == *key || of(Sharing::AnyTime) == *key {
        return Ok(State::Intact { links: found.stat.st_nlink });
    }
    Ok(State::Damaged("its content or metadata is not what its name says".to_owned()))
}

/// How many names an object has, if what stat(2) tells of it is as it should be.
pub(super) fn links_if_intact(path: &Path, size: u64, metadata: &Metadata) -> Option<u64> {
    let stat = rustix::fs::lstat(path).ok()?;
    let intact =
        inode::file_type(&stat) == FileType::RegularFile && inode::looks_intact(&stat, size, metadata);
    intact.then_some(stat.st_nlink)
}

/// The hash of a file's content from where it stands.
pub(super) fn hash(file: &mut impl Read) -> std::io::Result<ContentHash> {
    let mut hasher = ContentHasher::default();
    let mut buffer = vec![0; 128 << 10];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hasher.finish()),
            count => hasher.update(&buffer[..count]),
        }
    }
}

/// Makes a new object `name` in `directory`, which must be on the store's file system and in nobody's sight.
pub(super) fn create(
    directory: BorrowedFd<'_>,
    name: &Path,
    content: &Content,
    metadata: &Metadata,
) -> Result<(), Fault> {
    if let Content::Unnamed(file) = content {
        inode::apply(file.as_fd(), metadata)?;
        // AT_EMPTY_PATH needs CAP_DAC_READ_SEARCH, open(2), but no /proc.
        return Ok(rustix::fs::linkat(file, "", directory, name, rustix::fs::AtFlags::EMPTY_PATH)?);
    }
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut file = File::from(rustix::fs::openat(directory, name, flags, Mode::RUSR | Mode::WUSR)?);
    content.write_to(&mut file).map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
    inode::apply(file.as_fd(), metadata)
}

/// Makes a damaged object whole in its own inode, so that every image that uses it is healed at once, and every
/// container that runs from one. Only what differs is written, and nothing is cut off before: a program that has the
/// file in its memory would die of that, SIGBUS in signal(7). Of metadata alone the content is not touched; a program
/// that runs cannot be written, open(2) ETXTBSY.
pub(super) fn heal(path: &Path, content: &Content, metadata: &Metadata) -> Result<(), StoreError> {
    let found = File::from(inode::open(path).context("heal", path)?);
    if content.differs_from(&found).context("read", path)? {
        let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = rustix::fs::open(path, flags, Mode::empty());
        let file = File::from(file.context("heal (stop the containers that use it)", path)?);
        content.mend(&file).context("heal", path)?;
    }
    set_metadata(found.as_fd(), metadata).context("heal", path)
}

/// Gives an object whose content is whole its metadata back. The content may be the only copy, and is not touched.
pub(super) fn mend(path: &Path, metadata: &Metadata) -> Result<(), StoreError> {
    let file = inode::open(path).context("heal", path)?;
    set_metadata(file.as_fd(), metadata).context("heal", path)
}

/// Gives an open file or directory this metadata and no other attributes.
pub(super) fn set_metadata(file: BorrowedFd<'_>, metadata: &Metadata) -> Result<(), Fault> {
    for name in inode::examine(file)?.metadata.xattrs.keys() {
        rustix::fs::fremovexattr(file, name.as_str())?;
    }
    inode::apply(file, metadata)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::entry::Mtime;

    #[test]
    fn metadata_is_part_of_the_key() {
        let metadata = Metadata::implied_directory();
        let content = ContentHash::of(b"x");
        let key = |metadata: &Metadata| Key::new(&content, metadata, Sharing::Exact);
        assert_ne!(key(&metadata), key(&Metadata { mode: 0o4755, ..metadata.clone() }));
        assert_ne!(key(&metadata), key(&Metadata { uid: 1, ..metadata.clone() }));
        assert_ne!(key(&metadata), Key::new(&ContentHash::of(b"y"), &metadata, Sharing::Exact));
        let later = Metadata { mtime: Mtime { seconds: 1, nanoseconds: 0 }, ..metadata.clone() };
        assert_ne!(key(&metadata), key(&later));
        let any = |metadata: &Metadata| Key::new(&content, metadata, Sharing::AnyTime);
        assert_eq!(any(&metadata), any(&later));
        assert_ne!(any(&metadata), key(&metadata));
    }

    #[test]
    fn a_place_tells_the_key() {
        let key = Key::new(&ContentHash::of(b"x"), &Metadata::implied_directory(), Sharing::Exact);
        for slot in [0, 3] {
            let path = key.path(slot);
            let shard = path.parent().unwrap().to_str().unwrap();
            let name = path.file_name().unwrap().to_str().unwrap();
            assert_eq!(Key::of_place(shard, name), Some((key, slot)));
            assert_eq!(Key::of_place(shard, &format!("{name}x")), None);
            assert_eq!(Key::of_place("zz", name), None);
        }
    }
}
