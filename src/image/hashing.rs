//! A reader or writer that hashes and counts what goes through it.

use std::io::{self, Read, Write};

use super::digest::{Algorithm, Digest, Hasher};

/// Reads from or writes to another one.
#[derive(Debug)]
pub struct Hashing<T> {
    inner: T,
    hasher: Hasher,
    size: u64,
}

impl<T> Hashing<T> {
    /// Begins with nothing hashed.
    pub fn new(algorithm: Algorithm, inner: T) -> Self {
        Self { inner, hasher: Hasher::new(algorithm), size: 0 }
    }

    /// The other one, and digest and number of the bytes that went through.
    pub fn finish(self) -> (T, Digest, u64) {
        (self.inner, self.hasher.finish(), self.size)
    }

    fn passed(&mut self, bytes: &[u8]) {
        self.hasher.update(bytes);
        self.size += bytes.len() as u64;
    }
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.passed(&buffer[..count]);
        Ok(count)
    }
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.inner.write(bytes)?;
        self.passed(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}
