//! Mistakes that no file shows by itself: units that are named and do not exist, orders that run in a circle,
//! addresses that two units want, credentials that are not there. All of them are warnings: each unit can be loaded.

use super::diagnostic::Diagnostic;
use super::exposed;
use super::ids;
use super::links::is_of_systemd;
use super::load::{Catalog, Loaded};
use super::model::{Dependencies, Listen, Socket, Unit, UnixName};
use super::name::{DEFAULT_TARGET, UnitKind, UnitName};
use super::order;
use super::place::Place;
use super::search::Search;
use super::suggest;
use crate::paths::Paths;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Everything that is wrong between the units of a catalog.
pub fn check(catalog: &Catalog, paths: &Paths) -> Vec<Diagnostic> {
    let known = Known { catalog, paths, search: Search::new(paths) };
    let mut found = Vec::new();
    for unit in good(catalog) {
        unknown_units(unit, &known, &mut found);
        unknown_targets(unit, &known, &mut found);
        unordered(unit, catalog, &mut found);
        if let Some(container) = unit.body.container() {
            found.extend(exposed::check(unit, container, paths));
        }
    }
    found.extend(order::cycles(&good(catalog).map(Arc::as_ref).collect::<Vec<_>>()));
    same_addresses(catalog, &mut found);
    found.extend(ids::check(good(catalog).map(Arc::as_ref), paths));
    found
}

/// What units there are.
struct Known<'c> {
    catalog: &'c Catalog,
    paths: &'c Paths,
    search: Search,
}

impl<'c> Known<'c> {
    fn is_of_systemd(&self, name: &UnitName) -> bool {
        is_of_systemd(self.paths, &self.search, name)
    }

    /// The unit that was meant by the name of one that does not exist.
    fn nearest(&self, name: &UnitName) -> Option<&'c str> {
        let catalog = self.catalog;
        let known =
            || catalog.units.keys().chain(catalog.aliases.keys()).filter(|known| known.kind() == name.kind());
        let near = suggest::nearest(name.stem(), known().filter(|known| *known != name).map(UnitName::stem))?;
        known().find(|known| known.stem() == near).map(UnitName::as_str)
    }
}

/// What is wrong with a template, seen by two of its instances.
pub fn check_template(one: &Unit, other: &Unit) -> Vec<Diagnostic> {
    let sockets =
        |unit: &Unit| unit.body.container().map(|container| container.sockets.clone()).unwrap_or_default();
    let others = sockets(other);
    let same = sockets(one)
        .into_iter()
        .filter(|(name, socket)| others.get(name).is_some_and(|other| other.listen == socket.listen));
    let addresses = same.map(|(name, _)| {
        let place = Place::of(one, &["socket", &name, "listen"], None);
        place
            .warning("every instance of this template would listen on this address")
            .with_help(Some("write \"%i\" where they differ, or give each instance a drop-in"))
    });
    addresses.chain(ids::check_template(one, other)).collect()
}

fn good(catalog: &Catalog) -> impl Iterator<Item = &Arc<Unit>> {
    catalog.units.values().filter_map(|loaded| match loaded {
        Loaded::Good(unit) => Some(unit),
        _ => None,
    })
}

/// How much a unit needs another one that is not there.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Lack {
    /// It cannot start.
    Fatal,
    /// It starts without.
    Bearable,
    /// It is as good as said that it may be missing, unless the name is a slip.
    Usual,
}

fn named(dependencies: &Dependencies) -> [(&'static str, Lack, &BTreeSet<UnitName>); 11] {
    let own = dependencies;
    [
        ("requires", Lack::Fatal, &own.requires),
        ("requisite", Lack::Fatal, &own.requisite),
        ("binds_to", Lack::Fatal, &own.binds_to),
        ("wants", Lack::Bearable, &own.wants),
        ("upholds", Lack::Bearable, &own.upholds),
        ("on_failure", Lack::Bearable, &own.on_failure),
        ("on_success", Lack::Bearable, &own.on_success),
        ("part_of", Lack::Usual, &own.part_of),
        ("conflicts", Lack::Usual, &own.conflicts),
        ("after", Lack::Usual, &own.after),
        ("before", Lack::Usual, &own.before),
    ]
}

fn unknown_units(unit: &Unit, known: &Known<'_>, found: &mut Vec<Diagnostic>) {
    let mut told = BTreeSet::new();
    for (key, lack, names) in named(&unit.dependencies) {
        let is_there =
            |name: &UnitName| matches!(known.catalog.find(name), Some(Loaded::Good(_) | Loaded::Bad(_)));
        for name in names.iter().filter(|name| !is_there(name) && !known.is_of_systemd(name)) {
            let near = known.nearest(name);
            // A target that is not ours may be systemd's.
            let lack = if name.kind() == UnitKind::Target { Lack::Usual } else { lack };
            let consequence = match (known.catalog.find(name), lack) {
                (Some(Loaded::Masked), Lack::Fatal) => "is masked: this unit cannot start",
                (None, Lack::Fatal) => "does not exist: this unit cannot start",
                (None, Lack::Bearable) => "does not exist: this unit starts without it",
                (None, Lack::Usual) if near.is_some() => "does not exist",
                _ => continue,
            };
            // A name that is wrong in "requires" is as wrong in "after".
            if told.insert(name) {
                let place = Place::of(unit, &["unit", key], Some(name.as_str()));
                let help = match (known.catalog.find(name), near) {
                    (Some(Loaded::Masked), _) => format!("run \"sampanctl unmask {name}\""),
                    (_, Some(near)) => format!("did you mean \"{near}\"?"),
                    _ => "make it, or take the name away".to_owned(),
                };
                found.push(place.warning(format!("{name} {consequence}")).with_help(Some(help)));
            }
        }
    }
}

/// A target that nothing starts is no use to what it wants.
fn unknown_targets(unit: &Unit, known: &Known<'_>, found: &mut Vec<Diagnostic>) {
    let install = &unit.install;
    for (key, names) in [
        ("wanted_by", &install.wanted_by),
        ("required_by", &install.required_by),
        ("upheld_by", &install.upheld_by),
        ("also", &install.also),
    ] {
        let missing = |name: &&UnitName| !name.is_template() && known.catalog.find(name).is_none();
        for name in names.iter().filter(missing).filter(|name| !known.is_of_systemd(name)) {
            let near = known.nearest(name).unwrap_or(DEFAULT_TARGET);
            let place = Place::of(unit, &["install", key], Some(name.as_str()));
            let help = format!("did you mean \"{near}\"?");
            found.push(place.warning(format!("{name} does not exist")).with_help(Some(help)));
        }
    }
}

/// A requirement is no order, systemd.unit(5): both start at once, and the other may not be ready. One with
/// sockets is ready from the first moment on.
fn unordered(unit: &Unit, catalog: &Catalog, found: &mut Vec<Diagnostic>) {
    let own = &unit.dependencies;
    for (key, names) in [("requires", &own.requires), ("binds_to", &own.binds_to)] {
        for name in names.iter().filter(|name| !own.after.contains(name) && !own.before.contains(name)) {
            let Some(Loaded::Good(other)) = catalog.find(name) else { continue };
            let listens = other.body.container().is_none_or(|container| !container.sockets.is_empty());
            let ordered = other.dependencies.after.contains(&unit.name);
            if listens || ordered || other.dependencies.before.contains(&unit.name) {
                continue;
            }
            let place = Place::of(unit, &["unit", key], Some(name.as_str()));
            let message = format!("{name} is required, but this unit does not wait until it has started");
            found.push(place.warning(message).with_help(Some(format!("add after = [\"{name}\"]"))));
        }
    }
}

/// Two units that listen on one address cannot both be up.
fn same_addresses(catalog: &Catalog, found: &mut Vec<Diagnostic>) {
    let mut known: BTreeMap<String, Vec<(&Unit, &str, &Socket)>> = BTreeMap::new();
    for unit in good(catalog) {
        let Some(container) = unit.body.container() else { continue };
        for (name, socket) in container.sockets.iter() {
            let others = known.entry(bucket(&socket.listen)).or_default();
            let same = others.iter().find(|(other, _, there)| {
                other.name != unit.name && there.collides(socket) && !conflict(unit, other)
            });
            if let Some((other, other_name, _)) = same {
                let place = Place::of(unit, &["socket", name, "listen"], None);
                let message =
                    format!("{} listens on this address, too: one of the two cannot start", other.name);
                let warning =
                    place.warning(message).with_help(Some("give each of them an address of its own"));
                let there = Place::of(other, &["socket", other_name, "listen"], None);
                found.push(there.note(warning, &format!("[socket.{other_name}] of {}", other.name)));
            }
            others.push((unit, name, socket));
        }
    }
}

/// Addresses that collide are in one bucket.
fn bucket(listen: &Listen) -> String {
    match listen {
        Listen::Tcp(address) => address.port().to_string(),
        Listen::Udp(address) => format!("udp:{}", address.port()),
        Listen::Unix(_, UnixName::Abstract(name)) => format!("@{name}"),
        Listen::Unix(_, UnixName::Path(path)) | Listen::Fifo(path) => path.display().to_string(),
        Listen::Vsock(_) => listen.to_string(),
    }
}

fn conflict(one: &Unit, other: &Unit) -> bool {
    one.dependencies.conflicts.contains(&other.name) || other.dependencies.conflicts.contains(&one.name)
}
