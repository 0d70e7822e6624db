//! The part of a launch that process 1 of the container performs: its own mounts, each put on a target that is
//! a descriptor below the new root.

use super::credentials;
use super::failure::During;
use super::host::{self, Made};
use super::outside::Supply;
use super::protocol::StepError;
use super::step::{Attribute, Filesystem, Links, Step, TextFile};
use super::target;
use super::user;
use crate::sys::mount::{self, Change};
use crate::unit::model::IfMissing;
use rustix::fs::{
    AtFlags, CWD, FileType, Mode, OFlags, chmodat, fstat, mkfifoat, openat, symlinkat, unlinkat,
};
use rustix::io::Errno;
use rustix::mount::{MountPropagationFlags, MoveMountFlags, UnmountFlags, mount_change, move_mount, unmount};
use rustix::process::{chdir, fchdir, pivot_root};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

/// Trees by name.
#[derive(Debug)]
pub struct Trees {
    trees: Made,
    /// Where more may come from.
    supply: Option<Supply>,
}

impl Trees {
    /// Those made outside.
    pub fn supplied(supply: Supply) -> Self {
        Self { trees: Made::new(), supply: Some(supply) }
    }

    /// Closes what was not taken.
    pub fn clear(&mut self) {
        self.trees.clear();
        self.supply = None;
    }

    /// Whether there is such a tree, once there is or none will come.
    pub fn has(&mut self, name: &str) -> Result<bool, StepError> {
        while let Some(supply) = self.supply.as_ref().filter(|_| !self.trees.contains_key(name)) {
            match supply.more()? {
                Some(made) => self.trees.extend(made),
                None => self.supply = None,
            }
        }
        Ok(self.trees.contains_key(name))
    }

    /// Takes a tree, once it is there.
    pub fn take(&mut self, name: &str) -> Result<OwnedFd, StepError> {
        self.has(name)?;
        self.trees.remove(name).ok_or(Errno::BADF).during("take over", name)
    }
}

/// Performs steps in their order.
pub fn perform(steps: &[Step], trees: &mut Trees) -> Result<(), StepError> {
    steps.iter().try_for_each(|step| perform_one(step, trees))
}

fn perform_one(step: &Step, trees: &mut Trees) -> Result<(), StepError> {
    match step {
        Step::Make { tree, filesystem } => make(tree, filesystem, trees),
        Step::EnterRoot => enter_root(&trees.take("root")?).during("enter root", "/"),
        Step::Attach { tree, target, links, missing } => {
            if *missing == IfMissing::Ignore && !trees.has(tree)? {
                return Ok(());
            }
            attach(&trees.take(tree)?, target, *links).during_path("mount", target)
        }
        Step::Credentials { target, user } => {
            let tree = trees.take(credentials::TREE)?;
            let user = user::resolve(user, &[], &[])?;
            credentials::give(&tree, &user).during("give credentials to user", user.uid)?;
            attach(&tree, target, Links::Refuse).during_path("mount", target)
        }
        Step::Link { path, to } => link(path, to).during_path("link", path),
        Step::Fifo { tree, path } => {
            let opened = fifo(path).during_path("make", path)?;
            trees.trees.insert(tree.clone(), opened);
            Ok(())
        }
        Step::Write(file) => write(file).during_path("write", &file.path),
        Step::Provide { tree, file, attributes } => {
            let provided = provide(file, attributes).during_path("write", &file.path)?;
            trees.trees.insert(tree.clone(), provided);
            Ok(())
        }
        Step::Cover { tree, target } => cover(&trees.take(tree)?, target).during_path("mount", target),
        Step::Replace(file) => replace(file).during_path("write", &file.path),
        Step::Seal(path) => seal(path).during_path("protect", path),
        Step::Setting { path, value } => {
            set(path, value).during("set sysctl", format_args!("{} = {value}", path.display()))
        }
        Step::Protect { path, links } => protect(path, *links).during_path("protect", path),
        Step::Mask { path, links } => mask(path, *links).during_path("mask", path),
    }
}

fn make(tree: &str, filesystem: &Filesystem, trees: &mut Trees) -> Result<(), StepError> {
    // A mount of the unit's is called by its place.
    let subject = if tree.starts_with('/') { tree } else { &filesystem.name };
    let made = host::make(filesystem).during("mount", subject)?;
    trees.trees.insert(tree.to_owned(), made);
    Ok(())
}

/// Puts the new root over the old one, then goes below it. The old root is the last thing in this namespace
/// that belongs to the host.
fn enter_root(root: &OwnedFd) -> io::Result<()> {
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)?;
    move_mount(root, "", CWD, "/", MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)?;
    fchdir(root)?;
    pivot_root(".", ".")?;
    unmount(".", UnmountFlags::DETACH)?;
    Ok(chdir("/")?)
}

fn attach(tree: &OwnedFd, target: &Path, links: Links) -> io::Result<()> {
    let place_of = match FileType::from_raw_mode(fstat(tree)?.st_mode) {
        FileType::Directory => target::directory(target, links)?,
        _ => {
            let found = target::file(target, links)?;
            // Else move_mount(2) says no more than EINVAL.
            if FileType::from_raw_mode(fstat(&found)?.st_mode) == FileType::Directory {
                return Err(Errno::ISDIR.into());
            }
            found
        }
    };
    if links == Links::Follow && !["/proc", "/sys"].iter().any(|kernels| target.starts_with(kernels)) {
        target::refuse_kernels(&place_of)?;
    }
    Ok(place(tree, &place_of)?)
}

fn place(tree: impl AsFd, target: impl AsFd) -> Result<(), Errno> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    move_mount(tree, "", target, "", flags)
}

fn link(path: &Path, to: &Path) -> Result<(), Errno> {
    let (parent, name) = target::parent(path, Links::Refuse)?;
    symlinkat(to, parent, name)
}

/// Open for both: who writes always finds a reader, and the reader never an end. Only root may read, so that
/// nobody else takes away what was meant for the log.
fn fifo(path: &Path) -> Result<OwnedFd, Errno> {
    let (parent, name) = target::parent(path, Links::Refuse)?;
    let mode = Mode::from_raw_mode(0o622);
    mkfifoat(&parent, name, mode)?;
    // Whatever the umask is.
    chmodat(&parent, name, mode, AtFlags::empty())?;
    let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(&parent, name, flags, Mode::empty())
}

fn write(file: &TextFile) -> io::Result<()> {
    let created = target::create(&file.path, Links::Follow)?;
    io::Write::write_all(&mut std::fs::File::from(created), file.text.as_bytes())
}

/// A mount of its own for a file that was just written.
fn provide(file: &TextFile, attributes: &[Attribute]) -> io::Result<OwnedFd> {
    write(file)?;
    let tree = host::clone_of(target::find(&file.path, Links::Follow)?)?;
    mount::change(&tree, &Change { set: host::bits(attributes), ..Change::default() })?;
    Ok(tree)
}

fn cover(tree: &OwnedFd, target: &Path) -> io::Result<()> {
    match place_for_file(target)? {
        Some(place_of) => Ok(place(tree, &place_of)?),
        None => Ok(()),
    }
}

fn replace(file: &TextFile) -> io::Result<()> {
    if place_for_file(&file.path)?.is_none() {
        return Ok(());
    }
    let (parent, name) = target::parent(&file.path, Links::Follow)?;
    unlinkat(parent, name, AtFlags::empty())?;
    write(file)
}

/// What has a name where a file is to be; `None` where there can be none, or it would be one of the kernel's.
fn place_for_file(target: &Path) -> io::Result<Option<OwnedFd>> {
    let found = match target::name(target) {
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::ROFS | Errno::ACCESS | Errno::PERM) => {
            return Ok(None);
        }
        found => found?,
    };
    let is_directory = FileType::from_raw_mode(fstat(&found)?.st_mode) == FileType::Directory;
    Ok((!is_directory && target::refuse_kernels(&found).is_ok()).then_some(found))
}

/// What was bound elsewhere before stays as it was.
fn seal(target: &Path) -> io::Result<()> {
    let mount = target::find(target, Links::Follow)?;
    mount::change(&mount, &Change { set: mount::READ_ONLY, ..Change::default() })
}

/// Nothing of the image is on the way: this is the container's own `/proc`.
fn set(path: &Path, value: &str) -> io::Result<()> {
    // Its file is the host's root's, whoever the UTS namespace belongs to; the call is for its owner: setdomainname(2).
    if path == Path::new("kernel/domainname") {
        return Ok(rustix::system::setdomainname(value.as_bytes())?);
    }
    let file = Path::new("/proc/sys").join(path);
    let opened = openat(CWD, file, OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
    io::Write::write_all(&mut std::fs::File::from(opened), value.as_bytes())
}

/// Of what is the unit's, programs stay programs.
fn protect(path: &Path, links: Links) -> io::Result<()> {
    let Some(place_of) = present(path, links)? else { return Ok(()) };
    let tree = match links {
        Links::Refuse => host::read_only(&place_of)?,
        Links::Follow => host::written_by_nobody(&place_of)?,
    };
    Ok(place(tree, &place_of)?)
}

fn mask(path: &Path, links: Links) -> io::Result<()> {
    let Some(place_of) = present(path, links)? else { return Ok(()) };
    let tree = match FileType::from_raw_mode(fstat(&place_of)?.st_mode) {
        FileType::Directory => host::make(&super::standard::nothing())?,
        _ => host::clone_of(target::find(Path::new("/dev/null"), Links::Refuse)?)?,
    };
    Ok(place(&tree, &place_of)?)
}

/// Kernels differ in what they show; what is not there needs no protection.
fn present(path: &Path, links: Links) -> Result<Option<OwnedFd>, Errno> {
    match target::find(path, links) {
        Err(Errno::NOENT | Errno::ACCESS) => Ok(None),
        result => result.map(Some),
    }
}
