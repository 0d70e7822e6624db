//! Which form of image a source holds, told from the names in it, and the images of it.

use std::str::FromStr;

use super::import::Candidate;
use super::source::{Source, Spool};
use super::{TransferError, docker, layout, legacy, tree};
use crate::image::change::Change;
use crate::image::document;
use crate::image::limits::Limits;
use crate::image::manifest::Platform;

/// What the caller says about a source.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    /// Its form; without one it is told from the source.
    pub format: Option<Format>,
    /// The platform whose images are wanted; without one, this host's.
    pub platform: Option<Platform>,
    /// What the configuration says that is made for a tree.
    pub changes: Vec<Change>,
}

/// The forms of images.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// An OCI image layout.
    Layout,
    /// An archive of `docker save`, of any age.
    Docker,
    /// The files of a root directory.
    Tree,
}

impl Format {
    /// The word on a command line.
    pub fn word(self) -> &'static str {
        match self {
            Self::Layout => "oci",
            Self::Docker => "docker",
            Self::Tree => "tree",
        }
    }
}

impl FromStr for Format {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        let formats = [Self::Layout, Self::Docker, Self::Tree];
        let found = formats.into_iter().find(|format| format.word() == word);
        found.ok_or_else(|| "the forms are oci, docker and tree".to_owned())
    }
}

/// Directories of which every tree that boots or runs a program has one, file-hierarchy(7).
const TREE_MARKS: [&str; 6] = ["bin", "etc", "lib", "sbin", "usr", "var"];

/// The images of a source, and the source in the form in which their layers are read from it.
pub(super) fn images(
    source: Source,
    selection: &Selection,
    limits: &Limits,
    spool: Spool<'_>,
) -> Result<(Source, Vec<Candidate>), TransferError> {
    let (source, format) = tell(source, selection.format)?;
    if format != Format::Tree && !selection.changes.is_empty() {
        return Err(TransferError::Changes);
    }
    let host = Platform::host();
    let wanted = selection.platform.as_ref();
    let candidates = match format {
        Format::Tree => return tree::candidate(source, selection, limits, spool),
        Format::Layout => layout::candidates(&source, wanted.unwrap_or(&host))?,
        Format::Docker if source.has("manifest.json") => docker::candidates(&source)?,
        Format::Docker => legacy::candidates(&source, limits)?,
    };
    if let Some(wanted) = wanted {
        candidates.iter().try_for_each(|candidate| check_platform(candidate, wanted))?;
    }
    Ok((source, candidates))
}

/// The form of a source. An archive of images with an entry that none has is refused here.
fn tell(mut source: Source, said: Option<Format>) -> Result<(Source, Format), TransferError> {
    let format = match said {
        Some(format) => format,
        None if source.has("oci-layout") => Format::Layout,
        None if source.has("manifest.json") || source.has("repositories") => Format::Docker,
        None if is_tree(&source)? => Format::Tree,
        None if legacy::is_one(&source)? => Format::Docker,
        None => {
            let flaw = source.flaw();
            return Err(flaw.map_or(TransferError::Format, TransferError::Archive));
        }
    };
    match source.flaw() {
        Some(flaw) if format != Format::Tree => Err(TransferError::Archive(flaw)),
        _ => Ok((source, format)),
    }
}

fn is_tree(source: &Source) -> Result<bool, TransferError> {
    Ok(source.top()?.iter().any(|name| TREE_MARKS.iter().any(|mark| mark.as_bytes() == name)))
}

/// A platform that was asked for is what the image's own configuration must say.
fn check_platform(candidate: &Candidate, wanted: &Platform) -> Result<(), TransferError> {
    let what = format!("configuration {}", candidate.id);
    let found = document::parse(&candidate.config, &what)?.platform;
    match found.fits(wanted) {
        true => Ok(()),
        false => Err(TransferError::Platform { found: found.to_string(), wanted: wanted.to_string() }),
    }
}
