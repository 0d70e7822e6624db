//! What a first process of a container does that only looks after others: takes signals as they come, closes all
//! that it has open.

use std::io;

/// Blocks all signals: the kernel keeps those that are blocked for the first process of a pid namespace as well,
/// and hands them out by [`next_signal`].
pub fn block_signals() {
    let mut all = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: sigfillset(3) initialises the set, sigprocmask(2) only reads it.
    unsafe {
        libc::sigfillset(all.as_mut_ptr());
        libc::sigprocmask(libc::SIG_SETMASK, all.as_ptr(), std::ptr::null_mut());
    }
}

/// Waits for a blocked signal and takes it.
///
/// # Errors
/// As sigwaitinfo(2).
pub fn next_signal() -> io::Result<i32> {
    let mut all = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: sigfillset(3) initialises the set, sigwaitinfo(2) reads it; it may be told nothing of the signal.
    let signal = unsafe {
        libc::sigfillset(all.as_mut_ptr());
        libc::sigwaitinfo(all.as_ptr(), std::ptr::null_mut())
    };
    if signal > 0 { Ok(signal) } else { Err(io::Error::last_os_error()) }
}

/// Sends a signal to a child by its number. It cannot be another's before the caller has waited for it.
///
/// # Errors
/// As kill(2).
pub fn signal_child(child: i32, signal: i32) -> io::Result<()> {
    // SAFETY: kill(2) takes numbers alone.
    if unsafe { libc::kill(child, signal) } == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Becomes a process without descriptors that never gets back to the code that owned them.
pub fn live_without_descriptors(life: impl FnOnce() -> i32) -> ! {
    // SAFETY: whoever owns a descriptor of this process is on a stack that is never returned to, since `_exit` ends
    // the process: nobody uses or closes one afterwards, and `life` borrows none that is used.
    unsafe {
        libc::syscall(libc::SYS_close_range, 0, libc::c_uint::MAX, 0);
    }
    let status = life();
    super::clone::exit_now(status)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::clone::{Cloned, ControlGroup, NewNamespaces, Parent, clone_process, exit_now};
    use crate::sys::pidfd::{self, Exit};

    #[test]
    fn a_process_without_descriptors_takes_signals() {
        let (reader, writer) = std::io::pipe().unwrap();
        match clone_process(NewNamespaces::default(), Parent::Caller, ControlGroup::Callers).unwrap() {
            Cloned::Child => {
                block_signals();
                if signal_child(i32::try_from(std::process::id()).unwrap_or(0), 37).is_err() {
                    exit_now(1);
                }
                live_without_descriptors(|| next_signal().unwrap_or(1))
            }
            Cloned::Parent { pidfd, .. } => {
                drop(writer);
                // Its end has been closed.
                assert_eq!(std::io::read_to_string(reader).unwrap(), "");
                assert_eq!(pidfd::wait(&pidfd).unwrap(), Exit::Code(37));
            }
        }
    }
}
