//! `sampanctl show`: properties as `Name=value`, or the plan of a launch.

use super::args::ShowArgs;
use super::client::{Client, ask};
use super::error::CliError;
use super::output::{print, print_json};
use super::select;
use super::text::{escaped, time};
use super::unit_properties::{Value, Values};
use jiff::tz::TimeZone;

/// Runs the verb.
///
/// # Errors
/// When a word is no name or the manager cannot be reached.
pub fn run(args: &ShowArgs) -> anyhow::Result<u8> {
    if args.plan {
        let plans = ask(async |client| plans(client, &args.units).await)?;
        print(&plans, args.display.text.paging())?;
        return Ok(0);
    }
    let units = ask(async |client| match args.units.as_slice() {
        [] => Ok(vec![client.manager_values().await?]),
        words => properties(client, words).await,
    })?;
    let units: Vec<Values> = units.into_iter().map(|values| selected(values, args.names())).collect();
    if let Some(layout) = args.display.output.json() {
        // Of the manager there is one.
        match units.as_slice() {
            [manager] if args.units.is_empty() => print_json(manager, layout)?,
            units => print_json(&units, layout)?,
        }
        return Ok(0);
    }
    let blocks: Vec<String> = units.iter().map(|values| render(values, args, &TimeZone::system())).collect();
    print(&blocks.join("\n"), args.display.text.paging())?;
    Ok(0)
}

async fn properties(client: &Client, words: &[String]) -> anyhow::Result<Vec<Values>> {
    let mut units = Vec::new();
    for name in select::units(client, words).await? {
        units.push(client.values(&name).await?);
    }
    Ok(units)
}

async fn plans(client: &Client, words: &[String]) -> anyhow::Result<String> {
    let mut text = String::new();
    for name in select::units(client, words).await? {
        let plan: zbus::Result<String> = client.call("Plan", &(&name,)).await;
        let plan = plan.map_err(|error| CliError::of_call(&format!("plan {name}"), error))?;
        let plan: serde_json::Value = serde_json::from_str(&plan)?;
        text.push_str(&serde_json::to_string_pretty(&plan)?);
        text.push('\n');
    }
    Ok(text)
}

fn selected(mut values: Values, names: &[String]) -> Values {
    values.retain(|name, _| names.is_empty() || names.contains(name));
    values
}

fn render(values: &Values, args: &ShowArgs, zone: &TimeZone) -> String {
    let mut text = String::new();
    for (name, value) in in_order(values, args.names()) {
        for value in words(name, value, zone) {
            if value.is_empty() && !args.all && args.names().is_empty() {
                continue;
            }
            match args.is_bare() {
                true => text.push_str(&format!("{value}\n")),
                false => text.push_str(&format!("{name}={value}\n")),
            }
        }
    }
    text
}

/// In the order in which they were asked for: nothing else tells bare values apart.
fn in_order<'a>(values: &'a Values, names: &[String]) -> Vec<(&'a String, &'a Value)> {
    let mut order: Vec<_> = values.iter().collect();
    order.sort_by_key(|(name, _)| names.iter().position(|wanted| wanted == *name));
    order
}

/// The lines of a property. Each part of a timer has one, as systemctl has it.
fn words(name: &str, value: &Value, zone: &TimeZone) -> Vec<String> {
    let part = |name: &str, what: &str, next: String| {
        format!("{{ {}={} ; next_elapse={next} }}", escaped(name), escaped(what))
    };
    match value {
        Value::Spans(list) => {
            let of = |(name, span, next): &(String, u64, u64)| {
                part(name, &time::span(*span), if *next == 0 { "0".to_owned() } else { time::span(*next) })
            };
            list.iter().map(of).collect()
        }
        Value::Moments(list) => {
            let of = |(name, text, next): &(String, String, u64)| {
                let never = || "n/a".to_owned();
                part(name, text, if *next == 0 { never() } else { time::timestamp(*next, zone) })
            };
            list.iter().map(of).collect()
        }
        value => vec![word(name, value, zone)],
    }
}

fn word(name: &str, value: &Value, zone: &TimeZone) -> String {
    match value {
        Value::Text(text) => escaped(text).into_owned(),
        Value::List(list) => list.iter().map(|item| escaped(item)).collect::<Vec<_>>().join(" "),
        Value::Unsigned(microseconds) if is_moment(name) => time::timestamp(*microseconds, zone),
        Value::Unsigned(u64::MAX) if is_limit(name) => "infinity".to_owned(),
        Value::Unsigned(u64::MAX) => "[not set]".to_owned(),
        Value::Unsigned(mode) if name == "UMask" => format!("{mode:04o}"),
        Value::Unsigned(microseconds @ 1..) if is_span(name) => time::span(*microseconds),
        Value::Unsigned(number) => number.to_string(),
        Value::Signed(number) => number.to_string(),
        Value::Numbers(list) if name.starts_with("IO") => {
            let of = |(path, number): &(String, u64)| match *number {
                u64::MAX => format!("{} infinity", escaped(path)),
                number => format!("{} {number}", escaped(path)),
            };
            list.iter().map(of).collect::<Vec<_>>().join(" ")
        }
        Value::Numbers(list) => {
            let of = |(name, time): &(String, u64)| format!("{}={}", escaped(name), time::span(*time));
            list.iter().map(of).collect::<Vec<_>>().join(" ")
        }
        Value::Words(words) => {
            let of = |(name, word): (&String, &String)| format!("{}={}", escaped(name), escaped(word));
            words.iter().map(of).collect::<Vec<_>>().join(" ")
        }
        Value::Spans(_) | Value::Moments(_) => words(name, value, zone).join(" "),
        Value::Flag(true) => "yes".to_owned(),
        Value::Flag(false) => "no".to_owned(),
    }
}

/// Whether a number is microseconds since 1970.
fn is_moment(name: &str) -> bool {
    name.ends_with("Timestamp") || matches!(name, "NextElapseUSecRealtime" | "LastTriggerUSec")
}

/// Whether a number is a span of microseconds.
fn is_span(name: &str) -> bool {
    name.ends_with("USec") || name.ends_with("USecMonotonic")
}

/// Whether the largest number means that there is no limit, and not that nothing is known.
fn is_limit(name: &str) -> bool {
    ["Max", "High", "USec"].iter().any(|end| name.ends_with(end))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::args::{Cli, LookVerb, Verb};
    use crate::cli::of::Of;
    use clap::Parser;

    fn shown(line: &str) -> String {
        let Verb::Look(Of(LookVerb::Show(args))) = Cli::parse_from(line.split(' ')).verb else {
            panic!("not show")
        };
        let values = Values::from([
            ("ActiveEnterTimestamp".to_owned(), Value::Unsigned(1_795_237_685_000_000)),
            ("After".to_owned(), Value::List(vec!["db.container".to_owned(), "net.target".to_owned()])),
            ("Description".to_owned(), Value::Text("A\x1b[2Jweb".to_owned())),
            ("Labels".to_owned(), Value::Words([("org.example.team".to_owned(), "sea\n".to_owned())].into())),
            ("LastTriggerUSec".to_owned(), Value::Unsigned(1_795_237_685_000_000)),
            ("LaunchError".to_owned(), Value::Text(String::new())),
            ("MainPID".to_owned(), Value::Unsigned(12)),
            ("MemoryCurrent".to_owned(), Value::Unsigned(u64::MAX)),
            ("MemoryMax".to_owned(), Value::Unsigned(u64::MAX)),
            ("NeedDaemonReload".to_owned(), Value::Flag(false)),
            ("NextElapseUSecMonotonic".to_owned(), Value::Unsigned(7_562_000_000)),
            ("NextElapseUSecRealtime".to_owned(), Value::Unsigned(0)),
            ("RestartUSec".to_owned(), Value::Unsigned(100_000)),
            ("TimeoutStartUSec".to_owned(), Value::Unsigned(90_000_000)),
            ("TimeoutStopUSec".to_owned(), Value::Unsigned(u64::MAX)),
            (
                "TimersCalendar".to_owned(),
                Value::Moments(vec![
                    ("OnCalendar".to_owned(), "daily".to_owned(), 1_795_237_685_000_000),
                    ("OnCalendar".to_owned(), "2020-01-01".to_owned(), 0),
                ]),
            ),
            (
                "TimersMonotonic".to_owned(),
                Value::Spans(vec![("OnBootUSec".to_owned(), 900_000_000, 7_562_000_000)]),
            ),
            ("UMask".to_owned(), Value::Unsigned(0o27)),
            ("WatchdogUSec".to_owned(), Value::Unsigned(0)),
        ]);
        render(&selected(values, args.names()), &args, &TimeZone::UTC)
    }

    #[test]
    fn properties_read_as_systemctl_prints_them() {
        insta::assert_snapshot!(shown("sampanctl show web"), @r"
        ActiveEnterTimestamp=Sat 2026-11-21 05:08:05 UTC
        After=db.container net.target
        Description=A\x1b[2Jweb
        Labels=org.example.team=sea\n
        LastTriggerUSec=Sat 2026-11-21 05:08:05 UTC
        MainPID=12
        MemoryCurrent=[not set]
        MemoryMax=infinity
        NeedDaemonReload=no
        NextElapseUSecMonotonic=2h 6min 2s
        RestartUSec=100ms
        TimeoutStartUSec=1min 30s
        TimeoutStopUSec=infinity
        TimersCalendar={ OnCalendar=daily ; next_elapse=Sat 2026-11-21 05:08:05 UTC }
        TimersCalendar={ OnCalendar=2020-01-01 ; next_elapse=n/a }
        TimersMonotonic={ OnBootUSec=15min ; next_elapse=2h 6min 2s }
        UMask=0027
        WatchdogUSec=0
        ");
    }

    #[test]
    fn properties_are_selected() {
        assert_eq!(shown("sampanctl show -p MainPID,LaunchError web"), "MainPID=12\nLaunchError=\n");
        assert_eq!(shown("sampanctl show -p MainPID --value web"), "12\n");
    }
}
