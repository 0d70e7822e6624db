//! What a container finds in its `/proc`, proc(5) and systemd.exec(5).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `security.protect_proc`: what a process sees of those that it could not trace. With CAP_SYS_PTRACE it could trace all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ProtectProc {
    /// All that is not secret.
    #[default]
    Default,
    /// Of other users' that they are there.
    Noaccess,
    /// Of other users' nothing.
    Invisible,
    /// Of all that it cannot trace nothing.
    Ptraceable,
}

impl ProtectProc {
    /// systemd's word, which is the kernel's for its option `hidepid` as well.
    pub fn word(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::Noaccess => "noaccess",
            Self::Invisible => "invisible",
            Self::Ptraceable => "ptraceable",
        }
    }
}

/// `security.proc_subset`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ProcSubset {
    /// Everything.
    #[default]
    All,
    /// Processes, and nothing of the kernel.
    Pid,
}

impl ProcSubset {
    /// systemd's word, which is the kernel's as well.
    pub fn word(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Pid => "pid",
        }
    }
}
