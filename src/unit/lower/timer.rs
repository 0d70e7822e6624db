//! `[timer]` as meant.

use super::container::span;
use crate::unit::model::{StartOn, Timer, TimerBase};
use crate::unit::report::Report;
use crate::unit::schema::{ContainerFile, Several, TimerTable};
use crate::unit::value::{Text, TimeSpan};
use std::time::Duration;

/// systemd.timer(5) `AccuracySec=`.
const ACCURACY: Duration = Duration::from_secs(60);

/// `None` where there is nothing that the timer elapses on.
pub fn lower(file: &ContainerFile, report: &mut Report<'_>) -> Option<Timer> {
    let table = &file.timer;
    let timer = Timer {
        on_calendar: table.on_calendar.0.iter().map(|Text(calendar)| calendar.clone()).collect(),
        monotonic: monotonic(table, report),
        on_clock_change: table.on_clock_change.unwrap_or_default(),
        on_timezone_change: table.on_timezone_change.unwrap_or_default(),
        // systemd.timer(5): the finest is 1us, which is what 0 means.
        accuracy: span(&table.accuracy, Some(ACCURACY))
            .unwrap_or(Duration::MAX)
            .max(Duration::from_micros(1)),
        randomized_delay: span(&table.randomized_delay, Some(Duration::ZERO)).unwrap_or_default(),
        fixed_random_delay: table.fixed_random_delay.unwrap_or_default(),
        persistent: table.persistent.unwrap_or_default(),
        wake_system: table.wake_system.unwrap_or_default(),
        remain_after_elapse: table.remain_after_elapse.unwrap_or(true),
        defer_reactivation: table.defer_reactivation.unwrap_or_default(),
    };
    endless_delay(table, report);
    contradictions(file, &timer, report);
    timer.elapses().then_some(timer)
}

/// A unit with a timer waits for it, unless it says otherwise.
pub fn start(file: &ContainerFile, timer: Option<&Timer>) -> StartOn {
    let default = if timer.is_some() { StartOn::Timer } else { StartOn::Boot };
    file.activation.start.unwrap_or(default)
}

fn monotonic(table: &TimerTable, report: &mut Report<'_>) -> Vec<(TimerBase, Duration)> {
    let mut values = Vec::new();
    for (key, base, spans) in [
        ("on_active", TimerBase::Active, &table.on_active),
        ("on_boot", TimerBase::Boot, &table.on_boot),
        ("on_startup", TimerBase::Startup, &table.on_startup),
        ("on_unit_active", TimerBase::UnitActive, &table.on_unit_active),
        ("on_unit_inactive", TimerBase::UnitInactive, &table.on_unit_inactive),
    ] {
        values.extend(finite(spans, key, report).map(|span| (base, span)));
    }
    values
}

fn finite(spans: &Several<TimeSpan>, key: &str, report: &mut Report<'_>) -> impl Iterator<Item = Duration> {
    if spans.0.iter().any(|Text(span)| span.0.is_none()) {
        report.error(&["timer", key], format!("\"{key}\" would never come"), "leave it out");
    }
    spans.0.iter().filter_map(|Text(span)| span.0)
}

/// systemd.timer(5) has no delay without an end.
fn endless_delay(table: &TimerTable, report: &mut Report<'_>) {
    if matches!(table.randomized_delay, Some(Text(TimeSpan(None)))) {
        let message = "what is delayed for ever is never started";
        report.error(&["timer", "randomized_delay"], message, "write a time span, such as \"1h\"");
    }
}

fn contradictions(file: &ContainerFile, timer: &Timer, report: &mut Report<'_>) {
    let table = &file.timer;
    // What is faulty has been left out of the file, but is in the tree.
    let written = |key: &str| report.tree().find(&["timer", key]).is_some();
    let triggers =
        ["on_calendar", "on_active", "on_boot", "on_startup", "on_unit_active", "on_unit_inactive"];
    let has_trigger = timer.elapses() || triggers.iter().any(|key| written(key));
    let has_table = report.tree().find(&["timer"]).and_then(|entry| entry.node.table());
    let has_table = has_table.is_some_and(|table| !table.is_empty());
    if has_table && !has_trigger {
        let help = "add \"on_calendar\", such as \"daily\", or another of the keys that begin with \"on_\"";
        report.error(&["timer"], "the timer has nothing that it elapses on", help);
    }
    if file.activation.start == Some(StartOn::Timer) && !has_trigger {
        let message = "start = \"timer\" without a timer would never start the container";
        report.error(&["activation", "start"], message, "add [timer] with \"on_calendar\"");
    }
    let has_calendar =
        !timer.on_calendar.is_empty() || report.tree().find(&["timer", "on_calendar"]).is_some();
    for (key, set) in [("persistent", timer.persistent), ("defer_reactivation", timer.defer_reactivation)] {
        if set && has_trigger && !has_calendar {
            report.warning(&["timer", key], format!("\"{key}\" is about \"on_calendar\" alone"), "");
        }
    }
    if timer.fixed_random_delay && table.randomized_delay.is_none() {
        let help = "add \"randomized_delay\"";
        report.warning(
            &["timer", "fixed_random_delay"],
            "there is no random delay that could be fixed",
            help,
        );
    }
    let never_ends = file.container.remain_after_exit == Some(true);
    if never_ends && has_trigger {
        let message = "the unit stays active after its first run, and the timer starts it once";
        report.warning(&["container", "remain_after_exit"], message, "leave it out");
    }
}
