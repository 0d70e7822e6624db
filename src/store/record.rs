//! The record of an image: what readers need without parsing anything that a stranger wrote.

use serde::{Deserialize, Serialize};
use std::io;
use std::path::Path;

use super::error::{Context, StoreError};
use super::{ImageId, Store};
use crate::image::config::ImageConfig;
use crate::image::digest::Digest;
use crate::image::document::ConfigDocument;
use crate::image::entry::TreeEntry;
use crate::image::reference::Reference;

/// What is known of an image; the file `record` beside its tree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageRecord {
    /// The image's id: the digest of its configuration.
    pub id: Digest,
    /// The digest of its manifest; a `docker save` archive has none.
    pub digest: Option<Digest>,
    /// When it was built, as its configuration says.
    pub created: String,
    /// What it runs on: `amd64`.
    pub architecture: String,
    /// Its layers, the lowest first.
    pub layers: Vec<LayerRecord>,
    /// Entries of its tree.
    pub entries: u64,
    /// Bytes of its regular files.
    pub size: u64,
    /// What was left out of it, a sentence each.
    pub notices: Vec<String>,
    /// Names that it has, by which one that is damaged or lost finds back (see `names`).
    #[serde(default)]
    pub imported_as: Vec<Reference>,
    /// What it has been called, without tags and digests, names that it has lost among them: under these a pinned
    /// digest finds it.
    #[serde(default)]
    pub came_as: Vec<String>,
    /// What a launch uses.
    pub config: ImageConfig,
}

/// One layer of an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayerRecord {
    /// The digest of the packed blob, when the image came with one.
    pub digest: Option<Digest>,
    /// The digest of the plain layer.
    pub diff_id: Digest,
}

impl ImageRecord {
    /// What the configuration and the tree tell; the rest comes from elsewhere.
    pub(super) fn of(id: &ImageId, document: &ConfigDocument, entries: u64, size: u64) -> Self {
        Self {
            id: id.digest().clone(),
            digest: None,
            created: document.created.clone(),
            architecture: document.platform.architecture.clone(),
            layers: Vec::new(),
            entries,
            size,
            notices: Vec::new(),
            imported_as: Vec::new(),
            came_as: Vec::new(),
            config: document.config.clone(),
        }
    }

    /// Notes what it is called.
    pub(super) fn came_as(&mut self, reference: &Reference) {
        if !self.came_as.iter().any(|name| name == reference.name()) {
            self.came_as.push(reference.name().to_owned());
        }
    }

    /// The bytes of the file.
    pub(super) fn to_bytes(&self) -> io::Result<Vec<u8>> {
        Ok(serde_json::to_vec_pretty(self)?)
    }
}

impl Store {
    /// What is known of an image.
    ///
    /// # Errors
    /// When it is not in the store, or its record is damaged.
    pub fn record(&self, id: &ImageId) -> Result<ImageRecord, StoreError> {
        let directory = self.image_directory(id);
        if !directory.try_exists().context("look at", &directory)? {
            return Err(StoreError::NoImage(id.to_string()));
        }
        read(&directory.join("record"))
    }

    /// The same; `None` when it is missing or damaged, but an error when it cannot be read today and may be whole.
    pub(super) fn record_if_whole(&self, id: &ImageId) -> Result<Option<ImageRecord>, StoreError> {
        match self.record(id) {
            Err(StoreError::Io { cause, .. }) if cause.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(StoreError::Damaged { .. } | StoreError::NoImage(_)) => Ok(None),
            record => record.map(Some),
        }
    }
}

/// Bytes of the regular files of a tree, each inode once.
pub(super) fn size_of(entries: &[TreeEntry]) -> u64 {
    entries.iter().map(TreeEntry::size_of_inode).sum()
}

/// Reads the file.
pub(super) fn read(path: &Path) -> Result<ImageRecord, StoreError> {
    let bytes = std::fs::read(path).context("read", path)?;
    serde_json::from_slice(&bytes)
        .map_err(|error| StoreError::Damaged { path: path.to_owned(), reason: error.to_string() })
}
