//! Files of the store by what they are: for a source that tells what a file is before it sends it.

use rustix::fs::FileType;
use std::fs::File;
use std::io;

use super::objects::Key;
use super::{Store, inode};
use crate::image::digest::ContentHash;
use crate::image::entry::Metadata;

/// A file that the store has, for as long as its lock is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KnownFile {
    key: Key,
    size: u64,
}

impl KnownFile {
    /// Its size in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }
}

impl Store {
    /// Whether there is an image whose files could be of use.
    pub fn has_images(&self) -> bool {
        self.images().is_ok_and(|images| !images.is_empty())
    }

    /// The file with this content and metadata. Its bytes are not looked at: who reads them has to check them.
    pub fn known_file(&self, content: &ContentHash, size: u64, metadata: &Metadata) -> Option<KnownFile> {
        let key = self.key(content, metadata);
        let stat = rustix::fs::lstat(self.object(&key, 0)).ok()?;
        let is_it =
            inode::file_type(&stat) == FileType::RegularFile && u64::try_from(stat.st_size) == Ok(size);
        is_it.then_some(KnownFile { key, size })
    }

    /// Opens a known file for reading.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn open_known(&self, file: &KnownFile) -> io::Result<File> {
        Ok(File::from(inode::open(&self.object(&file.key, 0))?))
    }
}
