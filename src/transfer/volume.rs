//! Volumes as tar archives: their files with the ids that a container sees, and back.

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, SeekFrom};
use rustix::io::Errno;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use super::TransferError;
use super::decoder::decoder;
use super::tarball::{Kind, TarWriter};
use crate::image::ImageError;
use crate::image::body::Body;
use crate::image::entry::{EntryPath, Metadata};
use crate::image::limits::Limits;
use crate::image::notices::Notices;
use crate::image::tar::{Header, Input, Reader, Type};
use crate::image::text::{shown, shown_path};
use crate::image::xattr;
use crate::store::StoreError;
use crate::store::volumes::{Filler, metadata_of};

/// How many directories can be one below the other in an archive: what a container has made has no bound, a stack has.
const DEEPEST: usize = 1000;

/// Writes the content of an open volume, sorted by name, as a tar stream. What changes meanwhile may come out as it
/// was or as it is.
///
/// # Errors
/// When a file cannot be read, shrinks while it is read, or the stream cannot be written.
pub fn export(volume: &OwnedFd, output: impl Write) -> Result<(), TransferError> {
    let mut export = Export { tar: TarWriter::new(output), links: BTreeMap::new() };
    export.directory(volume.as_fd(), &EntryPath::default())?;
    export
        .tar
        .finish()
        .map(drop)
        .map_err(|source| TransferError::Write { what: "the archive".to_owned(), source })
}

struct Export<W> {
    tar: TarWriter<W>,
    /// The first name of each inode that has several.
    links: BTreeMap<(u64, u64), EntryPath>,
}

impl<W: Write> Export<W> {
    fn directory(&mut self, directory: BorrowedFd<'_>, path: &EntryPath) -> Result<(), TransferError> {
        let metadata = metadata_of(directory).map_err(|error| unread(path, error))?;
        self.entry(path, Kind::Directory, &metadata)?;
        for name in names(directory).map_err(|error| unread(path, error))? {
            self.name(directory, &name, &path.join(&name))?;
        }
        Ok(())
    }

    fn name(&mut self, parent: BorrowedFd<'_>, name: &[u8], path: &EntryPath) -> Result<(), TransferError> {
        let stat = match rustix::fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW) {
            // It went away meanwhile.
            Err(Errno::NOENT) => return Ok(()),
            stat => stat.map_err(|error| unread(path, error))?,
        };
        let mut metadata = crate::store::volumes::metadata_of_stat(&stat);
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory if path.names().count() > DEEPEST => {
                return Err(unread(path, Errno::NAMETOOLONG));
            }
            FileType::Directory => {
                let below = open(parent, name, OFlags::DIRECTORY).map_err(|error| unread(path, error))?;
                return self.directory(below.as_fd(), path);
            }
            FileType::Symlink => {
                let target = rustix::fs::readlinkat(parent, name, Vec::new());
                let target = target.map_err(|error| unread(path, error))?;
                // Nobody can change the mode of a link: archives have the usual one.
                metadata.mode = 0o777;
                return self.entry(path, Kind::Symlink(target.as_bytes()), &metadata);
            }
            FileType::Fifo => return self.entry(path, Kind::Fifo, &metadata),
            FileType::RegularFile => {}
            // Sockets are of no use without their owner, and volumes have no devices.
            _ => return Ok(()),
        }
        if let Some(first) = self.links.get(&(stat.st_dev, stat.st_ino)).cloned() {
            return self.entry(path, Kind::HardLink(&first), &metadata);
        }
        let file = open(parent, name, OFlags::NONBLOCK).map_err(|error| unread(path, error))?;
        let metadata = metadata_of(file.as_fd()).map_err(|error| unread(path, error))?;
        if stat.st_nlink > 1 {
            self.links.insert((stat.st_dev, stat.st_ino), path.clone());
        }
        let mut file = File::from(file);
        let size = file.metadata().map_err(|error| unread(path, error))?.len();
        self.entry(path, Kind::File(size), &metadata)?;
        self.tar.body(size, &mut file).map_err(|error| unread(path, error))
    }

    fn entry(&mut self, path: &EntryPath, kind: Kind<'_>, metadata: &Metadata) -> Result<(), TransferError> {
        self.tar.entry(path, kind, metadata).map_err(|source| {
            let what = format!("\"{}\" to the archive", shown_path(&path.absolute()));
            TransferError::Write { what, source }
        })
    }
}

fn names(directory: BorrowedFd<'_>) -> Result<Vec<Vec<u8>>, Errno> {
    // A second look at a directory begins at its start again only with a position of its own.
    let own = open(directory, b".", OFlags::DIRECTORY)?;
    rustix::fs::seek(&own, SeekFrom::Start(0))?;
    let mut names = Vec::new();
    for entry in Dir::new(own)? {
        let name = entry?.file_name().to_bytes().to_vec();
        if name != b"." && name != b".." {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

fn open(parent: BorrowedFd<'_>, name: &[u8], more: OFlags) -> Result<OwnedFd, Errno> {
    rustix::fs::openat(
        parent,
        name,
        OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | more,
        Mode::empty(),
    )
}

fn unread(path: &EntryPath, error: impl Into<io::Error>) -> TransferError {
    TransferError::Read { what: format!("\"{}\"", shown_path(&path.absolute())), source: error.into() }
}

/// Puts the entries of a tar stream, packed or not, into an empty volume. Returns sentences about what was left out.
///
/// # Errors
/// When the stream is broken, breaks a limit, or an entry cannot be kept; the volume is of no use then.
pub fn import(volume: &OwnedFd, input: impl Read, limits: &Limits) -> Result<Vec<String>, TransferError> {
    let failed = |source| TransferError::Read { what: "the archive".to_owned(), source };
    let plain = decoder(Box::new(input), limits.window).map_err(failed)?;
    let mut reader = Reader::new(Plain(BufReader::new(plain)), limits.clone());
    let mut import = Import {
        filler: Filler::new(volume),
        limits,
        left_out: BTreeSet::new(),
        notices: Notices::default(),
    };
    while let Some(header) = reader.next()? {
        import.entry(header, &mut reader)?;
    }
    let Import { filler, notices, .. } = import;
    filler.finish()?;
    Ok(notices.into_sentences())
}

struct Import<'a> {
    filler: Filler<'a>,
    limits: &'a Limits,
    /// Devices, and other names of them.
    left_out: BTreeSet<EntryPath>,
    notices: Notices,
}

impl Import<'_> {
    fn entry(&mut self, header: Header, content: &mut dyn Read) -> Result<(), TransferError> {
        let refused = |reason| ImageError::entry(&header.name, reason);
        let path = EntryPath::parse(&header.name, self.limits).map_err(refused)?;
        let Header { mode, uid, gid, mtime, ref xattrs, .. } = header;
        let mut metadata = Metadata { mode, uid, gid, mtime, xattrs: xattrs.clone() };
        let shown = shown(&path.absolute());
        for notice in xattr::keep_allowed(header.kind, &mut metadata) {
            self.notices.push(format!("\"{shown}\" has the {notice}"));
        }
        let kept: Result<(), StoreError> = match header.kind {
            Type::Directory => self.filler.directory(&path, metadata),
            Type::File => {
                let body = Body::new(content, header.size, header.sparse.as_ref());
                self.filler.file(&path, &metadata, body)
            }
            Type::Symlink => self.filler.symlink(&path, &metadata, &header.link),
            Type::HardLink => {
                let target = EntryPath::parse(&header.link, self.limits).map_err(refused)?;
                if self.left_out.contains(&target) {
                    self.notices.push(format!("\"{shown}\" is another name of a device, ignoring"));
                    self.left_out.insert(path);
                    return Ok(());
                }
                self.filler.hard_link(&path, &target)
            }
            Type::Fifo => self.filler.fifo(&path, &metadata),
            Type::Device => {
                self.notices.push(format!("\"{shown}\" is a device, ignoring"));
                self.left_out.insert(path);
                Ok(())
            }
        };
        Ok(kept?)
    }
}

/// A stream that is read to be passed over.
struct Plain<R>(R);

impl<R: Read> Read for Plain<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl<R: Read> Input for Plain<R> {}
