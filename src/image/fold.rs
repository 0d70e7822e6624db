//! The fold: layers applied one on the other to the one tree that a container sees.
//!
//! A layer's whiteouts act on the layers below it, never on itself, wherever they stand in its archive; so
//! they are applied first. Names are never resolved through symbolic links: an entry below one is refused.
//!
//! A layer's entries are a list that is read twice and then asked for single entries; of the tree itself only the
//! names are in memory, some forty bytes each. So an image of a million files folds in what a device can spare.

mod tree;
mod walk;

use serde::{Deserialize, Serialize};

use super::ImageError;
use super::digest::Digest;
use super::entry::{Change, LayerEntry, Metadata, Node, TreeEntry};
use super::limits::Limits;
use tree::{Place, Tree};

pub use walk::Finished;

/// Why layers do not fold.
#[derive(Debug, thiserror::Error)]
#[error("layer {layer}: {source}")]
pub struct FoldError {
    /// The layer.
    pub layer: Digest,
    /// Its entry and the rule.
    pub source: ImageError,
}

/// A tree's entry with the layer that it comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FoldedEntry {
    /// The entry; its slot is not chosen yet.
    pub entry: TreeEntry,
    /// Position of the layer that put it there.
    pub layer: usize,
    /// How many names its inode has in the tree.
    pub names: u32,
}

/// A fold at work.
#[derive(Debug)]
pub struct Fold {
    tree: Tree,
    layers: usize,
}

impl Fold {
    /// A tree of no layer.
    pub fn new(limits: &Limits) -> Self {
        Self { tree: Tree::new(limits), layers: 0 }
    }

    /// Applies a layer on those before. `entries` begins to read its list: each entry with its offset there, by
    /// which it is asked for when the tree is finished.
    ///
    /// # Errors
    /// When an entry does not fit what is below it, or the list cannot be read.
    pub fn apply<I, E>(&mut self, digest: &Digest, entries: impl Fn() -> I) -> Result<(), E>
    where
        I: Iterator<Item = Result<(u64, LayerEntry), E>>,
        E: From<FoldError>,
    {
        let refuse = |entry: &[u8], reason: String| {
            E::from(FoldError { layer: digest.clone(), source: ImageError::entry(entry, reason) })
        };
        let layer = self.layers;
        if layer == Place::LAYERS_MAX {
            return Err(refuse(
                b"",
                format!("is in one more layer than the {} that fold", Place::LAYERS_MAX),
            ));
        }
        for entry in entries() {
            let (_, entry) = entry?;
            self.tree.hide(&entry).map_err(|reason| refuse(entry.path.as_bytes(), reason))?;
        }
        for entry in entries() {
            let (offset, entry) = entry?;
            let result = match offset < Place::OFFSET_MAX {
                true => self.tree.add(&entry, layer, offset),
                false => Err("lies too far behind in its layer".to_owned()),
            };
            result.map_err(|reason| refuse(entry.path.as_bytes(), reason))?;
        }
        self.layers += 1;
        Ok(())
    }

    /// The tree of all layers.
    pub fn finish(self) -> Finished {
        Finished::new(self.tree)
    }
}

/// Folds lists that are in memory, the lowest layer first.
///
/// # Errors
/// When an entry of a layer does not fit what is below it.
pub fn fold(layers: &[(Digest, Vec<LayerEntry>)], limits: &Limits) -> Result<Vec<FoldedEntry>, FoldError> {
    let mut fold = Fold::new(limits);
    for (digest, entries) in layers {
        fold.apply(digest, || (0..).zip(entries.iter().cloned()).map(Ok::<_, FoldError>))?;
    }
    let inode = |layer: usize, offset: u64| {
        let position = usize::try_from(offset).unwrap_or(usize::MAX);
        Ok(match layers[layer].1.get(position).map(|entry| entry.change.clone()) {
            Some(Change::Put { node, metadata }) => (node, metadata),
            _ => (Node::Directory, Metadata::implied_directory()),
        })
    };
    fold.finish().entries(inode).collect()
}

#[cfg(test)]
mod tests;
