//! Conditions and asserts of a unit: looked at when it starts.

pub(super) mod host;
mod path;
mod version;

use super::Manager;
use crate::manager::machine::{Event, Unmet};
use crate::paths::Paths;
use crate::systemd::SystemdError;
use crate::systemd::manager::Systemd;
use crate::unit::model::{Condition, Otherwise, Role, Test};
use crate::unit::name::UnitName;
use host::Facts;

impl Manager {
    pub(super) fn check_conditions(&self, unit: &UnitName) {
        let conditions = self.machine.unit(unit).and_then(|managed| managed.unit());
        let conditions = conditions.map(|unit| unit.conditions.clone()).unwrap_or_default();
        let (unit, systemd, paths) = (unit.clone(), self.systemd.clone(), self.paths.clone());
        let notes = self.notes.clone();
        tokio::task::spawn_local(async move {
            let result = match facts(&conditions, &systemd, paths).await {
                Ok(facts) => check(&conditions, |test| facts.holds(test)),
                // Whether it holds is not known; so nothing is started that relies on it.
                Err(error) => {
                    let otherwise =
                        conditions.first().map_or(Otherwise::Skip, |condition| condition.otherwise);
                    Err(Unmet { otherwise, text: error.to_string(), at: super::now() })
                }
            };
            // The receiver lives as long as the loop.
            let _ = notes.send(super::Note::Event(Event::ConditionsChecked { unit, result }));
        });
    }
}

/// What only systemd knows is asked where a condition needs it.
async fn facts(conditions: &[Condition], systemd: &Systemd, paths: Paths) -> Result<Facts, SystemdError> {
    let any = |wants: fn(&Test) -> bool| conditions.iter().any(|condition| wants(&condition.test));
    let mut facts = Facts { paths, virtualization: String::new(), environment: Vec::new() };
    if any(|test| matches!(test, Test::Virtualization(_))) {
        facts.virtualization = systemd.virtualization().await?;
    }
    if any(|test| matches!(test, Test::Environment(_))) {
        facts.environment = systemd.environment().await?;
    }
    Ok(facts)
}

/// The conditions first, then the asserts; of those with a `|` one is enough, systemd.unit(5).
fn check(conditions: &[Condition], holds: impl Fn(&Test) -> bool) -> Result<(), Unmet> {
    let is_met = |condition: &&Condition| holds(&condition.test) == condition.expected;
    let mut kinds: Vec<_> = conditions.iter().map(|condition| condition.otherwise).collect();
    kinds.dedup();
    for otherwise in kinds {
        let of = |role| {
            conditions
                .iter()
                .filter(move |condition| (condition.otherwise, condition.role) == (otherwise, role))
        };
        let unmet = |text: String| Err(Unmet { otherwise, text, at: super::now() });
        if let Some(condition) = of(Role::Needed).find(|condition| !is_met(condition)) {
            return unmet(format!("{} was not met", condition.text));
        }
        if of(Role::Alternative).next().is_some()
            && !of(Role::Alternative).any(|condition| is_met(&condition))
        {
            let texts: Vec<&str> = of(Role::Alternative).map(|condition| condition.text.as_str()).collect();
            return unmet(format!("none of {} was met", texts.join(", ")));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A condition on a variable whose name says whether it holds.
    fn condition(word: &str, otherwise: Otherwise) -> Condition {
        let (role, rest) = match word.strip_prefix('|') {
            Some(rest) => (Role::Alternative, rest),
            None => (Role::Needed, word),
        };
        let (expected, name) = rest.strip_prefix('!').map_or((true, rest), |name| (false, name));
        let test = Test::Environment(name.to_owned());
        Condition { test, expected, role, otherwise, text: word.to_owned() }
    }

    fn unmet(conditions: &[&str], asserts: &[&str]) -> Option<(Otherwise, String)> {
        let of = |words: &[&str], otherwise| {
            words.iter().map(|word| condition(word, otherwise)).collect::<Vec<_>>()
        };
        let all = [of(conditions, Otherwise::Skip), of(asserts, Otherwise::Fail)].concat();
        let holds = |test: &Test| matches!(test, Test::Environment(name) if name == "yes");
        check(&all, holds).err().map(|unmet| (unmet.otherwise, unmet.text))
    }

    #[test]
    fn all_are_needed_and_of_alternatives_one() {
        assert_eq!(unmet(&[], &[]), None);
        assert_eq!(unmet(&["yes", "!no", "|no", "|yes", "|!yes"], &["yes"]), None);
        assert_eq!(unmet(&["yes", "no"], &["no"]), Some((Otherwise::Skip, "no was not met".to_owned())));
        assert_eq!(unmet(&["yes", "|no", "|!yes"], &[]).unwrap().1, "none of |no, |!yes was met");
        assert_eq!(unmet(&["|yes"], &["|no", "!no"]).unwrap().0, Otherwise::Fail);
    }
}
