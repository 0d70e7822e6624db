//! Programs that are started: what they have of us, and that they do not outlive us.

use super::pidfd;
use super::session::close_on_execute_from;
use rustix::process::{Pid, Signal, getppid, set_parent_process_death_signal};
use std::io;
use std::os::fd::OwnedFd;
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
