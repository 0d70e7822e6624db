//! Slots: which of the store's equal objects each file of an image is.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::path::Path;

use super::content::{self, Content};
use super::error::{Context, StoreError};
use super::folding::FoldedImage;
use super::index::{Index, IndexWriter};
use super::objects::{Key, LINKS_MAX};
use super::writer::Writer;
use crate::image::entry::{EntryPath, Node, TreeEntry};
use crate::image::fold::FoldedEntry;

/// Which files of an image have equals in it, by their position: most have none.
#[derive(Debug, Default)]
struct Twins(Vec<u32>);

/// Slots that were chosen, other than the first of a file without equals.
#[derive(Debug, Default)]
struct Chosen {
    next: BTreeMap<Key, u32>,
    /// Of inodes with several names, by the first.
    linked: HashMap<EntryPath, u32>,
}

impl Writer<'_> {
    /// Writes the index of an image: for each inode with content it is chosen which of the equal objects it is,
    /// and no two of one image are the same.
    pub(super) fn choose_slots(
        &self,
        folded: &FoldedImage,
        path: &Path,
    ) -> Result<Index<TreeEntry>, StoreError> {
        let twins = self.twins(folded)?;
        let mut chosen = Chosen::default();
        let mut index = IndexWriter::create(path)?;
        for (position, entry) in (0..).zip(folded.index.records()) {
            let mut folded = entry?;
            folded.entry.slot = match &folded.entry.hard_link {
                Some(first) if *first != folded.entry.path => {
                    chosen.linked.get(first).copied().unwrap_or_default()
                }
                _ => self.slot(&folded, twins.has(position), &mut chosen)?,
            };
            index.push(&folded.entry).context("write", path)?;
        }
        index.into_index(path)
    }

    fn slot(&self, folded: &FoldedEntry, has_twin: bool, chosen: &mut Chosen) -> Result<u32, StoreError> {
        let FoldedEntry { entry, names, .. } = folded;
        let Some(key) = self.store.key_of(entry) else { return Ok(0) };
        let first = chosen.next.get(&key).copied().unwrap_or_default();
        let slot = self.slot_with_room(&key, first, u64::from(*names), entry)?;
        if has_twin {
            chosen.next.insert(key, slot + 1);
        }
        if slot > 0 {
            self.ensure_slot(entry, slot)?;
            if let Some(first) = &entry.hard_link {
                chosen.linked.insert(first.clone(), slot);
            }
        }
        Ok(slot)
    }

    /// Files whose keys begin alike, which all equal ones do. Twelve bytes for each file, and no more, find them.
    fn twins(&self, folded: &FoldedImage) -> Result<Twins, StoreError> {
        let mut keys: Vec<[u32; 3]> = Vec::new();
        for (position, entry) in (0..).zip(folded.index.records()) {
            let entry = entry?.entry;
            let is_first = entry.hard_link.as_ref().is_none_or(|first| *first == entry.path);
            if let Some(key) = self.store.key_of(&entry).filter(|_| is_first) {
                let [one, two] = key.beginning();
                keys.push([one, two, position]);
            }
        }
        keys.sort_unstable();
        let alike = keys.chunk_by(|one, other| one[..2] == other[..2]).filter(|alike| alike.len() > 1);
        let mut twins: Vec<u32> = alike.flatten().map(|[_, _, position]| *position).collect();
        twins.sort_unstable();
        Ok(Twins(twins))
    }

    /// The first slot from `first` on whose inode can take `names` more links, link(2): EMLINK.
    fn slot_with_room(
        &self,
        key: &Key,
        first: u32,
        names: u64,
        entry: &TreeEntry,
    ) -> Result<u32, StoreError> {
        if (first, names) == (0, 1) && !self.is_crowded(key) {
            return Ok(0);
        }
        if names >= LINKS_MAX {
            let entry = crate::image::text::printable(entry.path.as_bytes());
            return Err(StoreError::Entry { entry, reason: format!("has more than {LINKS_MAX} names") });
        }
        let has_room = |slot: &u32| {
            let object = || rustix::fs::lstat(self.store.object(key, *slot));
            self.is_staged(key, *slot) || object().map_or(true, |stat| stat.st_nlink + names <= LINKS_MAX)
        };
        Ok((first..).find(has_room).unwrap_or(first))
    }

    /// Sees to it that a slot of an entry holds an object; its content is that of slot 0.
    fn ensure_slot(&self, entry: &TreeEntry, slot: u32) -> Result<(), StoreError> {
        let Some(key) = self.store.key_of(entry).filter(|key| !self.is_staged(key, slot)) else {
            return Ok(());
        };
        if self.is_whole(entry, slot)? {
            return Ok(());
        }
        let path = match self.is_staged(&key, 0) {
            true => self.staged_path(&key, 0),
            false => self.store.object(&key, 0),
        };
        let source = File::open(&path).context("open", &path)?;
        let mut copy = self.spool()?;
        content::copy(&source, &mut copy).context("copy", &path)?;
        self.ensure(&key, slot, &Content::Unnamed(copy), &entry.metadata).map(drop)
    }
}

impl Twins {
    fn has(&self, position: u32) -> bool {
        self.0.binary_search(&position).is_ok()
    }
}

impl super::Store {
    /// The key of an entry's object; only files that are not empty have one.
    pub(super) fn key_of(&self, entry: &TreeEntry) -> Option<Key> {
        match &entry.node {
            Node::File { size: 1.., sha256 } => Some(self.key(sha256, &entry.metadata)),
            _ => None,
        }
    }
}
