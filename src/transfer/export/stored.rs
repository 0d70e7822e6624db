//! The tree of an image in the store: its index, and its files, each checked as it is read.

use rustix::fs::{Mode, OFlags, ResolveFlags};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;

use crate::image::digest::{ContentHash, ContentHasher};
use crate::image::entry::{EntryPath, Node, TreeEntry};
use crate::image::text::shown_path;
use crate::store::{ImageId, Store};
use crate::transfer::TransferError;
use crate::transfer::tarball::{Kind, TarWriter};
use crate::transfer::watch::Progress;

/// A tree that can be read.
#[derive(Debug)]
pub(super) struct StoredTree {
    root: OwnedFd,
    pub(super) entries: Vec<TreeEntry>,
}

impl StoredTree {
    pub(super) fn open(store: &Store, id: &ImageId) -> Result<Self, TransferError> {
        let entries = store.entries(id)?;
        let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
        let root = rustix::fs::open(store.rootfs(id), flags, Mode::empty());
        let root = root.map_err(|error| TransferError::Read {
            what: "the image's tree".to_owned(),
            source: error.into(),
        })?;
        Ok(Self { root, entries })
    }

    /// A file's content, which is not complete before [`Content::check`] says so; `progress` hears of its bytes.
    pub(super) fn content<'a>(
        &self,
        path: &EntryPath,
        progress: &'a Progress,
    ) -> Result<Content<'a>, TransferError> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
        let file = rustix::fs::openat2(&self.root, path.as_bytes(), flags, Mode::empty(), resolve);
        let file = file.map_err(|error| damaged(path, error.into()))?;
        let (path, hasher) = (path.clone(), ContentHasher::default());
        Ok(Content { path, file: File::from(file), hasher, progress })
    }

    /// Writes all entries.
    pub(super) fn write<W: Write>(
        &self,
        tar: &mut TarWriter<W>,
        progress: &Progress,
    ) -> Result<(), TransferError> {
        for entry in &self.entries {
            let TreeEntry { path, node, metadata, hard_link, .. } = entry;
            let kind = match (node, hard_link) {
                (Node::File { .. } | Node::Symlink { .. } | Node::Fifo, Some(first)) if first != path => {
                    Kind::HardLink(first)
                }
                (Node::Directory, _) => Kind::Directory,
                (Node::File { size, .. }, _) => Kind::File(*size),
                (Node::Symlink { target }, _) => Kind::Symlink(&target.0),
                (Node::Fifo, _) => Kind::Fifo,
            };
            tar.entry(path, kind, metadata).map_err(super::write_error)?;
            if let (Kind::File(size @ 1..), Node::File { sha256, .. }) = (kind, node) {
                let mut content = self.content(path, progress)?;
                tar.body(size, &mut content).map_err(super::write_error)?;
                content.check(sha256)?;
            }
        }
        Ok(())
    }
}

/// The content of a file of the store.
#[derive(Debug)]
pub(super) struct Content<'a> {
    path: EntryPath,
    pub(super) file: File,
    hasher: ContentHasher,
    progress: &'a Progress,
}

impl Content<'_> {
    /// Whether all that was read is what the index says.
    pub(super) fn check(self, expected: &ContentHash) -> Result<(), TransferError> {
        if self.hasher.finish() == *expected {
            return Ok(());
        }
        Err(damaged(&self.path, io::Error::other("its content is not what the image's index says")))
    }
}

impl Read for Content<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read(buffer)?;
        self.hasher.update(&buffer[..count]);
        self.progress.advance(count);
        Ok(count)
    }
}

fn damaged(path: &EntryPath, source: io::Error) -> TransferError {
    TransferError::Read { what: format!("the image's \"{}\"", shown_path(&path.absolute())), source }
}
