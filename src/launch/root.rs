//! The root file system: an overlay over one idmapped tree, made as a detached mount.

use super::failure::During;
use super::idmap::Maps;
use super::protocol::StepError;
use super::step::{Changes, HostTree, TextFile};
use crate::sys::mount::{self, Change, Propagation};
use crate::sys::namespace::{Namespace, unshare};
use rustix::fs::{CWD, Mode, OFlags, chmod, chown, open, stat};
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountPropagationFlags, MoveMountFlags, OpenTreeFlags,
    fsconfig_create, fsconfig_set_fd, fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen, mount_change,
    move_mount, open_tree,
};
use rustix::process::{Gid, Uid};
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;

const STEP: &str = "mount root";

/// The directories of an overlay. Upper and work are on the host, in the container's ids.
struct Layers {
    lower: Vec<OwnedFd>,
    upper: Option<Upper>,
}

struct Upper {
    upper: OwnedFd,
    work: OwnedFd,
    durability: Durability,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Durability {
    /// Data of a container that has ended is of no use: nothing is ever synchronized.
    Volatile,
    Durable,
}

/// Mounts the root file system of a container.
pub fn mount(lower: &HostTree, changes: &Changes, maps: &mut Maps) -> Result<OwnedFd, StepError> {
    let mut layers = Layers { lower: Vec::new(), upper: None };
    match changes {
        Changes::Discard(directory) => {
            clear(directory).during_path("discard changes", directory)?;
            layers.upper = Some(upper(directory, lower, maps, Durability::Volatile)?);
        }
        Changes::Keep(directory) => {
            layers.upper = Some(upper(directory, lower, maps, Durability::Durable)?);
        }
        Changes::Refuse { .. } => {}
    }
    let tree = clone_tree(&lower.path, lower.id_base, maps)?;
    layers.lower.push(tree);
    if let Changes::Refuse { directory, directories, files } = changes {
        let stand = stand(directory, directories, files, maps).during_path(STEP, directory)?;
        layers.lower.push(stand);
    }
    overlay(&layers).during_path(STEP, &lower.path)
}

fn clone_tree(path: &Path, id_base: u32, maps: &mut Maps) -> Result<OwnedFd, StepError> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let tree = open_tree(CWD, path, flags).during_path(STEP, path)?;
    let idmap = maps.namespace(id_base)?.map(AsFd::as_fd);
    let change =
        Change { set: mount::READ_ONLY, idmap, propagation: Propagation::Private, ..Change::default() };
    mount::change(&tree, &change).during_path(STEP, path)?;
    Ok(tree)
}

fn clear(directory: &Path) -> io::Result<()> {
    match std::fs::remove_dir_all(directory) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn upper(
    directory: &Path,
    lower: &HostTree,
    maps: &Maps,
    durability: Durability,
) -> Result<Upper, StepError> {
    let (upper, work) = (directory.join("upper"), directory.join("work"));
    std::fs::create_dir_all(&work).during_path(STEP, &work)?;
    if !upper.exists() {
        std::fs::create_dir(&upper).during_path(STEP, &upper)?;
        // The root directory of the overlay takes owner and mode from the upper one.
        let like = stat(&lower.path).during_path(STEP, &lower.path)?;
        let owner = Uid::from_raw(maps.outside(like.st_uid, lower.id_base));
        let group = Gid::from_raw(maps.outside(like.st_gid, lower.id_base));
        chown(&upper, Some(owner), Some(group)).during_path(STEP, &upper)?;
        chmod(&upper, Mode::from_raw_mode(like.st_mode)).during_path(STEP, &upper)?;
    }
    let open = |path: &Path| directory_at(path).during_path(STEP, path);
    Ok(Upper { upper: open(&upper)?, work: open(&work)?, durability })
}

fn directory_at(path: &Path) -> io::Result<OwnedFd> {
    Ok(open(path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?)
}

/// Where the root cannot be written, mounts still need something to stand on.
fn stand(
    directory: &Path,
    directories: &[std::path::PathBuf],
    files: &[TextFile],
    maps: &Maps,
) -> io::Result<OwnedFd> {
    let below = |path: &Path| directory.join(path.strip_prefix("/").unwrap_or(path));
    clear(directory)?;
    std::fs::create_dir_all(directory)?;
    for path in directories {
        std::fs::create_dir_all(below(path))?;
    }
    for file in files {
        let path = below(&file.path);
        std::fs::create_dir_all(path.parent().unwrap_or(directory))?;
        std::fs::write(&path, &file.text)?;
    }
    own(directory, maps.outside(0, 0))?;
    directory_at(directory)
}

fn own(path: &Path, id: u32) -> io::Result<()> {
    std::os::unix::fs::lchown(path, Some(id), Some(id))?;
    let is_directory = path.symlink_metadata()?.is_dir();
    chmod(path, Mode::from_raw_mode(if is_directory { 0o755 } else { 0o644 }))?;
    if is_directory {
        for entry in std::fs::read_dir(path)? {
            own(&entry?.path(), id)?;
        }
    }
    Ok(())
}

/// Since Linux 6.13 overlayfs takes its layers as descriptors, also of trees that are mounted nowhere.
fn overlay(layers: &Layers) -> io::Result<OwnedFd> {
    configure(layers, |context| {
        layers.lower.iter().try_for_each(|lower| fsconfig_set_fd(context, "lowerdir+", lower))
    })
    .or_else(|_| overlay_by_path(layers))
}

/// Before, a layer is a path, and has to be mounted in the namespace of the caller, which therefore gets one of
/// its own.
fn overlay_by_path(layers: &Layers) -> io::Result<OwnedFd> {
    unshare(&[Namespace::Mount])?;
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)?;
    if let Some(image) = layers.lower.first() {
        move_mount(image, "", CWD, "/", MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)?;
    }
    configure(layers, |context| {
        let lower: Vec<_> = layers.lower.iter().map(path_of).collect();
        fsconfig_set_string(context, "lowerdir", lower.join(":"))
    })
}

/// A path that leads through a descriptor: it fits the 255 bytes of an option, and the container, which sees the
/// options in `/proc/self/mountinfo`, learns nothing of the host.
fn path_of(descriptor: &OwnedFd) -> String {
    format!("/proc/self/fd/{}", descriptor.as_raw_fd())
}

fn configure(
    layers: &Layers,
    set_layers: impl FnOnce(&OwnedFd) -> rustix::io::Result<()>,
) -> io::Result<OwnedFd> {
    let context = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_set_string(&context, "source", "sampan")?;
    set_layers(&context)?;
    if let Some(upper) = &layers.upper {
        fsconfig_set_string(&context, "upperdir", path_of(&upper.upper))?;
        fsconfig_set_string(&context, "workdir", path_of(&upper.work))?;
    }
    // The tree comes from strangers: nothing in it may redirect a lookup or borrow another file's data.
    fsconfig_set_string(&context, "redirect_dir", "nofollow")?;
    fsconfig_set_string(&context, "metacopy", "off")?;
    if layers.upper.as_ref().is_some_and(|upper| upper.durability == Durability::Volatile) {
        fsconfig_set_flag(&context, "volatile")?;
    }
    fsconfig_create(&context)?;
    let mut attributes = MountAttrFlags::MOUNT_ATTR_NODEV;
    if layers.upper.is_none() {
        attributes |= MountAttrFlags::MOUNT_ATTR_RDONLY;
    }
    Ok(fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes)?)
}
