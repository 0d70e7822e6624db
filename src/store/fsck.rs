//! The check of the whole store: objects against their names, trees against their indexes, indexes against their
//! layers, records against their configurations.
//!
//! It takes no lock. What a writer takes away while it looks is no finding.

use serde::de::DeserializeOwned;
use std::path::{Path, PathBuf};

use super::error::StoreError;
use super::names::file_name;
use super::notices::{self, index_name};
use super::objects::{self, Key, State};
use super::private::{self, PrivateCopy};
use super::record::{ImageRecord, size_of};
use super::tree::Files;
use super::{DIRECTORIES, ImageId, Index, OF_NEW_DISK, Store, list, tree};
use crate::image::digest::Digest;
use crate::image::document::{self, ConfigDocument};
use crate::image::entry::{LayerEntry, TreeEntry};

/// Files beside the store's directories.
const FILES: [&str; 8] =
    ["format", "format.new", "lock", "names.lock", "ids", "ids.lock", "ids.new", "usage"];
/// What the directory of an image holds.
const PARTS: [&str; 5] = ["rootfs", "record", "manifest", "config", "index"];
const FOREIGN: &str = "is foreign to the store: look at it, and remove it by hand";

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
        if !self.check_root(&mut findings)? {
            return Ok(findings);
        }
        self.check_objects(&mut findings)?;
        self.check_layers(&mut findings)?;
        self.check_images(&mut findings)?;
        self.check_names(&mut findings)?;
        self.check_copies(&mut findings)?;
        Ok(findings)
    }

    /// Whether the store has all of its directories, without which nothing else can be said.
    fn check_root(&self, findings: &mut Vec<Finding>) -> Result<bool, StoreError> {
        for name in
            list(&self.root)?.iter().filter(|name| !is_of(name, &[&DIRECTORIES, &FILES, &[OF_NEW_DISK]]))
        {
            findings.push(finding(&self.path(name), FOREIGN));
        }
        let missing = self.missing_directories();
        findings.extend(
            missing.iter().map(|path| finding(path, "is missing: repair the store before it is used")),
        );
        Ok(missing.is_empty())
    }

    /// The store's own directories that are not there.
    pub(super) fn missing_directories(&self) -> Vec<PathBuf> {
        DIRECTORIES.iter().map(|name| self.path(name)).filter(|path| !path.is_dir()).collect()
    }

    fn check_objects(&self, findings: &mut Vec<Finding>) -> Result<(), StoreError> {
        let names = self.list("objects")?.into_iter();
        let (shards, others): (Vec<_>, Vec<_>) = names.partition(|name| self.is_shard(name));
        let paths = others.iter().map(|name| self.path("objects").join(name));
        findings.extend(paths.filter(|path| is_there(path)).map(|path| finding(&path, FOREIGN)));
        for shard in shards {
            let directory = self.path("objects").join(&shard);
            for name in list(&directory)? {
                let path = directory.join(&name);
                match Key::of_place(&shard, &name).map(|(key, _)| objects::examine(&path, &key)) {
                    None => findings.push(finding(&path, FOREIGN)),
                    Some(Ok(State::Damaged(reason))) => findings.push(finding(&path, reason)),
                    Some(Err(error)) => findings.push(damage(&path, error)),
                    Some(Ok(State::Intact { .. } | State::Missing)) => {}
                }
            }
        }
        Ok(())
    }

    fn check_layers(&self, findings: &mut Vec<Finding>) -> Result<(), StoreError> {
        for name in self.list("layers")? {
            let path = self.path("layers").join(&name);
            let index = self.path("layers").join(index_name(&name));
            let read = || match index == path {
                true => read_whole::<LayerEntry>(&path).map(drop),
                false => notices::read(&index).map(drop),
            };
            if !is_digest(index_name(&name)) {
                findings.push(finding(&path, FOREIGN));
            } else if let Err(error) = read()
                && is_there(&path)
            {
                findings.push(damage(&path, error));
            }
        }
        Ok(())
    }

    fn check_images(&self, findings: &mut Vec<Finding>) -> Result<(), StoreError> {
        for name in self.list("images")? {
            let path = self.path("images").join(&name);
            match Digest::parse(&format!("sha256:{name}")) {
                Ok(digest) => self.check_image(&ImageId(digest), findings),
                Err(_) => findings.push(finding(&path, FOREIGN)),
            }
        }
        Ok(())
    }

    fn check_image(&self, id: &ImageId, findings: &mut Vec<Finding>) {
        let directory = self.image_directory(id);
        let mut found: Vec<Finding> = self.record_fault(id).into_iter().collect();
        found.extend(self.manifest_fault(id));
        let names = list(&directory).unwrap_or_default();
        let foreign = names.iter().filter(|name| !is_of(name, &[&PARTS]));
        found.extend(foreign.map(|name| finding(&directory.join(name), FOREIGN)));
        let index = directory.join("index");
        match read_whole::<TreeEntry>(&index) {
            Ok(entries) => {
                found.extend(self.index_fault(id, &entries).map(|what| finding(&index, what)));
                found.extend(tree::compare(self, &directory.join("rootfs"), &entries, Files::Objects));
            }
            Err(error) => found.push(damage(&index, error)),
        }
        if is_there(&directory) {
            findings.append(&mut found);
        }
    }

    /// The configuration must hash to the image's id, and the record say what it says.
    pub(super) fn record_fault(&self, id: &ImageId) -> Option<Finding> {
        let directory = self.image_directory(id);
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
            (Ok(record), Ok(document)) if record.id == id.0 && agree(&record, &document) => None,
            _ => Some(finding(&path, "does not say what the configuration says")),
        }
    }

    /// A manifest must hash to the digest in the record.
    pub(super) fn manifest_fault(&self, id: &ImageId) -> Option<Finding> {
        let digest = self.record(id).ok()?.digest?;
        let path = self.image_directory(id).join("manifest");
        match std::fs::read(&path) {
            Err(error) => Some(finding(&path, format!("cannot be read: {error}"))),
            Ok(bytes) if Digest::matches(&digest, &bytes) => None,
            Ok(_) => Some(finding(&path, "is not what the image's digest says")),
        }
    }

    /// An index can be whole and yet another image's: its layers and its record know better.
    fn index_fault(&self, id: &ImageId, entries: &[TreeEntry]) -> Option<&'static str> {
        let record = self.record(id).ok()?;
        if record.entries != entries.len() as u64 || record.size != size_of(entries) {
            return Some("does not have the entries that the image's record says");
        }
        let diff_ids: Vec<Digest> = record.layers.into_iter().map(|layer| layer.diff_id).collect();
        let folded = self.folded(&diff_ids).ok()??;
        (!same(entries, &folded)).then_some("is not what the image's layers give")
    }

    fn check_names(&self, findings: &mut Vec<Finding>) -> Result<(), StoreError> {
        for name in self.list("refs")? {
            let path = self.path("refs").join(&name);
            let image = match self.name_of(&name)? {
                Some(reference) => self.read_name(&reference)?,
                None => None,
            };
            if image.is_none() && is_there(&path) {
                findings.push(finding(&path, "leads to no image"));
            }
        }
        for (reference, id) in self.lost_names()? {
            let path = self.path("refs").join(file_name(&reference));
            findings.push(finding(&path, format!("is missing: {id} has this name")));
        }
        Ok(())
    }

    fn check_copies(&self, findings: &mut Vec<Finding>) -> Result<(), StoreError> {
        for (_, directory) in self.private_directories()? {
            let names = list(&directory)?.into_iter().filter(|name| private::image_of(name).is_none());
            findings.extend(names.map(|name| finding(&directory.join(name), FOREIGN)));
        }
        for copy in self.private_copies()? {
            let found = self.copy_faults(&copy);
            findings.extend(found.into_iter().filter(|_| is_there(&copy.tree)));
        }
        Ok(())
    }

    /// What a unit's copy has otherwise than its image. Of one whose image has gone, or has no index that could be
    /// read, nothing can be said.
    pub(super) fn copy_faults(&self, copy: &PrivateCopy) -> Vec<Finding> {
        let entries = read_whole::<TreeEntry>(&self.image_directory(&copy.image).join("index"));
        entries.map(|entries| tree::compare(self, &copy.tree, &entries, Files::Own)).unwrap_or_default()
    }

    /// What is wrong with one image's tree and record; contents of objects are not read.
    pub(super) fn image_faults(&self, id: &ImageId) -> Vec<Finding> {
        let mut findings = Vec::new();
        self.check_image(id, &mut findings);
        findings
    }
}

/// All records of an index file.
pub(super) fn read_whole<T: DeserializeOwned>(path: &Path) -> Result<Vec<T>, StoreError> {
    Index::open(path)?.records().collect()
}

/// Whether two trees have the same entries; which of equal objects they use may differ.
pub(super) fn same(one: &[TreeEntry], other: &[TreeEntry]) -> bool {
    let equal = |(one, other): (&TreeEntry, &TreeEntry)| {
        (&one.path, &one.node, &one.metadata, &one.hard_link)
            == (&other.path, &other.node, &other.metadata, &other.hard_link)
    };
    one.len() == other.len() && one.iter().zip(other).all(equal)
}

fn agree(record: &ImageRecord, document: &ConfigDocument) -> bool {
    record.config == document.config
        && record.created == document.created
        && record.architecture == document.platform.architecture
        && record.layers.iter().map(|layer| &layer.diff_id).eq(&document.diff_ids)
}

/// Whether a file is still there after it was found wrong.
fn is_there(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}

fn is_of(name: &str, known: &[&[&str]]) -> bool {
    known.iter().any(|names| names.contains(&name))
}

pub(super) fn is_digest(hex: &str) -> bool {
    ["sha256", "sha512"].iter().any(|algorithm| Digest::parse(&format!("{algorithm}:{hex}")).is_ok())
}

pub(super) fn finding(path: &Path, what: impl Into<String>) -> Finding {
    Finding { path: path.to_owned(), what: what.into() }
}

/// A finding from an error that already names its file.
fn damage(path: &Path, error: StoreError) -> Finding {
    match error {
        StoreError::Damaged { reason, .. } => finding(path, format!("is damaged: {reason}")),
        StoreError::Io { cause, .. } => finding(path, format!("cannot be read: {cause}")),
        error => finding(path, error.to_string()),
    }
}
