//! Objects: one inode for each distinct file, named by the hash of its content and metadata.

use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;
use sha2::Digest as _;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use super::error::{Context, StoreError};
use super::inode;
use crate::image::digest::{ContentHash, hex};
use crate::image::entry::Metadata;

/// Most names that an inode is given: below the limit of ext4 (65,000) and of btrfs and XFS.
pub(super) const LINKS_MAX: u64 = 64_000;

/// The hash of a file's content, mode, owner, attributes and time.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Key(String);

impl Key {
    pub(super) fn new(content: &ContentHash, metadata: &Metadata) -> Self {
        let mut hasher = sha2::Sha256::new();
        hasher.update(b"sampan object 1\0");
        hasher.update(content.bytes());
        for number in [metadata.mode, metadata.uid, metadata.gid, metadata.mtime.nanoseconds] {
            hasher.update(number.to_le_bytes());
        }
        hasher.update(metadata.mtime.seconds.to_le_bytes());
        for (name, value) in &metadata.xattrs {
            for part in [name.as_bytes(), &value.0] {
                hasher.update((part.len() as u64).to_le_bytes());
                hasher.update(part);
            }
        }
        Self(hex(&hasher.finalize()))
    }

    /// The name in one directory; equal files of one image are told apart by their slot.
    pub(super) fn name(&self, slot: u32) -> String {
        match slot {
            0 => self.0.clone(),
            slot => format!("{}.{slot}", self.0),
        }
    }

    /// The name below `objects/`.
    pub(super) fn path(&self, slot: u32) -> PathBuf {
        let name = self.name(slot);
        Path::new(&name[..2]).join(&name[2..])
    }

    /// The key and slot that a file's place below `objects/` says; `None` for what is no object's place.
    pub(super) fn of_place(shard: &str, name: &str) -> Option<(Self, u32)> {
        let (rest, slot) = match name.split_once('.') {
            Some((rest, slot)) => (rest, slot.parse().ok().filter(|slot| *slot > 0)?),
            None => (name, 0),
        };
        let key = Self(format!("{shard}{rest}"));
        let valid = shard.len() == 2 && key.0.len() == 64 && crate::image::digest::is_lower_hex(&key.0);
        (valid && key.path(slot) == Path::new(shard).join(name)).then_some((key, slot))
    }
}

/// What is found where an object should be.
#[derive(Debug)]
pub(super) enum State {
    Missing,
    Intact,
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
    if Key::new(&content, &found.metadata) == *key {
        return Ok(State::Intact);
    }
    Ok(State::Damaged("its content or metadata is not what its name says".to_owned()))
}

/// The hash of a file's content from where it stands.
pub(super) fn hash(file: &mut impl Read) -> std::io::Result<ContentHash> {
    let mut hasher = sha2::Sha256::new();
    let mut buffer = vec![0; 128 << 10];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(ContentHash::finish(hasher)),
            count => hasher.update(&buffer[..count]),
        }
    }
}

/// A file's content on its way into the store.
#[derive(Debug)]
pub(super) enum Content {
    /// A small file.
    Memory(Vec<u8>),
    /// A large one, in a file without a name.
    Unnamed(File),
}

impl Content {
    /// Writes the content to an empty or damaged file.
    fn write_to(&self, target: &mut File) -> std::io::Result<()> {
        match self {
            Self::Memory(bytes) => target.write_all(bytes),
            Self::Unnamed(source) => copy(source, target),
        }
    }
}

/// Makes a new object at `path`, which must be on the store's file system and in no use.
pub(super) fn create(path: &Path, content: &Content, metadata: &Metadata) -> Result<(), StoreError> {
    if let Content::Unnamed(file) = content {
        inode::apply(file.as_fd(), metadata).context("set the metadata of", path)?;
        // AT_EMPTY_PATH needs CAP_DAC_READ_SEARCH, open(2), but no /proc.
        let here = rustix::fs::CWD;
        return rustix::fs::linkat(file, "", here, path, rustix::fs::AtFlags::EMPTY_PATH)
            .context("make", path);
    }
    let mut file = File::from(create_exclusive(path)?);
    content.write_to(&mut file).context("write", path)?;
    inode::apply(file.as_fd(), metadata).context("set the metadata of", path)
}

/// Makes a damaged object whole in its own inode, so that every image that uses it is healed at once.
pub(super) fn heal(path: &Path, content: &Content, metadata: &Metadata) -> Result<(), StoreError> {
    let flags = OFlags::WRONLY | OFlags::TRUNC | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = rustix::fs::open(path, flags, Mode::empty());
    let mut file = File::from(file.context("heal (stop the containers that use it)", path)?);
    content.write_to(&mut file).context("heal", path)?;
    set_metadata(file.as_fd(), metadata).context("heal", path)
}

/// Gives an object whose content is whole its metadata back. The content may be the only copy, and is not touched.
pub(super) fn mend(path: &Path, metadata: &Metadata) -> Result<(), StoreError> {
    let file = inode::open(path).context("heal", path)?;
    set_metadata(file.as_fd(), metadata).context("heal", path)
}

fn set_metadata(file: BorrowedFd<'_>, metadata: &Metadata) -> Result<(), Errno> {
    for name in inode::examine(file)?.metadata.xattrs.keys() {
        rustix::fs::fremovexattr(file, name.as_str())?;
    }
    inode::apply(file, metadata)
}

fn create_exclusive(path: &Path) -> Result<OwnedFd, StoreError> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::RUSR | Mode::WUSR).context("create", path)
}

/// Copies by position, so that the source can be copied again.
fn copy(source: &File, target: &mut File) -> std::io::Result<()> {
    use std::os::unix::fs::FileExt as _;
    let mut buffer = vec![0; 128 << 10];
    let mut offset = 0;
    loop {
        match source.read_at(&mut buffer, offset)? {
            0 => return Ok(()),
            count => {
                target.write_all(&buffer[..count])?;
                offset += count as u64;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_is_part_of_the_key() {
        let metadata = Metadata::implied_directory();
        let content = ContentHash::of(b"x");
        let key = |metadata: &Metadata| Key::new(&content, metadata);
        assert_ne!(key(&metadata), key(&Metadata { mode: 0o4755, ..metadata.clone() }));
        assert_ne!(key(&metadata), key(&Metadata { uid: 1, ..metadata.clone() }));
        assert_ne!(key(&metadata), Key::new(&ContentHash::of(b"y"), &metadata));
    }

    #[test]
    fn a_place_tells_the_key() {
        let key = Key::new(&ContentHash::of(b"x"), &Metadata::implied_directory());
        for slot in [0, 3] {
            let path = key.path(slot);
            let shard = path.parent().unwrap().to_str().unwrap();
            let name = path.file_name().unwrap().to_str().unwrap();
            assert_eq!(Key::of_place(shard, name), Some((key.clone(), slot)));
            assert_eq!(Key::of_place(shard, &format!("{name}x")), None);
            assert_eq!(Key::of_place("zz", name), None);
        }
    }
}
