//! What surrounds a container: resources, security, network and the tables that later issues fill with life.

use crate::unit::address::Dependency;
use crate::unit::model::{NetworkMode, UserNamespace};
use crate::unit::value::{
    AbsolutePath, Bytes, CapabilityName, HostName, Percentage, SliceName, TaskLimit, Text, TimeSpan, Weight,
};
use schemars::JsonSchema;
use serde::Deserialize;
use std::collections::BTreeMap;

/// `[resources]`.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ResourcesTable {
    /// The most memory that the container can have.
    pub memory_max: Option<Text<Bytes>>,
    /// Above this, memory is reclaimed hard.
    pub memory_high: Option<Text<Bytes>>,
    /// The most swap that the container can have.
    pub memory_swap_max: Option<Text<Bytes>>,
    /// The most CPU time, as a share of one CPU.
    pub cpu_quota: Option<Text<Percentage>>,
    /// The share of CPU time against others, 1 to 10000.
    pub cpu_weight: Option<Text<Weight>>,
    /// The share of block input and output against others, 1 to 10000.
    pub io_weight: Option<Text<Weight>>,
    /// The most processes and threads.
    pub tasks_max: Option<Text<TaskLimit>>,
    /// The slice of systemd's that the scope is in.
    pub slice: Option<Text<SliceName>>,
    /// What becomes of the container when the kernel kills one of its processes for lack of memory.
    pub oom_policy: Option<OomPolicy>,
    /// The page cache charged to the container is kept below this.
    pub page_cache_high: Option<Text<Bytes>>,
    /// Whether equal pages of memory are merged.
    pub memory_ksm: Option<bool>,
}

/// `resources.oom_policy`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum OomPolicy {
    /// Nothing.
    Continue,
    /// A clean stop.
    Stop,
    /// Every process is killed.
    Kill,
}

/// `[security]`.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SecurityTable {
    /// The ids of the container on the host: "auto" for an own range that stays the same, "host", or "FIRST:LENGTH".
    pub user_namespace: Option<Text<UserNamespace>>,
    /// The capabilities that the container has in place of the default set.
    pub capabilities: Option<Vec<Text<CapabilityName>>>,
    /// Whether set-user-id programs and the like give no privileges, as in prctl(2).
    pub no_new_privileges: Option<bool>,
    /// The system calls that the container may make.
    pub system_call_filter: Vec<String>,
    /// Devices of the host that the container can use.
    pub devices: Vec<String>,
    /// Paths in the container that cannot be written.
    pub read_only_paths: Vec<Text<AbsolutePath>>,
    /// Paths in the container that cannot be seen.
    pub mask_paths: Vec<Text<AbsolutePath>>,
    /// The AppArmor profile of the payload.
    pub apparmor_profile: Option<String>,
    /// The SELinux label of the payload.
    pub selinux_label: Option<String>,
}

/// `[network]`.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct NetworkTable {
    /// Which network the container sees: "private" with loopback only, "host", or "none".
    pub mode: Option<Text<NetworkMode>>,
    /// Ports of the host by number, and the ports of the container that they lead to.
    pub publish: BTreeMap<String, String>,
    /// The container's host name.
    pub hostname: Option<Text<HostName>>,
    /// Addresses of name servers.
    pub dns: Vec<String>,
}

/// `[credentials]`, one entry.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Credential {
    /// A file of the host that holds the secret.
    pub path: Option<Text<AbsolutePath>>,
    /// The secret itself.
    pub value: Option<String>,
    /// A file that systemd-creds(1) encrypted.
    pub encrypted: Option<Text<AbsolutePath>>,
}

/// `[timer]`.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TimerTable {
    /// Calendar times, as in systemd.time(7).
    pub on_calendar: Option<String>,
    /// The time after boot.
    pub on_boot: Option<Text<TimeSpan>>,
    /// The time after the unit was last active.
    pub on_unit_active: Option<Text<TimeSpan>>,
    /// The time after the unit was last inactive.
    pub on_unit_inactive: Option<Text<TimeSpan>>,
    /// Whether a time that was missed is made up for.
    pub persistent: Option<bool>,
    /// The longest random delay.
    pub randomized_delay: Option<Text<TimeSpan>>,
    /// How exactly the time is kept.
    pub accuracy: Option<Text<TimeSpan>>,
    /// The unit that is started, where it is not this one.
    pub unit: Option<Text<Dependency>>,
}

/// `[update]`.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct UpdateTable {
    /// Where newer images come from: "none", "registry" or "local".
    pub policy: Option<UpdatePolicy>,
}

/// `update.policy`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum UpdatePolicy {
    /// Nowhere.
    None,
    /// The registry.
    Registry,
    /// The store.
    Local,
}

/// `activation.idle_action`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum IdleAction {
    /// It is stopped.
    Stop,
    /// It is frozen and its memory reclaimed.
    Freeze,
}
