//! Objects: each one that an image needs and that is not whole is made from any file of the same content.

use rustix::io::Errno;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io::Seek as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use super::Repairer;
use crate::image::digest::ContentHash;
use crate::image::entry::{Metadata, Node};
use crate::image::text::printable;
use crate::store::content::Content;
use crate::store::error::{Context, StoreError};
use crate::store::objects::{self, Key, State};
use crate::store::staging::remove_tree;
use crate::store::{ImageId, inode, list};

/// An object that images need.
struct Needed {
    content: ContentHash,
    metadata: Metadata,
    /// The images, and the first path in each.
    by: BTreeMap<ImageId, String>,
}

impl Repairer<'_> {
    /// Restores objects in their places.
    pub(super) fn objects(&mut self) -> Result<(), StoreError> {
        let needed = self.needed();
        let mut broken = Vec::new();
        for ((key, slot), object) in &needed {
            // What cannot be read is as good as missing: another file may have its content.
            if !matches!(objects::examine(&self.store.object(key, *slot), key), Ok(State::Intact { .. })) {
                broken.push((key, *slot, object));
            }
        }
        let copies = self.copies(&broken);
        for (key, slot, object) in broken {
            let path = self.store.object(key, slot);
            let places = copies.get(&object.content).map(Vec::as_slice).unwrap_or_default();
            match self.copy_of(object, places)? {
                Copy::Found(_, from) if is_same_inode(&path, &from) => {
                    objects::mend(&path, &object.metadata)?;
                    self.note(&path, "has its metadata again");
                }
                Copy::Found(content, from) => {
                    self.restore(key, slot, &content, object)?;
                    self.note(&path, format!("is restored from {}", from.display()));
                }
                Copy::None => {
                    for (id, name) in &object.by {
                        self.lose(id, format!("nothing in the store has the content of \"{name}\""));
                    }
                }
                Copy::Unreadable(error) => {
                    for id in object.by.keys() {
                        self.unreadable.insert(id.clone(), error.to_string());
                    }
                }
            }
        }
        self.writer.sync()?;
        self.writer.place_objects()?;
        self.writer.sync()
    }

    fn needed(&self) -> BTreeMap<(Key, u32), Needed> {
        let mut needed: BTreeMap<(Key, u32), Needed> = BTreeMap::new();
        for (id, entries) in &self.entries {
            for entry in entries {
                let Node::File { size: 1.., sha256 } = &entry.node else { continue };
                let place = (self.store.key(sha256, &entry.metadata), entry.slot);
                let metadata = entry.metadata.clone();
                let object =
                    needed.entry(place).or_insert(Needed { content: *sha256, metadata, by: BTreeMap::new() });
                let name = || printable(&entry.path.absolute());
                object.by.entry(id.clone()).or_insert_with(name);
            }
        }
        needed
    }

    /// Where the contents of broken objects may be found: in objects of other metadata, in trees.
    fn copies(&self, broken: &[(&Key, u32, &Needed)]) -> BTreeMap<ContentHash, Vec<PathBuf>> {
        let mut copies: BTreeMap<ContentHash, Vec<PathBuf>> =
            broken.iter().map(|(_, _, object)| (object.content, Vec::new())).collect();
        for (id, entries) in &self.entries {
            for entry in entries {
                let Node::File { sha256, .. } = &entry.node else { continue };
                let Some(paths) = copies.get_mut(sha256) else { continue };
                paths.push(self.store.object(&self.store.key(sha256, &entry.metadata), entry.slot));
                paths.push(self.store.rootfs(id).join(OsStr::from_bytes(entry.path.as_bytes())));
            }
        }
        copies.values_mut().for_each(|paths| {
            paths.sort();
            paths.dedup();
        });
        copies
    }

    /// The content, read again from the first file that has it, which may be the broken object itself.
    fn copy_of(&self, object: &Needed, places: &[PathBuf]) -> Result<Copy, StoreError> {
        let mut unreadable = None;
        for place in places {
            let mut copy = self.writer.spool()?;
            match read_into(place, &mut copy) {
                Ok(content) if content == Some(object.content) => {
                    return Ok(Copy::Found(Content::Unnamed(copy), place.clone()));
                }
                Ok(_) => {}
                Err(error) => unreadable = Some(error),
            }
        }
        Ok(unreadable.map_or(Copy::None, Copy::Unreadable))
    }

    fn restore(
        &mut self,
        key: &Key,
        slot: u32,
        content: &Content,
        object: &Needed,
    ) -> Result<(), StoreError> {
        let path = self.store.object(key, slot);
        if path.symlink_metadata().is_ok_and(|metadata| !metadata.is_file()) {
            remove_tree(&path)?;
        }
        self.writer.ensure(key, slot, content, &object.metadata).map(drop)
    }

    /// Removes damaged objects that no image needs.
    pub(super) fn remove_garbage(&mut self) -> Result<(), StoreError> {
        // While an image's index is unknown, so is what it needs.
        if self.store.images()?.iter().any(|id| !self.entries.contains_key(id)) {
            return Ok(());
        }
        let needed = self.needed();
        for shard in self.store.shards()? {
            let directory = self.store.path("objects").join(&shard);
            for name in list(&directory)? {
                let path = directory.join(&name);
                let Some((key, slot)) = Key::of_place(&shard, &name) else { continue };
                if needed.contains_key(&(key, slot)) {
                    continue;
                }
                if matches!(objects::examine(&path, &key)?, State::Damaged(_)) {
                    remove_tree(&path)?;
                    self.note(&path, "was damaged and is removed: no image needs it");
                }
            }
        }
        Ok(())
    }
}

/// What came of the search for a content.
enum Copy {
    Found(Content, PathBuf),
    None,
    Unreadable(StoreError),
}

fn is_same_inode(one: &Path, other: &Path) -> bool {
    let inode = |path: &Path| rustix::fs::lstat(path).ok().map(|stat| (stat.st_dev, stat.st_ino));
    inode(one).is_some_and(|found| Some(found) == inode(other))
}

/// Copies a regular file and gives its hash; `None` for what is missing or another thing.
fn read_into(place: &Path, copy: &mut File) -> Result<Option<ContentHash>, StoreError> {
    let mut file = match inode::open(place) {
        Ok(file) => File::from(file),
        Err(Errno::NOENT | Errno::LOOP | Errno::NXIO | Errno::NOTDIR) => return Ok(None),
        Err(error) => return Err(error).context("open", place),
    };
    if !file.metadata().context("look at", place)?.is_file() {
        return Ok(None);
    }
    std::io::copy(&mut file, copy).context("copy", place)?;
    copy.rewind().context("read the copy of", place)?;
    objects::hash(copy).context("read the copy of", place).map(Some)
}
