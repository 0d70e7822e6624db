//! What was left out of a layer, kept beside its index: whoever finds the layer known tells it, as did who read it.

use std::fs;
use std::io::ErrorKind::NotFound;
use std::path::{Path, PathBuf};

use super::error::{Context, StoreError};
use super::staging::remove_tree;
use crate::image::notices::Notices;

const ENDING: &str = ".notices";

/// Writes them beside an index in staging; most layers have none, and no file.
pub(super) fn write(index: &Path, notices: &Notices) -> Result<(), StoreError> {
    let path = beside(index);
    match notices.is_empty() {
        true => Ok(()),
        false => serde_json::to_vec(notices)
            .map_err(std::io::Error::from)
            .and_then(|bytes| fs::write(&path, bytes))
            .context("write", &path),
    }
}

/// Reads those beside an index.
pub(super) fn read(index: &Path) -> Result<Notices, StoreError> {
    let path = beside(index);
    match fs::read(&path) {
        Err(error) if error.kind() == NotFound => Ok(Notices::default()),
        read => serde_json::from_slice(&read.context("read", &path)?)
            .map_err(|error| StoreError::Damaged { path, reason: error.to_string() }),
    }
}

/// Places those beside an index in staging beside that in the store, before the index itself.
pub(super) fn place(staged: &Path, placed: &Path) -> Result<(), StoreError> {
    match fs::rename(beside(staged), beside(placed)) {
        Err(error) if error.kind() == NotFound => remove_tree(&beside(placed)),
        result => result.context("make", &beside(placed)),
    }
}

/// The name of the index that a file in `layers/` belongs to, which is its own or that of the index beside it.
pub(super) fn index_name(name: &str) -> &str {
    name.strip_suffix(ENDING).unwrap_or(name)
}

fn beside(index: &Path) -> PathBuf {
    let mut path = index.as_os_str().to_owned();
    path.push(ENDING);
    path.into()
}
