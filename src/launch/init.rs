//! A minimal init: the container's first process stays, hands signals on to the payload, reaps what nobody else
//! does, and ends as the payload has ended.
//!
//! It is the launcher itself, which a program of its own could not be better than: it needs no file of the image,
//! and stays what it was before, not dumpable and of the host's user namespace as far as ptrace(2) is concerned, so
//! that nothing in the container can look into it or lead it. It keeps no descriptor, one capability, and few
//! system calls.

use super::capability::{self, Holder};
use super::execute::{self, Passed};
use super::failure::During;
use super::filter;
use super::protocol::{StepError, UNSTARTED};
use super::step::{Execute, SystemCalls};
use crate::sys::clone::{Cloned, ControlGroup, NewNamespaces, Parent, clone_process, exit_now};
use crate::sys::{init, seccomp};
use crate::unit::model::ExitStatus;
use crate::unit::system_calls::{CallBase, SystemCallFilter};
use rustix::process::{WaitOptions, wait};
use rustix::thread::set_no_new_privs;
use std::os::unix::net::UnixDatagram;

/// All that it does from then on; the rest is what the C library does around it.
const CALLS: [&str; 11] = [
    "rt_sigtimedwait",
    "rt_sigprocmask",
    "rt_sigreturn",
    "restart_syscall",
    "wait4",
    "kill",
    "close_range",
    "munmap",
    "brk",
    "exit",
    "exit_group",
];

/// Signals to processes of any user of the container.
const CAPABILITY: &str = "CAP_KILL";

/// As shells tell of a signal.
const SIGNALLED: i32 = 128;

/// How a process ends whose payload cannot be waited for.
const LOST: i32 = 255;

/// Its own number.
const FIRST: i32 = 1;
/// By these it tells a process that waits for its turn that it has come, or that it will not.
const GO: i32 = libc::SIGUSR1;
const LEAVE: i32 = libc::SIGUSR2;

/// Starts the payload as a child and looks after it. Returns in the child alone, and on failure.
///
/// Of several commands each is a child from the beginning, which waits for its turn: later this process has no right
/// to make one.
pub fn begin(plan: &Execute, passed: Passed<'_>) -> Result<(), StepError> {
    // Before there is a child whose end could be missed.
    init::block_signals();
    let mut children = Vec::with_capacity(1 + plan.then.len());
    for index in 0..=plan.then.len() {
        let cloned = clone_process(NewNamespaces::default(), Parent::Caller, ControlGroup::Callers);
        match cloned.during("start init", "clone")? {
            Cloned::Child if index == 0 => {
                tell_number(plan);
                return execute::join_payload(plan, passed);
            }
            Cloned::Child => exit_now(follow(plan, index, passed)),
            Cloned::Parent { pid, .. } => children.push(i32::try_from(pid).unwrap_or_default()),
        }
    }
    give_up()?;
    init::live_without_descriptors(|| accompany(children, plan))
}

/// Waits for the turn of a command that follows others, and becomes it. How it ends where it does not.
fn follow(plan: &Execute, index: usize, passed: Passed<'_>) -> i32 {
    let all = 1 + plan.then.len();
    // The manager waits for the first one to be executed, which it sees when nobody holds this any more.
    if init::blind(passed.control).is_err() {
        return LOST;
    }
    // Shown by ps(1) and top(1).
    let _ = rustix::thread::set_name(c"sampan-init");
    loop {
        match init::next_signal_and_sender() {
            Ok((GO, FIRST)) => break,
            Ok((LEAVE, FIRST)) => {
                say(&format!("command {index} of {all} has failed, and those after it are not run"));
                return 0;
            }
            _ => {}
        }
    }
    tell_number(plan);
    let own = plan.then.get(index - 1).cloned().unwrap_or_default();
    let plan = Execute { command: own, ..plan.clone() };
    if let Err(error) = execute::join_payload(&plan, passed) {
        say(&format!("command {} of {all}: {error}", index + 1));
    }
    UNSTARTED
}

/// Where the payload's own complaints go.
fn say(text: &str) {
    // Without a reader nobody is told.
    let _ = rustix::io::write(rustix::stdio::stderr(), format!("{text}\n").as_bytes());
}

/// systemd learns the number of a main process that is not the first one by `MAINPID=`, sd_notify(3).
fn tell_number(plan: &Execute) {
    let Some(socket) = plan.environment.iter().find_map(|line| line.strip_prefix("NOTIFY_SOCKET=")) else {
        return;
    };
    let message = format!("MAINPID={}", std::process::id());
    // Without it, the first process hands on what the manager sends.
    let _ = UnixDatagram::unbound().and_then(|unbound| unbound.send_to(message.as_bytes(), socket));
}

fn give_up() -> Result<(), StepError> {
    const STEP: &str = "start init";
    let keep = capability::bit(CAPABILITY).unwrap_or_default();
    // Shown by ps(1) and top(1).
    let _ = rustix::thread::set_name(c"sampan-init");
    set_no_new_privs(true).during(STEP, "no_new_privs")?;
    capability::bound(keep).during(STEP, "bounding set")?;
    capability::hold(keep, Holder::Root).during(STEP, "capabilities")?;
    let allowed = CALLS.iter().map(|name| (*name).to_owned()).collect();
    let calls = SystemCallFilter { base: CallBase::Nothing, allowed, ..SystemCallFilter::default() };
    for program in filter::all(&SystemCalls::Filter(calls)) {
        seccomp::install(&program).during(STEP, "system calls")?;
    }
    Ok(())
}

/// The exit status of the last command or of the first that fails, or, as shells have it, 128 and the signal that ended
/// it. One that ends as the unit says of a success is no failure, as with systemd.service(5).
fn accompany(mut children: Vec<i32>, plan: &Execute) -> i32 {
    let (mut current, mut is_stopping) = (0, false);
    loop {
        match init::next_signal() {
            Ok(libc::SIGCHLD) => {
                let Some(end) = reap(&mut children, current) else { continue };
                let status = as_shells(end);
                let Some(next) = children.get(current + 1).copied().filter(|_| !is_stopping) else {
                    return status;
                };
                if next == GONE || !is_success(plan, end) {
                    return leave(next, status);
                }
                // It waits, and has not been waited for: the number is its own.
                if init::signal_child(next, GO).is_err() {
                    return LOST;
                }
                current += 1;
            }
            Ok(signal) => {
                is_stopping |= signal == plan.stop_signal;
                // One that is about to end needs none.
                let _ = children.get(current).map(|payload| init::signal_child(*payload, signal));
            }
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(_) => return LOST,
        }
    }
}

fn is_success(plan: &Execute, end: ExitStatus) -> bool {
    end == ExitStatus::Code(0) || plan.success_exit_status.contains(&end)
}

fn as_shells(end: ExitStatus) -> i32 {
    match end {
        ExitStatus::Code(code) => code,
        ExitStatus::Signal(signal) => SIGNALLED + signal,
    }
}

/// In place of the number of a child that has ended before its turn.
const GONE: i32 = 0;

/// Has the next command tell that it is not run, and waits for that.
fn leave(next: i32, status: i32) -> i32 {
    if next == GONE {
        return if status == 0 { LOST } else { status };
    }
    if init::signal_child(next, LEAVE).is_ok() {
        while let Ok(Some((pid, _))) = wait(WaitOptions::empty()) {
            if pid.as_raw_pid() == next {
                break;
            }
        }
    }
    status
}

/// How the current child has ended. Several can have ended for one signal.
fn reap(children: &mut [i32], current: usize) -> Option<ExitStatus> {
    let mut ended = None;
    while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
        let Some(index) = children.iter().position(|child| *child == pid.as_raw_pid()) else { continue };
        children[index] = GONE;
        if index == current {
            let signalled = status.terminating_signal().map(ExitStatus::Signal);
            let exited = status.exit_status().map(ExitStatus::Code);
            ended = exited.or(signalled).or(Some(ExitStatus::Code(LOST)));
        }
    }
    ended
}
