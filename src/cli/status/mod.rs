//! `sampanctl status`: what units do, or what the manager does as a whole.

mod health;
mod idle;
mod overview;
mod processes;
mod reason;
mod render;
mod resources;

use super::args::StatusArgs;
use super::client::{Client, ask};
use super::display::OutputFormat;
use super::error::{NOT_RUNNING, UNKNOWN_UNIT};
use super::list_units;
use super::logs;
use super::output::{complain, print, print_json};
use super::select;
use super::suggestion;
use super::text::{Style, time};
use super::unit_properties::{ActiveState, UnitProperties, Values};
use crate::paths::Paths;
use crate::unit::name::UnitName;
use clap::ValueEnum;
use jiff::tz::TimeZone;
use render::Surroundings;
use serde::Serialize;

/// Runs the verb.
///
/// # Errors
/// When a word is no name, a process is in no unit, or the manager cannot be reached.
pub fn run(args: &StatusArgs, paths: &Paths) -> anyhow::Result<u8> {
    if list_units::asks_for_help(&args.state) {
        return list_units::print_states();
    }
    if args.units.is_empty() && !args.all && args.state.is_empty() {
        return overview::run(args, paths);
    }
    let units = ask(async |client| units(client, args).await)?;
    let mut status = 0;
    let (mut pages, mut found) = (Vec::new(), Vec::new());
    for (name, values) in units {
        let unit = UnitProperties::new(&values);
        if !unit.exists() {
            suggestion::complain_of_unknown(&name, paths);
            status = if status == 0 { UNKNOWN_UNIT } else { status };
            continue;
        }
        if status == 0 {
            status = exit_status(unit.active_state);
        }
        match format(args).json() {
            Some(_) => found.push(Json { log: log_entries(&unit, args), properties: values }),
            None => pages.push(page(&unit, args, paths)),
        }
    }
    match format(args).json() {
        Some(layout) => print_json(&found, layout)?,
        None => print(&pages.join("\n"), args.text.paging())?,
    }
    Ok(status)
}

/// A unit as JSON: its properties, and the lines that the journal has, newest last.
#[derive(Serialize)]
struct Json {
    #[serde(flatten)]
    properties: Values,
    #[serde(rename = "Log")]
    log: Vec<serde_json::Value>,
}

/// JSON is for the page as a whole; all other formats are the journal's.
fn format(args: &StatusArgs) -> OutputFormat {
    OutputFormat::from_str(&args.output, false).unwrap_or_default()
}

async fn units(client: &Client, args: &StatusArgs) -> anyhow::Result<Vec<(String, Values)>> {
    let names = match args.units.as_slice() {
        [] => select::all(client).await?,
        words => select::units(client, &select::of_processes(client, words).await?).await?,
    };
    let mut units = Vec::new();
    for name in names {
        let values = client.values(&name).await?;
        let unit = UnitProperties::new(&values);
        let states = [unit.load_state.as_str(), unit.active_state.word(), unit.sub_state.as_str()];
        if args.state.is_empty() || args.state.iter().any(|state| states.contains(&state.as_str())) {
            units.push((name, values));
        }
    }
    Ok(units)
}

/// As systemctl: what is on its way is no failure.
fn exit_status(state: ActiveState) -> u8 {
    if state.is_down() { NOT_RUNNING } else { 0 }
}

fn page(unit: &UnitProperties, args: &StatusArgs, paths: &Paths) -> String {
    let (width, style) = (args.text.width(), Style::of_output());
    let surroundings = Surroundings {
        style,
        zone: TimeZone::system(),
        now: time::now(),
        main_name: processes::name(paths, unit.main_pid),
        processes: processes::tree(paths, &unit.control_group, width, style),
    };
    let mut text = render::unit(unit, &surroundings);
    let log = match UnitName::parse(&unit.id) {
        Ok(name) if args.lines > 0 => {
            logs::tail(&name, logs::Tail { lines: args.lines, format: &args.output, width })
        }
        _ => String::new(),
    };
    if !log.is_empty() {
        text.push('\n');
        text.push_str(&log);
    }
    if unit.need_daemon_reload {
        complain(&format!(
            "Warning: The unit file or drop-ins of {} changed on disk. Run \"sampanctl daemon-reload\" to reload \
             units.",
            unit.id
        ));
    }
    text
}

fn log_entries(unit: &UnitProperties, args: &StatusArgs) -> Vec<serde_json::Value> {
    match UnitName::parse(&unit.id) {
        Ok(name) if args.lines > 0 => {
            let log = logs::tail(&name, logs::Tail { lines: args.lines, format: "json", width: None });
            log.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
        }
        _ => Vec::new(),
    }
}
