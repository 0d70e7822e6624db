//! Loads units: all that have a file or are depended on, or one by name.

use super::assemble::assemble;
use super::diagnostic::{Diagnostic, Severity};
use super::lower::Files;
use super::model::{Body, Dependencies, Unit};
use super::mounts::{self, MountUnits};
use super::name::{DEFAULT_TARGET, UnitKind, UnitName};
use super::search::{ALIASES_MAX, Found, LinkKind, Search};
use super::specifier::Host;
use super::stray;
use crate::paths::Paths;
use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What came of loading a unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Loaded {
    /// It can be used.
    Good(Arc<Unit>),
    /// Its files have errors.
    Bad(Vec<Diagnostic>),
    /// It is masked.
    Masked,
}

/// One unit by name. What is not found has nothing loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    /// The name of the unit, which is another one than was asked for if that was an alias.
    pub name: UnitName,
    /// What came of it; `None`: there is no such unit.
    pub loaded: Option<Loaded>,
    /// Errors, which are those of [`Loaded::Bad`] too, and warnings.
    pub diagnostics: Vec<Diagnostic>,
}

/// All units.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Catalog {
    /// Every unit that has a file, and every instance that one of them depends on or that was asked for.
    pub units: BTreeMap<UnitName, Loaded>,
    /// Other names, and the names that they stand for.
    pub aliases: BTreeMap<UnitName, UnitName>,
    /// Everything found in all files, errors and warnings.
    pub diagnostics: Vec<Diagnostic>,
}

impl Catalog {
    /// A unit by its name or by an alias.
    pub fn find(&self, name: &UnitName) -> Option<&Loaded> {
        self.units.get(self.aliases.get(name).unwrap_or(name))
    }
}

/// Loads every unit of the search path. A bad file stops no other.
pub fn load_all(paths: &Paths) -> Catalog {
    load_all_and(paths, [])
}

/// The same with units that are in memory: an instance that no file names is read through its template.
pub fn load_all_and<'n>(paths: &Paths, known: impl IntoIterator<Item = &'n UnitName>) -> Catalog {
    let loader = Loader::new(paths);
    let mut catalog = Catalog::default();
    catalog.diagnostics.extend(stray::check(&loader.search));
    let mut queue: Vec<UnitName> =
        loader.search.names().into_iter().filter(|name| !name.is_template()).collect();
    queue.extend(UnitName::parse(DEFAULT_TARGET));
    queue.extend(known.into_iter().cloned());
    let mut seen = BTreeSet::new();
    while let Some(name) = queue.pop() {
        if !seen.insert(name.clone()) {
            continue;
        }
        let reading = loader.load_alone(&name);
        if reading.name != name {
            catalog.aliases.insert(name, reading.name.clone());
            if !seen.insert(reading.name.clone()) {
                continue;
            }
        }
        if let Some(Loaded::Good(unit)) = &reading.loaded {
            queue.extend(unit.dependencies.named().cloned());
        }
        catalog.diagnostics.extend(reading.diagnostics);
        catalog.units.extend(reading.loaded.map(|loaded| (reading.name, loaded)));
    }
    finish(&mut catalog);
    catalog.diagnostics.sort_by_cached_key(|fault| (fault.path.clone(), fault.line(), fault.column()));
    catalog
}

/// Loads one unit; a [`Loader`] is for many.
pub fn load_one(paths: &Paths, name: &UnitName) -> Reading {
    Loader::new(paths).load(name)
}

/// Every unit of the search path and, for each template, what one of its instances would be.
pub fn load_all_and_templates(paths: &Paths) -> impl Iterator<Item = (UnitName, Loaded)> {
    let loader = Loader::new(paths);
    let templates = loader.search.names().into_iter().filter(UnitName::is_template);
    let templates = templates.filter_map(move |name| {
        let loaded = loader.load(&name.sample()).loaded?;
        Some((name, loaded))
    });
    load_all(paths).units.into_iter().chain(templates)
}

/// Loads units by name, for instances and for names that came after [`load_all`]: what the directories hold and what
/// specifiers say is read once for all of them.
#[derive(Debug)]
pub struct Loader<'p> {
    paths: &'p Paths,
    search: Search,
    host: Host,
    /// Read for the first unit that needs a path of the host.
    mounts: OnceCell<MountUnits>,
}

impl<'p> Loader<'p> {
    /// What there is now.
    pub fn new(paths: &'p Paths) -> Self {
        Self { paths, search: Search::new(paths), host: Host::read(paths), mounts: OnceCell::new() }
    }

    /// Where everything is.
    pub fn paths(&self) -> &'p Paths {
        self.paths
    }

    /// Where the files of units are.
    pub fn search(&self) -> &Search {
        &self.search
    }

    /// Loads one unit.
    pub fn load(&self, name: &UnitName) -> Reading {
        let mut reading = self.load_alone(name);
        if let Some(Loaded::Good(unit)) = &mut reading.loaded {
            order_target(Arc::make_mut(unit), &BTreeSet::new());
        }
        reading
    }

    /// Without the order of a target, which takes all units.
    fn load_alone(&self, name: &UnitName) -> Reading {
        let mut name = name.clone();
        if name.kind() == UnitKind::Native {
            return Reading { name, loaded: None, diagnostics: Vec::new() };
        }
        for _ in 0..ALIASES_MAX {
            let fragment = match self.search.find(&name) {
                Some(Found::Alias(other)) if other.kind() == name.kind() && !other.is_template() => {
                    name = other;
                    continue;
                }
                Some(Found::Alias(other)) => {
                    let message = format!("this is a link to {other}, which is no unit of this type");
                    return self.bad_link(name, message, "make it a link to one of this type, or a file");
                }
                Some(Found::Masked(_)) => {
                    return Reading { name, loaded: Some(Loaded::Masked), diagnostics: Vec::new() };
                }
                Some(Found::Dangling { link, target }) => {
                    let message = format!("this is a link to {}, which does not exist", target.display());
                    let fault = Diagnostic::of_file(Severity::Error, &link, message);
                    return failed(name, vec![fault.with_help(Some("make that file, or remove the link"))]);
                }
                Some(Found::File(file) | Found::Linked { file, .. }) => Some(file),
                None if name.as_str() == DEFAULT_TARGET => None,
                None => return Reading { name, loaded: None, diagnostics: Vec::new() },
            };
            let drop_ins = self.search.drop_ins(&name);
            return self.read(name, Files { fragment, drop_ins });
        }
        self.bad_link(name, "this link leads back to itself".to_owned(), "remove it, or make it a file")
    }

    fn bad_link(&self, name: UnitName, message: String, help: &str) -> Reading {
        let path = self.search.path(&name).unwrap_or_else(|| name.file_name().into());
        failed(name, vec![Diagnostic::of_file(Severity::Error, &path, message).with_help(Some(help))])
    }

    fn read(&self, name: UnitName, files: Files) -> Reading {
        match assemble(&name, files, &self.host) {
            Ok((mut unit, diagnostics)) => {
                unit.dependencies.wants.extend(self.search.links(&name, LinkKind::Wants));
                unit.dependencies.requires.extend(self.search.links(&name, LinkKind::Requires));
                unit.dependencies.upholds.extend(self.search.links(&name, LinkKind::Upholds));
                mounts::depend(&mut unit, || self.mounts.get_or_init(|| MountUnits::new(self.paths)));
                unit.dependencies.settle();
                Reading { name, loaded: Some(Loaded::Good(Arc::new(unit))), diagnostics }
            }
            Err(faults) => failed(name, faults),
        }
    }
}

fn failed(name: UnitName, diagnostics: Vec<Diagnostic>) -> Reading {
    Reading { name, loaded: Some(Loaded::Bad(diagnostics.clone())), diagnostics }
}

/// What can be said only when all units are known: real names for aliases, and the order of targets.
fn finish(catalog: &mut Catalog) {
    let aliases = &catalog.aliases;
    let mut waits: BTreeMap<UnitName, BTreeSet<UnitName>> = BTreeMap::new();
    for loaded in catalog.units.values_mut() {
        let Loaded::Good(unit) = loaded else { continue };
        if unit.dependencies.named().any(|name| aliases.contains_key(name)) {
            rename(&mut Arc::make_mut(unit).dependencies, aliases);
        }
        for name in &unit.dependencies.after {
            waits.entry(name.clone()).or_default().insert(unit.name.clone());
        }
    }
    for loaded in catalog.units.values_mut() {
        let Loaded::Good(unit) = loaded else { continue };
        if unit.body == Body::Target {
            let later = waits.remove(&unit.name).unwrap_or_default();
            order_target(Arc::make_mut(unit), &later);
        }
    }
}

fn rename(dependencies: &mut Dependencies, aliases: &BTreeMap<UnitName, UnitName>) {
    for names in dependencies.sets_mut() {
        *names = std::mem::take(names)
            .into_iter()
            .map(|name| aliases.get(&name).cloned().unwrap_or(name))
            .collect();
    }
}

/// A target comes after what it pulls in, but for what says that it comes after the target.
fn order_target(unit: &mut Unit, later: &BTreeSet<UnitName>) {
    if unit.body != Body::Target {
        return;
    }
    let Dependencies { requires, wants, binds_to, upholds, after, before, .. } = &mut *unit.dependencies;
    let pulled = requires.iter().chain(wants.iter()).chain(binds_to.iter()).chain(upholds.iter());
    after.extend(pulled.filter(|name| !before.contains(name) && !later.contains(name)).cloned());
}
