//! `daemon-reload`, which tells of broken files, and `reset-failed`: what is done to the manager's memory.

use super::args::{QuietArgs, ResetFailedArgs};
use super::client::{again, talk};
use super::error::CliError;
use super::outcome::Outcome;
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

/// Runs `reset-failed`, of all units when none is named. What is refused of one is told, and the others go on.
///
/// # Errors
/// When a word is no name or the manager cannot be reached.
pub fn reset_failed(args: &ResetFailedArgs) -> anyhow::Result<u8> {
    talk(async |client| {
        if args.units.is_empty() {
            let failed = |error| CliError::of_call("reset failed units", error);
            again::<()>(async || client.call("ResetFailed", &()).await.map_err(failed)).await?;
        }
        let mut outcome = Outcome::default();
        for unit in select::units(client, &args.units).await? {
            let failed = |error| CliError::of_call(&format!("reset failed state of unit {unit}"), error);
            outcome.note(
                again(async || client.call("ResetFailedUnit", &(&unit,)).await.map_err(failed)).await,
            )?;
        }
        Ok(outcome.status)
    })
}
