//! The tree of an image on disk: written once from its index, and compared with it later.

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, ResolveFlags, Stat};
use rustix::io::Errno;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use super::error::{Context, StoreError};
use super::inode;
use super::objects::Key;
use super::{Finding, Store};
use crate::image::entry::{EntryPath, Node, TreeEntry};

/// Writes trees: each name by its directory's descriptor, opened beneath the root without links.
#[derive(Debug)]
struct TreeWriter<'a> {
    store: &'a Store,
    rootfs: &'a Path,
    root: OwnedFd,
    parent: Option<(EntryPath, OwnedFd)>,
}

/// Makes the directory `rootfs` and in it the tree of `entries`, which are sorted by path.
pub(super) fn write(store: &Store, rootfs: &Path, entries: &[TreeEntry]) -> Result<(), StoreError> {
    rustix::fs::mkdir(rootfs, Mode::RWXU).context("create", rootfs)?;
    let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
    let root = rustix::fs::open(rootfs, flags, Mode::empty()).context("open", rootfs)?;
    let mut writer = TreeWriter { store, rootfs, root, parent: None };
    for entry in entries {
        writer.place(entry)?;
    }
    // Times of directories last: every name that is made in one changes it.
    for entry in entries.iter().rev().filter(|entry| entry.node == Node::Directory) {
        let directory = writer.open(&entry.path)?;
        writer.at(&entry.path, inode::apply(directory.as_fd(), &entry.metadata))?;
    }
    Ok(())
}

impl TreeWriter<'_> {
    fn place(&mut self, entry: &TreeEntry) -> Result<(), StoreError> {
        let Some((parent, name)) = entry.path.split() else { return Ok(()) };
        if self.parent.as_ref().is_none_or(|(path, _)| *path != parent) {
            let directory = self.open(&parent)?;
            self.parent = Some((parent, directory));
        }
        let Some((_, directory)) = &self.parent else { return Ok(()) };
        let result = match (&entry.node, &entry.hard_link) {
            (Node::Directory, _) => rustix::fs::mkdirat(directory, name, Mode::RWXU),
            (Node::File { size: 1.., sha256 }, _) => {
                let object = self.store.object(&Key::new(sha256, &entry.metadata), entry.slot);
                rustix::fs::linkat(CWD, &object, directory, name, AtFlags::empty())
            }
            (_, Some(first)) if *first != entry.path => {
                rustix::fs::linkat(&self.root, first.as_bytes(), directory, name, AtFlags::empty())
            }
            _ => make(directory, name, entry),
        };
        self.at(&entry.path, result)
    }

    fn open(&self, path: &EntryPath) -> Result<OwnedFd, StoreError> {
        let name = if path.is_root() { b"." } else { path.as_bytes() };
        let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
        self.at(path, rustix::fs::openat2(&self.root, name, flags, Mode::empty(), resolve))
    }

    fn at<T>(&self, path: &EntryPath, result: Result<T, Errno>) -> Result<T, StoreError> {
        let place = self.rootfs.join(OsStr::from_bytes(path.as_bytes()));
        result.context("make", &place)
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

/// Compares a tree with its index, by names, inodes and metadata; contents are the objects' own matter.
pub(super) fn compare(store: &Store, rootfs: &Path, entries: &[TreeEntry]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut found = BTreeMap::new();
    walk(rootfs, EntryPath::default(), &mut found, &mut findings);
    let firsts: BTreeMap<&EntryPath, u64> =
        entries.iter().filter_map(|entry| Some((&entry.path, found.get(&entry.path)?.st_ino))).collect();
    for entry in entries {
        let path = rootfs.join(OsStr::from_bytes(entry.path.as_bytes()));
        let fault = match found.get(&entry.path) {
            None => Some("is missing".to_owned()),
            Some(stat) => fault(store, &path, entry, stat, &firsts),
        };
        findings.extend(fault.map(|what| Finding { path, what }));
        found.remove(&entry.path);
    }
    findings.extend(found.keys().map(|path| Finding {
        path: rootfs.join(OsStr::from_bytes(path.as_bytes())),
        what: "is not in the image's index".to_owned(),
    }));
    findings
}

fn walk(
    directory: &Path,
    path: EntryPath,
    found: &mut BTreeMap<EntryPath, Stat>,
    findings: &mut Vec<Finding>,
) {
    let mut fail = |path: PathBuf, error: std::io::Error| {
        findings.push(Finding { path, what: format!("cannot be read: {error}") });
    };
    let names = match std::fs::read_dir(directory) {
        Ok(names) => names,
        Err(error) => return fail(directory.to_owned(), error),
    };
    match rustix::fs::lstat(directory) {
        Ok(stat) => drop(found.insert(path.clone(), stat)),
        Err(error) => fail(directory.to_owned(), error.into()),
    }
    for name in names.flatten() {
        let below = path.join(name.file_name().as_bytes());
        match rustix::fs::lstat(name.path()) {
            Ok(stat) if inode::file_type(&stat) == FileType::Directory => {
                walk(&name.path(), below, found, findings);
            }
            Ok(stat) => drop(found.insert(below, stat)),
            Err(error) => {
                findings.push(Finding { path: name.path(), what: format!("cannot be read: {error}") })
            }
        }
    }
}

/// What is wrong with a found entry, if anything is.
fn fault(
    store: &Store,
    path: &Path,
    entry: &TreeEntry,
    stat: &Stat,
    inodes: &BTreeMap<&EntryPath, u64>,
) -> Option<String> {
    let kind = match &entry.node {
        Node::Directory => FileType::Directory,
        Node::File { .. } => FileType::RegularFile,
        Node::Symlink { .. } => FileType::Symlink,
        Node::Fifo => FileType::Fifo,
    };
    if inode::file_type(stat) != kind {
        return Some("is of another type than the image's index says".to_owned());
    }
    if let Node::File { size: 1.., sha256 } = &entry.node {
        let object = store.object(&Key::new(sha256, &entry.metadata), entry.slot);
        let same = rustix::fs::lstat(&object).is_ok_and(|object| object.st_ino == stat.st_ino);
        return (!same).then(|| "is not a link to its object".to_owned());
    }
    if let Some(first) = &entry.hard_link
        && inodes.get(first) != Some(&stat.st_ino)
    {
        return Some("is not a link to its first name".to_owned());
    }
    let target = match &entry.node {
        Node::Symlink { target } => Some(target.0.as_slice()),
        _ => None,
    };
    if target.is_some_and(|target| {
        std::fs::read_link(path).is_ok_and(|link| link.as_os_str().as_bytes() != target)
    }) {
        return Some("leads elsewhere than the image's index says".to_owned());
    }
    metadata_fault(path, entry, stat)
}

fn metadata_fault(path: &Path, entry: &TreeEntry, stat: &Stat) -> Option<String> {
    let mut found = match &entry.node {
        Node::Directory | Node::File { .. } => match inode::open(path).and_then(inode::examine) {
            Ok(found) if found.stat.st_size > 0 && entry.node != Node::Directory => {
                return Some("is not empty".to_owned());
            }
            Ok(found) => found.metadata,
            Err(error) => return Some(format!("cannot be read: {error}")),
        },
        _ => inode::of_stat(stat),
    };
    if matches!(entry.node, Node::Symlink { .. }) {
        // The mode of a link means nothing and is always 0777.
        found.mode = entry.metadata.mode;
    }
    (found != entry.metadata).then(|| "has other metadata than the image's index says".to_owned())
}
