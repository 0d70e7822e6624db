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
use super::protocol::StepError;
use super::step::{Execute, SystemCalls};
use crate::sys::clone::{Cloned, ControlGroup, NewNamespaces, Parent, clone_process};
use crate::sys::{init, seccomp};
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

/// Starts the payload as a child and looks after it. Returns in the child alone, and on failure.
pub fn begin(plan: &Execute, passed: Passed<'_>) -> Result<(), StepError> {
    // Before there is a child whose end could be missed.
    init::block_signals();
    let cloned = clone_process(NewNamespaces::default(), Parent::Caller, ControlGroup::Callers);
    match cloned.during("start init", "clone")? {
        Cloned::Child => {
            tell_number(plan);
            execute::join_payload(plan, passed)
        }
        Cloned::Parent { pid, .. } => {
            give_up()?;
            let payload = i32::try_from(pid).unwrap_or_default();
            init::live_without_descriptors(|| accompany(payload))
        }
    }
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

/// The payload's exit status, or, as shells have it, 128 and the signal that ended it.
fn accompany(payload: i32) -> i32 {
    loop {
        match init::next_signal() {
            Ok(libc::SIGCHLD) => {
                if let Some(status) = reap(payload) {
                    return status;
                }
            }
            // One that is about to end needs none.
            Ok(signal) => drop(init::signal_child(payload, signal)),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(_) => return LOST,
        }
    }
}

/// Several children can have ended for one signal.
fn reap(payload: i32) -> Option<i32> {
    while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
        if pid.as_raw_pid() == payload {
            let signalled = status.terminating_signal().map(|signal| SIGNALLED + signal);
            return Some(status.exit_status().or(signalled).unwrap_or(LOST));
        }
    }
    None
}
