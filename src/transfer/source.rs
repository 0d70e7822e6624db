//! Where an image comes from: a folder, or an archive that is indexed. Both are files by name.

use rustix::fs::{FileType, Mode, OFlags, ResolveFlags};
use std::fs::File;
use std::io::{self, Read, Seek as _, Write as _};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt as _;

use super::TransferError;
use super::archive::{ArchiveIndex, Extent};
use super::stream::decoder;
use crate::image::entry::EntryPath;
use crate::image::limits::Limits;
use crate::image::manifest::Compression;
use crate::image::{ImageError, json};

/// An opened source of images.
#[derive(Debug)]
pub enum Source {
    /// A folder, by its descriptor.
    Folder(OwnedFd),
    /// An archive whose files lie at known offsets.
    #[allow(private_interfaces, reason = "only this room looks inside")]
    Archive(File, ArchiveIndex),
}

impl Source {
    /// Looks at what a descriptor is. What cannot be read twice, or is packed as a whole, goes to `spool` first.
    ///
    /// # Errors
    /// When it cannot be read, or is no archive.
    pub fn open(
        input: OwnedFd,
        limits: &Limits,
        spool: impl FnOnce() -> Result<File, TransferError>,
    ) -> Result<Self, TransferError> {
        let stat = rustix::fs::fstat(&input).map_err(|error| read_error("the source", error.into()))?;
        let kind = FileType::from_raw_mode(stat.st_mode);
        if kind == FileType::Directory {
            return Ok(Self::Folder(input));
        }
        let mut file = File::from(input);
        let mut magic = [0; 4];
        let seekable = kind == FileType::RegularFile;
        if seekable
            && file.read_exact_at(&mut magic, 0).is_ok()
            && Compression::sniff(&magic) == Compression::None
        {
            file.rewind().map_err(|error| read_error("archive", error))?;
        } else {
            file = spooled(file, spool()?, limits).map_err(|error| read_error("archive", error))?;
        }
        let index = ArchiveIndex::read(&file, limits)?;
        Ok(Self::Archive(file, index))
    }

    /// Whether there is a file of this name.
    pub(super) fn has(&self, name: &str) -> bool {
        matches!(self.file(name), Ok(Some(_)))
    }

    /// A file's content as a stream, and its size. `what` is what needs it, for the error.
    pub(super) fn stream(
        &self,
        name: &str,
        what: &str,
    ) -> Result<(Box<dyn Read + Send>, u64), TransferError> {
        match self.file(name)? {
            Some((file, extent)) => {
                let part = Part { file, offset: extent.offset, rest: extent.size };
                Ok((Box::new(part), extent.size))
            }
            None => Err(TransferError::Missing {
                what: what.to_owned(),
                name: crate::image::text::printable(name.as_bytes()),
            }),
        }
    }

    /// The whole content of a small document.
    pub(super) fn document(&self, name: &str, what: &str) -> Result<Vec<u8>, TransferError> {
        let (mut stream, size) = self.stream(name, what)?;
        if size > json::SIZE_MAX {
            return Err(ImageError::document(what, "is larger than 4 MiB").into());
        }
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).map_err(|error| read_error(what, error))?;
        Ok(bytes)
    }

    fn file(&self, name: &str) -> Result<Option<(File, Extent)>, TransferError> {
        let Ok(path) = EntryPath::parse(name.as_bytes(), &Limits::default()) else { return Ok(None) };
        match self {
            Self::Archive(file, index) => index
                .find(&path)
                .map(|extent| Ok((file.try_clone().map_err(|error| read_error(name, error))?, extent)))
                .transpose(),
            Self::Folder(folder) => in_folder(folder, &path).map_err(|error| read_error(name, error)),
        }
    }
}

fn read_error(what: &str, source: io::Error) -> TransferError {
    TransferError::Read { what: what.to_owned(), source }
}

/// A file of a folder: nothing outside of it, and nothing that would make us wait.
fn in_folder(folder: &OwnedFd, path: &EntryPath) -> io::Result<Option<(File, Extent)>> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    let file = match rustix::fs::openat2(folder.as_fd(), path.as_bytes(), flags, Mode::empty(), resolve) {
        Err(rustix::io::Errno::NOENT) => return Ok(None),
        result => File::from(result?),
    };
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::other("is not a regular file"));
    }
    Ok(Some((file, Extent { offset: 0, size: metadata.len() })))
}

/// The plain bytes of a stream in a file without a name.
fn spooled(input: File, mut spool: File, limits: &Limits) -> io::Result<File> {
    let mut input = decoder(Box::new(input))?;
    let copied = io::copy(&mut input.by_ref().take(limits.layer_bytes), &mut spool)?;
    if copied == limits.layer_bytes {
        return Err(io::Error::other("the archive is larger than an import may be"));
    }
    spool.flush()?;
    spool.rewind()?;
    Ok(spool)
}

/// A part of a file, read by position: clones share no offset.
struct Part {
    file: File,
    offset: u64,
    rest: u64,
}

impl Read for Part {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let room = usize::try_from(self.rest).unwrap_or(usize::MAX).min(buffer.len());
        let count = self.file.read_at(&mut buffer[..room], self.offset)?;
        self.offset += count as u64;
        self.rest -= count as u64;
        Ok(count)
    }
}
