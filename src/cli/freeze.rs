//! `sampanctl freeze` and `thaw`: containers stand still, and go on.

use super::args::UnitsArgs;
use super::client::talk;
use super::error::CliError;
use super::outcome::Outcome;
use super::select;

/// What is done to the processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Motion {
    /// `freeze`.
    Freeze,
    /// `thaw`.
    Thaw,
}

/// Runs `freeze` or `thaw`.
///
/// # Errors
/// When a word is no name or the manager cannot be reached.
pub fn run(motion: Motion, args: &UnitsArgs) -> anyhow::Result<u8> {
    let (method, verb) = match motion {
        Motion::Freeze => ("FreezeUnit", "freeze"),
        Motion::Thaw => ("ThawUnit", "thaw"),
    };
    talk(async |client| {
        let mut outcome = Outcome::default();
        for unit in select::units(client, &args.units).await? {
            let done: zbus::Result<()> = client.call(method, &(&unit,)).await;
            outcome.note(done.map_err(|error| CliError::of_call(&format!("{verb} unit {unit}"), error)))?;
        }
        Ok(outcome.status)
    })
}
