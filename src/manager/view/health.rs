//! Whether a container is well, and which conditions its last start did not meet.

use super::Read::{Flag, Large, List, Text, Unsigned};
use super::life::realtime;
use super::{Entry, Look, told, untold};
use crate::manager::machine::{HealthState, Unmet};
use crate::unit::model::Otherwise;

pub(super) const TABLE: &[Entry] = &[
    told("HealthState", Text(state)),
    // What each check says changes without a signal.
    untold(
        "HealthTimestamp",
        Large(|look| realtime(look.manager.health(look.name).and_then(|health| health.last))),
    ),
    untold("HealthOutput", Text(|look| look.manager.health(look.name).unwrap_or_default().output)),
    untold(
        "HealthFailingStreak",
        Unsigned(|look| look.manager.health(look.name).unwrap_or_default().failures),
    ),
    told("ConditionResult", Flag(|look| holds(look, Otherwise::Skip))),
    told("AssertResult", Flag(|look| holds(look, Otherwise::Fail))),
    told("ConditionTimestamp", Large(|look| realtime(unmet(look).map(|unmet| unmet.at)))),
    told("Conditions", List(|look| unmet(look).map(|unmet| unmet.text.clone()).into_iter().collect())),
];

/// Empty where nothing is checked.
fn state(look: &Look<'_>) -> String {
    let state = match (&look.managed.health, look.manager.health(look.name)) {
        (_, None) => "",
        (HealthState::Unknown, Some(_)) => "starting",
        (HealthState::Healthy, Some(_)) => "healthy",
        (HealthState::Unhealthy(_), Some(_)) => "unhealthy",
    };
    state.to_owned()
}

/// Of the last start.
fn unmet<'a>(look: &Look<'a>) -> Option<&'a Unmet> {
    look.managed.unmet.as_ref()
}

fn holds(look: &Look<'_>, kind: Otherwise) -> bool {
    unmet(look).is_none_or(|unmet| unmet.otherwise != kind)
}
