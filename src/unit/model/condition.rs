//! Conditions and asserts: what a unit asks of the host before it starts, systemd.unit(5).

use serde::{Deserialize, Serialize};
use std::cmp::Ordering;
use std::path::PathBuf;

/// One entry of `unit.condition` or `unit.assert`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Condition {
    /// What is looked at.
    pub test: Test,
    /// Whether it must hold or must not: a `!` before the value.
    pub expected: bool,
    /// Whether it alone must be met: a `|` before the value.
    pub role: Role,
    /// What happens otherwise.
    pub otherwise: Otherwise,
    /// Key and value: `path_exists = "/srv/blog"`.
    pub text: String,
}

/// What one condition is worth among the others.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Role {
    /// It must be met.
    #[default]
    Needed,
    /// One of those that begin with `|` must be met.
    Alternative,
}

/// What becomes of a start when a condition does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Otherwise {
    /// `condition`: it is skipped.
    Skip,
    /// `assert`: it fails.
    Fail,
}

/// What a condition looks at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Test {
    /// `path_*`, `directory_not_empty`, `file_*`
    Path(PathTest, PathBuf),
    /// `path_exists_glob`
    PathExistsGlob(String),
    /// `host`: a machine id or a pattern of host names.
    Host(String),
    /// `architecture`
    Architecture(String),
    /// `firmware`
    Firmware(Firmware),
    /// `virtualization`
    Virtualization(Virtualization),
    /// `kernel_command_line`: a word, or an assignment.
    KernelCommandLine(String),
    /// `kernel_version`: all of them.
    KernelVersion(Vec<VersionTest>),
    /// `kernel_module_loaded`
    KernelModuleLoaded(String),
    /// `os_release`: fields, all of them.
    OsRelease(Vec<(String, VersionTest)>),
    /// `credential`: one of the system's.
    Credential(String),
    /// `environment`: a variable of systemd's, or an assignment.
    Environment(String),
    /// `security`
    Security(SecurityModule),
    /// `capability`
    Capability(String),
    /// `ac_power`
    AcPower(bool),
    /// `first_boot`
    FirstBoot(bool),
    /// `user`: of `sampand`.
    User(String),
    /// `group`: of `sampand`.
    Group(String),
    /// `control_group_controller`: all of them.
    ControlGroupController(Vec<String>),
    /// `memory`, in bytes
    Memory(Comparison, u64),
    /// `cpus`
    Cpus(Comparison, u64),
    /// `cpu_feature`
    CpuFeature(String),
}

/// What is looked for at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum PathTest {
    /// `path_exists`
    Exists,
    /// `path_is_directory`
    IsDirectory,
    /// `path_is_symbolic_link`
    IsSymbolicLink,
    /// `path_is_mount_point`
    IsMountPoint,
    /// `path_is_read_write`
    IsReadWrite,
    /// `path_is_socket`
    IsSocket,
    /// `directory_not_empty`
    DirectoryNotEmpty,
    /// `file_not_empty`
    FileNotEmpty,
    /// `file_is_executable`
    FileIsExecutable,
}

/// `firmware`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Firmware {
    /// UEFI.
    Uefi,
    /// A device tree.
    DeviceTree,
}

/// `virtualization`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Virtualization {
    /// Whether there is any.
    Any(bool),
    /// A virtual machine.
    Machine,
    /// A container.
    Container,
    /// A user namespace.
    PrivateUsers,
    /// This one, systemd-detect-virt(1).
    Named(String),
}

/// `security`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum SecurityModule {
    /// SELinux.
    Selinux,
    /// AppArmor.
    Apparmor,
    /// TOMOYO.
    Tomoyo,
    /// SMACK.
    Smack,
    /// IMA.
    Ima,
    /// UEFI Secure Boot.
    UefiSecureboot,
    /// A TPM 2.
    Tpm2,
}

/// How two values compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Comparison {
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `=`
    Equal,
    /// `!=`
    NotEqual,
    /// `>=`
    GreaterOrEqual,
    /// `>`
    Greater,
}

impl Comparison {
    /// Whether values that compare so are as wanted.
    pub fn holds(self, order: Ordering) -> bool {
        match self {
            Self::Less => order.is_lt(),
            Self::LessOrEqual => order.is_le(),
            Self::Equal => order.is_eq(),
            Self::NotEqual => order.is_ne(),
            Self::GreaterOrEqual => order.is_ge(),
            Self::Greater => order.is_gt(),
        }
    }
}

/// What a version must be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum VersionTest {
    /// It compares so with this one.
    Compares(Comparison, String),
    /// It has this form, glob(7).
    Matches(String),
}
