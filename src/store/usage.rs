//! What images cost: bytes of files that they share, and that would go with them.
//!
//! The trees themselves tell: a file's object has one link in `objects/` and one for each name in an image.

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags};
use std::collections::{BTreeSet, HashMap};
use std::os::fd::OwnedFd;
use std::path::Path;

use super::error::{Context, StoreError};
use super::{ImageId, Store, list};

/// Bytes of the files of one image.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Usage {
    /// All, each file counted once.
    pub size: u64,
    /// Of files that other images have, too.
    pub shared: u64,
    /// Of files that no other image has: what its removal and a collection free.
    pub own: u64,
}

/// What no image needs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Unused {
    /// Indexes of layers.
    pub layers: u64,
    /// Objects.
    pub objects: u64,
    /// Bytes of those objects.
    pub bytes: u64,
}

/// An inode as one tree links it.
struct Linked {
    names: u64,
    links: u64,
    size: u64,
}

impl Store {
    /// What an image costs.
    ///
    /// # Errors
    /// When its tree cannot be read.
    pub fn usage(&self, id: &ImageId) -> Result<Usage, StoreError> {
        let rootfs = self.rootfs(id);
        let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
        let root = rustix::fs::open(&rootfs, flags, Mode::empty()).context("open", &rootfs)?;
        let mut inodes = HashMap::new();
        count(root, &mut inodes).context("read", &rootfs)?;
        let mut usage = Usage::default();
        for inode in inodes.values() {
            usage.size += inode.size;
            match inode.links > inode.names + 1 {
                true => usage.shared += inode.size,
                false => usage.own += inode.size,
            }
        }
        Ok(usage)
    }

    /// What none of the images `kept` needs. Files that only images to be removed have are not among it.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn unused(&self, kept: &BTreeSet<ImageId>) -> Result<Unused, StoreError> {
        let records = kept.iter().filter_map(|id| self.record(id).ok());
        let used: BTreeSet<String> =
            records.flat_map(|record| record.layers).map(|layer| layer.diff_id.hex().to_owned()).collect();
        let layers = self.list("layers")?.iter().filter(|name| !used.contains(*name)).count() as u64;
        let mut unused = Unused { layers, ..Unused::default() };
        for shard in self.list("objects")? {
            let directory = self.path("objects").join(shard);
            for name in list(&directory)? {
                count_object(&directory.join(name), &mut unused)?;
            }
        }
        Ok(unused)
    }
}

fn count_object(path: &Path, unused: &mut Unused) -> Result<(), StoreError> {
    let stat = rustix::fs::lstat(path).context("read", path)?;
    if FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile && stat.st_nlink == 1 {
        unused.objects += 1;
        unused.bytes += u64::try_from(stat.st_size).unwrap_or_default();
    }
    Ok(())
}

fn count(directory: OwnedFd, inodes: &mut HashMap<u64, Linked>) -> Result<(), rustix::io::Errno> {
    for entry in Dir::read_from(&directory)? {
        let entry = entry?;
        let name = entry.file_name();
        match entry.file_type() {
            FileType::Directory if name != c"." && name != c".." => {
                let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                count(rustix::fs::openat(&directory, name, flags, Mode::empty())?, inodes)?;
            }
            FileType::RegularFile => {
                let stat = rustix::fs::statat(&directory, name, AtFlags::SYMLINK_NOFOLLOW)?;
                let size = u64::try_from(stat.st_size).unwrap_or_default();
                let linked = Linked { names: 0, links: stat.st_nlink, size };
                inodes.entry(stat.st_ino).or_insert(linked).names += 1;
            }
            _ => {}
        }
    }
    Ok(())
}
