//! `[health]` as meant.

use super::commands::no_program;
use super::container::span;
use crate::unit::model::{Check, Health, NetworkMode, ReadyOn};
use crate::unit::report::Report;
use crate::unit::schema::{ContainerFile, HealthTable};
use crate::unit::value::{Text, TimeSpan};
use std::time::Duration;

/// `None` where nobody asks for checks: without the table, `ready = "health"` takes those of the image.
pub fn lower(file: &ContainerFile, report: &mut Report<'_>) -> Option<Health> {
    let Some(table) = &file.health else {
        return (file.container.ready == Some(ReadyOn::Health)).then(Health::default);
    };
    contradictions(table, report);
    unreachable(file, table, report);
    Some(Health {
        check: check(table),
        interval: time(&table.interval),
        timeout: time(&table.timeout),
        retries: table.retries,
        start_period: time(&table.start_period),
        start_interval: time(&table.start_interval),
        on_unhealthy: table.on_unhealthy.unwrap_or_default(),
    })
}

fn check(table: &HealthTable) -> Option<Check> {
    let command = table.command.clone().map(Check::Command);
    let http = || table.http.clone().map(|Text(http)| Check::Http(http));
    let tcp = || table.tcp.clone().map(|Text(tcp)| Check::Tcp(tcp));
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
fn unreachable(file: &ContainerFile, table: &HealthTable, report: &mut Report<'_>) {
    let has_none = matches!(file.network.mode, Some(Text(NetworkMode::None))) && file.socket.is_empty();
    let written = [table.http.is_some().then_some("http"), table.tcp.is_some().then_some("tcp")];
    for key in written.into_iter().flatten().filter(|_| has_none) {
        report.error(
            &["health", key],
            "the container has no network in which it could be asked",
            "write mode = \"private\" in [network], which has loopback alone, or a \"command\"",
        );
    }
}

fn contradictions(table: &HealthTable, report: &mut Report<'_>) {
    let checks =
        [("command", table.command.is_some()), ("http", table.http.is_some()), ("tcp", table.tcp.is_some())];
    let mut written = checks.iter().filter(|(_, written)| *written).map(|(key, _)| *key);
    if let (Some(first), Some(second)) = (written.next(), written.next()) {
        let message = format!("there are a \"{first}\" and a \"{second}\", and one check alone");
        report.error(&["health", second], message, "leave one out");
    }
    if let Some((message, help)) = table.command.as_deref().and_then(wrong) {
        report.error(&["health", "command"], message, help);
    }
    if table.retries == Some(0) {
        report.error(&["health", "retries"], "\"retries\" cannot be 0", "1: the first failure counts");
    }
    let zero = |written: &Option<Text<TimeSpan>>| time(written).is_some_and(|time| time.is_zero());
    for (key, written) in [
        ("interval", &table.interval),
        ("timeout", &table.timeout),
        ("start_interval", &table.start_interval),
    ] {
        if zero(written) {
            report.error(&["health", key], format!("\"{key}\" cannot be 0"), "write a time, such as \"30s\"");
        }
    }
}
