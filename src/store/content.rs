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

    /// Whether a file has another content.
    pub(super) fn differs_from(&self, found: &File) -> io::Result<bool> {
        Ok(found.metadata()?.len() != self.size()? || self.differences(found, |_, _| Ok(false))?)
    }

    /// Gives a file this content: what differs is written, what is too much is cut off at last.
    pub(super) fn mend(&self, target: &File) -> io::Result<()> {
        self.differences(target, |bytes, offset| target.write_all_at(bytes, offset).map(|()| true))?;
        target.set_len(self.size()?)
    }

    /// Tells each part in which a file differs, as it should be and where, for as long as `tell` wants to know.
    /// Whether there was any.
    fn differences(
        &self,
        found: &File,
        mut tell: impl FnMut(&[u8], u64) -> io::Result<bool>,
    ) -> io::Result<bool> {
        let (mut own, mut other) = (vec![0; BUFFER], vec![0; BUFFER]);
        let (mut offset, mut differ) = (0, false);
        loop {
            let count = self.read_at(&mut own, offset)?;
            if count == 0 {
                return Ok(differ);
            }
            let there = read_full(found, &mut other[..count], offset)?;
            if own[..count] != other[..there] {
                differ = true;
                if !tell(&own[..count], offset)? {
                    return Ok(true);
                }
            }
            offset += count as u64;
        }
    }

    fn size(&self) -> io::Result<u64> {
        match self {
            Self::Memory(bytes) => Ok(bytes.len() as u64),
            Self::Unnamed(file) => Ok(file.metadata()?.len()),
        }
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        match self {
            Self::Memory(bytes) => {
                let start = usize::try_from(offset).map_err(io::Error::other)?;
                let rest = bytes.get(start..).unwrap_or_default();
                let count = rest.len().min(buffer.len());
                buffer[..count].copy_from_slice(&rest[..count]);
                Ok(count)
            }
            Self::Unnamed(file) => read_full(file, buffer, offset),
        }
    }
}

/// Fills a buffer from a place of a file, as far as that reaches.
fn read_full(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read_at(&mut buffer[filled..], offset + filled as u64)? {
            0 => break,
            count => filled += count,
        }
    }
    Ok(filled)
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
    #[test]
    fn a_file_is_mended_where_it_differs() {
        let whole: Vec<u8> = (0..300_000u32).map(|number| number.to_le_bytes()[1]).collect();
        let mut spooled = tempfile::tempfile().unwrap();
        spooled.write_all(&whole).unwrap();
        for content in [Content::Memory(whole.clone()), Content::Unnamed(spooled)] {
            let mut rotten = whole.clone();
            rotten[200_000] ^= 1;
            for damaged in [whole[..70_000].to_vec(), rotten, [&whole[..], b"more"].concat(), Vec::new()] {
                let file = tempfile::tempfile().unwrap();
                file.write_all_at(&damaged, 0).unwrap();
                assert!(content.differs_from(&file).unwrap());
                content.mend(&file).unwrap();
                assert!(!content.differs_from(&file).unwrap());
                assert_eq!(file.metadata().unwrap().len(), whole.len() as u64);
            }
        }
    }
}
