//! The tree of an image in a directory, as a container sees it: with the image's own ids and attributes.

use rustix::fs::{AtFlags, Gid, Mode, OFlags, ResolveFlags, Timespec, Timestamps, Uid, XattrFlags};
use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt as _;

use super::stored::{Content, StoredTree};
use crate::image::entry::{EntryPath, Metadata, Node, TreeEntry};
use crate::image::text::shown_path;
use crate::transfer::TransferError;
use crate::transfer::watch::Progress;

const CHUNK: usize = 64 << 10;

/// Writes the tree below an empty directory, each name by its directory's descriptor.
pub(super) fn write(tree: &StoredTree, root: OwnedFd, progress: &Progress) -> Result<(), TransferError> {
    for entry in &tree.entries {
        at(&entry.path, place(tree, &root, entry, progress))??;
    }
    // Directories last: every name that is made in one changes its time, and one may be read-only.
    for entry in tree.entries.iter().rev().filter(|entry| entry.node == Node::Directory) {
        let directory = at(&entry.path, open(&root, &entry.path))?;
        at(&entry.path, apply(directory.as_fd(), &entry.metadata))?;
    }
    Ok(())
}

/// The inner error is that of the store, the outer one of the directory.
fn place(
    tree: &StoredTree,
    root: &OwnedFd,
    entry: &TreeEntry,
    progress: &Progress,
) -> io::Result<Result<(), TransferError>> {
    let TreeEntry { path, node, metadata, hard_link, .. } = entry;
    let Some((parent, name)) = path.split() else { return Ok(Ok(())) };
    let directory = open(root, &parent)?;
    match (node, hard_link) {
        (Node::Directory, _) => rustix::fs::mkdirat(&directory, name, Mode::RWXU)?,
        (_, Some(first)) if first != path => {
            rustix::fs::linkat(root, first.as_bytes(), &directory, name, AtFlags::empty())?;
        }
        (Node::File { sha256, .. }, _) => {
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let mut file = File::from(rustix::fs::openat(&directory, name, flags, Mode::RUSR)?);
            let mut content = match tree.content(path, progress) {
                Ok(content) => content,
                Err(error) => return Ok(Err(error)),
            };
            copy(&mut content, &mut file)?;
            apply(file.as_fd(), metadata)?;
            return Ok(content.check(sha256));
        }
        (Node::Symlink { target }, _) => {
            rustix::fs::symlinkat(target.0.as_slice(), &directory, name)?;
            apply_at(directory.as_fd(), name, metadata)?;
        }
        (Node::Fifo, _) => {
            rustix::fs::mkfifoat(&directory, name, Mode::empty())?;
            apply_at(directory.as_fd(), name, metadata)?;
            // The pipe is ours and new: no link can stand in its place.
            let mode = Mode::from_raw_mode(metadata.mode);
            rustix::fs::chmodat(&directory, name, mode, AtFlags::empty())?;
        }
    }
    Ok(Ok(()))
}

fn open(root: &OwnedFd, path: &EntryPath) -> io::Result<OwnedFd> {
    let name = if path.is_root() { b"." } else { path.as_bytes() };
    let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
    Ok(rustix::fs::openat2(root, name, flags, Mode::empty(), resolve)?)
}

/// Copies a file; where the store's has holes, zeros become holes.
fn copy(content: &mut Content<'_>, target: &mut File) -> io::Result<()> {
    let metadata = content.file.metadata()?;
    let has_holes = metadata.blocks() * 512 < metadata.len();
    let mut buffer = vec![0; CHUNK];
    loop {
        let count = content.read(&mut buffer)?;
        match count {
            0 => break,
            _ if has_holes && buffer[..count].iter().all(|byte| *byte == 0) => {
                target.seek(SeekFrom::Current(count as i64))?;
            }
            _ => target.write_all(&buffer[..count])?,
        }
    }
    if has_holes { target.set_len(metadata.len()) } else { Ok(()) }
}

/// The content comes before: a write would take capabilities away, and chown(2) set-id bits.
fn apply(file: BorrowedFd<'_>, metadata: &Metadata) -> io::Result<()> {
    let (uid, gid) = (Uid::from_raw(metadata.uid), Gid::from_raw(metadata.gid));
    rustix::fs::fchown(file, Some(uid), Some(gid))?;
    rustix::fs::fchmod(file, Mode::from_raw_mode(metadata.mode))?;
    for (name, value) in &metadata.xattrs {
        rustix::fs::fsetxattr(file, name.as_str(), &value.0, XattrFlags::empty())?;
    }
    Ok(rustix::fs::futimens(file, &times(metadata))?)
}

fn apply_at(directory: BorrowedFd<'_>, name: &[u8], metadata: &Metadata) -> io::Result<()> {
    let (uid, gid) = (Uid::from_raw(metadata.uid), Gid::from_raw(metadata.gid));
    let flags = AtFlags::SYMLINK_NOFOLLOW;
    rustix::fs::chownat(directory, name, Some(uid), Some(gid), flags)?;
    Ok(rustix::fs::utimensat(directory, name, &times(metadata), flags)?)
}

fn times(metadata: &Metadata) -> Timestamps {
    let mtime = Timespec { tv_sec: metadata.mtime.seconds, tv_nsec: metadata.mtime.nanoseconds.into() };
    Timestamps { last_access: mtime, last_modification: mtime }
}

fn at<T>(path: &EntryPath, result: io::Result<T>) -> Result<T, TransferError> {
    result.map_err(|source| TransferError::Write {
        what: format!("\"{}\"", shown_path(&path.absolute())),
        source,
    })
}
