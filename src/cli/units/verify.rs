//! `sampanctl verify`: checks unit files and prints everything that is wrong with them.

use super::{FAILURE, print};
use crate::paths::Paths;
use crate::unit::assemble::assemble;
use crate::unit::diagnostic::{Diagnostic, Severity};
use crate::unit::load::{load_all, load_one};
use crate::unit::lower::Files;
use crate::unit::name::UnitName;
use crate::unit::search::{Search, drop_ins_in, unit_of_file};
use crate::unit::specifier::Host;
use crate::unit::state::sample;
use clap::Args;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Checks unit files and prints everything that is wrong with them.
#[derive(Debug, Clone, Args)]
pub struct VerifyArgs {
    /// Files, or names of units; all units when there are none.
    #[arg(value_name = "FILE|UNIT")]
    pub units: Vec<String>,
}

/// Runs `verify`.
///
/// # Errors
/// When the output cannot be written.
pub fn run(args: &VerifyArgs, paths: &Paths) -> anyhow::Result<u8> {
    let diagnostics = match args.units.as_slice() {
        [] => everything(paths),
        units => units.iter().flat_map(|unit| one(unit, paths)).collect(),
    };
    print(&diagnostics)?;
    summary(&diagnostics)?;
    let failed = diagnostics.iter().any(|diagnostic| diagnostic.severity == Severity::Error);
    Ok(if failed { FAILURE } else { 0 })
}

/// All units, templates by an instance of each.
fn everything(paths: &Paths) -> Vec<Diagnostic> {
    let mut diagnostics = load_all(paths).diagnostics;
    let names = Search::new(paths).names(&mut Vec::new());
    for name in names.iter().filter(|name| name.is_template()) {
        diagnostics.extend(load_one(paths, &sample(name)).diagnostics);
    }
    let mut seen: Vec<Diagnostic> = Vec::new();
    diagnostics.retain(|diagnostic| {
        let new = !seen.contains(diagnostic);
        seen.extend(new.then(|| diagnostic.clone()));
        new
    });
    diagnostics
}

/// A word with a slash, or one that ends in `.toml`, is a file; any other is the name of a unit.
fn one(word: &str, paths: &Paths) -> Vec<Diagnostic> {
    if word.contains('/') || word.ends_with(".toml") {
        return file(Path::new(word), paths);
    }
    let error = |message: String| vec![Diagnostic::of_file(Severity::Error, Path::new(word), message)];
    match UnitName::from_command_line(word) {
        Ok(name) => match load_one(paths, &sample(&name)) {
            reading if reading.loaded.is_none() => error(format!("unit {name} could not be found")),
            reading => reading.diagnostics,
        },
        Err(fault) => error(fault.to_string()),
    }
}

/// A file anywhere, with the drop-ins beside it.
fn file(path: &Path, paths: &Paths) -> Vec<Diagnostic> {
    let Some(name) = unit_of_file(path) else {
        let message = "is not named as a unit";
        let help = "the files of units are named NAME.container.toml and NAME.target.toml";
        return vec![Diagnostic::of_file(Severity::Error, path, message).with_help(Some(help))];
    };
    let mut beside = path.as_os_str().to_owned();
    beside.push(".d");
    let files = Files { fragment: Some(path.to_owned()), drop_ins: drop_ins_in(&PathBuf::from(beside)) };
    match assemble(&sample(&name), files, &Host::read(paths)) {
        Ok((_, warnings)) => warnings,
        Err(faults) => faults,
    }
}

fn summary(diagnostics: &[Diagnostic]) -> io::Result<()> {
    let count = |severity| diagnostics.iter().filter(|diagnostic| diagnostic.severity == severity).count();
    let (errors, warnings) = (count(Severity::Error), count(Severity::Warning));
    let words = |count: usize, word: &str| format!("{count} {word}{}", if count == 1 { "" } else { "s" });
    match (errors, warnings) {
        (0, 0) => Ok(()),
        (errors, 0) => writeln!(io::stderr(), "\n{}", words(errors, "error")),
        (0, warnings) => writeln!(io::stderr(), "\n{}", words(warnings, "warning")),
        _ => writeln!(io::stderr(), "\n{}, {}", words(errors, "error"), words(warnings, "warning")),
    }
}
