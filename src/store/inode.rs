//! Metadata on disk: every id shifted into the foreign range, capabilities bound to it, and back.

use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, Stat, Timespec, Timestamps, Uid, XattrFlags};
use rustix::io::Errno;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use crate::image::entry::{Attributes, Bytes, Metadata, Mtime};
use crate::image::xattr::{self, ACL_ACCESS, ACL_DEFAULT, CAPABILITY};

/// What is added to every id on disk: the first id of systemd's foreign range, which no user has.
pub const FOREIGN_BASE: u32 = 2_147_352_576;

/// An id of an image as it stands on disk.
pub fn to_disk(id: u32) -> Option<u32> {
    FOREIGN_BASE.checked_add(id).filter(|id| *id != u32::MAX)
}

/// An id on disk as the image has it.
pub fn from_disk(id: u32) -> Option<u32> {
    id.checked_sub(FOREIGN_BASE)
}

/// Why an inode is not made.
#[derive(Debug)]
pub(super) enum Fault {
    Call(Errno),
    /// The file system keeps fewer attributes of a file. Its errors are those of a full disk and a long command line.
    Attributes {
        bytes: usize,
        block: u64,
    },
}

impl From<Errno> for Fault {
    fn from(error: Errno) -> Self {
        Self::Call(error)
    }
}

impl From<Fault> for io::Error {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Call(error) => error.into(),
            Fault::Attributes { bytes, block } => Self::other(format!(
                "its extended attributes are {bytes} bytes, more than this file system keeps of one file (ext4: one \
                 block, here {block} bytes)"
            )),
        }
    }
}

/// Gives an open file or directory its metadata. The content comes before: a write would take capabilities
/// and set-id bits away, and so would chown(2), which is why the mode follows it.
pub(super) fn apply(file: BorrowedFd<'_>, metadata: &Metadata) -> Result<(), Fault> {
    let (uid, gid) = owner(metadata)?;
    rustix::fs::fchown(file, Some(uid), Some(gid))?;
    rustix::fs::fchmod(file, Mode::from_raw_mode(metadata.mode))?;
    for (name, value) in &metadata.xattrs {
        let set =
            rustix::fs::fsetxattr(file, name.as_str(), &disk_value(name, &value.0)?, XattrFlags::empty());
        set.map_err(|error| attribute_fault(error, file, metadata))?;
    }
    Ok(rustix::fs::futimens(file, &times(metadata.mtime))?)
}

/// The same of metadata without attributes.
pub(super) fn apply_plain(file: BorrowedFd<'_>, metadata: &Metadata) -> Result<(), Errno> {
    let (uid, gid) = owner(metadata)?;
    rustix::fs::fchown(file, Some(uid), Some(gid))?;
    rustix::fs::fchmod(file, Mode::from_raw_mode(metadata.mode))?;
    rustix::fs::futimens(file, &times(metadata.mtime))
}

/// What a refused attribute means: "no space" where there is some is about the attributes.
fn attribute_fault(error: Errno, file: BorrowedFd<'_>, metadata: &Metadata) -> Fault {
    let Ok(disk) = rustix::fs::fstatvfs(file) else { return error.into() };
    let is_full = disk.f_bavail == 0 && disk.f_blocks > 0;
    match error {
        Errno::NOSPC if is_full => error.into(),
        Errno::NOSPC | Errno::TOOBIG => {
            let bytes = metadata.xattrs.iter().map(|(name, value)| name.len() + value.0.len()).sum();
            Fault::Attributes { bytes, block: disk.f_bsize }
        }
        _ => error.into(),
    }
}

/// Gives a symbolic link or a pipe its metadata, by name in its directory.
pub(super) fn apply_at(directory: BorrowedFd<'_>, name: &[u8], metadata: &Metadata) -> Result<(), Errno> {
    let (uid, gid) = owner(metadata)?;
    let flags = AtFlags::SYMLINK_NOFOLLOW;
    rustix::fs::chownat(directory, name, Some(uid), Some(gid), flags)?;
    rustix::fs::utimensat(directory, name, &times(metadata.mtime), flags)
}

/// An inode as it is found on disk.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) stat: Stat,
    pub(super) metadata: Metadata,
}

/// Opens what is at `path` for reading, whatever it is, without following or waiting.
pub(super) fn open(path: &Path) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty())
}

/// Reads an open file's or directory's metadata, in the image's terms.
pub(super) fn examine(file: impl AsFd) -> Result<Found, Errno> {
    let stat = rustix::fs::fstat(&file)?;
    let mut metadata = of_stat(&stat);
    metadata.xattrs = attributes(file.as_fd())?;
    Ok(Found { stat, metadata })
}

/// What stat(2) tells of the metadata. An owner outside of the foreign range becomes one that no image has.
pub(super) fn of_stat(stat: &Stat) -> Metadata {
    Metadata {
        mode: stat.st_mode & 0o7777,
        uid: from_disk(stat.st_uid).unwrap_or(u32::MAX),
        gid: from_disk(stat.st_gid).unwrap_or(u32::MAX),
        mtime: Mtime {
            seconds: stat.st_mtime,
            nanoseconds: u32::try_from(stat.st_mtime_nsec).unwrap_or_default(),
        },
        xattrs: Attributes::new(),
    }
}

/// Whether what stat(2) tells of a file is as it should be: whoever wrote to it since has changed its time, and a
/// torn file is short.
pub(super) fn looks_intact(stat: &Stat, size: u64, metadata: &Metadata) -> bool {
    u64::try_from(stat.st_size) == Ok(size) && has_status(stat, metadata)
}

/// Whether stat(2) tells this mode, owner and time.
pub(super) fn has_status(stat: &Stat, metadata: &Metadata) -> bool {
    let Metadata { mode, uid, gid, mtime, xattrs: _ } = of_stat(stat);
    (mode, uid, gid, mtime) == (metadata.mode, metadata.uid, metadata.gid, metadata.mtime)
}

/// The type of a found inode.
pub(super) fn file_type(stat: &Stat) -> FileType {
    FileType::from_raw_mode(stat.st_mode)
}

fn owner(metadata: &Metadata) -> Result<(Uid, Gid), Errno> {
    let uid = to_disk(metadata.uid).ok_or(Errno::OVERFLOW)?;
    let gid = to_disk(metadata.gid).ok_or(Errno::OVERFLOW)?;
    Ok((Uid::from_raw(uid), Gid::from_raw(gid)))
}

fn times(mtime: Mtime) -> Timestamps {
    let time = Timespec { tv_sec: mtime.seconds, tv_nsec: mtime.nanoseconds.into() };
    Timestamps { last_access: time, last_modification: time }
}

fn disk_value(name: &str, value: &[u8]) -> Result<Vec<u8>, Errno> {
    match name {
        CAPABILITY => Ok(xattr::capability_below(value, FOREIGN_BASE)),
        ACL_ACCESS | ACL_DEFAULT => xattr::shift_acl(value, to_disk).ok_or(Errno::OVERFLOW),
        _ => Ok(value.to_vec()),
    }
}

/// The attributes that an image can have; labels that the host adds by itself are none.
fn attributes(file: BorrowedFd<'_>) -> Result<Attributes, Errno> {
    let mut attributes = Attributes::new();
    for name in names(file)?.split(|byte| *byte == 0) {
        let Ok(name) = std::str::from_utf8(name) else { continue };
        if !matches!(name, CAPABILITY | ACL_ACCESS | ACL_DEFAULT) && !name.starts_with("user.") {
            continue;
        }
        let mut value = vec![0u8; 64 << 10];
        let length = rustix::fs::fgetxattr(file, name, value.as_mut_slice())?;
        value.truncate(length);
        let own = match name {
            CAPABILITY => xattr::capability_from(&value, FOREIGN_BASE),
            ACL_ACCESS | ACL_DEFAULT => xattr::shift_acl(&value, from_disk),
            _ => None,
        };
        attributes.insert(name.to_owned(), Bytes(own.unwrap_or(value)));
    }
    Ok(attributes)
}

/// The names of all attributes, with a NUL after each. Most files have few or none.
fn names(file: BorrowedFd<'_>) -> Result<Vec<u8>, Errno> {
    let mut few = [0u8; 1024];
    match rustix::fs::flistxattr(file, &mut few[..]) {
        Ok(length) => Ok(few[..length].to_vec()),
        Err(Errno::NOTSUP) => Ok(Vec::new()),
        Err(Errno::RANGE) => {
            let mut all = vec![0u8; 64 << 10];
            let length = rustix::fs::flistxattr(file, all.as_mut_slice())?;
            all.truncate(length);
            Ok(all)
        }
        Err(error) => Err(error),
    }
}
