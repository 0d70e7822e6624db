//! What runs and how it is reached: `[container]`, `[activation]` and `[mount.*]` as written.

use crate::unit::model::{
    ExitStatus, ImageSource, Init, Personality, PullPolicy, ReadyOn, RestartPolicy, RootMode, ServiceType,
    StandardInput, StartOn,
};
use crate::unit::value::{
    AbsolutePath, Account, Bytes, MachineId, Mode, Percentage, SignalNumber, Text, TimeSpan, TimeZone,
    VariableName,
};
use schemars::JsonSchema;
use serde::Deserialize;
use std::collections::BTreeMap;

use super::commands::{CommandLines, CommandList};
use super::parts::IdleAction;

/// `[container]`.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ContainerTable {
    /// The image: a name, "store:sha256:DIGEST" for an image id, or "dir:/PATH" for a directory of the host.
    pub image: Option<Text<ImageSource>>,
    /// When a start pulls the image: "missing", "always", "newer" or "never".
    pub pull: Option<PullPolicy>,
    /// Replaces the image's entrypoint.
    pub entrypoint: Option<Vec<String>>,
    /// Replaces the image's command.
    pub command: Option<CommandLines>,
    /// Replaces the image's user: a name or number, and a group after ":".
    pub user: Option<Text<Account>>,
    /// Replaces the image's working directory.
    pub working_directory: Option<Text<AbsolutePath>>,
    /// Replaces the image's stop signal.
    pub stop_signal: Option<Text<SignalNumber>>,
    /// Variables added to the image's environment.
    pub environment: BTreeMap<String, String>,
    /// Files of lines NAME=value, read at each start, before environment; "-" before a path makes it optional.
    pub environment_file: Vec<String>,
    /// Variables of the manager that the container gets as well.
    pub pass_environment: Vec<Text<VariableName>>,
    /// Variables of the image that the container does not get.
    pub unset_environment: Vec<Text<VariableName>>,
    /// More groups of the user, by name or number.
    pub supplementary_groups: Vec<Text<Account>>,
    /// Where the container's input comes from: "null" for nothing, "socket" for its socket, which is its output as well.
    pub standard_input: Option<StandardInput>,
    /// The access mode bits that new files do not have.
    pub umask: Option<Text<Mode>>,
    /// The architecture that programs take the machine for, such as "x86".
    pub personality: Option<Text<Personality>>,
    /// The time zone, such as "Europe/Berlin"; "local" is that of the host.
    pub timezone: Option<Text<TimeZone>>,
    /// The machine id that the container sees, machine-id(5).
    pub machine_id: Option<Text<MachineId>>,
    /// Words about the container for programs that look at it.
    pub labels: BTreeMap<String, String>,
    /// When the container counts as started: "exec", "notify" or "oneshot".
    #[serde(rename = "type")]
    pub kind: Option<ServiceType>,
    /// What the units ordered after this one wait for.
    pub ready: Option<ReadyOn>,
    /// What becomes of changes to the root file system: "ephemeral", "persistent" or "read-only".
    pub root: Option<RootMode>,
    /// How large the changes to the root file system can be.
    pub root_size: Option<Text<Bytes>>,
    /// Whether the container shares the files of its image with others.
    pub share: Option<bool>,
    /// When the container is started again by itself, as in systemd.service(5).
    pub restart: Option<RestartPolicy>,
    /// The pause before a restart.
    pub restart_delay: Option<Text<TimeSpan>>,
    /// In how many steps the pause grows to restart_delay_max.
    pub restart_steps: Option<u32>,
    /// The longest pause before a restart.
    pub restart_delay_max: Option<Text<TimeSpan>>,
    /// How often the unit may be started before it is given up.
    pub start_limit: StartLimitTable,
    /// How long a start may take.
    pub start_timeout: Option<Text<TimeSpan>>,
    /// The time between the stop signal and SIGKILL.
    pub stop_timeout: Option<Text<TimeSpan>>,
    /// How long the container may run.
    pub runtime_max: Option<Text<TimeSpan>>,
    /// A random time, at most this long, that is added to runtime_max.
    pub runtime_randomized_extra: Option<Text<TimeSpan>>,
    /// How often the container must report that it is alive; "0" means never.
    pub watchdog: Option<Text<TimeSpan>>,
    /// The signal that a container gets which the watchdog has caught.
    pub watchdog_signal: Option<Text<SignalNumber>>,
    /// The signal that asks the container to read its configuration again.
    pub reload_signal: Option<Text<SignalNumber>>,
    /// The command, run in the container, that has it read its configuration again.
    pub reload_command: Option<Vec<String>>,
    /// Commands that are run before all others: one that exits with a code from 1 to 254 skips the start.
    pub exec_condition: CommandList,
    /// Commands that are run before the payload, in its container or on the host.
    pub exec_start_pre: CommandList,
    /// Commands that are run once the container is ready.
    pub exec_start_post: CommandList,
    /// Commands that are run to stop the container; the stop signal follows.
    pub exec_stop: CommandList,
    /// Commands that are run when nothing of the container is left.
    pub exec_stop_post: CommandList,
    /// Whether a unit of type "oneshot" counts as up after its success.
    pub remain_after_exit: Option<bool>,
    /// Exit codes and signals that count as success beside 0, SIGHUP, SIGINT, SIGPIPE and SIGTERM.
    pub success_exit_status: Vec<Text<ExitStatus>>,
    /// Exit codes and signals after which there is no restart.
    pub restart_prevent_exit_status: Vec<Text<ExitStatus>>,
    /// Exit codes and signals after which there always is a restart.
    pub restart_force_exit_status: Vec<Text<ExitStatus>>,
    /// Whether a minimal init runs as the container's first process; "system" for an image that boots one itself.
    pub init: Option<Text<Init>>,
}

/// `container.start_limit`.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct StartLimitTable {
    /// How many starts an interval may hold; 0 means any number.
    pub burst: Option<u32>,
    /// The length of the interval.
    pub interval: Option<Text<TimeSpan>>,
}

/// `[activation]`.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ActivationTable {
    /// Whether a start of the unit runs the container ("boot"), opens its sockets and waits for traffic ("socket"), or
    /// arms its timer and waits ("timer").
    pub start: Option<StartOn>,
    /// How often traffic may start the container before its sockets are closed.
    pub trigger_limit: TriggerLimitTable,
    /// How long nobody may have used the container before it sleeps.
    pub idle_timeout: Option<Text<TimeSpan>>,
    /// How it sleeps: "stop", or "freeze" with its memory given back.
    pub idle_action: Option<IdleAction>,
    /// How long a frozen container sleeps before it is stopped.
    pub idle_stop_after: Option<Text<TimeSpan>>,
    /// The share of one CPU from which on a container is in use without a connection.
    pub idle_cpu_floor: Option<Text<Percentage>>,
}

/// `activation.trigger_limit`.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TriggerLimitTable {
    /// How many starts by traffic an interval may hold; 0 means any number.
    pub burst: Option<u32>,
    /// The length of the interval.
    pub interval: Option<Text<TimeSpan>>,
}

/// `[mount."TARGET"]`.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct MountTable {
    /// What is mounted: a named "volume", a "bind" of the host's, a "tmpfs", another "image", or an "mqueue".
    #[serde(rename = "type")]
    pub kind: Option<MountKind>,
    /// The volume's name, the absolute path on the host, or the image.
    pub source: Option<String>,
    /// Options as of mount(8), such as "ro", "noexec", and for a tmpfs "size=".
    pub options: Vec<String>,
}

/// `mount.*.type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum MountKind {
    /// A named volume.
    Volume,
    /// A file or directory of the host.
    Bind,
    /// Memory.
    Tmpfs,
    /// Another image.
    Image,
    /// POSIX message queues.
    Mqueue,
}

impl MountKind {
    /// All of them.
    pub const ALL: &'static [Self] = &[Self::Volume, Self::Bind, Self::Tmpfs, Self::Image, Self::Mqueue];

    /// The word in a unit file.
    pub fn word(self) -> &'static str {
        match self {
            Self::Volume => "volume",
            Self::Bind => "bind",
            Self::Tmpfs => "tmpfs",
            Self::Image => "image",
            Self::Mqueue => "mqueue",
        }
    }
}
