//! What `[install]` asks for: links in `.wants/` and `.requires/`, and aliases.

use super::files::{check_free, make_link, remove};
use super::{Change, Conflict, EnableError, Manner, Outcome};
use crate::paths::Paths;
use crate::unit::links::{self, Lasting, links_to};
use crate::unit::load::{Loaded, load_one};
use crate::unit::model::{Install, Unit};
use crate::unit::name::{DEFAULT_TARGET, UnitKind, UnitName};
use crate::unit::search::{Found, LinkKind, Search};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

/// Makes the links of the units' `[install]` tables.
///
/// # Errors
/// When a unit cannot be loaded or a link cannot be made; before the first link if that can be known.
pub fn enable(paths: &Paths, names: &[UnitName], manner: Manner) -> Result<Outcome, EnableError> {
    let search = Search::new(paths);
    let mut outcome = Outcome::default();
    let mut plan = Links::new();
    for unit in with_also(paths, &search, names)? {
        let links = links(paths, &search, &unit, manner.lasting);
        let bare = links.is_empty() && unit.unit.install.also.is_empty();
        if bare && names.contains(&unit.asked) {
            outcome.without_install.push(unit.unit.name.clone());
        }
        for (path, target) in links {
            match plan.insert(path.clone(), target.clone()) {
                Some(other) if other != target => {
                    return Err(EnableError::Exists { path, target: Some(other) });
                }
                _ => {}
            }
        }
    }
    outcome.changes = make(&search, plan, manner.conflict)?;
    Ok(outcome)
}

/// Paths of links, and where they lead.
type Links = BTreeMap<PathBuf, PathBuf>;

fn make(search: &Search, links: Links, conflict: Conflict) -> Result<Vec<Change>, EnableError> {
    for (path, target) in &links {
        check_free(search, path, target, conflict)?;
    }
    let mut changes = Vec::new();
    for (path, target) in links {
        if search.link_target(&path).is_some_and(|existing| search.inside_root(&existing) == target) {
            continue;
        }
        make_link(&path, &target)?;
        changes.push(Change::Linked { link: path, target });
    }
    Ok(changes)
}

/// Makes units depend on others, whatever `[install]` says, as `add-wants` and `add-requires` do.
///
/// # Errors
/// When a unit cannot be loaded or a link cannot be made.
pub fn add_dependency(
    paths: &Paths,
    target: &UnitName,
    names: &[UnitName],
    kind: LinkKind,
    manner: Manner,
) -> Result<Outcome, EnableError> {
    let search = Search::new(paths);
    let mut plan = Links::new();
    for unit in with_also(paths, &search, names)?.iter().filter(|unit| names.contains(&unit.asked)) {
        plan.extend([beside(paths, &search, unit, target, kind, manner.lasting)]);
    }
    Ok(Outcome { changes: make(&search, plan, manner.conflict)?, ..Outcome::default() })
}

/// The unit that is started at boot.
pub fn default_target(paths: &Paths) -> Result<UnitName, EnableError> {
    let name = default_name()?;
    Ok(Search::new(paths).real_name(&name).unwrap_or(name))
}

fn default_name() -> Result<UnitName, EnableError> {
    UnitName::parse(DEFAULT_TARGET).map_err(|error| EnableError::NotFound(error.to_string()))
}

/// Makes another target the one that is started at boot, by a link.
///
/// # Errors
/// When it is none, or does not exist, or the link cannot be made.
pub fn set_default_target(paths: &Paths, target: &UnitName) -> Result<Outcome, EnableError> {
    let search = Search::new(paths);
    let link = paths.enablement().join(default_name()?.file_name());
    if target.as_str() == DEFAULT_TARGET {
        let is_link = link.is_symlink();
        remove(&link)?;
        let changes = if is_link { vec![Change::Removed(link)] } else { Vec::new() };
        return Ok(Outcome { changes, ..Outcome::default() });
    }
    if target.kind() != UnitKind::Target {
        return Err(EnableError::NotTarget(target.clone()));
    }
    let file = good(paths, target)?.fragment.clone();
    let file = file.ok_or_else(|| EnableError::NotFound(target.file_name()))?;
    let plan = Links::from([(link, search.inside_root(&file))]);
    Ok(Outcome { changes: make(&search, plan, Conflict::Replace)?, ..Outcome::default() })
}

/// Removes every link to the units that `enable` could have made.
///
/// # Errors
/// When a unit is not found or a link cannot be removed.
pub fn disable(paths: &Paths, names: &[UnitName], lasting: Lasting) -> Result<Outcome, EnableError> {
    let search = Search::new(paths);
    let mut outcome = Outcome::default();
    let mut all = BTreeSet::new();
    for name in names {
        let reading = load_one(paths, &name.sample());
        // An alias stands for its unit; a template for all of its instances.
        let name = if name.is_template() { name.clone() } else { reading.name };
        if reading.loaded.is_none() && enabling(paths, &search, &name, lasting).is_empty() {
            return Err(EnableError::NotFound(name.file_name()));
        }
        if let Some(Loaded::Good(unit)) = reading.loaded {
            all.extend(unit.install.also.iter().cloned());
        }
        all.insert(name);
    }
    let links = all.iter().flat_map(|name| enabling(paths, &search, name, lasting));
    for link in links.collect::<BTreeSet<_>>() {
        remove(&link)?;
        // An empty directory says nothing; one that is not empty stays.
        let beside = link.parent().filter(|parent| parent.extension().is_some());
        let _ = beside.map(fs::remove_dir);
        outcome.changes.push(Change::Removed(link));
    }
    Ok(outcome)
}

/// The links that enable a unit; also those of this boot, unless only those are asked for.
fn enabling(paths: &Paths, search: &Search, name: &UnitName, lasting: Lasting) -> Vec<PathBuf> {
    let always = (lasting == Lasting::Always).then_some(Lasting::Always);
    let directories = always.into_iter().chain([Lasting::UntilReboot]);
    let links = directories.flat_map(|lasting| {
        let mut links = links_to(search, &lasting.directory(paths), name);
        links.extend(links::links_of(paths, lasting, name));
        links
    });
    links.collect()
}

/// Disables, then enables.
///
/// # Errors
/// As [`disable`] and [`enable`]; nothing is done when the units cannot be loaded.
pub fn reenable(paths: &Paths, names: &[UnitName], manner: Manner) -> Result<Outcome, EnableError> {
    with_also(paths, &Search::new(paths), names)?;
    let mut changes = disable(paths, names, manner.lasting)?.changes;
    let enabled = enable(paths, names, manner)?;
    changes.extend(enabled.changes);
    Ok(Outcome { changes, ..enabled })
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
    match load_one(paths, &name.sample()).loaded {
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
    let wrong = || format!("\"{instance}\" cannot name an instance");
    template.of_instance(instance).ok_or_else(|| EnableError::Bad(template.clone(), wrong()))
}

fn installs(install: &Install) -> bool {
    !(install.wanted_by.is_empty() && install.required_by.is_empty() && install.upheld_by.is_empty())
}

/// The links that a unit's `[install]` asks for: path and target.
fn links(paths: &Paths, search: &Search, enabled: &Enabled, lasting: Lasting) -> Vec<(PathBuf, PathBuf)> {
    let Install { wanted_by, required_by, upheld_by, alias, .. } = &*enabled.unit.install;
    let mut links = Vec::new();
    for (names, kind) in
        [(wanted_by, LinkKind::Wants), (required_by, LinkKind::Requires), (upheld_by, LinkKind::Upholds)]
    {
        links.extend(names.iter().map(|other| beside(paths, search, enabled, other, kind, lasting)));
    }
    let alias = alias.iter().map(|other| lasting.directory(paths).join(other.file_name()));
    links.extend(alias.map(|path| (path, enabled.file.clone())));
    links
}

/// The link in the directory beside another unit, which may be systemd's.
fn beside(
    paths: &Paths,
    search: &Search,
    enabled: &Enabled,
    other: &UnitName,
    kind: LinkKind,
    lasting: Lasting,
) -> (PathBuf, PathBuf) {
    let unit = &enabled.unit.name;
    if links::is_of_systemd(paths, search, other) {
        let (path, target) = links::link(paths, lasting, unit, other, kind);
        return (path, search.inside_root(&target));
    }
    let directory = lasting.directory(paths).join(format!("{other}.{}", kind.suffix()));
    (directory.join(unit.file_name()), enabled.file.clone())
}
