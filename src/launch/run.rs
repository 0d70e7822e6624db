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
    let (work, descriptors) = reported(&control, begin(&control).during("begin", "plan"))?;
    match work {
        Work::Start(plan) => start(&plan, &control, descriptors),
        Work::Join(join) => reported(&control, join_container(&join, &control, descriptors)),
    }
}

/// Each process reports its own failure, and does so while it still holds its end of the pair to the other: what
/// the other says of losing it then comes second.
fn reported<T>(control: &OwnedFd, result: Result<T, StepError>) -> Result<T, StepError> {
    if let Err(error) = &result {
        // The manager may be gone, then nobody wants to know.
        drop(channel::send(control, &Report::Failed(error.clone()), &[]));
    }
    result
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
    let (outside, inside) = reported(control, channel::pair().during("begin", "hand over"))?;
    let user = if plan.ids.is_some() { NewNamespaces::USER } else { NewNamespaces::default() };
    let namespaces = NewNamespaces::PROCESS_AND_MOUNT.and(user);
    let cloned = clone_process(namespaces, Parent::CallersParent).during("enter namespace", "clone");
    match reported(control, cloned)? {
        Cloned::Child => {
            drop(outside);
            first_process(plan, inside, control, sockets)
        }
        Cloned::Parent { pid, pidfd } => {
            drop(inside);
            reported(control, outer_process(plan, pid, &pidfd, control, &outside))
        }
    }
}

fn outer_process(
    plan: &Plan,
    pid: u32,
    process: &OwnedFd,
    control: &OwnedFd,
    inside: &OwnedFd,
) -> Result<(), StepError> {
    channel::send(control, &Report::Started { pid }, &[process.as_fd()]).during("begin", "report")?;
    if let Some(ids) = plan.ids {
        idmap::write(pid, 0, ids)?;
    }
    channel::send(inside, &Handover::Mapped, &[]).during("hand over", "ids")?;
    host::perform(&plan.host, &mut Maps::new(pid, plan.ids), inside)
}

/// The copy must not go on as its original: it ends here.
fn first_process(plan: &Plan, outside: OwnedFd, control: &OwnedFd, sockets: Vec<OwnedFd>) -> ! {
    let outside = fcntl_dupfd_cloexec(outside, OUT_OF_THE_WAY).during("begin", "hand over");
    if let Ok(outside) = reported(control, outside) {
        let mut trees = Trees::new(outside);
        drop(reported(control, prepare_and_execute(plan, &mut trees, control, sockets)));
    }
    exit_now(1)
}

fn prepare_and_execute(
    plan: &Plan,
    trees: &mut Trees,
    control: &OwnedFd,
    sockets: Vec<OwnedFd>,
) -> Result<(), StepError> {
    trees.wait_for_ids()?;
    become_root().during("enter namespace", "user")?;
    unshare(&plan.namespaces).during("enter namespace", "unshare")?;
    inside::perform(&plan.inside, trees)?;
    channel::send(control, &Report::Prepared, &[]).during("wait for scope", "report")?;
    wait_for_go(control)?;
    inside::perform(&plan.scoped, trees)?;
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
            drop(reported(control, joined_process(join, control, [input, output, error])));
            exit_now(1)
        }
        Cloned::Parent { pid, pidfd } => {
            // Both from here, so that they come in this order; what the copy still has to do needs no scope.
            channel::send(control, &Report::Started { pid }, &[pidfd.as_fd()]).during("begin", "report")?;
            channel::send(control, &Report::Prepared, &[]).during("wait for scope", "report")
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
    wait_for_go(control)?;
    execute::join_payload(&join.execute, Passed { control, sockets: Vec::new() })
}
