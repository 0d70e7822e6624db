//! `sampanctl list-jobs`: what is under way.

use super::args::ListArgs;
use super::client::talk;
use super::display::OutputFormat;
use super::error::CliError;
use super::output::{print, print_json};
use super::pattern::matches_any;
use super::text::{Column, Heading, Style, Table, Tone};
use crate::bus::wire::JobRow;
use serde::Serialize;

#[derive(Serialize)]
struct JsonRow<'a> {
    job: u32,
    unit: &'a str,
    r#type: &'a str,
    state: &'a str,
}

/// Runs the verb.
///
/// # Errors
/// When the manager cannot be reached.
pub fn run(args: &ListArgs) -> anyhow::Result<u8> {
    let mut rows = talk(async |client| {
        let rows = client.manager.list_jobs().await;
        Ok(rows.map_err(|error| CliError::of_call("list jobs", error))?)
    })?;
    rows.retain(|row| matches_any(&args.patterns, &row.unit));
    rows.sort_by_key(|row| row.id);
    match args.display.output {
        OutputFormat::Json => print_json(&rows.iter().map(json).collect::<Vec<_>>())?,
        OutputFormat::Text => print(&render(&rows, args, Style::of_output()), args.display.paging())?,
    }
    Ok(0)
}

fn json(row: &JobRow) -> JsonRow<'_> {
    JsonRow { job: row.id, unit: &row.unit, r#type: &row.job_type, state: &row.state }
}

fn render(rows: &[JobRow], args: &ListArgs, style: Style) -> String {
    let heading = args.display.heading();
    if rows.is_empty() {
        return if heading == Heading::Shown { "No jobs running.\n".to_owned() } else { String::new() };
    }
    let mut table = Table::new(&["JOB", "UNIT", "TYPE", "STATE"].map(Column::new));
    for row in rows {
        let tone = if row.state == "running" { Tone::Good } else { Tone::Normal };
        let normal = |text: String| (text, Tone::Normal);
        table.row([
            normal(row.id.to_string()),
            (row.unit.clone(), tone),
            normal(row.job_type.clone()),
            (row.state.clone(), tone),
        ]);
    }
    let mut text = table.render(style, heading, args.display.width());
    if heading == Heading::Shown {
        text.push_str(&format!("\n{} jobs listed.\n", rows.len()));
    }
    text
}
