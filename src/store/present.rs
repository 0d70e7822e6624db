//! Whether an image is in the store already and whole: the question that most imports of a busy host end with.

use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use super::error::StoreError;
use super::index::Index;
use super::objects::Sharing;
use super::writer::{Scrutiny, Writer};
use super::{ImageId, inode, parts};
use crate::image::digest::Digest;
use crate::image::entry::{EntryPath, LayerEntry, Metadata, Node, TreeEntry};

impl Writer<'_> {
    /// Whether an image of these layers is in the store, whole, as are the indexes of its layers.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn has(&self, id: &ImageId, layers: &[Digest]) -> Result<bool, StoreError> {
        if !self.store.image_directory(id).exists()
            || !layers.iter().all(|layer| Index::<LayerEntry>::open(&self.store.layer_index(layer)).is_ok())
        {
            return Ok(false);
        }
        match self.store.index(id) {
            Ok(index) => self.is_sound(id, &index),
            Err(_) => Ok(false),
        }
    }

    /// Whether the files of the image are as its index says.
    pub(super) fn is_sound(&self, id: &ImageId, index: &Index<TreeEntry>) -> Result<bool, StoreError> {
        let (store, rootfs) = (self.store, self.store.rootfs(id));
        // The times of a store that ignores them do not tell whether somebody wrote to a file.
        let by_status = (self.scrutiny(), store.sharing) == (Scrutiny::Status, Sharing::Exact);
        let described = match by_status {
            true => store.record_fault(id).is_none() && store.manifest_fault(id).is_none(),
            false => store.image_faults(id).is_empty(),
        };
        if !described {
            return Ok(false);
        }
        let parts = parts::each(index.parts(parts::threads())?, |part| match by_status {
            true => has_status(&rootfs, &part),
            false => self.all_whole(&part),
        });
        parts.into_iter().try_fold(true, |all, part| Ok(all && part?))
    }

    fn all_whole(&self, entries: &Index<TreeEntry>) -> Result<bool, StoreError> {
        entries.records().try_fold(true, |all, entry| {
            let entry = entry?;
            Ok(all && self.is_whole(&entry, entry.slot)?)
        })
    }
}

/// Whether stat(2) tells of each entry of a tree what the index says. A name that was added or taken away changes
/// the time of its directory, as a write does that of a file.
fn has_status(rootfs: &Path, entries: &Index<TreeEntry>) -> Result<bool, StoreError> {
    let mut last: Option<(EntryPath, OwnedFd)> = None;
    for entry in entries.records() {
        let entry = entry?;
        let (parent, name) = entry.path.split().unwrap_or((EntryPath::default(), b"."));
        let directory = match last.take() {
            Some((path, directory)) if path == parent => directory,
            _ => {
                let path = rootfs.join(OsStr::from_bytes(parent.as_bytes()));
                let flags = OFlags::DIRECTORY | OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                match rustix::fs::open(&path, flags, Mode::empty()) {
                    Ok(directory) => directory,
                    Err(_) => return Ok(false),
                }
            }
        };
        let stat = rustix::fs::statat(&directory, name, AtFlags::SYMLINK_NOFOLLOW);
        if !stat.is_ok_and(|stat| is_as_told(&entry, &stat)) {
            return Ok(false);
        }
        last = Some((parent, directory));
    }
    Ok(true)
}

fn is_as_told(entry: &TreeEntry, stat: &rustix::fs::Stat) -> bool {
    let TreeEntry { node, metadata, .. } = entry;
    match (node, inode::file_type(stat)) {
        // With one name only, it is no object of the store any more.
        (Node::File { size: size @ 1.., .. }, FileType::RegularFile) => {
            stat.st_nlink > 1 && inode::looks_intact(stat, *size, metadata)
        }
        (Node::File { size, .. }, FileType::RegularFile) => inode::looks_intact(stat, *size, metadata),
        (Node::Directory, FileType::Directory) | (Node::Fifo, FileType::Fifo) => {
            inode::has_status(stat, metadata)
        }
        // The mode of a link means nothing and is always 0777; its size is its target's.
        (Node::Symlink { target }, FileType::Symlink) => {
            let link = Metadata { mode: stat.st_mode & 0o7777, ..metadata.clone() };
            inode::looks_intact(stat, target.0.len() as u64, &link)
        }
        _ => false,
    }
}
