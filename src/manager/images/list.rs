//! The list of images.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::cmp::Reverse;

use crate::store::{ImageId, PrivateCopy, Store, StoreError, Usage};
use crate::unit::pattern;

/// An image as listed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed {
    /// Its id.
    pub id: String,
    /// Its names, sorted.
    pub names: Vec<String>,
    /// The digest of its manifest, if it came with one.
    pub digest: Option<String>,
    /// When it was built, as it says; empty where it does not.
    pub created: String,
    /// What it costs.
    #[serde(flatten)]
    pub usage: Usage,
    /// The copies that units have for themselves alone.
    pub copies: Vec<CopyOf>,
}

/// A unit's own copy of an image: it has what the image has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CopyOf {
    /// The unit.
    pub unit: String,
    /// Bytes of its files.
    pub size: u64,
}

/// The copies of one image.
pub fn copies_of(copies: &[PrivateCopy], id: &ImageId, usage: Usage) -> Vec<CopyOf> {
    let of_image = copies.iter().filter(|copy| copy.image == *id);
    of_image.map(|copy| CopyOf { unit: copy.unit.clone(), size: usage.size }).collect()
}

impl Listed {
    /// When it was built, where it says so in a way that can be read.
    pub fn created(&self) -> Option<Timestamp> {
        self.created.parse().ok()
    }

    /// Whether a word means it: as a pattern of its names, or as one image of the store.
    fn is_meant_by(&self, store: &Store, word: &str) -> bool {
        if !pattern::is_pattern(word) {
            return store.resolve(word).is_ok_and(|id| id.to_string() == self.id);
        }
        let fits = |name: &String| {
            let short = name.strip_prefix("localhost/").unwrap_or(name);
            pattern::matches(word, name) || pattern::matches(word, short)
        };
        self.names.iter().any(fits)
    }
}

/// The images that one of these words means, all where there are none, the latest first. One whose record is damaged is
/// listed with what is known: fsck says more.
///
/// # Errors
/// When the store cannot be read.
pub fn list(store: &Store, words: &[String]) -> Result<Vec<Listed>, StoreError> {
    let names = store.names()?;
    let (usages, copies) = (store.usages()?, store.private_copies()?);
    let listed = |id: &ImageId| {
        let record = store.record(id).ok();
        let usage = usages.get(id).copied().unwrap_or_default();
        Listed {
            id: id.to_string(),
            names: names.iter().filter(|(_, other)| other == id).map(|(name, _)| name.to_string()).collect(),
            digest: record.as_ref().and_then(|record| record.digest.as_ref()).map(ToString::to_string),
            created: record.as_ref().map(|record| record.created.clone()).unwrap_or_default(),
            usage,
            copies: copies_of(&copies, id, usage),
        }
    };
    let mut images: Vec<Listed> = store.images()?.iter().map(listed).collect();
    images.retain(|image| words.is_empty() || words.iter().any(|word| image.is_meant_by(store, word)));
    images.sort_by_key(|image| (Reverse(image.created()), image.names.first().cloned()));
    Ok(images)
}
