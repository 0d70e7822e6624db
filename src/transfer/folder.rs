//! A folder as a tar stream: every file below it, by descriptors, without following a link or leaving its file
//! system.

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, ResolveFlags, Stat};
use rustix::io::Errno;
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use super::TransferError;
use super::source::read_error;
use super::tarball::{Kind, TarWriter};
use crate::image::ImageError;
use crate::image::entry::{Attributes, Bytes, EntryPath, Metadata, Mtime};
use crate::image::limits::Limits;
use crate::image::text::shown_path;
use crate::image::xattr::{ACL_ACCESS, ACL_DEFAULT, CAPABILITY};

/// Writes what is in a folder, sorted by name, so that equal folders give equal bytes.
pub(super) fn pack(folder: OwnedFd, limits: &Limits, output: &mut dyn Write) -> Result<(), TransferError> {
    let stat = rustix::fs::fstat(&folder).map_err(|error| read_error("the folder", error.into()))?;
    let mut packer = Packer {
        tar: TarWriter::new(output),
        device: stat.st_dev,
        limits,
        first_names: HashMap::new(),
        entries: 0,
    };
    packer.directory(folder, &EntryPath::default())?;
    packer.tar.finish().map_err(|error| read_error("the folder", error))?;
    Ok(())
}

struct Packer<'a> {
    tar: TarWriter<&'a mut dyn Write>,
    device: u64,
    limits: &'a Limits,
    /// By inode, of files with several names.
    first_names: HashMap<u64, EntryPath>,
    entries: u64,
}

impl Packer<'_> {
    fn directory(&mut self, directory: OwnedFd, path: &EntryPath) -> Result<(), TransferError> {
        let (stat, metadata) = at(path, examine(directory.as_fd()))?;
        at(path, self.tar.entry(path, Kind::Directory, &metadata))?;
        if stat.st_dev != self.device {
            // Another file system is mounted here: it is not part of the tree.
            return Ok(());
        }
        for name in at(path, names(&directory))? {
            let below = self.name(path, &name)?;
            self.entry(&directory, &name, &below)?;
        }
        Ok(())
    }

    /// The path of a name, if a layer can have it.
    fn name(&mut self, path: &EntryPath, name: &[u8]) -> Result<EntryPath, TransferError> {
        let refuse = |reason: &str| ImageError::entry(&path.join(name).absolute(), reason);
        self.entries += 1;
        if self.entries > self.limits.entries {
            return Err(refuse("is one entry more than an image may have").into());
        }
        if name.starts_with(b".wh.") {
            return Err(refuse("has a name by which layers remove files").into());
        }
        Ok(EntryPath::parse(path.join(name).as_bytes(), self.limits).map_err(refuse)?)
    }

    fn entry(&mut self, parent: &OwnedFd, name: &[u8], path: &EntryPath) -> Result<(), TransferError> {
        let stat = rustix::fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW);
        let stat = at(path, stat.map_err(io::Error::from))?;
        let kind = FileType::from_raw_mode(stat.st_mode);
        if kind == FileType::Directory {
            return self.directory(at(path, open(parent, name))?, path);
        }
        if stat.st_nlink > 1
            && let Some(first) = self.first_names.get(&stat.st_ino)
        {
            return at(path, self.tar.entry(path, Kind::HardLink(first), &metadata(&stat)));
        }
        let kind = match kind {
            FileType::RegularFile => return self.file(at(path, open(parent, name))?, path),
            FileType::Symlink => {
                let target = rustix::fs::readlinkat(parent, name, Vec::new()).map_err(io::Error::from);
                let target = at(path, target)?;
                let entry = self.tar.entry(path, Kind::Symlink(target.to_bytes()), &metadata(&stat));
                self.remember(&stat, path);
                return at(path, entry);
            }
            FileType::Fifo => Kind::Fifo,
            FileType::CharacterDevice | FileType::BlockDevice => Kind::Device,
            // A socket means nothing without the program that made it.
            _ => return Ok(()),
        };
        self.remember(&stat, path);
        at(path, self.tar.entry(path, kind, &metadata(&stat)))
    }

    fn file(&mut self, file: OwnedFd, path: &EntryPath) -> Result<(), TransferError> {
        let (stat, metadata) = at(path, examine(file.as_fd()))?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return at(path, Err(io::Error::other("it changed while it was read")));
        }
        let size = u64::try_from(stat.st_size).unwrap_or_default();
        at(path, self.tar.entry(path, Kind::File(size), &metadata))?;
        self.remember(&stat, path);
        at(path, self.tar.body(size, &mut File::from(file)))
    }

    fn remember(&mut self, stat: &Stat, path: &EntryPath) {
        if stat.st_nlink > 1 {
            self.first_names.insert(stat.st_ino, path.clone());
        }
    }
}

fn at<T>(path: &EntryPath, result: io::Result<T>) -> Result<T, TransferError> {
    result.map_err(|error| read_error(&format!("\"{}\"", shown_path(&path.absolute())), error))
}

fn open(directory: &OwnedFd, name: &[u8]) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    Ok(rustix::fs::openat2(directory, name, flags, Mode::empty(), resolve)?)
}

fn names(directory: &OwnedFd) -> io::Result<Vec<Vec<u8>>> {
    let mut names = Vec::new();
    for entry in Dir::read_from(directory)? {
        names.push(entry?.file_name().to_bytes().to_vec());
    }
    names.retain(|name| name != b"." && name != b"..");
    names.sort_unstable();
    Ok(names)
}

fn examine(file: BorrowedFd<'_>) -> io::Result<(Stat, Metadata)> {
    let stat = rustix::fs::fstat(file)?;
    let mut metadata = metadata(&stat);
    metadata.xattrs = attributes(file)?;
    Ok((stat, metadata))
}

fn metadata(stat: &Stat) -> Metadata {
    Metadata {
        mode: stat.st_mode & 0o7777,
        uid: stat.st_uid,
        gid: stat.st_gid,
        mtime: Mtime {
            seconds: stat.st_mtime,
            nanoseconds: u32::try_from(stat.st_mtime_nsec).unwrap_or_default(),
        },
        xattrs: Attributes::new(),
    }
}

/// The attributes that images keep; labels of this host's security modules are not the tree's.
fn attributes(file: BorrowedFd<'_>) -> io::Result<Attributes> {
    let mut names = Vec::with_capacity(64 << 10);
    match rustix::fs::flistxattr(file, rustix::buffer::spare_capacity(&mut names)) {
        Err(Errno::OPNOTSUPP) => return Ok(Attributes::new()),
        result => result?,
    };
    let mut attributes = Attributes::new();
    for name in names.split(|byte| *byte == 0) {
        let Ok(name) = std::str::from_utf8(name) else { continue };
        if name.starts_with("user.") || [CAPABILITY, ACL_ACCESS, ACL_DEFAULT].contains(&name) {
            let mut value = Vec::with_capacity(64 << 10);
            rustix::fs::fgetxattr(file, name, rustix::buffer::spare_capacity(&mut value))?;
            attributes.insert(name.to_owned(), Bytes(value));
        }
    }
    Ok(attributes)
}
