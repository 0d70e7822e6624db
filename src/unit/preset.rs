//! Preset files, in the format of systemd.preset(5): which units are enabled when a package brings them.

use super::diagnostic::{Diagnostic, Severity};
use super::name::UnitName;
use super::pattern;
use super::search::{entries, is_mask};
use super::source::Source;
use crate::paths::Paths;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;

/// What is said about a unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It is enabled; a template by these instances.
    Enable(Vec<String>),
    /// It is disabled.
    Disable,
}

impl Verdict {
    /// The word that systemctl shows.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Enable(_) => "enabled",
            Self::Disable => "disabled",
        }
    }
}

#[derive(Debug, Clone)]
struct Rule {
    pattern: String,
    verdict: Verdict,
}

/// All rules in their order; the first that matches holds.
#[derive(Debug, Clone, Default)]
pub struct Presets {
    rules: Vec<Rule>,
}

impl Presets {
    /// Reads the files of a host, by name; one in an earlier directory hides one of that name in a later.
    ///
    /// # Errors
    /// Everything that is wrong with them.
    pub fn read(paths: &Paths) -> Result<Self, Vec<Diagnostic>> {
        let mut files: BTreeMap<OsString, PathBuf> = BTreeMap::new();
        for path in paths.presets().iter().flat_map(|directory| entries(directory)) {
            if let Some(name) =
                path.file_name().filter(|_| path.extension().is_some_and(|end| end == "preset"))
            {
                files.entry(name.to_owned()).or_insert(path);
            }
        }
        let (mut rules, mut faults) = (Vec::new(), Vec::new());
        for path in files.into_values().filter(|path| !is_mask(path)) {
            match Source::read(&path) {
                Ok(source) => parse(&source, &mut rules, &mut faults),
                Err(error) => faults.push(error.into()),
            }
        }
        if faults.is_empty() { Ok(Self { rules }) } else { Err(faults) }
    }

    /// What holds for a unit. Where no rule matches, it is enabled.
    pub fn of(&self, name: &UnitName) -> Verdict {
        let matching = self.rules.iter().find(|rule| rule.holds_for(name));
        matching.map_or(Verdict::Enable(Vec::new()), |rule| rule.verdict.clone())
    }
}

impl Rule {
    /// A template's rule holds for the instances that it lists as well.
    fn holds_for(&self, name: &UnitName) -> bool {
        let of_instance = match (&self.verdict, name.instance(), name.template()) {
            (Verdict::Enable(instances), Some(instance), Some(template)) => {
                pattern::matches(&self.pattern, template.as_str())
                    && instances.iter().any(|one| one == instance)
            }
            _ => false,
        };
        of_instance || pattern::matches(&self.pattern, name.as_str())
    }
}

fn parse(source: &std::sync::Arc<Source>, rules: &mut Vec<Rule>, faults: &mut Vec<Diagnostic>) {
    let mut start = 0;
    for line in source.text.split_inclusive('\n') {
        let span = start..start + line.trim_end().len();
        start += line.len();
        let mut words = line.split_whitespace();
        let verb = words.next().unwrap_or_default();
        if verb.is_empty() || verb.starts_with(['#', ';']) {
            continue;
        }
        let pattern = words.next();
        let instances: Vec<String> = words.map(str::to_owned).collect();
        let mut fault = |message: &str, help: &str| {
            let diagnostic = Diagnostic::at(Severity::Error, source, span.clone(), message);
            faults.push(diagnostic.with_help(Some(help).filter(|help| !help.is_empty())));
        };
        let verdict = match verb {
            "enable" => Verdict::Enable(instances),
            "disable" if instances.is_empty() => Verdict::Disable,
            "disable" => {
                fault("\"disable\" takes one name or pattern", "");
                continue;
            }
            _ => {
                fault("a line of a preset file begins with \"enable\" or \"disable\"", "");
                continue;
            }
        };
        match pattern {
            Some(pattern) if pattern::is_pattern(pattern) || UnitName::parse(pattern).is_ok() => {
                rules.push(Rule { pattern: pattern.to_owned(), verdict });
            }
            Some(pattern) => {
                fault("this is not the name of a unit", &format!("did you mean \"{pattern}.container\"?"));
            }
            None => fault("there is no name or pattern on this line", "\"*\" matches every unit"),
        }
    }
}
