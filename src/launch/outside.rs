//! The launcher's helper: a process that stays on the host and does what needs its privilege, while the launcher
//! enters the container's namespaces and systemd makes the scope. It is there before there is a plan.

use super::birthplace::open_group;
use super::channel::{self, Packet};
use super::credentials::{self, Beside, Patience};
use super::failure::{During, reported};
use super::host::{self, Made, Means};
use super::idmap::{Lender, Maps};
use super::moment;
use super::protocol::{Report, StepError};
use super::separation::Separation;
use super::step::{Delegation, HostStep, Plan};
use super::system;
use super::work::{self, Work};
use crate::sys::child::is_killed_with;
use crate::sys::clone::{Cloned, ControlGroup, NewNamespaces, Parent, clone_process, exit_now};
use crate::sys::pidfd;
use crate::sys::process::control_group;
use crate::sys::readiness::is_readable;
use rustix::io::Errno;
use rustix::process::{getpid, getppid};
use rustix::thread::set_name;
use serde::{Deserialize, Serialize};
use std::io;
use std::mem;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Names and descriptors of one packet: what is allowed, with room for the words around them.
const TREES_MAX: usize = 200;
const NAMES_MAX: usize = 8 * 1024;

/// What the helper hears from the launcher.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Progress {
    /// There is a plan. Beside it: what came with [`Order::Begin`](super::protocol::Order::Begin).
    Begun,
    /// It has namespaces of its own, whose ids can be mapped once there is a plan.
    Separate,
    /// The container's first process is there, in this control group.
    Born(Place),
}

/// The control group that the first process was born in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// The one that the plan names.
    Foretold,
    /// The launcher's.
    Launchers,
}

/// What the first process hears from the helper.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Handover {
    /// The user namespace has its id maps.
    Mapped,
    /// These trees, in this order.
    Trees(Vec<String>),
    /// That was all.
    Complete,
}

/// The helper as the launcher sees it.
pub struct Helper {
    process: OwnedFd,
    /// Closed before the end of the helper is waited for.
    progress: Option<OwnedFd>,
}

/// Where the first process gets what the helper has made.
#[derive(Debug)]
pub struct Supply(OwnedFd);

impl Helper {
    /// Starts one, which waits for its plan.
    pub fn begin(control: &OwnedFd) -> Result<(Self, Supply), StepError> {
        let (progress, launcher) = channel::pair().during("begin", "hand over")?;
        let (supply, container) = channel::pair().during("begin", "hand over")?;
        let process = getpid();
        let cloned = clone_process(NewNamespaces::default(), Parent::Caller, ControlGroup::Callers);
        match cloned.during("start helper", "clone")? {
            Cloned::Child => {
                drop((progress, supply));
                if is_killed_with(process) {
                    drop(reported(control, help(control, (&launcher, &container))));
                }
                exit_now(0)
            }
            Cloned::Parent { pidfd, .. } => {
                let helper = Self { process: pidfd, progress: Some(progress) };
                Ok((helper, Supply(supply)))
            }
        }
    }

    /// Has it perform the plan's steps of the host. What is secret stays with it.
    pub fn pass_on(&self, descriptors: &[OwnedFd]) -> io::Result<()> {
        let descriptors: Vec<_> = descriptors.iter().map(AsFd::as_fd).collect();
        self.tell(Progress::Begun, &descriptors)
    }

    /// There is nothing for it to do.
    pub fn dismiss(mut self) -> Self {
        self.progress = None;
        self
    }

    /// Ids of this process's user namespace can be mapped.
    pub fn separate(&self) -> Result<(), StepError> {
        self.tell(Progress::Separate, &[]).during("hand over", "ids")
    }

    /// The first process waits for what has been made.
    pub fn born(&self, place: Place) -> Result<(), StepError> {
        self.tell(Progress::Born(place), &[]).during("hand over", "control group")
    }

    fn tell(&self, progress: Progress, descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
        self.progress.as_ref().map_or(Ok(()), |socket| channel::send(socket, &progress, descriptors))
    }
}

impl Drop for Helper {
    /// It has nothing left to do, or the launch is over.
    fn drop(&mut self) {
        self.progress = None;
        // The first process has a copy of this, and its own process to wait for, not this one.
        let _ = pidfd::wait(&self.process);
    }
}

impl Supply {
    /// Waits until this process can have ids of its user namespace.
    pub fn wait_for_maps(&self) -> Result<(), StepError> {
        match self.next()? {
            (Handover::Mapped, _) => Ok(()),
            _ => Err(Errno::PROTO).during("take over", "ids"),
        }
    }

    /// Waits for more of it; `None` once that was all. The descriptors of trees close with a program's execution.
    pub fn more(&self) -> Result<Option<Made>, StepError> {
        match self.next()? {
            (Handover::Trees(names), trees) => Ok(Some(names.into_iter().zip(trees).collect())),
            (Handover::Complete, _) => Ok(None),
            (Handover::Mapped, _) => Err(Errno::PROTO).during("take over", "mounts"),
        }
    }

    fn next(&self) -> Result<Packet<Handover>, StepError> {
        let received = channel::receive(&self.0).during("take over", "mounts")?;
        received.ok_or(Errno::CONNRESET).during("take over", "mounts")
    }
}

fn help(control: &OwnedFd, (launcher, container): (&OwnedFd, &OwnedFd)) -> Result<(), StepError> {
    let Some(Begun { plan, beside, separation, lender }) = begin(launcher)? else { return Ok(()) };
    let begun = moment::now();
    let process = getppid().map_or(0, |process| process.as_raw_nonzero().get().cast_unsigned());
    let mut maps = Maps::new(plan.ids, lender);
    let map = |maps: &mut Maps| {
        maps.map_container(process)?;
        hand_over(container, &Handover::Mapped, &[])
    };
    if separation == Separation::Ahead {
        map(&mut maps)?;
    }
    maps.foresee(&plan.host)?;
    let mut means = Means { beside, patience: Patience(control.as_fd()) };
    let is_stream = |step: &&HostStep| matches!(step, HostStep::Journal { .. });
    let (streams, trees): (Vec<_>, Vec<_>) = plan.host.iter().partition(is_stream);
    let mut made = Made::new();
    let root = host::perform(trees, &means, &mut maps, &mut made)?;
    // No secret lies about while this one waits.
    means.beside.clear();
    let report = Report::Mounted { rooted: begun + root, mounted: moment::now() };
    channel::send(control, &report, &[]).during("begin", "report")?;
    if separation == Separation::None {
        let Progress::Separate = hear(launcher)? else {
            return Err(Errno::PROTO).during("hand over", "launcher");
        };
        map(&mut maps)?;
    }
    // Which the container wants last.
    let mut open_streams = |made: &mut Made| host::perform(streams.iter().copied(), &means, &mut maps, made);
    let is_awaited = is_readable(launcher).during("hand over", "launcher")?;
    if !is_awaited {
        open_streams(&mut made)?;
    }
    let Progress::Born(place) = hear(launcher)? else {
        return Err(Errno::PROTO).during("hand over", "launcher");
    };
    made.extend(view_of(&plan, place, process)?.map(|view| ("cgroup".to_owned(), view)));
    supply(&mem::take(&mut made), container)?;
    if is_awaited {
        open_streams(&mut made)?;
        supply(&made, container)?;
    }
    hand_over(container, &Handover::Complete, &[])
}

/// What there is to do.
struct Begun {
    plan: Plan,
    beside: Beside,
    /// What the launcher has done before there was a plan.
    separation: Separation,
    /// What was done here meanwhile.
    lender: Option<Lender>,
}

/// `None` where there is nothing to do.
fn begin(launcher: &OwnedFd) -> Result<Option<Begun>, StepError> {
    let (mut separation, mut lender) = (Separation::None, None);
    loop {
        match channel::receive::<Progress>(launcher).during("begin", "plan")? {
            Some((Progress::Separate, _)) => {
                separation = Separation::Ahead;
                lender = Some(Lender::begin()?);
            }
            Some((Progress::Begun, descriptors)) => {
                let _ = set_name(c"sampan-launch");
                let read = read(descriptors)?;
                return Ok(read.map(|(plan, beside)| Begun { plan, beside, separation, lender }));
            }
            Some((Progress::Born(_), _)) => return Err(Errno::PROTO).during("begin", "plan"),
            None => return Ok(None),
        }
    }
}

/// The same from what came beside it.
fn read(descriptors: Vec<OwnedFd>) -> Result<Option<(Plan, Beside)>, StepError> {
    let mut descriptors = descriptors.into_iter();
    let file = descriptors.next().ok_or(Errno::BADF).during("begin", "plan")?;
    let Work::Start(plan) = work::read(file).during("begin", "plan")? else { return Ok(None) };
    let beside = match descriptors.next().filter(|_| credentials::are_beside(&plan)) {
        Some(secrets) => credentials::receive(secrets).during("begin", "credentials")?,
        None => Beside::new(),
    };
    Ok(Some((plan, beside)))
}

fn hear(launcher: &OwnedFd) -> Result<Progress, StepError> {
    match channel::receive(launcher).during("hand over", "launcher")? {
        Some((progress, _)) => Ok(progress),
        None => Err(Errno::CONNRESET).during("hand over", "launcher"),
    }
}

/// Of a container that has neither a group that was found nor one that is given to it, the view is made inside.
fn view_of(plan: &Plan, place: Place, launcher: u32) -> Result<Option<OwnedFd>, StepError> {
    let directory = match (place, &plan.group) {
        (Place::Foretold, Some(group)) => open_group(&group.directory)?,
        (_, None) if plan.delegation == Delegation::None => return Ok(None),
        // systemd may have made it elsewhere: the root that it sees need not be the one of the mount.
        _ => {
            let group = control_group(launcher).during("open", "control group")?;
            open_group(&plan.hierarchy.join(group.trim_start_matches('/')))?
        }
    };
    Ok(Some(match plan.delegation {
        Delegation::None => host::control_group(&directory)?,
        Delegation::Subtree => {
            system::delegate(&directory, plan.ids.map_or(0, |ids| ids.base))?;
            host::delegated_group(&directory)?
        }
    }))
}

fn supply(made: &Made, container: &OwnedFd) -> Result<(), StepError> {
    let (mut names, mut trees, mut length) = (Vec::new(), Vec::new(), 0);
    for (name, tree) in made {
        if trees.len() == TREES_MAX || length + name.len() > NAMES_MAX {
            hand_over(container, &Handover::Trees(names), &trees)?;
            (names, trees, length) = (Vec::new(), Vec::new(), 0);
        }
        length += name.len();
        names.push(name.clone());
        trees.push(tree.as_fd());
    }
    hand_over(container, &Handover::Trees(names), &trees)
}

/// A first process that does not listen any more has told why, or needs nothing else.
fn hand_over(container: &OwnedFd, handover: &Handover, trees: &[BorrowedFd<'_>]) -> Result<(), StepError> {
    match channel::send(container, handover, trees) {
        Err(error) if Errno::from_io_error(&error) == Some(Errno::PIPE) => Ok(()),
        sent => sent.during("hand over", "mounts"),
    }
}
