//! The words of a plan. A plan prints, is a snapshot in tests, and is all that a launcher is told.

pub use super::label::{Label, LabelModule};
use super::profile::CallRules;
use crate::sys::mount::Depth;
pub use crate::sys::mount::Propagation;
use crate::sys::namespace::Namespace;
use crate::unit::model::{Credential, ExitStatuses, IfMissing, ProcessSettings, StandardInput};
use crate::unit::system_calls::SystemCallFilter;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// How a container is started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// The control group of the scope, for a container that can be born in it.
    pub group: Option<ScopeGroup>,
    /// Whether the container gets its control group, or only sees it.
    pub delegation: Delegation,
    /// Where the unified control group hierarchy is mounted.
    pub hierarchy: PathBuf,
    /// Ids of the user namespace; `None`: the host's.
    pub ids: Option<IdRange>,
    /// Further namespaces; those of processes and mounts are always new.
    pub namespaces: Vec<Namespace>,
    /// Done in them, before there is a process that stays.
    pub settings: Vec<NamespaceSetting>,
    /// Done outside with the host's privilege; each gives a tree to the steps below.
    pub host: Vec<HostStep>,
    /// Done inside.
    pub inside: Vec<Step>,
    /// What comes between.
    #[serde(default, skip_serializing_if = "Pause::is_none")]
    pub pause: Pause,
    /// The end.
    pub execute: Execute,
}

/// What a container may do with its control group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Delegation {
    /// Look at it.
    None,
    /// Make others below it, and move its processes among them. Limits of its own stay the host's.
    Subtree,
}

/// Whether a container that is whole waits before it becomes its payload.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pause {
    /// It does not.
    #[default]
    None,
    /// It says that it is there and waits for the order, so that others can join it.
    Prepared,
}

impl Pause {
    fn is_none(&self) -> bool {
        *self == Self::None
    }
}

/// How a program joins a running container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Join {
    /// The directory of the control group to be born in; `None`: the launcher's own.
    pub group: Option<PathBuf>,
    /// Namespaces of the container's first process to enter.
    pub namespaces: Vec<Namespace>,
    /// The end.
    pub execute: Execute,
}

/// The control group of a scope that systemd is about to make; gives the tree `cgroup`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScopeGroup {
    /// Where the group will appear.
    pub directory: PathBuf,
    /// Its files in which systemd then writes a limit, where the host has their controllers.
    pub limits: Vec<String>,
}

/// Ids of the host that a container sees as 0 and up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdRange {
    /// The first.
    pub base: u32,
    /// How many.
    pub length: u32,
}

/// A directory or file of the host, and which id there is the container's 0.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostTree {
    /// Absolute path.
    pub path: PathBuf,
    /// 2147352576 in the store, 0 for what is owned by the host's own ids.
    pub id_base: u32,
}

/// How a namespace is to be, which needs neither a path nor an id of the container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NamespaceSetting {
    /// It has this host name.
    Hostname(String),
    /// Its loopback interface is up.
    Loopback,
}

/// A step that needs the host's privilege.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HostStep {
    /// Copy trees of images for a unit that shares no file, where it has no copy of them; gives no tree.
    Private(PrivateTrees),
    /// Mount the root file system, an overlay over an idmapped `lower`; gives `root`.
    Root {
        /// The flat tree of the image.
        lower: HostTree,
        /// Where changes go.
        changes: Changes,
        /// How large they can be; `None`: as large as the disk is.
        size: Option<RootSize>,
    },
    /// Copy a mount of the host.
    Clone {
        /// What it is called in later steps.
        tree: String,
        /// The directory, file or device.
        source: HostTree,
        /// Restrictions.
        attributes: Vec<Attribute>,
    },
    /// Copy a mount of the host that the unit names.
    Bind(Tree),
    /// Bring a device in.
    Device(DeviceNode),
    /// Copy the mount of a volume of the store, which is made first where it is missing.
    Volume {
        /// What it is called in later steps.
        tree: String,
        /// The directory of the store.
        store: PathBuf,
        /// The volume.
        volume: String,
        /// What a new one has in it.
        seed: Option<Seeding>,
        /// Restrictions.
        attributes: Vec<Attribute>,
    },
    /// Mount the tree of an image, read-only.
    Image {
        /// What it is called in later steps.
        tree: String,
        /// The flat tree.
        lower: HostTree,
        /// Where an empty directory is made: an overlay has two trees at least.
        empty: PathBuf,
        /// Restrictions.
        attributes: Vec<Attribute>,
    },
    /// Mount a file system that shows what is the host's.
    Make {
        /// What it is called in later steps.
        tree: String,
        /// What to mount.
        filesystem: Filesystem,
    },
    /// Read credentials into memory that is never swapped out; gives the tree `credentials`. Secrets that the unit
    /// has in its file are not here: they come beside the plan.
    Credentials {
        /// The unit, which a socket that is asked for a credential is told.
        unit: String,
        /// Where the host has credentials.
        stores: CredentialStores,
        /// By name.
        credentials: BTreeMap<String, Credential>,
    },
    /// Open a stream of lines to the journal.
    Journal {
        /// What it is called in later steps.
        tree: String,
        /// The journal's socket for streams.
        socket: PathBuf,
        /// `SYSLOG_IDENTIFIER=`.
        identifier: String,
        /// The scope.
        unit: String,
    },
}

/// Trees of images that a unit has for itself alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PrivateTrees {
    /// The directory of the store.
    pub store: PathBuf,
    /// The unit's.
    pub directory: PathBuf,
    /// The trees of the store, by the names of their images.
    pub trees: BTreeMap<String, PathBuf>,
}

/// Where a host has credentials, systemd.exec(5).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CredentialStores {
    /// Directories of credentials as they are, the first wins: those that were passed to the manager, `/etc/credstore`.
    pub plain: Vec<PathBuf>,
    /// Directories of encrypted ones.
    pub encrypted: Vec<PathBuf>,
    /// systemd-creds(1).
    pub decrypt: PathBuf,
}

/// A file or directory of the host that the unit names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tree {
    /// What it is called in later steps.
    pub tree: String,
    /// Where it is; links are followed.
    pub path: PathBuf,
    /// A directory above it that a container can write, and below which links lead nowhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shared: Option<PathBuf>,
    /// What happens when it does not exist.
    pub missing: IfMissing,
    /// Whether mounts below it come, too.
    pub depth: Depth,
    /// Whether later mounts below it come, too.
    pub propagation: Propagation,
    /// As whose the container sees its files.
    pub owners: Owners,
    /// Restrictions.
    pub attributes: Vec<Attribute>,
}

/// A device of the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceNode {
    /// What it is called in later steps.
    pub tree: String,
    /// Its node on the host; links are followed.
    pub path: PathBuf,
    /// What happens when it does not exist.
    pub missing: IfMissing,
    /// Where a container with ids of its own gets a node of its own.
    pub own: PathBuf,
}

/// As whose a container sees the files of a host's tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Owners {
    /// Those of the host, by number.
    Same,
    /// Root, where they belong to the owner of the tree.
    Root,
    /// Those whose ids the container has.
    Unmapped,
}

/// What a new volume has in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seeding {
    /// The flat tree of an image.
    pub image: HostTree,
    /// What of it; nothing when it is not there.
    pub path: PathBuf,
}

/// What a mount stands on where the root cannot be written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stand {
    /// Where, in the container.
    pub path: PathBuf,
    /// What is made there.
    pub kind: StandKind,
}

/// What a mount stands on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StandKind {
    /// A directory.
    Directory,
    /// A file.
    File,
    /// A file when this path of the host is one; a directory in all other cases.
    Like(PathBuf),
}

impl Stand {
    /// A directory.
    pub fn directory(path: impl AsRef<Path>) -> Self {
        Self { path: path.as_ref().to_owned(), kind: StandKind::Directory }
    }

    /// A file.
    pub fn file(path: impl AsRef<Path>) -> Self {
        Self { path: path.as_ref().to_owned(), kind: StandKind::File }
    }
}

/// How large changes can be, and the programs of e2fsprogs that see to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RootSize {
    /// With what the file system needs for itself.
    pub bytes: u64,
    /// mke2fs(8).
    pub make: PathBuf,
    /// e2fsck(8).
    pub check: PathBuf,
    /// resize2fs(8).
    pub grow: PathBuf,
}

/// What becomes of changes to the root file system.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Changes {
    /// Kept in this directory, which is emptied first and never synchronized.
    Discard(PathBuf),
    /// Kept in this directory.
    Keep(PathBuf),
    /// None. What is missing for mounts to stand on comes from a second, empty tree in this directory.
    Refuse {
        /// Where that tree is made.
        directory: PathBuf,
        /// What is made in it.
        stands: Vec<Stand>,
    },
}

/// A small file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TextFile {
    /// Absolute path in the container.
    pub path: PathBuf,
    /// All of it.
    pub text: String,
}

/// A restriction of a mount, mount_setattr(2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Attribute {
    /// `MOUNT_ATTR_RDONLY`.
    ReadOnly,
    /// `MOUNT_ATTR_NOSUID`.
    NoSetuid,
    /// `MOUNT_ATTR_NODEV`.
    NoDevices,
    /// `MOUNT_ATTR_NOEXEC`.
    NoExecute,
}

/// A file system that has no device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Filesystem {
    /// `proc`, `tmpfs`.
    pub name: String,
    /// Its own options.
    pub options: Vec<(String, String)>,
    /// Restrictions.
    pub attributes: Vec<Attribute>,
}

/// A step of process 1 of the container. Paths are the container's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// Mount a file system, nowhere yet.
    Make {
        /// What it is called in later steps.
        tree: String,
        /// What to mount.
        filesystem: Filesystem,
    },
    /// Make the tree `root` the root directory, and let go of the host's.
    EnterRoot,
    /// Put a tree in its place, making that place if it is missing.
    Attach {
        /// The name of a tree made before.
        tree: String,
        /// Where.
        target: PathBuf,
        /// Whether symbolic links of the image on the way are followed.
        links: Links,
        /// What happens when there is no such tree.
        missing: IfMissing,
    },
    /// Put the tree `credentials` in its place, owned by the payload's user and read-only.
    Credentials {
        /// Where.
        target: PathBuf,
        /// As in [`Execute`].
        user: String,
    },
    /// Make a symbolic link.
    Link {
        /// Where.
        path: PathBuf,
        /// Its content.
        to: PathBuf,
    },
    /// Make a FIFO that anybody may write to, and open it.
    Fifo {
        /// What it is called later.
        tree: String,
        /// Where.
        path: PathBuf,
    },
    /// Write a file that is not there yet.
    Write(TextFile),
    /// Write a file that is not there yet, and give a mount of it.
    Provide {
        /// What it is called in later steps.
        tree: String,
        /// The file.
        file: TextFile,
        /// Restrictions.
        attributes: Vec<Attribute>,
    },
    /// Put the mount of a file in the place of whatever has this name, a symbolic link, too, making it if it is
    /// missing. A directory stays as it is, and so does what cannot be made: no program reads that as the file.
    Cover {
        /// The name of a tree made before.
        tree: String,
        /// Where.
        target: PathBuf,
    },
    /// Write a file in the place of whatever has this name. A directory stays as it is, and so does what cannot be
    /// made.
    Replace(TextFile),
    /// Make a mount of ours read-only.
    Seal(PathBuf),
    /// Set one of the kernel's settings for the container's namespaces.
    Setting {
        /// Below `/proc/sys`.
        path: PathBuf,
        /// What is written.
        value: String,
    },
    /// Make what is there read-only.
    Protect {
        /// Where; nothing there needs no protection.
        path: PathBuf,
        /// Whether symbolic links on the way are followed.
        links: Links,
    },
    /// Hide what is there.
    Mask {
        /// Where; nothing there needs not be hidden.
        path: PathBuf,
        /// Whether symbolic links on the way are followed.
        links: Links,
    },
}

/// Whether symbolic links are followed; never out of the root.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Links {
    /// They are an error.
    Refuse,
    /// They are followed inside the root.
    Follow,
}

/// Becoming the payload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Execute {
    /// The command line; its first word is searched in `PATH`.
    pub command: Vec<String>,
    /// Those that follow it, each after the success of the one before.
    pub then: Vec<Vec<String>>,
    /// What counts as success beside the exit code 0.
    #[serde(default, skip_serializing_if = "ExitStatuses::is_empty")]
    pub success_exit_status: ExitStatuses,
    /// After this signal none follows any more.
    pub stop_signal: i32,
    /// `NAME=value`, without what is only known inside.
    pub environment: Vec<String>,
    /// `name`, `uid`, `name:group` or `uid:gid`, of the image.
    pub user: String,
    /// Paths that the unit hides: the image's passwd(5) and group(5) are read nevertheless.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hidden: Vec<PathBuf>,
    /// What the container's first process is.
    pub first: First,
    /// Absolute.
    pub working_directory: PathBuf,
    /// What its processes begin with.
    pub settings: ProcessSettings,
    /// Names of capabilities.
    pub capabilities: Vec<String>,
    /// Those of them that a payload that is not root holds, by name.
    pub ambient: Vec<String>,
    /// What security modules of the kernel are told of the payload.
    pub labels: Vec<Label>,
    /// What setuid programs may do.
    pub new_privileges: NewPrivileges,
    /// Which system calls may be made.
    pub system_calls: SystemCalls,
    /// Where output goes.
    pub output: Output,
    /// Whether the one socket that comes is standard input and output instead of what `output` says.
    #[serde(default, skip_serializing_if = "has_no_input")]
    pub standard_input: StandardInput,
    /// Names of sockets to pass by `LISTEN_FDS`, in the order in which they come.
    pub sockets: Vec<String>,
    /// Whether bind(2) is answered by the manager.
    pub binds: Binds,
}

fn has_no_input(input: &StandardInput) -> bool {
    *input == StandardInput::Null
}

/// What the first process of a container is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum First {
    /// The payload.
    Payload,
    /// One that hands signals on to it and reaps.
    Init,
}

/// Whether execve(2) may add privileges.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NewPrivileges {
    /// `PR_SET_NO_NEW_PRIVS`.
    Never,
    /// As set-user-ID bits and file capabilities say, within the bounding set.
    Allowed,
}

/// Which system calls a container may make.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SystemCalls {
    /// Those of the default filter, but for this.
    Filter(SystemCallFilter),
    /// Those of a profile.
    Profile(CallRules),
}

/// Who answers bind(2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Binds {
    /// The kernel.
    Kernel,
    /// A listener that the manager gets.
    Manager,
}

/// Where the payload's output goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Output {
    /// To the journal, by the tree `stdout`; input is empty. What is written to the FIFO `output` comes there by
    /// way of the manager, which gets it with the tree `journal`.
    Journal,
    /// To three descriptors that came with the plan, before its sockets; input from the first.
    Passed,
}
