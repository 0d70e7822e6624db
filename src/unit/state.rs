//! Whether a unit's file is enabled, in systemctl's words.

use super::links::{Lasting, links_of, links_to};
use super::load::{Loaded, Loader};
use super::model::Install;
use super::name::{DEFAULT_TARGET, UnitName};
use super::search::Found;
use crate::paths::Paths;
use std::fmt;

/// The state of a unit's file, systemctl(1) `is-enabled`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileState {
    /// A unit wants or requires it, by a link that lasts.
    Enabled,
    /// The same, by a link that is gone at reboot.
    EnabledRuntime,
    /// It has an `[install]` table, and no link.
    Disabled,
    /// It has nothing to install.
    Static,
    /// It has nothing to install but other units.
    Indirect,
    /// Its name is a link to another unit's file.
    Alias,
    /// Its name is a link to a file out of the search path.
    Linked,
    /// It is masked.
    Masked,
    /// The same, by a link that is gone at reboot.
    MaskedRuntime,
    /// It was made for one start.
    Transient,
    /// Its file has errors.
    Bad,
}

impl FileState {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::Enabled,
        Self::EnabledRuntime,
        Self::Disabled,
        Self::Static,
        Self::Indirect,
        Self::Alias,
        Self::Linked,
        Self::Masked,
        Self::MaskedRuntime,
        Self::Transient,
        Self::Bad,
    ];

    /// The word that systemctl uses.
    pub fn word(self) -> &'static str {
        match self {
            Self::Enabled => "enabled",
            Self::EnabledRuntime => "enabled-runtime",
            Self::Disabled => "disabled",
            Self::Static => "static",
            Self::Indirect => "indirect",
            Self::Alias => "alias",
            Self::Linked => "linked",
            Self::Masked => "masked",
            Self::MaskedRuntime => "masked-runtime",
            Self::Transient => "transient",
            Self::Bad => "bad",
        }
    }

    /// Whether `is-enabled` succeeds.
    pub fn is_success(self) -> bool {
        matches!(
            self,
            Self::Enabled
                | Self::EnabledRuntime
                | Self::Static
                | Self::Indirect
                | Self::Alias
                | Self::Transient
        )
    }
}

impl fmt::Display for FileState {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.word())
    }
}

/// The state of a unit's file; `None` when there is no such unit.
pub fn of(paths: &Paths, name: &UnitName) -> Option<FileState> {
    of_with(&Loader::new(paths), name)
}

/// The same, of one of many.
pub fn of_with(loader: &Loader<'_>, name: &UnitName) -> Option<FileState> {
    let (paths, search) = (loader.paths(), loader.search());
    if name.as_str() == DEFAULT_TARGET && search.find(name).is_none() {
        return Some(FileState::Static);
    }
    let linked = match search.find(name)? {
        Found::Masked(path) if path.starts_with(paths.runtime()) => return Some(FileState::MaskedRuntime),
        Found::Masked(_) => return Some(FileState::Masked),
        Found::Alias(_) => return Some(FileState::Alias),
        Found::Dangling { .. } => return Some(FileState::Bad),
        Found::Linked { .. } => true,
        Found::File(path) if path.starts_with(paths.transient_units()) => return Some(FileState::Transient),
        Found::File(_) => false,
    };
    for (lasting, state) in
        [(Lasting::Always, FileState::Enabled), (Lasting::UntilReboot, FileState::EnabledRuntime)]
    {
        let links = links_to(search, &lasting.directory(paths), name);
        if !links.is_empty() || !links_of(paths, lasting, name).is_empty() {
            return Some(state);
        }
    }
    let install = match loader.load(&name.sample()).loaded? {
        Loaded::Good(unit) => unit.install.clone().into_inner(),
        Loaded::Bad(_) => return Some(FileState::Bad),
        Loaded::Masked => return Some(FileState::Masked),
    };
    Some(match install {
        _ if linked => FileState::Linked,
        Install { wanted_by, required_by, upheld_by, alias, .. }
            if !(wanted_by.is_empty()
                && required_by.is_empty()
                && upheld_by.is_empty()
                && alias.is_empty()) =>
        {
            FileState::Disabled
        }
        Install { also, .. } if !also.is_empty() => FileState::Indirect,
        _ => FileState::Static,
    })
}
