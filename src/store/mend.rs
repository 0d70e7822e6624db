//! The mending of a tree in its place, entry by entry: a container may run from it, so what is as it should be stays,
//! and what is not gives way to what is, in one step each.

use rustix::fs::{AtFlags, FileType, Mode};
use rustix::io::Errno;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use super::error::{Context, StoreError};
use super::objects::set_metadata;
use super::rootfs::{Rootfs, is_directory, is_late};
use super::staging::{Staging, open_directory, remove_tree};
use super::{Store, inode, tree};
use crate::image::entry::{EntryPath, TreeEntry};

/// What is made changes the time of its directory, and what links to it: each is mended after what it follows from.
const ROUNDS: usize = 4;
/// The names of what is made, and of what gives way, on their way.
const NEW: &str = "new";
const OLD: &str = "old";

/// Makes a tree what its entries say, which are sorted by path, and whose objects are in place. Tells how many were
/// wrong.
pub(super) fn mend(
    store: &Store,
    rootfs: &Path,
    entries: &[TreeEntry],
    staging: &Staging,
) -> Result<usize, StoreError> {
    let path = staging.path("mending");
    std::fs::create_dir(&path).context("create", &path)?;
    let workshop = open_directory(&path).context("open", &path)?;
    let mender = Mender { rootfs: Rootfs::open(store, rootfs)?, entries, path: &path, workshop };
    let mut mended = 0;
    for _ in 0..ROUNDS {
        let findings = tree::compare(store, rootfs, entries, tree::Files::Objects);
        let below = findings.iter().filter_map(|finding| finding.path.strip_prefix(rootfs).ok());
        let names = below.map(|path| path.as_os_str().as_bytes().split(|byte| *byte == b'/'));
        let path = |names: std::slice::Split<'_, u8, _>| {
            names.filter(|name| !name.is_empty()).fold(EntryPath::default(), |path, name| path.join(name))
        };
        let mut wrong: Vec<EntryPath> = names.map(path).collect();
        if wrong.is_empty() {
            break;
        }
        mended = mended.max(wrong.len());
        wrong.sort();
        wrong.iter().try_for_each(|path| mender.mend(path))?;
    }
    remove_tree(&path)?;
    Ok(mended)
}

struct Mender<'a> {
    rootfs: Rootfs<'a>,
    entries: &'a [TreeEntry],
    path: &'a Path,
    workshop: OwnedFd,
}

impl Mender<'_> {
    /// Mends one path; those above it are as they should be.
    fn mend(&self, path: &EntryPath) -> Result<(), StoreError> {
        let entry = self.entries.binary_search_by(|entry| entry.path.cmp(path)).ok();
        let entry = entry.map(|position| &self.entries[position]);
        let Some((parent, name)) = path.split() else {
            return entry.map_or(Ok(()), |root| self.mend_directory(root));
        };
        let parent = self.rootfs.directory(&parent)?;
        let found = match rustix::fs::statat(&parent, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Some(inode::file_type(&stat)),
            Err(Errno::NOENT) => None,
            Err(error) => return self.rootfs.at(path, Err(error.into())),
        };
        match (entry, found) {
            (None, None) => Ok(()),
            (None, Some(_)) => self.put_aside(&parent, path, name),
            (Some(entry), Some(FileType::Directory)) if is_directory(entry) => self.mend_directory(entry),
            (Some(entry), found) => {
                self.make(entry)?;
                // What is a directory gives way to nothing by itself, nor does anything to one, rename(2).
                if found.is_some_and(|found| found == FileType::Directory || is_directory(entry)) {
                    self.put_aside(&parent, path, name)?;
                }
                let renamed = rustix::fs::renameat(&self.workshop, NEW, &parent, name);
                self.rootfs.at(path, renamed.map_err(Into::into))
            }
        }
    }

    fn mend_directory(&self, entry: &TreeEntry) -> Result<(), StoreError> {
        let directory = self.rootfs.directory(&entry.path)?;
        self.rootfs.at(&entry.path, set_metadata(directory.as_fd(), &entry.metadata))
    }

    fn make(&self, entry: &TreeEntry) -> Result<(), StoreError> {
        remove_tree(&self.path.join(NEW))?;
        let name = NEW.as_bytes();
        let made = match &entry.hard_link {
            _ if is_directory(entry) => {
                rustix::fs::mkdirat(&self.workshop, name, Mode::RWXU).map_err(Into::into)
            }
            Some(first) if is_late(entry) => self.rootfs.link(first, &self.workshop, name),
            _ => self.rootfs.place(&self.workshop, name, entry),
        };
        self.rootfs.at(&entry.path, made)
    }

    fn put_aside(&self, parent: &OwnedFd, path: &EntryPath, name: &[u8]) -> Result<(), StoreError> {
        let old = self.path.join(OLD);
        remove_tree(&old)?;
        let renamed = rustix::fs::renameat(parent, name, &self.workshop, OLD);
        self.rootfs.at(path, renamed.map_err(Into::into))?;
        remove_tree(&old)
    }
}
