//! Circles in the order of units: each is told whole, with every place that has a part in it.

use super::diagnostic::Diagnostic;
use super::model::Unit;
use super::name::UnitName;
use super::place::Place;
use super::tree::FAULTS_MAX;
use std::collections::{BTreeMap, BTreeSet};

/// Who says that one unit waits for another, and by which key.
#[derive(Clone, Copy)]
struct Edge<'u> {
    says: &'u Unit,
    key: &'static str,
    item: &'u UnitName,
}

impl<'u> Edge<'u> {
    fn place(&self) -> Place<'u> {
        Place::of(self.says, &["unit", self.key], Some(self.item.as_str()))
    }
}

/// The units that each unit waits for.
type Order<'u> = BTreeMap<&'u UnitName, BTreeMap<&'u UnitName, Edge<'u>>>;

/// A warning for each circle.
pub fn cycles(units: &[&Unit]) -> Vec<Diagnostic> {
    let mut order = order(units);
    let mut found = Vec::new();
    while let Some(cycle) = cycle(&mut order) {
        found.extend(diagnostic(&cycle, &order));
        let (Some(first), Some(last)) = (cycle.first(), cycle.last()) else { break };
        if let Some(waits) = order.get_mut(last) {
            waits.remove(first);
        }
        if found.len() >= FAULTS_MAX {
            break;
        }
    }
    found
}

fn order<'u>(units: &[&'u Unit]) -> Order<'u> {
    let mut order: Order<'u> = units.iter().map(|unit| (&unit.name, BTreeMap::new())).collect();
    let known: BTreeSet<&UnitName> = order.keys().copied().collect();
    for says in units {
        for item in says.dependencies.after.iter().filter(|name| known.contains(name)) {
            order.entry(&says.name).or_default().insert(item, Edge { says, key: "after", item });
        }
        for item in says.dependencies.before.iter().filter(|name| known.contains(name)) {
            order.entry(item).or_default().entry(&says.name).or_insert(Edge { says, key: "before", item });
        }
    }
    order
}

/// Takes away every unit that waits for nobody, until all that are left wait in a circle or for one.
fn cycle<'u>(order: &mut Order<'u>) -> Option<Vec<&'u UnitName>> {
    loop {
        let free: BTreeSet<&UnitName> =
            order.iter().filter(|(_, waits)| waits.is_empty()).map(|(name, _)| *name).collect();
        if free.is_empty() {
            break;
        }
        order.retain(|name, _| !free.contains(name));
        for waits in order.values_mut() {
            waits.retain(|name, _| !free.contains(name));
        }
    }
    let mut way = vec![*order.keys().next()?];
    loop {
        let next = *order.get(way.last()?)?.keys().next()?;
        if let Some(begin) = way.iter().position(|name| *name == next) {
            let mut cycle = way.split_off(begin);
            let least = cycle.iter().enumerate().min_by_key(|(_, name)| **name).map_or(0, |(index, _)| index);
            cycle.rotate_left(least);
            return Some(cycle);
        }
        way.push(next);
    }
}

fn diagnostic(cycle: &[&UnitName], order: &Order<'_>) -> Option<Diagnostic> {
    let names: Vec<&str> = cycle.iter().chain(cycle.first()).map(|name| name.as_str()).collect();
    let message = format!("these units wait for each other in a circle: {}", names.join(" → "));
    let followers = cycle.iter().skip(1).chain(cycle.first());
    let mut edges = cycle.iter().zip(followers).filter_map(|(name, next)| Some(*order.get(name)?.get(next)?));
    let diagnostic = edges.next()?.place().warning(message);
    let diagnostic = edges.fold(diagnostic, |diagnostic, edge| {
        edge.place().note(diagnostic, &format!("{} starts {} {}", edge.says.name, edge.key, edge.item))
    });
    Some(
        diagnostic.with_help(Some("take one of these away: a start of all these units has to leave one out")),
    )
}
