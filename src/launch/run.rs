//! The launcher itself: what `sampan-launch` does from its first to its last instruction.

use super::birthplace::{self, Birthplace, Watch, Woken, next_order, open_group};
use super::channel;
use super::credentials;
use super::execute::{self, OUT_OF_THE_WAY, Passed, Streams};
use super::failure::{During, reported};
use super::filter;
use super::inside::{self, Trees};
use super::moment;
use super::outside::{Helper, Supply};
use super::protocol::{Order, Report, StepError, Times, UNSTARTED};
use super::separation::Separation;
use super::settings;
use super::step::{Delegation, Join, Output, Pause, Plan};
use super::work::{self, Work};
use crate::sys::clone::{Cloned, ControlGroup, NewNamespaces, Parent, clone_process, exit_now};
use crate::sys::namespace::{Namespace, enter, unshare};
use crate::sys::pidfd;
use rustix::io::{Errno, fcntl_dupfd_cloexec};
use rustix::process::{DumpableBehavior, Gid, Uid, set_dumpable_behavior};
use rustix::thread::{set_name, set_thread_groups, set_thread_res_gid, set_thread_res_uid};
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

/// Performs the plan that comes over standard input. Failures are reported there; the result only says
/// whether there was one.
pub fn run() -> Result<(), StepError> {
    let control = control_or_report()?;
    // Shown by ps(1): this one, and its helper, may wait for long.
    let _ = set_name(c"sampan-ready");
    // By now nobody waits for it to be born.
    let (helper, supply) = reported(&control, Helper::begin(&control))?;
    let Some(Begun { work, descriptors, separation }) = reported(&control, begin(&control, &helper))? else {
        return Ok(());
    };
    match work {
        Work::Start(plan) => {
            let start = Start { plan: &plan, separation, control: &control };
            start.perform((helper, supply), descriptors)
        }
        Work::Join(join) => {
            // It ends while this one goes on.
            let _helper = helper.dismiss();
            drop(supply);
            reported(&control, separation.prepare(&join.execute.settings))?;
            reported(&control, join_container(&join, &control, descriptors))
        }
    }
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
    settings::make_room()?;
    let control = fcntl_dupfd_cloexec(rustix::stdio::stdin(), OUT_OF_THE_WAY)?;
    rustix::stdio::dup2_stdin(File::open("/dev/null")?)?;
    Ok(control)
}

/// What there is to do.
struct Begun {
    work: Work,
    /// All that came with it, the work first.
    descriptors: Vec<OwnedFd>,
    separation: Separation,
}

/// `None` where the manager ends without a launch for this one.
fn begin(control: &OwnedFd, helper: &Helper) -> Result<Option<Begun>, StepError> {
    let mut separation = Separation::None;
    loop {
        match channel::receive(control).during("begin", "plan")? {
            None => return Ok(None),
            Some((Order::Separate, _)) => {
                separation = Separation::enter_ahead()?;
                helper.separate()?;
            }
            Some((Order::Begin, descriptors)) => {
                let _ = set_name(c"sampan-launch");
                let file = descriptors.first().ok_or(Errno::BADF).during("begin", "plan")?;
                let work = work::read(file).during("begin", "plan")?;
                return Ok(Some(Begun { work, descriptors, separation }));
            }
            Some(_) => return Err(Errno::PROTO).during("begin", "plan"),
        }
    }
}

/// Where the plan says so, three descriptors for standard streams come before the sockets. The plan, and secrets, before
/// them are for the helper.
fn streams_first(
    plan: &Plan,
    mut passed: Vec<OwnedFd>,
) -> Result<(Option<Streams>, Vec<OwnedFd>), StepError> {
    let helpers = 1 + usize::from(credentials::are_beside(plan));
    drop(passed.drain(..helpers.min(passed.len())));
    if plan.execute.output == Output::Journal {
        return Ok((None, passed));
    }
    let sockets = passed.split_off(passed.len().min(3));
    let streams = Streams::try_from(passed).map_err(|_| Errno::BADF).during("begin", "standard streams")?;
    Ok((Some(streams), sockets))
}

/// A container that is to be started.
struct Start<'a> {
    plan: &'a Plan,
    separation: Separation,
    control: &'a OwnedFd,
}

/// What a start waits for the scope with.
struct Prepared<'a> {
    watch: Option<Watch<'a>>,
    streams: Option<Streams>,
    sockets: Vec<OwnedFd>,
}

impl Start<'_> {
    fn perform(
        &self,
        (helper, supply): (Helper, Supply),
        descriptors: Vec<OwnedFd>,
    ) -> Result<(), StepError> {
        let Self { plan, control, .. } = *self;
        let begun = moment::now();
        let prepared = self.prepare(&helper, descriptors);
        let Prepared { watch, streams, sockets } = reported(control, prepared)?;
        let (outside, inside) = reported(control, channel::pair().during("begin", "hand over"))?;
        let filters = filter::all(&plan.execute.system_calls);
        let birthplace = birthplace::wait(watch, control).during("wait for scope", "manager");
        let birthplace = reported(control, birthplace)?;
        let times = Times { begun, grouped: moment::now() };
        match reported(control, give_birth(&birthplace))? {
            Cloned::Child => {
                drop((helper, outside, birthplace));
                first_process(plan, (supply, inside), streams, Passed { control, sockets, filters })
            }
            Cloned::Parent { pid, pidfd } => {
                drop((supply, inside, streams, sockets));
                // The first: with what the helper supplies, the process may say something itself.
                let started = Report::Started { pid, times };
                let told = channel::send(control, &started, &[pidfd.as_fd()]).during("begin", "report");
                reported(control, told)?;
                // One that has failed has said so.
                let _ = helper.born(birthplace.place());
                let seen_off = accompany(plan, &birthplace, control, &outside);
                drop(helper);
                reported(control, seen_off.during("wait for scope", "manager"))
            }
        }
    }

    /// All that can be done before there is a scope, most of it while systemd makes that one. The helper, which has time
    /// until then, begins when systemd can.
    fn prepare(&self, helper: &Helper, descriptors: Vec<OwnedFd>) -> Result<Prepared<'_>, StepError> {
        let Self { plan, separation, control } = *self;
        separation.prepare(&plan.execute.settings)?;
        let watch = plan.group.as_ref().and_then(|group| Watch::begin(group).ok());
        channel::send(control, &Report::Ready, &[]).during("begin", "report")?;
        helper.pass_on(&descriptors).during("begin", "plan")?;
        let (streams, sockets) = streams_first(plan, descriptors)?;
        separation.enter_rest(plan)?;
        if separation == Separation::None {
            helper.separate()?;
        }
        separation.set_rest(plan)?;
        Ok(Prepared { watch, streams, sockets })
    }
}

fn give_birth(birthplace: &Birthplace<'_>) -> Result<Cloned, StepError> {
    let group = match birthplace {
        Birthplace::Ahead(directory, _) => ControlGroup::Directory(directory.as_fd()),
        Birthplace::Here => ControlGroup::Callers,
    };
    clone_process(NewNamespaces::PROCESS, Parent::CallersParent, group).during("enter namespace", "clone")
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
    let (mut consented, mut attached, mut gone, mut executed) = (false, false, false, false);
    while !(gone && attached) {
        // Limits that were not seen are as good as they will be, once systemd has done all.
        // Into a group that its owner has begun to divide, systemd could not move this process any more.
        let is_early = plan.delegation == Delegation::None && watch.is_limited(directory);
        if !gone && consented && (attached || is_early) {
            go(inside);
            gone = true;
            continue;
        }
        match watch.next(control, (gone && !executed).then_some(inside))? {
            Woken::Order => match next_order(control)? {
                Order::Go => consented = true,
                Order::Attached => attached = true,
                Order::Separate | Order::Begin => return Err(Errno::PROTO.into()),
            },
            Woken::End => {
                channel::send(control, &Report::Executed, &[])?;
                executed = true;
            }
            Woken::Group => {}
        }
    }
    Ok(())
}

/// A container that could not get this far has told why.
fn go(inside: &OwnedFd) {
    let _ = channel::send(inside, &Consent::Go, &[]);
}

/// What the container's first process hears from the launcher.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Consent {
    /// The manager knows of the process, and limits hold: it may become the payload.
    Go,
}

/// The copy must not go on as its original: it ends here.
fn first_process(
    plan: &Plan,
    (supply, launcher): (Supply, OwnedFd),
    streams: Option<Streams>,
    passed: Passed<'_>,
) -> ! {
    let control = passed.control;
    // What is passed to the payload gets the first numbers.
    let launcher = fcntl_dupfd_cloexec(launcher, OUT_OF_THE_WAY).during("begin", "hand over");
    if let Ok(launcher) = reported(control, launcher) {
        drop(reported(control, prepare_and_execute(plan, supply, &launcher, streams, passed)));
    }
    exit_now(UNSTARTED)
}

fn prepare_and_execute(
    plan: &Plan,
    supply: Supply,
    launcher: &OwnedFd,
    streams: Option<Streams>,
    passed: Passed<'_>,
) -> Result<(), StepError> {
    supply.wait_for_maps()?;
    let mut trees = Trees::supplied(supply);
    become_root().during("enter namespace", "user")?;
    if plan.namespaces.contains(&Namespace::ControlGroup) {
        unshare(&[Namespace::ControlGroup]).during("enter namespace", "unshare")?;
    }
    inside::perform(&plan.inside, &mut trees)?;
    let whole = moment::now();
    if plan.pause == Pause::Prepared {
        channel::send(passed.control, &Report::Prepared, &[]).during("begin", "report")?;
    }
    match channel::receive(launcher).during("take over", "manager")? {
        Some((Consent::Go, _)) => execute::become_payload(&plan.execute, &mut trees, streams, passed, whole),
        None => Err(Errno::CONNRESET).during("take over", "manager"),
    }
}

/// Until now this process has an id that its own user namespace does not know.
fn become_root() -> io::Result<()> {
    set_thread_groups(&[])?;
    set_thread_res_gid(Gid::ROOT, Gid::ROOT, Gid::ROOT)?;
    Ok(set_thread_res_uid(Uid::ROOT, Uid::ROOT, Uid::ROOT)?)
}

/// After the plan come the pidfd of the container's first process and three descriptors for standard streams.
fn join_container(join: &Join, control: &OwnedFd, passed: Vec<OwnedFd>) -> Result<(), StepError> {
    let [_, container, input, output, error] =
        <[OwnedFd; 5]>::try_from(passed).map_err(|_| Errno::BADF).during("begin", "standard streams")?;
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

fn joined_process(join: &Join, control: &OwnedFd, streams: Streams) -> Result<(), StepError> {
    become_root().during("enter namespace", "user")?;
    execute::use_streams(streams)?;
    let filters = filter::all(&join.execute.system_calls);
    execute::join_payload(&join.execute, Passed { control, sockets: Vec::new(), filters })
}
