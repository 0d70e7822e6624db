//! The launcher itself: what `sampan-launch` does from its first to its last instruction.

use super::birthplace::{self, Birthplace, Watch, Woken, next_order};
use super::channel;
use super::credentials::{self, Beside, Patience};
use super::execute::{self, OUT_OF_THE_WAY, Passed, Streams};
use super::failure::During;
use super::host::{self, Handover, Made, Means};
use super::idmap::{self, First, Maps};
use super::inside::{self, Trees};
use super::moment;
use super::protocol::{Order, Report, StepError, Times, UNSTARTED};
use super::settings;
use super::step::{Delegation, Join, Output, Pause, Plan, Work};
use super::system;
use crate::sys::clone::{Cloned, ControlGroup, NewNamespaces, Parent, clone_process, exit_now};
use crate::sys::namespace::{Namespace, enter, unshare};
use crate::sys::pidfd;
use crate::sys::process::control_group;
use rustix::io::{Errno, fcntl_dupfd_cloexec};
use rustix::process::{DumpableBehavior, Gid, Uid, set_dumpable_behavior};
use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};
use std::fs::File;
use std::io::{self, Seek};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

/// Performs the plan that comes over standard input. Failures are reported there; the result only says
/// whether there was one.
pub fn run() -> Result<(), StepError> {
    let control = control_or_report()?;
    let (work, descriptors) = reported(&control, begin(&control).during("begin", "plan"))?;
    match work {
        Work::Start(plan) => {
            reported(&control, settings::prepare(&plan.execute.settings))?;
            let (beside, descriptors) = reported(&control, secrets_first(&plan, descriptors))?;
            let (streams, sockets) = reported(&control, streams_first(&plan, descriptors))?;
            let means = Means { beside, patience: Patience(control.as_fd()) };
            start(&plan, &control, means, streams, sockets)
        }
        Work::Join(join) => {
            reported(&control, settings::prepare(&join.execute.settings))?;
            reported(&control, join_container(&join, &control, descriptors))
        }
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

/// Where the end of the manager's has no place, it is still told so over the standard input.
fn control_or_report() -> Result<OwnedFd, StepError> {
    take_control().during("begin", "control socket").or_else(|error| {
        match rustix::stdio::stdin().try_clone_to_owned() {
            Ok(input) => reported(&input, Err(error)),
            Err(_) => Err(error),
        }
    })
}

fn take_control() -> io::Result<OwnedFd> {
    // Nothing in the container may look into this process: it still holds the host.
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    let _ = rustix::thread::set_name(c"sampan-launch");
    settings::make_room()?;
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

/// Where the plan has secrets, they come before all else.
fn secrets_first(plan: &Plan, mut passed: Vec<OwnedFd>) -> Result<(Beside, Vec<OwnedFd>), StepError> {
    if !credentials::are_beside(plan) || passed.is_empty() {
        return Ok((Beside::new(), passed));
    }
    let secrets = credentials::receive(passed.remove(0)).during("begin", "credentials")?;
    Ok((secrets, passed))
}

/// Where the plan says so, three descriptors for standard streams come before the sockets.
fn streams_first(
    plan: &Plan,
    mut passed: Vec<OwnedFd>,
) -> Result<(Option<Streams>, Vec<OwnedFd>), StepError> {
    if plan.execute.output == Output::Journal {
        return Ok((None, passed));
    }
    let sockets = passed.split_off(passed.len().min(3));
    let streams = Streams::try_from(passed).map_err(|_| Errno::BADF).during("begin", "standard streams")?;
    Ok((Some(streams), sockets))
}

fn start(
    plan: &Plan,
    control: &OwnedFd,
    means: Means<'_>,
    streams: Option<Streams>,
    sockets: Vec<OwnedFd>,
) -> Result<(), StepError> {
    let (outside, inside) = reported(control, channel::pair().during("begin", "hand over"))?;
    let watch = plan.group.as_ref().and_then(|group| Watch::begin(group).ok());
    let begun = moment::now();
    // While systemd makes the scope.
    let mut maps = Maps::new(plan.ids);
    let (mut made, root) = reported(control, host::perform(&plan.host, &means, &mut maps))?;
    let mounted = moment::now();
    if !plan.is_movable() {
        reported(control, channel::send(control, &Report::Ready, &[]).during("begin", "report"))?;
    }
    // B is born without them.
    drop(means);
    let birthplace = birthplace::wait(watch, control).during("wait for scope", "manager");
    let birthplace = reported(control, birthplace)?;
    let times = Times { begun, root, mounted, grouped: moment::now() };
    if let Some(view) = reported(control, view_of(plan, &birthplace))? {
        made.insert("cgroup".to_owned(), view);
    }
    match reported(control, give_birth(plan, &birthplace))? {
        Cloned::Child => {
            drop((outside, birthplace, maps));
            first_process(plan, inside, made, streams, Passed { control, sockets })
        }
        Cloned::Parent { pid, pidfd } => {
            drop((inside, made, streams, sockets));
            reported(control, outer_process(plan, (pid, times), &pidfd, control, &outside))?;
            drop(maps);
            reported(
                control,
                accompany(plan, &birthplace, control, &outside).during("wait for scope", "manager"),
            )
        }
    }
}

/// Of a container that has neither a group that was found nor one that is given to it, the view is made inside.
fn view_of(plan: &Plan, birthplace: &Birthplace<'_>) -> Result<Option<OwnedFd>, StepError> {
    let own;
    let directory = match birthplace {
        Birthplace::Ahead(directory, _) => directory,
        Birthplace::Here if plan.group.is_none() && plan.delegation == Delegation::None => return Ok(None),
        // systemd may have made it elsewhere: the root that it sees need not be the one of the mount.
        Birthplace::Here => {
            let group = control_group(std::process::id()).during("open", "control group")?;
            own = open_group(&plan.hierarchy.join(group.trim_start_matches('/')))?;
            &own
        }
    };
    Ok(Some(match plan.delegation {
        Delegation::None => host::control_group(directory)?,
        Delegation::Subtree => {
            system::delegate(directory, plan.ids.map_or(0, |ids| ids.base))?;
            host::delegated_group(directory)?
        }
    }))
}

fn give_birth(plan: &Plan, birthplace: &Birthplace<'_>) -> Result<Cloned, StepError> {
    let user = if plan.ids.is_some() { NewNamespaces::USER } else { NewNamespaces::default() };
    let group = match birthplace {
        Birthplace::Ahead(directory, _) => ControlGroup::Directory(directory.as_fd()),
        Birthplace::Here => ControlGroup::Callers,
    };
    let namespaces = NewNamespaces::PROCESS_AND_MOUNT.and(user);
    clone_process(namespaces, Parent::CallersParent, group).during("enter namespace", "clone")
}

fn outer_process(
    plan: &Plan,
    (pid, times): (u32, Times),
    process: &OwnedFd,
    control: &OwnedFd,
    inside: &OwnedFd,
) -> Result<(), StepError> {
    let started = Report::Started { pid, times };
    channel::send(control, &started, &[process.as_fd()]).during("begin", "report")?;
    if let Some(ids) = plan.ids {
        idmap::write(pid, First::both(0), ids)?;
    }
    channel::send(inside, &Handover::Mapped, &[]).during("hand over", "ids")
}

/// Passes the manager's consent on once the group has its limits, and stays until systemd has moved this process:
/// a scope whose only process ends before would not come to be.
fn accompany(
    plan: &Plan,
    birthplace: &Birthplace<'_>,
    control: &OwnedFd,
    inside: &OwnedFd,
) -> io::Result<()> {
    let Birthplace::Ahead(directory, watch) = birthplace else {
        if next_order(control)? != Order::Go {
            return Err(Errno::PROTO.into());
        }
        go(inside);
        return Ok(());
    };
    watch.watch_limits()?;
    let (mut consented, mut attached, mut gone) = (false, false, false);
    while !(gone && attached) {
        // Limits that were not seen are as good as they will be, once systemd has done all.
        // Into a group that its owner has begun to divide, systemd could not move this process any more.
        let is_early = plan.delegation == Delegation::None && watch.is_limited(directory);
        if !gone && consented && (attached || is_early) {
            go(inside);
            gone = true;
        } else if watch.or_order(control)? == Woken::Order {
            match next_order(control)? {
                Order::Go => consented = true,
                Order::Attached => attached = true,
                Order::Begin => return Err(Errno::PROTO.into()),
            }
        }
    }
    Ok(())
}

/// A container that could not get this far has told why.
fn go(inside: &OwnedFd) {
    let _ = channel::send(inside, &Handover::Go, &[]);
}

/// The copy must not go on as its original: it ends here.
fn first_process(
    plan: &Plan,
    outside: OwnedFd,
    made: Made,
    streams: Option<Streams>,
    passed: Passed<'_>,
) -> ! {
    let control = passed.control;
    let outside = fcntl_dupfd_cloexec(outside, OUT_OF_THE_WAY).during("begin", "hand over");
    if let Ok(outside) = reported(control, outside) {
        let mut trees = Trees::new(outside, made);
        drop(reported(control, prepare_and_execute(plan, &mut trees, streams, passed)));
    }
    exit_now(UNSTARTED)
}

fn prepare_and_execute(
    plan: &Plan,
    trees: &mut Trees,
    streams: Option<Streams>,
    passed: Passed<'_>,
) -> Result<(), StepError> {
    trees.wait_for(Handover::Mapped, "ids")?;
    become_root().during("enter namespace", "user")?;
    unshare(&plan.namespaces).during("enter namespace", "unshare")?;
    inside::perform(&plan.inside, trees)?;
    let whole = moment::now();
    if plan.pause == Pause::Prepared {
        channel::send(passed.control, &Report::Prepared, &[]).during("begin", "report")?;
    }
    trees.wait_for(Handover::Go, "manager")?;
    execute::become_payload(&plan.execute, trees, streams, passed, whole)
}

/// Until now this process has an id that its own user namespace does not know.
fn become_root() -> io::Result<()> {
    set_thread_groups(&[])?;
    set_thread_res_gid(Gid::ROOT, Gid::ROOT, Gid::ROOT)?;
    Ok(set_thread_res_uid(Uid::ROOT, Uid::ROOT, Uid::ROOT)?)
}

/// With the plan come the pidfd of the container's first process and three descriptors for standard streams.
fn join_container(join: &Join, control: &OwnedFd, passed: Vec<OwnedFd>) -> Result<(), StepError> {
    let [container, input, output, error] =
        <[OwnedFd; 4]>::try_from(passed).map_err(|_| Errno::BADF).during("begin", "standard streams")?;
    let birthplace = join.group.as_deref().map(open_group).transpose()?;
    let group =
        birthplace.as_ref().map_or(ControlGroup::Callers, |group| ControlGroup::Directory(group.as_fd()));
    // A process that is in another control group namespace cannot be born outside of it: that comes last.
    let (later, first): (Vec<_>, Vec<_>) =
        join.namespaces.iter().partition(|namespace| **namespace == Namespace::ControlGroup);
    // From inside nobody may look into a first process that is our init, or still a launcher.
    let group_namespace = group_namespace(&container).during("open", "control group namespace")?;
    enter(&container, &first).during("enter namespace", "setns")?;
    let cloned = clone_process(NewNamespaces::default(), Parent::CallersParent, group);
    match cloned.during("enter namespace", "clone")? {
        Cloned::Child => {
            let entered = enter(&group_namespace, &later).during("enter namespace", "setns");
            drop((container, group_namespace, birthplace));
            if reported(control, entered).is_ok() {
                drop(reported(control, joined_process(join, control, [input, output, error])));
            }
            exit_now(UNSTARTED)
        }
        Cloned::Parent { pid, pidfd } => {
            let started = Report::Started { pid, times: Times::default() };
            channel::send(control, &started, &[pidfd.as_fd()]).during("begin", "report")
        }
    }
}

/// The process cannot be another one meanwhile: it still has its number when the namespace has been opened.
fn group_namespace(process: &OwnedFd) -> io::Result<OwnedFd> {
    let namespace = File::open(format!("/proc/{}/ns/cgroup", pidfd::number(process)?))?;
    pidfd::number(process)?;
    Ok(namespace.into())
}

fn open_group(directory: &Path) -> Result<OwnedFd, StepError> {
    birthplace::open(directory).during_path("open", directory)
}

fn joined_process(join: &Join, control: &OwnedFd, streams: Streams) -> Result<(), StepError> {
    become_root().during("enter namespace", "user")?;
    execute::use_streams(streams)?;
    execute::join_payload(&join.execute, Passed { control, sockets: Vec::new() })
}
