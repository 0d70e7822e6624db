//! The tree of an image on disk, compared with its index.

use rustix::fs::{FileType, Stat};
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use super::inode;
use super::{Finding, Store};
use crate::image::entry::{EntryPath, Node, TreeEntry};

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
        let object = store.object(&store.key(sha256, &entry.metadata), entry.slot);
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
