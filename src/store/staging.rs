//! The lock of the one writer, and its directory of work in progress.

use rustix::fs::FlockOperation;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use super::Store;
use super::error::{Context, StoreError};

/// The right to change the store; given back when dropped, and by the kernel when its holder dies.
#[derive(Debug)]
pub(super) struct Lock(#[allow(dead_code, reason = "the open file is the lock")] File);

impl Store {
    /// Waits for the right to change the store, and clears away what a writer before left behind.
    pub(super) fn lock(&self) -> Result<Lock, StoreError> {
        let path = self.path("lock");
        let file = File::create(&path).context("open", &path)?;
        rustix::fs::flock(&file, FlockOperation::LockExclusive).context("lock", &path)?;
        let staging = self.path("staging");
        for name in self.list("staging")? {
            remove_tree(&staging.join(name))?;
        }
        Ok(Lock(file))
    }
}

/// A directory of work in progress, removed when dropped.
#[derive(Debug)]
pub(super) struct Staging(PathBuf);

impl Staging {
    /// Makes one, which takes the lock. Its name begins with this boot's id: what another boot left may be torn.
    pub(super) fn new(store: &Store, _lock: &Lock) -> Result<Self, StoreError> {
        let boot = Path::new("/proc/sys/kernel/random/boot_id");
        let boot = fs::read_to_string(boot).unwrap_or_else(|_| "unknown".to_owned());
        let path = store.path("staging").join(format!("{}-{}", boot.trim_end(), std::process::id()));
        fs::create_dir(&path).context("create", &path)?;
        Ok(Self(path))
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        // What stays is discarded by the next writer.
        let _ = remove_tree(&self.0);
    }
}

/// Removes a file or a directory with all in it, following nothing. What is gone already is success.
pub(super) fn remove_tree(path: &Path) -> Result<(), StoreError> {
    let result = match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match result {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        result => result.context("remove", path),
    }
}
