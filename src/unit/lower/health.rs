//! `[health]` as meant.

use super::commands::no_program;
use super::container::span;
use crate::unit::model::{Check, Endpoint, Health, HttpCheck, NetworkMode, ReadyOn, Startup};
use crate::unit::report::Report;
use crate::unit::schema::{ContainerFile, HealthTable, StartupTable};
use crate::unit::value::{Text, TimeSpan};
use std::time::Duration;

/// `None` where nobody asks for checks: without the table, `ready = "health"` takes those of the image.
pub fn lower(file: &ContainerFile, report: &mut Report<'_>) -> Option<Health> {
    let Some(table) = &file.health else {
        return (file.container.ready == Some(ReadyOn::Health)).then(Health::default);
    };
    contradictions(file, &Asked::of_table(table), report);
    refuse_zero(&["health", "start_interval"], &table.start_interval, report);
    Some(Health {
        check: check(&Asked::of_table(table)),
        interval: time(&table.interval),
        timeout: time(&table.timeout),
        retries: table.retries,
        start_period: time(&table.start_period),
        start_interval: time(&table.start_interval),
        startup: table.startup.as_ref().and_then(|startup| self::startup(file, startup, report)),
        on_unhealthy: table.on_unhealthy.unwrap_or_default(),
    })
}

/// What a table says of a check.
struct Asked<'a> {
    table: &'static [&'static str],
    command: &'a Option<Vec<String>>,
    http: &'a Option<Text<HttpCheck>>,
    tcp: &'a Option<Text<Endpoint>>,
    interval: &'a Option<Text<TimeSpan>>,
    timeout: &'a Option<Text<TimeSpan>>,
    retries: Option<u32>,
}

impl<'a> Asked<'a> {
    fn of_table(table: &'a HealthTable) -> Self {
        let HealthTable { command, http, tcp, interval, timeout, retries, .. } = table;
        Self { table: &["health"], command, http, tcp, interval, timeout, retries: *retries }
    }

    fn of_startup(table: &'a StartupTable) -> Self {
        let StartupTable { command, http, tcp, interval, timeout, retries, .. } = table;
        Self { table: &["health", "startup"], command, http, tcp, interval, timeout, retries: *retries }
    }

    fn way(&self, key: &'static str) -> Vec<&'static str> {
        [self.table, &[key]].concat()
    }
}

/// Times are short unless they are written: what follows waits for it.
fn startup(file: &ContainerFile, table: &StartupTable, report: &mut Report<'_>) -> Option<Startup> {
    let asked = Asked::of_startup(table);
    contradictions(file, &asked, report);
    if table.successes == Some(0) {
        report.error(&asked.way("successes"), "\"successes\" cannot be 0", "1: the first good one counts");
    }
    let check = check(&asked);
    if check.is_none() {
        let help = "write \"command\", \"http\" or \"tcp\", or leave the table out";
        report.error(asked.table, "nothing is checked", help);
    }
    Some(Startup {
        check: check?,
        interval: time(&table.interval).unwrap_or(Duration::from_secs(1)),
        timeout: time(&table.timeout).unwrap_or(Duration::from_secs(30)),
        retries: table.retries,
        successes: table.successes.unwrap_or(1),
    })
}

fn check(asked: &Asked<'_>) -> Option<Check> {
    let command = asked.command.clone().map(Check::Command);
    let http = || asked.http.clone().map(|Text(http)| Check::Http(http));
    let tcp = || asked.tcp.clone().map(|Text(tcp)| Check::Tcp(tcp));
    command.or_else(http).or_else(tcp)
}

/// Infinity is as long as can be.
fn time(written: &Option<Text<TimeSpan>>) -> Option<Duration> {
    written.as_ref().map(|_| span(written, None).unwrap_or(Duration::MAX))
}

/// Why a check cannot be executed. Other programs have a word before it that says how.
fn wrong(command: &[String]) -> Option<(String, &'static str)> {
    let help = match command.first().map(String::as_str) {
        Some("CMD") => "leave it out: what follows is the command",
        Some("CMD-SHELL") => "write [\"sh\", \"-c\", \"...\"] for a line of the shell",
        Some("NONE") => "leave [health] out",
        _ => return no_program(command),
    };
    Some((format!("\"{}\" is no program", command[0]), help))
}

/// Without a network nobody connects to anything in a container, but to sockets that are on the host.
fn unreachable(file: &ContainerFile, asked: &Asked<'_>, report: &mut Report<'_>) {
    let has_none = matches!(file.network.mode, Some(Text(NetworkMode::None))) && file.socket.is_empty();
    let written = [asked.http.is_some().then_some("http"), asked.tcp.is_some().then_some("tcp")];
    for key in written.into_iter().flatten().filter(|_| has_none) {
        report.error(
            &asked.way(key),
            "the container has no network in which it could be asked",
            "write mode = \"private\" in [network], which has loopback alone, or a \"command\"",
        );
    }
}

fn contradictions(file: &ContainerFile, asked: &Asked<'_>, report: &mut Report<'_>) {
    let checks =
        [("command", asked.command.is_some()), ("http", asked.http.is_some()), ("tcp", asked.tcp.is_some())];
    let mut written = checks.iter().filter(|(_, written)| *written).map(|(key, _)| *key);
    if let (Some(first), Some(second)) = (written.next(), written.next()) {
        let message = format!("there are a \"{first}\" and a \"{second}\", and one check alone");
        report.error(&asked.way(second), message, "leave one out");
    }
    if let Some((message, help)) = asked.command.as_deref().and_then(wrong) {
        report.error(&asked.way("command"), message, help);
    }
    if asked.retries == Some(0) {
        report.error(&asked.way("retries"), "\"retries\" cannot be 0", "1: the first failure counts");
    }
    for (key, written) in [("interval", asked.interval), ("timeout", asked.timeout)] {
        refuse_zero(&asked.way(key), written, report);
    }
    unreachable(file, asked, report);
}

fn refuse_zero(way: &[&str], written: &Option<Text<TimeSpan>>, report: &mut Report<'_>) {
    if time(written).is_some_and(|time| time.is_zero()) {
        let key = way.last().copied().unwrap_or_default();
        report.error(way, format!("\"{key}\" cannot be 0"), "write a time, such as \"30s\"");
    }
}
