//! A program that runs beside a container: it is born in the container's control group, in its network.
//!
//! Born there, since a process that is moved between control groups makes everybody wait: the kernel lets all readers
//! of its threads' groups go first, which takes it ten milliseconds and more.

use super::clone::{Cloned, ControlGroup, NewNamespaces, Parent, clone_process, exit_now};
use super::namespace::{self, Namespace};
use super::session::{close_on_execute_from, reset_signals};
use super::{execute::execute_plainly, pidfd};
use rustix::io::{Errno, fcntl_dupfd_cloexec};
use std::ffi::{CStr, CString};
use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

/// Where it runs.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// Its control group.
    pub group: ControlGroup<'a>,
    /// A pidfd of a process in its network.
    pub network: BorrowedFd<'a>,
}

/// Starts a program without arguments and environment, in `/`, and gives a pidfd of it. It has the descriptors that it
/// is passed and no other, from 0 on.
///
/// # Errors
/// As clone(2), setns(2) and execve(2).
pub fn start(program: &Path, place: Place<'_>, passed: &[BorrowedFd<'_>]) -> io::Result<OwnedFd> {
    let path = CString::new(program.as_os_str().as_bytes())?;
    let count = i32::try_from(passed.len()).map_err(io::Error::other)?;
    // Out of the way of the numbers that they get.
    let lift = |fd: BorrowedFd<'_>| Ok(fcntl_dupfd_cloexec(fd, count)?);
    let passed = passed.iter().map(|fd| lift(*fd)).collect::<io::Result<Vec<_>>>()?;
    let network = lift(place.network)?;
    let (report, writer) = io::pipe()?;
    let report_to = lift(writer.as_fd())?;
    let pidfd = match clone_process(NewNamespaces::default(), Parent::Caller, place.group)? {
        Cloned::Child => {
            let error = become_program(&path, &network, &passed);
            let code = error.raw_os_error().unwrap_or(libc::EIO);
            // Nobody is left to be told of what fails here.
            let _ = rustix::io::write(&report_to, &code.to_ne_bytes());
            exit_now(1)
        }
        Cloned::Parent { pidfd, .. } => pidfd,
    };
    drop((writer, report_to, passed, network));
    executed(report.into()).inspect_err(|_| drop(pidfd::wait(&pidfd)))?;
    Ok(pidfd)
}

/// In the copy of a process that may have more threads: system calls alone, which take no lock and allocate nothing.
/// Returns only on failure.
fn become_program(path: &CStr, network: &OwnedFd, passed: &[OwnedFd]) -> io::Error {
    reset_signals();
    let prepared = close_on_execute_from(0)
        .and_then(|()| namespace::enter(network, &[Namespace::Network]))
        .and_then(|()| Ok(rustix::process::chdir(c"/")?))
        .and_then(|()| (0..).zip(passed).try_for_each(|(number, fd)| put(fd, number)));
    match prepared {
        Ok(()) => execute_plainly(path),
        Err(error) => error,
    }
}

fn put(fd: &OwnedFd, number: i32) -> io::Result<()> {
    // SAFETY: both are numbers of descriptors in a process that executes another program next; what was at the second
    // is used by nobody any more.
    match unsafe { libc::dup2(fd.as_raw_fd(), number) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

/// The pipe is closed by execve(2), unless there was something to say before.
fn executed(report: OwnedFd) -> io::Result<()> {
    let mut code = [0; size_of::<i32>()];
    match File::from(report).read(&mut code)? {
        0 => Ok(()),
        _ => Err(Errno::from_raw_os_error(i32::from_ne_bytes(code)).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::read_link;
    use std::process::Command;

    const PLACE: fn(&OwnedFd) -> Place<'_> =
        |network| Place { group: ControlGroup::Callers, network: network.as_fd() };

    fn own() -> OwnedFd {
        pidfd::open(std::process::id()).unwrap()
    }

    #[test]
    fn a_program_is_started_in_another_network_with_what_it_is_passed() {
        let mut other = Command::new("unshare").args(["--net", "sleep", "1000"]).spawn().unwrap();
        let inside = format!("/proc/{}/ns/net", other.id());
        let own = read_link("/proc/self/ns/net").unwrap();
        while read_link(&inside).unwrap() == own {
            assert!(other.try_wait().unwrap().is_none());
            std::thread::yield_now();
        }
        let network = pidfd::open(other.id()).unwrap();
        let (reader, script) = io::pipe().unwrap();
        let (mut told, answer) = io::pipe().unwrap();
        let passed = [reader.as_fd(), answer.as_fd(), answer.as_fd(), answer.as_fd()];
        let shell = start(Path::new("/bin/sh"), PLACE(&network), &passed).unwrap();
        drop(answer);
        io::Write::write_all(
            &mut &script,
            b"readlink /proc/self/ns/net >&3; pwd; ls /proc/self/fd | wc -l; env",
        )
        .unwrap();
        drop(script);
        let mut said = String::new();
        told.read_to_string(&mut said).unwrap();
        let mut lines = said.lines();
        assert_eq!(lines.next(), read_link(inside).unwrap().to_str());
        assert_eq!(lines.next(), Some("/"));
        // The directory that is being listed is one of them.
        assert_eq!(lines.next(), Some("5"));
        assert!(lines.all(|line| line == "PWD=/"), "{said}");
        assert_eq!(pidfd::wait(&shell).unwrap(), pidfd::Exit::Code(0));
        other.kill().unwrap();
        other.wait().unwrap();
    }

    #[test]
    fn what_keeps_it_from_being_started_is_told() {
        let error = start(Path::new("/nonexistent"), PLACE(&own()), &[]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        let no_network = OwnedFd::from(File::open("/dev/null").unwrap());
        let error = start(Path::new("/bin/true"), PLACE(&no_network), &[]).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EINVAL));
    }
}
