//! A strict reader of tar streams: ustar, PAX and GNU long names, by POSIX.1-2017 pax(1) and GNU tar's manual.
//!
//! It reads header by header and hands out bodies; it writes nothing and follows nothing. Where parsers in use
//! disagree about what an archive holds, the archive is refused: a PAX size wins over the header's, PAX records
//! bind to the next real entry, and what has no content must not bring any.

mod header;
mod pax;
mod sparse;

use std::io::Read;

use super::ImageError;
use super::entry::{Attributes, Bytes, Mtime};
use super::limits::Limits;
use header::{BLOCK, Block};
use pax::Records;
use sparse::{Claim, MapReader, Parts};

pub use header::Type;
pub use sparse::{Map, Part};

/// One entry, with all its extension records applied.
#[derive(Debug, Clone)]
pub struct Header {
    /// The name as written.
    pub name: Vec<u8>,
    /// The target of a link, as written.
    pub link: Vec<u8>,
    /// What the entry is.
    pub kind: Type,
    /// Permission bits with set-id and sticky bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Bytes of the file, holes included.
    pub size: u64,
    /// Time of last modification.
    pub mtime: Mtime,
    /// Extended attributes as written, by their full names.
    pub xattrs: Attributes,
    /// Which parts of the file the body holds, when that is not all of it.
    pub sparse: Option<Map>,
}

impl Header {
    /// Bytes of the file that the body does not hold, and that are zero.
    pub fn holes(&self) -> u64 {
        self.sparse.as_ref().map_or(0, |map| self.size.saturating_sub(map.stored()))
    }
}

/// A stream that can leave bytes out.
pub trait Input: Read {
    /// Goes `count` bytes on.
    ///
    /// # Errors
    /// When the stream ends before, or cannot be read.
    fn skip(&mut self, count: u64) -> std::io::Result<()>
    where
        Self: Sized,
    {
        let skipped = std::io::copy(&mut self.by_ref().take(count), &mut std::io::sink())?;
        if skipped < count { Err(std::io::ErrorKind::UnexpectedEof.into()) } else { Ok(()) }
    }
}

impl Input for &[u8] {}

/// Reads the entries of a stream, one after the other.
#[derive(Debug)]
pub struct Reader<R> {
    input: R,
    limits: Limits,
    offset: u64,
    body: u64,
    padding: u64,
}

impl<R: Input> Reader<R> {
    /// Starts at the first header.
    pub fn new(input: R, limits: Limits) -> Self {
        Self { input, limits, offset: 0, body: 0, padding: 0 }
    }

    /// Where the stream stands: after [`Reader::next`], at the first byte of the body.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// The stream, where it stands.
    pub fn into_inner(self) -> R {
        self.input
    }

    /// The next entry; `None` at the end of the archive.
    ///
    /// # Errors
    /// When the stream is broken or breaks a rule.
    #[allow(clippy::should_implement_trait, reason = "an entry's body is read before the next is asked for")]
    pub fn next(&mut self) -> Result<Option<Header>, ImageError> {
        let mut extensions = Extensions::default();
        loop {
            self.skip_rest()?;
            let Some(block) = self.read_header()? else {
                if extensions.is_empty() {
                    return Ok(None);
                }
                return Err(self.broken("the archive ends after an extension header"));
            };
            let size = block.size().map_err(|reason| self.broken(reason))?;
            match block.typeflag() {
                b'x' => set_once(&mut extensions.records, self.read_records(size)?),
                b'g' => match self.read_records(size)?.is_only_comment() {
                    true => Ok(()),
                    false => Err("a global PAX header changes other entries: readers disagree about it"),
                },
                b'L' => set_once(&mut extensions.name, self.read_long(size)?),
                b'K' => set_once(&mut extensions.link, self.read_long(size)?),
                _ => return self.finish(&block, size, extensions).map(Some),
            }
            .map_err(|reason| self.broken(reason))?;
        }
    }

    /// Applies the extensions that preceded a real header.
    fn finish(&mut self, block: &Block, size: u64, extensions: Extensions) -> Result<Header, ImageError> {
        let header = block.entry(size, extensions.name, extensions.link);
        let header = header.and_then(|mut header| match extensions.records {
            Some(records) => {
                // A name that was too long for the block is cut off there, perhaps behind a slash.
                if block.is_of_file() && records.name_it() {
                    header.kind = Type::File;
                }
                records.apply(header, &self.limits)
            }
            None => Ok((header, None)),
        });
        let (mut header, mut claim) = header.map_err(|reason| self.broken(reason))?;
        if block.typeflag() == b'S' {
            claim = match claim {
                None => Some(self.read_old_map(block)?),
                Some(_) => return Err(self.broken("a sparse file has two maps")),
            };
        }
        if (header.size > 0 || claim.is_some()) && !matches!(header.kind, Type::File) {
            let reason = "has a body, which only a regular file can have";
            return Err(ImageError::entry(&header.name, reason));
        }
        self.body = header.size;
        self.padding = (BLOCK as u64 - header.size % BLOCK as u64) % BLOCK as u64;
        if let Some(claim) = claim {
            header.size = claim.size;
            header.sparse = Some(self.read_map(claim, &header.name)?);
        }
        Ok(header)
    }

    /// The map of an old sparse file; its blocks after the header do not count as body.
    fn read_old_map(&mut self, block: &Block) -> Result<Claim, ImageError> {
        let mut parts = Parts::default();
        let (size, mut more) = parts.push_header(&block.0).map_err(|reason| self.broken(reason))?;
        while more {
            let block = self.read_block()?.ok_or_else(|| self.broken("the archive is truncated"))?;
            more = parts.push_block(&block).map_err(|reason| self.broken(reason))?;
        }
        Ok(Claim { size, parts: Some(parts.finish()) })
    }

    /// The checked map, which may be the first part of the body.
    fn read_map(&mut self, claim: Claim, name: &[u8]) -> Result<Map, ImageError> {
        let mut reader = MapReader::default();
        let mut parts = claim.parts;
        while parts.is_none() {
            self.body = self
                .body
                .checked_sub(BLOCK as u64)
                .ok_or_else(|| ImageError::entry(name, "the map of a sparse file exceeds its body"))?;
            let block = self.read_block()?.ok_or_else(|| self.broken("the archive is truncated"))?;
            parts = reader.push_block(&block).map_err(|reason| ImageError::entry(name, reason))?;
        }
        Map::check(parts.unwrap_or_default(), claim.size, self.body)
            .map_err(|reason| ImageError::entry(name, reason))
    }

    fn skip_rest(&mut self) -> Result<(), ImageError> {
        let rest = self.body.checked_add(self.padding).ok_or_else(|| self.broken("an entry is too large"))?;
        self.input.skip(rest).map_err(|error| self.read_error(error))?;
        self.offset += rest;
        (self.body, self.padding) = (0, 0);
        Ok(())
    }

    /// The next header block; `None` at two zero blocks, or where the stream ends between entries.
    fn read_header(&mut self) -> Result<Option<Block>, ImageError> {
        let Some(block) = self.read_block()? else { return Ok(None) };
        if block.iter().any(|byte| *byte != 0) {
            return Block::check(block).map(Some).map_err(|reason| self.broken(reason));
        }
        match self.read_block()? {
            Some(second) if second.iter().any(|byte| *byte != 0) => {
                Err(self.broken("a header follows a lone zero block"))
            }
            _ => Ok(None),
        }
    }

    fn read_block(&mut self) -> Result<Option<[u8; BLOCK]>, ImageError> {
        let mut block = [0; BLOCK];
        let mut filled = 0;
        while filled < BLOCK {
            match self.input.read(&mut block[filled..]) {
                Ok(0) if filled == 0 => return Ok(None),
                Ok(0) => return Err(self.broken("the archive is truncated")),
                Ok(count) => filled += count,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.read_error(error)),
            }
        }
        self.offset += BLOCK as u64;
        Ok(Some(block))
    }

    fn read_records(&mut self, size: u64) -> Result<Records, ImageError> {
        let bytes = self.read_extension(size)?;
        Records::parse(&bytes).map_err(|reason| self.broken(reason))
    }

    /// The content of a GNU long name, which a NUL ends.
    fn read_long(&mut self, size: u64) -> Result<Vec<u8>, ImageError> {
        let mut bytes = self.read_extension(size)?;
        if let Some(end) = bytes.iter().position(|byte| *byte == 0) {
            bytes.truncate(end);
        }
        Ok(bytes)
    }

    fn read_extension(&mut self, size: u64) -> Result<Vec<u8>, ImageError> {
        if size > self.limits.extension {
            return Err(
                self.broken("an extension header is larger than the limit \"extension\" of sampan.toml(5)")
            );
        }
        let padding = (BLOCK as u64 - size % BLOCK as u64) % BLOCK as u64;
        let mut bytes = Vec::new();
        let read = self.input.by_ref().take(size + padding).read_to_end(&mut bytes);
        read.map_err(|error| self.read_error(error))?;
        if (bytes.len() as u64) < size + padding {
            return Err(self.broken("the archive is truncated"));
        }
        self.offset += size + padding;
        bytes.truncate(usize::try_from(size).unwrap_or(usize::MAX));
        Ok(bytes)
    }

    fn broken(&self, reason: impl Into<String>) -> ImageError {
        ImageError::Archive { offset: self.offset, reason: reason.into() }
    }

    fn read_error(&self, error: std::io::Error) -> ImageError {
        match error.kind() {
            std::io::ErrorKind::UnexpectedEof => self.broken("the archive is truncated"),
            _ => ImageError::Read { offset: self.offset, source: error },
        }
    }
}

impl<R: Input> Read for Reader<R> {
    /// Reads from the body of the current entry; 0 at its end.
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let room = usize::try_from(self.body).unwrap_or(usize::MAX).min(buffer.len());
        if room == 0 {
            return Ok(0);
        }
        let count = self.input.read(&mut buffer[..room])?;
        if count == 0 {
            return Err(std::io::Error::new(std::io::ErrorKind::UnexpectedEof, "the archive is truncated"));
        }
        self.body -= count as u64;
        self.offset += count as u64;
        Ok(count)
    }
}

/// Whether the first block of a stream can be that of an archive with something in it.
///
/// # Errors
/// With what is wrong.
pub fn check_beginning(block: &[u8]) -> Result<(), &'static str> {
    match <[u8; BLOCK]>::try_from(block) {
        Err(_) if block.is_empty() => Err("is empty"),
        Err(_) => Err("is too short to be an archive"),
        Ok(block) if block == [0; BLOCK] => Err("begins with zeros: there is nothing in it"),
        Ok(block) => Block::check(block)
            .map(drop)
            .map_err(|_| "is no tar archive, and none that is packed with gzip, zstd, xz or bzip2"),
    }
}

/// What stands before a real header and belongs to it.
#[derive(Debug, Default)]
struct Extensions {
    records: Option<Records>,
    name: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
}

impl Extensions {
    fn is_empty(&self) -> bool {
        self.records.is_none() && self.name.is_none() && self.link.is_none()
    }
}

fn set_once<T>(slot: &mut Option<T>, value: T) -> Result<(), &'static str> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err("two extension headers of one kind precede an entry"),
    }
}

/// Names the attribute that a PAX record holds, if it is one. Access control lists as text name users, whose ids the
/// archive does not tell: they are attributes of a name that no file keeps, so that it is said that they are left out.
fn attribute(key: &str, value: &[u8]) -> Option<(String, Bytes)> {
    let is_acl = key.starts_with("SCHILY.acl.") && !value.is_empty();
    let name = match key.strip_prefix("SCHILY.xattr.") {
        // A key ends at the first "=", so GNU tar writes that one, and its own escape, in hexadecimal digits.
        Some(name) => name.replace("%3D", "=").replace("%25", "%"),
        None => is_acl.then(|| key.to_owned())?,
    };
    Some((name, Bytes(value.to_vec())))
}

#[cfg(test)]
mod tests;
