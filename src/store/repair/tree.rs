//! The index of an image from its tree, which every file must prove: it has to be a whole object of the store.

use rustix::fs::{FileType, Stat};
use std::collections::HashMap;
use std::fs::File;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use super::Repairer;
use crate::image::entry::{Bytes, EntryPath, Metadata, Node, TreeEntry};
use crate::store::error::{Context, StoreError};
use crate::store::objects::{self, Key};
use crate::store::{ImageId, inode};

/// Entries with their inodes.
type Found = Vec<(TreeEntry, u64)>;

impl Repairer<'_> {
    /// What the tree itself says; `None` when a file in it is no object, since nobody knows what it was.
    pub(super) fn index_of_tree(&self, id: &ImageId) -> Result<Option<Vec<TreeEntry>>, StoreError> {
        let rootfs = self.store.rootfs(id);
        if !rootfs.is_dir() {
            return Ok(None);
        }
        let mut found = Found::new();
        if !self.read_tree(&rootfs, &EntryPath::default(), &mut found)? {
            return Ok(None);
        }
        found.sort_by(|(one, _), (other, _)| one.path.cmp(&other.path));
        let mut names: HashMap<u64, Vec<EntryPath>> = HashMap::new();
        for (entry, inode) in &found {
            names.entry(*inode).or_default().push(entry.path.clone());
        }
        let linked = |(mut entry, inode): (TreeEntry, u64)| {
            entry.hard_link = names[&inode].first().filter(|_| names[&inode].len() > 1).cloned();
            entry
        };
        Ok(Some(found.into_iter().map(linked).collect()))
    }

    /// Whether all below a place could be told.
    fn read_tree(&self, place: &Path, path: &EntryPath, found: &mut Found) -> Result<bool, StoreError> {
        let stat = rustix::fs::lstat(place).context("look at", place)?;
        let Some(entry) = self.entry(place, path, &stat)? else { return Ok(false) };
        let is_directory = entry.node == Node::Directory;
        found.push((entry, stat.st_ino));
        if is_directory {
            for name in std::fs::read_dir(place).context("read", place)? {
                let name = name.context("read", place)?.file_name();
                if !self.read_tree(&place.join(&name), &path.join(name.as_bytes()), found)? {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    fn entry(&self, place: &Path, path: &EntryPath, stat: &Stat) -> Result<Option<TreeEntry>, StoreError> {
        let entry = |node, metadata, slot| {
            Ok(Some(TreeEntry { path: path.clone(), node, metadata, hard_link: None, slot }))
        };
        match inode::file_type(stat) {
            FileType::Directory => entry(Node::Directory, metadata(place)?, 0),
            FileType::Fifo => entry(Node::Fifo, inode::of_stat(stat), 0),
            FileType::Symlink => {
                let target = std::fs::read_link(place).context("read", place)?;
                let target = Bytes(target.into_os_string().as_bytes().to_vec());
                entry(Node::Symlink { target }, Metadata { mode: 0o777, ..inode::of_stat(stat) }, 0)
            }
            FileType::RegularFile => {
                let metadata = metadata(place)?;
                let mut file = File::open(place).context("open", place)?;
                let sha256 = objects::hash(&mut file).context("read", place)?;
                let size = u64::try_from(stat.st_size).unwrap_or_default();
                let slot = match size {
                    0 => Some(0),
                    _ => self.slot_of(&self.store.key(&sha256, &metadata), stat.st_ino),
                };
                slot.map_or(Ok(None), |slot| entry(Node::File { size, sha256 }, metadata, slot))
            }
            _ => Ok(None),
        }
    }

    /// The slot whose object an inode is.
    fn slot_of(&self, key: &Key, inode: u64) -> Option<u32> {
        let stats = (0..).map(|slot| (slot, rustix::fs::lstat(self.store.object(key, slot))));
        let mut there = stats.map_while(|(slot, stat)| Some((slot, stat.ok()?)));
        there.find(|(_, stat)| stat.st_ino == inode).map(|(slot, _)| slot)
    }
}

fn metadata(place: &Path) -> Result<Metadata, StoreError> {
    let found = inode::open(place).and_then(inode::examine).context("look at", place)?;
    Ok(found.metadata)
}
