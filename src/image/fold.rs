//! The fold: layers applied one on the other, in memory, to the one tree that a container sees.
//!
//! A layer's whiteouts act on the layers below it, never on itself, wherever they stand in its archive; so
//! they are applied first. Names are never resolved through symbolic links: an entry below one is refused.

use std::collections::{BTreeMap, HashMap};

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
    children: BTreeMap<Box<[u8]>, Place>,
}

#[derive(Debug)]
enum Place {
    Directory(Box<Directory>),
    Leaf(usize),
}

/// Folds layers, the lowest first.
///
/// # Errors
/// When an entry of a layer does not fit what is below it.
pub fn fold(layers: impl IntoIterator<Item = (Digest, Vec<LayerEntry>)>) -> Result<Tree, FoldError> {
    let implied = Inode { node: Node::Directory, metadata: Metadata::implied_directory(), layer: 0 };
    let root = Directory { inode: 0, children: BTreeMap::new() };
    let mut tree = Tree { inodes: vec![implied], root };
    for (position, (digest, entries)) in layers.into_iter().enumerate() {
        entries.iter().for_each(|entry| tree.remove(entry));
        for entry in entries {
            let LayerEntry { path, change } = entry;
            if let Err(reason) = tree.add(&path, change, position) {
                return Err(FoldError { layer: digest, source: ImageError::entry(path.as_bytes(), reason) });
            }
        }
    }
    Ok(tree)
}

impl Tree {
    /// All entries, sorted by path, so that a directory precedes what is in it.
    pub fn into_entries(self) -> Vec<FoldedEntry> {
        let mut names = vec![0; self.inodes.len()];
        self.root.count(&mut names);
        let mut list = List { inodes: self.inodes, names, entries: Vec::new() };
        list.push(EntryPath::default(), self.root.inode);
        list.descend(&EntryPath::default(), self.root);
        let List { names, mut entries, .. } = list;
        entries.sort_unstable_by(|one, other| one.entry.path.cmp(&other.entry.path));
        mark_hard_links(&mut entries, &names);
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

    fn add(&mut self, path: &EntryPath, change: Change, layer: usize) -> Result<(), String> {
        match change {
            Change::Whiteout | Change::Opaque => Ok(()),
            Change::Put { node, metadata } => {
                let inode = self.inodes.len();
                let is_directory = node == Node::Directory;
                self.inodes.push(Inode { node, metadata, layer });
                match is_directory {
                    true => self.put_directory(path, inode, layer),
                    false => self.put_leaf(path, inode, layer),
                }
            }
            Change::HardLink { target } => {
                let inode = self.link_target(&target)?;
                if target == *path {
                    return Err("is a hard link to itself".to_owned());
                }
                self.put_leaf(path, inode, layer)
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
                children.insert(name.into(), Place::Directory(Box::new(directory)));
            }
        }
        Ok(())
    }

    fn put_leaf(&mut self, path: &EntryPath, inode: usize, layer: usize) -> Result<(), String> {
        let (parent, name) = path.split().ok_or("is the root, which must be a directory")?;
        let directory = make_directories(&mut self.inodes, &mut self.root, &parent, layer)?;
        directory.children.insert(name.into(), Place::Leaf(inode));
        Ok(())
    }
}

/// The entries of a tree that is taken apart: an inode is copied only when it has several names.
struct List {
    inodes: Vec<Inode>,
    /// How many names each inode has.
    names: Vec<usize>,
    entries: Vec<FoldedEntry>,
}

impl List {
    fn descend(&mut self, path: &EntryPath, directory: Directory) {
        for (name, place) in directory.children {
            let path = path.join(&name);
            match place {
                Place::Leaf(inode) => self.push(path, inode),
                Place::Directory(directory) => {
                    self.push(path.clone(), directory.inode);
                    self.descend(&path, *directory);
                }
            }
        }
    }

    fn push(&mut self, path: EntryPath, number: usize) {
        let inode = &mut self.inodes[number];
        let (node, metadata) = match self.names[number] {
            0 | 1 => (
                std::mem::replace(&mut inode.node, Node::Directory),
                std::mem::replace(&mut inode.metadata, Metadata::implied_directory()),
            ),
            _ => (inode.node.clone(), inode.metadata.clone()),
        };
        let entry = TreeEntry { path, node, metadata, hard_link: None, slot: 0 };
        self.entries.push(FoldedEntry { entry, layer: inode.layer, inode: number });
    }
}

fn mark_hard_links(entries: &mut [FoldedEntry], names: &[usize]) {
    let mut firsts: HashMap<usize, EntryPath> = HashMap::new();
    for folded in entries.iter_mut().filter(|folded| names[folded.inode] > 1) {
        let first = firsts.entry(folded.inode).or_insert_with(|| folded.entry.path.clone());
        folded.entry.hard_link = Some(first.clone());
    }
}

impl Directory {
    fn count(&self, names: &mut [usize]) {
        names[self.inode] += 1;
        for place in self.children.values() {
            match place {
                Place::Directory(directory) => directory.count(names),
                Place::Leaf(inode) => names[*inode] += 1,
            }
        }
    }

    fn find(&self, path: &EntryPath) -> Option<&Self> {
        path.names().try_fold(self, |directory, name| match directory.children.get(name) {
            Some(Place::Directory(child)) => Some(&**child),
            _ => None,
        })
    }

    fn find_mut(&mut self, path: &EntryPath) -> Option<&mut Self> {
        path.names().try_fold(self, |directory, name| match directory.children.get_mut(name) {
            Some(Place::Directory(child)) => Some(&mut **child),
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
        let place = directory.children.entry(name.into()).or_insert_with(|| {
            let metadata = Metadata::implied_directory();
            inodes.push(Inode { node: Node::Directory, metadata, layer });
            Place::Directory(Box::new(Directory { inode: inodes.len() - 1, children: BTreeMap::new() }))
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
