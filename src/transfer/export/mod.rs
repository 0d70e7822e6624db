//! Images of the store for other programs: a directory, a tar stream, an OCI or a Docker archive.
//!
//! An image leaves as one layer. The layers that it came with cannot be made again: of a flat tree, what they hid
//! is gone. So its configuration names another layer, and the exported image has another id than that in the
//! store; exporting it again, wherever it was imported, gives the same bytes.

mod archive;
mod directory;
mod document;
mod stored;

use std::fs::File;
use std::io::Write;
use std::os::fd::OwnedFd;

use super::TransferError;
use super::tarball::TarWriter;
use super::watch::{Progress, Watch};
use crate::image::digest::Digest;
use crate::image::reference::Reference;
use crate::store::{ImageId, Store};
use stored::StoredTree;

pub use archive::{Form, Packing};

/// An image on its way out.
#[derive(Debug)]
pub struct Export {
    tree: StoredTree,
    config: Vec<u8>,
    name: Option<Reference>,
    /// Bytes of its files.
    size: Option<u64>,
    watch: Watch,
}

impl Export {
    /// Opens an image; `name` is what an archive says it is called, `watch` hears of what is written.
    ///
    /// # Errors
    /// When it is not in the store, or not whole.
    pub fn open(
        store: &Store,
        id: &ImageId,
        name: Option<Reference>,
        watch: Watch,
    ) -> Result<Self, TransferError> {
        let size = store.record(id).ok().map(|record| record.size);
        Ok(Self { tree: StoredTree::open(store, id)?, config: store.config(id)?, name, size, watch })
    }

    /// Writes the tree into an empty directory, with the image's own ids and attributes.
    ///
    /// # Errors
    /// When a file of the store is damaged, or the directory cannot be written.
    pub fn to_directory(&self, directory: OwnedFd) -> Result<(), TransferError> {
        let progress = self.begin();
        directory::write(&self.tree, directory, &progress)?;
        progress.end();
        Ok(())
    }

    /// Writes the tree as a tar stream.
    ///
    /// # Errors
    /// When a file of the store is damaged, or the stream cannot be written.
    pub fn to_tar(&self, output: impl Write) -> Result<(), TransferError> {
        let mut tar = TarWriter::new(output);
        self.write(&mut tar)?;
        tar.finish().map(drop).map_err(write_error)
    }

    /// Writes an archive of the image, and returns the id that it has there; its layer is made in `spool` first,
    /// an empty file.
    ///
    /// # Errors
    /// As [`Export::to_tar`].
    pub fn to_archive(&self, form: Form, spool: File, output: impl Write) -> Result<Digest, TransferError> {
        archive::write(self, form, spool, output)
    }

    fn write<W: Write>(&self, tar: &mut TarWriter<W>) -> Result<(), TransferError> {
        let progress = self.begin();
        self.tree.write(tar, &progress)?;
        progress.end();
        Ok(())
    }

    fn begin(&self) -> Progress {
        self.watch.begin("the files", self.size)
    }
}

fn write_error(source: std::io::Error) -> TransferError {
    TransferError::Write { what: "the archive".to_owned(), source }
}
