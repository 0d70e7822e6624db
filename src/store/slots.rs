//! Slots: which of the store's equal objects each file of an image is.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;

use super::content::{self, Content};
use super::error::{Context, StoreError};
use super::objects::{Key, LINKS_MAX};
use super::writer::Writer;
use crate::image::entry::{Node, TreeEntry};
use crate::image::fold::FoldedEntry;

impl Writer<'_> {
    /// Chooses for each inode with content which of the equal objects it is: no two of one image are the same.
    pub(super) fn choose_slots(&self, entries: &mut [FoldedEntry]) -> Result<(), StoreError> {
        let mut names: HashMap<usize, u64> = HashMap::new();
        for folded in entries.iter().filter(|folded| folded.entry.hard_link.is_some()) {
            *names.entry(folded.inode).or_default() += 1;
        }
        let mut chosen: HashMap<usize, u32> = HashMap::new();
        let mut next: BTreeMap<Key, u32> = BTreeMap::new();
        for folded in entries.iter_mut() {
            let Node::File { size: 1.., sha256 } = &folded.entry.node else { continue };
            if let Some(slot) = chosen.get(&folded.inode) {
                folded.entry.slot = *slot;
                continue;
            }
            let key = self.store.key(sha256, &folded.entry.metadata);
            let first = next.get(&key).copied().unwrap_or_default();
            let count = names.get(&folded.inode).copied();
            let slot = self.slot_with_room(&key, first, count.unwrap_or(1), &folded.entry)?;
            next.insert(key, slot + 1);
            if count.is_some() {
                chosen.insert(folded.inode, slot);
            }
            folded.entry.slot = slot;
            self.ensure_slot(&folded.entry)?;
        }
        Ok(())
    }

    /// The first slot from `first` on whose inode can take `names` more links, link(2): EMLINK.
    fn slot_with_room(
        &self,
        key: &Key,
        first: u32,
        names: u64,
        entry: &TreeEntry,
    ) -> Result<u32, StoreError> {
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

    /// Sees to it that the slot of an entry holds an object; its content is that of slot 0.
    pub(super) fn ensure_slot(&self, entry: &TreeEntry) -> Result<(), StoreError> {
        let Node::File { sha256, .. } = &entry.node else { return Ok(()) };
        if entry.slot == 0 || self.is_whole(entry, entry.slot)? {
            return Ok(());
        }
        let key = self.store.key(sha256, &entry.metadata);
        let path = match self.is_staged(&key, 0) {
            true => self.staged_path(&key, 0),
            false => self.store.object(&key, 0),
        };
        let source = File::open(&path).context("open", &path)?;
        let mut copy = self.spool()?;
        content::copy(&source, &mut copy).context("copy", &path)?;
        self.ensure(&key, entry.slot, &Content::Unnamed(copy), &entry.metadata).map(drop)
    }
}
