//! `sampanctl edit`: a text editor over the files of units; what is wrong is told before it is saved, as by
//! visudo(8).

use super::verify;
use super::{FAILURE, names};
use crate::cli::args::EditArgs;
use crate::cli::unit_files::reload_if_running;
use crate::paths::Paths;
use crate::unit::assemble::assemble_with;
use crate::unit::diagnostic::{Diagnostic, Severity, Style};
use crate::unit::drop_in::spellings;
use crate::unit::links::Lasting;
use crate::unit::lower::Files;
use crate::unit::name::UnitName;
use crate::unit::search::{Found, Search};
use crate::unit::source::Source;
use crate::unit::specifier::Host;
use anyhow::{Context, bail};
use std::fs;
use std::io::{self, BufRead, IsTerminal, Read, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

/// What stands below this line is shown and not saved.
const MARKER: &str = "### Lines below this one are not saved";

/// Editors that are tried when the environment names none.
const EDITORS: &[&str] = &["editor", "nano", "vim", "vi"];

/// One file that is edited.
struct Edited<'e> {
    unit: UnitName,
    /// Where it will be.
    path: PathBuf,
    /// The unit's files, this one among them.
    files: Files,
    paths: &'e Paths,
}

/// What becomes of a text.
enum Choice {
    Save,
    EditAgain,
    Discard,
}

/// Runs `edit`.
///
/// # Errors
/// When a unit does not exist, there is no editor, or a file cannot be written.
pub fn run(args: &EditArgs, paths: &Paths) -> anyhow::Result<u8> {
    let mut saved = false;
    for unit in names(&args.units)? {
        let edited = Edited::of(unit, args, paths)?;
        let text = if args.stdin { io::read_to_string(io::stdin())? } else { edited.before(args)? };
        match edited.settle(text, args)? {
            Some(text) if edited.is_new(&text) => {
                edited.save(&text)?;
                saved = true;
            }
            Some(_) => writeln!(io::stderr(), "{} is as it was.", edited.path.display())?,
            None => return Ok(FAILURE),
        }
    }
    if saved && !args.no_reload {
        reload_if_running(paths)?;
    }
    Ok(0)
}

impl<'e> Edited<'e> {
    fn of(unit: UnitName, args: &EditArgs, paths: &'e Paths) -> anyhow::Result<Self> {
        let search = Search::new(paths);
        let unit = search.real_name(&unit).unwrap_or(unit);
        let fragment = match search.find(&unit) {
            Some(Found::File(file) | Found::Linked { file, .. }) => Some(file),
            Some(Found::Masked(file)) => bail!("Cannot edit {unit}: {} is a mask.", file.display()),
            _ if args.full && args.force => None,
            _ if unit.as_str() == crate::unit::name::DEFAULT_TARGET => None,
            _ => {
                bail!("No files found for {unit}. \"sampanctl edit --force --full {unit}\" makes a new one.")
            }
        };
        let directory = Lasting::of_runtime(args.runtime).directory(paths);
        let mut drop_ins = search.drop_ins(&unit.sample());
        if args.full {
            let path = directory.join(unit.file_name());
            return Ok(Self { files: Files { fragment: Some(path.clone()), drop_ins }, unit, path, paths });
        }
        let [own, _] = spellings(unit.as_str());
        let path = directory.join(own).join(drop_in_name(&args.drop_in)?);
        drop_ins.retain(|drop_in| drop_in.file_name() != path.file_name());
        drop_ins.push(path.clone());
        drop_ins.sort_by_key(|drop_in| drop_in.file_name().map(ToOwned::to_owned));
        Ok(Self { files: Files { fragment, drop_ins }, unit, path, paths })
    }

    /// What the editor begins with.
    fn before(&self, args: &EditArgs) -> anyhow::Result<String> {
        let own = if self.path.exists() { read(&self.path)? } else { String::new() };
        if args.full {
            let known = Search::new(self.paths).find(&self.unit);
            return Ok(match known {
                Some(Found::File(file) | Found::Linked { file, .. }) if own.is_empty() => read(&file)?,
                _ => own,
            });
        }
        let mut text = format!("### Editing {}\n{own}\n\n{MARKER}\n", self.path.display());
        for file in self.files.fragment.iter().chain(&self.files.drop_ins).filter(|file| **file != self.path)
        {
            text.push_str(&format!("\n### {}\n", file.display()));
            for line in fs::read_to_string(file).unwrap_or_default().lines() {
                text.push_str(&format!("# {line}\n"));
            }
        }
        Ok(text)
    }

    /// Lets the text be edited until nothing is wrong with it, or it is given up.
    fn settle(&self, mut text: String, args: &EditArgs) -> anyhow::Result<Option<String>> {
        loop {
            if !args.stdin {
                text = in_editor(&text, self.path.file_name().unwrap_or_default().as_ref())?;
            }
            let kept = kept(&text);
            if kept.trim().is_empty() {
                writeln!(io::stderr(), "{}: editing is canceled, nothing is left of the text.", self.unit)?;
                return Ok(None);
            }
            match self.judge(&kept, args)? {
                Choice::Save => return Ok(Some(kept)),
                Choice::EditAgain => {}
                Choice::Discard => return Ok(None),
            }
        }
    }

    /// Prints what is wrong; asks what to do about an error where somebody can answer.
    fn judge(&self, text: &str, args: &EditArgs) -> anyhow::Result<Choice> {
        let source = Source::from_text(&self.path, text);
        let host = Host::read(self.paths);
        let found = match assemble_with(&self.unit.sample(), self.files.clone(), &host, Some(&source)) {
            Ok((_, warnings)) => warnings,
            Err(faults) => faults,
        };
        let style = if io::stderr().is_terminal() { Style::Colored } else { Style::Plain };
        io::stderr().write_all(verify::text(&found, style).as_bytes())?;
        if found.iter().all(|diagnostic| diagnostic.severity != Severity::Error) {
            return Ok(Choice::Save);
        }
        if args.stdin || !io::stdin().is_terminal() {
            writeln!(io::stderr(), "{} is not changed.", self.path.display())?;
            return Ok(Choice::Discard);
        }
        ask()
    }

    fn is_new(&self, text: &str) -> bool {
        fs::read_to_string(&self.path).ok().as_deref() != Some(text)
    }

    /// In one step: whoever reads sees the old text or the new one.
    fn save(&self, text: &str) -> anyhow::Result<()> {
        let told = || format!("cannot write {}", self.path.display());
        let directory = self.path.parent().unwrap_or(Path::new("/"));
        fs::create_dir_all(directory).with_context(told)?;
        let name = self.path.file_name().unwrap_or_default().to_string_lossy();
        let new = directory.join(format!(".{name}.{}", std::process::id()));
        let write = || {
            fs::write(&new, text)?;
            fs::File::open(&new)?.sync_all()?;
            fs::rename(&new, &self.path)
        };
        let written = write();
        if written.is_err() {
            // It may not be there.
            let _ = fs::remove_file(&new);
        }
        written.with_context(told)
    }
}

fn drop_in_name(name: &str) -> anyhow::Result<String> {
    if name.contains('/') || name.starts_with('.') || name.is_empty() {
        bail!("\"{name}\" is not the name of a drop-in.");
    }
    Ok(if name.ends_with(".toml") { name.to_owned() } else { format!("{name}.toml") })
}

/// Without what was only shown.
fn kept(text: &str) -> String {
    let text = text.split(MARKER).next().unwrap_or_default();
    let text = match text.split_once('\n') {
        Some((first, rest)) if first.starts_with("### Editing ") => rest,
        _ => text,
    };
    let text = text.trim_end();
    if text.is_empty() { String::new() } else { format!("{text}\n") }
}

/// The text after an editor has been at it.
fn in_editor(text: &str, name: &Path) -> anyhow::Result<String> {
    let directory = tempfile::tempdir().context("cannot make a temporary directory")?;
    let path = directory.path().join(name);
    fs::write(&path, text)?;
    let named = ["SYSTEMD_EDITOR", "EDITOR", "VISUAL"]
        .iter()
        .find_map(|variable| std::env::var(variable).ok().filter(|editor| !editor.trim().is_empty()));
    let editors =
        named.map_or_else(|| EDITORS.iter().map(|editor| (*editor).to_owned()).collect(), |one| vec![one]);
    for editor in &editors {
        let mut words = editor.split_whitespace();
        let mut command = Command::new(words.next().unwrap_or_default());
        match command.args(words).arg(&path).status() {
            Ok(status) if status.success() => return read(&path),
            Ok(status) => bail!("The editor {editor} failed ({status}), nothing is changed."),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error).with_context(|| format!("cannot execute {editor}")),
        }
    }
    bail!("There is no editor ({}): set $EDITOR, or use --stdin.", editors.join(", "))
}

fn read(path: &Path) -> anyhow::Result<String> {
    Ok(Source::read(path).map_err(Diagnostic::from)?.text.clone())
}

fn ask() -> anyhow::Result<Choice> {
    loop {
        write!(io::stderr(), "What now? (e)dit again, (d)iscard: ")?;
        let mut answer = String::new();
        // An end of input is no answer that could be waited for.
        if io::stdin().lock().take(100).read_line(&mut answer)? == 0 {
            return Ok(Choice::Discard);
        }
        match answer.trim() {
            "e" | "edit" => return Ok(Choice::EditAgain),
            "d" | "discard" => return Ok(Choice::Discard),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_only_shown_is_not_kept() {
        let text = format!("### Editing /x\n[unit]\n\n\n{MARKER}\n\n### /y\n# [container]\n");
        assert_eq!(kept(&text), "[unit]\n");
        assert_eq!(kept(&format!("### Editing /x\n\n{MARKER}\n")), "");
        assert_eq!(kept("# mine\n[unit]"), "# mine\n[unit]\n");
        assert!(drop_in_name("../x").is_err());
        assert_eq!(drop_in_name("limits").unwrap(), "limits.toml");
    }
}
