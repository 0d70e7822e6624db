//! How a unit depends on others, and others on it.

use super::Read::List;
use super::{Entry, Look, untold};
use crate::unit::model::Dependencies;
use crate::unit::name::UnitName;
use std::collections::BTreeSet;
use std::path::PathBuf;

pub(super) const TABLE: &[Entry] = &[
    untold("Requires", List(|look| own(look, |all| &all.requires))),
    untold("Requisite", List(|look| own(look, |all| &all.requisite))),
    untold("Wants", List(|look| own(look, |all| &all.wants))),
    untold("BindsTo", List(|look| own(look, |all| &all.binds_to))),
    untold("PartOf", List(|look| own(look, |all| &all.part_of))),
    untold("Upholds", List(|look| own(look, |all| &all.upholds))),
    untold("Conflicts", List(|look| own(look, |all| &all.conflicts))),
    untold("After", List(|look| both(look, |all| &all.after, |all| &all.before))),
    untold("Before", List(|look| both(look, |all| &all.before, |all| &all.after))),
    untold("RequiredBy", List(|look| others(look, |all| &all.requires))),
    untold("WantedBy", List(|look| others(look, |all| &all.wants))),
    untold("BoundBy", List(|look| others(look, |all| &all.binds_to))),
    untold("ConsistsOf", List(|look| others(look, |all| &all.part_of))),
    untold("ConflictedBy", List(|look| others(look, |all| &all.conflicts))),
    untold("RequisiteOf", List(|look| others(look, |all| &all.requisite))),
    untold("UpheldBy", List(|look| others(look, |all| &all.upholds))),
    untold("OnFailure", List(|look| own(look, |all| &all.on_failure))),
    untold("OnFailureOf", List(|look| others(look, |all| &all.on_failure))),
    untold("OnSuccess", List(|look| own(look, |all| &all.on_success))),
    untold("OnSuccessOf", List(|look| others(look, |all| &all.on_success))),
    untold("PropagatesStopTo", List(|look| own(look, |all| &all.propagates_stop_to))),
    untold("StopPropagatedFrom", List(|look| own(look, |all| &all.stop_propagated_from))),
    untold("PropagatesReloadTo", List(|look| own(look, |all| &all.propagates_reload_to))),
    untold("ReloadPropagatedFrom", List(|look| own(look, |all| &all.reload_propagated_from))),
    untold("RequiresMountsFor", List(|look| paths(look, |all| &all.requires_mounts_for))),
    untold("WantsMountsFor", List(|look| paths(look, |all| &all.wants_mounts_for))),
];

fn paths(look: &Look<'_>, pick: fn(&Dependencies) -> &BTreeSet<PathBuf>) -> Vec<String> {
    let own = look.unit().map(|unit| pick(&unit.dependencies)).into_iter().flatten();
    own.map(|path| path.display().to_string()).collect()
}

type Pick = fn(&Dependencies) -> &BTreeSet<UnitName>;

/// What the unit itself names.
fn own(look: &Look<'_>, pick: Pick) -> Vec<String> {
    let own = look.unit().map(|unit| pick(&unit.dependencies));
    own.into_iter().flatten().map(ToString::to_string).collect()
}

/// Who names the unit.
fn others(look: &Look<'_>, pick: Pick) -> Vec<String> {
    pick(look.manager.machine().dependents(look.name)).iter().map(ToString::to_string).collect()
}

/// An order, whichever side names it.
fn both(look: &Look<'_>, pick: Pick, reverse: Pick) -> Vec<String> {
    let all: BTreeSet<String> = own(look, pick).into_iter().chain(others(look, reverse)).collect();
    all.into_iter().collect()
}
