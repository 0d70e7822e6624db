//! What a unit has to do with others: dependencies, and who may start it.

use crate::unit::name::UnitName;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::path::PathBuf;

/// Dependencies on other units, ours and systemd's, as in systemd.unit(5). Includes those from `.wants/` and
/// `.requires/`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dependencies {
    /// Started with this one; its failure fails this one.
    pub requires: BTreeSet<UnitName>,
    /// Must be up already when this one starts.
    pub requisite: BTreeSet<UnitName>,
    /// Started with this one; its failure is no matter.
    pub wants: BTreeSet<UnitName>,
    /// As `requires`, and this one stops when that one stops for whatever reason.
    pub binds_to: BTreeSet<UnitName>,
    /// Stops and restarts of those are done to this one too.
    pub part_of: BTreeSet<UnitName>,
    /// Started with this one, and again whenever found down.
    pub upholds: BTreeSet<UnitName>,
    /// Never active together.
    pub conflicts: BTreeSet<UnitName>,
    /// This one starts when those have started.
    pub after: BTreeSet<UnitName>,
    /// Those start when this one has started.
    pub before: BTreeSet<UnitName>,
    /// Started when this one fails.
    pub on_failure: BTreeSet<UnitName>,
    /// Started when this one ends with success.
    pub on_success: BTreeSet<UnitName>,
    /// Stopped with this one.
    pub propagates_stop_to: BTreeSet<UnitName>,
    /// Those whose stops stop this one.
    pub stop_propagated_from: BTreeSet<UnitName>,
    /// Reloaded with this one.
    pub propagates_reload_to: BTreeSet<UnitName>,
    /// Those whose reloads reload this one.
    pub reload_propagated_from: BTreeSet<UnitName>,
    /// Paths of the host; those of their mounts that systemd has units of are in `requires` and `after`.
    #[serde(default)]
    pub requires_mounts_for: BTreeSet<PathBuf>,
    /// The same with `wants`.
    #[serde(default)]
    pub wants_mounts_for: BTreeSet<PathBuf>,
}

impl Dependencies {
    /// All sets, whatever they mean.
    pub fn sets(&self) -> [&BTreeSet<UnitName>; 15] {
        [
            &self.requires,
            &self.requisite,
            &self.wants,
            &self.binds_to,
            &self.part_of,
            &self.upholds,
            &self.conflicts,
            &self.after,
            &self.before,
            &self.on_failure,
            &self.on_success,
            &self.propagates_stop_to,
            &self.stop_propagated_from,
            &self.propagates_reload_to,
            &self.reload_propagated_from,
        ]
    }

    /// All sets, to be changed.
    pub fn sets_mut(&mut self) -> [&mut BTreeSet<UnitName>; 15] {
        [
            &mut self.requires,
            &mut self.requisite,
            &mut self.wants,
            &mut self.binds_to,
            &mut self.part_of,
            &mut self.upholds,
            &mut self.conflicts,
            &mut self.after,
            &mut self.before,
            &mut self.on_failure,
            &mut self.on_success,
            &mut self.propagates_stop_to,
            &mut self.stop_propagated_from,
            &mut self.propagates_reload_to,
            &mut self.reload_propagated_from,
        ]
    }

    /// Every unit that is named, as often as it is.
    pub fn named(&self) -> impl Iterator<Item = &UnitName> {
        self.sets().into_iter().flatten()
    }
}

/// Who may start and stop a unit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Handling {
    /// Stopped once nothing that is up needs it.
    pub stop_when_unneeded: bool,
    /// Only started by other units.
    pub refuse_manual_start: bool,
    /// Only stopped by other units.
    pub refuse_manual_stop: bool,
    /// `isolate` takes it.
    pub allow_isolate: bool,
    /// `isolate` of another unit leaves it alone.
    pub ignore_on_isolate: bool,
    /// When it is forgotten, if nobody uses it.
    #[serde(default)]
    pub collect: CollectMode,
}

/// `unit.collect_mode`: when an instance, or a unit that was made for one start, is forgotten.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum CollectMode {
    /// When it is inactive. That it has failed is remembered.
    #[default]
    Inactive,
    /// When it has failed, too.
    InactiveOrFailed,
}
