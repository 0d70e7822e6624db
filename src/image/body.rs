//! The content of a regular file as it comes: bytes, and the holes between them.

use std::io::{self, Read};

use super::tar::Map;

/// A file's content, read once.
pub struct Body<'a> {
    stored: &'a mut dyn Read,
    size: u64,
    position: u64,
    map: Option<&'a Map>,
    /// The part of the map that is next or being read.
    part: usize,
}

/// What comes next of a content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Piece {
    /// So many bytes, now in the buffer.
    Bytes(usize),
    /// So many zeros that no file system needs to store.
    Hole(u64),
    /// Nothing.
    End,
}

impl<'a> Body<'a> {
    /// The content of `size` bytes of which `stored` gives those that `map` names, or all.
    pub fn new(stored: &'a mut dyn Read, size: u64, map: Option<&'a Map>) -> Self {
        Self { stored, size, position: 0, map, part: 0 }
    }

    /// Bytes of the whole content, holes included.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Whether there may be holes.
    pub fn is_sparse(&self) -> bool {
        self.map.is_some()
    }

    /// The next piece.
    ///
    /// # Errors
    /// When the archive cannot be read, or ends early.
    pub fn next(&mut self, buffer: &mut [u8]) -> io::Result<Piece> {
        let end = self.end_of_part();
        if self.position == self.size {
            return Ok(Piece::End);
        }
        let Some((start, end)) = end else { return Ok(self.hole(self.size)) };
        if self.position < start {
            return Ok(self.hole(start));
        }
        let room = usize::try_from(end - self.position).unwrap_or(usize::MAX).min(buffer.len());
        match self.stored.read(&mut buffer[..room])? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            count => {
                self.position += count as u64;
                Ok(Piece::Bytes(count))
            }
        }
    }

    /// Where the part begins and ends that is being read or comes next; `None` when none does.
    fn end_of_part(&mut self) -> Option<(u64, u64)> {
        let Some(map) = self.map else { return Some((0, self.size)) };
        loop {
            let part = map.parts().get(self.part)?;
            let end = part.offset + part.length;
            if end > self.position {
                return Some((part.offset, end));
            }
            self.part += 1;
        }
    }

    fn hole(&mut self, end: u64) -> Piece {
        let length = end - self.position;
        self.position = end;
        Piece::Hole(length)
    }
}
