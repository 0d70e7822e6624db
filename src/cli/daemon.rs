//! `daemon-reload`, which tells of broken files, and `reset-failed`: what is done to the manager's memory.

use super::args::{QuietArgs, ResetFailedArgs};
use super::client::{ask, talk};
use super::error::CliError;
use super::output::complain;
use super::select;

/// Runs `daemon-reload`.
///
/// # Errors
/// When the manager cannot be reached or refuses.
pub fn reload(args: &QuietArgs) -> anyhow::Result<u8> {
    talk(async |client| {
        client.reload().await?;
        if args.quiet {
            return Ok(0);
        }
        let units = client.list_units().await?;
        for unit in units.iter().filter(|unit| unit.load_state == "bad") {
            complain(&format!(
                "Warning: The files of {0} have errors: it runs on if it is up, and cannot be started. See \"sampanctl verify {0}\".",
                unit.name
            ));
        }
        Ok(0)
    })
}

/// Runs `reset-failed`, of all units when none is named.
///
/// # Errors
/// When a word is no name or the manager cannot be reached.
pub fn reset_failed(args: &ResetFailedArgs) -> anyhow::Result<u8> {
    ask(async |client| {
        if args.units.is_empty() {
            let done: zbus::Result<()> = client.call("ResetFailed", &()).await;
            done.map_err(|error| CliError::of_call("reset failed units", error))?;
        }
        for unit in select::units(client, &args.units).await? {
            let done: zbus::Result<()> = client.call("ResetFailedUnit", &(&unit,)).await;
            let action = format!("reset failed state of unit {unit}");
            done.map_err(|error| CliError::of_call(&action, error))?;
        }
        Ok(0)
    })
}
