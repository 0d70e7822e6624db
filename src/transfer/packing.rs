//! Archives that are packed as a whole: how, seen from their first bytes whatever their names say, their plain
//! bytes, and the digest of plain bytes that nobody told.

use std::cell::Cell;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek as _, Write as _};
use std::os::unix::fs::FileExt as _;
use std::rc::Rc;

use super::TransferError;
use super::decoder::decoder;
use super::source::{Spool, read_error};
use super::watch::{Watch, Watched};
use crate::image::digest::{Algorithm, Digest, Hasher};
use crate::image::limits::Limits;
use crate::image::manifest::Compression;
use crate::image::tar;

/// What an archive may be packed with beyond what layers are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Packing {
    /// As layers are: not at all, gzip, zstd.
    AsLayers,
    Xz,
    Bzip2,
}

/// Memory that an xz stream may ask for, in KiB: `xz -9` asks for 65 MiB.
const XZ_MEMORY: u32 = 96 << 10;
const CHUNK: usize = 128 << 10;
/// What a tar archive has at least.
const BLOCK: u64 = 512;

/// The archive as a plain file that can be read at offsets: itself, or what it unpacks to.
pub(super) fn plain(
    mut file: File,
    limits: &Limits,
    spool: Spool<'_>,
    watch: &Watch,
) -> Result<File, TransferError> {
    let mut magic = [0; 6];
    let is_file = file.metadata().is_ok_and(|metadata| metadata.is_file());
    if is_file && file.read_exact_at(&mut magic, 0).is_ok() && is_plain(&magic) {
        file.rewind().map_err(|error| read_error("archive", error))?;
        return Ok(file);
    }
    spooled(file, spool()?, limits, watch).map_err(|error| read_error("archive", error))
}

/// The digest of the plain bytes of a layer of which nobody says it.
pub(super) fn diff_id(
    bytes: Box<dyn Read + Send>,
    size: u64,
    limits: &Limits,
    what: &str,
) -> Result<Digest, TransferError> {
    let mut hasher = Hasher::new(Algorithm::Sha256);
    let most = limits.ratio_free.max(size.saturating_mul(limits.ratio));
    let hash = || {
        let mut plain = decoder(bytes, limits.window)?.take(most);
        let mut buffer = vec![0; CHUNK];
        loop {
            match plain.read(&mut buffer)? {
                0 if plain.limit() == 0 => {
                    return Err(io::Error::other("it unpacks to far more than its packed size allows"));
                }
                0 => return Ok(hasher.finish()),
                count => hasher.update(&buffer[..count]),
            }
        }
    };
    hash().map_err(|error| read_error(what, error))
}

fn is_plain(magic: &[u8]) -> bool {
    sniff(magic) == Packing::AsLayers && Compression::sniff(magic) == Compression::None
}

fn sniff(magic: &[u8]) -> Packing {
    match magic {
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Packing::Xz,
        [b'B', b'Z', b'h', b'1'..=b'9', ..] => Packing::Bzip2,
        _ => Packing::AsLayers,
    }
}

fn spooled(input: File, mut spool: File, limits: &Limits, watch: &Watch) -> io::Result<File> {
    let size = input.metadata().ok().filter(|metadata| metadata.is_file()).map(|metadata| metadata.len());
    let input = watch.stream("the archive", size, input);
    let packed = Rc::new(Cell::new(0));
    let mut plain = unpacked(Counted { input, count: Rc::clone(&packed) }, limits.window)?;
    let mut first = Vec::new();
    plain.by_ref().take(BLOCK).read_to_end(&mut first)?;
    // A stream may have no end: it begins as an archive does, or nothing of it is kept.
    tar::check_beginning(&first).map_err(io::Error::other)?;
    spool.write_all(&first)?;
    let mut copied = first.len() as u64;
    loop {
        match io::copy(&mut plain.by_ref().take(CHUNK as u64), &mut spool)? {
            0 => break,
            count => copied += count,
        }
        if copied > limits.ratio_free.max(packed.get().saturating_mul(limits.ratio)) {
            return Err(io::Error::other("it unpacks to far more than its packed size allows"));
        }
        if copied > limits.layer_bytes {
            return Err(io::Error::other("it is larger than an import may be"));
        }
    }
    spool.rewind()?;
    Ok(spool)
}

fn unpacked(input: Counted, window: u64) -> io::Result<Box<dyn Read>> {
    let mut input = BufReader::with_capacity(CHUNK, input);
    let mut head = Vec::new();
    // A pipe gives what it has: the magic may come in pieces.
    input.by_ref().take(6).read_to_end(&mut head)?;
    let packing = sniff(&head);
    let input = io::Cursor::new(head).chain(input);
    Ok(match packing {
        Packing::AsLayers => decoder(Box::new(input), window)?,
        Packing::Xz => Box::new(lzma_rust2::XzReader::new_mem_limit(input, true, XZ_MEMORY)),
        Packing::Bzip2 => Box::new(bzip2::bufread::MultiBzDecoder::new(input)),
    })
}

/// Counts what was read of a packed archive.
struct Counted {
    input: Watched<File>,
    count: Rc<Cell<u64>>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.input.read(buffer)?;
        self.count.set(self.count.get() + count as u64);
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packing_is_seen_from_the_first_bytes() {
        assert_eq!(sniff(b"\xfd7zXZ\0rest"), Packing::Xz);
        assert_eq!(sniff(b"BZh91AY"), Packing::Bzip2);
        assert!(!is_plain(b"\x1f\x8b\x08\0\0\0") && !is_plain(b"BZh91A"));
        assert!(is_plain(b"usr/bi") && is_plain(b"BZh"));
    }
}
