//! A file's content on its way into the store, which is hashed as it comes and keeps its holes.

use rustix::fs::SeekFrom;
use rustix::io::Errno;
use std::error::Error;
use std::fs::File;
use std::io::{self, Seek as _, Write as _};
use std::os::unix::fs::FileExt as _;

use super::error::StoreError;
use crate::image::body::{Body, Piece};
use crate::image::digest::{ContentHash, ContentHasher};

/// Files up to this size are hashed in memory, so that what the store has already is never written.
const MEMORY_MAX: u64 = 1 << 20;
const BUFFER: usize = 128 << 10;

/// A file's content, whole.
#[derive(Debug)]
pub(super) enum Content {
    /// A small file.
    Memory(Vec<u8>),
    /// A large or sparse one, in a file without a name.
    Unnamed(File),
}

impl Content {
    /// Takes a content and its hash. `spool` makes a file without a name on the store's file system.
    pub(super) fn receive(
        mut body: Body<'_>,
        spool: impl FnOnce() -> Result<File, StoreError>,
    ) -> Result<(Self, ContentHash), Box<dyn Error + Send + Sync>> {
        if body.size() > MEMORY_MAX || body.is_sparse() {
            let mut file = spool()?;
            let hash = copy_body(&mut body, &mut file)?;
            return Ok((Self::Unnamed(file), hash));
        }
        let mut bytes = vec![0; usize::try_from(body.size())?];
        let mut filled = 0;
        while let Piece::Bytes(count) = body.next(&mut bytes[filled..])? {
            filled += count;
        }
        let hash = ContentHash::of(&bytes);
        Ok((Self::Memory(bytes), hash))
    }

    /// Writes the content to an empty file.
    pub(super) fn write_to(&self, target: &mut File) -> io::Result<()> {
        match self {
            Self::Memory(bytes) => target.write_all(bytes),
            Self::Unnamed(source) => copy(source, target),
        }
    }
}

fn copy_body(body: &mut Body<'_>, file: &mut File) -> io::Result<ContentHash> {
    let mut hasher = ContentHasher::default();
    let mut buffer = vec![0; BUFFER];
    let mut offset = 0;
    loop {
        match body.next(&mut buffer)? {
            Piece::End => break,
            Piece::Bytes(count) => {
                hasher.update(&buffer[..count]);
                file.write_all_at(&buffer[..count], offset)?;
                offset += count as u64;
            }
            Piece::Hole(count) => {
                hasher.skip(count);
                offset += count;
            }
        }
    }
    if body.is_sparse() {
        file.set_len(offset)?;
    }
    Ok(hasher.finish())
}

/// Copies a file into an empty one, holes as holes.
pub(super) fn copy(source: &File, target: &mut File) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER];
    let size = source.metadata()?.len();
    let mut end = 0;
    while let Some(start) = seek(source, SeekFrom::Data(end))? {
        end = seek(source, SeekFrom::Hole(start))?.unwrap_or(size);
        let mut offset = start;
        while offset < end {
            let room = usize::try_from(end - offset).unwrap_or(BUFFER).min(BUFFER);
            let count = source.read_at(&mut buffer[..room], offset)?;
            if count == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            target.write_all_at(&buffer[..count], offset)?;
            offset += count as u64;
        }
    }
    target.set_len(size)?;
    target.rewind()
}

/// `None` behind the last data, lseek(2).
fn seek(file: &File, to: SeekFrom) -> io::Result<Option<u64>> {
    match rustix::fs::seek(file, to) {
        Err(Errno::NXIO) => Ok(None),
        result => Ok(Some(result?)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt as _;

    #[test]
    fn a_copy_keeps_holes() {
        let mut source = tempfile::tempfile().unwrap();
        source.write_all_at(b"begin", 0).unwrap();
        source.write_all_at(b"end", 8 << 20).unwrap();
        source.set_len(16 << 20).unwrap();
        let mut target = tempfile::tempfile().unwrap();
        copy(&source, &mut target).unwrap();
        let hash = |file: &mut File| super::super::objects::hash(file).unwrap();
        source.rewind().unwrap();
        assert_eq!(hash(&mut source), hash(&mut target));
        assert!(target.metadata().unwrap().blocks() < 1024, "the copy has no holes");
    }
}
