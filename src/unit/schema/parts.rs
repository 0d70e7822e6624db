//! What surrounds a container: resources, security, network and the tables that later issues fill with life.

use crate::unit::model::{
    CpuPolicy, IoClass, NetworkMode, OomManagement, OomPolicy, OomPreference, ProcSubset, ProtectProc,
    UserNamespace,
};
use crate::unit::value::{
    AbsolutePath, Address, Bytes, CapabilityName, ContainerPort, CpuSet, CredentialPattern, CredentialSource,
    DeviceRule, EncryptedCredential, HostName, HostPort, InterfaceAddress, InterfaceName, IoPriority,
    KernelSetting, Nice, OomScore, Percentage, PressureLimit, ProcessLimit, ProfileName, Rate,
    RealtimePriority, SelinuxLabel, SliceName, TaskLimit, Text, Weight, Word,
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
    /// Memory up to this is reclaimed only when there is no other.
    pub memory_low: Option<Text<Bytes>>,
    /// Memory up to this is never reclaimed.
    pub memory_min: Option<Text<Bytes>>,
    /// The processors that the container can use, such as "0-3,8".
    pub allowed_cpus: Option<Text<CpuSet>>,
    /// The processors that its processes begin on, which they can change.
    pub cpu_affinity: Option<Text<CpuSet>>,
    /// How readily the kernel kills its processes for lack of memory, -1000 to 1000.
    pub oom_score_adjust: Option<Text<OomScore>>,
    /// The nice value of its processes, -20 to 19.
    pub nice: Option<Text<Nice>>,
    /// How its processes are scheduled: "other", "batch", "idle", "fifo" or "rr".
    pub cpu_scheduling_policy: Option<CpuPolicy>,
    /// The priority in real time, 1 to 99, with "fifo" and "rr".
    pub cpu_scheduling_priority: Option<Text<RealtimePriority>>,
    /// Whether what its processes start has the default policy.
    pub cpu_scheduling_reset_on_fork: Option<bool>,
    /// When its processes get to the disk: "none", "realtime", "best-effort" or "idle".
    pub io_scheduling_class: Option<IoClass>,
    /// The priority in that class, 0 to 7.
    pub io_scheduling_priority: Option<Text<IoPriority>>,
    /// Limits of each process, as in setrlimit(2).
    pub limits: LimitsTable,
    /// The most CPU time, as a share of one CPU.
    pub cpu_quota: Option<Text<Percentage>>,
    /// The share of CPU time against others, 1 to 10000.
    pub cpu_weight: Option<Text<Weight>>,
    /// The share of block input and output against others, 1 to 10000.
    pub io_weight: Option<Text<Weight>>,
    /// Shares of single devices, by the path of a device or of anything on it, 1 to 10000.
    pub io_device_weight: BTreeMap<Text<AbsolutePath>, Text<Weight>>,
    /// The most bytes read in a second, by the path of a device or of anything on it.
    pub io_read_bandwidth_max: BTreeMap<Text<AbsolutePath>, Text<Rate>>,
    /// The most bytes written in a second, by the path of a device or of anything on it.
    pub io_write_bandwidth_max: BTreeMap<Text<AbsolutePath>, Text<Rate>>,
    /// The most reads in a second, by the path of a device or of anything on it.
    pub io_read_iops_max: BTreeMap<Text<AbsolutePath>, Text<Rate>>,
    /// The most writes in a second, by the path of a device or of anything on it.
    pub io_write_iops_max: BTreeMap<Text<AbsolutePath>, Text<Rate>>,
    /// Whether the bytes that its sockets receive and send are counted.
    pub ip_accounting: Option<bool>,
    /// The most processes and threads.
    pub tasks_max: Option<Text<TaskLimit>>,
    /// The slice of systemd's that the scope is in.
    pub slice: Option<Text<SliceName>>,
    /// What becomes of the container when the kernel kills one of its processes for lack of memory.
    pub oom_policy: Option<OomPolicy>,
    /// Whether systemd-oomd kills in the container when the host runs out of swap: "auto" or "kill".
    pub managed_oom_swap: Option<OomManagement>,
    /// Whether systemd-oomd kills in the container when its processes wait too long for memory: "auto" or "kill".
    pub managed_oom_memory_pressure: Option<OomManagement>,
    /// The share of time for which its processes wait for memory above which systemd-oomd kills.
    pub managed_oom_memory_pressure_limit: Option<Text<PressureLimit>>,
    /// Whether systemd-oomd spares the container when it kills: "none", "avoid" or "omit".
    pub managed_oom_preference: Option<OomPreference>,
    /// The page cache charged to the container is kept below this.
    pub page_cache_high: Option<Text<Bytes>>,
    /// Whether equal pages of memory are merged.
    pub memory_ksm: Option<bool>,
}

/// `resources.limits`.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct LimitsTable {
    /// The address space in bytes.
    #[serde(rename = "as")]
    pub address_space: Option<Text<ProcessLimit>>,
    /// The size of a core file in bytes.
    pub core: Option<Text<ProcessLimit>>,
    /// CPU time in seconds.
    pub cpu: Option<Text<ProcessLimit>>,
    /// The data segment in bytes.
    pub data: Option<Text<ProcessLimit>>,
    /// The size of a file in bytes.
    pub fsize: Option<Text<ProcessLimit>>,
    /// The number of locks of files.
    pub locks: Option<Text<ProcessLimit>>,
    /// Memory that can be locked in bytes.
    pub memlock: Option<Text<ProcessLimit>>,
    /// Bytes in message queues.
    pub msgqueue: Option<Text<ProcessLimit>>,
    /// How far the nice value can be raised.
    pub nice: Option<Text<ProcessLimit>>,
    /// The number of open files.
    pub nofile: Option<Text<ProcessLimit>>,
    /// The number of processes of the user.
    pub nproc: Option<Text<ProcessLimit>>,
    /// The resident set in bytes.
    pub rss: Option<Text<ProcessLimit>>,
    /// The priority in real time.
    pub rtprio: Option<Text<ProcessLimit>>,
    /// CPU time in real time without a pause in microseconds.
    pub rttime: Option<Text<ProcessLimit>>,
    /// The number of queued signals.
    pub sigpending: Option<Text<ProcessLimit>>,
    /// The stack in bytes.
    pub stack: Option<Text<ProcessLimit>>,
}

/// `[security]`.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SecurityTable {
    /// The ids of the container on the host: "auto" for an own range that stays the same, "host", or "FIRST:LENGTH".
    pub user_namespace: Option<Text<UserNamespace>>,
    /// The capabilities that the container has in place of the default set.
    pub capabilities: Option<Vec<Text<CapabilityName>>>,
    /// Capabilities that the container has beside those.
    pub add_capabilities: Vec<Text<CapabilityName>>,
    /// Capabilities that are taken away from those.
    pub drop_capabilities: Vec<Text<CapabilityName>>,
    /// Whether set-user-id programs and the like give no privileges, as in prctl(2).
    pub no_new_privileges: Option<bool>,
    /// What a process sees in /proc of those of other users: "default", "noaccess", "invisible" or "ptraceable".
    pub protect_proc: Option<ProtectProc>,
    /// What there is in /proc: "all" or "pid".
    pub proc_subset: Option<ProcSubset>,
    /// The system calls that the container may make.
    pub system_call_filter: Vec<String>,
    /// A file of the host in the format of Docker that says instead which system calls the container may make.
    pub seccomp_profile: Option<Text<AbsolutePath>>,
    /// Devices of the host that the container can use.
    pub devices: Vec<Text<DeviceRule>>,
    /// Paths in the container that cannot be written.
    pub read_only_paths: Vec<Text<AbsolutePath>>,
    /// Paths in the container that cannot be seen.
    pub mask_paths: Vec<Text<AbsolutePath>>,
    /// Paths that every container has hidden or cannot write, and this one can.
    pub unmask_paths: Vec<Text<AbsolutePath>>,
    /// Settings of the kernel in the container's namespaces, as in sysctl(8).
    pub sysctl: BTreeMap<String, Text<KernelSetting>>,
    /// The AppArmor profile of the payload.
    pub apparmor_profile: Option<Text<ProfileName>>,
    /// The SELinux label of the payload.
    pub selinux_label: Option<Text<SelinuxLabel>>,
}

/// `[network]`.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct NetworkTable {
    /// Which network the container sees: "private" with loopback only, "host", or "none".
    pub mode: Option<Text<NetworkMode>>,
    /// Ports of the host by number, and the ports of the container that they lead to.
    pub publish: BTreeMap<Text<HostPort>, Text<ContainerPort>>,
    /// The container's host name.
    pub hostname: Option<Text<HostName>>,
    /// Addresses of name servers.
    pub dns: Vec<Text<Address>>,
    /// Domains that short names are looked up in.
    pub dns_search: Vec<Text<HostName>>,
    /// Options of resolv.conf(5).
    pub dns_options: Vec<Text<Word>>,
    /// Names that the container knows beside those of DNS, and their addresses.
    pub extra_hosts: BTreeMap<Text<HostName>, Text<Address>>,
    /// Addresses of the container in its network, with the length of the prefix.
    pub addresses: Vec<Text<InterfaceAddress>>,
    /// Other names of the container in its network.
    pub aliases: Vec<Text<HostName>>,
    /// Interfaces of the host that are the container's while it runs.
    pub interfaces: Vec<Text<InterfaceName>>,
    /// Interfaces of the host that the container gets a MACVLAN of.
    pub macvlan: Vec<Text<InterfaceName>>,
    /// Interfaces of the host that the container gets an IPVLAN of.
    pub ipvlan: Vec<Text<InterfaceName>>,
}

/// `[credentials]`, one entry.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Credential {
    /// A file, a directory or a socket of the host that has the secret, or the name of a credential of the host.
    pub path: Option<Text<CredentialSource>>,
    /// The secret itself, or what it is when it is not found.
    pub value: Option<String>,
    /// As path, for what systemd-creds(1) has encrypted.
    pub encrypted: Option<Text<CredentialSource>>,
    /// As value, for what systemd-creds(1) has encrypted.
    pub encrypted_value: Option<Text<EncryptedCredential>>,
    /// Takes all credentials of the host whose names match.
    pub import: Option<Text<CredentialPattern>>,
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
