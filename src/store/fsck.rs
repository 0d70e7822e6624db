//! The check of the whole store: objects against their names, trees against their indexes.

use std::path::{Path, PathBuf};

use super::error::StoreError;
use super::objects::{self, Key, State};
use super::{ImageId, Store, index, list, tree};
use crate::image::digest::Digest;
use crate::image::document;
use crate::image::entry::{LayerEntry, TreeEntry};
use crate::image::reference::Reference;

/// Something in the store that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The file.
    pub path: PathBuf,
    /// What is wrong, to follow the path in a sentence.
    pub what: String,
}

impl Store {
    /// Reads everything and names what is damaged, missing or foreign; changes nothing.
    ///
    /// # Errors
    /// When the store's own directories cannot be read.
    pub fn fsck(&self) -> Result<Vec<Finding>, StoreError> {
        let mut findings = Vec::new();
        self.check_objects(&mut findings)?;
        self.check_layers(&mut findings)?;
        self.check_images(&mut findings)?;
        self.check_names(&mut findings)?;
        Ok(findings)
    }

    fn check_objects(&self, findings: &mut Vec<Finding>) -> Result<(), StoreError> {
        let root = self.path("objects");
        for shard in self.list("objects")? {
            let directory = root.join(&shard);
            let names = match list(&directory) {
                Ok(names) => names,
                Err(error) => {
                    findings.push(finding(&directory, error.to_string()));
                    continue;
                }
            };
            for name in names {
                let path = directory.join(&name);
                match Key::of_place(&shard, &name).map(|(key, _)| objects::examine(&path, &key)) {
                    None => findings.push(finding(&path, "is not an object of the store")),
                    Some(Ok(State::Damaged(reason))) => findings.push(finding(&path, reason)),
                    Some(Err(error)) => findings.push(finding(&path, error.to_string())),
                    Some(Ok(State::Intact | State::Missing)) => {}
                }
            }
        }
        Ok(())
    }

    fn check_layers(&self, findings: &mut Vec<Finding>) -> Result<(), StoreError> {
        for name in self.list("layers")? {
            let path = self.path("layers").join(&name);
            if is_digest(&name) {
                findings.extend(index::read::<LayerEntry>(&path).err().map(|error| damage(&path, error)));
            } else {
                findings.push(finding(&path, "is not the index of a layer"));
            }
        }
        Ok(())
    }

    fn check_images(&self, findings: &mut Vec<Finding>) -> Result<(), StoreError> {
        for name in self.list("images")? {
            let path = self.path("images").join(&name);
            match Digest::parse(&format!("sha256:{name}")) {
                Ok(digest) => self.check_image(&ImageId(digest), findings),
                Err(_) => findings.push(finding(&path, "is not an image of the store")),
            }
        }
        Ok(())
    }

    fn check_image(&self, id: &ImageId, findings: &mut Vec<Finding>) {
        let directory = self.image_directory(id);
        findings.extend(self.record_fault(id, &directory));
        let index = directory.join("index");
        match index::read::<TreeEntry>(&index) {
            Ok(entries) => findings.extend(tree::compare(self, &directory.join("rootfs"), &entries)),
            Err(error) => findings.push(damage(&index, error)),
        }
    }

    /// The configuration must hash to the image's id, and the record say what it says.
    fn record_fault(&self, id: &ImageId, directory: &Path) -> Option<Finding> {
        let path = directory.join("config");
        let config = match std::fs::read(&path) {
            Ok(config) => config,
            Err(error) => return Some(finding(&path, format!("cannot be read: {error}"))),
        };
        if Digest::of(&config) != id.0 {
            return Some(finding(&path, "is not what the image's id says"));
        }
        let path = directory.join("record");
        match (self.record(id), document::parse(&config, "config")) {
            (Err(error), _) => Some(damage(&path, error)),
            (Ok(record), Ok(document)) if record.config == document.config && record.id == id.0 => None,
            _ => Some(finding(&path, "does not say what the configuration says")),
        }
    }

    fn check_names(&self, findings: &mut Vec<Finding>) -> Result<(), StoreError> {
        let whole = self.names()?;
        for name in self.list("refs")? {
            let reference = Reference::parse(&name.replace('%', "/"));
            let known = reference.is_ok_and(|reference| whole.iter().any(|(name, _)| *name == reference));
            if !known {
                findings.push(finding(&self.path("refs").join(name), "leads to no image"));
            }
        }
        Ok(())
    }

    /// What is wrong with one image's tree and record; contents of objects are not read.
    pub(super) fn image_faults(&self, id: &ImageId) -> Vec<Finding> {
        let mut findings = Vec::new();
        self.check_image(id, &mut findings);
        findings
    }
}

fn is_digest(hex: &str) -> bool {
    ["sha256", "sha512"].iter().any(|algorithm| Digest::parse(&format!("{algorithm}:{hex}")).is_ok())
}

fn finding(path: &Path, what: impl Into<String>) -> Finding {
    Finding { path: path.to_owned(), what: what.into() }
}

/// A finding from an error that already names its file.
fn damage(path: &Path, error: StoreError) -> Finding {
    match error {
        StoreError::Damaged { reason, .. } => finding(path, format!("is damaged: {reason}")),
        StoreError::Io { source, .. } => finding(path, format!("cannot be read: {source}")),
        error => finding(path, error.to_string()),
    }
}
