//! Signals that are read from a descriptor beside all others that a program waits for, signalfd(2).

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{FromRawFd, OwnedFd};

/// Blocks SIGTERM for the calling thread and gives a nonblocking descriptor that is readable once it has come.
///
/// # Errors
/// As signalfd(2).
pub fn termination() -> io::Result<OwnedFd> {
    let mut set = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: sigemptyset(3) initialises the set, the others add to it and read it.
    let descriptor = unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        libc::sigaddset(set.as_mut_ptr(), libc::SIGTERM);
        libc::pthread_sigmask(libc::SIG_BLOCK, set.as_ptr(), std::ptr::null_mut());
        libc::signalfd(-1, set.as_ptr(), libc::SFD_CLOEXEC | libc::SFD_NONBLOCK)
    };
    if descriptor < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call has just made it, and nobody else knows of it.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::clone::{Cloned, ControlGroup, NewNamespaces, Parent, clone_process, exit_now};
    use crate::sys::init::signal_child;
    use crate::sys::pidfd::{self, Exit};
    use crate::sys::readiness::is_readable;

    #[test]
    fn a_termination_is_read_and_ends_nothing() {
        match clone_process(NewNamespaces::default(), Parent::Caller, ControlGroup::Callers).unwrap() {
            Cloned::Child => {
                let own = i32::try_from(std::process::id()).unwrap_or(0);
                let come = || -> io::Result<bool> {
                    let descriptor = termination()?;
                    let before = is_readable(&descriptor)?;
                    signal_child(own, libc::SIGTERM)?;
                    Ok(!before && is_readable(&descriptor)?)
                };
                exit_now(if come().unwrap_or(false) { 37 } else { 1 })
            }
            Cloned::Parent { pidfd, .. } => assert_eq!(pidfd::wait(&pidfd).unwrap(), Exit::Code(37)),
        }
    }
}
