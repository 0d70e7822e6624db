//! What a unit means, after its file has been read and checked. A value of these types is always valid.
//! The enumerations that are plain words have the words of the unit file.

mod commands;
mod condition;
mod connection;
mod credential;
mod device;
mod health;
mod idle;
mod life;
mod mount;
mod proc;
mod process;
mod relation;
mod resources;
mod scheduling;
mod socket;
mod timer;

pub use commands::{Commands, ExecCommand, OnFailure, Place, Stage};
pub use condition::{
    Comparison, Condition, Firmware, Otherwise, PathTest, Role, SecurityModule, Test, VersionTest,
    Virtualization,
};
pub use connection::{Accepted, ConnectionLimits, Peer, Source, StandardInput};
pub use credential::{
    CREDENTIALS_DIRECTORY, Credential, CredentialForm, CredentialPlace, GivenCredential, LoadedCredential,
    Secret,
};
pub use device::{Device, DeviceSource};
pub use health::{Check, Endpoint, Health, HttpCheck, OnUnhealthy, Startup};
pub use idle::{Idle, Sleep};
pub use life::{ExitStatus, ExitStatuses, ReadyOn, Reload, RestartPolicy, ServiceType, StartLimit, StartOn};
pub use mount::{
    Bind, BindDepth, BindOwners, BindPropagation, Mount, MountAccess, MountSource, Restriction, Seed, Tmpfs,
};
pub use proc::{ProcSubset, ProtectProc};
pub use process::{Limit, LimitKind, ProcessSettings};
pub use relation::{CollectMode, Dependencies, Handling};
pub use resources::{ManagedOom, OfDevices, OomManagement, OomPolicy, OomPreference, Resources};
pub use scheduling::{CpuPolicy, CpuScheduling, IoClass, IoScheduling, Personality};
pub use socket::{
    KeepAlive, Listen, Pass, ProxyProtocol, Socket, SocketNode, SocketOptions, UnixName, UnixType,
    VsockAddress,
};
pub use timer::{Timer, TimerBase};

use super::few::Few;
use super::name::UnitName;
use super::sparse::{Sparse, standard};
use super::system_calls::SystemCallFilter;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

/// One loaded unit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unit {
    /// Its name, with the instance where it has one.
    pub name: UnitName,
    /// The file that defines it; `None` for a target that exists by name only.
    pub fragment: Option<PathBuf>,
    /// Drop-ins in the order in which they were merged.
    pub drop_ins: Vec<PathBuf>,
    /// `unit.description`, or the name.
    pub description: String,
    /// `unit.documentation`.
    pub documentation: Vec<String>,
    /// Requirements and ordering.
    pub dependencies: Sparse<Dependencies>,
    /// What must hold for a start, in the order of checking.
    pub conditions: Vec<Condition>,
    /// Who may start and stop it.
    pub handling: Handling,
    /// What the type of the unit adds.
    pub body: Body,
    /// What `enable` does.
    pub install: Sparse<Install>,
}

/// What the type of a unit adds to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Body {
    /// A container.
    Container(Box<Container>),
    /// A target.
    Target,
}

impl Body {
    /// The container, where it is one.
    pub fn container(&self) -> Option<&Container> {
        match self {
            Self::Container(container) => Some(container),
            Self::Target => None,
        }
    }
}

/// The `[install]` table.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Install {
    /// Units whose `.wants/` get a link.
    pub wanted_by: Vec<UnitName>,
    /// Units whose `.requires/` get a link.
    pub required_by: Vec<UnitName>,
    /// Units whose `.upholds/` get a link.
    pub upheld_by: Vec<UnitName>,
    /// Other names of this unit.
    pub alias: Vec<UnitName>,
    /// Units that are enabled and disabled with this one.
    pub also: Vec<UnitName>,
    /// The instance that `enable` of a bare template takes.
    pub default_instance: Option<String>,
}

/// `[container]` and the tables that go with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Container {
    /// Where the root file system comes from.
    pub image: ImageSource,
    /// Replaces the image's entrypoint.
    pub entrypoint: Option<Vec<String>>,
    /// Replaces the image's command.
    pub command: Option<Vec<String>>,
    /// Commands that follow it in a oneshot, each after the success of the one before.
    #[serde(default)]
    pub then: Vec<Vec<String>>,
    /// Replaces the image's user: `name`, `uid`, `name:group`, `uid:gid`.
    pub user: Option<String>,
    /// Replaces the image's working directory; absolute.
    pub working_directory: Option<PathBuf>,
    /// Replaces the image's stop signal; a signal number.
    pub stop_signal: Option<i32>,
    /// When a start pulls the image.
    pub pull: PullPolicy,
    /// Added to the image's environment.
    pub environment: BTreeMap<String, String>,
    /// Files of `NAME=value` lines, read at each start, before `environment`.
    pub environment_file: Vec<EnvironmentFile>,
    /// Names of the manager's variables that it gets, before `environment_file`.
    #[serde(default)]
    pub pass_environment: Vec<String>,
    /// Names of the image's variables that it does not get.
    #[serde(default)]
    pub unset_environment: Vec<String>,
    /// What its first process is.
    #[serde(default)]
    pub init: Init,
    /// Added to the image's, for who looks at the container.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Instead of one that is derived from the host's, machine-id(5).
    #[serde(default)]
    pub machine_id: Option<Uuid>,
    /// What its processes begin with.
    #[serde(default)]
    pub process: Sparse<ProcessSettings>,
    /// Where its input comes from.
    #[serde(default)]
    pub standard_input: StandardInput,
    /// When the container counts as started.
    pub kind: ServiceType,
    /// What becomes of changes to the root file system.
    pub root: RootMode,
    /// Whether its files are inodes of the store, which other containers have, too.
    #[serde(default = "shared")]
    pub share: bool,
    /// How large the changes to it can be; `None`: as large as the disk is.
    #[serde(default)]
    pub root_size: Option<u64>,
    /// What the units ordered after this one wait for.
    pub ready: ReadyOn,
    /// When the container is started again by itself.
    pub restart: RestartPolicy,
    /// Pause before a restart.
    pub restart_delay: Duration,
    /// In how many steps the pause grows to `restart_delay_max`; 0: it does not.
    pub restart_steps: u32,
    /// The longest pause before a restart. `None`: infinity, so that nothing grows.
    pub restart_delay_max: Option<Duration>,
    /// Which ends count as success beside those that always do.
    pub success_exit_status: ExitStatuses,
    /// Ends without a restart.
    pub restart_prevent_exit_status: ExitStatuses,
    /// Ends that always lead to a restart.
    pub restart_force_exit_status: ExitStatuses,
    /// How often it may be started.
    pub start_limit: StartLimit,
    /// How often its sockets may start it.
    #[serde(default = "StartLimit::of_triggers")]
    pub trigger_limit: StartLimit,
    /// `None`: infinity.
    pub start_timeout: Option<Duration>,
    /// Between the stop signal and SIGKILL. `None`: infinity.
    pub stop_timeout: Option<Duration>,
    /// How long it may run. `None`: infinity.
    pub runtime_max: Option<Duration>,
    /// The longest random time on top of `runtime_max`.
    pub runtime_randomized_extra: Duration,
    /// How often it must say that it is alive. `None`: never.
    pub watchdog: Option<Duration>,
    /// The signal when it does not.
    pub watchdog_signal: i32,
    /// Commands around its payload.
    #[serde(default)]
    pub commands: Sparse<Commands>,
    /// How it is asked to read its configuration again.
    pub reload: Option<Reload>,
    /// Whether a oneshot stays active after its success.
    pub remain_after_exit: bool,
    /// The check that it is well.
    pub health: Option<Box<Health>>,
    /// Sockets by name; the name goes to `LISTEN_FDNAMES`.
    pub sockets: Few<Arc<Socket>>,
    /// The connection that it was made for; `None`: it is for nobody in particular.
    #[serde(default)]
    pub accepted: Option<Box<Accepted>>,
    /// Whether a start runs the container, or only opens its sockets or arms its timer.
    pub start: StartOn,
    /// When it sleeps.
    #[serde(default)]
    pub idle: Option<Idle>,
    /// When it is started by itself on time.
    #[serde(default)]
    pub timer: Option<Box<Timer>>,
    /// Limits, set on the scope.
    pub resources: Sparse<Resources>,
    /// Isolation.
    pub security: Sparse<Security>,
    /// Which network the container sees.
    pub network: NetworkMode,
    /// `network.hostname`, or the unit's prefix.
    pub hostname: String,
    /// Mounts by their absolute target in the container.
    pub mounts: BTreeMap<PathBuf, Mount>,
    /// Credentials by name; an import has a name only to be overridden by.
    #[serde(default)]
    pub credentials: BTreeMap<String, Credential>,
}

standard!(Dependencies, Install, ProcessSettings, Commands, Resources, Security, SocketNode, SocketOptions);

impl Container {
    /// Whether its first process is an init of Sampan's own.
    pub fn has_init(&self) -> bool {
        self.init == Init::Minimal || !self.then.is_empty()
    }

    /// Whether it only listens, and each connection gets a container of its own.
    pub fn accepts(&self) -> bool {
        self.sockets.values().any(|socket| socket.pass == Pass::Accept)
    }

    /// Whether the payload gets a socket for sd_notify(3).
    pub fn notifies(&self) -> bool {
        self.kind == ServiceType::Notify || self.watchdog.is_some()
    }
}

/// `container.image`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ImageSource {
    /// A name in the store: `docker.io/library/wordpress:6`, `localhost/web`.
    Reference(String),
    /// `store:sha256:…`: an image id.
    Id(String),
    /// `dir:/srv/rootfs`: a plain directory, owned by the host's ids.
    Directory(PathBuf),
}

/// One entry of `container.environment_file`; `-` before the path makes it optional.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnvironmentFile {
    /// Absolute path on the host.
    pub path: PathBuf,
    /// What happens when it does not exist.
    pub missing: IfMissing,
}

/// What happens when a file that a unit names does not exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IfMissing {
    /// The start fails.
    Fail,
    /// It is passed over.
    Ignore,
}

/// `container.init`: what the first process of a container is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Init {
    /// The payload; one that boots a system is known by its command.
    #[default]
    Detected,
    /// The payload, whatever it is.
    Payload,
    /// A minimal init, and the payload its child.
    Minimal,
    /// The payload, which boots a system.
    System,
}

/// `container.pull`: what a start does about the image before it launches it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum PullPolicy {
    /// Pulls it when the store does not have it.
    #[default]
    Missing,
    /// Asks the registry, and fails when that gives nothing.
    Always,
    /// Fails when the store does not have it.
    Never,
    /// Asks the registry, and takes what the store has when that gives nothing.
    Newer,
}

/// `container.root`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RootMode {
    /// Changes are gone when the container stops.
    #[default]
    Ephemeral,
    /// Changes are kept in the store.
    Persistent,
    /// No changes.
    ReadOnly,
}

/// `[security]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Security {
    /// `security.user_namespace`.
    pub user_namespace: UserNamespace,
    /// Capability names (`CAP_CHOWN`) that replace the default set; `None`: the default set.
    pub capabilities: Option<BTreeSet<String>>,
    /// Names of capabilities that come on top of those.
    #[serde(default)]
    pub add_capabilities: BTreeSet<String>,
    /// Names of capabilities that are taken away from those.
    #[serde(default)]
    pub drop_capabilities: BTreeSet<String>,
    /// prctl(2) `PR_SET_NO_NEW_PRIVS`.
    pub no_new_privileges: bool,
    /// What processes see of each other.
    #[serde(default)]
    pub protect_proc: ProtectProc,
    /// What there is in `/proc`.
    #[serde(default)]
    pub proc_subset: ProcSubset,
    /// What differs from the default filter of system calls.
    pub system_calls: SystemCallFilter,
    /// A file of the host that says instead which system calls can be made.
    #[serde(default)]
    pub seccomp_profile: Option<PathBuf>,
    /// Devices of the host that the container can use.
    #[serde(default)]
    pub devices: Vec<Device>,
    /// Absolute paths in the container that cannot be written.
    pub read_only_paths: BTreeSet<PathBuf>,
    /// Absolute paths in the container that cannot be seen.
    pub mask_paths: BTreeSet<PathBuf>,
    /// Absolute paths that are hidden or protected in every container, and not in this one.
    #[serde(default)]
    pub unmask_paths: BTreeSet<PathBuf>,
    /// Files below `/proc/sys` and what is written there.
    #[serde(default)]
    pub sysctl: BTreeMap<String, String>,
    /// The AppArmor profile of what is executed; `None`: the manager's own.
    #[serde(default)]
    pub apparmor_profile: Option<SecurityLabel>,
    /// The SELinux label of what is executed; `None`: as the host's policy has it.
    #[serde(default)]
    pub selinux_label: Option<SecurityLabel>,
}

impl Default for Security {
    fn default() -> Self {
        Self {
            user_namespace: UserNamespace::default(),
            capabilities: None,
            add_capabilities: BTreeSet::new(),
            drop_capabilities: BTreeSet::new(),
            no_new_privileges: true,
            protect_proc: ProtectProc::default(),
            proc_subset: ProcSubset::default(),
            system_calls: SystemCallFilter::default(),
            seccomp_profile: None,
            devices: Vec::new(),
            read_only_paths: BTreeSet::new(),
            mask_paths: BTreeSet::new(),
            unmask_paths: BTreeSet::new(),
            sysctl: BTreeMap::new(),
            apparmor_profile: None,
            selinux_label: None,
        }
    }
}

/// What a security module of the kernel calls a process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecurityLabel {
    /// A profile or a label.
    pub name: String,
    /// What happens where the host has no such module, or the module no such name.
    pub missing: IfMissing,
}

/// What a unit of a manager before did not say.
fn shared() -> bool {
    true
}

/// `security.user_namespace`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum UserNamespace {
    /// An own range of 65,536 ids, the same at each start.
    #[default]
    Auto,
    /// None: ids inside are ids of the host.
    Host,
    /// The first id of the range.
    Range {
        /// First id of the host.
        base: u32,
        /// How many.
        length: u32,
    },
}

/// `network.mode`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum NetworkMode {
    /// An own network namespace with loopback up.
    #[default]
    Private,
    /// The host's.
    Host,
    /// An own network namespace with nothing up.
    None,
}
