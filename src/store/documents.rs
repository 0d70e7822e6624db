//! The documents of an image as they came.

use std::io::ErrorKind;

use super::error::{Context, StoreError};
use super::{ImageId, Store};

impl Store {
    /// The configuration of an image.
    ///
    /// # Errors
    /// When the image is not in the store, or its configuration is gone.
    pub fn config(&self, id: &ImageId) -> Result<Vec<u8>, StoreError> {
        let path = self.image_directory(id).join("config");
        std::fs::read(&path).context("read", &path)
    }

    /// The manifest of an image; `None` when it came without one.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn manifest(&self, id: &ImageId) -> Result<Option<Vec<u8>>, StoreError> {
        let path = self.image_directory(id).join("manifest");
        match std::fs::read(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            result => result.map(Some).context("read", &path),
        }
    }
}
