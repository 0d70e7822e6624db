//! Which lines of the journal are about a unit: journalctl(1)'s matches, alternatives set apart by `+`.

use crate::unit::name::{NameError, UnitName};
use crate::unit::pattern;
use std::process::{Command, Stdio};

/// The message of systemd-coredump(8), sd-messages(3).
const COREDUMP: &str = "MESSAGE_ID=fc2e22bc6ee647b6b90729ab34a250b1";
/// The service of the manager.
pub(super) const MANAGER: &str = "sampand.service";

/// Which lines are wanted of a unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Speakers {
    /// What the container says, and what systemd and sampand say of it.
    All,
    /// What the container says.
    Container,
}

/// A unit in the journal: the scope of its container, and its name in messages of sampand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    /// `sampan-web.scope`.
    pub scope: String,
    /// `web.container`.
    pub unit: String,
}

impl Subject {
    /// A unit by its full name.
    pub fn of(unit: &UnitName) -> Self {
        Self { scope: unit.scope(), unit: unit.to_string() }
    }

    /// A unit, and what its container was while it had a successor.
    pub fn all_of(unit: &UnitName) -> Vec<Self> {
        [Some(unit.clone()), unit.retired()].iter().flatten().map(Self::of).collect()
    }

    /// The matches for its lines.
    fn matches(&self, speakers: Speakers) -> Vec<Vec<String>> {
        let Self { scope, unit } = self;
        let own = vec![format!("_SYSTEMD_UNIT={scope}")];
        if speakers == Speakers::Container {
            return vec![own];
        }
        let manager = format!("_SYSTEMD_UNIT={MANAGER}");
        vec![
            own,
            // systemd of it, others of it, and its cores: as journalctl --unit has them.
            vec!["_PID=1".to_owned(), format!("UNIT={scope}")],
            vec!["_UID=0".to_owned(), format!("OBJECT_SYSTEMD_UNIT={scope}")],
            vec!["_UID=0".to_owned(), COREDUMP.to_owned(), format!("COREDUMP_UNIT={scope}")],
            vec![manager, format!("SAMPAN_UNIT={unit}")],
            // Commands on the host: of lines of a stream the journal itself writes all fields.
            vec!["_TRANSPORT=stdout".to_owned(), format!("SAMPAN_UNIT={unit}")],
        ]
    }
}

/// The words for journalctl.
pub fn words(subjects: &[Subject], speakers: Speakers) -> Vec<String> {
    let alternatives: Vec<Vec<String>> =
        subjects.iter().flat_map(|subject| subject.matches(speakers)).collect();
    alternatives.join(&"+".to_owned())
}

/// The words for the manager and all units that it ever had.
pub fn everything() -> Vec<String> {
    let manager =
        [vec![format!("_SYSTEMD_UNIT={MANAGER}")], vec!["_PID=1".to_owned(), format!("UNIT={MANAGER}")]];
    let units = scopes().iter().filter_map(|scope| UnitName::of_scope(scope)).collect::<Vec<_>>();
    let units = units.iter().map(Subject::of).flat_map(|subject| {
        // What sampand says of them is among what it says.
        let mut matches = subject.matches(Speakers::All);
        matches.pop();
        matches
    });
    let alternatives: Vec<Vec<String>> = manager.into_iter().chain(units).collect();
    alternatives.join(&"+".to_owned())
}

/// The units that the words of a command line mean. The journal knows units that nobody else remembers, so patterns
/// and templates are looked for in it.
///
/// # Errors
/// When a word is no name.
pub fn subjects(words: &[String]) -> Result<Vec<Subject>, NameError> {
    let mut subjects: Vec<Subject> = Vec::new();
    let mut known: Option<Vec<String>> = None;
    for word in words {
        let found = match wanted(word)? {
            Wanted::One(name) => Subject::all_of(&name),
            Wanted::Matching(pattern) => {
                let known = known.get_or_insert_with(scopes);
                known
                    .iter()
                    .filter(|scope| pattern::matches(&pattern, scope))
                    .filter_map(|scope| UnitName::of_scope(scope))
                    .map(|unit| Subject::of(&unit))
                    .collect()
            }
        };
        subjects.extend(found);
    }
    subjects.dedup();
    Ok(subjects)
}

enum Wanted {
    One(UnitName),
    /// A pattern over scopes.
    Matching(String),
}

fn wanted(word: &str) -> Result<Wanted, NameError> {
    let scopes = |stem: &str| Wanted::Matching(format!("sampan-{}.scope", stem.replace('@', ":")));
    if pattern::is_pattern(word) {
        return Ok(scopes(word.strip_suffix(".container").unwrap_or(word)));
    }
    let name = UnitName::from_command_line(word)?;
    // A template never runs itself: its lines are those of its instances.
    Ok(if name.is_template() { scopes(&format!("{}*", name.stem())) } else { Wanted::One(name) })
}

/// All scopes of ours that the journal has lines of.
fn scopes() -> Vec<String> {
    let fields = ["_SYSTEMD_UNIT", "UNIT"].map(values);
    let mut scopes: Vec<String> = fields
        .into_iter()
        .flatten()
        .filter(|unit| unit.starts_with("sampan-") && unit.ends_with(".scope"))
        .collect();
    scopes.sort();
    scopes.dedup();
    scopes
}

fn values(field: &str) -> Vec<String> {
    let mut command = Command::new("journalctl");
    command.args(["--quiet", "--no-pager", "--field", field]).stderr(Stdio::null());
    let output = command.output().map(|output| output.stdout).unwrap_or_default();
    String::from_utf8_lossy(&output).lines().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_about_a_unit_come_from_itself_and_from_those_who_may_speak_of_it() {
        let web = UnitName::parse("web@a.container").unwrap();
        assert_eq!(
            words(&[Subject::of(&web)], Speakers::All).join(" "),
            "_SYSTEMD_UNIT=sampan-web:a.scope + _PID=1 UNIT=sampan-web:a.scope + _UID=0 \
             OBJECT_SYSTEMD_UNIT=sampan-web:a.scope + _UID=0 MESSAGE_ID=fc2e22bc6ee647b6b90729ab34a250b1 \
             COREDUMP_UNIT=sampan-web:a.scope + _SYSTEMD_UNIT=sampand.service SAMPAN_UNIT=web@a.container + \
             _TRANSPORT=stdout SAMPAN_UNIT=web@a.container"
        );
        assert_eq!(
            words(&[Subject::of(&web)], Speakers::Container).join(" "),
            "_SYSTEMD_UNIT=sampan-web:a.scope"
        );
    }

    #[test]
    fn templates_and_patterns_mean_what_the_journal_has() {
        let pattern = |word: &str| match wanted(word).unwrap() {
            Wanted::Matching(pattern) => pattern,
            Wanted::One(name) => panic!("{name}"),
        };
        assert_eq!(pattern("web@"), "sampan-web:*.scope");
        assert_eq!(pattern("web*.container"), "sampan-web*.scope");
        assert!(subjects(&["../web".to_owned()]).is_err());
    }
}
