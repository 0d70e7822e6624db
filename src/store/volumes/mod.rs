//! Named volumes: directories below `volumes/`, with a container's ids in the foreign range as images have them, so
//! that what is on disk is the same whichever range of ids a unit has.
//!
//! A volume comes to be whole: it is filled in `staging/` and renamed into place. Who is about to mount one holds a
//! shared flock(2) on its directory until the run is written down; who removes one wants that lock alone, looks for
//! users while it has it, and renames the volume away before anything in it goes.

mod copy;
mod fill;
mod usage;

use rustix::fs::{FlockOperation, Gid, Mode, RenameFlags, Stat, Uid};
use rustix::io::Errno;
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use super::Store;
use super::error::{Context, StoreError};
use super::inode::{self, FOREIGN_BASE};
use super::staging::{self, Staging, open_directory};
use crate::image::entry::Metadata;

pub use copy::SourceIds;
pub use fill::Filler;
pub use usage::{VolumeUsage, usage};

/// The volumes of a store.
#[derive(Debug, Clone)]
pub struct Volumes {
    store: PathBuf,
}

impl Store {
    /// The named volumes.
    pub fn volumes(&self) -> Volumes {
        Volumes::of(self.root())
    }
}

impl Volumes {
    /// Those of the store in a directory, which is not looked at yet.
    pub fn of(store: &Path) -> Self {
        Self { store: store.to_owned() }
    }

    /// The names of all volumes, sorted.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn names(&self) -> Result<Vec<String>, StoreError> {
        Ok(super::list(&self.directory())?.into_iter().filter(|name| is_name(name)).collect())
    }

    /// Where a volume is, or would be.
    ///
    /// # Errors
    /// When no volume can have this name.
    pub fn path(&self, name: &str) -> Result<PathBuf, StoreError> {
        if is_name(name) { Ok(self.directory().join(name)) } else { Err(StoreError::Name(name.to_owned())) }
    }

    /// Opens a volume; while the descriptor is open, nobody removes it.
    ///
    /// # Errors
    /// When there is none of this name.
    pub fn open(&self, name: &str) -> Result<OwnedFd, StoreError> {
        self.hold(name)?.ok_or_else(|| StoreError::NoVolume(name.to_owned()))
    }

    /// The same; one that does not exist is made of what `fill` puts into an empty directory of the container's root.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn open_or_create(
        &self,
        name: &str,
        fill: impl Fn(&OwnedFd) -> Result<(), StoreError>,
    ) -> Result<OwnedFd, StoreError> {
        loop {
            if let Some(volume) = self.hold(name)? {
                return Ok(volume);
            }
            match self.create(name, &fill) {
                // Another container was faster.
                Err(StoreError::VolumeExists(_)) => {}
                result => result?,
            }
        }
    }

    /// Makes a volume, whole or not at all.
    ///
    /// # Errors
    /// When there is one of this name, or it cannot be filled.
    pub fn create(
        &self,
        name: &str,
        fill: impl FnOnce(&OwnedFd) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let path = self.path(name)?;
        if path.symlink_metadata().is_ok() {
            return Err(StoreError::VolumeExists(name.to_owned()));
        }
        staging::clear_abandoned(&self.store)?;
        let staging = Staging::new(&self.store)?;
        let made = staging.path("volume");
        rustix::fs::mkdir(&made, Mode::RWXU).context("create", &made)?;
        let directory = open_directory(&made).context("open", &made)?;
        let root = Uid::from_raw(FOREIGN_BASE);
        rustix::fs::fchown(&directory, Some(root), Some(Gid::from_raw(FOREIGN_BASE)))
            .context("own", &made)?;
        rustix::fs::fchmod(&directory, Mode::from_raw_mode(0o755)).context("change the mode of", &made)?;
        fill(&directory)?;
        rustix::fs::syncfs(&directory).context("sync", &made)?;
        let cwd = rustix::fs::CWD;
        match rustix::fs::renameat_with(cwd, &made, cwd, &path, RenameFlags::NOREPLACE) {
            Err(Errno::EXIST | Errno::NOTEMPTY) => return Err(StoreError::VolumeExists(name.to_owned())),
            result => result.context("create", &path)?,
        }
        self.sync()
    }

    /// Removes a volume, unless `check`, which is asked when nobody can begin to use it any more, objects.
    ///
    /// # Errors
    /// When there is none of this name, a container is about to start with it, or `check` fails.
    pub fn remove<E: From<StoreError>>(
        &self,
        name: &str,
        check: impl FnOnce() -> Result<(), E>,
    ) -> Result<(), E> {
        let path = self.path(name)?;
        let volume = match open_directory(&path) {
            Err(Errno::NOENT) => return Err(StoreError::NoVolume(name.to_owned()).into()),
            opened => opened.context("open", &path)?,
        };
        match rustix::fs::flock(&volume, FlockOperation::NonBlockingLockExclusive) {
            Err(Errno::WOULDBLOCK) => return Err(StoreError::VolumeBusy(name.to_owned()).into()),
            locked => locked.context("lock", &path)?,
        }
        check()?;
        staging::clear_abandoned(&self.store)?;
        let staging = Staging::new(&self.store)?;
        std::fs::rename(&path, staging.path("volume")).context("remove", &path)?;
        Ok(self.sync()?)
    }

    /// Opens and locks a volume; `None` when there is none, or it has just gone.
    fn hold(&self, name: &str) -> Result<Option<OwnedFd>, StoreError> {
        staging::hold(&self.path(name)?)
    }

    fn directory(&self) -> PathBuf {
        self.store.join("volumes")
    }

    fn sync(&self) -> Result<(), StoreError> {
        let directory = self.directory();
        File::open(&directory).and_then(|opened| opened.sync_all()).context("sync", &directory)
    }
}

/// Puts what a tree has at a path into an empty volume; nothing there leaves the volume empty.
///
/// # Errors
/// When what is there is no directory, or cannot be copied.
pub fn seed(volume: &OwnedFd, tree: &Path, at: &Path, ids: SourceIds) -> Result<(), StoreError> {
    let Some(source) =
        copy::find(tree, at).context("read", &tree.join(at.strip_prefix("/").unwrap_or(at)))?
    else {
        return Ok(());
    };
    copy::copy(source.as_fd(), volume.as_fd(), ids).map_err(|(path, cause)| StoreError::Io {
        action: "copy to the volume",
        path: at.join(path),
        cause,
    })
}

/// The metadata of an open file or directory of a volume, as a container sees it.
///
/// # Errors
/// When it cannot be read.
pub fn metadata_of(file: BorrowedFd<'_>) -> Result<Metadata, Errno> {
    Ok(inode::examine(file)?.metadata)
}

/// What stat(2) tells of it.
pub fn metadata_of_stat(stat: &Stat) -> Metadata {
    inode::of_stat(stat)
}

/// The volume for a path that an image, not the unit, wants as one: as systemd names the unit of a mount, behind the
/// name of the unit. No unit file can write such a name.
pub fn anonymous(unit: &str, path: &Path) -> String {
    use std::fmt::Write as _;
    use std::os::unix::ffi::OsStrExt as _;
    let mut name = format!("{unit}@");
    let trimmed: Vec<_> =
        path.as_os_str().as_bytes().split(|byte| *byte == b'/').filter(|part| !part.is_empty()).collect();
    for (position, byte) in trimmed.join(&b'/').into_iter().enumerate() {
        match byte {
            b'/' => name.push('-'),
            b'.' if position == 0 => name.push_str(r"\x2e"),
            _ if byte.is_ascii_alphanumeric() || b"_.".contains(&byte) => name.push(char::from(byte)),
            // Writing to a String cannot fail.
            _ => drop(write!(name, r"\x{byte:02x}")),
        }
    }
    name
}

fn is_name(name: &str) -> bool {
    let valid = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-@:\\".contains(&byte);
    !name.is_empty() && !name.starts_with('.') && name.len() <= 255 && name.bytes().all(valid)
}

#[cfg(test)]
mod tests;
