//! Id maps: of the container's user namespace, and of namespaces that exist only to lend theirs to a mount.

use super::failure::During;
use super::protocol::StepError;
use super::step::{HostStep, IdRange, Owners};
use crate::store::FOREIGN_BASE;
use crate::sys::child::is_killed_with;
use crate::sys::clone::{Cloned, ControlGroup, NewNamespaces, Parent, clone_process, exit_now};
use crate::sys::pidfd;
use rustix::event::pause;
use rustix::fs::{FileType, Stat, stat};
use rustix::process::{Signal, getpid};
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
fn write(pid: u32, inside: First, outside: IdRange) -> Result<(), StepError> {
    for (map, first) in [("uid_map", inside.user), ("gid_map", inside.group)] {
        let path = format!("/proc/{pid}/{map}");
        let line = format!("{first} {} {}", outside.base, outside.length);
        std::fs::write(&path, line).during("map ids", &path)?;
    }
    Ok(())
}

/// The user namespace of a process, which outlives it by this.
fn open(pid: u32) -> io::Result<OwnedFd> {
    Ok(File::open(format!("/proc/{pid}/ns/user"))?.into())
}

/// A process that is there to have a user namespace mapped: that takes one which is in it.
#[derive(Debug)]
pub struct Lender {
    pid: u32,
    process: OwnedFd,
}

impl Lender {
    /// One whose namespace has no map yet.
    pub fn begin() -> Result<Self, StepError> {
        let helper = getpid();
        let cloned = clone_process(NewNamespaces::USER, Parent::Caller, ControlGroup::Callers);
        match cloned.during("map ids", "clone")? {
            Cloned::Child => {
                if is_killed_with(helper) {
                    pause();
                }
                exit_now(0)
            }
            Cloned::Parent { pid, pidfd } => Ok(Self { pid, process: pidfd }),
        }
    }

    /// Gives the namespace this map, and the namespace.
    fn lend(&self, inside: First, outside: IdRange) -> Result<OwnedFd, StepError> {
        write(self.pid, inside, outside)?;
        open(self.pid).during("map ids", inside.user)
    }
}

impl Drop for Lender {
    fn drop(&mut self) {
        // Should it linger nevertheless, it ends with this process. It is no child of the container's first one.
        let _ = pidfd::signal(&self.process, Signal::KILL).and_then(|()| pidfd::wait(&self.process));
    }
}

/// The maps that mounts of one container need.
#[derive(Debug)]
pub struct Maps {
    container: Option<IdRange>,
    /// By the first ids and how many there are.
    made: Vec<(First, u32, OwnedFd)>,
    /// Made before it was known what for.
    spare: Option<Lender>,
    /// A process takes a while to end, and nobody needs to wait for these before the container goes on.
    lenders: Vec<Lender>,
    /// Nor for these: who closes a tree that is mounted nowhere waits for all processors.
    trees: Vec<OwnedFd>,
}

impl Maps {
    /// For a container with these ids.
    pub fn new(ids: Option<IdRange>, spare: Option<Lender>) -> Self {
        Self { container: ids, made: Vec::new(), spare, lenders: Vec::new(), trees: Vec::new() }
    }

    /// Maps the ids of the container itself, whose user namespace the process of this number is in. Mounts on which
    /// the host's ids appear as the same ones inside need no other.
    pub fn map_container(&mut self, process: u32) -> Result<(), StepError> {
        let Some(ids) = self.container else { return Ok(()) };
        let first = First::both(0);
        write(process, first, ids)?;
        self.made.push((first, ids.length, open(process).during("map ids", first.user)?));
        Ok(())
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

    /// Closes a tree with this.
    pub fn hold(&mut self, tree: OwnedFd) {
        self.trees.push(tree);
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
            let lender = self.spare.take().map_or_else(Lender::begin, Ok)?;
            self.made.push((first, range.length, lender.lend(first, range)?));
            self.lenders.push(lender);
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
