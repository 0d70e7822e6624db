//! What can go wrong with the store.

use std::io;
use std::path::{Path, PathBuf};

use super::ids::IdRange;
use crate::image::ImageError;
use crate::image::fold::FoldError;
use crate::image::origin::OriginError;

/// Why an operation on the store failed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A system call on a file of the store failed.
    #[error("cannot {action} {}: {cause}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// The cause, which is told already and so is no `source`.
        cause: io::Error,
    },
    /// The directory holds something else.
    #[error("{} is not an image store: it is not empty and has no file \"format\"", .0.display())]
    NotAStore(PathBuf),
    /// A newer program wrote it.
    #[error("{} has the format \"{found}\", this program knows \"{known}\"", path.display())]
    Format {
        /// The store.
        path: PathBuf,
        /// What its file `format` says.
        found: String,
        /// What this program writes.
        known: &'static str,
    },
    /// No image goes by this name.
    #[error("no image \"{0}\" in the store; \"sampanctl images\" lists those that are")]
    NoImage(String),
    /// Several images begin with these digits.
    #[error("\"{0}\" fits several images: give more digits")]
    Ambiguous(String),
    /// A file of the store is not what it should be.
    #[error("{} is damaged: {reason}; import the image again to heal it", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// In what way.
        reason: String,
    },
    /// An entry of an image that this host cannot keep.
    #[error("entry \"{entry}\": {reason}")]
    Entry {
        /// Its path in the image.
        entry: String,
        /// Why.
        reason: String,
    },
    /// The layers of an image do not fit.
    #[error(transparent)]
    Fold(#[from] FoldError),
    /// A name or a document is refused.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// The policy does not let an image have a name.
    #[error(transparent)]
    Origin(#[from] OriginError),
    /// A volume's or unit's name cannot be a directory.
    #[error("\"{0}\" cannot name a directory of the store")]
    Name(String),
    /// No volume has this name.
    #[error("no volume \"{0}\"; \"sampanctl volumes\" lists those that are")]
    NoVolume(String),
    /// A volume has this name.
    #[error("there is a volume \"{0}\" already")]
    VolumeExists(String),
    /// A launcher holds the volume.
    #[error("volume \"{0}\" is in use: a container starts with it just now")]
    VolumeBusy(String),
    /// All ranges are given away.
    #[error("no id range is left for unit {0}: 524288 to 1879048191 are all allocated in {file}", file = .1.display())]
    NoRange(String, PathBuf),
    /// Ids of a range that a unit names are another one's.
    #[error(
        "{unit}: of the ids {range} in security.user_namespace {owner} has {owned}: choose others, or \"auto\""
    )]
    RangeTaken {
        /// The unit.
        unit: String,
        /// What it names.
        range: IdRange,
        /// Who was given some of it.
        owner: String,
        /// What that one was given.
        owned: IdRange,
    },
}

/// Adds what was tried on which file to a failed system call.
pub(super) trait Context<T> {
    fn context(self, action: &'static str, path: &Path) -> Result<T, StoreError>;
}

impl<T, E: Into<io::Error>> Context<T> for Result<T, E> {
    fn context(self, action: &'static str, path: &Path) -> Result<T, StoreError> {
        self.map_err(|cause| StoreError::Io { action, path: path.to_owned(), cause: cause.into() })
    }
}
