//! `sampanctl clean`: removes what units have left behind.

use super::args::CleanArgs;
use super::client::talk;
use super::error::CliError;
use super::outcome::Outcome;
use super::select;

/// Runs the verb.
///
/// # Errors
/// When a word is no name or the manager cannot be reached.
pub fn run(args: &CleanArgs) -> anyhow::Result<u8> {
    let what: Vec<&str> = args.what.iter().map(|what| what.as_str()).collect();
    talk(async |client| {
        let mut outcome = Outcome::default();
        for unit in select::units(client, &args.units).await? {
            let done: zbus::Result<()> = client.call("CleanUnit", &(&unit, &what)).await;
            outcome.note(done.map_err(|error| CliError::of_call(&format!("clean unit {unit}"), error)))?;
        }
        Ok(outcome.status)
    })
}
