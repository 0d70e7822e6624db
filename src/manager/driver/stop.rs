//! Ends runs: the stop signal, SIGKILL, and what is left on disk.

use super::Manager;
use super::launch::LiveRun;
use crate::manager::accounting;
use crate::sys::pidfd;
use crate::unit::name::UnitName;
use rustix::process::Signal;
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::rc::Rc;

impl Manager {
    /// Sends the stop signal of a run.
    pub(super) fn terminate(&mut self, unit: &UnitName, run: u64) {
        let Some(live) = self.run_of(unit, run) else { return };
        if !live.executed.get() {
            live.cancel.notify_one();
            return;
        }
        let Some(process) = live.process.get() else { return };
        let signal = live.stop_signal.get();
        // The kernel drops a signal to the first process of a pid namespace which has no handler for it,
        // pid_namespaces(7). Outside of a container that signal would have ended the process: so it does here.
        let sent = if handles(process.pid, signal) {
            if live.signalled.get() { Ok(()) } else { send(&process.pidfd, signal) }
        } else if self.signal_others(process.pid, signal) {
            Ok(())
        } else {
            live.stood_for.set(Some(signal));
            pidfd::signal(&process.pidfd, Signal::KILL)
        };
        if let Err(error) = sent {
            tracing::debug!("{unit}: signal {signal} to process {}: {error}", process.pid);
        }
    }

    /// Kills all processes of a run.
    pub(super) fn kill(&mut self, unit: &UnitName, run: u64) {
        let Some(live) = self.run_of(unit, run) else { return };
        live.cancel.notify_one();
        live.kill();
    }

    /// Sends a signal on somebody's request.
    ///
    /// # Errors
    /// When the unit has no process, or the signal does not exist.
    pub fn signal_unit(&self, unit: &UnitName, whom: Whom, signal: i32) -> Result<(), String> {
        let process = self.runs.get(unit).and_then(|live| live.process.get());
        let process = process.ok_or_else(|| format!("Unit {unit} has no process: it is not running."))?;
        if whom == Whom::All {
            self.signal_others(process.pid, signal);
        }
        send(&process.pidfd, signal).map_err(|error| {
            format!("Cannot send signal {signal} to process {} of {unit}: {error}", process.pid)
        })
    }

    fn run_of(&self, unit: &UnitName, run: u64) -> Option<Rc<LiveRun>> {
        self.runs.get(unit).filter(|live| live.number() == run).cloned()
    }

    /// Sends a signal to the processes of a container but its first; tells whether there was any.
    fn signal_others(&self, first: u32, signal: i32) -> bool {
        let Some(directory) = accounting::directory(&self.paths, first) else { return false };
        let processes = fs::read_to_string(directory.join("cgroup.procs")).unwrap_or_default();
        let others =
            processes.lines().filter_map(|line| line.parse::<u32>().ok()).filter(|pid| *pid != first);
        let mut any = false;
        for pid in others {
            any |= pidfd::open(pid).and_then(|pidfd| send(&pidfd, signal)).is_ok();
        }
        any
    }
}

/// Which processes of a container a signal is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whom {
    /// The first one.
    Main,
    /// All.
    All,
}

fn send(process: &OwnedFd, signal: i32) -> io::Result<()> {
    let signal = Signal::from_named_raw(signal).ok_or(io::ErrorKind::InvalidInput)?;
    pidfd::signal(process, signal)
}

/// Whether a process catches a signal: bit N-1 of `SigCgt` in `/proc/PID/status`, proc_pid_status(5).
fn handles(pid: u32, signal: i32) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(u64::MAX);
    (1..=64).contains(&signal) && mask & (1 << (signal - 1)) != 0
}

/// Removes the changes of an ephemeral root: out of the way at once, so that the next run has the place, and
/// from the disk in the background, because it can be a lot.
pub(super) fn discard(directory: &Path, run: u64) {
    let aside = directory.with_extension(format!("gone-{run}"));
    if fs::rename(directory, &aside).is_err() {
        return;
    }
    drop(tokio::task::spawn_blocking(move || {
        if let Err(error) = fs::remove_dir_all(&aside) {
            tracing::warn!("{}: cannot remove: {error}", aside.display());
        }
    }));
}
