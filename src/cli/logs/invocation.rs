//! Runs of units, as the journal numbers them: by the invocation ids of their scopes, and of sampand.

use super::matches::{MANAGER, Speakers, Subject, words};
use serde::Deserialize;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

/// The ids of one run: the one that systemd gave its scope, and the one that sampand gave it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Run {
    scope: Option<String>,
    manager: Option<String>,
}

impl Run {
    /// The matches for its lines: its own, and those of systemd and sampand about it.
    pub fn matches(&self, speakers: Speakers) -> Vec<Vec<String>> {
        let mut matches = Vec::new();
        if let Some(id) = &self.scope {
            matches.push(vec![format!("_SYSTEMD_INVOCATION_ID={id}")]);
        }
        if speakers == Speakers::Container {
            return matches;
        }
        if let Some(id) = &self.scope {
            matches.push(vec!["_PID=1".to_owned(), format!("INVOCATION_ID={id}")]);
            matches.push(vec!["_UID=0".to_owned(), format!("OBJECT_SYSTEMD_INVOCATION_ID={id}")]);
        }
        if let Some(id) = &self.manager {
            matches.push(vec![format!("_SYSTEMD_UNIT={MANAGER}"), format!("INVOCATION_ID={id}")]);
        }
        matches
    }

    fn has(&self, id: &str) -> bool {
        [&self.scope, &self.manager].into_iter().flatten().any(|own| own == id)
    }
}

/// One run: by an id, or counted from the last (0, -1, …) or the first (1, 2, …), as journalctl has it. `None` when
/// there is no such run.
pub fn chosen(subjects: &[Subject], which: &str) -> Option<Run> {
    match which.parse::<i64>() {
        // An id is 32 digits, which no counting reaches.
        Ok(number) if which.len() < 32 => nth(&all(subjects), number),
        _ => by_id(all(subjects), which),
    }
}

/// The run with this id. The journal is asked for one that no line tells of, too: it may be another unit's.
fn by_id(runs: Vec<Run>, id: &str) -> Option<Run> {
    let unknown = Run { scope: Some(id.to_owned()), manager: None };
    Some(runs.into_iter().find(|run| run.has(id)).unwrap_or(unknown))
}

fn nth(runs: &[Run], number: i64) -> Option<Run> {
    let index = if number > 0 { number - 1 } else { i64::try_from(runs.len()).ok()? - 1 + number };
    runs.get(usize::try_from(index).ok()?).cloned()
}

/// The fields of a line that tell which run it is about.
#[derive(Debug, Default, Deserialize)]
struct Line {
    #[serde(rename = "_SYSTEMD_UNIT")]
    unit: Option<String>,
    #[serde(rename = "_SYSTEMD_INVOCATION_ID")]
    own: Option<String>,
    #[serde(rename = "INVOCATION_ID")]
    about: Option<String>,
}

/// All runs, the first first. One that never said a word is known by what systemd says of its scope.
fn all(subjects: &[Subject]) -> Vec<Run> {
    let mut command = Command::new("journalctl");
    command.args(["--quiet", "--no-pager", "--output=json"]);
    command.arg("--output-fields=_SYSTEMD_UNIT,_SYSTEMD_INVOCATION_ID,INVOCATION_ID");
    command.args(words(subjects, Speakers::All));
    let mut runs = Vec::new();
    let Ok(mut child) = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn() else {
        return runs;
    };
    if let Some(output) = child.stdout.take() {
        let lines = BufReader::new(output).lines().map_while(Result::ok);
        lines
            .filter_map(|line| serde_json::from_str(&line).ok())
            .for_each(|line| add(&mut runs, line, subjects));
    }
    // Its lines have been read; how it ended tells nothing more.
    let _ = child.wait();
    runs
}

/// Takes a line in. systemd speaks of a run first, so what sampand calls by a new id is the last run that it has not
/// spoken of.
fn add(runs: &mut Vec<Run>, line: Line, subjects: &[Subject]) {
    let is_own = |unit: &String| subjects.iter().any(|subject| subject.scope == *unit);
    let of_manager = line.unit.as_deref() == Some(MANAGER);
    let id = if line.unit.as_ref().is_some_and(is_own) { line.own } else { line.about };
    let Some(id) = id.filter(|id| !runs.iter().rev().any(|run| run.has(id))) else { return };
    match runs.last_mut().filter(|run| of_manager && run.manager.is_none()) {
        Some(run) => run.manager = Some(id),
        None if of_manager => runs.push(Run { scope: None, manager: Some(id) }),
        None => runs.push(Run { scope: Some(id), manager: None }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::unit::name::UnitName;

    fn run(scope: &str, manager: &str) -> Run {
        let id = |id: &str| Some(id.to_owned()).filter(|id| !id.is_empty());
        Run { scope: id(scope), manager: id(manager) }
    }

    #[test]
    fn runs_are_counted_from_both_ends() {
        let runs = ["a", "b", "c"].map(|id| run(id, ""));
        let of = |number| nth(&runs, number).and_then(|run| run.scope).unwrap_or_default();
        assert_eq!([of(0), of(-1), of(-2), of(1), of(3)].join(" "), "c b a a c");
        assert_eq!((nth(&runs, -3), nth(&runs, 4)), (None, None));
    }

    #[test]
    fn a_run_that_said_nothing_is_one_all_the_same() {
        let web = [Subject::of(&UnitName::parse("web.container").unwrap())];
        let mut runs = Vec::new();
        for (unit, own, about) in [
            ("init.scope", "", "a"),
            ("sampan-web.scope", "a", ""),
            ("init.scope", "", "b"),
            ("sampand.service", "x", "B"),
            ("init.scope", "", "b"),
            ("init.scope", "", "c"),
            ("sampan-web.scope", "b", ""),
            ("sampand.service", "x", "C"),
            ("sampand.service", "x", ""),
        ] {
            let text = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
            add(&mut runs, Line { unit: text(unit), own: text(own), about: text(about) }, &web);
        }
        assert_eq!(runs, [run("a", ""), run("b", "B"), run("c", "C")]);
        assert_eq!(by_id(runs.clone(), "C"), Some(run("c", "C")));
        assert_eq!(by_id(runs, "d"), Some(run("d", "")));
    }

    #[test]
    fn a_run_has_its_own_lines_and_those_about_it() {
        let run = run("a", "A");
        assert_eq!(run.matches(Speakers::Container), [["_SYSTEMD_INVOCATION_ID=a"]]);
        assert_eq!(
            run.matches(Speakers::All).join(&"+".to_owned()).join(" "),
            "_SYSTEMD_INVOCATION_ID=a + _PID=1 INVOCATION_ID=a + _UID=0 OBJECT_SYSTEMD_INVOCATION_ID=a + \
             _SYSTEMD_UNIT=sampand.service INVOCATION_ID=A"
        );
    }
}
