//! Parts of a blob as they come behind each other, read by their places in it.

use std::io::{self, Read};
use std::ops::Range;

use crate::transfer::request::Parts;

/// The bytes of some parts of a blob.
pub(super) struct PartStream {
    bytes: Box<dyn Read + Send>,
    parts: std::vec::IntoIter<Range<u64>>,
    /// What is left of the part that comes.
    current: Range<u64>,
}

impl PartStream {
    pub(super) fn new(bytes: Box<dyn Read + Send>, parts: &Parts) -> Self {
        Self { bytes, parts: parts.ranges().to_vec().into_iter(), current: 0..0 }
    }

    /// Passes over everything before `offset`, which lies in a part.
    pub(super) fn go_to(&mut self, offset: u64) -> io::Result<()> {
        while !self.current.contains(&offset) {
            self.pass(self.current.end)?;
            self.current = self.parts.next().ok_or(io::ErrorKind::UnexpectedEof)?;
        }
        self.pass(offset)
    }

    fn pass(&mut self, offset: u64) -> io::Result<()> {
        let count = offset.saturating_sub(self.current.start);
        match io::copy(&mut self.by_ref().take(count), &mut io::sink())? == count {
            true => Ok(()),
            false => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
}

/// Up to the end of the current part.
impl Read for PartStream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.current.end - self.current.start;
        let room = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
        let count = self.bytes.read(&mut buffer[..room])?;
        self.current.start += count as u64;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_found_by_their_places() {
        let parts = Parts::new(vec![10..14, 20..22]).unwrap();
        let mut stream = PartStream::new(Box::new(&b"abcdxy"[..]), &parts);
        let mut read = |offset: u64, length: usize| {
            let mut found = vec![0; length];
            stream.go_to(offset).and_then(|()| stream.read_exact(&mut found)).map(|()| found)
        };
        assert_eq!(read(11, 2).unwrap(), b"bc");
        assert_eq!(read(21, 1).unwrap(), b"y");
        assert!(read(12, 1).is_err(), "it goes forward only");
        assert!(read(30, 1).is_err());
    }
}
