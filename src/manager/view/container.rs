//! What a container runs, from what image, and within which limits.

use super::Read::{Flag, Large, List, Numbers, Text, Unsigned, Words};
use super::{Entry, Look, told, untold, words};
use crate::manager::accounting::{UNKNOWN, scope_of};
use crate::manager::record::RunFacts;
use crate::manager::transfer::Transfer;
use crate::sys::process;
use crate::systemd::manager::DEFAULT_SLICE;
use crate::unit::model::{Container, Credential, ManagedOom, OfDevices, Resources};
use std::collections::BTreeMap;
use std::time::Duration;

pub(super) const TABLE: &[Entry] = &[
    untold("Type", Text(|look| word(look, |container| words::kind(container.kind)))),
    untold("RemainAfterExit", Flag(|look| look.container().is_some_and(|own| own.remain_after_exit))),
    untold("Restart", Text(|look| word(look, |container| words::restart(container.restart)))),
    untold("RestartUSec", Large(|look| time(look, |container| Some(container.restart_delay)))),
    untold("TimeoutStartUSec", Large(|look| time(look, |container| container.start_timeout))),
    untold("TimeoutStopUSec", Large(|look| time(look, |container| container.stop_timeout))),
    untold("Sockets", List(|look| look.container().map(words::sockets).unwrap_or_default())),
    untold("Accept", Flag(|look| look.managed.accepts())),
    told("NConnections", Unsigned(connections)),
    told("NAccepted", Unsigned(|look| look.manager.connection_counts(look.name).accepted)),
    told("NRefused", Unsigned(|look| look.manager.connection_counts(look.name).refused)),
    untold("StandardInput", Text(|look| word(look, |own| words::standard_input(own.standard_input)))),
    told("Scope", Text(|look| look.managed.main_pid().map(|_| look.name.scope()).unwrap_or_default())),
    untold("ControlGroup", Text(control_group)),
    untold("Slice", Text(slice)),
    untold("LoadCredential", List(|look| credentials(look, words::loaded))),
    untold("LoadCredentialEncrypted", List(|look| credentials(look, words::loaded_encrypted))),
    untold("SetCredential", List(|look| credentials(look, words::given))),
    untold("SetCredentialEncrypted", List(|look| credentials(look, words::given_encrypted))),
    untold("ImportCredential", List(|look| credentials(look, words::imported))),
    untold("Image", Text(|look| look.container().map(|own| words::image(&own.image)).unwrap_or_default())),
    untold("Pull", Text(|look| word(look, |container| words::pull(container.pull)))),
    told("ImageID", Text(|look| fact(look, |facts| &facts.image_id))),
    untold("Labels", Words(labels)),
    untold("RootFS", Text(|look| fact(look, |facts| &facts.rootfs))),
    untold("Share", Flag(|look| look.container().is_some_and(|own| own.share))),
    untold("RootSize", Large(|look| look.container().and_then(|own| own.root_size).unwrap_or(UNKNOWN))),
    untold("RootUsed", Large(|look| look.beside.root_used.unwrap_or(UNKNOWN))),
    untold("Command", List(|look| facts(look).map(|facts| facts.command.clone()).unwrap_or_default())),
    untold("UserNamespace", Text(|look| fact(look, |facts| &facts.user_namespace))),
    untold("Transfer", Unsigned(|look| transfer(look).map_or(0, |transfer| transfer.id))),
    untold("TransferImage", Text(|look| transfer(look).map(|one| one.image()).unwrap_or_default())),
    untold("TransferError", Text(|look| transfer(look).map(|one| one.trouble.clone()).unwrap_or_default())),
    untold("TransferBytesDone", Large(|look| transfer(look).map_or(0, |transfer| transfer.bytes().done))),
    untold("TransferBytesTotal", Large(|look| transfer(look).map_or(0, |transfer| transfer.bytes().total))),
    untold("MemoryMax", Large(|look| limit(look, |limits| limits.memory_max))),
    untold("MemoryHigh", Large(|look| limit(look, |limits| limits.memory_high))),
    untold("MemoryLow", Large(|look| protection(look, |limits| limits.memory_low))),
    untold("MemoryMin", Large(|look| protection(look, |limits| limits.memory_min))),
    untold("MemorySwapMax", Large(|look| limit(look, |limits| limits.memory_swap_max))),
    untold("PageCacheHigh", Large(|look| limit(look, |limits| limits.page_cache_high))),
    untold(
        "OOMPolicy",
        Text(|look| word(look, |container| words::oom_policy(container.resources.oom_policy))),
    ),
    untold("ManagedOOMSwap", Text(|look| managed(look, |oom| oom.swap.unwrap_or_default().word()))),
    untold(
        "ManagedOOMMemoryPressure",
        Text(|look| managed(look, |oom| oom.memory_pressure.unwrap_or_default().word())),
    ),
    untold("ManagedOOMMemoryPressureLimit", Unsigned(pressure_limit)),
    untold(
        "ManagedOOMPreference",
        Text(|look| managed(look, |oom| oom.preference.unwrap_or_default().word())),
    ),
    untold("TasksMax", Large(tasks_max)),
    untold("CPUQuotaPerSecUSec", Large(|look| limit(look, |limits| limits.cpu_quota_per_sec_usec))),
    untold("CPUWeight", Large(|look| limit(look, |limits| limits.cpu_weight))),
    untold("AllowedCPUs", Text(allowed_cpus)),
    untold("IOWeight", Large(|look| limit(look, |limits| limits.io_weight))),
    untold("IODeviceWeight", Numbers(|look| of_devices(look, |limits| &limits.io_device_weight))),
    untold("IOReadBandwidthMax", Numbers(|look| of_devices(look, |limits| &limits.io_read_bandwidth_max))),
    untold("IOWriteBandwidthMax", Numbers(|look| of_devices(look, |limits| &limits.io_write_bandwidth_max))),
    untold("IOReadIOPSMax", Numbers(|look| of_devices(look, |limits| &limits.io_read_iops_max))),
    untold("IOWriteIOPSMax", Numbers(|look| of_devices(look, |limits| &limits.io_write_iops_max))),
];

fn connections(look: &Look<'_>) -> u32 {
    u32::try_from(look.manager.connections_of(look.name, None)).unwrap_or(u32::MAX)
}

fn credentials(look: &Look<'_>, told: fn(&str, &Credential) -> Option<String>) -> Vec<String> {
    let credentials = look.container().into_iter().flat_map(|container| &container.credentials);
    credentials.filter_map(|(name, credential)| told(name, credential)).collect()
}

fn word(look: &Look<'_>, word: fn(&Container) -> &'static str) -> String {
    look.container().map_or("", word).to_owned()
}

fn managed(look: &Look<'_>, word: fn(&ManagedOom) -> &'static str) -> String {
    look.container().map_or("", |container| word(&container.resources.managed_oom)).to_owned()
}

fn pressure_limit(look: &Look<'_>) -> u32 {
    look.container().and_then(|own| own.resources.managed_oom.memory_pressure_limit).unwrap_or_default()
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

/// Nothing is spared unless that is asked for.
fn protection(look: &Look<'_>, pick: fn(&Resources) -> Option<u64>) -> u64 {
    look.container().and_then(|container| pick(&container.resources)).unwrap_or_default()
}

fn allowed_cpus(look: &Look<'_>) -> String {
    let numbers = look.container().map(|container| container.resources.allowed_cpus.as_slice());
    let numbers: Vec<String> = numbers.unwrap_or_default().iter().map(u32::to_string).collect();
    numbers.join(",")
}

fn of_devices(look: &Look<'_>, pick: fn(&Resources) -> &OfDevices) -> Vec<(String, u64)> {
    let numbers = look.container().map(|container| pick(&container.resources)).into_iter().flatten();
    numbers.map(|(path, number)| (path.display().to_string(), *number)).collect()
}

/// Where the unit says nothing systemd has a default, which only a container that runs shows.
fn tasks_max(look: &Look<'_>) -> u64 {
    let own = look.container().and_then(|container| container.resources.tasks_max);
    own.or_else(|| look.usage().tasks_max).unwrap_or(u64::MAX)
}

fn control_group(look: &Look<'_>) -> String {
    let group = look.managed.main_pid().and_then(|pid| process::control_group(pid).ok());
    group.map(|group| format!("/{}", scope_of(&group))).unwrap_or_default()
}

fn slice(look: &Look<'_>) -> String {
    if let Some(run) = look.managed.main_pid().and(facts(look)).filter(|facts| !facts.slice.is_empty()) {
        return run.slice.clone();
    }
    let own = look.container().map(|container| container.resources.slice.as_deref().unwrap_or(DEFAULT_SLICE));
    own.unwrap_or_default().to_owned()
}

fn facts<'a>(look: &Look<'a>) -> Option<&'a RunFacts> {
    look.manager.run_facts(look.name)
}

fn fact(look: &Look<'_>, pick: fn(&RunFacts) -> &String) -> String {
    facts(look).map(|facts| pick(facts).clone()).unwrap_or_default()
}

/// Those of a run have the image's among them.
fn labels(look: &Look<'_>) -> BTreeMap<String, String> {
    let of_run = facts(look).map(|facts| facts.labels.clone()).unwrap_or_default();
    let own = look.container().map(|container| container.labels.clone()).unwrap_or_default();
    of_run.into_iter().chain(own).collect()
}

/// The pull that a unit waits for. Its own signals tell how it goes on, not those of the unit.
fn transfer<'a>(look: &Look<'a>) -> Option<&'a Transfer> {
    look.manager.transfers().of(look.name)
}
