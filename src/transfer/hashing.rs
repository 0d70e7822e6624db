//! A writer that hashes and counts what goes through it.

use std::io::{self, Write};

use crate::image::digest::{Algorithm, Digest, Hasher};

/// Writes on to another writer.
#[derive(Debug)]
pub(super) struct Hashing<W> {
    output: W,
    hasher: Hasher,
    size: u64,
}

impl<W> Hashing<W> {
    pub(super) fn new(output: W) -> Self {
        Self { output, hasher: Hasher::new(Algorithm::Sha256), size: 0 }
    }

    /// The other writer, and digest and number of the bytes that it got.
    pub(super) fn finish(self) -> (W, Digest, u64) {
        (self.output, self.hasher.finish(), self.size)
    }
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.output.write(bytes)?;
        self.hasher.update(&bytes[..count]);
        self.size += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.output.flush()
    }
}
