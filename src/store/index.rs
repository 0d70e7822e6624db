//! Index files: a first line with the hash of the rest, then records, each after its length.
//!
//! They are written and read record by record, so that a long one costs no more memory than a short one. A record
//! is in the form of `postcard`: numbers of variable length, nothing else between the bytes.

use serde::{Serialize, de::DeserializeOwned};
use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Cursor, Read as _, Seek, SeekFrom, Write};
use std::marker::PhantomData;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;

use super::error::{Context, StoreError};
use crate::image::digest::{Algorithm, Digest};
use crate::image::hashing::Hashing;

const MAGIC: &str = "sampan-index-2 ";
/// A longer first line is none of ours.
const FIRST_LINE_MAX: u64 = 256;
/// Bytes that are read at a time.
const WINDOW: usize = 16 << 10;
const LENGTH: u64 = 4;

/// An index that is written.
#[derive(Debug)]
pub(super) struct IndexWriter<W: Write + Seek> {
    output: Hashing<BufWriter<W>>,
    record: Vec<u8>,
}

impl<W: Write + Seek> IndexWriter<W> {
    fn new(output: W) -> io::Result<Self> {
        let mut output = BufWriter::with_capacity(64 << 10, output);
        // Its place is taken now, its hash is known at the end.
        output.write_all(first_line(&Digest::of(b"")).as_bytes())?;
        Ok(Self { output: Hashing::new(Algorithm::Sha256, output), record: Vec::new() })
    }

    /// Adds a record.
    pub(super) fn push(&mut self, record: &impl Serialize) -> io::Result<()> {
        self.record.clear();
        self.record =
            postcard::to_extend(record, std::mem::take(&mut self.record)).map_err(io::Error::other)?;
        let length = u32::try_from(self.record.len()).map_err(io::Error::other)?;
        self.output.write_all(&length.to_le_bytes())?;
        self.output.write_all(&self.record)
    }

    fn finish(self) -> io::Result<W> {
        let (mut output, digest, _) = self.output.finish();
        output.seek(SeekFrom::Start(0))?;
        output.write_all(first_line(&digest).as_bytes())?;
        output.into_inner().map_err(io::IntoInnerError::into_error)
    }
}

impl IndexWriter<File> {
    /// Begins an index file.
    pub(super) fn create(path: &Path) -> Result<Self, StoreError> {
        let file = File::options().read(true).write(true).create(true).truncate(true).open(path);
        file.and_then(Self::new).context("write", path)
    }

    /// Completes the file, and opens it for reading.
    pub(super) fn into_index<T>(self, path: &Path) -> Result<Index<T>, StoreError> {
        self.finish().and_then(|file| Index::new(file, path)).context("write", path)
    }
}

/// The bytes of an index file.
///
/// # Errors
/// When an entry cannot be written.
pub fn to_bytes<T: Serialize>(entries: &[T]) -> io::Result<Vec<u8>> {
    let mut writer = IndexWriter::new(Cursor::new(Vec::new()))?;
    entries.iter().try_for_each(|entry| writer.push(entry))?;
    Ok(writer.finish()?.into_inner())
}

/// Reads the bytes of an index file.
///
/// # Errors
/// A sentence about what is wrong with them.
pub fn from_bytes<T: DeserializeOwned>(bytes: &[u8]) -> Result<Vec<T>, String> {
    check(&mut Cursor::new(bytes)).map_err(|error| error.to_string())??;
    let first = bytes.iter().position(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    let (mut rest, mut entries) = (&bytes[first..], Vec::new());
    while !rest.is_empty() {
        let (length, tail) = rest.split_first_chunk().ok_or(TORN)?;
        let length = usize::try_from(u32::from_le_bytes(*length)).map_err(|error| error.to_string())?;
        let (record, tail) = tail.split_at_checked(length).ok_or(TORN)?;
        entries.push(decode(record)?);
        rest = tail;
    }
    Ok(entries)
}

/// An index file that is whole, or a run of neighbours in it.
#[derive(Debug)]
pub struct Index<T> {
    file: Arc<File>,
    path: Arc<Path>,
    begin: u64,
    end: u64,
    records: PhantomData<fn() -> T>,
}

impl<T> Clone for Index<T> {
    fn clone(&self) -> Self {
        let (file, path) = (Arc::clone(&self.file), Arc::clone(&self.path));
        Self { file, path, begin: self.begin, end: self.end, records: PhantomData }
    }
}

impl<T> Index<T> {
    fn new(file: File, path: &Path) -> io::Result<Self> {
        let begin = first_line(&Digest::of(b"")).len() as u64;
        let end = file.metadata()?.len();
        Ok(Self { file: Arc::new(file), path: path.into(), begin, end, records: PhantomData })
    }

    /// Opens an index file after a look at its hash.
    ///
    /// # Errors
    /// When it cannot be read, or is not what was written.
    pub(super) fn open(path: &Path) -> Result<Self, StoreError> {
        let file = File::open(path).context("read", path)?;
        let checked = check(&mut BufReader::with_capacity(64 << 10, &file)).context("read", path)?;
        checked.map_err(|reason| StoreError::Damaged { path: path.to_owned(), reason })?;
        Self::new(file, path).context("read", path)
    }

    /// Its records in order, read as they are asked for.
    pub fn records(&self) -> Records<T> {
        Records {
            index: self.clone(),
            next: self.begin,
            window: Vec::new(),
            window_at: 0,
            window_size: WINDOW,
        }
    }

    /// The same for reading in any order, with all of a small index in memory.
    pub(super) fn records_in_memory(&self, most: u64) -> Records<T> {
        let size = usize::try_from(self.end).ok().filter(|_| self.end <= most).unwrap_or(WINDOW);
        Records { window_size: size.max(WINDOW), ..self.records() }
    }

    /// How many records there are.
    pub(super) fn count(&self) -> Result<u64, StoreError> {
        let (mut records, mut count) = (self.records(), 0);
        while records.next < self.end {
            records.bytes_at(records.next).map(drop)?;
            count += 1;
        }
        Ok(count)
    }

    /// Some runs of neighbours of about the same size that make the whole.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(super) fn parts(&self, count: usize) -> Result<Vec<Self>, StoreError> {
        let step = (self.end - self.begin).div_ceil(count as u64).max(1);
        let mut records = self.records();
        let (mut parts, mut begin) = (Vec::new(), self.begin);
        while begin < self.end {
            while records.next < (begin + step).min(self.end) {
                records.bytes_at(records.next).map(drop)?;
            }
            parts.push(Self { begin, end: records.next, ..self.clone() });
            begin = records.next;
        }
        Ok(parts)
    }
}

/// The records of an index.
#[derive(Debug)]
pub struct Records<T> {
    index: Index<T>,
    next: u64,
    window: Vec<u8>,
    window_at: u64,
    window_size: usize,
}

impl<T: DeserializeOwned> Records<T> {
    /// Where the next record stands.
    pub(super) fn offset(&self) -> u64 {
        self.next
    }

    /// The record at an offset; the one behind it is next.
    pub(super) fn at(&mut self, offset: u64) -> Result<T, StoreError> {
        let decoded = decode(self.bytes_at(offset)?);
        decoded.map_err(|reason| self.index.damaged(reason))
    }
}

impl<T> Index<T> {
    fn damaged(&self, reason: String) -> StoreError {
        StoreError::Damaged { path: self.path.to_path_buf(), reason }
    }
}

impl<T> Records<T> {
    fn bytes_at(&mut self, offset: u64) -> Result<&[u8], StoreError> {
        let length = self.window(offset, LENGTH)?;
        let length = u64::from(u32::from_le_bytes([length[0], length[1], length[2], length[3]]));
        self.next = offset + LENGTH + length;
        self.window(offset + LENGTH, length)
    }

    /// Bytes of the file. They are read in aligned blocks, so that neighbours on both sides come with them.
    fn window(&mut self, offset: u64, length: u64) -> Result<&[u8], StoreError> {
        if offset + length > self.index.end {
            return Err(self.index.damaged(TORN.to_owned()));
        }
        let within = |at: u64, size: usize| offset >= at && offset + length <= at + size as u64;
        if !within(self.window_at, self.window.len()) {
            let size = self.window_size as u64;
            self.window_at = offset / size * size;
            let end = (offset + length).next_multiple_of(size).min(self.index.end);
            // A record has a length of 32 bits.
            self.window.resize((end - self.window_at) as usize, 0);
            self.index
                .file
                .read_exact_at(&mut self.window, self.window_at)
                .context("read", &self.index.path)?;
        }
        let begin = (offset - self.window_at) as usize;
        Ok(&self.window[begin..begin + length as usize])
    }
}

impl<T: DeserializeOwned> Iterator for Records<T> {
    type Item = Result<T, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        (self.next < self.index.end).then(|| self.at(self.next))
    }
}

const TORN: &str = "its last record is cut off";

fn decode<T: DeserializeOwned>(record: &[u8]) -> Result<T, String> {
    match postcard::take_from_bytes(record) {
        Ok((record, [])) => Ok(record),
        Ok(_) => Err("a record is longer than what it says".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

/// Reads all, and compares it with the hash in the first line.
fn check(input: &mut impl BufRead) -> io::Result<Result<(), String>> {
    let mut first = Vec::new();
    input.take(FIRST_LINE_MAX).read_until(b'\n', &mut first)?;
    let mut rest = Hashing::new(Algorithm::Sha256, io::sink());
    io::copy(input, &mut rest)?;
    let (_, digest, _) = rest.finish();
    match first == first_line(&digest).as_bytes() {
        true => Ok(Ok(())),
        false => Ok(Err("its content is not what its first line says".to_owned())),
    }
}

fn first_line(digest: &Digest) -> String {
    format!("{MAGIC}{digest}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_byte_is_noticed() {
        let bytes = to_bytes(&[1u32, 2, 3]).unwrap();
        assert_eq!(from_bytes::<u32>(&bytes).unwrap(), [1, 2, 3]);
        for position in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[position] ^= 1;
            assert!(from_bytes::<u32>(&changed).is_err(), "{position}");
        }
    }

    #[test]
    fn records_are_read_in_order_in_parts_and_at_any_place() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("index");
        let words: Vec<String> =
            (0..20_000).map(|number| "x".repeat(number % 50) + &number.to_string()).collect();
        let mut writer = IndexWriter::create(&path).unwrap();
        words.iter().try_for_each(|word| writer.push(word)).unwrap();
        writer.into_index::<String>(&path).unwrap();
        let index = Index::<String>::open(&path).unwrap();
        let read = |index: &Index<String>| index.records().collect::<Result<Vec<_>, _>>().unwrap();
        assert_eq!(read(&index), words);
        for count in [1, 2, 3, 7] {
            let parts = index.parts(count).unwrap();
            assert_eq!(
                (parts.len(), parts.iter().flat_map(read).collect::<Vec<_>>()),
                (count, words.clone())
            );
        }
        let mut records = index.records();
        let mut offsets = Vec::new();
        while records.offset() < index.end {
            offsets.push(records.offset());
            records.next().unwrap().unwrap();
        }
        for most in [0, u64::MAX] {
            let mut records = index.records_in_memory(most);
            for (offset, word) in offsets.iter().zip(&words).rev() {
                assert_eq!(records.at(*offset).unwrap(), *word);
            }
        }
    }
}
