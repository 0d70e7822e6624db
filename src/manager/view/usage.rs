//! What a container uses; the largest number where the host does not count it or nothing runs.

use super::Read::{Large, Unsigned};
use super::{Entry, Look, untold};
use crate::manager::accounting::{self, Usage};

pub(super) const TABLE: &[Entry] = &[
    untold("MemoryCurrent", Large(|look| of(look, |usage| usage.memory.total))),
    untold("MemoryPeak", Large(|look| of(look, |usage| usage.memory.peak))),
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
    untold("OOMKills", Unsigned(|look| look.usage().oom_kills)),
];

fn of(look: &Look<'_>, pick: fn(&Usage) -> Option<u64>) -> u64 {
    pick(look.usage()).unwrap_or(accounting::UNKNOWN)
}
