//! What a reload and the enabled set would do to each unit. Pure: old and new versions in, steps out.

use crate::unit::difference::{Difference, between};
use crate::unit::load::{Catalog, Loaded};
use crate::unit::model::{Body, ServiceType, Unit};
use crate::unit::name::{DEFAULT_TARGET, UnitName};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// What the manager knows of a unit.
#[derive(Debug, Clone)]
pub struct Known {
    /// The version that rules.
    pub unit: Option<Unit>,
    /// Whether it is up, or on the way.
    pub is_up: bool,
}

/// What is done to a unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// It is stopped.
    Stop,
    /// It is stopped and started.
    Restart,
    /// It is started.
    Start,
    /// Its new version rules, and what runs goes on.
    Update,
    /// It becomes known.
    Add,
    /// It is forgotten.
    Forget,
    /// Its files have errors: the last valid version goes on.
    Keep,
}

/// One line of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Step {
    /// The unit.
    pub unit: String,
    /// What is done to it.
    pub action: Action,
    /// Why.
    pub reason: &'static str,
    /// What its files say otherwise.
    pub changes: Vec<Difference>,
}

/// Everything that would be done, by unit.
pub fn decide(known: &BTreeMap<UnitName, Known>, catalog: &Catalog) -> Vec<Step> {
    let old = |name: &UnitName| known.get(name).and_then(|known| known.unit.as_ref());
    let new = |name: &UnitName| match catalog.find(name) {
        Some(Loaded::Good(unit)) => Some(unit.as_ref()),
        _ => None,
    };
    let (before, now) = (enabled(old), enabled(new));
    let names: BTreeSet<&UnitName> = known.keys().chain(catalog.units.keys()).chain(&now).collect();
    let steps = names.into_iter().filter(|name| !catalog.aliases.contains_key(*name)).filter_map(|name| {
        let wanted = Wanted { before: before.contains(name), now: now.contains(name) };
        let (action, reason, changes) = step(known.get(name), catalog.find(name), wanted)?;
        Some(Step { unit: name.to_string(), action, reason, changes })
    });
    steps.collect()
}

/// What is started at boot: the default target and all that it pulls in.
fn enabled<'u>(unit: impl Fn(&UnitName) -> Option<&'u Unit>) -> BTreeSet<UnitName> {
    let mut found = BTreeSet::new();
    let mut open: Vec<UnitName> = UnitName::parse(DEFAULT_TARGET).into_iter().collect();
    while let Some(name) = open.pop() {
        let Some(unit) = unit(&name).filter(|_| !found.contains(&name)) else { continue };
        let own = &unit.dependencies;
        open.extend(own.requires.iter().chain(&own.wants).chain(&own.binds_to).chain(&own.upholds).cloned());
        found.insert(name);
        found.insert(unit.name.clone());
    }
    found
}

#[derive(Clone, Copy)]
struct Wanted {
    before: bool,
    now: bool,
}

type Decision = (Action, &'static str, Vec<Difference>);

fn step(known: Option<&Known>, new: Option<&Loaded>, wanted: Wanted) -> Option<Decision> {
    let is_up = known.is_some_and(|known| known.is_up);
    let plain = |action, reason| Some((action, reason, Vec::new()));
    let new = match new {
        Some(Loaded::Good(unit)) => unit,
        Some(Loaded::Bad(_)) => return plain(Action::Keep, "its files have errors"),
        Some(Loaded::Masked) if is_up => return plain(Action::Stop, "it is masked"),
        None if is_up => return plain(Action::Stop, "its file is gone"),
        Some(Loaded::Masked) => return None,
        None => {
            return known
                .and_then(|known| known.unit.as_ref())
                .and_then(|_| plain(Action::Forget, "its file is gone"));
        }
    };
    let old = known.and_then(|known| known.unit.as_ref());
    let changes = old.map(|old| between(old, new)).unwrap_or_default();
    if is_up && wanted.before && !wanted.now {
        return Some((Action::Stop, "nothing wants it any more", changes));
    }
    if is_up && changes.iter().any(Difference::needs_restart) {
        return Some((Action::Restart, "its files have changed", changes));
    }
    // What has done its work is not done again.
    let is_done = wanted.before && is_oneshot(new);
    if !is_up && wanted.now && !is_done {
        let reason = if wanted.before { "it is enabled, and down" } else { "it is enabled" };
        return Some((Action::Start, reason, changes));
    }
    match (old, changes.is_empty()) {
        (None, _) => Some((Action::Add, "its file is new", changes)),
        (Some(_), false) => Some((Action::Update, "its files have changed", changes)),
        (Some(_), true) => None,
    }
}

fn is_oneshot(unit: &Unit) -> bool {
    matches!(&unit.body, Body::Container(container) if container.kind == ServiceType::Oneshot)
}
