//! Descriptors that a service manager passed to this process at its start, sd_listen_fds(3), and other
//! variables that only the first program of a service may see.

use rustix::io::{FdFlags, fcntl_setfd};
use std::ffi::OsString;
use std::io;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};

/// The first passed descriptor, `SD_LISTEN_FDS_START`.
const FIRST: RawFd = 3;

/// Takes all passed descriptors with their names and clears `$LISTEN_PID`, `$LISTEN_FDS` and
/// `$LISTEN_FDNAMES`. A second call finds none. To be called first in `main`.
///
/// # Errors
/// When this process has more than one thread already, or a promised descriptor is not open.
pub fn take_passed() -> io::Result<Vec<(String, OwnedFd)>> {
    let pid = take_variable("LISTEN_PID")?;
    let count = take_variable("LISTEN_FDS")?;
    let names = take_variable("LISTEN_FDNAMES")?.and_then(|names| names.into_string().ok());
    let ours = number(pid) == Some(std::process::id());
    let count = number(count).filter(|_| ours).unwrap_or(0);
    let names = names.unwrap_or_default();
    let mut names = names.split(':').filter(|name| !name.is_empty()).map(str::to_owned);
    (0..count)
        .map(|index| {
            let fd = RawFd::try_from(index).ok().and_then(|index| FIRST.checked_add(index));
            let fd = adopt(fd.ok_or(io::ErrorKind::InvalidInput)?)?;
            Ok((names.next().unwrap_or_else(|| "unknown".to_owned()), fd))
        })
        .collect()
}

/// Takes the descriptors that follow the standard ones, as many as this process was given by who started it. To be
/// called first in `main`, once.
///
/// # Errors
/// When one of them is not open.
pub fn take_inherited(count: usize) -> io::Result<Vec<OwnedFd>> {
    let last = RawFd::try_from(count).ok().and_then(|count| FIRST.checked_add(count));
    (FIRST..last.ok_or(io::ErrorKind::InvalidInput)?).map(adopt).collect()
}

/// Takes a variable out of the environment, so that no program started by this one sees it.
///
/// # Errors
/// When this process has more than one thread.
pub fn take_variable(name: &str) -> io::Result<Option<OsString>> {
    let value = std::env::var_os(name);
    if value.is_some() {
        let threads = std::fs::read_dir("/proc/self/task")?.count();
        if threads != 1 {
            return Err(io::Error::other(format!("${name} can only be taken before threads start")));
        }
        // SAFETY: remove_var is unsound only while another thread reads or writes the environment. This
        // thread is the only one, as has just been counted, and it starts none here.
        unsafe { std::env::remove_var(name) };
    }
    Ok(value)
}

fn number(text: Option<OsString>) -> Option<u32> {
    text?.to_str()?.parse().ok()
}

fn adopt(fd: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: fcntl only looks the number up; a number that is not open gives EBADF.
    if unsafe { libc::fcntl(fd, libc::F_GETFD) } < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the number is open. It was inherited at execve(2) for this process, as $LISTEN_PID or its starter's
    // protocol said, and is taken once, so that nobody else in this process owns it.
    let fd = unsafe { OwnedFd::from_raw_fd(fd) };
    fcntl_setfd(&fd, FdFlags::CLOEXEC)?;
    Ok(fd)
}

#[cfg(test)]
mod tests {
    use super::*;

    // That they are taken is seen by the service of tests/systemd_store.rs, which has one thread.
    #[test]
    fn nothing_is_taken_from_under_other_threads() {
        let other = std::thread::spawn(std::thread::park);
        assert!(take_variable("PATH").is_err());
        assert!(std::env::var_os("PATH").is_some());
        assert_eq!(take_variable("SAMPAN_TEST_UNSET").unwrap(), None);
        other.thread().unpark();
        other.join().unwrap();
    }

    #[test]
    fn a_promised_descriptor_that_is_not_open_is_an_error() {
        assert_eq!(adopt(RawFd::MAX).unwrap_err().raw_os_error(), Some(libc::EBADF));
    }
}
