//! An image's own files: its index from layers or tree, its record from configuration and manifest, its tree.

use rustix::fs::{CWD, FileType, RenameFlags};
use std::collections::{BTreeMap, HashMap};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use super::Repairer;
use crate::image::digest::Digest;
use crate::image::document;
use crate::image::entry::{Bytes, EntryPath, LayerEntry, Node, TreeEntry};
use crate::image::fold::fold;
use crate::image::manifest::{self, Document};
use crate::store::error::{Context, StoreError};
use crate::store::fsck::{finding, same};
use crate::store::objects::{self, Key};
use crate::store::record::{ImageRecord, LayerRecord};
use crate::store::staging::remove_tree;
use crate::store::{ImageId, index, inode, tree};

impl Repairer<'_> {
    /// Restores the index and the record of every image.
    pub(super) fn images(&mut self) -> Result<(), StoreError> {
        for id in self.store.images()? {
            let directory = self.store.image_directory(&id);
            let config = std::fs::read(directory.join("config"))
                .ok()
                .filter(|bytes| Digest::of(bytes) == *id.digest());
            if config.is_none() {
                self.lose(&id, "its configuration is damaged".to_owned());
            }
            let document = config.and_then(|bytes| document::parse(&bytes, "config").ok());
            let diff_ids = match (&document, self.store.record(&id)) {
                (Some(document), _) => document.diff_ids.clone(),
                (None, Ok(record)) => record.layers.into_iter().map(|layer| layer.diff_id).collect(),
                (None, Err(_)) => Vec::new(),
            };
            self.restore_index(&id, &diff_ids)?;
            if let Some(document) = document
                && (self.store.record_fault(&id).is_some() || self.store.manifest_fault(&id).is_some())
            {
                self.restore_record(&id, &document)?;
            }
        }
        Ok(())
    }

    fn restore_index(&mut self, id: &ImageId, diff_ids: &[Digest]) -> Result<(), StoreError> {
        let path = self.store.image_directory(id).join("index");
        let found = index::read::<TreeEntry>(&path);
        let folded = self.store.folded(diff_ids);
        let entries = match (found, folded) {
            (Ok(found), None) => found,
            (Ok(found), Some(folded)) if same(&found, &folded) => found,
            (_, folded) => match folded.or_else(|| self.from_tree(id)) {
                Some(entries) => {
                    let bytes =
                        index::write(&entries).map_err(std::io::Error::from).context("write", &path)?;
                    self.replace(&path, &bytes)?;
                    self.note(&path, "is made again from the indexes of its layers or from its tree");
                    entries
                }
                None => {
                    self.lose(id, "its index is damaged, and neither layers nor tree can tell it".to_owned());
                    return Ok(());
                }
            },
        };
        self.entries.insert(id.clone(), entries);
        Ok(())
    }

    /// What the tree itself says, when every file in it is a whole object: else nobody knows what it was.
    fn from_tree(&self, id: &ImageId) -> Option<Vec<TreeEntry>> {
        let rootfs = self.store.rootfs(id);
        let mut firsts = HashMap::new();
        let mut entries = BTreeMap::new();
        self.read_tree(&rootfs, EntryPath::default(), &mut |path, inode| entries.insert(path, inode))?;
        let mut names: HashMap<u64, usize> = HashMap::new();
        for (_, inode) in entries.values() {
            *names.entry(*inode).or_default() += 1;
        }
        let entry = |(path, (mut entry, inode)): (EntryPath, (TreeEntry, u64))| {
            if names[&inode] > 1 && entry.node != Node::Directory {
                entry.hard_link = Some(firsts.entry(inode).or_insert_with(|| path.clone()).clone());
            }
            entry
        };
        Some(entries.into_iter().map(entry).collect())
    }

    fn read_tree(
        &self,
        place: &Path,
        path: EntryPath,
        take: &mut dyn FnMut(EntryPath, (TreeEntry, u64)) -> Option<(TreeEntry, u64)>,
    ) -> Option<()> {
        let stat = rustix::fs::lstat(place).ok()?;
        let mut metadata = inode::of_stat(&stat);
        let kind = inode::file_type(&stat);
        let mut slot = 0;
        let node = match kind {
            FileType::Directory => {
                metadata = inode::examine(inode::open(place).ok()?).ok()?.metadata;
                Node::Directory
            }
            FileType::Symlink => {
                metadata.mode = 0o777;
                Node::Symlink {
                    target: Bytes(std::fs::read_link(place).ok()?.into_os_string().as_bytes().to_vec()),
                }
            }
            FileType::Fifo => Node::Fifo,
            FileType::RegularFile => {
                metadata = inode::examine(inode::open(place).ok()?).ok()?.metadata;
                let sha256 = objects::hash(&mut std::fs::File::open(place).ok()?).ok()?;
                let size = u64::try_from(stat.st_size).ok()?;
                if size > 0 {
                    slot = self.slot_of(&Key::new(&sha256, &metadata), stat.st_ino)?;
                }
                Node::File { size, sha256 }
            }
            _ => return None,
        };
        take(
            path.clone(),
            (TreeEntry { path: path.clone(), node, metadata, hard_link: None, slot }, stat.st_ino),
        );
        if kind == FileType::Directory {
            for name in std::fs::read_dir(place).ok()? {
                let name = name.ok()?.file_name();
                self.read_tree(&place.join(&name), path.join(name.as_bytes()), take)?;
            }
        }
        Some(())
    }

    /// The slot whose object an inode is.
    fn slot_of(&self, key: &Key, inode: u64) -> Option<u32> {
        let stats = (0..).map(|slot| (slot, rustix::fs::lstat(self.store.object(key, slot))));
        let mut there = stats.map_while(|(slot, stat)| Some((slot, stat.ok()?)));
        there.find(|(_, stat)| stat.st_ino == inode).map(|(slot, _)| slot)
    }

    /// The manifest tells the digests of the packed layers, if it is there and leads to this configuration.
    fn restore_record(
        &mut self,
        id: &ImageId,
        document: &document::ConfigDocument,
    ) -> Result<(), StoreError> {
        let Some(entries) = self.entries.get(id) else { return Ok(()) };
        let directory = self.store.image_directory(id);
        let old = self.store.record(id).ok();
        let bytes = std::fs::read(directory.join("manifest")).ok();
        let manifest = bytes.and_then(|bytes| match manifest::parse(&bytes, "", "manifest") {
            Ok(Document::Manifest(manifest)) if manifest.config.digest == *id.digest() => {
                Some((Digest::of(&bytes), manifest.layers))
            }
            _ => None,
        });
        let packed = manifest.as_ref().map(|(_, layers)| layers.as_slice()).unwrap_or_default();
        let layer = |(position, diff_id): (usize, &Digest)| LayerRecord {
            digest: packed.get(position).map(|descriptor| descriptor.digest.clone()),
            diff_id: diff_id.clone(),
        };
        let record = ImageRecord {
            id: id.digest().clone(),
            digest: manifest.as_ref().map(|(digest, _)| digest.clone()),
            created: document.created.clone(),
            architecture: document.platform.architecture.clone(),
            layers: document.diff_ids.iter().enumerate().map(layer).collect(),
            entries: entries.len() as u64,
            size: crate::store::record::size_of(entries),
            notices: old.as_ref().map(|old| old.notices.clone()).unwrap_or_default(),
            names: old.map(|old| old.names).unwrap_or_default(),
            config: document.config.clone(),
        };
        let path = directory.join("record");
        let bytes =
            serde_json::to_vec_pretty(&record).map_err(std::io::Error::from).context("write", &path)?;
        self.replace(&path, &bytes)?;
        self.note(&path, "is made again from the configuration and the manifest");
        if manifest.is_none() && directory.join("manifest").symlink_metadata().is_ok() {
            remove_tree(&directory.join("manifest"))?;
            self.note(
                &directory.join("manifest"),
                "was damaged and is removed: the image has no digest until it is imported again",
            );
        }
        Ok(())
    }

    /// Writes the trees that are not as their index says again, beside the old ones, and exchanges them.
    pub(super) fn trees(&mut self) -> Result<(), StoreError> {
        let whole = self.entries.iter().filter(|(id, _)| !self.lost.contains_key(*id));
        let broken = whole
            .filter(|(id, entries)| !tree::compare(self.store, &self.store.rootfs(id), entries).is_empty());
        for (id, entries) in broken {
            let rootfs = self.store.rootfs(id);
            let new = self.writer.staging.path(id.digest().hex());
            tree::write(self.store, &new, entries)?;
            self.store.sync()?;
            let flags = match rootfs.symlink_metadata() {
                Ok(_) => RenameFlags::EXCHANGE,
                Err(_) => RenameFlags::NOREPLACE,
            };
            rustix::fs::renameat_with(CWD, &new, CWD, &rootfs, flags).context("make", &rootfs)?;
            self.store.sync_directory(rootfs.parent().unwrap_or(&rootfs))?;
            remove_tree(&new)?;
            self.done.push(finding(&rootfs, "is written again from the image's index"));
        }
        Ok(())
    }
}

impl crate::store::Store {
    /// The tree that layers give whose indexes are all whole; each equal file has a slot of its own.
    pub(in crate::store) fn folded(&self, diff_ids: &[Digest]) -> Option<Vec<TreeEntry>> {
        if diff_ids.is_empty() {
            return None;
        }
        let layers: Vec<Vec<LayerEntry>> = diff_ids
            .iter()
            .map(|diff_id| index::read(&self.layer_index(diff_id)).ok())
            .collect::<Option<_>>()?;
        let folded = fold(diff_ids.iter().zip(layers.iter().map(Vec::as_slice))).ok()?.entries();
        let mut slots: HashMap<usize, u32> = HashMap::new();
        let mut next: HashMap<Key, u32> = HashMap::new();
        let entry = |folded: crate::image::fold::FoldedEntry| {
            let mut entry = folded.entry;
            if let Node::File { size: 1.., sha256 } = &entry.node {
                let free = next.entry(Key::new(sha256, &entry.metadata)).or_default();
                entry.slot = *slots.entry(folded.inode).or_insert_with(|| std::mem::replace(free, *free + 1));
            }
            entry
        };
        Some(folded.into_iter().map(entry).collect())
    }
}
