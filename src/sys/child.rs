//! Programs that are started: what they have of us, and that they do not outlive us.

use super::namespace::{self, Namespace};
use super::pidfd;
use super::session::close_on_execute_from;
use rustix::io::fcntl_dupfd_cloexec;
use rustix::process::{Pid, Signal, getppid, set_parent_process_death_signal};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};

/// The first descriptor that is none of the standard ones.
const FIRST_OTHER: u32 = 3;

/// Those that come over the bus are not marked to be closed by execve(2) by who receives them.
fn start_alone(command: &mut Command) -> io::Result<Child> {
    close_on_execute_from(FIRST_OTHER)?;
    command.spawn()
}

/// Starts a program that has no descriptor of ours but its standard ones, and gives one of its process. Where there is
/// none left for that, the program does not run on.
///
/// # Errors
/// As [`Command::spawn`] and [`pidfd::open`].
pub fn start_held(command: &mut Command) -> io::Result<(Child, OwnedFd)> {
    let mut child = start_alone(command)?;
    match pidfd::open(child.id()) {
        Ok(process) => Ok((child, process)),
        Err(error) => {
            // It is killed, so that it is not waited for.
            let _ = child.kill().and_then(|()| child.wait());
            Err(error)
        }
    }
}

/// Where a program runs that is started beside a container.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// `cgroup.procs` of its control group, open for writing.
    pub group: BorrowedFd<'a>,
    /// A pidfd of a process in its network.
    pub network: BorrowedFd<'a>,
}

/// As [`start_held`], in another control group and network, with descriptors that follow the standard ones.
///
/// # Errors
/// As [`start_held`], and when the place has gone.
pub fn start_at(
    command: &mut Command,
    place: Place<'_>,
    passed: &[BorrowedFd<'_>],
) -> io::Result<(Child, OwnedFd)> {
    let first = FIRST_OTHER.cast_signed();
    let beyond = first + i32::try_from(passed.len()).map_err(io::Error::other)?;
    // Out of the way of the numbers that they get.
    let lift = |fd: BorrowedFd<'_>| Ok(fcntl_dupfd_cloexec(fd, beyond)?);
    let passed = passed.iter().map(|fd| lift(*fd)).collect::<io::Result<Vec<_>>>()?;
    let (group, network) = (lift(place.group)?, lift(place.network)?);
    let enter = move || {
        rustix::io::write(&group, b"0")?;
        namespace::enter(&network, &[Namespace::Network])?;
        for (number, fd) in (first..).zip(&passed) {
            // SAFETY: both numbers are descriptors that only this closure deals with; the new one is closed by nobody.
            if unsafe { libc::dup2(fd.as_raw_fd(), number) } < 0 {
                return Err(io::Error::last_os_error());
            }
        }
        Ok(())
    };
    // SAFETY: between fork and exec the closure makes write(2), setns(2) and dup2(2), which are plain system calls. It
    // allocates nothing and takes no lock.
    start_held(unsafe { command.pre_exec(enter) })
}

/// Has a program get `SIGTERM` when the thread ends that starts it, prctl(2) `PR_SET_PDEATHSIG`.
pub fn end_with_us(command: &mut Command) -> &mut Command {
    let bind = || Ok(set_parent_process_death_signal(Some(Signal::TERM))?);
    // SAFETY: between fork and exec the closure makes one system call, prctl(2), which is safe in a signal handler. It
    // allocates nothing and takes no lock.
    unsafe { command.pre_exec(bind) }
}

/// Has this process, which that one is the parent of, be killed when it dies. `false` where it has died already, or
/// nothing would: nobody else ends this one then.
pub fn is_killed_with(parent: Pid) -> bool {
    set_parent_process_death_signal(Some(Signal::KILL)).is_ok() && getppid() == Some(parent)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::io::{FdFlags, fcntl_setfd};
    use std::io::Read as _;
    use std::os::fd::AsFd as _;
    use std::os::unix::process::ExitStatusExt;

    #[test]
    fn a_program_holds_nothing_of_ours_open() {
        let (mut reader, writer) = std::io::pipe().unwrap();
        fcntl_setfd(&writer, FdFlags::empty()).unwrap();
        let mut child = start_alone(Command::new("sleep").arg("1000")).unwrap();
        drop(writer);
        assert_eq!(reader.read(&mut [0]).unwrap(), 0);
        child.kill().unwrap();
        child.wait().unwrap();
    }

    #[test]
    fn a_program_is_started_in_another_network_with_what_it_is_passed() {
        let asleep = || {
            let mut child = Command::new("unshare").args(["--net", "sleep", "1000"]).spawn().unwrap();
            let network = std::fs::read_link("/proc/self/ns/net").unwrap();
            let inside = format!("/proc/{}/ns/net", child.id());
            while std::fs::read_link(&inside).unwrap() == network {
                assert!(child.try_wait().unwrap().is_none());
                std::thread::yield_now();
            }
            child
        };
        let mut other = asleep();
        let network = pidfd::open(other.id()).unwrap();
        // What is written there has a process moved, where it is the file of a control group.
        let directory = tempfile::tempdir().unwrap();
        let group = std::fs::File::create(directory.path().join("cgroup.procs")).unwrap();
        let (mut reader, writer) = std::io::pipe().unwrap();
        let place = Place { group: group.as_fd(), network: network.as_fd() };
        let mut command = Command::new("sh");
        command.args(["-c", "readlink /proc/self/ns/net >&3"]);
        let (mut child, _) = start_at(&mut command, place, &[writer.as_fd()]).unwrap();
        drop((writer, command));
        let mut said = String::new();
        reader.read_to_string(&mut said).unwrap();
        let there = std::fs::read_link(format!("/proc/{}/ns/net", other.id())).unwrap();
        assert_eq!(said.trim_end(), there.to_str().unwrap());
        assert!(child.wait().unwrap().success());
        assert_eq!(std::fs::read(directory.path().join("cgroup.procs")).unwrap(), b"0");
        other.kill().unwrap();
        other.wait().unwrap();
    }

    #[test]
    fn a_program_is_held_by_its_process() {
        let (child, process) = start_held(&mut Command::new("true")).unwrap();
        assert_eq!(pidfd::number(&process).unwrap(), child.id());
        assert_eq!(pidfd::wait(&process).unwrap(), pidfd::Exit::Code(0));
    }

    #[test]
    fn a_program_ends_with_the_thread_that_started_it() {
        let started = std::thread::spawn(|| end_with_us(Command::new("sleep").arg("1000")).spawn().unwrap());
        let mut child = started.join().unwrap();
        assert_eq!(child.wait().unwrap().signal(), Some(libc::SIGTERM));
    }
}
