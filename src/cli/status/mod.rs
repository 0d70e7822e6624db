//! `sampanctl status`: what units do, or what the manager does as a whole.

mod checks;
mod overview;
mod processes;
mod render;

use super::args::StatusArgs;
use super::client::{Client, talk};
use super::display::OutputFormat;
use super::error::{NOT_RUNNING, UNKNOWN_UNIT};
use super::logs;
use super::output::{complain, print, print_json};
use super::select;
use super::text::{Style, time};
use super::unit_properties::{ActiveState, UnitProperties, Values};
use crate::paths::Paths;
use crate::unit::name::UnitName;
use jiff::tz::TimeZone;
use render::Surroundings;

/// Runs the verb.
///
/// # Errors
/// When a word is no name or the manager cannot be reached.
pub fn run(args: &StatusArgs, paths: &Paths) -> anyhow::Result<u8> {
    if args.units.is_empty() {
        let text = talk(async |client| overview::overview(client, Style::of_output()).await)?;
        print(&text, args.display.paging())?;
        return Ok(0);
    }
    let units = talk(async |client| units(client, &args.units).await)?;
    let mut status = 0;
    let (mut pages, mut found) = (Vec::new(), Vec::new());
    for (name, values) in units {
        let unit = values.as_ref().map(UnitProperties::new).filter(UnitProperties::exists);
        let Some((unit, values)) = unit.zip(values) else {
            complain(&format!("Unit {name} could not be found."));
            status = if status == 0 { UNKNOWN_UNIT } else { status };
            continue;
        };
        if status == 0 {
            status = exit_status(unit.active_state);
        }
        if args.display.output == OutputFormat::Text {
            pages.push(page(&unit, args, paths));
        }
        found.push(values);
    }
    match args.display.output {
        OutputFormat::Json => print_json(&found)?,
        OutputFormat::Text => print(&pages.join("\n"), args.display.paging())?,
    }
    Ok(status)
}

async fn units(client: &Client, words: &[String]) -> anyhow::Result<Vec<(String, Option<Values>)>> {
    let mut units = Vec::new();
    for name in select::units(client, words).await? {
        let values = client.values(&name).await?;
        units.push((name, values));
    }
    Ok(units)
}

/// As systemctl: what is on its way is no failure.
fn exit_status(state: ActiveState) -> u8 {
    match state {
        ActiveState::Active | ActiveState::Activating | ActiveState::Deactivating => 0,
        ActiveState::Inactive | ActiveState::Failed => NOT_RUNNING,
    }
}

fn page(unit: &UnitProperties, args: &StatusArgs, paths: &Paths) -> String {
    let width = args.display.width();
    let surroundings = Surroundings {
        style: Style::of_output(),
        zone: TimeZone::system(),
        now: time::now(),
        main_name: processes::name(paths, unit.main_pid),
        processes: processes::tree(paths, &unit.control_group, width),
    };
    let mut text = render::unit(unit, &surroundings);
    let scope = UnitName::parse(&unit.id).map(|name| name.scope());
    let log = match scope {
        Ok(scope) if args.lines > 0 => logs::last_lines(&scope, args.lines, width),
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
