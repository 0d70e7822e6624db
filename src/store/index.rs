//! Index files: a first line with the hash of the rest, then one JSON record a line.

use serde::{Serialize, de::DeserializeOwned};
use std::path::Path;

use super::error::{Context, StoreError};
use crate::image::digest::Digest;

const MAGIC: &str = "sampan-index-1 ";

/// The bytes of an index file.
///
/// # Errors
/// When an entry cannot be written as JSON.
pub fn write<T: Serialize>(entries: &[T]) -> Result<Vec<u8>, serde_json::Error> {
    let mut body = Vec::with_capacity(entries.len() * 256);
    for entry in entries {
        serde_json::to_writer(&mut body, entry)?;
        body.push(b'\n');
    }
    Ok([format!("{MAGIC}{}\n", Digest::of(&body)).as_bytes(), &body].concat())
}

/// Reads an index file.
///
/// # Errors
/// When it cannot be read, or is not what was written.
pub(super) fn read<T: DeserializeOwned>(path: &Path) -> Result<Vec<T>, StoreError> {
    let bytes = std::fs::read(path).context("read", path)?;
    parse(&bytes).map_err(|reason| StoreError::Damaged { path: path.to_owned(), reason })
}

/// Reads the bytes of an index file.
///
/// # Errors
/// A sentence about what is wrong with them.
pub fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<Vec<T>, String> {
    let end = bytes.iter().position(|byte| *byte == b'\n').ok_or("it has no first line")?;
    let (first, body) = (&bytes[..end], &bytes[end + 1..]);
    if first != format!("{MAGIC}{}", Digest::of(body)).as_bytes() {
        return Err("its content is not what its first line says".to_owned());
    }
    body.split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_slice(line).map_err(|error| error.to_string()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_byte_is_noticed() {
        let bytes = write(&[1, 2, 3]).unwrap();
        assert_eq!(parse::<u32>(&bytes).unwrap(), [1, 2, 3]);
        for position in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[position] ^= 1;
            assert!(parse::<u32>(&changed).is_err(), "{position}");
        }
    }
}
