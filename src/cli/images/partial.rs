//! Output files that appear only when they are whole.

use anyhow::Context as _;
use std::ffi::OsString;
use std::fs::File;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// A file that has its name only when it is whole.
pub(in crate::cli) struct Partial {
    pub(in crate::cli) file: File,
    path: PathBuf,
}

impl Partial {
    pub(in crate::cli) fn create(target: &Path) -> anyhow::Result<Self> {
        let mut name = OsString::from(".");
        name.push(target.file_name().unwrap_or_default());
        name.push(format!(".{}", std::process::id()));
        let path = target.with_file_name(name);
        // For root only: an image may hold what not everybody is to read.
        let file = File::options().write(true).create_new(true).mode(0o600).open(&path);
        Ok(Self { file: file.with_context(|| format!("cannot create {}", path.display()))?, path })
    }

    pub(in crate::cli) fn finish(self, target: &Path) -> anyhow::Result<()> {
        std::fs::rename(&self.path, target).with_context(|| format!("cannot make {}", target.display()))
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        // After a rename there is nothing of this name.
        let _ = std::fs::remove_file(&self.path);
    }
}
