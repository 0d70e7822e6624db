//! Filling a volume with entries that come one by one, as from an archive, each by descriptors below its root.

use rustix::fs::{AtFlags, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::{AsFd, OwnedFd};

use crate::image::body::{Body, Piece};
use crate::image::entry::{EntryPath, Metadata};
use crate::image::text::shown_path;
use crate::store::error::StoreError;
use crate::store::inode;

const CHUNK: usize = 64 << 10;

/// Puts entries into an empty volume. No link in it is ever followed.
#[derive(Debug)]
pub struct Filler<'volume> {
    root: &'volume OwnedFd,
    /// Given at the end: each name made in a directory changes its time, and its mode may forbid more.
    directories: Vec<(EntryPath, Metadata)>,
}

impl<'volume> Filler<'volume> {
    /// Begins with an empty volume.
    pub fn new(root: &'volume OwnedFd) -> Self {
        Self { root, directories: Vec::new() }
    }

    /// Makes a directory, or has one that exists get this owner, mode and time.
    ///
    /// # Errors
    /// When something else is there.
    pub fn directory(&mut self, path: &EntryPath, metadata: Metadata) -> Result<(), StoreError> {
        at(path, self.open(path).map(drop))?;
        self.directories.push((path.clone(), metadata));
        Ok(())
    }

    /// Makes a file.
    ///
    /// # Errors
    /// When something is there, or the content cannot be read or kept.
    pub fn file(
        &mut self,
        path: &EntryPath,
        metadata: &Metadata,
        mut content: Body<'_>,
    ) -> Result<(), StoreError> {
        let written = self.place(path).map_err(io::Error::from).and_then(|(parent, name)| {
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let mut file = File::from(rustix::fs::openat(&parent, name, flags, Mode::RUSR | Mode::WUSR)?);
            write(&mut content, &mut file)?;
            Ok(inode::apply(file.as_fd(), metadata)?)
        });
        written.map_err(|error| refused(path, &error))
    }

    /// Makes a symbolic link.
    ///
    /// # Errors
    /// When something is there.
    pub fn symlink(
        &mut self,
        path: &EntryPath,
        metadata: &Metadata,
        target: &[u8],
    ) -> Result<(), StoreError> {
        at(
            path,
            self.place(path).and_then(|(parent, name)| {
                rustix::fs::symlinkat(target, &parent, name)?;
                inode::apply_at(parent.as_fd(), name, metadata)
            }),
        )
    }

    /// Gives a file another name.
    ///
    /// # Errors
    /// When there is no such file, or something has the name.
    pub fn hard_link(&mut self, path: &EntryPath, target: &EntryPath) -> Result<(), StoreError> {
        at(
            path,
            self.place(target).and_then(|(from, first)| {
                let (parent, name) = self.place(path)?;
                rustix::fs::linkat(&from, first, &parent, name, AtFlags::empty())
            }),
        )
    }

    /// Makes a named pipe.
    ///
    /// # Errors
    /// When something is there.
    pub fn fifo(&mut self, path: &EntryPath, metadata: &Metadata) -> Result<(), StoreError> {
        at(
            path,
            self.place(path).and_then(|(parent, name)| {
                rustix::fs::mkfifoat(&parent, name, Mode::empty())?;
                inode::apply_at(parent.as_fd(), name, metadata)?;
                // The pipe is ours and new: no link can stand in its place.
                rustix::fs::chmodat(&parent, name, Mode::from_raw_mode(metadata.mode), AtFlags::empty())
            }),
        )
    }

    /// Ends, with directories as their last entries said.
    ///
    /// # Errors
    /// When one cannot be changed.
    pub fn finish(self) -> Result<(), StoreError> {
        for (path, metadata) in self.directories.iter().rev() {
            let directory = at(path, self.open(path))?;
            let applied = inode::apply(directory.as_fd(), metadata);
            applied.map_err(|fault| refused(path, &fault.into()))?;
        }
        Ok(())
    }

    /// The directory of a path, and the name in it.
    fn place<'path>(&self, path: &'path EntryPath) -> Result<(OwnedFd, &'path [u8]), Errno> {
        let (parent, name) = path.split().ok_or(Errno::EXIST)?;
        Ok((self.open(&parent)?, name))
    }

    /// Opens a directory, making it and those above as needed.
    fn open(&self, path: &EntryPath) -> Result<OwnedFd, Errno> {
        let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
        let mut current = rustix::fs::openat2(self.root, c".", flags, Mode::empty(), resolve)?;
        for name in path.names() {
            let open = || rustix::fs::openat2(&current, name, flags, Mode::empty(), resolve);
            current = match open() {
                Err(Errno::NOENT) => {
                    rustix::fs::mkdirat(&current, name, Mode::RWXU)?;
                    let made = open()?;
                    inode::apply_plain(made.as_fd(), &Metadata::implied_directory())?;
                    made
                }
                opened => opened?,
            };
        }
        Ok(current)
    }
}

fn write(content: &mut Body<'_>, file: &mut File) -> io::Result<()> {
    let mut buffer = vec![0; CHUNK];
    loop {
        match content.next(&mut buffer)? {
            // Archives without a map of holes write them as zeros.
            Piece::Bytes(count) if buffer[..count].iter().all(|byte| *byte == 0) => skip(file, count as u64)?,
            Piece::Bytes(count) => file.write_all(&buffer[..count])?,
            Piece::Hole(length) => skip(file, length)?,
            Piece::End => return file.set_len(content.size()),
        }
    }
}

fn skip(file: &File, length: u64) -> io::Result<()> {
    let length = i64::try_from(length).map_err(|_| io::ErrorKind::InvalidData)?;
    rustix::fs::seek(file, rustix::fs::SeekFrom::Current(length))?;
    Ok(())
}

fn at<T>(path: &EntryPath, result: Result<T, Errno>) -> Result<T, StoreError> {
    result.map_err(|error| refused(path, &error.into()))
}

fn refused(path: &EntryPath, error: &io::Error) -> StoreError {
    StoreError::Entry { entry: shown_path(&path.absolute()), reason: error.to_string() }
}
