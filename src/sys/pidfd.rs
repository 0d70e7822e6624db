//! Processes by pidfd: waiting for them, signals, and what the kernel tells of one that was not our child.

use super::readiness::is_readable;
use rustix::process::{Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, WaitIdStatus};
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Exit {
    /// By exit(2), with its status.
    Code(i32),
    /// By a signal.
    Signal(i32),
    /// By a signal, and left a core dump.
    Dumped(i32),
}

/// Opens a process, pidfd_open(2).
///
/// # Errors
/// `ESRCH` when there is none of this number.
pub fn open(pid: u32) -> io::Result<OwnedFd> {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or(rustix::io::Errno::SRCH)?;
    Ok(rustix::process::pidfd_open(pid, PidfdFlags::empty())?)
}

/// The number of the process as our own namespace sees it, proc_pid_fdinfo(5).
///
/// # Errors
/// When it has been reaped, is in no namespace of ours, or the descriptor is none of a process.
pub fn number<Fd: AsFd>(process: Fd) -> io::Result<u32> {
    let info = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", process.as_fd().as_raw_fd()))?;
    let number = info.lines().find_map(|line| line.strip_prefix("Pid:"));
    let number = number.ok_or(io::ErrorKind::InvalidInput)?;
    number.trim().parse().ok().filter(|pid| *pid != 0).ok_or_else(|| rustix::io::Errno::SRCH.into())
}

/// Sends a signal, pidfd_send_signal(2).
///
/// # Errors
/// `ESRCH` when the process has ended and was reaped.
pub fn signal<Fd: AsFd>(process: Fd, signal: Signal) -> io::Result<()> {
    signal_by_number(process, signal.as_raw())
}

/// The same for signals that have no names of their own too, such as `SIGRTMIN+3`.
///
/// # Errors
/// As [`signal`]; `EINVAL` when the kernel has no signal of this number.
pub fn signal_by_number<Fd: AsFd>(process: Fd, number: i32) -> io::Result<()> {
    let process = process.as_fd().as_raw_fd();
    let no_information = std::ptr::null::<libc::siginfo_t>();
    // SAFETY: the descriptor is open for as long as the call lasts, and nothing is behind the pointer.
    match unsafe { libc::syscall(libc::SYS_pidfd_send_signal, process, number, no_information, 0) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Whether a process has ended, for who has no descriptor left to wait for it.
pub fn has_ended<Fd: AsFd>(process: Fd) -> bool {
    // One that cannot be asked now is asked again.
    is_readable(process).unwrap_or(false)
}

/// Waits until a child has ended, and reaps it.
///
/// # Errors
/// `ECHILD` when it is not a child of the caller.
pub fn wait<Fd: AsFd>(process: Fd) -> io::Result<Exit> {
    loop {
        match wait_with(process.as_fd(), WaitIdOptions::EXITED) {
            Ok(Some(exit)) => return Ok(exit),
            Ok(None) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Reaps a child if it has ended.
///
/// # Errors
/// `ECHILD` when it is not a child of the caller.
pub fn try_wait<Fd: AsFd>(process: Fd) -> io::Result<Option<Exit>> {
    wait_with(process.as_fd(), WaitIdOptions::EXITED | WaitIdOptions::NOHANG)
}

fn wait_with(process: std::os::fd::BorrowedFd<'_>, options: WaitIdOptions) -> io::Result<Option<Exit>> {
    Ok(rustix::process::waitid(WaitId::PidFd(process), options)?.and_then(|status| exit_of(&status)))
}

fn exit_of(status: &WaitIdStatus) -> Option<Exit> {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => Some(Exit::Code(code)),
        (None, Some(signal)) if status.dumped() => Some(Exit::Dumped(signal)),
        (None, Some(signal)) => Some(Exit::Signal(signal)),
        (None, None) => None,
    }
}

/// How a process that need not be a child has ended; `None` when the kernel cannot tell (before Linux 6.15),
/// or when it runs or was not reaped yet.
pub fn exit_of_any<Fd: AsFd>(process: Fd) -> Option<Exit> {
    let info = information(process, u64::from(Information::EXIT))?;
    (info.mask & u64::from(Information::EXIT) != 0).then(|| exit_of_wait_status(info.exit_code))
}

fn exit_of_wait_status(status: i32) -> Exit {
    match (libc::WIFEXITED(status), libc::WCOREDUMP(status)) {
        (true, _) => Exit::Code(libc::WEXITSTATUS(status)),
        (false, true) => Exit::Dumped(libc::WTERMSIG(status)),
        (false, false) => Exit::Signal(libc::WTERMSIG(status)),
    }
}

/// `struct pidfd_info` of linux/pidfd.h in its first version of 64 bytes.
#[repr(C)]
#[derive(Default)]
struct Information {
    mask: u64,
    cgroup: u64,
    process: u32,
    group: u32,
    parent: u32,
    ids: [u32; 8],
    exit_code: i32,
}

impl Information {
    const EXIT: u32 = 1 << 3;
    /// `PIDFD_GET_INFO`: `_IOWR(0xFF, 11, struct pidfd_info)`.
    const GET: u64 = 0xC040_FF0B;
}

fn information<Fd: AsFd>(process: Fd, mask: u64) -> Option<Information> {
    let mut info = Information { mask, ..Information::default() };
    // SAFETY: the request's size field says 64 bytes, which is what `Information` has (asserted in a test);
    // the kernel writes no more than that.
    let result = unsafe { libc::ioctl(process.as_fd().as_raw_fd(), Information::GET as _, &raw mut info) };
    (result == 0).then_some(info)
}

/// When a process was started, in clock ticks since boot: with its number it names a process for ever
/// (`/proc/PID/stat`, field 22).
///
/// # Errors
/// When there is no such process.
pub fn start_time(pid: u32) -> io::Result<u64> {
    let line = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The second field is the command's name in parentheses and may itself hold blanks and parentheses.
    let after_name = line.rsplit_once(") ").map(|(_, rest)| rest).unwrap_or_default();
    let field = after_name.split(' ').nth(19).and_then(|field| field.parse().ok());
    field.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn the_structure_has_the_size_of_the_request() {
        assert_eq!(size_of::<Information>(), 64);
    }

    #[test]
    #[allow(clippy::zombie_processes)]
    fn a_child_is_signalled_and_reaped_by_pidfd() {
        let child = Command::new("sleep").arg("1000").spawn().unwrap();
        let process = open(child.id()).unwrap();
        assert!(start_time(child.id()).unwrap() > 0);
        assert_eq!((try_wait(&process).unwrap(), has_ended(&process)), (None, false));
        signal(&process, Signal::TERM).unwrap();
        assert_eq!(wait(&process).unwrap(), Exit::Signal(15));
        assert!(has_ended(&process));
        assert!(matches!(exit_of_any(&process), None | Some(Exit::Signal(15))));
    }

    #[test]
    #[allow(clippy::zombie_processes)]
    fn real_time_signals_are_sent_and_wrong_ones_refused() {
        let child = Command::new("sleep").arg("1000").spawn().unwrap();
        let process = open(child.id()).unwrap();
        assert_eq!(signal_by_number(&process, 65).unwrap_err().raw_os_error(), Some(libc::EINVAL));
        signal_by_number(&process, 37).unwrap();
        assert_eq!(wait(&process).unwrap(), Exit::Signal(37));
    }

    #[test]
    fn a_stranger_that_runs_has_no_exit() {
        assert_eq!(exit_of_any(open(1).unwrap()), None);
    }
}
