//! The root file system: an overlay over one idmapped tree, made as a detached mount.

use super::failure::During;
use super::host;
use super::idmap::Maps;
use super::protocol::StepError;
use super::sized::{self, Lasting};
use super::step::{Attribute, Changes, HostTree, RootSize, Stand, StandKind};
use crate::sys::mount::{self, Change, Propagation};
use crate::sys::namespace::{Namespace, enter, unshare};
use crate::sys::removal::remove_tree;
use rustix::fs::{
    CWD, Mode, OFlags, ResolveFlags, StatVfsMountFlags, chmod, chown, fstatvfs, open, openat2, stat,
};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountPropagationFlags, MoveMountFlags, OpenTreeFlags,
    fsconfig_create, fsconfig_set_fd, fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen, mount_change,
    move_mount, open_tree,
};
use rustix::process::{Gid, Uid};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

const STEP: &str = "mount root";

/// What an overlay is made of beside the image: directories of the host, in the container's ids. They are opened late:
/// overlayfs takes them only from the mount namespace that its maker is in by then.
enum Rest {
    Stand(PathBuf),
    Upper { upper: PathBuf, work: PathBuf, durability: Durability },
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Durability {
    /// Data of a container that has ended is of no use: nothing is ever synchronized.
    Volatile,
    Durable,
}

/// Mounts the root file system of a container.
pub fn mount(
    lower: &HostTree,
    changes: &Changes,
    size: Option<&RootSize>,
    maps: &mut Maps,
) -> Result<OwnedFd, StepError> {
    let image = clone_tree(&lower.path, lower.id_base, maps)?;
    let whole = |rest| overlay(&image, &rest).during_path(STEP, &lower.path);
    let mounted = match changes {
        Changes::Discard(directory) => {
            clear(directory).during_path("discard changes", directory)?;
            sized::within(directory, size, Lasting::Run, || {
                whole(upper(directory, lower, maps, Durability::Volatile)?)
            })
        }
        Changes::Keep(directory) => sized::within(directory, size, Lasting::Runs, || {
            whole(upper(directory, lower, maps, Durability::Durable)?)
        }),
        Changes::Refuse { directory, stands } => {
            stand(directory, stands, &lower.path, maps.outside(0, 0)).during_path(STEP, directory)?;
            whole(Rest::Stand(directory.clone()))
        }
    };
    maps.hold(image);
    mounted
}

/// Mounts the tree of an image that is not the container's own, for nobody to write to.
pub fn mount_image(
    lower: &HostTree,
    empty: &Path,
    attributes: &[Attribute],
    maps: &mut Maps,
) -> Result<OwnedFd, StepError> {
    const STEP: &str = "mount image";
    let image = clone_tree(&lower.path, lower.id_base, maps)?;
    std::fs::create_dir_all(empty).during_path(STEP, empty)?;
    let overlay = overlay(&image, &Rest::Stand(empty.to_owned())).during_path(STEP, &lower.path)?;
    maps.hold(image);
    let change = Change { set: host::bits(attributes) | mount::READ_ONLY, ..Change::default() };
    mount::change(&overlay, &change).during_path(STEP, &lower.path)?;
    Ok(overlay)
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
    match remove_tree(directory) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn upper(directory: &Path, lower: &HostTree, maps: &Maps, durability: Durability) -> Result<Rest, StepError> {
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
    Ok(Rest::Upper { upper, work, durability })
}

fn directory_at(path: &Path) -> io::Result<OwnedFd> {
    Ok(open(path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?)
}

/// Where the root cannot be written, mounts still need something to stand on.
fn stand(directory: &Path, stands: &[Stand], image: &Path, owner: u32) -> io::Result<()> {
    clear(directory)?;
    std::fs::create_dir_all(directory)?;
    let image = directory_at(image)?;
    for Stand { path, kind } in stands {
        let led = led_by(&image, path);
        let path = directory.join(led.as_deref().or_else(|| path.strip_prefix("/").ok()).unwrap_or(path));
        let is_file = match kind {
            StandKind::Directory => false,
            StandKind::File => true,
            StandKind::Like(like) => like.exists() && !like.is_dir(),
        };
        if is_file {
            std::fs::create_dir_all(path.parent().unwrap_or(directory))?;
            std::fs::File::create(&path)?;
        } else {
            std::fs::create_dir_all(&path)?;
        }
    }
    own(directory, owner)
}

/// Where the links of an image lead to the directory of a path, as far as it has something there: `/var/run` is often a
/// link. What stands below the link itself would be hidden by it.
fn led_by(image: &OwnedFd, path: &Path) -> Option<PathBuf> {
    let place = |found: &OwnedFd| std::fs::read_link(format!("/proc/self/fd/{}", found.as_raw_fd()));
    let root = place(image).ok()?;
    path.ancestors().skip(1).find_map(|ancestor| {
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        let found = openat2(image, ancestor, OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), resolve).ok()?;
        let found = place(&found).ok()?;
        Some(found.strip_prefix(&root).ok()?.join(path.strip_prefix(ancestor).ok()?))
    })
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

/// Since Linux 6.13 overlayfs takes its layers as descriptors, also of trees that are mounted nowhere. Of one that is
/// mounted it would show the path, which the host's is.
fn overlay(image: &OwnedFd, rest: &Rest) -> io::Result<OwnedFd> {
    let made = configure(image, rest, |context, image, stand| {
        fsconfig_set_fd(context, "lowerdir+", image)?;
        stand.map_or(Ok(()), |stand| fsconfig_set_string(context, "lowerdir+", path_of(stand)))
    });
    let overlay = match made {
        // What it does not know, in the words of fsconfig(2). Where it does, and has begun, another attempt would be told
        // that the first has left something.
        Err(error) if matches!(Errno::from_io_error(&error), Some(Errno::INVAL | Errno::OPNOTSUPP)) => {
            overlay_by_path(image, rest)?
        }
        made => made?,
    };
    check_changes(&overlay, rest)?;
    Ok(overlay)
}

/// Where overlayfs cannot make a directory of its own for changes, it mounts what nobody can write, and tells the
/// kernel's log why. Who tries to make one is told, too.
fn check_changes(overlay: &OwnedFd, rest: &Rest) -> io::Result<()> {
    let Rest::Upper { work, .. } = rest else { return Ok(()) };
    if !fstatvfs(overlay)?.f_flag.contains(StatVfsMountFlags::RDONLY) {
        return Ok(());
    }
    let tried = work.join("tried");
    std::fs::create_dir(&tried).and_then(|()| std::fs::remove_dir(&tried))?;
    Err(Errno::ROFS.into())
}

/// Before, a layer is a path, and has to be mounted in the namespace of the caller, which therefore gets one of
/// its own.
fn overlay_by_path(image: &OwnedFd, rest: &Rest) -> io::Result<OwnedFd> {
    let own = open("/proc/self/ns/mnt", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    unshare(&[Namespace::Mount])?;
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)?;
    move_mount(image, "", CWD, "/", MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)?;
    let overlay = configure(image, rest, |context, image, stand| {
        let paths: Vec<_> = std::iter::once(image).chain(stand).map(path_of).collect();
        fsconfig_set_string(context, "lowerdir", paths.join(":"))
    })?;
    enter(own, &[Namespace::Mount])?;
    Ok(overlay)
}

/// A path that leads through a descriptor: it fits the 255 bytes of an option, and the container, which sees the
/// options in `/proc/self/mountinfo`, learns nothing of the host.
fn path_of(descriptor: impl AsFd) -> String {
    format!("/proc/self/fd/{}", descriptor.as_fd().as_raw_fd())
}

fn configure(
    image: &OwnedFd,
    rest: &Rest,
    set_lower: impl FnOnce(&OwnedFd, BorrowedFd<'_>, Option<BorrowedFd<'_>>) -> rustix::io::Result<()>,
) -> io::Result<OwnedFd> {
    let context = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
    let mut attributes = MountAttrFlags::MOUNT_ATTR_NODEV;
    fsconfig_set_string(&context, "source", "sampan")?;
    // Before Linux 6.5 paths are followed only when all is said, so the descriptors live until then.
    let mut directories = Vec::new();
    match rest {
        Rest::Stand(stand) => {
            directories.push(directory_at(stand)?);
            set_lower(&context, image.as_fd(), Some(directories[0].as_fd()))?;
            attributes |= MountAttrFlags::MOUNT_ATTR_RDONLY;
        }
        Rest::Upper { upper, work, durability } => {
            directories.extend([directory_at(upper)?, directory_at(work)?]);
            set_lower(&context, image.as_fd(), None)?;
            fsconfig_set_string(&context, "upperdir", path_of(&directories[0]))?;
            fsconfig_set_string(&context, "workdir", path_of(&directories[1]))?;
            if *durability == Durability::Volatile {
                fsconfig_set_flag(&context, "volatile")?;
            }
        }
    }
    // The tree comes from strangers: nothing in it may redirect a lookup or borrow another file's data.
    fsconfig_set_string(&context, "redirect_dir", "nofollow")?;
    fsconfig_set_string(&context, "metacopy", "off")?;
    fsconfig_create(&context)?;
    Ok(fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes)?)
}
