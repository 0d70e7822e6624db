//! Id maps: of the container's user namespace, and of namespaces that exist only to lend theirs to a mount.

use super::failure::During;
use super::protocol::StepError;
use super::step::{HostStep, IdRange, Owners};
use crate::store::FOREIGN_BASE;
use crate::sys::clone::{Cloned, ControlGroup, NewNamespaces, Parent, clone_process, exit_now};
use crate::sys::pidfd;
use rustix::event::pause;
use rustix::fs::{FileType, Stat, stat};
use rustix::process::{Signal, getpid, getppid, set_parent_process_death_signal};
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

/// Without a user namespace this many ids of an image are those of the host.
const HOST_LENGTH: u32 = 65536;

/// The first user and group that a map maps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct First {
    /// The user.
    pub user: u32,
    /// The group.
    pub group: u32,
}

impl First {
    /// Of users and groups alike.
    pub const fn both(id: u32) -> Self {
        Self { user: id, group: id }
    }
}

/// Maps `inside` and up of a user namespace to ids of the host.
pub fn write(pid: u32, inside: First, outside: IdRange) -> Result<(), StepError> {
    for (map, first) in [("uid_map", inside.user), ("gid_map", inside.group)] {
        let path = format!("/proc/{pid}/{map}");
        let line = format!("{first} {} {}", outside.base, outside.length);
        std::fs::write(&path, line).during("map ids", &path)?;
    }
    Ok(())
}

/// The maps that mounts of one container need.
#[derive(Debug)]
pub struct Maps {
    container: Option<IdRange>,
    /// By the first ids and how many there are.
    made: Vec<(First, u32, OwnedFd)>,
    lenders: Vec<OwnedFd>,
}

impl Drop for Maps {
    /// A process takes a while to end, and nobody needs to wait for these before the container goes on.
    fn drop(&mut self) {
        for lender in &self.lenders {
            // Should one linger nevertheless, it ends with this process. They are no children of the first process.
            let _ = pidfd::wait(lender);
        }
    }
}

impl Maps {
    /// For a container with these ids.
    pub fn new(ids: Option<IdRange>) -> Self {
        Self { container: ids, made: Vec::new(), lenders: Vec::new() }
    }

    /// Makes those that steps will ask for, as far as that can be told: each takes a new process, and nobody gets one
    /// while systemd moves another to its control group.
    pub fn foresee(&mut self, steps: &[HostStep]) -> Result<(), StepError> {
        for step in steps {
            match step {
                HostStep::Root { lower, .. } | HostStep::Image { lower, .. } => {
                    self.namespace(lower.id_base)?
                }
                HostStep::Volume { .. } => self.namespace(FOREIGN_BASE)?,
                HostStep::Clone { source, .. } => match mappable(&source.path) {
                    Some(_) => self.namespace(source.id_base)?,
                    None => None,
                },
                HostStep::Bind(bind) => match (bind.owners, mappable(&bind.path)) {
                    (Owners::Same, Some(_)) => self.namespace(0)?,
                    (Owners::Root, Some(found)) => {
                        self.owner_to_root(First { user: found.st_uid, group: found.st_gid })?
                    }
                    (Owners::Unmapped, _) | (_, None) => None,
                },
                HostStep::Private(_)
                | HostStep::Device(_)
                | HostStep::Make { .. }
                | HostStep::Credentials { .. }
                | HostStep::Journal { .. } => None,
            };
        }
        Ok(())
    }

    /// The id of the host that an id of a tree appears as.
    pub fn outside(&self, id: u32, tree_base: u32) -> u32 {
        let base = self.container.map_or(0, |ids| ids.base);
        id.wrapping_sub(tree_base).wrapping_add(base)
    }

    /// A user namespace that maps a tree's ids to the container's; `None` when they are the same.
    pub fn namespace(&mut self, tree_base: u32) -> Result<Option<&OwnedFd>, StepError> {
        let range = self.range();
        if tree_base == range.base {
            return Ok(None);
        }
        self.made_of(First::both(tree_base), range)
    }

    /// A user namespace that maps one user and group of a tree to the container's root, and nobody else.
    pub fn owner_to_root(&mut self, owner: First) -> Result<Option<&OwnedFd>, StepError> {
        self.made_of(owner, IdRange { length: 1, ..self.range() })
    }

    fn range(&self) -> IdRange {
        self.container.unwrap_or(IdRange { base: 0, length: HOST_LENGTH })
    }

    fn made_of(&mut self, first: First, range: IdRange) -> Result<Option<&OwnedFd>, StepError> {
        let known = |(made, of, _): &(First, u32, OwnedFd)| (*made, *of) == (first, range.length);
        if !self.made.iter().any(known) {
            let (namespace, lender) = make(first, range)?;
            self.lenders.push(lender);
            self.made.push((first, range.length, namespace));
        }
        Ok(self.made.iter().find(|made| known(made)).map(|(.., namespace)| namespace))
    }
}

/// Whether ids are mapped for what is there. The bits of a device or socket say who may use it, and many file systems
/// that hold such know no maps.
pub fn is_mappable(found: &Stat) -> bool {
    matches!(FileType::from_raw_mode(found.st_mode), FileType::Directory | FileType::RegularFile)
}

/// What is at a path, where ids are mapped for it.
fn mappable(path: &Path) -> Option<Stat> {
    stat(path).ok().filter(is_mappable)
}

fn open(pid: u32) -> io::Result<OwnedFd> {
    Ok(File::open(format!("/proc/{pid}/ns/user"))?.into())
}

/// A namespace needs a process to be made and to be mapped, but lives on by its descriptor. Gives that process,
/// which is about to end, too.
fn make(inside: First, outside: IdRange) -> Result<(OwnedFd, OwnedFd), StepError> {
    let launcher = Some(getpid());
    match clone_process(NewNamespaces::USER, Parent::Caller, ControlGroup::Callers)
        .during("map ids", inside.user)?
    {
        Cloned::Child => {
            // Should the launcher die, now or before, nobody else would end this one.
            let bound = set_parent_process_death_signal(Some(Signal::KILL));
            if bound.is_ok() && getppid() == launcher {
                pause();
            }
            exit_now(0)
        }
        Cloned::Parent { pid, pidfd } => {
            let namespace =
                write(pid, inside, outside).and_then(|()| open(pid).during("map ids", inside.user));
            pidfd::signal(&pidfd, Signal::KILL).during("map ids", inside.user)?;
            Ok((namespace?, pidfd))
        }
    }
}
