//! Where a unit is in its life, and how it got there.

use super::Read::{Large, Numbers, Signed, Text, Unsigned};
use super::{Entry, Look, told, untold};
use crate::manager::machine::{Job, Run, Stamp};
use crate::sys::process;
use std::time::Duration;

pub(super) const TABLE: &[Entry] = &[
    told("ActiveState", Text(|look| look.managed.active_state().as_str().to_owned())),
    told("SubState", Text(|look| look.managed.phase.as_str().to_owned())),
    told("Result", Text(|look| look.managed.result.as_str().to_owned())),
    untold("FreezerState", Text(|look| look.usage().freezer.to_owned())),
    told("Job", Unsigned(|look| job(look).map_or(0, |job| job.id.0))),
    told("JobType", Text(|look| job(look).map_or("", |job| job.kind.as_str()).to_owned())),
    told("NRestarts", Unsigned(|look| look.managed.restarts)),
    told("Retired", Text(retired)),
    told("StatusText", Text(|look| look.managed.status_text.clone())),
    told("StatusErrno", Signed(errno)),
    told("LaunchError", Text(launch_error)),
    told("InvocationID", Text(|look| run(look).map(|run| run.invocation.clone()).unwrap_or_default())),
    told("MainPID", Unsigned(main_pid)),
    told("ExecMainPID", Unsigned(|look| run(look).map_or(0, |run| run.pid))),
    told("ExecMainCode", Signed(|look| exit(look).0)),
    told("ExecMainStatus", Signed(|look| exit(look).1)),
    told("ExecMainStartTimestamp", Large(|look| realtime(run(look).map(|run| run.started)))),
    told("ExecMainExitTimestamp", Large(|look| realtime(run(look).and_then(|run| run.ended)))),
    untold("StartPhases", Numbers(start_phases)),
    told("StateChangeTimestamp", Large(|look| realtime(Some(look.managed.stamps.changed)))),
    told("StateChangeTimestampMonotonic", Large(|look| monotonic(look.managed.stamps.changed))),
    told("InactiveExitTimestamp", Large(|look| realtime(Some(look.managed.stamps.inactive_exit)))),
    told("InactiveExitTimestampMonotonic", Large(|look| monotonic(look.managed.stamps.inactive_exit))),
    told("ActiveEnterTimestamp", Large(|look| realtime(Some(look.managed.stamps.active_enter)))),
    told("ActiveEnterTimestampMonotonic", Large(|look| monotonic(look.managed.stamps.active_enter))),
    told("ActiveExitTimestamp", Large(|look| realtime(Some(look.managed.stamps.active_exit)))),
    told("ActiveExitTimestampMonotonic", Large(|look| monotonic(look.managed.stamps.active_exit))),
    told("InactiveEnterTimestamp", Large(|look| realtime(Some(look.managed.stamps.inactive_enter)))),
    told("InactiveEnterTimestampMonotonic", Large(|look| monotonic(look.managed.stamps.inactive_enter))),
];

/// What its container of before is called, while that serves for the next one, or has not ended yet.
fn retired(look: &Look<'_>) -> String {
    let retired = look.name.retired().filter(|name| look.manager.machine().unit(name).is_some());
    retired.map(|name| name.to_string()).unwrap_or_default()
}

/// The process that the payload names, as long as it is one of the container's, or the first one.
fn main_pid(look: &Look<'_>) -> u32 {
    let Some(first) = look.managed.main_pid() else { return 0 };
    let named = run(look).and_then(|run| run.main_pid);
    named.filter(|pid| process::is_in_group_of(*pid, first)).unwrap_or(first)
}

/// How long each phase of the last start took, in microseconds, in their order. One that has not ended is not there.
fn start_phases(look: &Look<'_>) -> Vec<(String, u64)> {
    let Some(run) = look.managed.run.as_ref() else { return Vec::new() };
    let moments = look.manager.run_facts(look.name).map(|facts| facts.moments).unwrap_or_default();
    let phases = moments.phases(run.began.boottime, look.managed.stamps.active_enter.boottime);
    let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
    phases.into_iter().map(|(name, time)| (name.to_owned(), micros(time))).collect()
}

fn job<'a>(look: &Look<'a>) -> Option<&'a Job> {
    look.managed.job.and_then(|id| look.manager.machine().jobs().get(&id))
}

fn run<'a>(look: &Look<'a>) -> Option<&'a Run> {
    look.managed.run.as_deref()
}

fn launch_error(look: &Look<'_>) -> String {
    look.managed.failure.as_ref().map(|failure| failure.message.clone()).unwrap_or_default()
}

/// Of what went wrong, or what the payload tells by `ERRNO=`, sd_notify(3).
fn errno(look: &Look<'_>) -> i32 {
    look.managed.failure.as_ref().map_or(look.managed.status_errno, |failure| failure.errno)
}

fn exit(look: &Look<'_>) -> (i32, i32) {
    run(look).and_then(|run| run.exit).map_or((0, 0), |exit| exit.code_and_status())
}

/// Microseconds since 1970; 0: never.
pub(super) fn realtime(stamp: Option<Stamp>) -> u64 {
    stamp.map_or(0, |stamp| u64::try_from(stamp.realtime.as_micros()).unwrap_or(u64::MAX))
}

/// Microseconds since boot; 0: never.
fn monotonic(stamp: Stamp) -> u64 {
    u64::try_from(stamp.boottime.as_micros()).unwrap_or(u64::MAX)
}
