//! The launcher's helper: a process that stays on the host and does what needs its privilege, while the launcher
//! enters the container's namespaces and systemd makes the scope. It is there before there is a plan.

use super::birthplace::open_group;
use super::channel;
use super::credentials::{self, Beside, Patience};
use super::failure::{During, reported};
use super::host::{self, Made, Means};
use super::idmap::{self, First, Maps};
use super::moment;
use super::protocol::{Report, StepError};
use super::step::{Delegation, Plan};
use super::system;
use super::work::{self, Work};
use crate::sys::clone::{Cloned, ControlGroup, NewNamespaces, Parent, clone_process, exit_now};
use crate::sys::pidfd;
use crate::sys::process::control_group;
use rustix::io::Errno;
use rustix::process::{Signal, getpid, getppid, set_parent_process_death_signal};
use rustix::thread::set_name;
use serde::{Deserialize, Serialize};
use std::io;
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
    /// It has namespaces of its own, whose ids can be mapped.
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
    /// These trees, in this order.
    Trees(Vec<String>),
    /// That was all, and the user namespace has its id maps.
    Complete,
}

/// The helper as the launcher sees it.
pub struct Helper {
    process: OwnedFd,
    /// Closed before the end of the helper is waited for.
    progress: Option<OwnedFd>,
}

/// Where the first process gets what the helper has made.
pub struct Supply(OwnedFd);

impl Helper {
    /// Starts one, which waits for its plan.
    pub fn begin(control: &OwnedFd) -> Result<(Self, Supply), StepError> {
        let (progress, launcher) = channel::pair().during("begin", "hand over")?;
        let (supply, container) = channel::pair().during("begin", "hand over")?;
        let bound_to = getpid();
        let cloned = clone_process(NewNamespaces::default(), Parent::Caller, ControlGroup::Callers);
        match cloned.during("start helper", "clone")? {
            Cloned::Child => {
                drop((progress, supply));
                // Should the launcher die, now or before, nobody else would end this one.
                let bound = set_parent_process_death_signal(Some(Signal::KILL));
                if bound.is_ok() && getppid() == Some(bound_to) {
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
    /// Waits for all of it. The descriptors of trees close with a program's execution.
    pub fn take(self) -> Result<Made, StepError> {
        let mut made = Made::new();
        loop {
            match channel::receive::<Handover>(&self.0).during("take over", "mounts")? {
                Some((Handover::Trees(names), trees)) => made.extend(names.into_iter().zip(trees)),
                Some((Handover::Complete, _)) => return Ok(made),
                None => return Err(Errno::CONNRESET).during("take over", "mounts"),
            }
        }
    }
}

fn help(control: &OwnedFd, (launcher, container): (&OwnedFd, &OwnedFd)) -> Result<(), StepError> {
    let Some((plan, beside)) = plan(launcher)? else { return Ok(()) };
    let begun = moment::now();
    let mut maps = Maps::new(plan.ids);
    maps.foresee(&plan.host)?;
    let means = Means { beside, patience: Patience(control.as_fd()) };
    let (mut made, root) = host::perform(&plan.host, &means, &mut maps)?;
    drop(means);
    let report = Report::Mounted { rooted: begun + root, mounted: moment::now() };
    channel::send(control, &report, &[]).during("begin", "report")?;
    let Progress::Separate = hear(launcher)? else {
        return Err(Errno::PROTO).during("hand over", "launcher");
    };
    let process = getppid().map_or(0, |process| process.as_raw_nonzero().get().cast_unsigned());
    if let Some(ids) = plan.ids {
        idmap::write(process, First::both(0), ids)?;
    }
    let Progress::Born(place) = hear(launcher)? else {
        return Err(Errno::PROTO).during("hand over", "launcher");
    };
    if let Some(view) = view_of(&plan, place, process)? {
        made.insert("cgroup".to_owned(), view);
    }
    supply(&made, container)
}

/// What there is to do; `None` where there is nothing.
fn plan(launcher: &OwnedFd) -> Result<Option<(Plan, Beside)>, StepError> {
    let received = channel::receive::<Progress>(launcher).during("begin", "plan")?;
    let Some((Progress::Begun, descriptors)) = received else { return Ok(None) };
    let _ = set_name(c"sampan-launch");
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
    let give = |names: &[String], trees: &[BorrowedFd<'_>]| -> io::Result<()> {
        channel::send(container, &Handover::Trees(names.to_vec()), trees)
    };
    let (mut names, mut trees, mut length) = (Vec::new(), Vec::new(), 0);
    for (name, tree) in made {
        if trees.len() == TREES_MAX || length + name.len() > NAMES_MAX {
            give(&names, &trees).during("hand over", "mounts")?;
            (names, trees, length) = (Vec::new(), Vec::new(), 0);
        }
        length += name.len();
        names.push(name.clone());
        trees.push(tree.as_fd());
    }
    give(&names, &trees)
        .and_then(|()| channel::send(container, &Handover::Complete, &[]))
        .during("hand over", "mounts")
}
