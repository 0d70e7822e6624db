//! What the processes of a container begin with.

use super::scheduling::{CpuScheduling, IoScheduling, Personality};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Settings that processes inherit. A program that runs in the container later has the same.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ProcessSettings {
    /// More groups of the user, by name or number.
    pub supplementary_groups: Vec<String>,
    /// Bits that new files do not have, umask(2); `None`: 022.
    pub umask: Option<u32>,
    /// Limits that differ from the default.
    pub limits: BTreeMap<LimitKind, Limit>,
    /// Numbers of processors, sched_setaffinity(2); none: all.
    pub cpu_affinity: Vec<u32>,
    /// How readily the kernel kills them for lack of memory, proc_pid_oom_score_adj(5).
    pub oom_score_adjust: Option<i32>,
    /// How they are scheduled.
    pub cpu_scheduling: CpuScheduling,
    /// How their input and output is; `None`: as the nice value says.
    pub io_scheduling: Option<IoScheduling>,
    /// Which machine they take theirs for; `None`: as the manager.
    pub personality: Option<Personality>,
    /// Whether equal pages of memory are merged, `PR_SET_MEMORY_MERGE` of prctl(2).
    pub memory_merge: bool,
}

impl ProcessSettings {
    /// The mask where the unit does not say.
    const UMASK: u32 = 0o022;

    /// The mask that holds.
    pub fn umask(&self) -> u32 {
        self.umask.unwrap_or(Self::UMASK)
    }
}

/// A limit of setrlimit(2); `u64::MAX` is infinity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limit {
    /// What holds.
    pub soft: u64,
    /// How far the process may raise that.
    pub hard: u64,
}

/// What setrlimit(2) limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LimitKind {
    /// `RLIMIT_AS`, bytes.
    #[serde(rename = "as")]
    AddressSpace,
    /// `RLIMIT_CORE`, bytes.
    Core,
    /// `RLIMIT_CPU`, seconds.
    Cpu,
    /// `RLIMIT_DATA`, bytes.
    Data,
    /// `RLIMIT_FSIZE`, bytes.
    Fsize,
    /// `RLIMIT_LOCKS`, a number.
    Locks,
    /// `RLIMIT_MEMLOCK`, bytes.
    Memlock,
    /// `RLIMIT_MSGQUEUE`, bytes.
    Msgqueue,
    /// `RLIMIT_NICE`, 20 minus the nice value.
    Nice,
    /// `RLIMIT_NOFILE`, a number.
    Nofile,
    /// `RLIMIT_NPROC`, a number.
    Nproc,
    /// `RLIMIT_RSS`, bytes.
    Rss,
    /// `RLIMIT_RTPRIO`, a priority.
    Rtprio,
    /// `RLIMIT_RTTIME`, microseconds.
    Rttime,
    /// `RLIMIT_SIGPENDING`, a number.
    Sigpending,
    /// `RLIMIT_STACK`, bytes.
    Stack,
}
