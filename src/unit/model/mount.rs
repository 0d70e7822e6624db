//! Mounts of a container as meant.

use super::{IfMissing, ImageSource};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::path::PathBuf;

/// One `[mount."TARGET"]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    /// What is mounted.
    pub source: MountSource,
    /// Whether it can be written.
    pub access: MountAccess,
    /// What its files cannot be used for.
    pub restrictions: BTreeSet<Restriction>,
}

impl Mount {
    /// One that can be written.
    pub fn new(source: MountSource) -> Self {
        Self { source, access: MountAccess::ReadWrite, restrictions: BTreeSet::new() }
    }

    /// The same, read-only.
    #[must_use]
    pub fn read_only(self) -> Self {
        Self { access: MountAccess::ReadOnly, ..self }
    }
}

/// What a mount brings into the container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum MountSource {
    /// A named volume of the store.
    Volume {
        /// Its name.
        name: String,
        /// What is in it at first.
        seed: Seed,
    },
    /// A file or directory of the host.
    Bind(Bind),
    /// Memory.
    Tmpfs(Tmpfs),
    /// The tree of another image, which nobody can write.
    Image(ImageSource),
    /// POSIX message queues, mq_overview(7).
    Mqueue,
}

/// What is in a volume when it comes to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Seed {
    /// What the image has at that place.
    Image,
    /// `nocopy`: nothing.
    Nothing,
}

/// A bind of the host's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bind {
    /// Absolute path on the host.
    pub path: PathBuf,
    /// What happens when it does not exist.
    pub missing: IfMissing,
    /// Whether mounts below it come, too.
    pub depth: BindDepth,
    /// Whether later mounts of the host come, too.
    pub propagation: BindPropagation,
    /// As whose the container sees its files.
    pub owners: BindOwners,
}

impl Bind {
    /// A recursive and private one with the same owners inside and outside, which must exist.
    pub fn new(path: PathBuf) -> Self {
        Self {
            path,
            missing: IfMissing::Fail,
            depth: BindDepth::Recursive,
            propagation: BindPropagation::Private,
            owners: BindOwners::Same,
        }
    }
}

/// Whether mounts below a bind come with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum BindDepth {
    /// `rbind`, the default.
    Recursive,
    /// `norbind`.
    One,
}

/// What becomes of mounts that the host makes later below a bind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum BindPropagation {
    /// `private`, the default: the container does not see them.
    Private,
    /// `slave`: it does. Its own mounts never reach the host.
    Slave,
}

/// As whose a container sees the files of a bind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum BindOwners {
    /// `idmap`, the default: user 33 of the host is user 33 inside.
    Same,
    /// `rootidmap`: the owner of the source is root inside, all others are nobody.
    Root,
    /// `noidmap`: all but the container's own ids are nobody.
    Unmapped,
}

/// A file system in memory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tmpfs {
    /// Bytes; `None`: half of the memory.
    pub size: Option<u64>,
    /// Mode of its root directory.
    pub mode: u32,
    /// Owner of its root directory, inside.
    pub user: u32,
    /// Group of its root directory, inside.
    pub group: u32,
}

impl Tmpfs {
    /// One that anybody may write to, as `/tmp`.
    pub fn new(size: Option<u64>) -> Self {
        Self { size, mode: 0o1777, user: 0, group: 0 }
    }
}

/// Whether a mount can be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum MountAccess {
    /// `ro`.
    ReadOnly,
    /// `rw`, the default.
    ReadWrite,
}

/// What files of a mount cannot be used for. That they are no devices holds for all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Restriction {
    /// `nosuid`: set-user-ID bits and file capabilities have no effect.
    NoSetuid,
    /// `noexec`: programs cannot be executed.
    NoExecute,
}
