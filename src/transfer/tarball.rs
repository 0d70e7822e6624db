//! A writer of tar streams, pax(1): ustar headers, with extended records for what does not fit them.
//!
//! Equal entries give equal bytes: a record stands only where it is needed, in one order.

use std::io::{self, Read, Write};

use crate::image::entry::{EntryPath, Metadata, Mtime};

/// What an entry is, with what only that type has.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind<'a> {
    /// A regular file of this many bytes.
    File(u64),
    /// A directory.
    Directory,
    /// A symbolic link and its target.
    Symlink(&'a [u8]),
    /// Another name of an earlier entry.
    HardLink(&'a EntryPath),
    /// A named pipe.
    Fifo,
    /// A device node, without its number: readers of images leave it out.
    Device,
}

const BLOCK: usize = 512;
/// Largest numbers of 7 and of 11 octal digits.
const ID_MAX: u64 = 0o777_7777;
const LONG_MAX: u64 = 0o777_7777_7777;

/// Writes entries to a stream.
#[derive(Debug)]
pub(super) struct TarWriter<W> {
    output: W,
}

impl<W: Write> TarWriter<W> {
    pub(super) fn new(output: W) -> Self {
        Self { output }
    }

    /// Writes an entry; the content of a file must follow by [`TarWriter::body`].
    pub(super) fn entry(&mut self, path: &EntryPath, kind: Kind<'_>, metadata: &Metadata) -> io::Result<()> {
        let name = match (path.is_root(), kind) {
            (true, _) => b"./".to_vec(),
            (false, Kind::Directory) => [path.as_bytes(), b"/"].concat(),
            (false, _) => path.as_bytes().to_vec(),
        };
        let link = match kind {
            Kind::Symlink(target) => target,
            Kind::HardLink(target) => target.as_bytes(),
            _ => b"",
        };
        let size = if let Kind::File(size) = kind { size } else { 0 };
        let records = records(&name, link, size, kind, metadata);
        if !records.is_empty() {
            let extended = header(b"PaxHeaders/0", b"", b'x', records.len() as u64, &plain());
            self.output.write_all(&extended)?;
            self.output.write_all(&records)?;
            self.pad(records.len() as u64)?;
        }
        self.output.write_all(&header(&name, link, typeflag(kind), size, metadata))
    }

    /// Writes the content of the file just begun, which must have the size that was said.
    pub(super) fn body(&mut self, size: u64, content: &mut dyn Read) -> io::Result<()> {
        if io::copy(&mut content.take(size), &mut self.output)? < size {
            return Err(io::Error::other("the file became shorter while it was read"));
        }
        self.pad(size)
    }

    /// Ends the archive and gives the stream back.
    pub(super) fn finish(mut self) -> io::Result<W> {
        self.output.write_all(&[0; 2 * BLOCK])?;
        self.output.flush()?;
        Ok(self.output)
    }

    fn pad(&mut self, size: u64) -> io::Result<()> {
        let over = (size % BLOCK as u64) as usize;
        self.output.write_all(&[0; BLOCK][..(BLOCK - over) % BLOCK])
    }
}

/// Metadata of a file that an archive is made of, not of an image.
pub(super) fn plain() -> Metadata {
    Metadata { mode: 0o644, ..Metadata::implied_directory() }
}

fn typeflag(kind: Kind<'_>) -> u8 {
    match kind {
        Kind::File(_) => b'0',
        Kind::HardLink(_) => b'1',
        Kind::Symlink(_) => b'2',
        Kind::Device => b'3',
        Kind::Directory => b'5',
        Kind::Fifo => b'6',
    }
}

/// One header block. What does not fit stands in a record before it, and is cut here.
fn header(name: &[u8], link: &[u8], typeflag: u8, size: u64, metadata: &Metadata) -> [u8; BLOCK] {
    let mut block = [0; BLOCK];
    let mut set = |at: usize, length: usize, bytes: &[u8]| {
        let length = bytes.len().min(length);
        block[at..at + length].copy_from_slice(&bytes[..length]);
    };
    let seconds = u64::try_from(metadata.mtime.seconds).unwrap_or_default();
    set(0, 100, name);
    set(100, 8, &octal(u64::from(metadata.mode), ID_MAX, 7));
    set(108, 8, &octal(u64::from(metadata.uid), ID_MAX, 7));
    set(116, 8, &octal(u64::from(metadata.gid), ID_MAX, 7));
    set(124, 12, &octal(size, LONG_MAX, 11));
    set(136, 12, &octal(seconds, LONG_MAX, 11));
    set(148, 8, b"        ");
    set(156, 1, &[typeflag]);
    set(157, 100, link);
    set(257, 8, b"ustar\x0000");
    set(329, 8, b"0000000");
    set(337, 8, b"0000000");
    let sum: u64 = block.iter().map(|byte| u64::from(*byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    block
}

fn octal(number: u64, max: u64, digits: usize) -> Vec<u8> {
    format!("{:0digits$o}", if number > max { 0 } else { number }).into_bytes()
}

/// The extended records that an entry needs.
fn records(name: &[u8], link: &[u8], size: u64, kind: Kind<'_>, metadata: &Metadata) -> Vec<u8> {
    let mut records = Vec::new();
    let number = |number: u64| number.to_string().into_bytes();
    if name.len() > 100 {
        record(&mut records, "path", name);
    }
    if link.len() > 100 {
        record(&mut records, "linkpath", link);
    }
    if size > LONG_MAX {
        record(&mut records, "size", &number(size));
    }
    for (key, id) in [("uid", metadata.uid), ("gid", metadata.gid)] {
        if u64::from(id) > ID_MAX {
            record(&mut records, key, &number(u64::from(id)));
        }
    }
    let Mtime { seconds, nanoseconds } = metadata.mtime;
    if nanoseconds != 0 || !u64::try_from(seconds).is_ok_and(|seconds| seconds <= LONG_MAX) {
        record(&mut records, "mtime", metadata.mtime.to_string().as_bytes());
    }
    // A hard link's attributes are those of its first name.
    let attributes = metadata.xattrs.iter().filter(|_| !matches!(kind, Kind::HardLink(_)));
    for (name, value) in attributes {
        // As GNU tar does: a key ends at its first "=".
        let name = name.replace('%', "%25").replace('=', "%3D");
        record(&mut records, &format!("SCHILY.xattr.{name}"), &value.0);
    }
    records
}

/// `LENGTH KEY=VALUE\n`, where the length counts its own digits.
fn record(records: &mut Vec<u8>, key: &str, value: &[u8]) {
    let rest = key.len() + value.len() + 3;
    let mut length = rest;
    while length != rest + length.to_string().len() {
        length = rest + length.to_string().len();
    }
    records.extend_from_slice(format!("{length} {key}=").as_bytes());
    records.extend_from_slice(value);
    records.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::entry::Bytes;
    use crate::image::layer::entries_of;
    use crate::image::limits::Limits;
    use proptest::prelude::*;

    fn metadata(mode: u32, ids: (u32, u32), time: (i64, u32), note: &[u8]) -> Metadata {
        let mtime = Mtime { seconds: time.0, nanoseconds: time.1 };
        let mut metadata = Metadata { mode, uid: ids.0, gid: ids.1, mtime, ..Metadata::implied_directory() };
        metadata.xattrs.insert("user.note".to_owned(), Bytes(note.to_vec()));
        metadata
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            name in prop::collection::vec(1u8..=255, 1..250).prop_filter("a name", |name| {
                !name.contains(&b'/') && name != b"." && name != b".." && !name.starts_with(b".wh.")
            }),
            body: Vec<u8>,
            mode in 0u32..0o10000,
            ids in (0u32..u32::MAX, 0u32..u32::MAX),
            time in (-2_147_483_648i64..15_032_385_535, 0u32..1_000_000_000),
            note: Vec<u8>,
        ) {
            let limits = Limits::default();
            let path = EntryPath::parse(&[b"d/", name.as_slice()].concat(), &limits).unwrap();
            let metadata = metadata(mode, ids, time, &note);
            let mut writer = TarWriter::new(Vec::new());
            writer.entry(&path, Kind::File(body.len() as u64), &metadata).unwrap();
            writer.body(body.len() as u64, &mut body.as_slice()).unwrap();
            let bytes = writer.finish().unwrap();
            let entries = entries_of(bytes.as_slice(), &limits).unwrap();
            prop_assert_eq!(&entries[0].path, &path);
            let crate::image::entry::Change::Put { metadata: found, .. } = &entries[0].change else {
                panic!("not a file")
            };
            prop_assert_eq!(found, &metadata);
        }
    }
}
