//! What a container uses; the largest number where the host does not count it or nothing runs.

use super::Read::{Large, Unsigned};
use super::{Entry, Look, told, untold};
use crate::manager::accounting::{self, Usage};

pub(super) const TABLE: &[Entry] = &[
    untold("MemoryCurrent", Large(|look| of(look, |usage| usage.memory.total))),
    untold("MemoryPeak", Large(peak)),
    untold("MemorySwapCurrent", Large(|look| of(look, |usage| usage.memory.swap))),
    untold("MemoryAnonymous", Large(|look| of(look, |usage| usage.memory.anonymous))),
    untold("MemoryPageCache", Large(|look| of(look, |usage| usage.memory.page_cache))),
    untold("MemoryMapped", Large(|look| of(look, |usage| usage.memory.mapped))),
    untold("MemoryShared", Large(|look| of(look, |usage| usage.memory.shared))),
    untold("MemoryKernel", Large(|look| of(look, |usage| usage.memory.kernel))),
    untold("TasksCurrent", Large(|look| of(look, |usage| usage.tasks))),
    untold("CPUUsageNSec", Large(|look| of(look, |usage| usage.cpu_nanoseconds))),
    untold("IOReadBytes", Large(|look| of(look, |usage| usage.io.read_bytes))),
    untold("IOWriteBytes", Large(|look| of(look, |usage| usage.io.write_bytes))),
    untold("IOReadOperations", Large(|look| of(look, |usage| usage.io.read_operations))),
    untold("IOWriteOperations", Large(|look| of(look, |usage| usage.io.write_operations))),
    untold("IPIngressBytes", Large(|look| look.beside.traffic.ingress)),
    untold("IPEgressBytes", Large(|look| look.beside.traffic.egress)),
    told("OOMKills", Unsigned(oom_kills)),
];

/// What has ended had a peak, too.
fn peak(look: &Look<'_>) -> u64 {
    let ended = look.manager.run_facts(look.name).and_then(|facts| facts.memory_peak);
    look.usage().memory.peak.or(ended).unwrap_or(accounting::UNKNOWN)
}

fn oom_kills(look: &Look<'_>) -> u32 {
    let facts = look.manager.run_facts(look.name);
    facts.map_or(0, |facts| u32::try_from(facts.oom_kills).unwrap_or(u32::MAX))
}

fn of(look: &Look<'_>, pick: fn(&Usage) -> Option<u64>) -> u64 {
    pick(look.usage()).unwrap_or(accounting::UNKNOWN)
}
