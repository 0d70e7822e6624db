//! Index files: a first line with the hash of the rest, then one JSON record a line.

use serde::{Serialize, de::DeserializeOwned};
use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Cursor, Read as _, Seek, SeekFrom, Write};
use std::path::Path;

use super::error::{Context, StoreError};
use crate::image::digest::{Algorithm, Digest};
use crate::image::hashing::Hashing;

const MAGIC: &str = "sampan-index-1 ";
/// Longer lines are none of ours: a path, a link's target and attributes all have limits.
const LINE_MAX: u64 = 64 << 20;

/// Writes an index file, record by record.
pub(super) fn write<T: Serialize>(path: &Path, entries: &[T]) -> Result<(), StoreError> {
    File::create(path).and_then(|file| write_to(file, entries)).context("write", path)
}

/// The bytes of an index file.
///
/// # Errors
/// When an entry cannot be written as JSON.
pub fn to_bytes<T: Serialize>(entries: &[T]) -> io::Result<Vec<u8>> {
    let mut file = Cursor::new(Vec::new());
    write_to(&mut file, entries)?;
    Ok(file.into_inner())
}

/// Reads the bytes of an index file.
///
/// # Errors
/// A sentence about what is wrong with them.
pub fn from_bytes<T: DeserializeOwned>(bytes: &[u8]) -> Result<Vec<T>, String> {
    parse(&mut Cursor::new(bytes)).unwrap_or_else(|error| Err(error.to_string()))
}

fn write_to<T: Serialize>(file: impl Write + Seek, entries: &[T]) -> io::Result<()> {
    let mut output = BufWriter::with_capacity(64 << 10, file);
    // Its place is taken now, its hash is known at the end.
    output.write_all(first_line(&Digest::of(b"")).as_bytes())?;
    let mut output = Hashing::new(Algorithm::Sha256, output);
    for entry in entries {
        serde_json::to_writer(&mut output, entry)?;
        output.write_all(b"\n")?;
    }
    let (mut output, digest, _) = output.finish();
    output.seek(SeekFrom::Start(0))?;
    output.write_all(first_line(&digest).as_bytes())?;
    output.flush()
}

/// Reads an index file.
///
/// # Errors
/// When it cannot be read, or is not what was written.
pub(super) fn read<T: DeserializeOwned>(path: &Path) -> Result<Vec<T>, StoreError> {
    let file = File::open(path).context("read", path)?;
    let parsed = parse(&mut BufReader::with_capacity(64 << 10, file)).context("read", path)?;
    parsed.map_err(|reason| StoreError::Damaged { path: path.to_owned(), reason })
}

/// Whether an index file is there and what was written; what it lists is not looked at.
pub(super) fn is_intact(path: &Path) -> bool {
    File::open(path).and_then(|file| check(&mut BufReader::new(file))).is_ok_and(|checked| checked.is_ok())
}

/// Reads what should be the bytes of an index file; the inner error is a sentence about what is wrong with them.
fn parse<T: DeserializeOwned>(input: &mut (impl BufRead + Seek)) -> io::Result<Result<Vec<T>, String>> {
    if let Err(reason) = check(input)? {
        return Ok(Err(reason));
    }
    let mut entries = Vec::new();
    let mut line = Vec::new();
    while input.take(LINE_MAX).read_until(b'\n', &mut line)? > 0 {
        match serde_json::from_slice(&line) {
            Ok(entry) => entries.push(entry),
            Err(error) => return Ok(Err(error.to_string())),
        }
        line.clear();
    }
    Ok(Ok(entries))
}

/// Reads all, and goes back to the second line when the first has the hash of what follows it.
fn check(input: &mut (impl BufRead + Seek)) -> io::Result<Result<(), String>> {
    let mut first = Vec::new();
    input.take(LINE_MAX).read_until(b'\n', &mut first)?;
    let mut rest = Hashing::new(Algorithm::Sha256, io::sink());
    io::copy(input, &mut rest)?;
    let (_, digest, _) = rest.finish();
    if first != first_line(&digest).as_bytes() {
        return Ok(Err("its content is not what its first line says".to_owned()));
    }
    input.seek(SeekFrom::Start(first.len() as u64))?;
    Ok(Ok(()))
}

fn first_line(digest: &Digest) -> String {
    format!("{MAGIC}{digest}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_byte_is_noticed() {
        let mut file = Cursor::new(Vec::new());
        write_to(&mut file, &[1, 2, 3]).unwrap();
        let bytes = file.into_inner();
        let parse = |bytes: &[u8]| parse::<u32>(&mut Cursor::new(bytes)).unwrap();
        assert_eq!(parse(&bytes).unwrap(), [1, 2, 3]);
        for position in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[position] ^= 1;
            assert!(parse(&changed).is_err(), "{position}");
        }
    }
}
