//! The documents of an image as they came.

use std::io::ErrorKind;

use super::error::{Context, StoreError};
use super::{ImageId, Store};
use crate::image::digest::Digest;

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

    /// The manifest or configuration with this digest, if an image has it undamaged: what is here needs not be
    /// fetched.
    pub fn document(&self, digest: &Digest) -> Option<Vec<u8>> {
        let whole = |bytes: &Vec<u8>| digest.matches(bytes);
        let id = ImageId::new(digest.clone()).ok();
        if let Some(config) = id.and_then(|id| self.config(&id).ok()).filter(whole) {
            return Some(config);
        }
        let images = self.images().ok()?.into_iter();
        let has_it =
            |id: &ImageId| self.record(id).is_ok_and(|record| record.digest.as_ref() == Some(digest));
        images.filter(has_it).find_map(|id| self.manifest(&id).ok()?.filter(whole))
    }
}
