//! Where an export goes: a file or a directory that is there only when it is whole.

use anyhow::Context as _;
use rustix::fs::{Mode, OFlags};
use std::ffi::OsString;
use std::fs::{DirBuilder, File};
use std::io::{self, IsTerminal as _, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// What an archive was written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cli) enum Place {
    /// Standard output, a pipe or a device.
    Stream,
    /// A new file.
    File,
}

/// Writes an archive to a file, which is there only when it is whole; "-" is standard output.
pub(in crate::cli) fn write<T>(
    path: &Path,
    archive: impl FnOnce(&mut dyn Write) -> anyhow::Result<T>,
) -> anyhow::Result<(T, Place)> {
    if path.as_os_str() == "-" {
        anyhow::ensure!(!io::stdout().is_terminal(), "not writing an archive to a terminal");
        return Ok((archive(&mut io::stdout().lock())?, Place::Stream));
    }
    if std::fs::metadata(path).is_ok_and(|metadata| !metadata.is_file()) {
        // A pipe or a device is written to: a rename would put a file in its place.
        let file = File::options().write(true).open(path);
        let mut file = file.with_context(|| path.display().to_string())?;
        return Ok((archive(&mut file)?, Place::Stream));
    }
    let partial = NewFile::create(path)?;
    let written = archive(&mut &partial.file)?;
    partial.finish(path)?;
    Ok((written, Place::File))
}

/// A file that has its name only when it is whole.
struct NewFile {
    file: File,
    path: PathBuf,
}

impl NewFile {
    fn create(target: &Path) -> anyhow::Result<Self> {
        let path = beside(target)?;
        // For root only: an image may hold what not everybody is to read.
        let file = File::options().write(true).create_new(true).mode(0o600).open(&path);
        Ok(Self { file: file.with_context(|| format!("cannot create {}", path.display()))?, path })
    }

    fn finish(self, target: &Path) -> anyhow::Result<()> {
        std::fs::rename(&self.path, target).with_context(|| format!("cannot make {}", target.display()))
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        // After a rename there is nothing of this name.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// A directory to fill: a new one, which has its name only when it is whole, or an empty one of somebody, who may have
/// mounted something there, and who gets it back empty.
pub(super) struct NewDirectory {
    path: PathBuf,
    /// The name that it is to have, if that is another.
    target: Option<PathBuf>,
    is_whole: bool,
}

impl NewDirectory {
    pub(super) fn create(target: &Path) -> anyhow::Result<Self> {
        let new = match target.symlink_metadata() {
            Ok(_) => {
                check_empty(target).with_context(|| target.display().to_string())?;
                Self { path: target.to_owned(), target: None, is_whole: false }
            }
            Err(_) => {
                let path = beside(target)?;
                let made = DirBuilder::new().mode(0o700).create(&path);
                made.with_context(|| format!("cannot create {}", path.display()))?;
                Self { path, target: Some(target.to_owned()), is_whole: false }
            }
        };
        Ok(new)
    }

    pub(super) fn open(&self) -> anyhow::Result<OwnedFd> {
        let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let directory = rustix::fs::open(&self.path, flags, Mode::empty());
        directory.with_context(|| format!("cannot open {}", self.path.display()))
    }

    pub(super) fn finish(mut self) -> anyhow::Result<()> {
        if let Some(target) = &self.target {
            std::fs::rename(&self.path, target)
                .with_context(|| format!("cannot make {}", target.display()))?;
        }
        self.is_whole = true;
        Ok(())
    }
}

impl Drop for NewDirectory {
    fn drop(&mut self) {
        // The error that is told is the one that stopped the export.
        let _ = match &self.target {
            _ if self.is_whole => Ok(()),
            Some(_) => std::fs::remove_dir_all(&self.path),
            None => empty(&self.path),
        };
    }
}

fn check_empty(path: &Path) -> io::Result<()> {
    match std::fs::read_dir(path)?.next() {
        Some(_) => Err(io::Error::other("is not an empty directory")),
        None => Ok(()),
    }
}

fn empty(path: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(path)? {
        let entry = entry?;
        match entry.file_type()?.is_dir() {
            true => std::fs::remove_dir_all(entry.path())?,
            false => std::fs::remove_file(entry.path())?,
        }
    }
    Ok(())
}

/// A hidden name in the same directory.
fn beside(target: &Path) -> anyhow::Result<PathBuf> {
    let last = target.file_name().with_context(|| format!("{} names no file", target.display()))?;
    let mut name = OsString::from(".");
    name.push(last);
    name.push(format!(".{}", std::process::id()));
    Ok(target.with_file_name(name))
}
