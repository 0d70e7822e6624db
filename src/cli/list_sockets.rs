//! `sampanctl list-sockets`: addresses, the units behind them, and when and how fast they woke up last.

use super::args::ListArgs;
use super::client::ask;
use super::display::Layout;
use super::error::CliError;
use super::text::{Column, Table, Tone, time};
use crate::bus::wire::SocketRow;
use crate::unit::pattern::matches_any;
use jiff::tz::TimeZone;

/// Runs the verb.
///
/// # Errors
/// When the manager cannot be reached.
pub fn run(args: &ListArgs) -> anyhow::Result<u8> {
    let mut rows = ask(async |client| {
        let rows = client.ask(async |manager| manager.list_sockets().await).await;
        Ok(rows.map_err(|error| CliError::of_call("list sockets", error))?)
    })?;
    rows.retain(|row| matches_any(&args.patterns, &row.unit) && (args.all || row.state != "closed"));
    rows.sort_by(|left, right| left.listen.cmp(&right.listen));
    let zone = TimeZone::system();
    args.display.show(&rows, |layout| render(&rows, args, (time::now(), &zone), layout))?;
    Ok(0)
}

/// What was last comes last: it is what a narrow terminal cuts.
const COLUMNS: [&str; 10] =
    ["LISTEN", "NAME", "UNIT", "PASS", "STATE", "CONNECTIONS", "ACTIVATIONS", "LATENCY", "LAST", "PASSED"];

fn render(rows: &[SocketRow], args: &ListArgs, (now, zone): (u64, &TimeZone), layout: &Layout) -> String {
    let mut table = Table::new(&COLUMNS.map(Column::new));
    let told = |usec: u64, text: &dyn Fn(u64) -> String| if usec == 0 { "-".to_owned() } else { text(usec) };
    for row in rows {
        let tone = if row.state == "closed" { Tone::Faint } else { Tone::Normal };
        let cells = [
            row.listen.clone(),
            row.name.clone(),
            row.unit.clone(),
            row.pass.clone(),
            row.state.clone(),
            row.connections.to_string(),
            row.activations.to_string(),
            told(row.latency_usec, &time::span),
            told(row.last_usec, &|last| time::timestamp(last, zone)),
            told(row.last_usec, &|last| time::ago(now.saturating_sub(last))),
        ];
        table.row(cells.map(|cell| (cell, tone)));
    }
    let hint = (!args.all).then_some("Pass --all to see sockets that do not listen, too.");
    layout.list(&table, "sockets", hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_tell_what_they_started() {
        const NOW: u64 = 1_795_237_885_000_000;
        let row = |listen: &str, state: &str, activations, last_usec, latency_usec| SocketRow {
            listen: listen.to_owned(),
            name: "http".to_owned(),
            unit: "web.container".to_owned(),
            pass: "swap".to_owned(),
            state: state.to_owned(),
            connections: 0,
            activations,
            last_usec,
            latency_usec,
        };
        let rows = [
            row("/run/web.sock", "listening", 0, 0, 0),
            row("[::]:80", "running", 2, NOW - 200_000_000, 9_200),
        ];
        let now = (NOW, &TimeZone::UTC);
        insta::assert_snapshot!(render(&rows, &ListArgs::default(), now, &Layout::PLAIN), @r"
        LISTEN        NAME UNIT          PASS STATE     CONNECTIONS ACTIVATIONS LATENCY LAST                        PASSED
        /run/web.sock http web.container swap listening 0           0           -       -                           -
        [::]:80       http web.container swap running   0           2           9ms     Sat 2026-11-21 05:08:05 UTC 3min 20s ago

        2 sockets listed.
        Pass --all to see sockets that do not listen, too.
        ");
    }
}
