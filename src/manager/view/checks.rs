//! What was checked of a unit: the conditions of its last start, and its health.

use super::Read::{Flag, Large, List, Text, Unsigned};
use super::life::realtime;
use super::{Entry, Look, Viewer, told, untold};
use crate::manager::driver::Checked;
use crate::manager::machine::HealthState;
use crate::unit::model::Otherwise;
use std::cell::Ref;

pub(super) const TABLE: &[Entry] = &[
    told("HealthState", Text(|look| state(look).to_owned())),
    // Each check changes these; whoever wants to know them asks.
    untold("HealthTimestamp", Large(|look| realtime(checked(look).and_then(|checked| checked.last)))),
    untold("HealthOutput", Text(output)),
    untold("HealthFailingStreak", Unsigned(|look| checked(look).map_or(0, |checked| checked.failures))),
    told("ConditionResult", Flag(|look| holds(look, Otherwise::Skip))),
    told("AssertResult", Flag(|look| holds(look, Otherwise::Fail))),
    told("ConditionTimestamp", Large(|look| realtime(look.managed.unmet.as_ref().map(|unmet| unmet.at)))),
    told("Conditions", List(|look| look.managed.unmet.iter().map(|unmet| unmet.text.clone()).collect())),
];

fn checked<'a>(look: &Look<'a>) -> Option<Ref<'a, Checked>> {
    look.manager.health(look.name)
}

/// A program's output may be for its administrator alone.
fn output(look: &Look<'_>) -> String {
    let checked = checked(look).filter(|_| look.beside.viewer == Viewer::Root);
    checked.map(|checked| checked.output.clone()).unwrap_or_default()
}

/// Empty where nothing is checked.
fn state(look: &Look<'_>) -> &'static str {
    if checked(look).is_none() {
        return "";
    }
    match look.managed.health {
        HealthState::Unknown => "starting",
        HealthState::Healthy => "healthy",
        HealthState::Unhealthy(_) => "unhealthy",
    }
}

fn holds(look: &Look<'_>, kind: Otherwise) -> bool {
    look.managed.unmet.as_ref().is_none_or(|unmet| unmet.otherwise != kind)
}
