//! What a process inherits and no other call resets: signal dispositions and mask, and the session keyring.

use std::io;

/// Sets each signal to its default action and unblocks all.
pub fn reset_signals() {
    // SAFETY: SIG_DFL needs no handler, so no code can run with a wrong signature; numbers that are no signal
    // (or KILL, STOP, and those the C library keeps) are refused by the call, which changes nothing then.
    unsafe {
        for signal in 1..=64 {
            libc::signal(signal, libc::SIG_DFL);
        }
    }
    let mut none = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: sigemptyset(3) initialises the set, sigprocmask(2) only reads it.
    unsafe {
        libc::sigemptyset(none.as_mut_ptr());
        libc::sigprocmask(libc::SIG_SETMASK, none.as_ptr(), std::ptr::null_mut());
    }
}

/// Joins a new, empty session keyring, keyctl(2), so that no key of the host can be found. A kernel without
/// keyrings has nothing to share.
///
/// # Errors
/// As keyctl(2).
pub fn new_keyring() -> io::Result<()> {
    // KEYCTL_JOIN_SESSION_KEYRING of linux/keyctl.h
    const JOIN: libc::c_long = 1;
    // SAFETY: a null name asks for an anonymous keyring; no memory is read.
    let result = unsafe { libc::syscall(libc::SYS_keyctl, JOIN, std::ptr::null::<libc::c_char>()) };
    match io::Error::last_os_error() {
        _ if result >= 0 => Ok(()),
        error if error.raw_os_error() == Some(libc::ENOSYS) => Ok(()),
        error => Err(error),
    }
}

/// Marks all descriptors from `first` on to be closed by execve(2).
///
/// # Errors
/// As close_range(2).
pub fn close_on_execute_from(first: u32) -> io::Result<()> {
    // SAFETY: CLOSE_RANGE_CLOEXEC closes nothing now, so no owner loses its descriptor.
    let result =
        unsafe { libc::syscall(libc::SYS_close_range, first, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_keyring_of_a_thread_can_be_replaced() {
        std::thread::spawn(|| new_keyring().unwrap()).join().unwrap();
    }

    #[test]
    fn descriptors_get_the_flag() {
        close_on_execute_from(3).unwrap();
        let flags = rustix::io::fcntl_getfd(std::fs::File::open("/").unwrap()).unwrap();
        assert!(flags.contains(rustix::io::FdFlags::CLOEXEC));
    }
}
