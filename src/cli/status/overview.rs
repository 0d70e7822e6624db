//! `sampanctl status` without a unit: the manager as a whole, as `systemctl status` shows its own.

use super::processes;
use crate::cli::args::StatusArgs;
use crate::cli::client::ask;
use crate::cli::output::{print, print_json};
use crate::cli::system_state::SystemState;
use crate::cli::text::{Style, Tone};
use crate::cli::unit_properties::text;
use crate::paths::Paths;
use crate::systemd::manager::DEFAULT_SLICE;
use rustix::system::uname;
use serde::Serialize;

/// What is shown.
#[derive(Debug, Serialize)]
struct Overview {
    host: String,
    state: &'static str,
    units: usize,
    running: usize,
    jobs: usize,
    failed: usize,
    version: String,
}

/// Prints the overview.
///
/// # Errors
/// When the manager cannot be reached.
pub fn run(args: &StatusArgs, paths: &Paths) -> anyhow::Result<u8> {
    let (state, overview) = ask(async |client| {
        let units = client.list_units().await?;
        let values = client.manager_values().await?;
        let count = |state: &str| units.iter().filter(|unit| unit.active_state == state).count();
        let state = SystemState::of(&values);
        let overview = Overview {
            host: uname().nodename().to_string_lossy().into_owned(),
            state: state.word(),
            units: units.len(),
            running: units.iter().filter(|unit| unit.sub_state == "running").count(),
            jobs: units.iter().filter(|unit| unit.job_id != 0).count(),
            failed: count("failed"),
            version: text(&values, "Version"),
        };
        Ok((state, overview))
    })?;
    if let Some(layout) = super::format(args).json() {
        print_json(&overview, layout)?;
        return Ok(0);
    }
    let (style, width) = (Style::of_output(), args.text.width());
    let tree = processes::tree(paths, &format!("/{DEFAULT_SLICE}"), width, style);
    print(&render(&overview, state, &tree, style), args.text.paging())?;
    Ok(0)
}

fn render(overview: &Overview, state: SystemState, tree: &[String], style: Style) -> String {
    let plural = if overview.failed == 1 { "" } else { "s" };
    let failed = format!("{} unit{plural}", overview.failed);
    let failed = style.paint(if overview.failed > 0 { Tone::Bad } else { Tone::Normal }, &failed);
    let mut text = format!(
        "{dot} {host}\n    State: {word}\n    Units: {loaded} loaded, {running} running\n     Jobs: {jobs} queued\n   \
         Failed: {failed}\n",
        dot = style.dot(state.tone(), state.dot()),
        host = overview.host,
        word = style.paint(state.tone(), state.word()),
        loaded = overview.units,
        running = overview.running,
        jobs = overview.jobs,
    );
    text.push_str(&format!("  sampand: {}\n", overview.version));
    if !tree.is_empty() {
        text.push_str(&format!("   CGroup: /{DEFAULT_SLICE}\n"));
        for line in tree {
            text.push_str(&format!("           {line}\n"));
        }
    }
    text
}
