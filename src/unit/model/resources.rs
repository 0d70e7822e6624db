//! How much of the host a container may use.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// `[resources]`: mostly properties of the scope, systemd.resource-control(5). `None`: systemd's default.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resources {
    /// Bytes, or `u64::MAX` for infinity.
    pub memory_max: Option<u64>,
    /// Bytes, or `u64::MAX` for infinity.
    pub memory_high: Option<u64>,
    /// Bytes that are reclaimed last.
    #[serde(default)]
    pub memory_low: Option<u64>,
    /// Bytes that are not reclaimed.
    #[serde(default)]
    pub memory_min: Option<u64>,
    /// Bytes, or `u64::MAX` for infinity.
    pub memory_swap_max: Option<u64>,
    /// Bytes of page cache above which it is reclaimed; `u64::MAX`: as much as there is memory.
    #[serde(default)]
    pub page_cache_high: Option<u64>,
    /// What follows when the kernel has killed for want of memory.
    #[serde(default)]
    pub oom_policy: OomPolicy,
    /// What systemd-oomd does.
    #[serde(default)]
    pub managed_oom: ManagedOom,
    /// Microseconds of CPU time for each second: 50% is 500,000.
    pub cpu_quota_per_sec_usec: Option<u64>,
    /// 1 to 10,000.
    pub cpu_weight: Option<u64>,
    /// 1 to 10,000.
    pub io_weight: Option<u64>,
    /// 1 to 10,000, of single devices.
    #[serde(default)]
    pub io_device_weight: OfDevices,
    /// Bytes in a second, or `u64::MAX` for infinity.
    #[serde(default)]
    pub io_read_bandwidth_max: OfDevices,
    /// Bytes in a second, or `u64::MAX` for infinity.
    #[serde(default)]
    pub io_write_bandwidth_max: OfDevices,
    /// Reads in a second, or `u64::MAX` for infinity.
    #[serde(default)]
    pub io_read_iops_max: OfDevices,
    /// Writes in a second, or `u64::MAX` for infinity.
    #[serde(default)]
    pub io_write_iops_max: OfDevices,
    /// Whether systemd counts what the sockets of its processes receive and send.
    #[serde(default)]
    pub ip_accounting: bool,
    /// Processes and threads, or `u64::MAX` for infinity.
    pub tasks_max: Option<u64>,
    /// Numbers of the processors that it can use; none: all.
    #[serde(default)]
    pub allowed_cpus: Vec<u32>,
    /// The slice, or `sampan.slice`.
    pub slice: Option<String>,
}

impl Resources {
    /// The limits of single devices, by their keys.
    pub fn of_devices(&self) -> [(&'static str, &OfDevices); 5] {
        [
            ("io_device_weight", &self.io_device_weight),
            ("io_read_bandwidth_max", &self.io_read_bandwidth_max),
            ("io_write_bandwidth_max", &self.io_write_bandwidth_max),
            ("io_read_iops_max", &self.io_read_iops_max),
            ("io_write_iops_max", &self.io_write_iops_max),
        ]
    }
}

/// Numbers of single devices, by the path of the device or of anything that is on it.
pub type OfDevices = BTreeMap<PathBuf, u64>;

impl Resources {
    /// These where they say something, and otherwise those of the host.
    #[must_use]
    pub fn or(self, host: &Self) -> Self {
        Self {
            memory_max: self.memory_max.or(host.memory_max),
            memory_high: self.memory_high.or(host.memory_high),
            memory_swap_max: self.memory_swap_max.or(host.memory_swap_max),
            page_cache_high: self.page_cache_high.or(host.page_cache_high),
            cpu_quota_per_sec_usec: self.cpu_quota_per_sec_usec.or(host.cpu_quota_per_sec_usec),
            cpu_weight: self.cpu_weight.or(host.cpu_weight),
            io_weight: self.io_weight.or(host.io_weight),
            tasks_max: self.tasks_max.or(host.tasks_max),
            ..self
        }
    }
}

/// What systemd-oomd.service(8) does about a container. `None`: systemd's default.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManagedOom {
    /// Where the host runs out of swap.
    pub swap: Option<OomManagement>,
    /// Where its processes wait for memory.
    pub memory_pressure: Option<OomManagement>,
    /// The part of `u32::MAX` of all time above which that is too long; 0: as oomd.conf(5) has it.
    pub memory_pressure_limit: Option<u32>,
    /// Whether it is spared.
    pub preference: Option<OomPreference>,
}

impl ManagedOom {
    /// Whether nothing follows from the limit: systemd passes one over where nobody looks at what it limits.
    pub fn has_idle_limit(&self) -> bool {
        let is_limited = self.memory_pressure_limit.is_some_and(|limit| limit > 0);
        is_limited && self.memory_pressure != Some(OomManagement::Kill)
    }
}

/// `resources.managed_oom_swap` and `resources.managed_oom_memory_pressure`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum OomManagement {
    /// What its slices say.
    #[default]
    Auto,
    /// A control group in it is killed.
    Kill,
}

impl OomManagement {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Auto, Self::Kill];

    /// systemd's word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Kill => "kill",
        }
    }
}

/// `resources.managed_oom_preference`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum OomPreference {
    /// It is as good as any other.
    #[default]
    None,
    /// It is killed only where there is no other.
    Avoid,
    /// It is never killed.
    Omit,
}

impl OomPreference {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::None, Self::Avoid, Self::Omit];

    /// systemd's word.
    pub fn word(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Avoid => "avoid",
            Self::Omit => "omit",
        }
    }
}

/// `resources.oom_policy`: what becomes of a container when the kernel has killed one of its processes for want of
/// memory.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum OomPolicy {
    /// Nothing, unless it was the first process.
    Continue,
    /// It is stopped.
    #[default]
    Stop,
    /// The kernel kills all its processes with that one.
    Kill,
}
