//! What a container runs, from what image, and within which limits.

use super::Read::{Large, List, Text, Unsigned};
use super::{Entry, Look, told, untold, words};
use crate::manager::record::RunFacts;
use crate::manager::transfer::Transfer;
use crate::sys::process;
use crate::systemd::manager::DEFAULT_SLICE;
use crate::unit::model::{Container, Resources};
use std::time::Duration;

pub(super) const TABLE: &[Entry] = &[
    untold("Type", Text(|look| word(look, |container| words::kind(container.kind)))),
    untold("Restart", Text(|look| word(look, |container| words::restart(container.restart)))),
    untold("RestartUSec", Large(|look| time(look, |container| Some(container.restart_delay)))),
    untold("TimeoutStartUSec", Large(|look| time(look, |container| container.start_timeout))),
    untold("TimeoutStopUSec", Large(|look| time(look, |container| container.stop_timeout))),
    untold("Sockets", List(|look| look.container().map(words::sockets).unwrap_or_default())),
    told("Scope", Text(|look| look.managed.main_pid().map(|_| look.name.scope()).unwrap_or_default())),
    untold("ControlGroup", Text(control_group)),
    untold("Slice", Text(slice)),
    untold("Image", Text(|look| look.container().map(|own| words::image(&own.image)).unwrap_or_default())),
    untold("Pull", Text(|look| word(look, |container| words::pull(container.pull)))),
    told("ImageID", Text(|look| fact(look, |facts| &facts.image_id))),
    untold("RootFS", Text(|look| fact(look, |facts| &facts.rootfs))),
    untold("Command", List(|look| facts(look).map(|facts| facts.command.clone()).unwrap_or_default())),
    untold("UserNamespace", Text(|look| fact(look, |facts| &facts.user_namespace))),
    untold("Transfer", Unsigned(|look| transfer(look).map_or(0, |transfer| transfer.id))),
    untold("TransferImage", Text(|look| transfer(look).map(|one| one.image()).unwrap_or_default())),
    untold("TransferError", Text(|look| transfer(look).map(|one| one.trouble.clone()).unwrap_or_default())),
    untold("TransferBytesDone", Large(|look| transfer(look).map_or(0, |transfer| transfer.bytes().done))),
    untold("TransferBytesTotal", Large(|look| transfer(look).map_or(0, |transfer| transfer.bytes().total))),
    untold("MemoryMax", Large(|look| limit(look, |limits| limits.memory_max))),
    untold("MemoryHigh", Large(|look| limit(look, |limits| limits.memory_high))),
    untold("MemorySwapMax", Large(|look| limit(look, |limits| limits.memory_swap_max))),
    untold("TasksMax", Large(|look| limit(look, |limits| limits.tasks_max))),
    untold("CPUQuotaPerSecUSec", Large(|look| limit(look, |limits| limits.cpu_quota_per_sec_usec))),
    untold("CPUWeight", Large(|look| limit(look, |limits| limits.cpu_weight))),
    untold("IOWeight", Large(|look| limit(look, |limits| limits.io_weight))),
];

fn word(look: &Look<'_>, word: fn(&Container) -> &'static str) -> String {
    look.container().map_or("", word).to_owned()
}

/// Microseconds; the largest number: infinity.
fn time(look: &Look<'_>, pick: fn(&Container) -> Option<Duration>) -> u64 {
    let time = look.container().and_then(pick);
    time.map_or(u64::MAX, |time| u64::try_from(time.as_micros()).unwrap_or(u64::MAX))
}

/// The largest number: none is set.
fn limit(look: &Look<'_>, pick: fn(&Resources) -> Option<u64>) -> u64 {
    look.container().and_then(|container| pick(&container.resources)).unwrap_or(u64::MAX)
}

fn control_group(look: &Look<'_>) -> String {
    look.managed.main_pid().and_then(|pid| process::control_group(pid).ok()).unwrap_or_default()
}

fn slice(look: &Look<'_>) -> String {
    let own = look.container().map(|container| container.resources.slice.as_deref().unwrap_or(DEFAULT_SLICE));
    own.unwrap_or_default().to_owned()
}

fn facts<'a>(look: &Look<'a>) -> Option<&'a RunFacts> {
    look.manager.run_facts(look.name)
}

fn fact(look: &Look<'_>, pick: fn(&RunFacts) -> &String) -> String {
    facts(look).map(|facts| pick(facts).clone()).unwrap_or_default()
}

/// The pull that a unit waits for. Its own signals tell how it goes on, not those of the unit.
fn transfer<'a>(look: &Look<'a>) -> Option<&'a Transfer> {
    look.manager.transfers().of(look.name)
}
