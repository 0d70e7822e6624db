//! Links that enable, disable, mask and unmask units. All links of a call are decided on before the first is
//! made, and each is made in one step.

use super::load::{Loaded, load_one};
use super::model::{Install, Unit};
use super::name::UnitName;
use super::search::{Found, LinkKind, Search};
use super::state::{links_to, sample};
use crate::paths::Paths;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;

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

/// Makes the links of the units' `[install]` tables.
///
/// # Errors
/// When a unit cannot be loaded or a link cannot be made; before the first link if that can be known.
pub fn enable(paths: &Paths, names: &[UnitName]) -> Result<Outcome, EnableError> {
    let search = Search::new(paths);
    let mut outcome = Outcome::default();
    let mut plan: BTreeMap<PathBuf, PathBuf> = BTreeMap::new();
    for unit in with_also(paths, &search, names)? {
        let links = links(paths, &unit);
        let bare = links.is_empty() && unit.unit.install.also.is_empty();
        if bare && names.contains(&unit.asked) {
            outcome.without_install.push(unit.unit.name.clone());
        }
        for (path, target) in links {
            check_free(&search, &path, &target)?;
            match plan.insert(path.clone(), target.clone()) {
                Some(other) if other != target => {
                    return Err(EnableError::Exists { path, target: Some(other) });
                }
                _ => {}
            }
        }
    }
    for (path, target) in plan {
        if search.link_target(&path).is_some_and(|existing| search.inside_root(&existing) == target) {
            continue;
        }
        make_link(&path, &target)?;
        outcome.changes.push(Change::Linked { link: path, target });
    }
    Ok(outcome)
}

/// Removes every link to the units that `enable` could have made.
///
/// # Errors
/// When a unit is not found or a link cannot be removed.
pub fn disable(paths: &Paths, names: &[UnitName]) -> Result<Outcome, EnableError> {
    let search = Search::new(paths);
    let mut outcome = Outcome::default();
    let mut all = BTreeSet::new();
    for name in names {
        let reading = load_one(paths, &sample(name));
        // An alias stands for its unit; a template for all of its instances.
        let name = if name.is_template() { name.clone() } else { reading.name };
        if reading.loaded.is_none() && links_to(&search, &paths.enablement(), &name).is_empty() {
            return Err(EnableError::NotFound(name.file_name()));
        }
        if let Some(Loaded::Good(unit)) = reading.loaded {
            all.extend(unit.install.also.iter().cloned());
        }
        all.insert(name);
    }
    let links = all.iter().flat_map(|name| links_to(&search, &paths.enablement(), name));
    for link in links.collect::<BTreeSet<_>>() {
        remove(&link)?;
        // An empty directory says nothing; one that is not empty stays.
        let _ = link.parent().filter(|parent| *parent != paths.enablement()).map(fs::remove_dir);
        outcome.changes.push(Change::Removed(link));
    }
    Ok(outcome)
}

/// Disables, then enables.
///
/// # Errors
/// As [`disable`] and [`enable`].
pub fn reenable(paths: &Paths, names: &[UnitName]) -> Result<Outcome, EnableError> {
    let mut changes = disable(paths, names)?.changes;
    let enabled = enable(paths, names)?;
    changes.extend(enabled.changes);
    Ok(Outcome { changes, ..enabled })
}

/// Makes the units impossible to start.
///
/// # Errors
/// When a file of that name is in the way or a link cannot be made.
pub fn mask(paths: &Paths, names: &[UnitName]) -> Result<Outcome, EnableError> {
    let search = Search::new(paths);
    let null = PathBuf::from("/dev/null");
    let masks: Vec<PathBuf> = names.iter().map(|name| paths.enablement().join(name.file_name())).collect();
    for path in &masks {
        check_free(&search, path, &null)?;
    }
    let mut outcome = Outcome::default();
    for link in masks {
        if search.link_target(&link).as_deref() != Some(&null) {
            make_link(&link, &null)?;
            outcome.changes.push(Change::Linked { link, target: null.clone() });
        }
    }
    Ok(outcome)
}

/// Takes masks away.
///
/// # Errors
/// When a link cannot be removed.
pub fn unmask(paths: &Paths, names: &[UnitName]) -> Result<Outcome, EnableError> {
    let mut outcome = Outcome::default();
    for name in names {
        for directory in [paths.enablement(), paths.runtime_units()] {
            let link = directory.join(name.file_name());
            if fs::read_link(&link).is_ok_and(|target| target == Path::new("/dev/null")) {
                remove(&link)?;
                outcome.changes.push(Change::Removed(link));
            }
        }
    }
    Ok(outcome)
}

/// A unit to enable.
struct Enabled {
    /// The name it was asked for by.
    asked: UnitName,
    unit: Arc<Unit>,
    /// The file as a link says it.
    file: PathBuf,
}

/// The named units and, in turn, those that they name in `also`.
fn with_also(paths: &Paths, search: &Search, names: &[UnitName]) -> Result<Vec<Enabled>, EnableError> {
    let mut units = Vec::new();
    let mut queue: Vec<UnitName> = names.iter().rev().cloned().collect();
    let mut seen = BTreeSet::new();
    while let Some(asked) = queue.pop() {
        if !seen.insert(asked.clone()) {
            continue;
        }
        let found = search.find(&asked).ok_or_else(|| EnableError::NotFound(asked.file_name()))?;
        if let Found::Masked(path) = found {
            return Err(EnableError::Masked(path));
        }
        let unit = good(paths, &asked)?;
        queue.extend(unit.install.also.iter().rev().cloned());
        let unit = match (&unit.install.default_instance, asked.is_template()) {
            (Some(instance), true) => good(paths, &instance_of(&asked, instance)?)?,
            (None, true) if installs(&unit.install) => {
                let example = instance_of(&asked, "blue")?.to_string();
                return Err(EnableError::Template(asked, example));
            }
            _ => unit,
        };
        // A linked unit's links lead to the link in the search path, as the unit is known by its name.
        let file = match (found, &unit.fragment) {
            (Found::Linked { link, .. }, _) => link,
            (_, Some(fragment)) => fragment.clone(),
            (_, None) => return Err(EnableError::NotFound(asked.file_name())),
        };
        units.push(Enabled { asked, unit, file: search.inside_root(&file) });
    }
    Ok(units)
}

fn good(paths: &Paths, name: &UnitName) -> Result<Arc<Unit>, EnableError> {
    match load_one(paths, &sample(name)).loaded {
        Some(Loaded::Good(unit)) => Ok(unit),
        Some(Loaded::Bad(faults)) => {
            let first =
                faults.iter().min_by_key(|fault| fault.severity).map(ToString::to_string).unwrap_or_default();
            Err(EnableError::Bad(name.clone(), first))
        }
        Some(Loaded::Masked) => Err(EnableError::Masked(name.file_name().into())),
        None => Err(EnableError::NotFound(name.file_name())),
    }
}

fn instance_of(template: &UnitName, instance: &str) -> Result<UnitName, EnableError> {
    let full = format!("{}@{instance}.{}", template.prefix(), template.suffix());
    UnitName::parse(&full).map_err(|error| EnableError::Bad(template.clone(), error.to_string()))
}

fn installs(install: &Install) -> bool {
    !(install.wanted_by.is_empty() && install.required_by.is_empty())
}

/// The links that a unit's `[install]` asks for: path and target.
fn links(paths: &Paths, enabled: &Enabled) -> Vec<(PathBuf, PathBuf)> {
    let Enabled { unit, file, .. } = enabled;
    let beside = |other: &UnitName, kind: LinkKind| {
        paths.enablement().join(format!("{other}.{}", kind.suffix())).join(unit.name.file_name())
    };
    let wanted = unit.install.wanted_by.iter().map(|other| beside(other, LinkKind::Wants));
    let required = unit.install.required_by.iter().map(|other| beside(other, LinkKind::Requires));
    let alias = unit.install.alias.iter().map(|other| paths.enablement().join(other.file_name()));
    wanted.chain(required).chain(alias).map(|path| (path, file.clone())).collect()
}

/// An alias or a mask must not take the place of anything else; a link in a `.wants/` directory may.
fn check_free(search: &Search, path: &Path, target: &Path) -> Result<(), EnableError> {
    let Ok(metadata) = path.symlink_metadata() else { return Ok(()) };
    if !metadata.is_symlink() {
        return Err(EnableError::Exists { path: path.to_owned(), target: None });
    }
    let existing = search.link_target(path).map(|existing| search.inside_root(&existing));
    let in_links = path
        .parent()
        .and_then(Path::extension)
        .is_some_and(|suffix| suffix == "wants" || suffix == "requires");
    if in_links || existing.as_deref() == Some(target) {
        return Ok(());
    }
    Err(EnableError::Exists { path: path.to_owned(), target: existing })
}

/// Makes a link under another name first, so that an old one is replaced in one step.
fn make_link(path: &Path, target: &Path) -> Result<(), EnableError> {
    let fail = |source| EnableError::Io { what: "create", path: path.to_owned(), source };
    let directory = path.parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(directory).map_err(fail)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let temporary = directory.join(format!(".{name}.{}", std::process::id()));
    let result = symlink(target, &temporary).and_then(|()| fs::rename(&temporary, path));
    if result.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    result.map_err(fail)
}

fn remove(path: &Path) -> Result<(), EnableError> {
    match fs::remove_file(path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(EnableError::Io { what: "remove", path: path.to_owned(), source })
        }
        _ => Ok(()),
    }
}
