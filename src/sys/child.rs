//! Programs that are started and must not outlive us, prctl(2) `PR_SET_PDEATHSIG`.

use rustix::process::{Signal, set_parent_process_death_signal};
use std::os::unix::process::CommandExt;
use std::process::Command;

/// Has a program get `SIGTERM` when the thread ends that starts it.
pub fn end_with_us(command: &mut Command) -> &mut Command {
    let bind = || Ok(set_parent_process_death_signal(Some(Signal::TERM))?);
    // SAFETY: between fork and exec the closure makes one system call, prctl(2), which is safe in a signal handler. It
    // allocates nothing and takes no lock.
    unsafe { command.pre_exec(bind) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::ExitStatusExt;

    #[test]
    fn a_program_ends_with_the_thread_that_started_it() {
        let started = std::thread::spawn(|| end_with_us(Command::new("sleep").arg("1000")).spawn().unwrap());
        let mut child = started.join().unwrap();
        assert_eq!(child.wait().unwrap().signal(), Some(libc::SIGTERM));
    }
}
