//! What the processes of a container begin with, in the words and numbers of systemd.exec(5).

use super::Read::{Flag, List, Signed, Text, Unsigned};
use super::{Entry, Look, untold};
use crate::unit::model::{CpuScheduling, IoScheduling, Personality, ProcessSettings};

pub(super) const TABLE: &[Entry] = &[
    untold("SupplementaryGroups", List(|look| of(look).supplementary_groups)),
    untold("UMask", Unsigned(|look| of(look).umask())),
    untold("OOMScoreAdjust", Signed(|look| of(look).oom_score_adjust.unwrap_or_default())),
    untold("Nice", Signed(|look| scheduling(look).nice)),
    untold("CPUSchedulingPolicy", Signed(|look| scheduling(look).policy.number())),
    untold("CPUSchedulingPriority", Unsigned(|look| scheduling(look).priority)),
    untold("CPUSchedulingResetOnFork", Flag(|look| scheduling(look).reset_on_fork)),
    untold("IOSchedulingClass", Unsigned(|look| disks(look).class.number())),
    untold("IOSchedulingPriority", Unsigned(|look| disks(look).priority)),
    untold("Personality", Text(|look| of(look).personality.map_or("", Personality::word).to_owned())),
];

fn of(look: &Look<'_>) -> ProcessSettings {
    look.container().map(|container| (*container.process).clone()).unwrap_or_default()
}

fn scheduling(look: &Look<'_>) -> CpuScheduling {
    look.container().map(|container| container.process.cpu_scheduling).unwrap_or_default()
}

/// As systemd says it where nothing is set: what the kernel makes of a nice value of 0.
fn disks(look: &Look<'_>) -> IoScheduling {
    let own = look.container().and_then(|container| container.process.io_scheduling);
    own.unwrap_or(IoScheduling::DEFAULT)
}
