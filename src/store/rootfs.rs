//! The tree of an image, written once from its index: directories first, then names by several threads.

use rustix::fs::{AtFlags, Mode, OFlags, ResolveFlags};
use std::ffi::OsStr;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use super::Store;
use super::error::{Context, StoreError};
use super::index::Index;
use super::inode::{self, Fault};
use super::parts;
use super::staging::open_directory;
use crate::image::entry::{EntryPath, Node, TreeEntry};

/// A tree that is written or mended: each name by its directory's descriptor, opened beneath the root without links.
#[derive(Debug)]
pub(super) struct Rootfs<'a> {
    store: &'a Store,
    path: &'a Path,
    root: OwnedFd,
    /// The directory of the store's objects, all of which are in place.
    objects: OwnedFd,
}

/// Makes the directory `path` and in it the tree of `entries`, which are sorted by path.
pub(super) fn write(store: &Store, path: &Path, entries: &Index<TreeEntry>) -> Result<(), StoreError> {
    rustix::fs::mkdir(path, Mode::RWXU).context("create", path)?;
    let rootfs = Rootfs::open(store, path)?;
    rootfs
        .each(entries, is_directory, |parent, name, _| Ok(rustix::fs::mkdirat(parent, name, Mode::RWXU)?))?;
    let is_leaf = |entry: &TreeEntry| !is_directory(entry) && !is_late(entry);
    all_parts(entries, |part| {
        rootfs.each(part, is_leaf, |parent, name, entry| rootfs.place(parent, name, entry))
    })?;
    rootfs.each(entries, is_late, |parent, name, entry| {
        entry.hard_link.as_ref().map_or(Ok(()), |first| rootfs.link(first, parent, name))
    })?;
    // Times of directories last: every name that is made in one changes it.
    all_parts(entries, |part| {
        part.records().try_for_each(|entry| {
            let entry = entry?;
            if !is_directory(&entry) {
                return Ok(());
            }
            let directory = rootfs.directory(&entry.path)?;
            rootfs.at(&entry.path, inode::apply(directory.as_fd(), &entry.metadata))
        })
    })
}

fn all_parts(
    entries: &Index<TreeEntry>,
    work: impl Fn(&Index<TreeEntry>) -> Result<(), StoreError> + Sync,
) -> Result<(), StoreError> {
    parts::each(entries.parts(parts::threads())?, |part| work(&part)).into_iter().collect()
}

pub(super) fn is_directory(entry: &TreeEntry) -> bool {
    entry.node == Node::Directory
}

/// Whether an entry is a link to another name in the tree, which must be there before.
pub(super) fn is_late(entry: &TreeEntry) -> bool {
    let is_object = matches!(entry.node, Node::File { size: 1.., .. });
    !is_object && entry.hard_link.as_ref().is_some_and(|first| *first != entry.path)
}

impl<'a> Rootfs<'a> {
    /// Opens a tree that is there.
    pub(super) fn open(store: &'a Store, path: &'a Path) -> Result<Self, StoreError> {
        let open = |path: &Path| open_directory(path).context("open", path);
        Ok(Self { store, path, root: open(path)?, objects: open(&store.path("objects"))? })
    }

    /// Calls `make` for each entry of a kind with its directory, which stays open for the next.
    fn each(
        &self,
        entries: &Index<TreeEntry>,
        is_of_kind: impl Fn(&TreeEntry) -> bool,
        make: impl Fn(&OwnedFd, &[u8], &TreeEntry) -> Result<(), Fault>,
    ) -> Result<(), StoreError> {
        let mut last: Option<(EntryPath, OwnedFd)> = None;
        for entry in entries.records() {
            let entry = entry?;
            let Some((parent, name)) = entry.path.split().filter(|_| is_of_kind(&entry)) else { continue };
            let directory = match last {
                Some((path, directory)) if path == parent => directory,
                _ => self.directory(&parent)?,
            };
            self.at(&entry.path, make(&directory, name, &entry))?;
            last = Some((parent, directory));
        }
        Ok(())
    }

    /// Makes what is no directory and no further name of something in the tree.
    pub(super) fn place(&self, parent: &OwnedFd, name: &[u8], entry: &TreeEntry) -> Result<(), Fault> {
        match self.store.key_of(entry) {
            Some(key) => {
                let object = key.path(entry.slot);
                Ok(rustix::fs::linkat(&self.objects, object, parent, name, AtFlags::empty())?)
            }
            None => make(parent, name, entry),
        }
    }

    /// Gives something in the tree a further name.
    pub(super) fn link(&self, first: &EntryPath, parent: &OwnedFd, name: &[u8]) -> Result<(), Fault> {
        Ok(rustix::fs::linkat(&self.root, first.as_bytes(), parent, name, AtFlags::empty())?)
    }

    /// A directory of the tree.
    pub(super) fn directory(&self, path: &EntryPath) -> Result<OwnedFd, StoreError> {
        let name = if path.is_root() { b"." } else { path.as_bytes() };
        let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
        self.at(
            path,
            rustix::fs::openat2(&self.root, name, flags, Mode::empty(), resolve).map_err(Fault::from),
        )
    }

    /// Says of a failure where in the tree it was.
    pub(super) fn at<T>(&self, path: &EntryPath, result: Result<T, Fault>) -> Result<T, StoreError> {
        result
            .or_else(|error| Err(error).context("make", &self.path.join(OsStr::from_bytes(path.as_bytes()))))
    }
}

/// Makes what is never shared between images: empty files, links, pipes.
fn make(directory: &OwnedFd, name: &[u8], entry: &TreeEntry) -> Result<(), Fault> {
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
    Ok(inode::apply_at(directory.as_fd(), name, &entry.metadata)?)
}
