//! `enable`, `disable`, `preset`, `mask`, `link`, `revert` and their kin as a whole: the links, then the managers'
//! memory of them, then, with `--now`, the units themselves.

mod remote;
mod request;

use super::args::{AddDependencyArgs, DefaultTargetArgs, PresetAllArgs};
use super::client::{Bus, bus, talk, talk_if_running};
use super::error::FAILURE;
use super::lifecycle::{self, Operation};
use super::output::{Telling, complain};
use super::units::enable::{self, Change, Done, Order};
use crate::paths::Paths;
use crate::unit::enable::Manner;
use crate::unit::name::UnitName;
use crate::unit::search::LinkKind;
use anyhow::{Context, bail};
use request::Request;
use rustix::process::geteuid;
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
pub fn run<'a>(change: Change, request: impl Into<Request<'a>>, paths: &Paths) -> anyhow::Result<u8> {
    let Request { files, no_reload, manner, now: until } = request.into();
    if until.is_some() && !paths.are_of_this_host() {
        bail!("--now is about units of this host, and --root= means the files below another directory.");
    }
    let operation = now(&change).zip(until);
    let words = &files.units;
    if change == Change::Mask {
        enable::tell_of_unknown(&enable::unit_names(words)?, paths)?;
    }
    let order = Order { change, words, manner };
    let (done, by) = perform(&order, paths)?;
    if !files.quiet {
        enable::tell(&done.outcome)?;
    }
    if no_reload {
        return Ok(0);
    }
    let Some((operation, until)) = operation else { return tell_managers(&done, by, paths) };
    let units = enable::unit_names(words)?;
    let units: Vec<String> = units.iter().map(ToString::to_string).collect();
    reload_systemd(&done, by, paths)?;
    talk(async |client| {
        client.reload().await?;
        lifecycle::follow(client, operation, &units, until, paths).await
    })
}

/// Runs `add-wants` and `add-requires`.
///
/// # Errors
/// When a link cannot be made.
pub fn add_dependency(kind: LinkKind, args: &AddDependencyArgs, paths: &Paths) -> anyhow::Result<u8> {
    let target =
        UnitName::of_dependency(&args.target).or_else(|_| UnitName::from_command_line(&args.target))?;
    let manner = Manner::of_options(args.runtime, args.force);
    settle(
        &Order { change: Change::AddTo(target, kind), words: &args.units, manner },
        Telling::of_quiet(args.quiet),
        paths,
    )
}

/// Runs `preset-all`.
///
/// # Errors
/// When a preset file has errors.
pub fn preset_all(args: &PresetAllArgs, paths: &Paths) -> anyhow::Result<u8> {
    let manner = Manner::of_options(args.runtime, false);
    settle(
        &Order { change: Change::PresetAll(args.mode.into()), words: &[], manner },
        Telling::of_quiet(args.quiet),
        paths,
    )
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
    let target = UnitName::from_command_line(&args.target)?;
    settle(
        &Order { change: Change::SetDefault(target), words: &[], manner: Manner::default() },
        Telling::of_quiet(args.quiet),
        paths,
    )
}

/// Does it, tells of it unless it is to be quiet, and has it known.
fn settle(order: &Order<'_>, telling: Telling, paths: &Paths) -> anyhow::Result<u8> {
    let (done, by) = perform(order, paths)?;
    if telling == Telling::Hints {
        enable::tell(&done.outcome)?;
    }
    done.failures.iter().for_each(|failure| complain(failure));
    tell_managers(&done, by, paths)?;
    Ok(if done.failures.is_empty() { 0 } else { FAILURE })
}

/// Who has changed the links.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum By {
    /// The manager, over the bus.
    Manager,
    /// This process, in the files.
    Us,
}

/// The manager does it where it runs, as systemctl(1) has it. Where it does not, root does it alone, as whoever has a
/// manager of their own; others have it started. What is below another root is nobody else's.
fn perform(order: &Order<'_>, paths: &Paths) -> anyhow::Result<(Done, By)> {
    let remote = async |client: &_| remote::perform(client, order, paths).await;
    let can_write = bus() == Bus::User || geteuid().is_root();
    let done = match paths.are_of_this_host() {
        true if can_write => talk_if_running(remote)?,
        true => Some(talk(remote)?),
        false => None,
    };
    if let Some(done) = done {
        return Ok((done, By::Manager));
    }
    let done = enable::perform(order, paths);
    Ok((done.with_context(|| format!("Failed to {}", order.change.action()))?, By::Us))
}

/// What has changed is read again by whoever keeps it in memory, unless it is another host's.
fn tell_managers(done: &Done, by: By, paths: &Paths) -> anyhow::Result<u8> {
    reload_systemd(done, by, paths)?;
    reload_if_running(paths)?;
    Ok(0)
}

/// A manager that does not run reads the files when it starts.
///
/// # Errors
/// When one that runs does not answer.
pub fn reload_if_running(paths: &Paths) -> anyhow::Result<()> {
    match paths.are_of_this_host() {
        true => talk_if_running(async |client| Ok(client.reload().await?)).map(drop),
        false => Ok(()),
    }
}

/// systemd reads links beside its own units again, where there are new ones and it runs. The manager sees to that
/// itself.
fn reload_systemd(done: &Done, by: By, paths: &Paths) -> anyhow::Result<()> {
    match by == By::Us && done.outcome.concerns_systemd(paths) && paths.are_of_this_host() {
        true => talk(async |client| Ok(client.reload_systemd().await?)),
        false => Ok(()),
    }
}
