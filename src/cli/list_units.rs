//! `sampanctl list-units`: the units in memory and their states.

use super::args::ListUnitsArgs;
use super::client::ask;
use super::display::{Layout, Shape};
use super::output::{Paging, print};
use super::text::{Column, Dot, Heading, Style, Table, Tone};
use super::unit_properties::ActiveState;
use crate::bus::wire::UnitRow;
use crate::unit::pattern::matches_any;
use serde::Serialize;
use std::collections::BTreeMap;

/// What `--state=help` and `--type=help` print.
const STATES: &str = "loaded\nnot-found\nbad\nmasked\n\nactive\nreloading\ninactive\nfailed\nactivating\ndeactivating\n\n\
    dead\nstart-pre\nlistening\npull\nstart\nrunning\nactive\nexited\nreload\nfrozen\nstop-sigterm\nstop-sigkill\n\
    auto-restart\nfailed\n";
const TYPES: &[&str] = &["container", "target"];

/// One unit as JSON, with the names that systemctl gives.
#[derive(Serialize)]
struct JsonRow<'a> {
    unit: &'a str,
    load: &'a str,
    active: &'a str,
    sub: &'a str,
    job: Option<&'a str>,
    description: &'a str,
    labels: BTreeMap<String, String>,
}

impl<'a> JsonRow<'a> {
    fn of(row: &'a UnitRow, labels: BTreeMap<String, String>) -> Self {
        Self {
            unit: &row.name,
            load: &row.load_state,
            active: &row.active_state,
            sub: &row.sub_state,
            job: (row.job_id != 0).then_some(&row.job_type),
            description: &row.description,
            labels,
        }
    }
}

/// Runs the verb.
///
/// # Errors
/// When the manager cannot be reached.
pub fn run(args: &ListUnitsArgs) -> anyhow::Result<u8> {
    if asks_for_help(&args.state) {
        return print_states();
    }
    if asks_for_help(&args.kind) {
        print(&(TYPES.join("\n") + "\n"), Paging::Never)?;
        return Ok(0);
    }
    if let Some(kind) = args.kind.iter().find(|kind| !TYPES.contains(&kind.as_str())) {
        anyhow::bail!("Unknown unit type \"{kind}\". Use \"--type=help\" to list the known ones.");
    }
    let (rows, mut labels) = ask(async |client| {
        let rows = selected(client.list_units().await?, args);
        let mut labels = BTreeMap::new();
        // Tables have no column for them.
        if args.display.output.json().is_some() {
            for row in &rows {
                labels.insert(row.name.clone(), client.labels(row).await?);
            }
        }
        Ok((rows, labels))
    })?;
    let mut json = |row| JsonRow::of(row, labels.remove(&row.name).unwrap_or_default());
    let json: Vec<JsonRow> = rows.iter().map(&mut json).collect();
    args.display.show(&json, |layout| render(&rows, args, layout))?;
    Ok(0)
}

/// Whether the words of `--state=` or `--type=` ask for those that can be said.
pub fn asks_for_help(words: &[String]) -> bool {
    words.iter().any(|word| word == "help")
}

/// Prints the states that units have.
///
/// # Errors
/// When the output cannot be written.
pub fn print_states() -> anyhow::Result<u8> {
    print(STATES, Paging::Never)?;
    Ok(0)
}

/// Without `--all` and `--state=`: units that are up, failed or have a job, as systemctl.
fn selected(mut rows: Vec<UnitRow>, args: &ListUnitsArgs) -> Vec<UnitRow> {
    let mut states = args.state.clone();
    states.extend(args.failed.then(|| "failed".to_owned()));
    let in_state = |row: &UnitRow| {
        let words = [&row.load_state, &row.active_state, &row.sub_state];
        states.iter().any(|state| words.contains(&state))
    };
    let of_interest = |row: &UnitRow| row.active_state != "inactive" || row.job_id != 0;
    let of_kind = |row: &UnitRow| {
        let suffix = row.name.rsplit('.').next().unwrap_or_default();
        args.kind.is_empty() || args.kind.iter().any(|kind| kind == suffix)
    };
    rows.retain(|row| {
        let state_wanted = match states.is_empty() {
            true => args.all || of_interest(row),
            false => in_state(row),
        };
        matches_any(&args.patterns, &row.name) && of_kind(row) && state_wanted
    });
    rows.sort_by(|left, right| left.name.cmp(&right.name));
    rows
}

fn render(rows: &[UnitRow], args: &ListUnitsArgs, layout: &Layout) -> String {
    let with_jobs = rows.iter().any(|row| row.job_id != 0);
    let mut columns = vec!["UNIT", "LOAD", "ACTIVE", "SUB"];
    columns.extend(with_jobs.then_some("JOB"));
    columns.push("DESCRIPTION");
    let mut columns: Vec<Column> = columns.into_iter().map(Column::new).collect();
    // The column of dots: a failed unit catches the eye.
    if layout.shape == Shape::Drawn {
        columns.insert(0, Column::new(" "));
    }
    let mut table = Table::new(&columns);
    for row in rows {
        table.row(cells(row, JobColumn::of(with_jobs), layout));
    }
    let mut text = table.render(layout.style, layout.heading, layout.width);
    if layout.heading == Heading::Shown {
        text.push_str(&legend(rows.len(), args, layout.style));
    }
    text
}

/// Whether the table has the column of jobs.
#[derive(Clone, Copy, PartialEq, Eq)]
enum JobColumn {
    Shown,
    Hidden,
}

impl JobColumn {
    fn of(shown: bool) -> Self {
        if shown { Self::Shown } else { Self::Hidden }
    }
}

fn cells(row: &UnitRow, jobs: JobColumn, layout: &Layout) -> Vec<(String, Tone)> {
    let failed = ActiveState::of_word(&row.active_state) == ActiveState::Failed;
    let tone = if failed { Tone::Bad } else { Tone::Normal };
    let load_tone = if row.load_state == "loaded" { Tone::Normal } else { Tone::Bad };
    let mut cells = Vec::new();
    if layout.shape == Shape::Drawn {
        let filled = layout.style.glyphs.dot(Dot::Filled);
        cells.push(match (failed, load_tone) {
            (true, _) => (filled.to_owned(), Tone::Bad),
            (_, Tone::Bad) => (filled.to_owned(), Tone::Moving),
            _ => (" ".to_owned(), Tone::Normal),
        });
    }
    cells.push((row.name.clone(), tone));
    cells.push((row.load_state.clone(), load_tone));
    cells.push((row.active_state.clone(), tone));
    cells.push((row.sub_state.clone(), tone));
    if jobs == JobColumn::Shown {
        cells.push((row.job_type.clone(), Tone::Normal));
    }
    cells.push((row.description.clone(), Tone::Normal));
    cells
}

fn legend(count: usize, args: &ListUnitsArgs, style: Style) -> String {
    let explained = match count {
        0 => "",
        _ => {
            "\nLOAD   = Reflects whether the unit definition was properly loaded.\n\
             ACTIVE = The high-level unit activation state, i.e. generalization of SUB.\n\
             SUB    = The low-level unit activation state, values depend on unit type.\n"
        }
    };
    let counted = format!("{count} loaded units listed.");
    let counted = style.paint(if count == 0 { Tone::Bad } else { Tone::Strong }, &counted);
    let hint = match args.all || !args.state.is_empty() || args.failed {
        true => String::new(),
        false => {
            let hint = style.paint(Tone::Faint, "Pass --all to see loaded but inactive units, too.");
            let files = "To show all installed unit files use 'sampanctl list-unit-files'.";
            format!(" {hint}\n{}", style.paint(Tone::Faint, files))
        }
    };
    format!("{explained}{counted}{hint}\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bus::wire::unit_path;
    use crate::cli::args::ListUnitsArgs;

    fn row(name: &str, active: &str, sub: &str) -> UnitRow {
        UnitRow {
            name: name.to_owned(),
            description: format!("The {name}"),
            load_state: "loaded".to_owned(),
            active_state: active.to_owned(),
            sub_state: sub.to_owned(),
            path: unit_path(name),
            job_id: 0,
            job_type: String::new(),
        }
    }

    fn rows() -> Vec<UnitRow> {
        vec![
            row("web.container", "active", "running"),
            row("db.container", "failed", "failed"),
            row("old.container", "inactive", "dead"),
            row("default.target", "active", "active"),
        ]
    }

    #[test]
    fn inactive_units_are_left_out() {
        let args = ListUnitsArgs::default();
        insta::assert_snapshot!(render(&selected(rows(), &args), &args, &Layout::PLAIN), @r#"
          UNIT           LOAD   ACTIVE SUB     DESCRIPTION
        ● db.container   loaded failed failed  The db.container
          default.target loaded active active  The default.target
          web.container  loaded active running The web.container

        LOAD   = Reflects whether the unit definition was properly loaded.
        ACTIVE = The high-level unit activation state, i.e. generalization of SUB.
        SUB    = The low-level unit activation state, values depend on unit type.
        3 loaded units listed. Pass --all to see loaded but inactive units, too.
        To show all installed unit files use 'sampanctl list-unit-files'.
        "#);
    }

    #[test]
    fn units_are_selected_by_state_kind_and_pattern() {
        let names = |args: &ListUnitsArgs| {
            selected(rows(), args).into_iter().map(|row| row.name).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(names(&ListUnitsArgs { failed: true, ..Default::default() }), "db.container");
        let kind = vec!["target".to_owned()];
        assert_eq!(names(&ListUnitsArgs { kind, ..Default::default() }), "default.target");
        let state = vec!["dead".to_owned()];
        assert_eq!(names(&ListUnitsArgs { state, ..Default::default() }), "old.container");
        let patterns = vec!["w*".to_owned(), "old".to_owned()];
        assert_eq!(
            names(&ListUnitsArgs { patterns, all: true, ..Default::default() }),
            "old.container web.container"
        );
    }
}
