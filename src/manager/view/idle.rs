//! Whether somebody uses a container, and when it sleeps.

use super::Read::{Large, List, Text};
use super::{Entry, Look, untold};
use crate::manager::driver::now;
use crate::manager::machine::Phase;
use crate::unit::model::{Idle, Sleep};
use std::time::Duration;

pub(super) const TABLE: &[Entry] = &[
    untold("IdleTimeoutUSec", Large(|look| span(idle(look).map(|idle| idle.timeout)))),
    untold("IdleAction", Text(action)),
    untold("IdleStopAfterUSec", Large(|look| span(idle(look).and_then(Idle::stop_after)))),
    untold(
        "IdleCPUFloorPerSecUSec",
        Large(|look| idle(look).and_then(|idle| idle.cpu_floor_per_sec_usec).unwrap_or(u64::MAX)),
    ),
    untold("InUseBy", List(|look| look.drowsiness().uses.iter().map(ToString::to_string).collect())),
    untold("IdleSinceTimestamp", Large(idle_since)),
    untold("NextSleepTimestamp", Large(|look| realtime(look.drowsiness().sleeps))),
    untold(
        "NextIdleStopTimestamp",
        Large(|look| realtime(look.managed.stops_when_idle().unwrap_or_default())),
    ),
];

fn idle(look: &Look<'_>) -> Option<Idle> {
    look.managed.idle()
}

fn action(look: &Look<'_>) -> String {
    let word = idle(look).map(|idle| match idle.sleep {
        Sleep::Stop => "stop",
        Sleep::Freeze { .. } => "freeze",
    });
    word.unwrap_or_default().to_owned()
}

/// One that stands still was idle before: that is when it came to stand.
fn idle_since(look: &Look<'_>) -> u64 {
    match look.managed.phase {
        Phase::Frozen => micros(look.managed.stamps.changed.realtime),
        _ => realtime(look.drowsiness().idle_since),
    }
}

/// Microseconds; the largest number: infinity.
fn span(time: Option<Duration>) -> u64 {
    time.map_or(u64::MAX, micros)
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// Microseconds since 1970 of a moment on CLOCK_BOOTTIME; 0: never.
fn realtime(boottime: Duration) -> u64 {
    if boottime.is_zero() {
        return 0;
    }
    let now = now();
    micros(now.realtime.saturating_add(boottime).saturating_sub(now.boottime))
}
