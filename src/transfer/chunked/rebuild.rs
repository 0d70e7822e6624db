//! The plain archive, put together from its tar-split and the contents of its files.

use std::fs::File;
use std::io::{self, BufReader, Cursor, Read, Take};

use super::WINDOW_LOG_MAX;
use super::plan::{Content, Packed};
use super::split::{Segment, Split};
use super::stream::PartStream;
use crate::image::digest::ContentHasher;
use crate::store::Store;

const BUFFER: usize = 64 << 10;

/// Reads as the archive that was packed, or fails; after a failure nothing comes any more.
pub(super) struct Rebuilt {
    split: Split,
    store: Store,
    contents: std::vec::IntoIter<Content>,
    piece: Piece,
    /// Not here while a content is unpacked from it.
    packed: Option<PartStream>,
}

/// What is being read.
enum Piece {
    Bytes(Cursor<Vec<u8>>),
    Known(Known),
    Packed(Box<Unpacking>),
    Failed,
}

impl Rebuilt {
    /// For a packed tar-split and the contents of the files that it names, in their order.
    pub(super) fn new(
        split: Vec<u8>,
        store: Store,
        contents: Vec<Content>,
        packed: PartStream,
    ) -> io::Result<Self> {
        let (contents, piece) = (contents.into_iter(), Piece::Bytes(Cursor::default()));
        Ok(Self { split: Split::new(split)?, store, contents, piece, packed: Some(packed) })
    }

    fn next(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let count = match &mut self.piece {
                Piece::Bytes(bytes) => bytes.read(buffer)?,
                Piece::Known(known) => known.read(buffer)?,
                Piece::Packed(unpacking) => unpacking.read(buffer)?,
                Piece::Failed => return Err(io::ErrorKind::UnexpectedEof.into()),
            };
            if count > 0 || !self.advance()? {
                return Ok(count);
            }
        }
    }

    /// Begins the next piece; without one, the archive is at its end.
    fn advance(&mut self) -> io::Result<bool> {
        let empty = Piece::Bytes(Cursor::default());
        if let Piece::Packed(unpacking) = std::mem::replace(&mut self.piece, empty) {
            self.packed = Some(unpacking.finish()?);
        }
        let disagree = || io::Error::other("the table of contents and the tar-split disagree");
        self.piece = match (self.split.next()?, self.contents.len()) {
            (None, 0) => return Ok(false),
            (None, _) => return Err(disagree()),
            (Some(Segment::Bytes(bytes)), _) => Piece::Bytes(Cursor::new(bytes)),
            (Some(Segment::Content(size)), _) => {
                let content = self.contents.next().filter(|content| content.size() == size);
                self.begin(content.ok_or_else(disagree)?)?
            }
        };
        Ok(true)
    }

    fn begin(&mut self, content: Content) -> io::Result<Piece> {
        Ok(match content {
            Content::Known(file) => {
                Piece::Known(Known { file: self.store.open_known(&file)?, left: file.size() })
            }
            Content::Packed(packed) => {
                let stream = self.packed.take().ok_or(io::ErrorKind::UnexpectedEof)?;
                Piece::Packed(Box::new(Unpacking::new(stream, &packed)?))
            }
        })
    }
}

impl Read for Rebuilt {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        let result = self.next(buffer);
        if result.is_err() {
            self.piece = Piece::Failed;
        }
        result
    }
}

/// A file of the store, which has to have its size.
struct Known {
    file: File,
    left: u64,
}

impl Read for Known {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let room = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        let count = self.file.read(&mut buffer[..room])?;
        if count == 0 && room > 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.left -= count as u64;
        Ok(count)
    }
}

/// A content that comes packed, and is checked at its end.
struct Unpacking {
    decoder: zstd::stream::read::Decoder<'static, BufReader<Take<PartStream>>>,
    left: u64,
    hasher: ContentHasher,
    packed: Packed,
}

impl Unpacking {
    fn new(mut stream: PartStream, packed: &Packed) -> io::Result<Self> {
        stream.go_to(packed.place.start)?;
        let frames = stream.take(packed.place.end - packed.place.start);
        let frames = BufReader::with_capacity(BUFFER, frames);
        let mut decoder = zstd::stream::read::Decoder::with_buffer(frames)?;
        decoder.window_log_max(WINDOW_LOG_MAX)?;
        let hasher = ContentHasher::default();
        Ok(Self { decoder, left: packed.size, hasher, packed: packed.clone() })
    }

    /// Gives the stream back, when the content is what it should be.
    fn finish(mut self) -> io::Result<PartStream> {
        if self.decoder.read(&mut [0])? > 0 {
            return Err(io::Error::other("a content is larger than the table of contents says"));
        }
        if self.hasher.finish() != self.packed.hash {
            return Err(io::Error::other("a content is not what the table of contents says"));
        }
        Ok(self.decoder.finish().into_inner().into_inner())
    }
}

impl Read for Unpacking {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let room = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        let count = self.decoder.read(&mut buffer[..room])?;
        if count == 0 && room > 0 {
            return Err(io::Error::other("a content is smaller than the table of contents says"));
        }
        self.left -= count as u64;
        self.hasher.update(&buffer[..count]);
        Ok(count)
    }
}
