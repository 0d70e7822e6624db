//! Telling security modules of the kernel what the payload is: proc_pid_attr(5).

use super::failure::During;
use super::protocol::StepError;
use crate::unit::model::IfMissing;
use rustix::fs::{CWD, Mode, OFlags, PROC_SUPER_MAGIC, fstatfs, openat};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{self, Write as _};

/// What a program is from its execve(2) on, for a security module of the kernel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Label {
    /// Which one.
    pub module: LabelModule,
    /// The profile or the label.
    pub name: String,
    /// What happens when the module does not take it.
    pub missing: IfMissing,
}

/// A security module that tells processes apart by labels, which are not their files'.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LabelModule {
    /// apparmor(7).
    Apparmor,
    /// selinux(8).
    Selinux,
}

/// What the caller is after its next execve(2).
pub fn set(labels: &[Label]) -> Result<(), StepError> {
    for label in labels {
        let result = match label.module {
            LabelModule::Apparmor => write("/proc/self/attr/apparmor/exec", &format!("exec {}", label.name))
                .during("set AppArmor profile", &label.name),
            LabelModule::Selinux => {
                write("/proc/self/attr/exec", &label.name).during("set SELinux label", &label.name)
            }
        };
        if label.missing == IfMissing::Fail {
            result?;
        }
    }
    Ok(())
}

/// A file of an image in its place would take anything (CVE-2019-16884).
fn write(path: &str, text: &str) -> io::Result<()> {
    let file = openat(CWD, path, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
    if fstatfs(&file)?.f_type != PROC_SUPER_MAGIC {
        return Err(Errno::XDEV.into());
    }
    // The kernel takes it whole or not at all.
    File::from(file).write_all(text.as_bytes())
}
