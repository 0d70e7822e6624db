//! A file system in memory for credentials, and what becomes of it in the container.

use super::super::failure::During;
use super::super::host::bits;
use super::super::protocol::StepError;
use super::super::step::Attribute;
use super::{LOAD, SIZE_MAX};
use crate::launch::user::User;
use crate::sys::mount::{self, Change};
use rustix::fs::{AtFlags, Dir, Gid, Mode, OFlags, Uid, chownat, fchmod, fchown, openat};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsconfig_set_flag, fsconfig_set_string,
    fsmount, fsopen,
};
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};

const FILE: Mode = Mode::from_raw_mode(0o400);
const DIRECTORY: Mode = Mode::from_raw_mode(0o500);

/// The file system, mounted nowhere yet.
pub struct Vault {
    tree: OwnedFd,
    owner: u32,
    size: usize,
}

impl Vault {
    /// An empty one, of this user of the host.
    pub fn new(owner: u32) -> io::Result<Self> {
        let closed = [Attribute::NoSetuid, Attribute::NoDevices, Attribute::NoExecute];
        let attributes = MountAttrFlags::from_bits_retain(u32::try_from(bits(&closed)).unwrap_or_default());
        // Before Linux 6.4 a tmpfs can be swapped out; a ramfs never is, but knows no limits.
        let context = unswappable_tmpfs().or_else(|_| ramfs())?;
        let tree = fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes)?;
        Ok(Self { tree, owner, size: 0 })
    }

    /// Keeps a credential; the first of a name is the one.
    pub fn put(&mut self, name: &str, bytes: &[u8]) -> Result<(), StepError> {
        self.size += bytes.len();
        if self.size > SIZE_MAX {
            return Err(Errno::FBIG).during(LOAD, name);
        }
        match self.write(name, bytes) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            result => result.during("keep credential", name),
        }
    }

    fn write(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut file = File::from(openat(&self.tree, name, flags, FILE)?);
        file.write_all(bytes)?;
        own(&file, self.owner, self.owner)?;
        // Whatever the umask is.
        Ok(fchmod(&file, FILE)?)
    }

    /// Nothing comes after this.
    pub fn close(self) -> io::Result<OwnedFd> {
        let directory = root_of(&self.tree)?;
        own(&directory, self.owner, self.owner)?;
        fchmod(&directory, DIRECTORY)?;
        Ok(self.tree)
    }
}

fn unswappable_tmpfs() -> io::Result<OwnedFd> {
    let context = fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_set_flag(&context, "noswap")?;
    // Each file takes a page at least.
    for (key, value) in [("mode", "0700"), ("size", "8m"), ("nr_inodes", "2k")] {
        fsconfig_set_string(&context, key, value)?;
    }
    fsconfig_create(&context)?;
    Ok(context)
}

fn ramfs() -> io::Result<OwnedFd> {
    let context = fsopen("ramfs", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_set_string(&context, "mode", "0700")?;
    fsconfig_create(&context)?;
    Ok(context)
}

/// What a file system that is mounted nowhere has at the top: its tree is a path only.
fn root_of(tree: &OwnedFd) -> rustix::io::Result<OwnedFd> {
    openat(tree, ".", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
}

fn own(file: impl AsFd, user: u32, group: u32) -> rustix::io::Result<()> {
    fchown(file, Some(Uid::from_raw(user)), Some(Gid::from_raw(group)))
}

/// Gives the credentials to a user of the container, for nobody to change.
pub fn give(tree: &OwnedFd, user: &User) -> io::Result<()> {
    let directory = root_of(tree)?;
    let (uid, gid) = (Uid::from_raw(user.uid), Gid::from_raw(user.gid));
    for entry in Dir::read_from(&directory)? {
        let entry = entry?;
        if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
            chownat(&directory, entry.file_name(), Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?;
        }
    }
    own(&directory, user.uid, user.gid)?;
    mount::change(tree, &Change { set: mount::READ_ONLY, ..Change::default() })
}
