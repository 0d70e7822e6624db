//! Names of images, and what a text on a command line or in a unit means.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use super::error::{Context, StoreError};
use super::ids::replace;
use super::staging::{Purpose, Staging};
use super::{ImageId, ImageRecord, Store};
use crate::image::digest::{Digest, is_lower_hex};
use crate::image::origin::{OriginError, Policy};
use crate::image::reference::Reference;

/// Fewest digits that may stand for an id.
const DIGITS_MIN: usize = 4;
/// The longest name of a file, NAME_MAX in limits.h(0p).
const FILE_NAME_MAX: usize = 255;

impl Store {
    /// The image that a text means: an id, the first digits of one, a full name, or a short name, which is first
    /// looked for below `localhost/` and then as [`ShortNames::candidates`](crate::image::short_name::ShortNames)
    /// says.
    ///
    /// # Errors
    /// When there is no such image, or several.
    pub fn resolve(&self, text: &str) -> Result<ImageId, StoreError> {
        let text = text.strip_prefix("store:").unwrap_or(text);
        for reference in self.short_names.candidates(text) {
            if let Some(id) = self.named(&reference)? {
                return Ok(id);
            }
        }
        self.by_digits(text)?
            .ok_or_else(|| StoreError::NoImage(crate::image::text::printable(text.as_bytes())))
    }

    /// All names and the images that they lead to, sorted by name.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn names(&self) -> Result<Vec<(Reference, ImageId)>, StoreError> {
        let mut names = Vec::new();
        for file in self.list("refs")? {
            if let Some(reference) = self.name_of(&file)?
                && let Some(id) = self.read_name(&reference)?
            {
                names.push((reference, id));
            }
        }
        Ok(names)
    }

    /// Names that records say and that have no file: damage took them, nobody removed them.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn lost_names(&self) -> Result<Vec<(Reference, ImageId)>, StoreError> {
        let mut lost = Vec::new();
        for id in self.images()? {
            lost.extend(self.lost_names_of(&id)?.into_iter().map(|name| (name, id.clone())));
        }
        // Where two records claim one, nobody knows.
        let claims = lost.clone();
        lost.retain(|(name, _)| claims.iter().filter(|(claimed, _)| claimed == name).count() == 1);
        Ok(lost)
    }

    /// Takes no lock: a record is replaced before a name of it goes, so one that is the same before and after has
    /// said the name all the while.
    fn lost_names_of(&self, id: &ImageId) -> Result<Vec<Reference>, StoreError> {
        let path = self.image_directory(id).join("record");
        let is_lost = |name: &Reference| self.path("refs").join(file_name(name)).symlink_metadata().is_err();
        loop {
            let before = version(&path);
            let names = self.record_if_whole(id)?.map(|record| record.imported_as).unwrap_or_default();
            let lost: Vec<Reference> = names.into_iter().filter(is_lost).collect();
            if lost.is_empty() || version(&path) == before {
                return Ok(lost);
            }
        }
    }

    /// The name that a text means, rather than an id.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn name(&self, text: &str) -> Result<Option<Reference>, StoreError> {
        for reference in self.short_names.candidates(text) {
            if reference.digest().is_none() && self.read_name(&reference)?.is_some() {
                return Ok(Some(reference));
            }
        }
        Ok(None)
    }

    /// Gives an image more names, which may have been those of others.
    ///
    /// # Errors
    /// When there is no such image, the policy does not let it have a name, or a name cannot be written.
    pub fn tag(&self, image: &str, names: &[Reference], policy: &Policy) -> Result<ImageId, StoreError> {
        let _lock = self.lock(Purpose::Add)?;
        let _names = self.lock_names()?;
        let id = self.resolve(image)?;
        names.iter().try_for_each(|name| self.check_tag(&id, name, policy))?;
        let staging = Staging::new(&self.root)?;
        names.iter().try_for_each(|name| self.set_name(name, &id, &staging))?;
        Ok(id)
    }

    /// A name that an image has was allowed when it came. Signatures are not kept: no other name can prove one.
    fn check_tag(&self, id: &ImageId, name: &Reference, policy: &Policy) -> Result<(), StoreError> {
        if self.read_name(name)?.as_ref() == Some(id) {
            return Ok(());
        }
        Ok(policy.check(name, &[], &[]).map_err(|error| match error {
            OriginError::Unsigned { name, prefix, reason: _ } => {
                let reason = "a tag brings none: pull or import the image under this name";
                OriginError::Unsigned { name, prefix, reason }
            }
            error => error,
        })?)
    }

    /// Gives an image a name, which another image may have had. Records say no name that is not there at any instant:
    /// it goes from a record first and comes to one last. So a name that only a record says was lost, not removed.
    pub(super) fn set_name(
        &self,
        reference: &Reference,
        id: &ImageId,
        staging: &Staging,
    ) -> Result<(), StoreError> {
        if let Some(other) = self.read_name(reference)?.filter(|other| other != id) {
            self.change_record(&other, staging, |record| {
                record.imported_as.retain(|name| name != reference);
                record.came_as(reference);
            })?;
        }
        let path = self.path("refs").join(file_name(reference));
        replace(&path, &staging.path("name"), text_of(reference, id).as_bytes())?;
        self.sync_directory(&self.path("refs"))?;
        self.change_record(id, staging, |record| {
            if !record.imported_as.contains(reference) {
                record.imported_as.push(reference.clone());
            }
            record.came_as(reference);
        })
    }

    /// Takes names out of the record of an image, before they go.
    pub(super) fn forget_names(&self, id: &ImageId, files: &[String]) -> Result<(), StoreError> {
        let staging = Staging::new(&self.root)?;
        let is_kept = |name: &Reference| !files.contains(&file_name(name));
        self.change_record(id, &staging, |record| record.imported_as.retain(is_kept))
    }

    /// A record that cannot be read says no name.
    fn change_record(
        &self,
        id: &ImageId,
        staging: &Staging,
        change: impl FnOnce(&mut ImageRecord),
    ) -> Result<(), StoreError> {
        let Ok(old) = self.record(id) else { return Ok(()) };
        let mut new = old.clone();
        change(&mut new);
        if new == old {
            return Ok(());
        }
        let directory = self.image_directory(id);
        let path = directory.join("record");
        replace(&path, &staging.path("record"), &new.to_bytes().context("write", &path)?)?;
        self.sync_directory(&directory)
    }

    /// The image of exactly this name. A name that pins a digest fits the image of that manifest only, and only when
    /// it has or had a name like this one but for tag and digest: whether an image may come as something is up to the
    /// policy.
    fn named(&self, reference: &Reference) -> Result<Option<ImageId>, StoreError> {
        let Some(digest) = reference.digest() else { return self.read_name(reference) };
        for id in self.images()? {
            let Ok(record) = self.record(&id) else { continue };
            if record.digest.as_ref() != Some(digest) {
                continue;
            }
            let names = self.names()?;
            let own = names.iter().filter(|(_, of)| *of == id).map(|(name, _)| name);
            let mut known = own.chain(&record.imported_as).map(Reference::name);
            if record.came_as.iter().any(|name| name == reference.name())
                || known.any(|name| name == reference.name())
            {
                return Ok(Some(id));
            }
        }
        // A digest of an index is known only by the name that a pull set.
        self.read_name(reference)
    }

    /// `None` for a name that leads nowhere: its file is missing or damaged, or the image is gone.
    pub(super) fn read_name(&self, reference: &Reference) -> Result<Option<ImageId>, StoreError> {
        let Some(text) = self.read_name_file(&file_name(reference))? else { return Ok(None) };
        let id = text.lines().next().and_then(|line| Digest::parse(line.trim_end()).ok());
        let id = id.and_then(|digest| ImageId::new(digest).ok());
        match id.filter(|id| text.trim_end() == text_of(reference, id).trim_end()) {
            Some(id) => {
                let directory = self.image_directory(&id);
                Ok(directory.try_exists().context("look at", &directory)?.then_some(id))
            }
            None => Ok(None),
        }
    }

    /// The name that a file in `refs/` is for; `None` for what is no name's file.
    pub(super) fn name_of(&self, file: &str) -> Result<Option<Reference>, StoreError> {
        let name = match file.starts_with('%') {
            true => self.read_name_file(file)?.and_then(|text| text.lines().nth(1).map(str::to_owned)),
            false => Some(file.replace('%', "/")),
        };
        let name = name.and_then(|name| Reference::parse(&name).ok());
        Ok(name.filter(|name| file_name(name) == file))
    }

    /// `None` for a file that is missing or damaged.
    fn read_name_file(&self, file: &str) -> Result<Option<String>, StoreError> {
        use std::io::ErrorKind::{InvalidData, NotFound};
        let path = self.path("refs").join(file);
        match fs::read_to_string(&path) {
            Err(error) if matches!(error.kind(), NotFound | InvalidData) => Ok(None),
            result => result.context("read", &path).map(Some),
        }
    }

    fn by_digits(&self, text: &str) -> Result<Option<ImageId>, StoreError> {
        let digits = text.strip_prefix("sha256:").unwrap_or(text);
        if digits.len() < DIGITS_MIN || !is_lower_hex(digits) {
            return Ok(None);
        }
        let mut fitting = self.images()?.into_iter().filter(|id| id.0.hex().starts_with(digits));
        match (fitting.next(), fitting.next()) {
            (Some(_), Some(_)) => Err(StoreError::Ambiguous(text.to_owned())),
            (id, _) => Ok(id),
        }
    }
}

/// Tells a file from the one that replaces it.
fn version(path: &Path) -> Option<(u64, i64, i64)> {
    let metadata = path.symlink_metadata().ok()?;
    Some((metadata.ino(), metadata.ctime(), metadata.ctime_nsec()))
}

/// The file of a name: a reference never holds a percent sign, nor begins with a slash. The file of a name that is too
/// long for that has its hash as name, and holds the name.
pub(super) fn file_name(reference: &Reference) -> String {
    let name = reference.to_string().replace('/', "%");
    match name.len() <= FILE_NAME_MAX {
        true => name,
        false => format!("%{}", Digest::of(name.as_bytes()).hex()),
    }
}

/// Whether a file can be one of those.
pub(super) fn is_file_name(file: &str) -> bool {
    match file.strip_prefix('%') {
        Some(hash) => Digest::parse(&format!("sha256:{hash}")).is_ok(),
        None => Reference::parse(&file.replace('%', "/")).is_ok(),
    }
}

/// What the file of a name holds.
pub(super) fn text_of(reference: &Reference, id: &ImageId) -> String {
    match file_name(reference).starts_with('%') {
        true => format!("{id}\n{reference}\n"),
        false => format!("{id}\n"),
    }
}
