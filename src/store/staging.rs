//! The locks of the store, and the directories of work in progress.
//!
//! Whoever adds to the store holds `lock` with others, for as long as a download may take; whoever collects what
//! nothing needs holds it alone, so that nothing goes which somebody is about to use. `names.lock` is for the moment
//! in which images and names come, change and go. The kernel takes all of them from a holder that dies, flock(2).

use rustix::fs::{FlockOperation, Mode, OFlags};
use rustix::io::Errno;
use std::fs::{self, File};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use super::Store;
use super::error::{Context, StoreError};
use crate::sys::removal;

/// A right on the store; given back when dropped.
#[derive(Debug)]
pub(super) struct Lock(#[allow(dead_code, reason = "the open file is the lock")] File);

/// What a writer of the store is about to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Bring something in, beside others.
    Add,
    /// Look for what is of no use or damaged: with nobody beside.
    Collect,
}

impl Store {
    /// Waits for the right to change the contents of the store, and clears away what dead writers left behind.
    pub(super) fn lock(&self, purpose: Purpose) -> Result<Lock, StoreError> {
        let operation = match purpose {
            Purpose::Add => FlockOperation::LockShared,
            Purpose::Collect => FlockOperation::LockExclusive,
        };
        let lock = self.take_lock("lock", operation)?;
        clear_abandoned(&self.root)?;
        Ok(lock)
    }

    /// Waits for the right to change which images and names there are. Taken after the other lock, never before it.
    pub(super) fn lock_names(&self) -> Result<Lock, StoreError> {
        self.take_lock("names.lock", FlockOperation::LockExclusive)
    }

    /// Waits for a right that a file of the store stands for.
    pub(super) fn take_lock(&self, name: &str, operation: FlockOperation) -> Result<Lock, StoreError> {
        let path = self.path(name);
        let file = File::create(&path).context("open", &path)?;
        rustix::fs::flock(&file, operation).context("lock", &path)?;
        Ok(Lock(file))
    }
}

/// Clears away what dead writers of the store in a directory left behind.
pub(super) fn clear_abandoned(store: &Path) -> Result<(), StoreError> {
    let staging = store.join("staging");
    for name in super::list(&staging)? {
        clear_if_abandoned(&staging.join(name))?;
    }
    Ok(())
}

/// Its maker holds a lock on it for as long as it is in use.
fn clear_if_abandoned(path: &Path) -> Result<(), StoreError> {
    match open_directory(path) {
        Ok(directory) => match rustix::fs::flock(&directory, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => remove_tree(path),
            Err(Errno::WOULDBLOCK) => Ok(()),
            Err(error) => Err(error).context("lock", path),
        },
        Err(Errno::NOENT) => Ok(()),
        // No writer makes anything but directories.
        Err(Errno::NOTDIR | Errno::LOOP) => remove_tree(path),
        Err(error) => Err(error).context("open", path),
    }
}

/// Opens a directory that is in place, and has nobody remove it while this is open; `None` when there is none, or it
/// has just gone.
pub(super) fn hold(path: &Path) -> Result<Option<OwnedFd>, StoreError> {
    loop {
        let held = match open_directory(path) {
            Err(Errno::NOENT) => return Ok(None),
            opened => opened.context("open", path)?,
        };
        rustix::fs::flock(&held, FlockOperation::LockShared).context("lock", path)?;
        let own = rustix::fs::fstat(&held).context("look at", path)?;
        let named = rustix::fs::lstat(path);
        if named.is_ok_and(|named| (named.st_dev, named.st_ino) == (own.st_dev, own.st_ino)) {
            return Ok(Some(held));
        }
    }
}

pub(super) fn open_directory(path: &Path) -> Result<OwnedFd, Errno> {
    let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty())
}

/// A directory of work in progress, removed when dropped.
#[derive(Debug)]
pub(super) struct Staging {
    path: PathBuf,
    _lock: OwnedFd,
}

impl Staging {
    /// Makes one. Its name begins with this boot's id: what another boot left may be torn.
    pub(super) fn new(store: &Path) -> Result<Self, StoreError> {
        let boot = Path::new("/proc/sys/kernel/random/boot_id");
        let boot = fs::read_to_string(boot).unwrap_or_else(|_| "unknown".to_owned());
        let mut number = 0;
        loop {
            let name = format!("{}-{}-{number}", boot.trim_end(), std::process::id());
            let path = store.join("staging").join(name);
            match rustix::fs::mkdir(&path, Mode::RWXU) {
                Ok(()) => {}
                Err(Errno::EXIST) => {
                    number += 1;
                    continue;
                }
                Err(error) => return Err(error).context("create", &path),
            }
            // Before it was locked, another writer may have found it abandoned.
            if let Some(lock) = lock(&path).context("lock", &path)? {
                return Ok(Self { path, _lock: lock });
            }
        }
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }
}

/// Locks a directory; `None` when that is about to go, or gone.
fn lock(path: &Path) -> Result<Option<OwnedFd>, Errno> {
    let directory = match open_directory(path) {
        Err(Errno::NOENT) => return Ok(None),
        directory => directory?,
    };
    match rustix::fs::flock(&directory, FlockOperation::NonBlockingLockExclusive) {
        Err(Errno::WOULDBLOCK) => return Ok(None),
        result => result?,
    }
    match rustix::fs::lstat(path) {
        Ok(stat) => Ok((stat.st_ino == rustix::fs::fstat(&directory)?.st_ino).then_some(directory)),
        Err(Errno::NOENT) => Ok(None),
        Err(error) => Err(error),
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        // What stays is discarded by the next writer.
        let _ = remove_tree(&self.path);
    }
}

/// Removes a file or a directory with all in it, following nothing. What is gone already is success.
pub(super) fn remove_tree(path: &Path) -> Result<(), StoreError> {
    let result = match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => removal::remove_tree(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match result {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        result => result.context("remove", path),
    }
}
