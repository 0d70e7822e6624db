//! An outer archive: where each file lies in it. It is never extracted; links in it are names in this index, no
//! more.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt as _;

use super::TransferError;
use super::source::{Opened, read_error};
use crate::image::ImageError;
use crate::image::entry::EntryPath;
use crate::image::limits::Limits;
use crate::image::tar::{Header, Input, Reader, Type};

/// An archive and its index.
#[derive(Debug)]
pub(super) struct Archive {
    file: File,
    index: ArchiveIndex,
}

impl Archive {
    /// Reads the index of a plain archive.
    pub(super) fn read(file: File, limits: &Limits) -> Result<Self, TransferError> {
        let index = ArchiveIndex::read(&file, limits)?;
        Ok(Self { file, index })
    }

    /// An archive that is used as a whole only.
    pub(super) fn whole(file: File) -> io::Result<Self> {
        let size = file.metadata()?.len();
        let root = Item::File(Extent { offset: 0, size });
        let items = BTreeMap::from([(EntryPath::default(), root)]);
        Ok(Self { file, index: ArchiveIndex { items, ..ArchiveIndex::default() } })
    }

    /// A file of the archive; the archive itself is its root.
    pub(super) fn open(&self, path: &EntryPath) -> io::Result<Option<Opened>> {
        let Some(extent) = self.index.find(path) else { return Ok(None) };
        let part = Part { file: self.file.try_clone()?, offset: extent.offset, rest: extent.size };
        Ok(Some((Box::new(part), extent.size)))
    }

    /// The file alone.
    pub(super) fn into_file(self) -> File {
        self.file
    }

    /// The names at the top, files and directories.
    pub(super) fn top(&self) -> &BTreeSet<Vec<u8>> {
        &self.index.top
    }

    /// Why this is no archive of images, whatever its names are.
    pub(super) fn flaw(&mut self) -> Option<ImageError> {
        self.index.flaw.take()
    }
}

/// Where a file's bytes lie.
#[derive(Debug, Clone, Copy)]
struct Extent {
    offset: u64,
    size: u64,
}

#[derive(Debug)]
enum Item {
    File(Extent),
    Symlink(Vec<u8>),
    HardLink(EntryPath),
}

impl Item {
    /// Bytes of the name that it leads to.
    fn bytes(&self) -> usize {
        match self {
            Self::File(_) => 0,
            Self::Symlink(target) => target.len(),
            Self::HardLink(target) => target.as_bytes().len(),
        }
    }
}

/// Files of an archive by name.
#[derive(Debug, Default)]
struct ArchiveIndex {
    items: BTreeMap<EntryPath, Item>,
    /// Names at the top, by which a tree is told.
    top: BTreeSet<Vec<u8>>,
    /// Bytes of the names and targets in `items`.
    bytes: usize,
    /// The first entry that an archive of images cannot have.
    flaw: Option<ImageError>,
}

/// Links after each other that are followed within the archive: old `docker save` has one.
const HOPS_MAX: usize = 8;
/// Names at the top that are remembered: more than any tree has.
const TOP_MAX: usize = 1000;
/// Files that may be asked for: blobs of more images than anyone saves at once.
const ITEMS_MAX: usize = 1 << 16;
/// Bytes of their names and of what links among them lead to: more than so many blobs have. An index is in memory, and
/// a tree's is of no use.
const BYTES_MAX: usize = 8 << 20;
/// Names in a path that may be asked for: `blobs/sha256/DIGITS`. What lies deeper belongs to a tree.
const DEPTH_MAX: usize = 3;

impl ArchiveIndex {
    fn read(file: &File, limits: &Limits) -> Result<Self, TransferError> {
        let length = file.metadata().map_err(|error| read_error("archive", error))?.len();
        let mut reader = Reader::new(Seekable { file, length }, limits.clone());
        let mut index = Self::default();
        let mut count = 0;
        while let Some(header) = reader.next().map_err(TransferError::Archive)? {
            count += 1;
            if count > limits.entries {
                let reason = "is one more than the limit \"entries\" of sampan.toml(5)";
                return Err(TransferError::Archive(ImageError::entry(&header.name, reason)));
            }
            index.add(header, reader.offset(), limits);
        }
        index.check_parents();
        Ok(index)
    }

    fn add(&mut self, header: Header, offset: u64, limits: &Limits) {
        let Header { name, link, kind, size, sparse, .. } = header;
        let result = EntryPath::parse(&name, limits).and_then(|path| {
            let item = match kind {
                Type::File if sparse.is_some() => {
                    return Err("is a sparse file, which an archive of images does not need");
                }
                Type::File => Item::File(Extent { offset, size }),
                Type::Symlink => Item::Symlink(link),
                Type::HardLink => Item::HardLink(EntryPath::parse(&link, limits)?),
                Type::Directory => return Ok((path, None)),
                Type::Device | Type::Fifo => return Err("is not a file, a directory or a link"),
            };
            Ok((path, Some(item)))
        });
        match result {
            Ok((path, item)) => self.keep(path, item),
            Err(reason) => self.set_flaw(&name, reason),
        }
    }

    fn keep(&mut self, path: EntryPath, item: Option<Item>) {
        if let Some(first) = path.names().next().filter(|_| self.top.len() < TOP_MAX) {
            self.top.insert(first.to_vec());
        }
        let Some(item) = item.filter(|_| path.names().count() <= DEPTH_MAX) else { return };
        let bytes = self.bytes.saturating_add(path.as_bytes().len()).saturating_add(item.bytes());
        if self.items.len() == ITEMS_MAX || bytes > BYTES_MAX {
            return self.set_flaw(path.as_bytes(), "is one file more than an archive of images may have");
        }
        self.bytes = bytes;
        self.items.insert(path, item);
    }

    fn set_flaw(&mut self, name: &[u8], reason: &str) {
        self.flaw.get_or_insert_with(|| ImageError::entry(name, reason));
    }

    /// The extent of a file, through links that stay in the archive.
    fn find(&self, name: &EntryPath) -> Option<Extent> {
        let mut path = name.clone();
        for _ in 0..HOPS_MAX {
            path = match self.items.get(&path)? {
                Item::File(extent) => return Some(*extent),
                Item::HardLink(target) => target.clone(),
                Item::Symlink(target) => beside(&path, target)?,
            };
        }
        None
    }

    /// Whoever extracted an entry below a link would write through it: no honest archive has one.
    fn check_parents(&mut self) {
        for path in self.items.keys() {
            let mut parent = path.split().map(|(parent, _)| parent);
            while let Some(directory) = parent {
                if self.items.contains_key(&directory) {
                    let reason = "lies below an entry that is not a directory";
                    self.flaw.get_or_insert_with(|| ImageError::entry(path.as_bytes(), reason));
                    return;
                }
                parent = directory.split().map(|(parent, _)| parent);
            }
        }
    }
}

/// The path that a link's target means, read from the link's directory; `None` outside of the archive.
fn beside(link: &EntryPath, target: &[u8]) -> Option<EntryPath> {
    if target.starts_with(b"/") {
        return None;
    }
    let (mut path, _) = link.split()?;
    for name in target.split(|byte| *byte == b'/') {
        path = match name {
            b"" | b"." => path,
            b".." => path.split()?.0,
            name => path.join(name),
        };
    }
    Some(path)
}

/// A file in which leaving bytes out is a seek.
struct Seekable<'a> {
    file: &'a File,
    length: u64,
}

impl Read for Seekable<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.file.read(buffer)
    }
}

impl Input for Seekable<'_> {
    fn skip(&mut self, count: u64) -> io::Result<()> {
        let position = self.file.stream_position()?;
        match position.checked_add(count) {
            Some(target) if target <= self.length => self.file.seek(SeekFrom::Start(target)).map(drop),
            _ => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
}

/// A part of a file, read by position: clones share no offset.
struct Part {
    file: File,
    offset: u64,
    rest: u64,
}

impl Read for Part {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let room = usize::try_from(self.rest).unwrap_or(usize::MAX).min(buffer.len());
        let count = self.file.read_at(&mut buffer[..room], self.offset)?;
        self.offset += count as u64;
        self.rest -= count as u64;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> EntryPath {
        EntryPath::parse(text.as_bytes(), &Limits::default()).unwrap()
    }

    #[test]
    fn links_are_names_in_the_archive() {
        let extent = Extent { offset: 512, size: 3 };
        let items = BTreeMap::from([
            (path("a/layer.tar"), Item::File(extent)),
            (path("b/layer.tar"), Item::Symlink(b"../a/layer.tar".to_vec())),
            (path("c"), Item::HardLink(path("b/layer.tar"))),
            (path("out"), Item::Symlink(b"../../etc/shadow".to_vec())),
            (path("root"), Item::Symlink(b"/etc/shadow".to_vec())),
            (path("loop"), Item::Symlink(b"loop".to_vec())),
        ]);
        let index = ArchiveIndex { items, ..ArchiveIndex::default() };
        assert_eq!(index.find(&path("c")).unwrap().offset, 512);
        for name in ["out", "root", "loop", "none"] {
            assert!(index.find(&path(name)).is_none(), "{name}");
        }
    }
}
