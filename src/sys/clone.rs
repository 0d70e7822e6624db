//! clone3(2) of a process: a fork(2) into new namespaces and into a control group that also
//! gives a pidfd.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// Where a clone continues.
#[derive(Debug)]
pub enum Cloned {
    /// In the caller.
    Parent {
        /// The new process as the caller's pid namespace numbers it.
        pid: u32,
        /// A close-on-exec descriptor of it.
        pidfd: OwnedFd,
    },
    /// In the new process.
    Child,
}

/// Whose child the new process is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parent {
    /// The caller's.
    Caller,
    /// A sibling of the caller: its parent's. `CLONE_PARENT`.
    CallersParent,
}

/// Namespaces that a new process gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct NewNamespaces(u64);

impl NewNamespaces {
    /// `CLONE_NEWUSER`.
    pub const USER: Self = Self(libc::CLONE_NEWUSER as u64);
    /// `CLONE_NEWPID`.
    pub const PROCESS: Self = Self(libc::CLONE_NEWPID as u64);
}

/// The control group that a new process is born in.
#[derive(Debug, Clone, Copy)]
pub enum ControlGroup<'a> {
    /// The caller's.
    Callers,
    /// That of this directory of the unified hierarchy. `CLONE_INTO_CGROUP`, Linux 5.7.
    Directory(BorrowedFd<'a>),
}

/// linux/sched.h; the constant of libc is too narrow for it.
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// Copies the calling process, which must have one thread only, or else do nothing in the copy but system calls until it
/// executes another program: a lock that another thread holds is held there for good.
///
/// # Errors
/// As clone(2).
pub fn clone_process(
    namespaces: NewNamespaces,
    parent: Parent,
    group: ControlGroup<'_>,
) -> io::Result<Cloned> {
    let mut pidfd: libc::c_int = -1;
    // SAFETY: all of clone_args are integers, for which zero is a valid value.
    let mut arguments: libc::clone_args = unsafe { std::mem::zeroed() };
    arguments.flags = namespaces.0 | libc::CLONE_PIDFD as u64;
    arguments.pidfd = (&raw mut pidfd) as u64;
    match parent {
        // The kernel refuses an exit signal of one's own with CLONE_PARENT: the caller's is taken.
        Parent::CallersParent => arguments.flags |= libc::CLONE_PARENT as u64,
        Parent::Caller => arguments.exit_signal = libc::SIGCHLD as u64,
    }
    if let ControlGroup::Directory(directory) = group {
        arguments.flags |= CLONE_INTO_CGROUP;
        arguments.cgroup = u64::try_from(directory.as_raw_fd()).unwrap_or_default();
    }
    let size = size_of::<libc::clone_args>();
    // SAFETY: without CLONE_VM the child runs on a copy of this stack, as after fork(2); the arguments outlive
    // the call; this function's contract is that no lock is asked for in the copy which another thread holds.
    let pid = unsafe { libc::syscall(libc::SYS_clone3, &raw mut arguments, size) };
    match pid {
        -1 => Err(io::Error::last_os_error()),
        0 => Ok(Cloned::Child),
        pid => {
            // SAFETY: the kernel has just stored a descriptor that nobody else knows of.
            let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
            Ok(Cloned::Parent { pid: u32::try_from(pid).unwrap_or_default(), pidfd })
        }
    }
}

/// Ends the process at once, without running destructors that belong to the process it was copied from.
///
/// A process that ends loses its memory before its descriptors, and one without memory is no longer kept from
/// others by `PR_SET_DUMPABLE`: the descriptors go first.
pub fn exit_now(status: i32) -> ! {
    // SAFETY: nothing of this process runs any more that could use a descriptor, and _exit(2) has no preconditions.
    unsafe {
        libc::syscall(libc::SYS_close_range, 0, libc::c_uint::MAX, 0);
        libc::_exit(status)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::pidfd::{self, Exit};

    #[test]
    fn a_clone_is_waited_for_by_its_pidfd() {
        match clone_process(NewNamespaces::default(), Parent::Caller, ControlGroup::Callers).unwrap() {
            Cloned::Child => exit_now(7),
            Cloned::Parent { pid, pidfd } => {
                assert!(pid > 0);
                assert_eq!(pidfd::wait(&pidfd).unwrap(), Exit::Code(7));
            }
        }
    }
}
