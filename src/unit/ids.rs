//! Ids of the host that more than one would have: ranges that units name, and those of users in subuid(5).

use super::diagnostic::Diagnostic;
use super::model::{Unit, UserNamespace};
use super::place::Place;
use crate::paths::Paths;
use std::ops::Range;
use std::path::PathBuf;

const KEY: [&str; 2] = ["security", "user_namespace"];

/// Ids that a file of the host gives to a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subordinate {
    /// The file.
    pub file: PathBuf,
    /// The user, by name or number.
    pub user: String,
    /// The ids.
    pub ids: Range<u64>,
}

/// All that the host has given to users.
pub fn subordinates(paths: &Paths) -> Vec<Subordinate> {
    let mut found = Vec::new();
    for file in paths.subordinate_ids() {
        let text = std::fs::read_to_string(&file).unwrap_or_default();
        found.extend(text.lines().filter_map(|line| {
            let (user, range) = line.split_once(':')?;
            let (base, length) = range.split_once(':')?;
            let (base, length): (u32, u32) = (base.trim().parse().ok()?, length.trim().parse().ok()?);
            let ids = u64::from(base)..u64::from(base) + u64::from(length);
            Some(Subordinate { file: file.clone(), user: user.to_owned(), ids })
        }));
    }
    found
}

/// The ids that a unit names itself.
pub fn named(unit: &Unit) -> Option<Range<u64>> {
    match unit.body.container()?.security.user_namespace {
        UserNamespace::Range { base, length } => Some(u64::from(base)..u64::from(base) + u64::from(length)),
        UserNamespace::Auto | UserNamespace::Host => None,
    }
}

/// Units of which one owns what the other writes, and what users of the host own.
pub fn check<'u>(units: impl Iterator<Item = &'u Unit>, paths: &Paths) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    let mut known: Vec<(&Unit, Range<u64>)> = Vec::new();
    let mut given = None;
    for unit in units {
        let Some(ids) = named(unit) else { continue };
        if let Some((other, _)) = known.iter().find(|(_, others)| overlap(others, &ids)) {
            let message =
                format!("{} has some of these ids, too: each owns what the other writes", other.name);
            let place = Place::of(unit, &KEY, None);
            let there = Place::of(other, &KEY, None);
            found.push(there.note(place.warning(message), &format!("user_namespace of {}", other.name)));
        }
        let given = given.get_or_insert_with(|| subordinates(paths));
        if let Some(users) = given.iter().find(|users| overlap(&users.ids, &ids)) {
            let message =
                format!("{} gives some of these ids to the user {}", users.file.display(), users.user);
            let warning = Place::of(unit, &KEY, None).warning(message);
            found.push(warning.with_help(Some("\"auto\" takes ids that nobody has")));
        }
        known.push((unit, ids));
    }
    found
}

/// What instances of a template would all have.
pub fn check_template(one: &Unit, other: &Unit) -> Option<Diagnostic> {
    let ids = named(one)?;
    named(other).filter(|others| overlap(others, &ids))?;
    let warning = Place::of(one, &KEY, None).warning("every instance of this template would have these ids");
    Some(warning.with_help(Some("\"auto\" gives each instance ids of its own")))
}

fn overlap(one: &Range<u64>, other: &Range<u64>) -> bool {
    one.start < other.end && other.start < one.end
}
