//! Images that boot a system of their own: what systemd expects of who runs it in a container, as
//! <https://systemd.io/CONTAINER_INTERFACE> has it.

use super::failure::During;
use super::protocol::StepError;
use crate::unit::model::{Container, Init, Mount, MountSource, Tmpfs, UserNamespace};
use rustix::fs::{AtFlags, chownat};
use rustix::io::Errno;
use rustix::process::{Gid, Uid};
use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

/// `SIGRTMIN+3`: systemd(1) halts.
pub const STOP_SIGNAL: i32 = 37;

/// Where Linux tells which files of a control group are for who it is delegated to.
const DELEGATED: &str = "/sys/kernel/cgroup/delegate";

/// Programs that boot a system when they are a container's first process.
const PROGRAMS: [&str; 6] = [
    "/lib/systemd/systemd",
    "/sbin/init",
    "/usr/lib/systemd/systemd",
    "/usr/local/sbin/init",
    "/usr/sbin/init",
    "/usr/bin/systemd",
];

/// Places that are memory, unless the unit mounts something there, and their modes.
const MEMORY: [(&str, u32); 3] = [("/run", 0o755), ("/run/lock", 0o1777), ("/tmp", 0o1777)];

/// Whether a container boots a system: its unit says so, or its command is one that does. Without ids of its own its
/// root would be the host's, and could write the limits of the group that it gets.
pub fn is_booted(container: &Container, command: &[String]) -> bool {
    let has_ids = container.security.user_namespace != UserNamespace::Host;
    let boots = || command.first().is_some_and(|program| PROGRAMS.contains(&program.as_str()));
    match container.init {
        Init::System => true,
        Init::Detected => has_ids && container.then.is_empty() && boots(),
        Init::Minimal | Init::Payload => false,
    }
}

/// Adds what it finds mounted: without privileges to mount it needs these before it begins.
pub fn mount(mounts: &mut BTreeMap<PathBuf, Mount>) {
    for (path, mode) in MEMORY {
        let tmpfs = Tmpfs { mode, ..Tmpfs::new(None) };
        mounts.entry(path.into()).or_insert_with(|| Mount::new(MountSource::Tmpfs(tmpfs)));
    }
}

/// Gives a control group to the container's root: the directory, and those of its files that the kernel names for
/// that. Limits are in the others.
pub fn delegate(group: &OwnedFd, root: u32) -> Result<(), StepError> {
    const STEP: &str = "delegate control group";
    let (user, owners) = (Some(Uid::from_raw(root)), Some(Gid::from_raw(root)));
    chownat(group, "", user, owners, AtFlags::EMPTY_PATH).during(STEP, "directory")?;
    let files = std::fs::read_to_string(DELEGATED).during_path(STEP, Path::new(DELEGATED))?;
    for file in files.lines() {
        match chownat(group, file, user, owners, AtFlags::SYMLINK_NOFOLLOW) {
            // It belongs to a controller that the host does not have.
            Err(Errno::NOENT) => {}
            given => given.during(STEP, file)?,
        }
    }
    Ok(())
}
