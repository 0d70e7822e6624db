//! A place for changes that has a size: a file system of its own in a sparse file. That is a limit on every file
//! system that a store can be on; quotas of projects are there only where somebody has thought of them before.

use super::failure::During;
use super::protocol::StepError;
use super::step::RootSize;
use crate::sys::loop_device;
use crate::sys::namespace::{Namespace, enter, unshare};
use rustix::fs::{CWD, Mode, OFlags, open};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountPropagationFlags, MoveMountFlags, fsconfig_create,
    fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen, mount_change, move_mount,
};
use std::fs::{DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt};
use std::path::Path;
use std::process::{Command, Stdio};

const STEP: &str = "limit root";

/// How long the file system must hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lasting {
    /// For this run.
    Run,
    /// For as long as the unit wants it.
    Runs,
}

/// Has something done where a directory for changes has its size, if it has one or once had: then its changes are
/// there. It is mounted in a mount namespace that ends with this: what is made of it meanwhile goes on.
pub fn within<T>(
    directory: &Path,
    size: Option<&RootSize>,
    lasting: Lasting,
    work: impl FnOnce() -> Result<T, StepError>,
) -> Result<T, StepError> {
    let image = directory.join("disk");
    if size.is_none() && !image.exists() {
        return work();
    }
    prepare(directory, &image, size, lasting)?;
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let own = open("/proc/self/ns/mnt", flags, Mode::empty()).during(STEP, "mount namespace")?;
    unshare(&[Namespace::Mount]).during(STEP, "mount namespace")?;
    let done = mount_over(directory, &image).and_then(|()| work());
    enter(own, &[Namespace::Mount]).during(STEP, "mount namespace")?;
    done
}

/// Makes the file system, or lets it grow to its size.
fn prepare(
    directory: &Path,
    image: &Path,
    size: Option<&RootSize>,
    lasting: Lasting,
) -> Result<(), StepError> {
    let Some(size) = size else { return Ok(()) };
    if directory.join("upper").exists() {
        return Err(Errno::EXIST).during_path(STEP, directory);
    }
    DirBuilder::new().recursive(true).mode(0o700).create(directory).during_path(STEP, directory)?;
    let found = image.metadata().map(|found| found.len()).unwrap_or_default();
    match found {
        0 => make(image, size, lasting),
        found if found < size.bytes => grow(image, size),
        found if found > size.bytes => Err(Errno::FBIG).during_path(STEP, image),
        _ => Ok(()),
    }
}

/// Under another name until it is whole.
fn make(image: &Path, size: &RootSize, lasting: Lasting) -> Result<(), StepError> {
    let new = image.with_extension("new");
    File::create(&new).and_then(|file| file.set_len(size.bytes)).during_path(STEP, &new)?;
    let journal: &[&str] = match lasting {
        Lasting::Run => &["-O", "^has_journal"],
        Lasting::Runs => &[],
    };
    // Nothing is kept for root; room for many small files.
    let common = ["-q", "-F", "-m", "0", "-i", "8192", "-E", "nodiscard,lazy_itable_init=1"];
    run(&size.make, &[&common[..], journal].concat(), &new, 0)?;
    std::fs::rename(&new, image).during_path(STEP, image)
}

fn grow(image: &Path, size: &RootSize) -> Result<(), StepError> {
    // Its journal first: 1 says that something has been mended, e2fsck(8).
    run(&size.check, &["-f", "-p"], image, 1)?;
    let set_length = |length| {
        let set = File::options().write(true).open(image).and_then(|file| file.set_len(length));
        set.during_path(STEP, image)
    };
    let length = image.metadata().during_path(STEP, image)?.len();
    set_length(size.bytes)?;
    let grown = run(&size.grow, &[], image, 0);
    if grown.is_err() {
        // The next start tries again.
        set_length(length)?;
    }
    grown
}

fn run(program: &Path, options: &[&str], image: &Path, worst: i32) -> Result<(), StepError> {
    let mut command = Command::new(program);
    command.args(options).arg(image).env_clear().current_dir("/");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let status = command.status().during_path(STEP, program)?;
    match status.code() {
        Some(code) if code <= worst => Ok(()),
        _ => Err(Errno::IO).during(STEP, format_args!("{} {}", program.display(), image.display())),
    }
}

fn mount_over(directory: &Path, image: &Path) -> Result<(), StepError> {
    let file = File::options().read(true).write(true).open(image).during_path(STEP, image)?;
    // A file system that somebody else has made of it is not for the kernel to read.
    let mut magic = [0; 2];
    file.read_exact_at(&mut magic, 0x438).during_path(STEP, image)?;
    if u16::from_le_bytes(magic) != 0xef53 {
        return Err(Errno::MEDIUMTYPE).during_path(STEP, image);
    }
    let device = loop_device::attach(&file).or_else(|(path, error)| Err(error).during_path(STEP, &path))?;
    let mount = || -> io::Result<()> {
        let context = fsopen("ext4", FsOpenFlags::FSOPEN_CLOEXEC)?;
        fsconfig_set_string(&context, "source", &device.path)?;
        // What is removed inside is free outside.
        fsconfig_set_flag(&context, "discard")?;
        fsconfig_create(&context)?;
        let attributes = MountAttrFlags::MOUNT_ATTR_NODEV;
        let tree = fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes)?;
        mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)?;
        Ok(move_mount(&tree, "", CWD, directory, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)?)
    };
    mount().during_path(STEP, image)
}
