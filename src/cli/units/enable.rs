//! What links say about units: `enable` and its kin as functions over the files, and `is-enabled`.

use super::{FAILURE, NOT_FOUND, names};
use crate::paths::Paths;
use crate::unit::enable::{self, Manner, Outcome};
use crate::unit::name::UnitName;
use crate::unit::search::{LinkKind, unit_of_file};
use crate::unit::state;
use clap::Args;
use clap_complete::engine::ArgValueCandidates;
use std::io::{self, Write};
use std::path::PathBuf;

/// Names of units and whether to tell what is done with them.
#[derive(Debug, Clone, Args)]
pub struct EnableArgs {
    /// Names of units
    #[arg(value_name = "UNIT", required = true, add = ArgValueCandidates::new(crate::cli::candidates::unit_names))]
    pub units: Vec<String>,
    /// Print no links and no states
    #[arg(long, short)]
    pub quiet: bool,
}

/// What is done to the links of units.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// `enable`.
    Enable,
    /// `disable`.
    Disable,
    /// `reenable`.
    Reenable,
    /// `preset`.
    Preset,
    /// `mask`.
    Mask,
    /// `unmask`.
    Unmask,
    /// `link`.
    Link,
    /// `revert`.
    Revert,
    /// `add-wants`, `add-requires`: makes this unit need the others.
    AddTo(String, LinkKind),
}

/// Does it.
///
/// # Errors
/// When a word is no name, a unit cannot be loaded, or a link cannot be made or removed.
pub fn perform(change: &Change, words: &[String], manner: Manner, paths: &Paths) -> anyhow::Result<Outcome> {
    let lasting = manner.lasting;
    if *change == Change::Link {
        let files = words.iter().map(std::path::absolute).collect::<Result<Vec<_>, _>>()?;
        return Ok(enable::link(paths, &files, manner)?);
    }
    let names = unit_names(words)?;
    let linked = match change {
        Change::Enable | Change::Reenable => link_files(words, manner, paths)?,
        _ => Outcome::default(),
    };
    let outcome = match change {
        Change::Enable => enable::enable(paths, &names, manner),
        Change::Disable => enable::disable(paths, &names, lasting),
        Change::Reenable => enable::reenable(paths, &names, manner),
        Change::Preset => enable::preset(paths, &names, manner),
        Change::Mask => {
            tell_of_unknown(&names, paths)?;
            enable::mask(paths, &names, manner)
        }
        Change::Unmask => enable::unmask(paths, &names, lasting),
        Change::Revert => enable::revert(paths, &names),
        Change::AddTo(target, kind) => {
            let target = UnitName::of_dependency(target).or_else(|_| UnitName::from_command_line(target))?;
            enable::add_dependency(paths, &target, &names, *kind, manner)
        }
        Change::Link => Ok(Outcome::default()),
    }?;
    let changes = linked.changes.into_iter().chain(outcome.changes).collect();
    Ok(Outcome { changes, ..outcome })
}

/// Names as typed; a path stands for the unit that its file defines.
///
/// # Errors
/// When a word is neither.
pub fn unit_names(words: &[String]) -> anyhow::Result<Vec<UnitName>> {
    let name = |word: &String| match word.contains('/') {
        true => unit_of_file(word.as_ref()).ok_or_else(|| {
            anyhow::anyhow!("\"{word}\" is not a valid unit name, nor the path of a unit file")
        }),
        false => Ok(UnitName::from_command_line(word)?),
    };
    words.iter().map(name).collect()
}

/// Files elsewhere are linked before they are enabled.
fn link_files(words: &[String], manner: Manner, paths: &Paths) -> anyhow::Result<Outcome> {
    let inside = |file: &PathBuf| {
        paths.unit_search_path().iter().any(|directory| file.parent() == Some(directory.as_path()))
    };
    let files = words.iter().filter(|word| word.contains('/')).map(std::path::absolute);
    let files = files.collect::<Result<Vec<_>, _>>()?;
    let files: Vec<PathBuf> = files.into_iter().filter(|file| !inside(file)).collect();
    Ok(enable::link(paths, &files, manner)?)
}

fn tell_of_unknown(names: &[UnitName], paths: &Paths) -> io::Result<()> {
    for name in names.iter().filter(|name| state::of(paths, name).is_none()) {
        writeln!(io::stderr(), "Unit {name} does not exist, proceeding anyway.")?;
    }
    Ok(())
}

/// Prints what was done as systemctl does.
///
/// # Errors
/// When it cannot be written.
pub fn tell(outcome: &Outcome) -> io::Result<()> {
    let mut output = io::stderr().lock();
    for change in &outcome.changes {
        writeln!(output, "{change}")?;
    }
    for name in &outcome.without_install {
        writeln!(
            output,
            "{name} has no [install] table, so there is nothing to enable: it runs when it is started, when another \
             unit depends on it, or when something connects to its socket."
        )?;
    }
    Ok(())
}

/// Runs `is-enabled`: succeeds if any of the units is enabled.
///
/// # Errors
/// When a name is none or the output cannot be written.
pub fn is_enabled(args: &EnableArgs, paths: &Paths) -> anyhow::Result<u8> {
    let mut status = None;
    for name in names(&args.units)? {
        let state = state::of(paths, &name);
        if !args.quiet {
            writeln!(io::stdout(), "{}", state.map_or("not-found", state::FileState::word))?;
        }
        let this = match state {
            Some(state) if state.is_success() => 0,
            Some(_) => FAILURE,
            None => NOT_FOUND,
        };
        status = Some(status.map_or(this, |before: u8| before.min(this)));
    }
    Ok(status.unwrap_or(FAILURE))
}
