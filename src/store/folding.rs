//! The fold of an image's layers, from their indexes into a list in staging.

use std::collections::BTreeSet;

use super::error::{Context as _, StoreError};
use super::index::{Index, IndexWriter, Records};
use super::writer::{Origin, UnpackedLayer, Writer};
use crate::image::entry::{Change, LayerEntry, Metadata, Node};
use crate::image::fold::{Fold, FoldedEntry};
use crate::image::limits::Limits;

/// Bytes of indexes that are kept in memory while single entries of them are asked for.
const IN_MEMORY: u64 = 8 << 20;

/// The tree of an image as its layers give it.
#[derive(Debug)]
pub struct FoldedImage {
    /// Its entries, sorted by path.
    pub(super) index: Index<FoldedEntry>,
    /// How many they are.
    pub(super) entries: u64,
    /// Bytes of its regular files, each inode once.
    pub(super) size: u64,
    unsound: BTreeSet<usize>,
}

impl FoldedImage {
    /// How many entries it has.
    pub fn entries(&self) -> u64 {
        self.entries
    }

    /// Positions of layers taken from their index of which an object in use is missing or damaged: reading
    /// them again heals it.
    pub fn unsound_layers(&self) -> &BTreeSet<usize> {
        &self.unsound
    }
}

impl Writer<'_> {
    /// Folds the layers of an image, the lowest first.
    ///
    /// # Errors
    /// When an entry of a layer does not fit what is below it, or the store cannot be read or written.
    pub fn fold(&self, layers: &[UnpackedLayer], limits: &Limits) -> Result<FoldedImage, StoreError> {
        let mut fold = Fold::new(limits);
        for layer in layers {
            fold.apply(&layer.diff_id, || with_offsets(layer.index.records()))?;
        }
        let tree = fold.finish();
        let share = IN_MEMORY / layers.len().max(1) as u64;
        let mut lists: Vec<_> = layers.iter().map(|layer| layer.index.records_in_memory(share)).collect();
        let path = self.staging.path("folded");
        let mut output = IndexWriter::create(&path)?;
        let (mut entries, mut size, mut unsound) = (0, 0, BTreeSet::new());
        for folded in tree.entries(|layer, offset| inode(lists.get_mut(layer), offset)) {
            let folded = folded?;
            entries += 1;
            size += folded.entry.size_of_inode();
            let known = layers.get(folded.layer).is_some_and(|layer| layer.origin == Origin::Index);
            if known && !unsound.contains(&folded.layer) && !self.is_whole(&folded.entry, 0)? {
                unsound.insert(folded.layer);
            }
            output.push(&folded).context("write", &path)?;
        }
        Ok(FoldedImage { index: output.into_index(&path)?, entries, size, unsound })
    }
}

fn with_offsets(
    mut records: Records<LayerEntry>,
) -> impl Iterator<Item = Result<(u64, LayerEntry), StoreError>> {
    std::iter::from_fn(move || {
        let offset = records.offset();
        records.next().map(|entry| Ok((offset, entry?)))
    })
}

/// What an entry puts into the tree; the fold asks for no other.
fn inode(list: Option<&mut Records<LayerEntry>>, offset: u64) -> Result<(Node, Metadata), StoreError> {
    match list.map(|list| list.at(offset)).transpose()?.map(|entry| entry.change) {
        Some(Change::Put { node, metadata }) => Ok((node, metadata)),
        _ => Ok((Node::Directory, Metadata::implied_directory())),
    }
}
