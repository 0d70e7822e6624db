//! Where an image comes from: files by name, whatever holds them.

use rustix::fs::{Dir, FileType, Mode, OFlags, ResolveFlags};
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};

use super::TransferError;
use super::archive::Archive;
use super::packing;
use super::remote::Remote;
use super::watch::Watch;
use crate::image::entry::EntryPath;
use crate::image::limits::Limits;
use crate::image::{ImageError, json};

/// An opened source of images, and who hears of it being read.
#[derive(Debug)]
pub struct Source {
    pub(super) holder: Holder,
    pub(super) watch: Watch,
    /// Bytes of the documents that were read.
    documents: AtomicU64,
}

/// Bytes of the documents of a source: those of its images are in memory together.
const DOCUMENTS_MAX: u64 = 24 << 20;

/// What holds the files of a source.
#[derive(Debug)]
pub(super) enum Holder {
    /// A folder, by its descriptor.
    Folder(OwnedFd),
    /// An archive whose files lie at known offsets.
    Archive(Archive),
    /// A registry, through the fetcher.
    Remote(Remote),
}

/// A file of a source: its content as a stream, and its size.
pub(super) type Opened = (Box<dyn Read + Send>, u64);

/// Makes a file without a name for what cannot be read twice.
pub(super) type Spool<'a> = &'a dyn Fn() -> Result<File, TransferError>;

impl Source {
    /// Looks at what a descriptor is. What cannot be read twice, or is packed as a whole, goes to `spool` first.
    ///
    /// # Errors
    /// When it cannot be read, or is no archive.
    pub(super) fn open(
        input: OwnedFd,
        limits: &Limits,
        spool: Spool<'_>,
        watch: Watch,
    ) -> Result<Self, TransferError> {
        let stat = rustix::fs::fstat(&input).map_err(|error| read_error("the source", error.into()))?;
        let holder = match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => Holder::Folder(input),
            _ => {
                let file = packing::plain(File::from(input), limits, spool, &watch)?;
                Holder::Archive(Archive::read(file, limits)?)
            }
        };
        Ok(Self { holder, watch, documents: AtomicU64::new(0) })
    }

    /// A registry, whose fetcher tells of its part.
    pub(super) fn remote(remote: Remote, watch: Watch) -> Self {
        Self { holder: Holder::Remote(remote), watch, documents: AtomicU64::new(0) }
    }

    /// The same source in another form.
    pub(super) fn whole(archive: Archive, watch: Watch) -> Self {
        Self { holder: Holder::Archive(archive), watch, documents: AtomicU64::new(0) }
    }

    /// Whether there is a file of this name.
    pub(super) fn has(&self, name: &str) -> bool {
        matches!(self.find(name), Ok(Some(_)))
    }

    /// A file's content as a stream of which is told, and its size. `what` is what it is, for that and for the error.
    pub(super) fn stream(&self, name: &str, what: &str) -> Result<Opened, TransferError> {
        let (bytes, size) = self.file(name, what)?;
        match &self.holder {
            Holder::Remote(_) => Ok((bytes, size)),
            _ => Ok((Box::new(self.watch.stream(what, Some(size), bytes)), size)),
        }
    }

    fn file(&self, name: &str, what: &str) -> Result<Opened, TransferError> {
        self.find(name)?.ok_or_else(|| TransferError::Missing {
            what: what.to_owned(),
            name: crate::image::text::shown(name.as_bytes()),
        })
    }

    /// The whole content of a small document.
    pub(super) fn document(&self, name: &str, what: &str) -> Result<Vec<u8>, TransferError> {
        let (mut stream, size) = self.file(name, what)?;
        if size > json::SIZE_MAX {
            return Err(ImageError::document(what, "is larger than 4 MiB").into());
        }
        if self.documents.fetch_add(size, Ordering::Relaxed).saturating_add(size) > DOCUMENTS_MAX {
            return Err(
                ImageError::document(what, "makes the documents of the source larger than 24 MiB").into()
            );
        }
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).map_err(|error| read_error(what, error))?;
        Ok(bytes)
    }

    /// The names at the top, files and directories.
    pub(super) fn top(&self) -> Result<BTreeSet<Vec<u8>>, TransferError> {
        match &self.holder {
            Holder::Archive(archive) => Ok(archive.top().clone()),
            Holder::Folder(folder) => top_of(folder).map_err(|error| read_error("the folder", error)),
            Holder::Remote(_) => Ok(BTreeSet::new()),
        }
    }

    /// Why this is no archive of images, whatever its names are; told once.
    pub(super) fn flaw(&mut self) -> Option<ImageError> {
        match &mut self.holder {
            Holder::Archive(archive) => archive.flaw(),
            Holder::Folder(_) | Holder::Remote(_) => None,
        }
    }

    /// The one place that knows what kinds of sources there are.
    fn find(&self, name: &str) -> Result<Option<Opened>, TransferError> {
        let Ok(path) = EntryPath::parse(name.as_bytes(), &Limits::default()) else { return Ok(None) };
        match &self.holder {
            Holder::Folder(folder) => in_folder(folder, &path),
            Holder::Archive(archive) => archive.open(&path),
            Holder::Remote(remote) => return remote.open(name),
        }
        .map_err(|error| read_error(name, error))
    }
}

fn top_of(folder: &OwnedFd) -> io::Result<BTreeSet<Vec<u8>>> {
    let mut names = BTreeSet::new();
    for entry in Dir::read_from(folder)? {
        names.insert(entry?.file_name().to_bytes().to_vec());
    }
    Ok(names)
}

/// An error about the part `what` of a source.
pub(super) fn read_error(what: &str, source: io::Error) -> TransferError {
    match source.kind() {
        // No reading fails so, but that of what is copied before it is read.
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            TransferError::Write { what: format!("a copy of {what} into the store"), source }
        }
        _ => TransferError::Read { what: what.to_owned(), source },
    }
}

/// A file of a folder: nothing outside of it, and nothing that would make us wait.
fn in_folder(folder: &OwnedFd, path: &EntryPath) -> io::Result<Option<Opened>> {
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
    Ok(Some((Box::new(file), metadata.len())))
}
