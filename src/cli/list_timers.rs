//! `sampanctl list-timers`: when units are started by themselves, the next first.

use super::args::ListArgs;
use super::client::ask;
use super::display::Layout;
use super::error::CliError;
use super::text::{Column, Table, Tone, time};
use crate::bus::wire::TimerRow;
use crate::unit::pattern::matches_any;
use jiff::tz::TimeZone;

/// Runs the verb.
///
/// # Errors
/// When the manager cannot be reached.
pub fn run(args: &ListArgs) -> anyhow::Result<u8> {
    let mut rows = ask(async |client| {
        let rows = client.ask(async |manager| manager.list_timers().await).await;
        Ok(rows.map_err(|error| CliError::of_call("list timers", error))?)
    })?;
    rows.retain(|row| matches_any(&args.patterns, &row.unit) && (args.all || row.state != "dead"));
    // What has no next time comes last.
    rows.sort_by_key(|row| (row.next_usec.wrapping_sub(1), row.unit.clone()));
    let zone = TimeZone::system();
    args.display.show(&rows, |layout| render(&rows, args, (time::now(), &zone), layout))?;
    Ok(0)
}

fn render(rows: &[TimerRow], args: &ListArgs, (now, zone): (u64, &TimeZone), layout: &Layout) -> String {
    let columns = ["NEXT", "LEFT", "LAST", "PASSED", "UNIT", "STATE", "RESULT"];
    let mut table = Table::new(&columns.map(Column::new));
    let moment = |time: u64| if time == 0 { "-".to_owned() } else { time::timestamp(time, zone) };
    for row in rows {
        let tone = if row.state == "dead" { Tone::Faint } else { Tone::Normal };
        let left = if row.next_usec == 0 { "-".to_owned() } else { time::left(row.next_usec, now) };
        let passed = match row.last_usec {
            0 => "-".to_owned(),
            last => time::ago(now.saturating_sub(last)),
        };
        let cells = [
            moment(row.next_usec),
            left,
            moment(row.last_usec),
            passed,
            row.unit.clone(),
            row.state.clone(),
            row.result.clone(),
        ];
        table.row(cells.map(|cell| (cell, tone)));
    }
    let hint = (!args.all).then_some("Pass --all to see timers that are not armed, too.");
    layout.list(&table, "timers", hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timers_tell_when_they_elapse() {
        const NOW: u64 = 1_795_237_885_000_000;
        let row = |unit: &str, state: &str, result: &str, next_usec, last_usec| TimerRow {
            unit: unit.to_owned(),
            state: state.to_owned(),
            result: result.to_owned(),
            next_usec,
            last_usec,
        };
        let rows = [
            row("backup.container", "waiting", "exit-code", NOW + 600_000_000, NOW - 3_600_000_000),
            row("once.container", "elapsed", "success", 0, NOW - 5_000_000),
        ];
        let now = (NOW, &TimeZone::UTC);
        insta::assert_snapshot!(render(&rows, &ListArgs::default(), now, &Layout::PLAIN), @r"
        NEXT                        LEFT       LAST                        PASSED      UNIT             STATE   RESULT
        Sat 2026-11-21 05:21:25 UTC 10min left Sat 2026-11-21 04:11:25 UTC 1h 0min ago backup.container waiting exit-code
        -                           -          Sat 2026-11-21 05:11:20 UTC 5s ago      once.container   elapsed success

        2 timers listed.
        Pass --all to see timers that are not armed, too.
        ");
    }
}
