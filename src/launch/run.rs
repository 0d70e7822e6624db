//! The launcher itself: what `sampan-launch` does from its first to its last instruction.

use super::channel;
use super::execute::{self, OUT_OF_THE_WAY, Passed};
use super::failure::During;
use super::host::{self, Handover};
use super::idmap::{self, Maps};
use super::inside::{self, Trees};
use super::protocol::{Order, Report, StepError};
use super::step::{Join, Plan, Work};
use crate::sys::clone::{Cloned, NewNamespaces, Parent, clone_process, exit_now};
use crate::sys::namespace::{enter, unshare};
use rustix::io::{Errno, fcntl_dupfd_cloexec};
use rustix::process::{DumpableBehavior, Gid, Uid, set_dumpable_behavior};
use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};
use std::fs::File;
use std::io::{self, Seek};
use std::os::fd::{AsFd, OwnedFd};

/// Performs the plan that comes over standard input. Failures are reported there; the result only says
/// whether there was one.
pub fn run() -> Result<(), StepError> {
    let control = take_control().during("begin", "control socket")?;
    let outcome = run_with(&control);
    if let Err(error) = &outcome {
        // The manager may be gone, then nobody wants to know.
        drop(channel::send(&control, &Report::Failed(error.clone()), &[]));
    }
    outcome
}

fn take_control() -> io::Result<OwnedFd> {
    // Nothing in the container may look into this process: it still holds the host.
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    let _ = rustix::thread::set_name(c"sampan-launch");
    // What the manager is worth to the kernel's OOM killer is not what its containers are.
    std::fs::write("/proc/self/oom_score_adj", "0")?;
    let control = fcntl_dupfd_cloexec(rustix::stdio::stdin(), OUT_OF_THE_WAY)?;
    rustix::stdio::dup2_stdin(File::open("/dev/null")?)?;
    Ok(control)
}

fn run_with(control: &OwnedFd) -> Result<(), StepError> {
    let (work, descriptors) = begin(control).during("begin", "plan")?;
    match work {
        Work::Start(plan) => start(&plan, control, descriptors),
        Work::Join(join) => join_container(&join, control, descriptors),
    }
}

fn begin(control: &OwnedFd) -> io::Result<(Work, Vec<OwnedFd>)> {
    match channel::receive(control)? {
        Some((Order::Begin, mut descriptors)) if !descriptors.is_empty() => {
            let mut plan = File::from(descriptors.remove(0));
            plan.rewind()?;
            let text = io::read_to_string(plan)?;
            Ok((serde_json::from_str(&text)?, descriptors))
        }
        _ => Err(Errno::PROTO.into()),
    }
}

fn start(plan: &Plan, control: &OwnedFd, sockets: Vec<OwnedFd>) -> Result<(), StepError> {
    let (outside, inside) = channel::pair().during("begin", "hand over")?;
    let user = if plan.ids.is_some() { NewNamespaces::USER } else { NewNamespaces::default() };
    let namespaces = NewNamespaces::PROCESS_AND_MOUNT.and(user);
    match clone_process(namespaces, Parent::CallersParent).during("enter namespace", "clone")? {
        Cloned::Child => {
            drop(outside);
            let result = first_process(plan, inside, control, sockets);
            end(control, result)
        }
        Cloned::Parent { pid, pidfd } => {
            drop(inside);
            channel::send(control, &Report::Started { pid }, &[pidfd.as_fd()]).during("begin", "report")?;
            if let Some(ids) = plan.ids {
                idmap::write(pid, 0, ids)?;
            }
            channel::send(&outside, &Handover::Mapped, &[]).during("hand over", "ids")?;
            host::perform(&plan.host, &mut Maps::new(pid, plan.ids), &outside)
        }
    }
}

/// The copy must not go on as its original: it ends here.
fn end(control: &OwnedFd, result: Result<(), StepError>) -> ! {
    if let Err(error) = result {
        drop(channel::send(control, &Report::Failed(error), &[]));
    }
    exit_now(1)
}

fn first_process(
    plan: &Plan,
    outside: OwnedFd,
    control: &OwnedFd,
    sockets: Vec<OwnedFd>,
) -> Result<(), StepError> {
    if channel::receive::<Handover>(&outside).during("take over", "ids")?.is_none() {
        return Err(Errno::CONNRESET).during("take over", "ids");
    }
    become_root().during("enter namespace", "user")?;
    unshare(&plan.namespaces).during("enter namespace", "unshare")?;
    let mut trees = Trees::new(outside);
    inside::perform(&plan.inside, &mut trees)?;
    channel::send(control, &Report::Prepared, &[]).during("wait for scope", "report")?;
    wait_for_go(control)?;
    inside::perform(&plan.scoped, &mut trees)?;
    execute::become_payload(&plan.execute, trees, Passed { control, sockets })
}

/// Until now this process has an id that its own user namespace does not know.
fn become_root() -> io::Result<()> {
    set_thread_groups(&[])?;
    set_thread_res_gid(Gid::ROOT, Gid::ROOT, Gid::ROOT)?;
    Ok(set_thread_res_uid(Uid::ROOT, Uid::ROOT, Uid::ROOT)?)
}

fn wait_for_go(control: &OwnedFd) -> Result<(), StepError> {
    match channel::receive(control).during("wait for scope", "manager")? {
        Some((Order::Go, _)) => Ok(()),
        Some((Order::Begin, _)) => Err(Errno::PROTO).during("wait for scope", "manager"),
        None => Err(Errno::CONNRESET).during("wait for scope", "manager"),
    }
}

/// With the plan come the pidfd of the container's first process and three descriptors for standard streams.
fn join_container(join: &Join, control: &OwnedFd, passed: Vec<OwnedFd>) -> Result<(), StepError> {
    let [container, input, output, error] =
        <[OwnedFd; 4]>::try_from(passed).map_err(|_| Errno::BADF).during("begin", "standard streams")?;
    enter(&container, &join.namespaces).during("enter namespace", "setns")?;
    match clone_process(NewNamespaces::default(), Parent::CallersParent).during("enter namespace", "clone")? {
        Cloned::Child => {
            drop(container);
            let result = joined_process(join, control, [input, output, error]);
            end(control, result)
        }
        Cloned::Parent { pid, pidfd } => {
            channel::send(control, &Report::Started { pid }, &[pidfd.as_fd()]).during("begin", "report")
        }
    }
}

fn joined_process(join: &Join, control: &OwnedFd, streams: [OwnedFd; 3]) -> Result<(), StepError> {
    become_root().during("enter namespace", "user")?;
    let [input, output, error] = streams;
    rustix::stdio::dup2_stdin(&input).during("begin", "standard input")?;
    rustix::stdio::dup2_stdout(&output).during("begin", "standard output")?;
    rustix::stdio::dup2_stderr(&error).during("begin", "standard error")?;
    drop((input, output, error));
    channel::send(control, &Report::Prepared, &[]).during("wait for scope", "report")?;
    wait_for_go(control)?;
    execute::join_payload(&join.execute, Passed { control, sockets: Vec::new() })
}
