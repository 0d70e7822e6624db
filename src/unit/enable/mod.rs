//! Links that enable, disable, mask and link units, and take all that back. All links of a call are decided on
//! before the first is made, and each is made in one step.

mod files;
mod install;
mod mask;
mod preset;

pub use install::{add_dependency, default_target, disable, enable, reenable, set_default_target};
pub use mask::{link, mask, revert, unmask};
pub use preset::{PresetMode, preset, preset_all};

use super::links::Lasting;
use super::name::UnitName;
use crate::paths::Paths;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// What becomes of a link that is in the way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Conflict {
    /// It stays, and nothing is done.
    #[default]
    Refuse,
    /// It is replaced.
    Replace,
}

/// How links are made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Manner {
    /// How long they last.
    pub lasting: Lasting,
    /// What becomes of others.
    pub conflict: Conflict,
}

impl Manner {
    /// As `--runtime` and `--force` say.
    pub fn of_options(runtime: bool, force: bool) -> Self {
        Self {
            lasting: Lasting::of_runtime(runtime),
            conflict: if force { Conflict::Replace } else { Conflict::Refuse },
        }
    }
}

/// Why links could not be made or removed.
#[derive(Debug, thiserror::Error)]
pub enum EnableError {
    /// There is no such unit.
    #[error("Unit file {0} does not exist.")]
    NotFound(String),
    /// The unit is masked.
    #[error("Unit file {} is masked.", .0.display())]
    Masked(PathBuf),
    /// The unit's file has errors.
    #[error("Unit {0} has errors: {1}")]
    Bad(UnitName, String),
    /// Only a target can be started at boot.
    #[error("{0} is not a target.")]
    NotTarget(UnitName),
    /// A preset file has errors.
    #[error("{0}")]
    Preset(String),
    /// What a link was to lead to is no unit file.
    #[error("{} cannot be linked: {reason}.", .path.display())]
    Unlinkable {
        /// The file.
        path: PathBuf,
        /// Why not.
        reason: &'static str,
    },
    /// A template without an instance.
    #[error("{0} is a template: name an instance, such as {1}, or give it a \"default_instance\"")]
    Template(UnitName, String),
    /// Something else has the name of a link.
    #[error("File {} already exists{}.", .path.display(), other(.target))]
    Exists {
        /// The file.
        path: PathBuf,
        /// Where it leads, if it is a link.
        target: Option<PathBuf>,
    },
    /// The file system refused.
    #[error("Failed to {what} {}: {source}", .path.display())]
    Io {
        /// `create`, `remove`.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

fn other(target: &Option<PathBuf>) -> String {
    target.as_ref().map(|target| format!(" and is a symlink to {}", target.display())).unwrap_or_default()
}

/// One thing done to the file system; displays as systemctl tells it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Change {
    /// A link was made.
    Linked {
        /// The link.
        link: PathBuf,
        /// Where it leads.
        target: PathBuf,
    },
    /// A link was removed.
    Removed(PathBuf),
}

impl Change {
    /// The link.
    pub fn path(&self) -> &Path {
        match self {
            Self::Linked { link, .. } | Self::Removed(link) => link,
        }
    }
}

impl fmt::Display for Change {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Linked { link, target } => {
                write!(formatter, "Created symlink {} → {}.", link.display(), target.display())
            }
            Self::Removed(link) => write!(formatter, "Removed \"{}\".", link.display()),
        }
    }
}

/// What enabling did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Links made and removed, in order.
    pub changes: Vec<Change>,
    /// Units that were named and have nothing to install.
    pub without_install: Vec<UnitName>,
}

impl Outcome {
    /// Whether links beside units of systemd's were made or removed, which it keeps in memory.
    pub fn concerns_systemd(&self, paths: &Paths) -> bool {
        let native = [paths.native_enablement(), paths.native_runtime_units()];
        self.changes.iter().any(|change| native.iter().any(|root| change.path().starts_with(root)))
    }
}
