//! `enable`, `disable`, `reenable`, `mask`, `unmask` and `is-enabled`: what links say about units.

use super::{FAILURE, NOT_FOUND, names};
use crate::paths::Paths;
use crate::unit::enable::{self, EnableError, Outcome};
use crate::unit::name::UnitName;
use crate::unit::state;
use clap::Args;
use std::io::{self, Write};

/// Names of units and whether to tell what is done with them.
#[derive(Debug, Clone, Args)]
pub struct EnableArgs {
    /// Names of units.
    #[arg(value_name = "UNIT", required = true)]
    pub units: Vec<String>,
    /// Prints no links and no states.
    #[arg(long, short)]
    pub quiet: bool,
}

/// Runs `enable`.
///
/// # Errors
/// When a unit cannot be loaded or a link cannot be made.
pub fn enable(args: &EnableArgs, paths: &Paths) -> anyhow::Result<u8> {
    act(args, paths, enable::enable)
}

/// Runs `disable`.
///
/// # Errors
/// When a unit does not exist or a link cannot be removed.
pub fn disable(args: &EnableArgs, paths: &Paths) -> anyhow::Result<u8> {
    act(args, paths, enable::disable)
}

/// Runs `reenable`.
///
/// # Errors
/// As [`disable`] and [`enable`](fn@enable).
pub fn reenable(args: &EnableArgs, paths: &Paths) -> anyhow::Result<u8> {
    act(args, paths, enable::reenable)
}

/// Runs `mask`.
///
/// # Errors
/// When a file is in the way or a link cannot be made.
pub fn mask(args: &EnableArgs, paths: &Paths) -> anyhow::Result<u8> {
    for name in names(&args.units)? {
        if state::of(paths, &name).is_none() && !args.quiet {
            writeln!(io::stderr(), "Unit {name} does not exist, proceeding anyway.")?;
        }
    }
    act(args, paths, enable::mask)
}

/// Runs `unmask`.
///
/// # Errors
/// When a link cannot be removed.
pub fn unmask(args: &EnableArgs, paths: &Paths) -> anyhow::Result<u8> {
    act(args, paths, enable::unmask)
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

type Act = fn(&Paths, &[UnitName]) -> Result<Outcome, EnableError>;

fn act(args: &EnableArgs, paths: &Paths, act: Act) -> anyhow::Result<u8> {
    let outcome = act(paths, &names(&args.units)?)?;
    let mut output = io::stderr().lock();
    if !args.quiet {
        for change in &outcome.changes {
            writeln!(output, "{change}")?;
        }
    }
    for name in &outcome.without_install {
        writeln!(
            output,
            "{name} has no [install] table, so there is nothing to enable: it runs when it is started, when another \
             unit depends on it, or when something connects to its socket."
        )?;
    }
    Ok(0)
}
