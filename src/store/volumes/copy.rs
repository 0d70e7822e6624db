//! Copying a tree into a volume by descriptors: owners, modes, times, attributes, hard links and holes as they are.

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use std::collections::BTreeMap;
use std::ffi::{CStr, OsStr};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use crate::image::entry::Metadata;
use crate::store::{content, inode};

/// Whose ids a source tree has on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SourceIds {
    /// Those of the store.
    Foreign,
    /// Those of the host, which a container sees as they are.
    Host,
}

/// A failure, and where in the tree.
type Failed = (PathBuf, io::Error);

/// The directory at a path of a tree, below which links are resolved; `None` when nothing is there.
pub(super) fn find(tree: &Path, at: &Path) -> Result<Option<OwnedFd>, Errno> {
    let root = rustix::fs::open(tree, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    match rustix::fs::openat2(&root, at, flags, Mode::empty(), resolve) {
        Ok(found) => Ok(Some(found)),
        Err(Errno::NOENT) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Copies what a directory holds, and what it is itself, to an empty one.
pub(super) fn copy(source: BorrowedFd<'_>, target: BorrowedFd<'_>, ids: SourceIds) -> Result<(), Failed> {
    Copy { target, ids, links: BTreeMap::new() }.directory(source, target, Path::new(""))
}

struct Copy<'a> {
    /// Of the whole copy.
    target: BorrowedFd<'a>,
    ids: SourceIds,
    /// Where each inode of the source was put first: in a store all files have more than one name.
    links: BTreeMap<(u64, u64), PathBuf>,
}

impl Copy<'_> {
    fn directory(
        &mut self,
        source: BorrowedFd<'_>,
        target: BorrowedFd<'_>,
        path: &Path,
    ) -> Result<(), Failed> {
        let here = |error: Errno| (path.to_owned(), error.into());
        for entry in Dir::read_from(source).map_err(here)? {
            let entry = entry.map_err(here)?;
            let name = entry.file_name();
            if name != c"." && name != c".." {
                self.entry(source, target, name, &path.join(OsStr::from_bytes(name.to_bytes())))?;
            }
        }
        // Last: each name made in it changes its time, and its mode may forbid that.
        let metadata = self.metadata(source).map_err(here)?;
        inode::apply(target, &metadata).map_err(|error| (path.to_owned(), error.into()))
    }

    fn entry(
        &mut self,
        source: BorrowedFd<'_>,
        target: BorrowedFd<'_>,
        name: &CStr,
        path: &Path,
    ) -> Result<(), Failed> {
        let here = |error: io::Error| (path.to_owned(), error);
        let stat = rustix::fs::statat(source, name, AtFlags::SYMLINK_NOFOLLOW)
            .map_err(|error| here(error.into()))?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => {
                let made = make_directory(source, target, name).map_err(|error| here(error.into()));
                let (below, made) = made?;
                self.directory(below.as_fd(), made.as_fd(), path)
            }
            FileType::RegularFile => self.file(source, target, name, path).map_err(here),
            FileType::Symlink => self.link(source, target, name).map_err(|error| here(error.into())),
            FileType::Fifo => self.fifo(&stat, target, name).map_err(|error| here(error.into())),
            // A socket is nothing without its owner; devices are those of /dev alone.
            _ => Ok(()),
        }
    }

    fn file(
        &mut self,
        source: BorrowedFd<'_>,
        target: BorrowedFd<'_>,
        name: &CStr,
        path: &Path,
    ) -> io::Result<()> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let from = File::from(rustix::fs::openat(source, name, flags, Mode::empty())?);
        let stat = rustix::fs::fstat(&from)?;
        if let Some(first) = self.links.get(&(stat.st_dev, stat.st_ino)) {
            return Ok(rustix::fs::linkat(self.target, first, target, name, AtFlags::empty())?);
        }
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut to = File::from(rustix::fs::openat(target, name, flags, Mode::RUSR | Mode::WUSR)?);
        fill(&from, &mut to)?;
        inode::apply(to.as_fd(), &self.metadata(from.as_fd())?)?;
        if stat.st_nlink > 1 {
            self.links.insert((stat.st_dev, stat.st_ino), path.to_owned());
        }
        Ok(())
    }

    fn link(&self, source: BorrowedFd<'_>, target: BorrowedFd<'_>, name: &CStr) -> Result<(), Errno> {
        let to = rustix::fs::readlinkat(source, name, Vec::new())?;
        rustix::fs::symlinkat(&to, target, name)?;
        let stat = rustix::fs::statat(source, name, AtFlags::SYMLINK_NOFOLLOW)?;
        inode::apply_at(target, name.to_bytes(), &self.owned(inode::of_stat(&stat), &stat))
    }

    fn fifo(&self, stat: &rustix::fs::Stat, target: BorrowedFd<'_>, name: &CStr) -> Result<(), Errno> {
        rustix::fs::mkfifoat(target, name, Mode::empty())?;
        inode::apply_at(target, name.to_bytes(), &self.owned(inode::of_stat(stat), stat))?;
        // The pipe is ours and new: no link can stand in its place.
        rustix::fs::chmodat(target, name, Mode::from_raw_mode(stat.st_mode & 0o7777), AtFlags::empty())
    }

    fn metadata(&self, file: BorrowedFd<'_>) -> Result<Metadata, Errno> {
        let found = inode::examine(file)?;
        Ok(self.owned(found.metadata, &found.stat))
    }

    /// Ids as a container sees them.
    fn owned(&self, metadata: Metadata, stat: &rustix::fs::Stat) -> Metadata {
        match self.ids {
            SourceIds::Foreign => metadata,
            SourceIds::Host => Metadata { uid: stat.st_uid, gid: stat.st_gid, ..metadata },
        }
    }
}

fn make_directory(
    source: BorrowedFd<'_>,
    target: BorrowedFd<'_>,
    name: &CStr,
) -> Result<(OwnedFd, OwnedFd), Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let below = rustix::fs::openat(source, name, flags, Mode::empty())?;
    rustix::fs::mkdirat(target, name, Mode::RWXU)?;
    Ok((below, rustix::fs::openat(target, name, flags, Mode::empty())?))
}

/// Shares the content where the file system can, and copies what is between the holes where it cannot.
fn fill(from: &File, to: &mut File) -> io::Result<()> {
    if rustix::fs::ioctl_ficlone(&*to, from).is_ok() {
        return Ok(());
    }
    content::copy(from, to)
}
