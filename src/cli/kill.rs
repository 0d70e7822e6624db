//! `sampanctl kill`: sends a signal to the processes of units.

use super::args::{KillArgs, Whom};
use super::client::talk;
use super::error::CliError;
use super::outcome::Outcome;
use super::select;

/// Runs the verb.
///
/// # Errors
/// When a word is no name or the manager cannot be reached.
pub fn run(args: &KillArgs) -> anyhow::Result<u8> {
    let whom = match args.kill_whom {
        Whom::Main => "main",
        Whom::Control => "control",
        Whom::All => "all",
    };
    talk(async |client| {
        let mut outcome = Outcome::default();
        for unit in select::units(client, &args.units).await? {
            let sent = client.call("KillUnit", &(&unit, whom, args.signal)).await;
            outcome.note(sent.map_err(|error| CliError::of_call(&format!("kill unit {unit}"), error)))?;
        }
        Ok(outcome.status)
    })
}
