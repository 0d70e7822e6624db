//! The tree of an image on disk, compared with its index.

use rustix::fs::{AtFlags, Dir, FileType, Stat};
use rustix::io::Errno;
use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use super::staging::open_directory;
use super::{Finding, Sharing, Store, inode, objects, parts};
use crate::image::digest::ContentHash;
use crate::image::entry::{EntryPath, Node, TreeEntry};

/// Whose the content of a tree's files is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Files {
    /// That of objects, which are looked at by themselves.
    Objects,
    /// The tree's alone.
    Own,
}

/// Compares a tree with an index, by names, inodes and metadata, and by content where that is the tree's own. The
/// entries are sorted by path.
pub(super) fn compare(store: &Store, rootfs: &Path, entries: &[TreeEntry], files: Files) -> Vec<Finding> {
    let comparison = Comparison { store, rootfs, entries, files };
    parts::each(parts::of(entries), |part| comparison.findings(part)).concat()
}

struct Comparison<'a> {
    store: &'a Store,
    rootfs: &'a Path,
    entries: &'a [TreeEntry],
    files: Files,
}

impl Comparison<'_> {
    /// What is wrong with some entries, each looked up in its directory, which stays open for the next.
    fn findings(&self, entries: &[TreeEntry]) -> Vec<Finding> {
        let mut findings = Vec::new();
        let mut last: Option<(EntryPath, Result<OwnedFd, Errno>)> = None;
        for entry in entries {
            let path = self.path(&entry.path);
            let found = match entry.path.split() {
                None => rustix::fs::lstat(&path),
                Some((parent, name)) => {
                    let directory = match last {
                        Some((path, directory)) if path == parent => directory,
                        _ => open_directory(&self.path(&parent)),
                    };
                    let found = directory
                        .as_ref()
                        .map_err(|error| *error)
                        .and_then(|directory| rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW));
                    last = Some((parent, directory));
                    found
                }
            };
            let fault = match found {
                Ok(stat) => self.fault(&path, entry, &stat),
                // Its directory may be something else.
                Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Some("is missing".to_owned()),
                Err(error) => Some(format!("cannot be read: {error}")),
            };
            findings.extend(fault.map(|what| Finding { path, what }));
            if entry.node == Node::Directory {
                self.find_strangers(&entry.path, &mut findings);
            }
        }
        findings
    }

    /// Names in a directory that the index does not have.
    fn find_strangers(&self, directory: &EntryPath, findings: &mut Vec<Finding>) {
        let path = self.path(directory);
        // What cannot be opened is a finding of its own.
        let Ok(names) = open_directory(&path).and_then(Dir::new) else { return };
        for name in names {
            let Ok(name) = name else {
                findings.push(Finding { path, what: "cannot be read to its end".to_owned() });
                return;
            };
            let name = name.file_name().to_bytes();
            let below = directory.join(name);
            let known = self.entries.binary_search_by(|entry| entry.path.cmp(&below)).is_ok();
            if !matches!(name, b"." | b"..") && !known {
                let path = self.path(&below);
                findings.push(Finding { path, what: "is not in the image's index".to_owned() });
            }
        }
    }

    fn path(&self, path: &EntryPath) -> PathBuf {
        self.rootfs.join(OsStr::from_bytes(path.as_bytes()))
    }

    /// What is wrong with a found entry, if anything is.
    fn fault(&self, path: &Path, entry: &TreeEntry, stat: &Stat) -> Option<String> {
        let kind = match &entry.node {
            Node::Directory => FileType::Directory,
            Node::File { .. } => FileType::RegularFile,
            Node::Symlink { .. } => FileType::Symlink,
            Node::Fifo => FileType::Fifo,
        };
        if inode::file_type(stat) != kind {
            return Some("is of another type than the image's index says".to_owned());
        }
        if let (Node::File { size: 1.., sha256 }, Files::Objects) = (&entry.node, self.files) {
            let object = self.store.object(&self.store.key(sha256, &entry.metadata), entry.slot);
            let same = rustix::fs::lstat(&object).is_ok_and(|object| object.st_ino == stat.st_ino);
            return (!same).then(|| "is not a link to its object".to_owned());
        }
        if let Some(first) = &entry.hard_link
            && !rustix::fs::lstat(self.path(first)).is_ok_and(|first| first.st_ino == stat.st_ino)
        {
            return Some("is not a link to its first name".to_owned());
        }
        if let Node::File { size: 1.., sha256 } = &entry.node {
            return match entry.hard_link {
                Some(_) => None,
                None => self.own_fault(path, entry, sha256),
            };
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

    /// What is wrong with a file that is the tree's own.
    fn own_fault(&self, path: &Path, entry: &TreeEntry, content: &ContentHash) -> Option<String> {
        let read = || -> std::io::Result<_> {
            let file = inode::open(path)?;
            let found = inode::examine(&file)?;
            Ok((found.metadata, objects::hash(&mut File::from(file))?))
        };
        let (mut metadata, found) = match read() {
            Ok(read) => read,
            Err(error) => return Some(format!("cannot be read: {error}")),
        };
        if self.store.sharing == Sharing::AnyTime {
            metadata.mtime = entry.metadata.mtime;
        }
        match (found == *content, metadata == entry.metadata) {
            (true, true) => None,
            (true, false) => Some(OTHER_METADATA.to_owned()),
            (false, _) => Some("has other content than the image's index says".to_owned()),
        }
    }
}

const OTHER_METADATA: &str = "has other metadata than the image's index says";

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
    (found != entry.metadata).then(|| OTHER_METADATA.to_owned())
}
