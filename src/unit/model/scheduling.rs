//! How the kernel divides processors and disks among processes, and which machine these take theirs for.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Scheduling of processors: nice(2), sched(7).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CpuScheduling {
    /// From -20, which gets most, to 19.
    pub nice: i32,
    /// The policy.
    pub policy: CpuPolicy,
    /// Of a policy in real time 1 to 99, of all others 0.
    pub priority: u32,
    /// Whether children begin with the default, `SCHED_RESET_ON_FORK`.
    pub reset_on_fork: bool,
}

/// `resources.cpu_scheduling_policy`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum CpuPolicy {
    /// `SCHED_OTHER`.
    #[default]
    Other,
    /// `SCHED_BATCH`.
    Batch,
    /// `SCHED_IDLE`.
    Idle,
    /// `SCHED_FIFO`.
    Fifo,
    /// `SCHED_RR`.
    Rr,
}

impl CpuPolicy {
    /// Whether it is one in real time, which has priorities.
    pub fn is_realtime(self) -> bool {
        matches!(self, Self::Fifo | Self::Rr)
    }

    /// The word in a unit file.
    pub fn word(self) -> &'static str {
        match self {
            Self::Other => "other",
            Self::Batch => "batch",
            Self::Idle => "idle",
            Self::Fifo => "fifo",
            Self::Rr => "rr",
        }
    }

    /// linux/sched.h
    pub fn number(self) -> i32 {
        match self {
            Self::Other => 0,
            Self::Fifo => 1,
            Self::Rr => 2,
            Self::Batch => 3,
            Self::Idle => 5,
        }
    }
}

/// Scheduling of disks, ioprio_set(2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct IoScheduling {
    /// The class.
    pub class: IoClass,
    /// From 0, which comes first, to 7.
    pub priority: u32,
}

impl IoScheduling {
    /// Where only one of the two is said.
    pub const DEFAULT: Self = Self { class: IoClass::BestEffort, priority: 4 };
}

/// `resources.io_scheduling_class`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum IoClass {
    /// As the nice value says.
    None,
    /// Before all others.
    Realtime,
    /// By the priority.
    BestEffort,
    /// When nobody else needs the disk.
    Idle,
}

impl IoClass {
    /// The word in a unit file.
    pub fn word(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Realtime => "realtime",
            Self::BestEffort => "best-effort",
            Self::Idle => "idle",
        }
    }

    /// linux/ioprio.h
    pub fn number(self) -> u32 {
        match self {
            Self::None => 0,
            Self::Realtime => 1,
            Self::BestEffort => 2,
            Self::Idle => 3,
        }
    }

    /// Whether it has priorities.
    pub fn has_priorities(self) -> bool {
        matches!(self, Self::Realtime | Self::BestEffort)
    }
}

/// What uname(2) says of the machine, personality(2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Personality {
    /// `PER_LINUX`: what it is.
    Native,
    /// `PER_LINUX32`: the architecture of 32 bits that it can be as well.
    Narrow,
}

impl Personality {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Native, Self::Narrow];

    /// The architecture, systemd.exec(5) `Personality=`.
    pub fn word(self) -> &'static str {
        match (self, cfg!(target_arch = "x86_64")) {
            (Self::Native, true) => "x86-64",
            (Self::Narrow, true) => "x86",
            (Self::Native, false) => "arm64",
            (Self::Narrow, false) => "arm",
        }
    }
}
