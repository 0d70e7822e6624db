//! What links say about units: `enable` and its kin as functions over the files, and `is-enabled`.

use super::{FAILURE, NOT_FOUND, names};
use crate::paths::Paths;
use crate::unit::enable::{self, Manner, Outcome, PresetMode};
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
    Preset(PresetMode),
    /// `preset-all`, which names no units.
    PresetAll(PresetMode),
    /// `mask`.
    Mask,
    /// `unmask`.
    Unmask,
    /// `link`.
    Link,
    /// `revert`.
    Revert,
    /// `add-wants`, `add-requires`: makes this unit need the others.
    AddTo(UnitName, LinkKind),
    /// `set-default`: starts this target at boot.
    SetDefault(UnitName),
}

impl Change {
    /// What could not be done, as systemctl says it.
    pub fn action(&self) -> &'static str {
        match self {
            Self::Enable => "enable unit",
            Self::Disable => "disable unit",
            Self::Reenable => "reenable unit",
            Self::Preset(_) => "preset unit",
            Self::PresetAll(_) => "preset all units",
            Self::Mask => "mask unit",
            Self::Unmask => "unmask unit",
            Self::Link => "link unit",
            Self::Revert => "revert unit",
            Self::AddTo(..) => "add dependency",
            Self::SetDefault(_) => "set default target",
        }
    }
}

/// A change, and how it is made.
#[derive(Debug, Clone)]
pub struct Order<'a> {
    /// What is done.
    pub change: Change,
    /// To which units; of files, their absolute paths.
    pub words: &'a [String],
    /// How.
    pub manner: Manner,
}

/// What has come of it.
#[derive(Debug, Default)]
pub struct Done {
    /// What was done.
    pub outcome: Outcome,
    /// What could not be done, and stopped nothing else.
    pub failures: Vec<String>,
}

impl From<Outcome> for Done {
    fn from(outcome: Outcome) -> Self {
        Self { outcome, failures: Vec::new() }
    }
}

/// Does it in the files.
///
/// # Errors
/// When a word is no name, a unit cannot be loaded, or a link cannot be made or removed.
pub fn perform(order: &Order<'_>, paths: &Paths) -> anyhow::Result<Done> {
    let (manner, lasting) = (order.manner, order.manner.lasting);
    if let Change::PresetAll(mode) = order.change {
        let (outcome, failures) = enable::preset_all(paths, mode, manner)?;
        return Ok(Done { outcome, failures: failures.iter().map(ToString::to_string).collect() });
    }
    if order.change == Change::Link {
        return Ok(enable::link(paths, &files(order.words)?, manner)?.into());
    }
    let names = unit_names(order.words)?;
    let linked = match order.change {
        Change::Enable | Change::Reenable => {
            enable::link(paths, &files_outside(order.words, paths)?, manner)?
        }
        _ => Outcome::default(),
    };
    let outcome = match &order.change {
        Change::Enable => enable::enable(paths, &names, manner),
        Change::Disable => enable::disable(paths, &names, lasting),
        Change::Reenable => enable::reenable(paths, &names, manner),
        Change::Preset(mode) => enable::preset(paths, &names, *mode, manner),
        Change::Mask => enable::mask(paths, &names, manner),
        Change::Unmask => enable::unmask(paths, &names, lasting),
        Change::Revert => enable::revert(paths, &names),
        Change::AddTo(target, kind) => enable::add_dependency(paths, target, &names, *kind, manner),
        Change::SetDefault(target) => enable::set_default_target(paths, target),
        Change::Link | Change::PresetAll(_) => Ok(Outcome::default()),
    }?;
    let changes = linked.changes.into_iter().chain(outcome.changes).collect();
    Ok(Outcome { changes, ..outcome }.into())
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

/// Words that are paths, made absolute.
///
/// # Errors
/// When there is no working directory.
pub fn files<'w>(words: impl IntoIterator<Item = &'w String>) -> io::Result<Vec<PathBuf>> {
    words.into_iter().map(std::path::absolute).collect()
}

/// Those of them that are not in the search path: they are linked before they are enabled.
///
/// # Errors
/// As [`files`].
pub fn files_outside(words: &[String], paths: &Paths) -> io::Result<Vec<PathBuf>> {
    let searched = paths.unit_search_path();
    let mut files = files(words.iter().filter(|word| word.contains('/')))?;
    files.retain(|file| !searched.iter().any(|directory| file.parent() == Some(directory)));
    Ok(files)
}

/// Units that are masked before there are any.
///
/// # Errors
/// When it cannot be written.
pub fn tell_of_unknown(names: &[UnitName], paths: &Paths) -> io::Result<()> {
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
