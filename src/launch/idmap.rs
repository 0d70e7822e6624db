//! Id maps: of the container's user namespace, and of namespaces that exist only to lend theirs to a mount.

use super::failure::During;
use super::protocol::StepError;
use super::step::IdRange;
use crate::sys::clone::{Cloned, ControlGroup, NewNamespaces, Parent, clone_process, exit_now};
use crate::sys::pidfd;
use rustix::event::pause;
use rustix::process::{Signal, getpid, getppid, set_parent_process_death_signal};
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;

/// Without a user namespace this many ids of an image are those of the host.
const HOST_LENGTH: u32 = 65536;

/// Maps `inside` and up of a user namespace to ids of the host.
pub fn write(pid: u32, inside: u32, outside: IdRange) -> Result<(), StepError> {
    let line = format!("{inside} {} {}", outside.base, outside.length);
    for map in ["uid_map", "gid_map"] {
        let path = format!("/proc/{pid}/{map}");
        std::fs::write(&path, &line).during("map ids", &path)?;
    }
    Ok(())
}

/// The maps that mounts of one container need.
#[derive(Debug)]
pub struct Maps {
    container: Option<IdRange>,
    made: Vec<(u32, OwnedFd)>,
    lenders: Vec<OwnedFd>,
}

impl Drop for Maps {
    /// A process takes a while to end, and nobody needs to wait for these before the container goes on.
    fn drop(&mut self) {
        for lender in &self.lenders {
            // Should one linger nevertheless, it ends with this process.
            let _ = pidfd::wait(lender);
        }
    }
}

impl Maps {
    /// For a container with these ids.
    pub fn new(ids: Option<IdRange>) -> Self {
        Self { container: ids, made: Vec::new(), lenders: Vec::new() }
    }

    /// The id of the host that an id of a tree appears as.
    pub fn outside(&self, id: u32, tree_base: u32) -> u32 {
        let base = self.container.map_or(0, |ids| ids.base);
        id.wrapping_sub(tree_base).wrapping_add(base)
    }

    /// A user namespace that maps a tree's ids to the container's; `None` when they are the same.
    pub fn namespace(&mut self, tree_base: u32) -> Result<Option<&OwnedFd>, StepError> {
        let range = self.container.unwrap_or(IdRange { base: 0, length: HOST_LENGTH });
        if tree_base == range.base {
            return Ok(None);
        }
        if !self.made.iter().any(|(base, _)| *base == tree_base) {
            let (namespace, lender) = make(tree_base, range)?;
            self.lenders.push(lender);
            self.made.push((tree_base, namespace));
        }
        Ok(self.made.iter().find(|(base, _)| *base == tree_base).map(|(_, namespace)| namespace))
    }
}

fn open(pid: u32) -> io::Result<OwnedFd> {
    Ok(File::open(format!("/proc/{pid}/ns/user"))?.into())
}

/// A namespace needs a process to be made and to be mapped, but lives on by its descriptor. Gives that process,
/// which is about to end, too.
fn make(inside: u32, outside: IdRange) -> Result<(OwnedFd, OwnedFd), StepError> {
    let launcher = Some(getpid());
    match clone_process(NewNamespaces::USER, Parent::Caller, ControlGroup::Callers)
        .during("map ids", inside)?
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
            let namespace = write(pid, inside, outside).and_then(|()| open(pid).during("map ids", inside));
            pidfd::signal(&pidfd, Signal::KILL).during("map ids", inside)?;
            Ok((namespace?, pidfd))
        }
    }
}
