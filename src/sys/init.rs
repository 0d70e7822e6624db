//! What a first process of a container does that only looks after others: takes signals as they come, closes all
//! that it has open.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};

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
    next_signal_and_sender().map(|(signal, _)| signal)
}

/// The same, with the number of the process that has sent it by kill(2): 0 where that is outside of the pid namespace.
///
/// # Errors
/// As sigwaitinfo(2).
pub fn next_signal_and_sender() -> io::Result<(i32, i32)> {
    let mut all = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
    let mut info = std::mem::MaybeUninit::<libc::siginfo_t>::zeroed();
    // SAFETY: sigfillset(3) initialises the set, sigwaitinfo(2) reads it and writes what it tells of the signal.
    let signal = unsafe {
        libc::sigfillset(all.as_mut_ptr());
        libc::sigwaitinfo(all.as_ptr(), info.as_mut_ptr())
    };
    if signal <= 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: all bits of it are zero or written, and of a signal by kill(2) that number is; of others it is any number.
    let (info, sender) = unsafe {
        let info = info.assume_init();
        (info, info.si_pid())
    };
    Ok((signal, if info.si_code == libc::SI_USER { sender } else { 0 }))
}

/// Makes a descriptor one of `/dev/null`, with its number and its owner.
///
/// # Errors
/// As open(2) and dup3(2).
pub fn blind(descriptor: &OwnedFd) -> io::Result<()> {
    let null = File::open("/dev/null")?;
    // SAFETY: both are open, and what the number stands for afterwards is as good as what it stood for before.
    let done = unsafe { libc::dup3(null.as_raw_fd(), descriptor.as_raw_fd(), libc::O_CLOEXEC) };
    if done < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
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
    use std::io::Read as _;

    #[test]
    fn what_has_been_blinded_holds_nothing_open() {
        let (mut reader, writer) = std::io::pipe().unwrap();
        let writer = OwnedFd::from(writer);
        blind(&writer).unwrap();
        assert_eq!(reader.read(&mut [0]).unwrap(), 0);
        assert!(rustix::io::fcntl_getfd(&writer).unwrap().contains(rustix::io::FdFlags::CLOEXEC));
    }

    #[test]
    fn a_process_without_descriptors_takes_signals() {
        let (reader, writer) = std::io::pipe().unwrap();
        match clone_process(NewNamespaces::default(), Parent::Caller, ControlGroup::Callers).unwrap() {
            Cloned::Child => {
                block_signals();
                let own = i32::try_from(std::process::id()).unwrap_or(0);
                if signal_child(own, 37).is_err() {
                    exit_now(1);
                }
                let signal = |(signal, sender)| if sender == own { signal } else { 2 };
                live_without_descriptors(|| next_signal_and_sender().map_or(1, signal))
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
