//! The part of a launch that needs the host's privilege: each step makes one tree and hands it to the
//! container's first process.

use super::channel;
use super::failure::During;
use super::idmap::Maps;
use super::protocol::StepError;
use super::root;
use super::step::{Attribute, Filesystem, HostStep, HostTree};
use crate::sys::mount::{self, Change, Depth, Propagation};
use rustix::fs::{CWD, Mode, OFlags, open};
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, OpenTreeFlags, fsconfig_create, fsconfig_set_string, fsmount,
    fsopen, open_tree,
};
use serde::{Deserialize, Serialize};
use std::io;
use std::os::fd::{AsFd, OwnedFd};

/// From the launcher's outer process to the container's first one.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Handover {
    /// The user namespace has its id maps.
    Mapped,
    /// Beside it: the tree of this name.
    Tree(String),
}

/// Performs all steps, handing over each tree as soon as it is made.
pub fn perform(steps: &[HostStep], maps: &mut Maps, container: &OwnedFd) -> Result<(), StepError> {
    for step in steps {
        let (name, tree) = perform_one(step, maps)?;
        let handover = Handover::Tree(name.to_owned());
        channel::send(container, &handover, &[tree.as_fd()]).during("hand over", name)?;
    }
    Ok(())
}

fn perform_one<'step>(step: &'step HostStep, maps: &mut Maps) -> Result<(&'step str, OwnedFd), StepError> {
    match step {
        HostStep::Root { lower, changes } => Ok(("root", root::mount(lower, changes, maps)?)),
        HostStep::Clone { tree, source, attributes } => Ok((tree, clone(source, attributes, maps)?)),
        HostStep::Make { tree, filesystem } => {
            Ok((tree, make(filesystem).during("mount", &filesystem.name)?))
        }
        HostStep::Open { tree, path } => {
            let flags = OFlags::PATH | OFlags::CLOEXEC;
            Ok((tree, open(path, flags, Mode::empty()).during_path("open", path)?))
        }
    }
}

fn clone(source: &HostTree, attributes: &[Attribute], maps: &mut Maps) -> Result<OwnedFd, StepError> {
    let flags =
        OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_RECURSIVE;
    let tree = open_tree(CWD, &source.path, flags).during_path("mount", &source.path)?;
    // A device or socket belongs to nobody in particular, its bits say who may use it.
    let metadata = source.path.metadata().during_path("mount", &source.path)?;
    let has_owner = metadata.is_dir() || metadata.is_file();
    let idmap = if has_owner { maps.namespace(source.id_base)?.map(AsFd::as_fd) } else { None };
    let (propagation, depth) = (Propagation::Private, Depth::Recursive);
    mount::change(&tree, &Change { set: bits(attributes), idmap, propagation, depth })
        .during_path("mount", &source.path)?;
    Ok(tree)
}

/// Mounts a file system, nowhere yet.
pub fn make(filesystem: &Filesystem) -> io::Result<OwnedFd> {
    let context = fsopen(&filesystem.name, FsOpenFlags::FSOPEN_CLOEXEC)?;
    for (key, value) in &filesystem.options {
        fsconfig_set_string(&context, key, value)?;
    }
    fsconfig_create(&context)?;
    let attributes =
        MountAttrFlags::from_bits_retain(u32::try_from(bits(&filesystem.attributes)).unwrap_or(0));
    Ok(fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes)?)
}

/// Attributes as mount_setattr(2) wants them.
pub fn bits(attributes: &[Attribute]) -> u64 {
    attributes.iter().fold(0, |bits, attribute| {
        bits | match attribute {
            Attribute::ReadOnly => mount::READ_ONLY,
            Attribute::NoSetuid => mount::NO_SETUID,
            Attribute::NoDevices => mount::NO_DEVICES,
            Attribute::NoExecute => mount::NO_EXECUTE,
        }
    })
}
