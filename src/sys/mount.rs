//! mount_setattr(2), which rustix lacks: read-only and idmapped mounts.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

/// What to change of a mount.
#[derive(Debug, Default)]
pub struct Change<'fd> {
    /// `MOUNT_ATTR_*` to set.
    pub set: u64,
    /// `MOUNT_ATTR_*` to clear.
    pub clear: u64,
    /// A user namespace whose mapping the mount gets.
    pub idmap: Option<BorrowedFd<'fd>>,
    /// Whether events stop to propagate from and to its peers.
    pub propagation: Propagation,
    /// How far the change goes.
    pub depth: Depth,
}

/// What becomes of mount propagation, `mount_namespaces(7)`.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Propagation {
    /// Left as it is.
    #[default]
    Keep,
    /// `MS_PRIVATE`.
    Private,
    /// `MS_SLAVE`: they come from its peers, but do not go there.
    Slave,
}

/// How far a change goes.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Depth {
    /// This mount only.
    #[default]
    One,
    /// All mounts below, too.
    Recursive,
}

/// `MOUNT_ATTR_RDONLY`.
pub const READ_ONLY: u64 = libc::MOUNT_ATTR_RDONLY;
/// `MOUNT_ATTR_NODEV`.
pub const NO_DEVICES: u64 = libc::MOUNT_ATTR_NODEV;
/// `MOUNT_ATTR_NOSUID`.
pub const NO_SETUID: u64 = libc::MOUNT_ATTR_NOSUID;
/// `MOUNT_ATTR_NOEXEC`.
pub const NO_EXECUTE: u64 = libc::MOUNT_ATTR_NOEXEC;

/// Changes the mount that `mount` refers to.
///
/// # Errors
/// As mount_setattr(2).
pub fn change<Fd: AsFd>(mount: Fd, change: &Change<'_>) -> io::Result<()> {
    // SAFETY: all of mount_attr are integers, for which zero is a valid value.
    let mut attributes: libc::mount_attr = unsafe { std::mem::zeroed() };
    attributes.attr_set = change.set;
    attributes.attr_clr = change.clear;
    attributes.propagation = match change.propagation {
        Propagation::Keep => 0,
        Propagation::Private => libc::MS_PRIVATE,
        Propagation::Slave => libc::MS_SLAVE,
    };
    if let Some(namespace) = change.idmap {
        attributes.attr_set |= libc::MOUNT_ATTR_IDMAP;
        attributes.userns_fd = u64::try_from(namespace.as_raw_fd()).unwrap_or(u64::MAX);
    }
    let depth = if change.depth == Depth::Recursive { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: the path is an empty C string, the attributes live until the call returns and are as large as
    // said; both descriptors are borrowed for as long.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_fd().as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH | depth,
            &raw mut attributes,
            size_of::<libc::mount_attr>(),
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::mount::{OpenTreeFlags, open_tree};

    #[test]
    fn a_cloned_mount_becomes_read_only() {
        let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
        let tree = open_tree(rustix::fs::CWD, "/tmp", flags).unwrap();
        change(&tree, &Change { set: READ_ONLY, ..Change::default() }).unwrap();
        let made = rustix::fs::mkdirat(&tree, "sampan-read-only", 0o700.into());
        assert_eq!(made, Err(rustix::io::Errno::ROFS));
    }
}
