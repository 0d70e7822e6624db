//! The text that an editor is at. It stands in a file until it is saved or given up, so that no failure loses it.

use anyhow::{Context, bail};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// Editors that are tried when the environment names none.
const EDITORS: &[&str] = &["editor", "nano", "vim", "vi"];

/// A text for an editor, in a directory that only its user may enter.
pub(super) struct Draft {
    directory: TempDir,
    path: PathBuf,
    /// What the editor began with.
    first: String,
}

impl Draft {
    /// A file of this name with the text that the editor begins with.
    pub(super) fn new(name: &Path, text: String) -> anyhow::Result<Self> {
        let directory = tempfile::tempdir().context("cannot make a temporary directory")?;
        let path = directory.path().join(name);
        fs::write(&path, &text).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(Self { directory, path, first: text })
    }

    /// The text after an editor has been at it.
    pub(super) fn edit(&self) -> anyhow::Result<String> {
        let named = ["SYSTEMD_EDITOR", "EDITOR", "VISUAL"]
            .iter()
            .find_map(|variable| std::env::var(variable).ok().filter(|editor| !editor.trim().is_empty()));
        let editors = named
            .map_or_else(|| EDITORS.iter().map(|editor| (*editor).to_owned()).collect(), |one| vec![one]);
        for editor in &editors {
            let mut words = editor.split_whitespace();
            let mut command = Command::new(words.next().unwrap_or_default());
            match command.args(words).arg(&self.path).status() {
                Ok(status) if status.success() => return super::read(&self.path),
                Ok(status) => bail!("The editor {editor} failed ({status}), nothing is changed."),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error).with_context(|| format!("cannot execute {editor}")),
            }
        }
        bail!("There is no editor ({}): set $EDITOR, or use --stdin.", editors.join(", "))
    }

    /// Leaves what was edited where it is; `None` when nothing was.
    pub(super) fn keep(self) -> Option<PathBuf> {
        let is_edited = fs::read(&self.path).is_ok_and(|text| text != self.first.as_bytes());
        is_edited.then(|| {
            drop(self.directory.keep());
            self.path
        })
    }
}
