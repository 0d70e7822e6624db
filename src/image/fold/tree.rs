//! The names of a tree under construction, in few bytes each: what stands behind a name stays in its layer's list.

use hashbrown::HashTable;
use std::collections::HashSet;
use std::hash::{BuildHasher as _, RandomState};

use crate::image::entry::{Change, EntryPath, LayerEntry, Node};
use crate::image::layer::LINK_SOURCES;
use crate::image::limits::Limits;
use crate::image::text::shown;

/// What a name leads to: its kind, and where its entry stands in the list of which layer. Names of one inode are
/// those of one place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Place(u64);

/// What is known of a place without its entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A directory that no layer describes but that an entry needs.
    Implied,
    Directory,
    Symlink,
    /// A file or a pipe.
    Leaf,
    /// What no tree has, and hides what was there.
    Nothing,
}

impl Place {
    const OFFSET_BITS: u32 = 47;
    const LAYER_BITS: u32 = 14;
    /// Most layers of an image.
    pub(super) const LAYERS_MAX: usize = 1 << Self::LAYER_BITS;
    /// Bytes of a layer's list.
    pub(super) const OFFSET_MAX: u64 = 1 << Self::OFFSET_BITS;

    fn new(kind: Kind, layer: usize, offset: u64) -> Self {
        Self(
            (kind as u64) << (Self::OFFSET_BITS + Self::LAYER_BITS)
                | (layer as u64) << Self::OFFSET_BITS
                | offset,
        )
    }

    pub(super) fn kind(self) -> Kind {
        match self.0 >> (Self::OFFSET_BITS + Self::LAYER_BITS) {
            0 => Kind::Implied,
            1 => Kind::Directory,
            2 => Kind::Symlink,
            3 => Kind::Leaf,
            _ => Kind::Nothing,
        }
    }

    pub(super) fn layer(self) -> usize {
        (self.0 >> Self::OFFSET_BITS) as usize % Self::LAYERS_MAX
    }

    pub(super) fn offset(self) -> u64 {
        self.0 % Self::OFFSET_MAX
    }

    pub(super) fn is_directory(self) -> bool {
        matches!(self.kind(), Kind::Implied | Kind::Directory)
    }
}

/// A name in a directory.
#[derive(Debug, Clone, Copy)]
pub(super) struct Name {
    /// Where its text begins, its length in front.
    text: u32,
    /// The number of the directory's name.
    pub(super) parent: u32,
    pub(super) place: Place,
}

/// The root's number for its whole life; `Tree::root` is that of its newest content.
const NO_PARENT: u32 = u32::MAX;

/// Names by their directory; those that a later entry removed stay, unreachable.
#[derive(Debug)]
pub(super) struct Tree {
    pub(super) names: Vec<Name>,
    texts: Vec<u8>,
    table: HashTable<u32>,
    hasher: RandomState,
    pub(super) root: u32,
    /// Places that were given another name.
    pub(super) linked: HashSet<Place>,
    texts_max: u64,
}

impl Tree {
    /// An empty root.
    pub(super) fn new(limits: &Limits) -> Self {
        let root = Name { text: 0, parent: NO_PARENT, place: Place::new(Kind::Implied, 0, 0) };
        Self {
            names: vec![root],
            texts: vec![0, 0],
            table: HashTable::new(),
            hasher: RandomState::new(),
            root: 0,
            linked: HashSet::new(),
            // Positions in the texts have 32 bits.
            texts_max: limits.names.min(u32::MAX.into()),
        }
    }

    /// Removes what an entry hides of the layers below. Whiteouts through what is no directory hide nothing:
    /// nothing is there.
    pub(super) fn hide(&mut self, entry: &LayerEntry) -> Result<(), String> {
        match &entry.change {
            Change::Opaque => match self.find(entry.path.names()) {
                Some(number) if self.place(number).is_directory() => self.empty(number, self.place(number)),
                _ => Ok(()),
            },
            Change::Whiteout => {
                if let Some((parent, name)) = entry.path.split()
                    && let Some(parent) = self.find(parent.names())
                {
                    let hash = self.hash(parent, name);
                    let Self { table, names, texts, .. } = self;
                    let found = table.find_entry(hash, |number| is(names, texts, *number, parent, name));
                    found.ok().map(|entry| entry.remove());
                }
                Ok(())
            }
            Change::Put { .. } | Change::HardLink { .. } | Change::Nothing => Ok(()),
        }
    }

    /// Adds what an entry puts there.
    pub(super) fn add(&mut self, entry: &LayerEntry, layer: usize, offset: u64) -> Result<(), String> {
        let place = match &entry.change {
            Change::Whiteout | Change::Opaque => return Ok(()),
            Change::Put { node: Node::Directory, .. } => Place::new(Kind::Directory, layer, offset),
            Change::Put { node: Node::Symlink { .. }, .. } => Place::new(Kind::Symlink, layer, offset),
            Change::Put { .. } => Place::new(Kind::Leaf, layer, offset),
            Change::Nothing => Place::new(Kind::Nothing, layer, offset),
            Change::HardLink { target } if *target == entry.path => {
                return Err("is a hard link to itself".to_owned());
            }
            Change::HardLink { target } => self.link_target(target)?,
        };
        let Some((parent, name)) = entry.path.split() else {
            match place.is_directory() {
                true => self.names[self.root as usize].place = place,
                false => return Err("is the root, which must be a directory".to_owned()),
            }
            return Ok(());
        };
        let parent = self.make_directories(&parent, layer)?;
        match self.child(parent, name) {
            None => self.insert(parent, name, place).map(drop),
            // What was in the directory goes with it.
            Some(number) if self.place(number).is_directory() && !place.is_directory() => {
                self.empty(number, place)
            }
            Some(number) => {
                self.names[number as usize].place = place;
                Ok(())
            }
        }
    }

    pub(super) fn text(&self, number: u32) -> &[u8] {
        text(&self.texts, self.names[number as usize].text)
    }

    /// Whether a name is in no finished tree.
    pub(super) fn is_hidden(&self, number: u32) -> bool {
        let name = self.names[number as usize];
        name.place.kind() == Kind::Nothing || (name.parent == self.root && self.text(number) == LINK_SOURCES)
    }

    /// The names that are in some directory, in order of their directories' numbers and then of their texts; what
    /// else finding them took is given back.
    pub(super) fn sorted(&mut self) -> Vec<u32> {
        let mut numbers: Vec<u32> = std::mem::take(&mut self.table).into_iter().collect();
        let key = |number: u32| (self.names[number as usize].parent, self.text(number));
        numbers.sort_unstable_by(|one, other| key(*one).cmp(&key(*other)));
        numbers
    }

    fn link_target(&mut self, target: &EntryPath) -> Result<Place, String> {
        let name = || shown(target.as_bytes());
        match self.find(target.names()).map(|number| self.place(number)) {
            Some(place) if place.is_directory() => {
                Err(format!("is a hard link to the directory \"{}\"", name()))
            }
            Some(place) => {
                self.linked.insert(place);
                Ok(place)
            }
            None => Err(format!("is a hard link to \"{}\", which is not in the image at this point", name())),
        }
    }

    /// The directory at `path`; those that no entry describes are made as mkdir(1) would for root.
    fn make_directories(&mut self, path: &EntryPath, layer: usize) -> Result<u32, String> {
        let mut directory = self.root;
        for name in path.names() {
            directory = match self.child(directory, name) {
                None => self.insert(directory, name, Place::new(Kind::Implied, layer, 0))?,
                Some(number) => {
                    let what = match self.place(number).kind() {
                        Kind::Directory | Kind::Implied => {
                            directory = number;
                            continue;
                        }
                        Kind::Symlink => "a symbolic link, which is never followed",
                        Kind::Leaf | Kind::Nothing => "not a directory",
                    };
                    return Err(format!("lies below \"{}\", which is {what}", shown(name)));
                }
            };
        }
        Ok(directory)
    }

    /// Gives a name a new number, which nothing is below.
    fn empty(&mut self, number: u32, place: Place) -> Result<(), String> {
        let old = self.names[number as usize];
        let new = self.number()?;
        self.names.push(Name { place, ..old });
        if number == self.root {
            self.root = new;
            return Ok(());
        }
        let hash = self.hash(old.parent, text(&self.texts, old.text));
        if let Some(found) = self.table.find_mut(hash, |found| *found == number) {
            *found = new;
        }
        Ok(())
    }

    fn insert(&mut self, parent: u32, name: &[u8], place: Place) -> Result<u32, String> {
        let number = self.number()?;
        let refusal =
            || "makes the names of the image longer than the limit \"names\" of sampan.toml(5)".to_owned();
        let length = u16::try_from(name.len()).map_err(|_| refusal())?;
        let position = u32::try_from(self.texts.len()).map_err(|_| refusal())?;
        if (self.texts.len() + name.len()) as u64 > self.texts_max {
            return Err(refusal());
        }
        self.texts.extend_from_slice(&length.to_le_bytes());
        self.texts.extend_from_slice(name);
        self.names.push(Name { text: position, parent, place });
        let hash = self.hash(parent, name);
        let Self { table, names, texts, hasher, .. } = self;
        let rehash = |number: &u32| {
            let name = names[*number as usize];
            hasher.hash_one((name.parent, text(texts, name.text)))
        };
        table.insert_unique(hash, number, rehash);
        Ok(number)
    }

    /// The number of the next name.
    fn number(&self) -> Result<u32, String> {
        u32::try_from(self.names.len()).map_err(|_| "is one more name than a tree can have".to_owned())
    }

    fn find<'n>(&self, mut names: impl Iterator<Item = &'n [u8]>) -> Option<u32> {
        names.try_fold(self.root, |directory, name| self.child(directory, name))
    }

    fn child(&self, parent: u32, name: &[u8]) -> Option<u32> {
        let equal = |number: &u32| is(&self.names, &self.texts, *number, parent, name);
        self.table.find(self.hash(parent, name), equal).copied()
    }

    fn place(&self, number: u32) -> Place {
        self.names[number as usize].place
    }

    fn hash(&self, parent: u32, name: &[u8]) -> u64 {
        self.hasher.hash_one((parent, name))
    }
}

fn is(names: &[Name], texts: &[u8], number: u32, parent: u32, name: &[u8]) -> bool {
    let found = names[number as usize];
    found.parent == parent && text(texts, found.text) == name
}

fn text(texts: &[u8], position: u32) -> &[u8] {
    let begin = position as usize + 2;
    let length = u16::from_le_bytes([texts[begin - 2], texts[begin - 1]]);
    &texts[begin..begin + usize::from(length)]
}
