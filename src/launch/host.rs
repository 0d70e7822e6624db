//! The part of a launch that needs the host's privilege: each step makes one tree, whose descriptor the
//! container's first process is given.

use super::credentials::{self, Beside, Patience, Reader};
use super::device;
use super::failure::During;
use super::idmap::{Maps, is_mappable};
use super::journal;
use super::moment;
use super::named;
use super::protocol::StepError;
use super::root;
use super::step::{Attribute, Filesystem, HostStep, HostTree};
use crate::sys::mount::{self, Change, Depth, Propagation};
use rustix::fs::{CWD, fstat};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, OpenTreeFlags, fsconfig_create, fsconfig_set_string, fsmount,
    fsopen, open_tree,
};
use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

/// Trees by the names that steps call them.
pub type Made = BTreeMap<String, OwnedFd>;

/// What steps need that a plan does not tell.
pub struct Means<'a> {
    /// Secrets of the unit.
    pub beside: Beside,
    /// For steps that wait for others.
    pub patience: Patience<'a>,
}

/// Performs steps. Tells how long the root file system took, if it was among them.
pub fn perform<'a>(
    steps: impl IntoIterator<Item = &'a HostStep>,
    means: &Means<'_>,
    maps: &mut Maps,
    made: &mut Made,
) -> Result<Duration, StepError> {
    let mut root = Duration::ZERO;
    for step in steps {
        let begun = moment::now();
        perform_one(step, means, maps, made)?;
        if matches!(step, HostStep::Root { .. }) {
            root = moment::now().saturating_sub(begun);
        }
    }
    Ok(root)
}

/// A view of a control group that the container has got.
pub fn delegated_group(directory: &OwnedFd) -> Result<OwnedFd, StepError> {
    copy(directory, mount::NO_SETUID | mount::NO_DEVICES | mount::NO_EXECUTE).during("mount", "cgroup")
}

/// A view of the control group that a directory is. Mounting the hierarchy anew would show the same, but the
/// kernel lets nobody do that while systemd moves a process.
pub fn control_group(directory: &OwnedFd) -> Result<OwnedFd, StepError> {
    read_only(directory).during("mount", "cgroup")
}

/// A read-only copy of the mount at a place, of files that nobody executes.
pub fn read_only(place: impl AsFd) -> io::Result<OwnedFd> {
    copy(place, mount::READ_ONLY | mount::NO_SETUID | mount::NO_DEVICES | mount::NO_EXECUTE)
}

/// A copy of the mount at a place, with these attributes.
fn copy(place: impl AsFd, set: u64) -> io::Result<OwnedFd> {
    let tree = clone_of(place)?;
    // One of the host may be shared.
    mount::change(&tree, &Change { set, propagation: Propagation::Private, ..Change::default() })?;
    Ok(tree)
}

/// A copy of the mounts at a place and below it which nobody can write.
pub fn written_by_nobody(place: impl AsFd) -> io::Result<OwnedFd> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_EMPTY_PATH
        | OpenTreeFlags::AT_RECURSIVE;
    let tree = open_tree(place, "", flags)?;
    let depth = Depth::Recursive;
    mount::change(&tree, &Change { set: mount::READ_ONLY, depth, ..Change::default() })?;
    Ok(tree)
}

/// A copy of the mount at a place.
pub fn clone_of(place: impl AsFd) -> Result<OwnedFd, Errno> {
    let flags =
        OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_EMPTY_PATH;
    open_tree(place, "", flags)
}

fn perform_one(
    step: &HostStep,
    means: &Means<'_>,
    maps: &mut Maps,
    made: &mut Made,
) -> Result<(), StepError> {
    let (tree, opened) = match step {
        HostStep::Private(private) => {
            // As volumes are, until the payload runs.
            let held = named::private(private)?.into_iter().enumerate();
            made.extend(held.map(|(number, copy)| (format!("copy {number}"), copy)));
            return Ok(());
        }
        HostStep::Root { lower, changes, size } => {
            ("root", root::mount(lower, changes, size.as_ref(), maps)?)
        }
        HostStep::Clone { tree, source, attributes } => (tree.as_str(), clone(source, attributes, maps)?),
        HostStep::Bind(bind) => match named::bind(bind, maps)? {
            Some(opened) => (bind.tree.as_str(), opened),
            None => return Ok(()),
        },
        HostStep::Device(device) => match device::node(device, maps)? {
            Some(opened) => (device.tree.as_str(), opened),
            None => return Ok(()),
        },
        HostStep::Volume { tree, store, volume, seed, attributes } => {
            let held = named::volume(store, volume, seed.as_ref())?;
            let opened = named::volume_tree(volume, &held, attributes, maps)?;
            // Until the payload runs, and with that the run is written down, nobody removes it.
            made.insert(format!("volume {volume}"), held);
            (tree.as_str(), opened)
        }
        HostStep::Image { tree, lower, empty, attributes } => {
            (tree.as_str(), root::mount_image(lower, empty, attributes, maps)?)
        }
        HostStep::Make { tree, filesystem } => {
            (tree.as_str(), make(filesystem).during("mount", &filesystem.name)?)
        }
        HostStep::Credentials { unit, stores, credentials } => {
            let reader = Reader { unit, stores, beside: &means.beside, patience: means.patience };
            (credentials::TREE, credentials::mount(&reader, credentials, maps)?)
        }
        HostStep::Journal { tree, socket, identifier, unit } => {
            let stream = journal::open(socket, identifier, unit);
            (tree.as_str(), stream.during("connect to journal", identifier)?)
        }
    };
    made.insert(tree.to_owned(), opened);
    Ok(())
}

fn clone(source: &HostTree, attributes: &[Attribute], maps: &mut Maps) -> Result<OwnedFd, StepError> {
    let flags =
        OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_RECURSIVE;
    let tree = open_tree(CWD, &source.path, flags).during_path("copy mount", &source.path)?;
    let found = fstat(&tree).during_path("copy mount", &source.path)?;
    let idmap = match is_mappable(&found) {
        true => maps.namespace(source.id_base)?.map(AsFd::as_fd),
        false => None,
    };
    let (propagation, depth) = (Propagation::Private, Depth::Recursive);
    mount::change(&tree, &Change { set: bits(attributes), idmap, propagation, depth, ..Change::default() })
        .during_path("copy mount", &source.path)?;
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
