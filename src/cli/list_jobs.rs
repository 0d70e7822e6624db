//! `sampanctl list-jobs`: what is under way, and what waits for what; `cancel` takes jobs back.

use super::args::{CancelArgs, ListJobsArgs};
use super::client::{Client, ask, talk};
use super::display::Layout;
use super::error::CliError;
use super::outcome::Outcome;
use super::text::{Column, Heading, Table, Tone};
use super::unit_properties::list;
use crate::bus::wire::JobRow;
use crate::unit::pattern::matches_any;
use serde::Serialize;
use std::collections::BTreeMap;

#[derive(Serialize)]
struct JsonRow<'a> {
    job: u32,
    unit: &'a str,
    r#type: &'a str,
    state: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    waits_for: Option<&'a [u32]>,
}

/// The jobs that each job waits for, by their numbers.
type Waits = BTreeMap<u32, Vec<u32>>;

/// Runs the verb.
///
/// # Errors
/// When the manager cannot be reached.
pub fn run(args: &ListJobsArgs) -> anyhow::Result<u8> {
    let (mut rows, waits) = ask(async |client| {
        let rows = client.list_jobs().await?;
        let waits = if args.after || args.before { Some(waits(client, &rows).await?) } else { None };
        Ok((rows, waits))
    })?;
    rows.sort_by_key(|row| row.id);
    let shown: Vec<&JobRow> = rows.iter().filter(|row| matches_any(&args.patterns, &row.unit)).collect();
    let json: Vec<JsonRow> = shown.iter().map(|row| json(row, waits.as_ref())).collect();
    args.display.show(&json, |layout| render(&rows, &shown, args, waits.as_ref(), layout))?;
    Ok(0)
}

/// A job waits for the jobs of units that its own is ordered after, systemd.unit(5): of units that start, those before;
/// whatever stops goes first.
async fn waits(client: &Client, rows: &[JobRow]) -> Result<Waits, CliError> {
    let mut after: BTreeMap<u32, Vec<String>> = BTreeMap::new();
    for row in rows {
        after.insert(row.id, list(&client.values(&row.unit).await?, "After"));
    }
    let follows = |later: &JobRow, earlier: &JobRow| {
        after.get(&later.id).is_some_and(|names| names.contains(&earlier.unit))
    };
    let waits_for = |row: &JobRow, other: &JobRow| {
        if row.id == other.id {
            return false;
        }
        match other.job_type.as_str() {
            "stop" | "restart" => follows(row, other) && row.job_type != "stop" || follows(other, row),
            _ => follows(row, other) && row.job_type != "stop",
        }
    };
    let of = |row: &JobRow| rows.iter().filter(|other| waits_for(row, other)).map(|other| other.id).collect();
    Ok(rows.iter().map(|row| (row.id, of(row))).collect())
}

fn json<'a>(row: &'a JobRow, waits: Option<&'a Waits>) -> JsonRow<'a> {
    let waits_for = waits.and_then(|waits| waits.get(&row.id)).map(Vec::as_slice);
    JsonRow { job: row.id, unit: &row.unit, r#type: &row.job_type, state: &row.state, waits_for }
}

fn render(
    all: &[JobRow],
    rows: &[&JobRow],
    args: &ListJobsArgs,
    waits: Option<&Waits>,
    layout: &Layout,
) -> String {
    if rows.is_empty() {
        let line = if args.patterns.is_empty() { "No jobs running." } else { "No jobs listed." };
        return match layout.heading {
            Heading::Shown => format!("{}\n", layout.style.paint(Tone::Good, line)),
            Heading::Hidden => String::new(),
        };
    }
    let mut table = Table::new(&["JOB", "UNIT", "TYPE", "STATE"].map(Column::new));
    for row in rows {
        table.row(cells(row));
        let Some(waits) = waits else { continue };
        if args.before {
            let earlier = waits.get(&row.id).cloned().unwrap_or_default();
            below(&mut table, all, &earlier, "waiting for job");
        }
        if args.after {
            let later = waits.iter().filter(|(_, jobs)| jobs.contains(&row.id)).map(|(id, _)| *id);
            below(&mut table, all, &later.collect::<Vec<_>>(), "blocking job");
        }
    }
    let mut text = table.render(layout.style, layout.heading, layout.width);
    if layout.heading == Heading::Shown {
        let counted = format!("{} jobs listed.", rows.len());
        text.push_str(&format!("\n{}\n", layout.style.paint(Tone::Strong, &counted)));
    }
    text
}

/// Jobs below another, with the words for what they are to it.
fn below(table: &mut Table, all: &[JobRow], ids: &[u32], relation: &str) {
    for row in all.iter().filter(|row| ids.contains(&row.id)) {
        let unit = format!("  {relation} {} ({}/{})", row.id, row.unit, row.job_type);
        table.row(["".to_owned(), unit, "-".to_owned(), "-".to_owned()].map(|cell| (cell, Tone::Faint)));
    }
}

fn cells(row: &JobRow) -> [(String, Tone); 4] {
    let tone = if row.state == "running" { Tone::Good } else { Tone::Normal };
    let normal = |text: String| (text, Tone::Normal);
    [
        normal(row.id.to_string()),
        (row.unit.clone(), tone),
        normal(row.job_type.clone()),
        (row.state.clone(), tone),
    ]
}

/// Runs `cancel`, of all jobs when none is named.
///
/// # Errors
/// When the manager cannot be reached.
pub fn cancel(args: &CancelArgs) -> anyhow::Result<u8> {
    talk(async |client| {
        let mut outcome = Outcome::default();
        let all = args.jobs.is_empty();
        let jobs = if all { queued(client).await? } else { args.jobs.clone() };
        for job in &jobs {
            // A job goes with the one that it waits for.
            if all && !queued(client).await?.contains(job) {
                continue;
            }
            let done = client.call("CancelJob", &(*job,)).await;
            outcome.note(done.map_err(|error| CliError::of_call(&format!("cancel job {job}"), error)))?;
        }
        Ok(outcome.status)
    })
}

async fn queued(client: &Client) -> Result<Vec<u32>, CliError> {
    Ok(client.list_jobs().await?.into_iter().map(|row| row.id).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bus::wire::job_path;

    fn row(id: u32, unit: &str, state: &str) -> JobRow {
        JobRow {
            id,
            unit: unit.to_owned(),
            job_type: "start".to_owned(),
            state: state.to_owned(),
            path: job_path(id),
        }
    }

    #[test]
    fn jobs_tell_what_they_wait_for() {
        let rows = [row(3, "db.container", "running"), row(4, "web.container", "waiting")];
        let waits = Waits::from([(3, Vec::new()), (4, vec![3])]);
        let args = ListJobsArgs { before: true, ..ListJobsArgs::default() };
        let shown: Vec<&JobRow> = rows.iter().collect();
        insta::assert_snapshot!(render(&rows, &shown, &args, Some(&waits), &Layout::PLAIN), @r"
        JOB UNIT                                     TYPE  STATE
        3   db.container                             start running
        4   web.container                            start waiting
              waiting for job 3 (db.container/start) -     -

        2 jobs listed.
        ");
    }

    #[test]
    fn no_jobs_are_told_too() {
        let args = ListJobsArgs::default();
        assert_eq!(render(&[], &[], &args, None, &Layout::PLAIN), "No jobs running.\n");
        assert_eq!(render(&[], &[], &args, None, &Layout { heading: Heading::Hidden, ..Layout::PLAIN }), "");
    }
}
