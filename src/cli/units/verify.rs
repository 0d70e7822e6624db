//! `sampanctl verify`: checks unit files and prints everything that is wrong with them.

use super::FAILURE;
use crate::cli::suggestion;
use crate::paths::Paths;
use crate::unit::across;
use crate::unit::assemble::assemble;
use crate::unit::block_device;
use crate::unit::diagnostic::{Diagnostic, Severity, Style};
use crate::unit::drop_in::{drop_ins_in, spellings};
use crate::unit::load::{Loaded, Reading, load_all, load_one};
use crate::unit::lower::Files;
use crate::unit::model::Unit;
use crate::unit::name::UnitName;
use crate::unit::search::{Search, unit_of_file};
use crate::unit::specifier::Host;
use crate::unit::stray::NAMING;
use clap::Args;
use std::io::{self, IsTerminal, Write};
use std::path::Path;

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
    let diagnostics = check(args, paths);
    let mut output = io::stderr().lock();
    let style = if output.is_terminal() { Style::Colored } else { Style::Plain };
    output.write_all(text(&diagnostics, style).as_bytes())?;
    let failed = diagnostics.iter().any(|diagnostic| diagnostic.severity == Severity::Error);
    Ok(if failed { FAILURE } else { 0 })
}

/// Everything that is wrong with the units that the arguments name.
pub fn check(args: &VerifyArgs, paths: &Paths) -> Vec<Diagnostic> {
    match args.units.as_slice() {
        [] => everything(paths),
        units => units.iter().flat_map(|unit| one(unit, paths)).collect(),
    }
}

/// The diagnostics with a blank line after each, and how many there are.
pub fn text(diagnostics: &[Diagnostic], style: Style) -> String {
    let mut text = String::new();
    for diagnostic in diagnostics {
        text.push_str(&diagnostic.render(style));
        text.push_str("\n\n");
    }
    text + &summary(diagnostics)
}

/// All units, templates by an instance of each.
fn everything(paths: &Paths) -> Vec<Diagnostic> {
    let catalog = load_all(paths);
    let mut diagnostics = catalog.diagnostics.clone();
    diagnostics.extend(across::check(&catalog, paths));
    let good = catalog.units.values().filter_map(|loaded| match loaded {
        Loaded::Good(unit) => Some(unit),
        _ => None,
    });
    diagnostics.extend(good.flat_map(|unit| of_host(unit, paths)));
    let names = Search::new(paths).names();
    for name in names.iter().filter(|name| name.is_template()) {
        diagnostics.extend(template(paths, name));
    }
    let mut seen: Vec<Diagnostic> = Vec::new();
    diagnostics.retain(|diagnostic| {
        let new = !seen.contains(diagnostic);
        seen.extend(new.then(|| diagnostic.clone()));
        new
    });
    diagnostics
}

/// What is wrong between a unit and the host that it would run on, where this is that host.
fn of_host(unit: &Unit, paths: &Paths) -> Vec<Diagnostic> {
    if paths.are_of_this_host() { block_device::check(unit) } else { Vec::new() }
}

/// What is wrong between a unit and all others.
fn beside(paths: &Paths, reading: &Reading) -> Vec<Diagnostic> {
    let Some(Loaded::Good(unit)) = &reading.loaded else { return Vec::new() };
    let own = |diagnostic: &Diagnostic| {
        unit.fragment.iter().chain(&unit.drop_ins).any(|path| *path == diagnostic.path)
    };
    let across = across::check(&load_all(paths), paths).into_iter().filter(own);
    across.chain(of_host(unit, paths)).collect()
}

/// A template, seen by two of its instances.
fn template(paths: &Paths, name: &UnitName) -> Vec<Diagnostic> {
    let [one, other] = ["instance", "other"].map(|instance| name.of_instance(instance));
    let (Some(one), Some(other)) = (one, other) else { return Vec::new() };
    let [one, other] = [one, other].map(|name| load_one(paths, &name));
    let mut found = one.diagnostics;
    if let (Some(Loaded::Good(one)), Some(Loaded::Good(other))) = (&one.loaded, &other.loaded) {
        found.extend(across::check_template(one, other));
        found.extend(of_host(one, paths));
    }
    found
}

/// A word with a slash, or one that ends in `.toml`, is a file; any other is the name of a unit.
fn one(word: &str, paths: &Paths) -> Vec<Diagnostic> {
    if word.contains('/') || word.ends_with(".toml") {
        return file(Path::new(word), paths);
    }
    let error = |message: String| vec![Diagnostic::of_file(Severity::Error, Path::new(word), message)];
    match UnitName::from_command_line(word) {
        Ok(name) if name.is_template() && Search::new(paths).find(&name).is_some() => template(paths, &name),
        Ok(name) => match load_one(paths, &name.sample()) {
            reading if reading.loaded.is_none() => {
                let near = suggestion::of_unit(name.as_str(), paths);
                error(format!("unit {name} could not be found.{near}"))
            }
            reading => reading.diagnostics.iter().cloned().chain(beside(paths, &reading)).collect(),
        },
        Err(fault) => error(fault.to_string()),
    }
}

/// A file anywhere, with the drop-ins beside it.
fn file(path: &Path, paths: &Paths) -> Vec<Diagnostic> {
    let Some(name) = unit_of_file(path) else {
        let message = "this file is not named as a unit";
        return vec![Diagnostic::of_file(Severity::Error, path, message).with_help(Some(NAMING))];
    };
    let beside = spellings(name.as_str()).map(|directory| path.with_file_name(directory));
    let drop_ins = beside.iter().flat_map(|directory| drop_ins_in(directory)).collect();
    let files = Files { fragment: Some(path.to_owned()), drop_ins };
    match assemble(&name.sample(), files, &Host::read(paths)) {
        Ok((unit, warnings)) => warnings.into_iter().chain(of_host(&unit, paths)).collect(),
        Err(faults) => faults,
    }
}

fn summary(diagnostics: &[Diagnostic]) -> String {
    let count = |severity| diagnostics.iter().filter(|diagnostic| diagnostic.severity == severity).count();
    let words = |count: usize, word: &str| match count {
        0 => None,
        1 => Some(format!("1 {word}")),
        _ => Some(format!("{count} {word}s")),
    };
    let counts = [words(count(Severity::Error), "error"), words(count(Severity::Warning), "warning")];
    let counts: Vec<String> = counts.into_iter().flatten().collect();
    if counts.is_empty() { String::new() } else { format!("{}\n", counts.join(", ")) }
}
