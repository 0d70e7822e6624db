//! What `/proc` tells about another process, proc(5), and work done under its ids.

use rustix::fs::OFlags;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

/// One line of `/proc/PID/status` after another is looked at, for these fields only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Status {
    /// The process of the thread.
    pub process: u32,
    /// The user id for file access, as our own user namespace sees it.
    pub file_uid: u32,
    /// The group id for file access.
    pub file_gid: u32,
    /// The file mode creation mask, umask(2).
    pub umask: u32,
}

/// Reads `/proc/TID/status`.
///
/// # Errors
/// When the thread is gone or the file is not as proc(5) says.
pub fn status(tid: u32) -> io::Result<Status> {
    let text = fs::read_to_string(format!("/proc/{tid}/status"))?;
    let field = |name: &str, column: usize, radix: u32| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        let word = line.and_then(|line| line.split_whitespace().nth(column));
        word.and_then(|word| u32::from_str_radix(word, radix).ok()).ok_or(io::ErrorKind::InvalidData)
    };
    Ok(Status {
        process: field("Tgid", 0, 10)?,
        file_uid: field("Uid", 3, 10)?,
        file_gid: field("Gid", 3, 10)?,
        umask: field("Umask", 0, 8)?,
    })
}

/// Sends a signal to all processes of a group, kill(2).
///
/// # Errors
/// `ESRCH` where there is no such group, `EINVAL` where there is no such signal.
pub fn signal_group(leader: u32, number: i32) -> io::Result<()> {
    let leader =
        i32::try_from(leader).ok().filter(|leader| *leader > 1).ok_or(io::ErrorKind::InvalidInput)?;
    // SAFETY: kill(2) takes numbers only.
    match unsafe { libc::kill(-leader, number) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// The signals that a process waits for by sigtimedwait(2), as a mask like those of proc_pid_status(5): as long as it
/// does, the kernel tells of none of them that it is blocked. `None` where the process does something else.
pub fn awaited_signals(pid: u32) -> Option<u64> {
    // proc_pid_syscall(5): the number of the call, and its arguments in hexadecimal.
    let call = fs::read_to_string(format!("/proc/{pid}/syscall")).ok()?;
    let mut words = call.split(' ');
    let number: libc::c_long = words.next()?.parse().ok()?;
    let set = u64::from_str_radix(words.next()?.strip_prefix("0x")?, 16).ok()?;
    if number != libc::SYS_rt_sigtimedwait {
        return None;
    }
    let mut mask = [0; 8];
    File::open(format!("/proc/{pid}/mem")).ok()?.read_exact_at(&mut mask, set).ok()?;
    Some(u64::from_ne_bytes(mask))
}

/// The control group of a process in the unified hierarchy, from the root that our own namespace sees on:
/// `/system.slice/x.service`.
///
/// # Errors
/// When the process is gone or is in no unified hierarchy.
pub fn control_group(pid: u32) -> io::Result<String> {
    let lines = fs::read_to_string(format!("/proc/{pid}/cgroup"))?;
    let group = lines.lines().find_map(|line| line.strip_prefix("0::"));
    group.map(str::to_owned).ok_or(io::ErrorKind::NotFound.into())
}

/// The words of a process with blanks between them, proc_pid_cmdline(5), and its name in brackets where it has none; no
/// more of them than is read at a glance.
///
/// # Errors
/// When the process is gone.
pub fn command_line(pid: u32) -> io::Result<String> {
    const LENGTH_MAX: u64 = 4096;
    let mut words = Vec::new();
    File::open(format!("/proc/{pid}/cmdline"))?.take(LENGTH_MAX).read_to_end(&mut words)?;
    let words = String::from_utf8_lossy(&words).trim_end_matches('\0').replace('\0', " ");
    match words.as_str() {
        "" => Ok(format!("[{}]", fs::read_to_string(format!("/proc/{pid}/comm"))?.trim_end())),
        _ => Ok(words),
    }
}

/// Whether a process is in the control group of another one, or below it.
pub fn is_in_group_of(pid: u32, first: u32) -> bool {
    match (control_group(pid), control_group(first)) {
        (Ok(group), Ok(own)) => {
            group.strip_prefix(&own).is_some_and(|below| below.is_empty() || below.starts_with('/'))
        }
        _ => false,
    }
}

/// The flags of a descriptor of another thread, with `CLOEXEC` where it is set.
///
/// # Errors
/// When the thread is gone or has no such descriptor.
pub fn descriptor_flags(tid: u32, fd: u32) -> io::Result<OFlags> {
    let text = fs::read_to_string(format!("/proc/{tid}/fdinfo/{fd}"))?;
    let flags = text.lines().find_map(|line| line.strip_prefix("flags:"));
    let flags = flags.and_then(|flags| u32::from_str_radix(flags.trim(), 8).ok());
    Ok(OFlags::from_bits_retain(flags.ok_or(io::ErrorKind::InvalidData)?))
}

/// Reads memory of another thread from `address` on, as much as fits and is mapped.
///
/// # Errors
/// When the thread is gone or the address is not mapped.
pub fn read_memory(tid: u32, address: u64, buffer: &mut [u8]) -> io::Result<usize> {
    File::open(format!("/proc/{tid}/mem"))?.read_at(buffer, address)
}

/// What a process is called, proc_pid_comm(5).
pub fn name(pid: u32) -> Option<String> {
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
    Some(name.trim_end().to_owned())
}

/// Whether a process is in our own pid namespace.
pub fn is_of_host(pid: u32) -> bool {
    let namespace = |process: &str| fs::read_link(format!("/proc/{process}/ns/pid")).ok();
    namespace(&pid.to_string()).is_some_and(|its| Some(its) == namespace("self"))
}

/// The root directory of a thread, a path to open it by.
pub fn root(tid: u32) -> PathBuf {
    PathBuf::from(format!("/proc/{tid}/root"))
}

/// The descriptors of a thread: their numbers, and what they are of, proc_pid_fd(5).
///
/// # Errors
/// When the thread is gone.
pub fn descriptors(tid: u32) -> io::Result<impl Iterator<Item = (u32, PathBuf)>> {
    let descriptors = fs::read_dir(format!("/proc/{tid}/fd"))?;
    Ok(descriptors.filter_map(|descriptor| {
        let descriptor = descriptor.ok()?;
        let number = descriptor.file_name().to_str()?.parse().ok()?;
        Some((number, fs::read_link(descriptor.path()).ok()?))
    }))
}

/// The sockets that a process has open: its descriptors, and the numbers of their inodes.
pub fn sockets(pid: u32) -> Vec<(u32, u64)> {
    let inode = |file: PathBuf| file.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok();
    let descriptors = descriptors(pid).into_iter().flatten();
    descriptors.filter_map(|(number, file)| Some((number, inode(file)?))).collect()
}

/// Whether a process has a socket open, by the number of the socket's inode.
pub fn holds_socket(pid: u32, inode: u64) -> bool {
    sockets(pid).iter().any(|(_, own)| *own == inode)
}

/// Finds a process that has a socket open, by the number of the socket's inode: its name and id.
pub fn holder_of_socket(inode: u64) -> Option<(String, u32)> {
    let processes = fs::read_dir("/proc").ok()?;
    let pids = processes.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
    let pid = pids.into_iter().find(|pid| holds_socket(*pid, inode))?;
    Some((name(pid)?, pid))
}

/// Runs `work` with the ids of another process for file access, setfsuid(2), so that the kernel checks and
/// records them as if that process had done it. Only this thread changes, and is restored at the end.
pub fn with_file_ids<T>(uid: u32, gid: u32, work: impl FnOnce() -> T) -> T {
    let _restore = FileIds { gid: set_file_gid(gid), uid: set_file_uid(uid) };
    work()
}

/// The ids to go back to, also when `work` panics.
struct FileIds {
    uid: u32,
    gid: u32,
}

impl Drop for FileIds {
    fn drop(&mut self) {
        set_file_uid(self.uid);
        set_file_gid(self.gid);
    }
}

fn set_file_uid(uid: u32) -> u32 {
    // SAFETY: takes and returns numbers. It cannot fail; an id that may not be set leaves the old one.
    let old = unsafe { libc::setfsuid(uid) };
    old.cast_unsigned()
}

fn set_file_gid(gid: u32) -> u32 {
    // SAFETY: as for the user id.
    let old = unsafe { libc::setfsgid(gid) };
    old.cast_unsigned()
}

/// The numbers of a process in the pid namespaces that it is in, innermost last, proc_pid_status(5) `NSpid`; none when
/// it is gone.
pub fn numbers(pid: u32) -> Vec<u32> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let numbers = status.lines().find_map(|line| line.strip_prefix("NSpid:")).unwrap_or_default();
    numbers.split_whitespace().filter_map(|number| number.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;
    use std::os::unix::process::{CommandExt, ExitStatusExt};

    #[test]
    fn one_that_waits_for_signals_tells_for_which() {
        let wait = "import signal; signal.sigwait([signal.SIGUSR1, signal.SIGTERM])";
        let mut waiting = std::process::Command::new("python3").args(["-c", wait]).spawn().unwrap();
        let awaited = loop {
            match awaited_signals(waiting.id()) {
                Some(mask) => break mask,
                None => std::thread::yield_now(),
            }
        };
        assert_eq!(awaited, 1 << (libc::SIGUSR1 - 1) | 1 << (libc::SIGTERM - 1));
        waiting.kill().unwrap();
        waiting.wait().unwrap();
        assert_eq!(awaited_signals(waiting.id()), None);
    }

    #[test]
    fn a_group_gets_a_signal() {
        let mut leader = std::process::Command::new("sleep").arg("1000").process_group(0).spawn().unwrap();
        signal_group(leader.id(), 37).unwrap();
        assert_eq!(leader.wait().unwrap().signal(), Some(37));
        assert!(signal_group(0, 37).is_err());
    }

    #[test]
    fn our_own_status_and_memory_are_read() {
        let pid = std::process::id();
        assert!(command_line(pid).unwrap().contains("sampan"));
        let status = status(pid).unwrap();
        assert_eq!(status.process, pid);
        assert_eq!(status.file_uid, rustix::process::getuid().as_raw());
        let text = *b"sampan";
        let mut copy = [0; 6];
        assert_eq!(read_memory(pid, text.as_ptr() as u64, &mut copy).unwrap(), 6);
        assert_eq!(copy, text);
    }

    #[test]
    fn a_process_is_in_its_own_group_and_one_that_is_not_there_in_none() {
        let pid = std::process::id();
        assert!(is_in_group_of(pid, pid));
        assert!(!is_in_group_of(u32::MAX, pid));
        assert!(!is_in_group_of(pid, u32::MAX));
    }

    #[test]
    fn close_on_exec_is_seen() {
        use std::os::fd::AsRawFd;
        let file = File::open("/dev/null").unwrap();
        let number = file.as_raw_fd().cast_unsigned();
        assert!(descriptor_flags(std::process::id(), number).unwrap().contains(OFlags::CLOEXEC));
    }

    #[test]
    fn files_made_under_other_ids_belong_to_them_and_ours_come_back() {
        let directory = tempfile::tempdir().unwrap();
        fs::set_permissions(directory.path(), std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
        let theirs = directory.path().join("theirs");
        with_file_ids(1234, 2345, || File::create(&theirs)).unwrap();
        let metadata = fs::metadata(&theirs).unwrap();
        assert_eq!((metadata.uid(), metadata.gid()), (1234, 2345));
        let ours = directory.path().join("ours");
        File::create(&ours).unwrap();
        assert_eq!(fs::metadata(&ours).unwrap().uid(), rustix::process::getuid().as_raw());
    }
}
