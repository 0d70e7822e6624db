//! `sampanctl list-sockets`: addresses, the units behind them and how fast they woke up.

use super::args::ListArgs;
use super::client::ask;
use super::display::Layout;
use super::error::CliError;
use super::text::{Column, Table, Tone, time};
use crate::bus::wire::SocketRow;
use crate::unit::pattern::matches_any;

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
    args.display.show(&rows, |layout| render(&rows, args, layout))?;
    Ok(0)
}

fn render(rows: &[SocketRow], args: &ListArgs, layout: &Layout) -> String {
    let columns = ["LISTEN", "NAME", "UNIT", "PASS", "STATE", "CONNECTIONS", "ACTIVATIONS", "LATENCY"];
    let mut table = Table::new(&columns.map(Column::new));
    for row in rows {
        let tone = if row.state == "closed" { Tone::Faint } else { Tone::Normal };
        let latency = match row.last_activation_usec {
            0 => "-".to_owned(),
            microseconds => time::span(microseconds),
        };
        let cells = [
            row.listen.clone(),
            row.name.clone(),
            row.unit.clone(),
            row.pass.clone(),
            row.state.clone(),
            row.connections.to_string(),
            row.activations.to_string(),
            latency,
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
        let row = |listen: &str, state: &str, activations, last_activation_usec| SocketRow {
            listen: listen.to_owned(),
            name: "http".to_owned(),
            unit: "web.container".to_owned(),
            pass: "swap".to_owned(),
            state: state.to_owned(),
            connections: 0,
            activations,
            last_activation_usec,
        };
        let rows = [row("/run/web.sock", "listening", 0, 0), row("[::]:80", "running", 2, 9_200)];
        insta::assert_snapshot!(render(&rows, &ListArgs::default(), &Layout::PLAIN), @r"
        LISTEN        NAME UNIT          PASS STATE     CONNECTIONS ACTIVATIONS LATENCY
        /run/web.sock http web.container swap listening 0           0           -
        [::]:80       http web.container swap running   0           2           9ms

        2 sockets listed.
        Pass --all to see sockets that do not listen, too.
        ");
    }
}
