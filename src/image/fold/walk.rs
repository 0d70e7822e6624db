//! The walk through a finished tree, in order of paths: each name with what its layer's list says of it.

use std::collections::HashMap;
use std::ops::Range;

use super::FoldedEntry;
use super::tree::{Kind, Place, Tree};
use crate::image::entry::{EntryPath, Metadata, Node, TreeEntry};

/// A tree that no layer changes any more.
#[derive(Debug)]
pub struct Finished {
    tree: Tree,
    /// All names, those of one directory together and in order.
    sorted: Vec<u32>,
    links: HashMap<Place, Links>,
}

/// The names of an inode that a layer has linked.
#[derive(Debug, Clone, Copy)]
struct Links {
    names: u32,
    /// The number of the first name.
    first: u32,
}

impl Finished {
    pub(super) fn new(mut tree: Tree) -> Self {
        let sorted = tree.sorted();
        let mut finished = Self { tree, sorted, links: HashMap::new() };
        if !finished.tree.linked.is_empty() {
            let mut links: HashMap<Place, Links> = HashMap::new();
            for (number, _) in Walk::new(&finished) {
                let place = finished.tree.names[number as usize].place;
                if finished.tree.linked.contains(&place) {
                    links.entry(place).or_insert(Links { names: 0, first: number }).names += 1;
                }
            }
            finished.links = links;
        }
        finished
    }

    /// All entries, sorted by path. `inode` reads what the list of a layer has at an offset.
    pub fn entries<E>(
        &self,
        mut inode: impl FnMut(usize, u64) -> Result<(Node, Metadata), E>,
    ) -> impl Iterator<Item = Result<FoldedEntry, E>> {
        Walk::new(self).map(move |(number, path)| {
            let place = self.tree.names[number as usize].place;
            let (node, metadata) = match place.kind() {
                Kind::Implied => (Node::Directory, Metadata::implied_directory()),
                _ => inode(place.layer(), place.offset())?,
            };
            let links = self.links.get(&place).filter(|links| links.names > 1);
            let hard_link = links.map(|links| self.path(links.first));
            let entry = TreeEntry { path, node, metadata, hard_link, slot: 0 };
            Ok(FoldedEntry { entry, layer: place.layer(), names: links.map_or(1, |links| links.names) })
        })
    }

    fn path(&self, number: u32) -> EntryPath {
        match number == self.tree.root {
            true => EntryPath::default(),
            false => self.path(self.tree.names[number as usize].parent).join(self.tree.text(number)),
        }
    }

    /// Where in `sorted` the names of a directory are.
    fn children(&self, directory: u32) -> Range<usize> {
        let parent = |number: &u32| self.tree.names[*number as usize].parent;
        let begin = self.sorted.partition_point(|number| parent(number) < directory);
        let length = self.sorted[begin..].partition_point(|number| parent(number) == directory);
        begin..begin + length
    }
}

/// The numbers and paths of a tree's names.
struct Walk<'a> {
    finished: &'a Finished,
    root: Option<u32>,
    /// The directories that are being walked through, with the names to come.
    open: Vec<(EntryPath, Range<usize>)>,
}

impl<'a> Walk<'a> {
    fn new(finished: &'a Finished) -> Self {
        Self { finished, root: Some(finished.tree.root), open: Vec::new() }
    }

    fn meet(&mut self, number: u32, path: EntryPath) -> (u32, EntryPath) {
        if self.finished.tree.names[number as usize].place.is_directory() {
            self.open.push((path.clone(), self.finished.children(number)));
        }
        (number, path)
    }
}

impl Iterator for Walk<'_> {
    type Item = (u32, EntryPath);

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(root) = self.root.take() {
            return Some(self.meet(root, EntryPath::default()));
        }
        loop {
            let (path, names) = self.open.last_mut()?;
            let Some(next) = names.next() else {
                self.open.pop();
                continue;
            };
            let number = self.finished.sorted[next];
            if self.finished.tree.is_hidden(number) {
                continue;
            }
            let path = path.join(self.finished.tree.text(number));
            return Some(self.meet(number, path));
        }
    }
}
