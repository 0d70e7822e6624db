//! `enable`, `disable`, `preset`, `mask`, `link`, `revert` and their kin as a whole: the links, then the managers'
//! memory of them, then, with `--now`, the units themselves.

use super::args::{AddDependencyArgs, DefaultTargetArgs, EnableNowArgs, PresetAllArgs};
use super::client::talk;
use super::error::{CliError, FAILURE};
use super::lifecycle::{self, Operation, Until};
use super::output::complain;
use super::units::enable::{self, Change};
use crate::paths::Paths;
use crate::unit::enable::{Manner, Outcome};
use crate::unit::name::UnitName;
use crate::unit::search::LinkKind;
use std::io::{self, Write};

/// What `--now` does to the units.
fn now(change: &Change) -> Option<Operation> {
    match change {
        Change::Enable | Change::Reenable => Some(Operation::Start),
        Change::Disable | Change::Mask => Some(Operation::Stop),
        _ => None,
    }
}

/// Runs the verb. Without `--now` the manager need not run.
///
/// # Errors
/// When a link cannot be changed; with `--now`, when the manager cannot be reached.
pub fn run(change: &Change, args: &EnableNowArgs, paths: &Paths) -> anyhow::Result<u8> {
    let manner = Manner::of_options(args.runtime, args.force);
    let outcome = enable::perform(change, &args.files.units, manner, paths)?;
    if !args.files.quiet {
        enable::tell(&outcome)?;
    }
    if args.no_reload {
        return Ok(0);
    }
    match now(change).filter(|_| args.now) {
        Some(operation) => {
            let units = enable::unit_names(&args.files.units)?;
            let units: Vec<String> = units.iter().map(ToString::to_string).collect();
            reload_systemd(&outcome, paths)?;
            talk(async |client| {
                client.reload().await?;
                let until = if args.no_block { Until::Queued } else { Until::Done };
                lifecycle::follow(client, operation, &units, until, paths).await
            })
        }
        None => tell_managers(&outcome, paths),
    }
}

/// Runs `add-wants` and `add-requires`.
///
/// # Errors
/// When a link cannot be made.
pub fn add_dependency(kind: LinkKind, args: &AddDependencyArgs, paths: &Paths) -> anyhow::Result<u8> {
    let manner = Manner::of_options(args.runtime, args.force);
    let outcome = enable::perform(&Change::AddTo(args.target.clone(), kind), &args.units, manner, paths)?;
    enable::tell(&outcome)?;
    tell_managers(&outcome, paths)
}

/// Runs `preset-all`.
///
/// # Errors
/// When a preset file has errors.
pub fn preset_all(args: &PresetAllArgs, paths: &Paths) -> anyhow::Result<u8> {
    let (outcome, failures) =
        crate::unit::enable::preset_all(paths, Manner::of_options(args.runtime, false))?;
    enable::tell(&outcome)?;
    failures.iter().for_each(|failure| complain(&failure.to_string()));
    tell_managers(&outcome, paths)?;
    Ok(if failures.is_empty() { 0 } else { FAILURE })
}

/// Runs `get-default`.
///
/// # Errors
/// When the output cannot be written.
pub fn get_default(paths: &Paths) -> anyhow::Result<u8> {
    writeln!(io::stdout(), "{}", crate::unit::enable::default_target(paths)?)?;
    Ok(0)
}

/// Runs `set-default`.
///
/// # Errors
/// When there is no such target or the link cannot be made.
pub fn set_default(args: &DefaultTargetArgs, paths: &Paths) -> anyhow::Result<u8> {
    let outcome =
        crate::unit::enable::set_default_target(paths, &UnitName::from_command_line(&args.target)?)?;
    enable::tell(&outcome)?;
    tell_managers(&outcome, paths)
}

/// What has changed is read again by whoever keeps it in memory, unless it is another host's.
fn tell_managers(outcome: &Outcome, paths: &Paths) -> anyhow::Result<u8> {
    reload_systemd(outcome, paths)?;
    reload_if_running(paths)?;
    Ok(0)
}

/// A manager that does not run reads the files when it starts.
///
/// # Errors
/// When one that runs does not answer.
pub fn reload_if_running(paths: &Paths) -> anyhow::Result<()> {
    if !paths.are_of_this_host() {
        return Ok(());
    }
    let told = talk(async |client| match client.is_running().await {
        true => Ok(client.reload().await?),
        false => Ok(()),
    });
    match told {
        Err(error) if is_unreachable(&error) => Ok(()),
        result => result,
    }
}

/// systemd reads links beside its own units again, where there are new ones and it runs.
fn reload_systemd(outcome: &Outcome, paths: &Paths) -> anyhow::Result<()> {
    let native = [paths.native_enablement(), paths.native_runtime_units()];
    let mut changes = outcome.changes.iter();
    let concerned = changes.any(|change| native.iter().any(|root| change.path().starts_with(root)));
    match concerned && paths.are_of_this_host() {
        true => talk(async |client| Ok(client.reload_systemd().await?)),
        false => Ok(()),
    }
}

fn is_unreachable(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(CliError::Unreachable { .. }))
}
