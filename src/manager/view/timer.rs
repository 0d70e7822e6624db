//! When a unit is started by itself: the properties of systemd's timers.

use super::Read::{Flag, Large, Moments, Parts, Text};
use super::{Entry, Look, told, untold};
use crate::unit::model::{Timer, TimerBase};
use crate::unit::value::Calendar;
use std::time::Duration;

pub(super) const TABLE: &[Entry] = &[
    told("TimerState", Text(|look| look.managed.schedule.stage.as_str().to_owned())),
    untold("TimersCalendar", Moments(calendar)),
    untold("TimersMonotonic", Parts(monotonic)),
    told("NextElapseUSecRealtime", Large(|look| micros(look.managed.schedule.next_realtime))),
    told("NextElapseUSecMonotonic", Large(|look| micros(look.managed.schedule.next_boottime))),
    told(
        "LastTriggerUSec",
        Large(|look| micros(look.managed.schedule.last_trigger.map(|last| last.realtime))),
    ),
    told(
        "LastTriggerUSecMonotonic",
        Large(|look| micros(look.managed.schedule.last_trigger.map(|last| last.boottime))),
    ),
    untold("AccuracyUSec", Large(|look| micros(timer(look).map(|timer| timer.accuracy)))),
    untold("RandomizedDelayUSec", Large(|look| micros(timer(look).map(|timer| timer.randomized_delay)))),
    untold("FixedRandomDelay", Flag(|look| timer(look).is_some_and(|timer| timer.fixed_random_delay))),
    untold("DeferReactivation", Flag(|look| timer(look).is_some_and(|timer| timer.defer_reactivation))),
    untold("Persistent", Flag(|look| timer(look).is_some_and(|timer| timer.persistent))),
    untold("WakeSystem", Flag(|look| timer(look).is_some_and(|timer| timer.wake_system))),
    untold("RemainAfterElapse", Flag(|look| timer(look).is_some_and(|timer| timer.remain_after_elapse))),
    untold("OnClockChange", Flag(|look| timer(look).is_some_and(|timer| timer.on_clock_change))),
    untold("OnTimezoneChange", Flag(|look| timer(look).is_some_and(|timer| timer.on_timezone_change))),
];

fn timer<'a>(look: &Look<'a>) -> Option<&'a Timer> {
    look.managed.timer()
}

fn micros(time: Option<Duration>) -> u64 {
    time.map_or(0, |time| u64::try_from(time.as_micros()).unwrap_or(u64::MAX))
}

fn calendar(look: &Look<'_>) -> Vec<(String, String, u64)> {
    let expressions = timer(look).map(|timer| timer.on_calendar.as_slice()).unwrap_or_default();
    let elapses = look.manager.machine().elapses(look.name).calendar;
    let moment = |(index, expression): (usize, &Calendar)| {
        let next = micros(elapses.get(index).copied().flatten());
        ("OnCalendar".to_owned(), expression.as_str().to_owned(), next)
    };
    expressions.iter().enumerate().map(moment).collect()
}

fn monotonic(look: &Look<'_>) -> Vec<(String, u64, u64)> {
    let spans = timer(look).map(|timer| timer.monotonic.as_slice()).unwrap_or_default();
    let elapses = look.manager.machine().elapses(look.name).monotonic;
    let moment = |(index, (base, span)): (usize, &(TimerBase, Duration))| {
        let next = micros(elapses.get(index).copied().flatten());
        (base.property().to_owned(), micros(Some(*span)), next)
    };
    spans.iter().enumerate().map(moment).collect()
}
