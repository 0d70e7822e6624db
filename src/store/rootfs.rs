//! The tree of an image, written once from its index: directories first, then names by several threads.

use rustix::fs::{AtFlags, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use super::Store;
use super::error::{Context, StoreError};
use super::objects::Key;
use super::{inode, parts};
use crate::image::entry::{EntryPath, Node, TreeEntry};

/// Where the objects of a tree are: those of this import are in staging still.
#[derive(Debug)]
pub(super) struct Objects<'a> {
    pub(super) store: &'a Store,
    /// The directory `objects`.
    pub(super) placed: OwnedFd,
    /// The directory of those in staging, and which they are.
    pub(super) new: &'a OwnedFd,
    pub(super) staged: &'a BTreeSet<(Key, u32)>,
}

/// A tree that is written: each name by its directory's descriptor, opened beneath the root without links.
#[derive(Debug)]
struct Rootfs<'a> {
    objects: &'a Objects<'a>,
    path: &'a Path,
    root: OwnedFd,
}

/// Makes the directory `path` and in it the tree of `entries`, which are sorted by path.
pub(super) fn write(objects: &Objects<'_>, path: &Path, entries: &[TreeEntry]) -> Result<(), StoreError> {
    rustix::fs::mkdir(path, Mode::RWXU).context("create", path)?;
    let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
    let root = rustix::fs::open(path, flags, Mode::empty()).context("open", path)?;
    let rootfs = Rootfs { objects, path, root };
    let is_directory = |entry: &&TreeEntry| entry.node == Node::Directory;
    rootfs.each(entries.iter().filter(is_directory), |parent, name, _| {
        rustix::fs::mkdirat(parent, name, Mode::RWXU)
    })?;
    all_parts(entries, |entries| {
        let leaves = entries.iter().filter(|entry| entry.node != Node::Directory && !is_late(entry));
        rootfs.each(leaves, |parent, name, entry| rootfs.place(parent, name, entry))
    })?;
    rootfs.each(entries.iter().filter(|entry| is_late(entry)), |parent, name, entry| {
        let first = entry.hard_link.as_ref().map_or(b"".as_slice(), |first| first.as_bytes());
        rustix::fs::linkat(&rootfs.root, first, parent, name, AtFlags::empty())
    })?;
    // Times of directories last: every name that is made in one changes it.
    all_parts(entries, |entries| {
        entries.iter().filter(is_directory).try_for_each(|entry| {
            let directory = rootfs.open(&entry.path)?;
            rootfs.at(&entry.path, inode::apply(directory.as_fd(), &entry.metadata))
        })
    })
}

fn all_parts(
    entries: &[TreeEntry],
    work: impl Fn(&[TreeEntry]) -> Result<(), StoreError> + Sync,
) -> Result<(), StoreError> {
    parts::each(entries, work).into_iter().collect()
}

/// Whether an entry is a link to another name in the tree, which must be there before.
fn is_late(entry: &TreeEntry) -> bool {
    let is_object = matches!(entry.node, Node::File { size: 1.., .. });
    !is_object && entry.hard_link.as_ref().is_some_and(|first| *first != entry.path)
}

impl Rootfs<'_> {
    /// Calls `make` for each entry with its directory, which stays open for the next.
    fn each<'e>(
        &self,
        entries: impl Iterator<Item = &'e TreeEntry>,
        make: impl Fn(&OwnedFd, &[u8], &TreeEntry) -> Result<(), Errno>,
    ) -> Result<(), StoreError> {
        let mut last: Option<(EntryPath, OwnedFd)> = None;
        for entry in entries {
            let Some((parent, name)) = entry.path.split() else { continue };
            let directory = match last {
                Some((path, directory)) if path == parent => directory,
                _ => self.open(&parent)?,
            };
            self.at(&entry.path, make(&directory, name, entry))?;
            last = Some((parent, directory));
        }
        Ok(())
    }

    fn place(&self, parent: &OwnedFd, name: &[u8], entry: &TreeEntry) -> Result<(), Errno> {
        let Node::File { size: 1.., sha256 } = &entry.node else { return make(parent, name, entry) };
        let key = self.objects.store.key(sha256, &entry.metadata);
        let from = match self.objects.staged.contains(&(key, entry.slot)) {
            true => self.objects.new,
            false => &self.objects.placed,
        };
        rustix::fs::linkat(from, key.path(entry.slot), parent, name, AtFlags::empty())
    }

    fn open(&self, path: &EntryPath) -> Result<OwnedFd, StoreError> {
        let name = if path.is_root() { b"." } else { path.as_bytes() };
        let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
        self.at(path, rustix::fs::openat2(&self.root, name, flags, Mode::empty(), resolve))
    }

    fn at<T>(&self, path: &EntryPath, result: Result<T, Errno>) -> Result<T, StoreError> {
        result
            .or_else(|error| Err(error).context("make", &self.path.join(OsStr::from_bytes(path.as_bytes()))))
    }
}

/// Makes what is never shared between images: empty files, links, pipes.
fn make(directory: &OwnedFd, name: &[u8], entry: &TreeEntry) -> Result<(), Errno> {
    match &entry.node {
        Node::Symlink { target } => rustix::fs::symlinkat(target.0.as_slice(), directory, name)?,
        Node::Fifo => {
            rustix::fs::mkfifoat(directory, name, Mode::empty())?;
            inode::apply_at(directory.as_fd(), name, &entry.metadata)?;
            // The pipe is ours and new: no link can stand in its place.
            let mode = Mode::from_raw_mode(entry.metadata.mode);
            rustix::fs::chmodat(directory, name, mode, AtFlags::empty())?;
        }
        Node::File { .. } | Node::Directory => {
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let file = rustix::fs::openat(directory, name, flags, Mode::RUSR)?;
            return inode::apply(file.as_fd(), &entry.metadata);
        }
    }
    inode::apply_at(directory.as_fd(), name, &entry.metadata)
}
