//! Ends runs: the stop signal, SIGKILL, and what is left on disk.

use super::Manager;
use super::live::{LiveRun, Process, until_ended};
use crate::launch::system::STOP_SIGNAL;
use crate::manager::accounting;
use crate::sys::{pidfd, process};
use crate::unit::name::UnitName;
use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;

impl Manager {
    /// Sends the stop signal of a run.
    pub(super) fn terminate(&mut self, unit: &UnitName, run: u64) {
        let Some(live) = self.run_of(unit, run) else { return };
        live.stopping.set(true);
        self.checks.end(unit);
        if !live.executed.get() {
            live.cancel.notify_one();
            return;
        }
        let Some(process) = live.process.get() else { return };
        let signal = heard(process.pid, live.stop_signal.get());
        live.drain_proxy();
        if signal == libc::SIGKILL {
            live.kill();
        } else if !handles(process.pid, signal) {
            self.stand_in(&live, process.pid, signal);
        } else if !live.signalled.get()
            && let Err(error) = send(&process.pidfd, signal)
        {
            tracing::debug!("{unit}: signal {signal} to process {}: {error}", process.pid);
        }
        // Whoever stood still hears the signal before it accepts anybody.
        self.thaw(&live);
    }

    /// The kernel drops a signal to the first process of a pid namespace which has no handler for it,
    /// pid_namespaces(7). Outside of a container that signal would have ended the process: so it does here.
    fn stand_in(&self, live: &Rc<LiveRun>, first: u32, signal: i32) {
        let others = self.signal_others(live, first, signal);
        live.stood_for.set(Some(signal));
        drop(tokio::task::spawn_local(kill_after(live.clone(), others)));
    }

    /// Hands a signal on to the first process of a unit, for whoever started it at a terminal.
    pub(super) fn hand_on(&self, unit: &UnitName, signal: i32) {
        let Some(live) = self.runs.get(unit) else { return };
        let Some(process) = live.process.get() else { return };
        if is_dropped(process.pid, signal) {
            self.stand_in(live, process.pid, signal);
        } else if let Err(error) = send(&process.pidfd, signal) {
            tracing::debug!("{unit}: signal {signal} to process {}: {error}", process.pid);
        }
    }

    /// Sends the signal of the watchdog to all processes, so that each can leave a core.
    pub(super) fn abort(&mut self, unit: &UnitName, run: u64) {
        let container = self.machine.unit(unit).and_then(|managed| managed.container());
        let Some(signal) = container.map(|container| container.watchdog_signal) else { return };
        let Some(live) = self.run_of(unit, run) else { return };
        let Some(process) = live.process.get() else { return };
        self.thaw(&live);
        if handles(process.pid, signal) {
            self.signal_others(&live, process.pid, signal);
            // It may have ended by itself, which is as good.
            let _ = send(&process.pidfd, signal);
        } else {
            self.stand_in(&live, process.pid, signal);
        }
    }

    /// Kills all processes of a run.
    pub(super) fn kill(&mut self, unit: &UnitName, run: u64) {
        let Some(live) = self.run_of(unit, run) else { return };
        live.stopping.set(true);
        self.checks.end(unit);
        live.cancel.notify_one();
        live.kill();
    }

    /// Sends a signal on somebody's request.
    ///
    /// # Errors
    /// When the unit has no process, or the signal does not exist.
    pub fn signal_unit(&self, unit: &UnitName, whom: Whom, signal: i32) -> Result<(), String> {
        let live = self.runs.get(unit).and_then(|live| Some((live, live.process.get()?)));
        let (live, first) = live.ok_or_else(|| format!("Unit {unit} has no process: it is not running."))?;
        if whom == Whom::Control {
            let command = self.control_process(unit);
            let command = command
                .ok_or_else(|| format!("Unit {unit} has no control process: no command runs in it."))?;
            return send(&command, signal).map_err(|error| {
                format!("Cannot send signal {signal} to the control process of {unit}: {error}")
            });
        }
        let failed = |error| format!("Cannot send signal {signal} to the main process of {unit}: {error}");
        if whom == Whom::Main
            && let Some(named) = self.named_main(unit, first)
        {
            return send(&named, signal).map_err(failed);
        }
        match (is_dropped(first.pid, signal), whom) {
            (true, Whom::All) => self.stand_in(live, first.pid, signal),
            (true, _) => live.kill_for(signal),
            (false, _) => {
                if whom == Whom::All {
                    self.signal_others(live, first.pid, signal);
                }
                send(&first.pidfd, signal).map_err(failed)?;
            }
        }
        Ok(())
    }

    /// The process that the payload names as its main one, where that is another than the first and there. Its number
    /// may be another's by then, so the descriptor is there before it is looked at.
    pub(super) fn named_main(&self, unit: &UnitName, first: &Process) -> Option<OwnedFd> {
        let pid = self.machine.unit(unit)?.run.as_ref()?.main_pid.filter(|pid| *pid != first.pid)?;
        let process = pidfd::open(pid).ok()?;
        process::is_in_group_of(pid, first.pid).then_some(process)
    }

    /// The command around the payload that runs in its container, by its number and when it began.
    fn control_process(&self, unit: &UnitName) -> Option<OwnedFd> {
        let (pid, start_time) = self.facts.get(unit)?.commands?.process?;
        let process = pidfd::open(pid).ok()?;
        (pidfd::start_time(pid).ok()? == start_time).then_some(process)
    }

    pub(super) fn run_of(&self, unit: &UnitName, run: u64) -> Option<Rc<LiveRun>> {
        self.runs.get(unit).filter(|live| live.number() == run).cloned()
    }

    /// Sends a signal to the processes of a container but its first, and answers with them.
    fn signal_others(&self, live: &LiveRun, first: u32, signal: i32) -> Vec<OwnedFd> {
        // What moves bytes for them is not theirs, and ends after them.
        let ours = live.proxy.borrow().as_ref().and_then(|proxy| pidfd::number(&**proxy).ok());
        let others = accounting::processes(&self.paths, first).into_iter();
        let others = others.filter(|pid| *pid != first && Some(*pid) != ours);
        let signalled = |pid| {
            let process = pidfd::open(pid).ok()?;
            send(&process, signal).ok()?;
            Some(process)
        };
        others.filter_map(signalled).collect()
    }
}

/// Ends a first process that is deaf to its signal once the others, which may clean up first, have ended.
async fn kill_after(live: Rc<LiveRun>, others: Vec<OwnedFd>) {
    for process in others {
        until_ended(process.as_fd()).await;
    }
    live.kill();
}

/// Which processes of a container a signal is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whom {
    /// The one that the payload names as its main one, or the first.
    Main,
    /// The command around the payload that runs in its container.
    Control,
    /// All.
    All,
}

pub(super) fn send(process: &OwnedFd, signal: i32) -> io::Result<()> {
    pidfd::signal_by_number(process, signal)
}

/// The signal that a first process understands as the one to stop. Of the inits that boot a system only systemd knows
/// `SIGRTMIN+3`; others have SIGTERM for it, as s6-svscan(8) and the init of busybox.
fn heard(first: u32, signal: i32) -> i32 {
    let is_other = signal == STOP_SIGNAL && !handles(first, signal) && handles(first, libc::SIGTERM);
    if is_other { libc::SIGTERM } else { signal }
}

/// Whether the kernel drops a signal to a first process of which any other process would end, signal(7).
fn is_dropped(first: u32, signal: i32) -> bool {
    const HARMLESS: [i32; 8] = [
        libc::SIGCHLD,
        libc::SIGURG,
        libc::SIGWINCH,
        libc::SIGCONT,
        libc::SIGSTOP,
        libc::SIGTSTP,
        libc::SIGTTIN,
        libc::SIGTTOU,
    ];
    (1..=libc::SIGRTMAX()).contains(&signal)
        && signal != libc::SIGKILL
        && !HARMLESS.contains(&signal)
        && !handles(first, signal)
}

/// Whether a process catches, ignores or blocks a signal, one that it takes by signalfd(2): bit N-1 of `SigCgt`, `SigIgn`
/// and `SigBlk` in `/proc/PID/status`, proc_pid_status(5). Or waits for it.
fn handles(pid: u32, signal: i32) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let mask = |field: &str| {
        let digits = status.lines().find_map(|line| line.strip_prefix(field))?;
        u64::from_str_radix(digits.trim(), 16).ok()
    };
    let masks = ["SigCgt:", "SigIgn:", "SigBlk:"].map(mask);
    let [Some(caught), Some(ignored), Some(blocked)] = masks else { return true };
    let awaited = process::awaited_signals(pid).unwrap_or_default();
    (1..=64).contains(&signal) && (caught | ignored | blocked | awaited) & (1 << (signal - 1)) != 0
}
