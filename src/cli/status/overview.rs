//! `sampanctl status` without a unit: the manager as a whole.

use crate::cli::client::Client;
use crate::cli::error::CliError;
use crate::cli::text::{Style, Tone};
use rustix::system::uname;

/// The lines, as `systemctl status` has them.
///
/// # Errors
/// When the manager cannot be reached.
pub async fn overview(client: &Client, style: Style) -> anyhow::Result<String> {
    let failed = |error| CliError::of_call("get the state of sampand", error);
    let units = client.manager.list_units().await.map_err(failed)?;
    let version = client.manager.version().await.map_err(failed)?;
    let jobs = units.iter().filter(|unit| unit.job_id != 0).count();
    let failures = units.iter().filter(|unit| unit.active_state == "failed").count();
    let running = units.iter().filter(|unit| unit.sub_state == "running").count();
    let (state, tone) = match (failures, jobs) {
        (0, 0) => ("running", Tone::Good),
        (0, _) => ("starting", Tone::Moving),
        _ => ("degraded", Tone::Bad),
    };
    Ok(format!(
        "{dot} {host}\n    State: {state}\n    Units: {loaded} loaded, {running} running\n     Jobs: {jobs} queued\n   \
         Failed: {failures} units\n  Version: sampand {version}\n",
        dot = style.paint(tone, "●"),
        host = uname().nodename().to_string_lossy(),
        state = style.paint(tone, state),
        loaded = units.len(),
    ))
}
