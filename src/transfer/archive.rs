//! The index of an outer archive: where each file lies in it. Links in it are names in this index, no more.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};

use super::TransferError;
use crate::image::ImageError;
use crate::image::entry::EntryPath;
use crate::image::limits::Limits;
use crate::image::tar::{Input, Reader, Type};

/// Where a file's bytes lie.
#[derive(Debug, Clone, Copy)]
pub(super) struct Extent {
    pub(super) offset: u64,
    pub(super) size: u64,
}

#[derive(Debug)]
enum Item {
    File(Extent),
    Symlink(Vec<u8>),
    HardLink(EntryPath),
}

/// Files of an archive by name.
#[derive(Debug, Default)]
pub(super) struct ArchiveIndex(BTreeMap<EntryPath, Item>);

/// Links after each other that are followed within the archive: old `docker save` has one.
const HOPS_MAX: usize = 8;

impl ArchiveIndex {
    pub(super) fn read(file: &File, limits: &Limits) -> Result<Self, TransferError> {
        let length = file.metadata().map(|metadata| metadata.len());
        let length = length.map_err(|source| TransferError::Read { what: "archive".to_owned(), source })?;
        let mut reader = Reader::new(Seekable { file, length }, limits.clone());
        let mut index = Self::default();
        while let Some(header) = reader.next().map_err(TransferError::Archive)? {
            let refuse = |reason: &str| TransferError::Archive(ImageError::entry(&header.name, reason));
            let path = EntryPath::parse(&header.name, limits).map_err(refuse)?;
            let item = match header.kind {
                Type::File => Item::File(Extent { offset: reader.offset(), size: header.size }),
                Type::Symlink => Item::Symlink(header.link),
                Type::HardLink => Item::HardLink(EntryPath::parse(&header.link, limits).map_err(refuse)?),
                Type::Directory => continue,
                Type::Device | Type::Fifo => return Err(refuse("is not a file, a directory or a link")),
            };
            index.0.insert(path, item);
            if index.0.len() as u64 > limits.entries {
                return Err(refuse("is one more than the limit \"entries\" of sampan.toml(5)"));
            }
        }
        index.check_parents()?;
        Ok(index)
    }

    /// The extent of a file, through links that stay in the archive.
    pub(super) fn find(&self, name: &EntryPath) -> Option<Extent> {
        let mut path = name.clone();
        for _ in 0..HOPS_MAX {
            path = match self.0.get(&path)? {
                Item::File(extent) => return Some(*extent),
                Item::HardLink(target) => target.clone(),
                Item::Symlink(target) => beside(&path, target)?,
            };
        }
        None
    }

    /// Whoever extracted an entry below a link would write through it: no honest archive has one.
    fn check_parents(&self) -> Result<(), TransferError> {
        for path in self.0.keys() {
            let mut parent = path.split().map(|(parent, _)| parent);
            while let Some(directory) = parent {
                if self.0.contains_key(&directory) {
                    let reason = "lies below an entry that is not a directory";
                    return Err(TransferError::Archive(ImageError::entry(path.as_bytes(), reason)));
                }
                parent = directory.split().map(|(parent, _)| parent);
            }
        }
        Ok(())
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

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> EntryPath {
        EntryPath::parse(text.as_bytes(), &Limits::default()).unwrap()
    }

    #[test]
    fn links_are_names_in_the_archive() {
        let extent = Extent { offset: 512, size: 3 };
        let index = ArchiveIndex(BTreeMap::from([
            (path("a/layer.tar"), Item::File(extent)),
            (path("b/layer.tar"), Item::Symlink(b"../a/layer.tar".to_vec())),
            (path("c"), Item::HardLink(path("b/layer.tar"))),
            (path("out"), Item::Symlink(b"../../etc/shadow".to_vec())),
            (path("root"), Item::Symlink(b"/etc/shadow".to_vec())),
            (path("loop"), Item::Symlink(b"loop".to_vec())),
        ]));
        assert_eq!(index.find(&path("c")).unwrap().offset, 512);
        for name in ["out", "root", "loop", "none"] {
            assert!(index.find(&path(name)).is_none(), "{name}");
        }
    }
}
