//! The fold: layers applied one on the other, in memory, to the one tree that a container sees.
//!
//! A layer's whiteouts act on the layers below it, never on itself, wherever they stand in its archive; so
//! they are applied first. Names are never resolved through symbolic links: an entry below one is refused.

use std::collections::BTreeMap;

use super::ImageError;
use super::digest::Digest;
use super::entry::{Change, EntryPath, LayerEntry, Metadata, Node, TreeEntry};

/// Why layers do not fold.
#[derive(Debug, thiserror::Error)]
#[error("layer {layer}: {source}")]
pub struct FoldError {
    /// The layer.
    pub layer: Digest,
    /// Its entry and the rule.
    pub source: ImageError,
}

/// The tree of an image.
#[derive(Debug)]
pub struct Tree {
    inodes: Vec<Inode>,
    root: Directory,
}

/// A tree's entry with the layer that it comes from.
#[derive(Debug)]
pub struct FoldedEntry {
    /// The entry; its slot is not chosen yet.
    pub entry: TreeEntry,
    /// Position of the layer that put it there.
    pub layer: usize,
    /// The same for all names of one inode.
    pub inode: usize,
}

#[derive(Debug)]
struct Inode {
    node: Node,
    metadata: Metadata,
    layer: usize,
}

#[derive(Debug)]
struct Directory {
    inode: usize,
    children: BTreeMap<Vec<u8>, Place>,
}

#[derive(Debug)]
enum Place {
    Directory(Directory),
    Leaf(usize),
}

/// Folds layers, the lowest first.
///
/// # Errors
/// When an entry of a layer does not fit what is below it.
pub fn fold<'a>(layers: impl IntoIterator<Item = (&'a Digest, &'a [LayerEntry])>) -> Result<Tree, FoldError> {
    let implied = Inode { node: Node::Directory, metadata: Metadata::implied_directory(), layer: 0 };
    let root = Directory { inode: 0, children: BTreeMap::new() };
    let mut tree = Tree { inodes: vec![implied], root };
    for (position, (digest, entries)) in layers.into_iter().enumerate() {
        entries.iter().for_each(|entry| tree.remove(entry));
        for entry in entries {
            tree.add(entry, position).map_err(|reason| FoldError {
                layer: digest.clone(),
                source: ImageError::entry(entry.path.as_bytes(), reason),
            })?;
        }
    }
    Ok(tree)
}

impl Tree {
    /// All entries, sorted by path, so that a directory precedes what is in it.
    pub fn entries(&self) -> Vec<FoldedEntry> {
        let mut entries = Vec::new();
        self.list(&EntryPath::default(), &self.root, &mut entries);
        entries.sort_by(|one, other| one.entry.path.cmp(&other.entry.path));
        self.mark_hard_links(&mut entries);
        entries
    }

    /// Whiteouts through what is no directory hide nothing: nothing is there.
    fn remove(&mut self, entry: &LayerEntry) {
        match &entry.change {
            Change::Opaque => {
                if let Some(directory) = self.root.find_mut(&entry.path) {
                    directory.children.clear();
                }
            }
            Change::Whiteout => {
                if let Some((parent, name)) = entry.path.split()
                    && let Some(directory) = self.root.find_mut(&parent)
                {
                    directory.children.remove(name);
                }
            }
            Change::Put { .. } | Change::HardLink { .. } => {}
        }
    }

    fn add(&mut self, entry: &LayerEntry, layer: usize) -> Result<(), String> {
        match &entry.change {
            Change::Whiteout | Change::Opaque => Ok(()),
            Change::Put { node, metadata } => {
                let inode = self.inodes.len();
                let (node, metadata) = (node.clone(), metadata.clone());
                let is_directory = node == Node::Directory;
                self.inodes.push(Inode { node, metadata, layer });
                match is_directory {
                    true => self.put_directory(&entry.path, inode, layer),
                    false => self.put_leaf(&entry.path, inode, layer),
                }
            }
            Change::HardLink { target } => {
                let inode = self.link_target(target)?;
                if *target == entry.path {
                    return Err("is a hard link to itself".to_owned());
                }
                self.put_leaf(&entry.path, inode, layer)
            }
        }
    }

    fn link_target(&self, target: &EntryPath) -> Result<usize, String> {
        let shown = super::text::printable(target.as_bytes());
        let place = target.split().and_then(|(parent, name)| self.root.find(&parent)?.children.get(name));
        match place {
            Some(Place::Leaf(inode)) => Ok(*inode),
            Some(Place::Directory(_)) => Err(format!("is a hard link to the directory \"{shown}\"")),
            None => Err(format!("is a hard link to \"{shown}\", which is not in the image at this point")),
        }
    }

    fn put_directory(&mut self, path: &EntryPath, inode: usize, layer: usize) -> Result<(), String> {
        let Some((parent, name)) = path.split() else {
            self.root.inode = inode;
            return Ok(());
        };
        let children = &mut make_directories(&mut self.inodes, &mut self.root, &parent, layer)?.children;
        match children.get_mut(name) {
            Some(Place::Directory(directory)) => directory.inode = inode,
            _ => {
                let directory = Directory { inode, children: BTreeMap::new() };
                children.insert(name.to_vec(), Place::Directory(directory));
            }
        }
        Ok(())
    }

    fn put_leaf(&mut self, path: &EntryPath, inode: usize, layer: usize) -> Result<(), String> {
        let (parent, name) = path.split().ok_or("is the root, which must be a directory")?;
        let directory = make_directories(&mut self.inodes, &mut self.root, &parent, layer)?;
        directory.children.insert(name.to_vec(), Place::Leaf(inode));
        Ok(())
    }

    fn list(&self, path: &EntryPath, directory: &Directory, entries: &mut Vec<FoldedEntry>) {
        entries.push(self.entry(path.clone(), directory.inode));
        for (name, place) in &directory.children {
            let path = path.join(name);
            match place {
                Place::Directory(directory) => self.list(&path, directory, entries),
                Place::Leaf(inode) => entries.push(self.entry(path, *inode)),
            }
        }
    }

    fn entry(&self, path: EntryPath, number: usize) -> FoldedEntry {
        let inode = &self.inodes[number];
        let (node, metadata) = (inode.node.clone(), inode.metadata.clone());
        let entry = TreeEntry { path, node, metadata, hard_link: None, slot: 0 };
        FoldedEntry { entry, layer: inode.layer, inode: number }
    }

    fn mark_hard_links(&self, entries: &mut [FoldedEntry]) {
        let mut names: Vec<(usize, Option<EntryPath>)> = vec![(0, None); self.inodes.len()];
        for folded in entries.iter() {
            let (count, first) = &mut names[folded.inode];
            *count += 1;
            first.get_or_insert_with(|| folded.entry.path.clone());
        }
        for folded in entries.iter_mut() {
            if let (2.., first) = &names[folded.inode] {
                folded.entry.hard_link.clone_from(first);
            }
        }
    }
}

impl Directory {
    fn find(&self, path: &EntryPath) -> Option<&Self> {
        path.names().try_fold(self, |directory, name| match directory.children.get(name) {
            Some(Place::Directory(child)) => Some(child),
            _ => None,
        })
    }

    fn find_mut(&mut self, path: &EntryPath) -> Option<&mut Self> {
        path.names().try_fold(self, |directory, name| match directory.children.get_mut(name) {
            Some(Place::Directory(child)) => Some(child),
            _ => None,
        })
    }
}

/// The directory at `path`; those that no entry describes are made as mkdir(1) would for root.
fn make_directories<'a>(
    inodes: &mut Vec<Inode>,
    root: &'a mut Directory,
    path: &EntryPath,
    layer: usize,
) -> Result<&'a mut Directory, String> {
    let mut directory = root;
    for name in path.names() {
        let place = directory.children.entry(name.to_vec()).or_insert_with(|| {
            let metadata = Metadata::implied_directory();
            inodes.push(Inode { node: Node::Directory, metadata, layer });
            Place::Directory(Directory { inode: inodes.len() - 1, children: BTreeMap::new() })
        });
        directory = match place {
            Place::Directory(child) => child,
            Place::Leaf(inode) => {
                let what = match inodes[*inode].node {
                    Node::Symlink { .. } => "a symbolic link, which is never followed",
                    _ => "not a directory",
                };
                return Err(format!("lies below \"{}\", which is {what}", super::text::printable(name)));
            }
        };
    }
    Ok(directory)
}

#[cfg(test)]
mod tests;
