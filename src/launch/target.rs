//! Paths of the container, resolved by descriptor: never out of the root, never through a magic link. Who asks works in
//! the root directory, which spares it a descriptor of that for each.

use super::step::Links;
use rustix::fs::{CWD, FileType, Mode, OFlags, ResolveFlags, fstat, fstatfs, mkdirat, openat, openat2};
use rustix::io::Errno;
use rustix::mount::{OpenTreeFlags, open_tree};
use std::ffi::OsStr;
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;

/// Opens what stands at a path, as `O_PATH`.
pub fn find(path: &Path, links: Links) -> Result<OwnedFd, Errno> {
    find_with(path, links, OFlags::empty())
}

fn find_with(path: &Path, links: Links, more: OFlags) -> Result<OwnedFd, Errno> {
    let mut resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    if links == Links::Refuse {
        resolve |= ResolveFlags::NO_SYMLINKS;
    }
    loop {
        // EAGAIN: a rename on the way, openat2(2).
        match openat2(CWD, path, OFlags::PATH | OFlags::CLOEXEC | more, Mode::empty(), resolve) {
            Err(Errno::AGAIN | Errno::INTR) => {}
            result => return result,
        }
    }
}

/// Opens a directory, making it and those above as needed.
pub fn directory(path: &Path, links: Links) -> Result<OwnedFd, Errno> {
    match find_with(path, links, OFlags::DIRECTORY) {
        Err(Errno::NOENT) => {}
        result => return result,
    }
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { return Err(Errno::NOENT) };
    make_directory(directory(parent, links)?, name)?;
    find_with(path, links, OFlags::DIRECTORY)
}

fn make_directory(parent: impl AsFd, name: &OsStr) -> Result<(), Errno> {
    match mkdirat(parent, name, Mode::from_raw_mode(0o755)) {
        Err(Errno::EXIST) => Ok(()),
        result => result,
    }
}

/// Opens a file, making it empty, and the directories above, as needed.
pub fn file(path: &Path, links: Links) -> Result<OwnedFd, Errno> {
    match find(path, links) {
        Err(Errno::NOENT) => {}
        result => return result,
    }
    let (parent, name) = parent(path, links)?;
    create_in(&parent, name)?;
    named(&parent, name)
}

/// Opens the directory that a path is in, making it as needed, and gives the name in it.
pub fn parent(path: &Path, links: Links) -> Result<(OwnedFd, &OsStr), Errno> {
    let above = directory(path.parent().unwrap_or(Path::new("/")), links)?;
    Ok((above, path.file_name().unwrap_or_default()))
}

/// Opens what has a name in a directory, a symbolic link itself.
fn named(parent: &OwnedFd, name: &OsStr) -> Result<OwnedFd, Errno> {
    openat(parent, name, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())
}

/// Opens what has a name, a symbolic link itself, making an empty file and the directories above as needed.
pub fn name(path: &Path) -> Result<OwnedFd, Errno> {
    let (parent, name) = parent(path, Links::Follow)?;
    match named(&parent, name) {
        Err(Errno::NOENT) => {}
        result => return result,
    }
    create_in(&parent, name)?;
    named(&parent, name)
}

/// Refuses what a link of the image has led to the kernel's own files: a mount there would hide from programs what
/// they ask the kernel for or tell it.
pub fn refuse_kernels(found: impl AsFd) -> Result<(), Errno> {
    // PROC_SUPER_MAGIC and SYSFS_MAGIC of linux/magic.h.
    match fstatfs(found)?.f_type {
        0x9fa0 | 0x6265_6572 => Err(Errno::XDEV),
        _ => Ok(()),
    }
}

/// Creates a file that does not exist, open for writing.
pub fn create(path: &Path, links: Links) -> Result<OwnedFd, Errno> {
    let (parent, name) = parent(path, links)?;
    create_in(parent, name)
}

fn create_in(parent: impl AsFd, name: &OsStr) -> Result<OwnedFd, Errno> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(parent, name, flags, Mode::from_raw_mode(0o644))
}

/// Reads a regular file of the image; `None` when it does not exist. A FIFO or device would never end, so the
/// kind is looked at before anything is opened for reading.
pub fn read(path: &Path, limit: u64) -> io::Result<Option<String>> {
    match find(path, Links::Follow) {
        Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
        result => content(&result?, limit).map(Some),
    }
}

/// The same below what is mounted at a place on the way, or at the path itself: a copy of a mount comes without those
/// that stand on it.
pub fn read_below(mounted: &Path, path: &Path, limit: u64) -> io::Result<Option<String>> {
    let above = mounted.parent().unwrap_or(mounted);
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let copy = open_tree(find(above, Links::Follow)?, "", flags | OpenTreeFlags::AT_EMPTY_PATH)?;
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let rest = path.strip_prefix(above).unwrap_or(path);
    match openat2(&copy, rest, OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), resolve) {
        Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
        result => content(&result?, limit).map(Some),
    }
}

fn content(found: &OwnedFd, limit: u64) -> io::Result<String> {
    let status = fstat(found)?;
    if FileType::from_raw_mode(status.st_mode) != FileType::RegularFile {
        return Err(Errno::NOTSUP.into());
    }
    if u64::try_from(status.st_size).is_ok_and(|size| size > limit) {
        return Err(Errno::FBIG.into());
    }
    let file = std::fs::File::open(format!("/proc/self/fd/{}", found.as_raw_fd()))?;
    let mut bytes = Vec::new();
    file.take(limit).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
