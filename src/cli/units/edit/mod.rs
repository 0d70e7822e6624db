//! `sampanctl edit`: a text editor over the files of units; what is wrong is told before it is saved, as by
//! visudo(8).

mod draft;
mod save;

use super::verify;
use super::{FAILURE, names};
use crate::cli::args::EditArgs;
use crate::cli::output::complain;
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
use anyhow::{Context, anyhow, bail};
use draft::Draft;
use std::fs::{self, Metadata};
use std::io::{self, BufRead, IsTerminal, Read, Write};
use std::path::{Path, PathBuf};

/// What stands below this line is shown and not saved.
const MARKER: &str = "### Lines below this one are not saved";

/// One file that is edited.
struct Edited<'e> {
    unit: UnitName,
    /// Where it will be.
    path: PathBuf,
    /// The unit's file as it is now, which may be another.
    fragment: Option<PathBuf>,
    /// The unit's files, this one among them.
    files: Files,
    paths: &'e Paths,
}

/// What becomes of a text that is wrong.
enum Choice {
    EditAgain,
    Discard,
}

/// Whether there is somebody who may edit a wrong text again.
#[derive(Debug, Clone, Copy)]
enum Retry {
    Asked,
    Never,
}

/// What has come of one file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Saved,
    Unchanged,
    Discarded,
}

/// Runs `edit`. One file that is given up, or cannot be saved, keeps no other from being edited.
///
/// # Errors
/// When a unit does not exist, or the manager does not answer.
pub fn run(args: &EditArgs, paths: &Paths) -> anyhow::Result<u8> {
    let units = names(&args.units)?;
    if args.stdin && units.len() > 1 {
        bail!("--stdin is the text of one unit: name one.");
    }
    let edits: anyhow::Result<Vec<Edited>> =
        units.into_iter().map(|unit| Edited::of(unit, args, paths)).collect();
    let (mut status, mut saved) = (0, false);
    for edited in edits? {
        match edited.perform(args) {
            Ok(Outcome::Saved) => saved = true,
            Ok(Outcome::Unchanged) => {}
            Ok(Outcome::Discarded) => status = FAILURE,
            Err(error) => {
                complain(&format!("{error:#}"));
                status = FAILURE;
            }
        }
    }
    if saved && !args.no_reload {
        reload_if_running(paths)?;
    }
    Ok(status)
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
            let files = Files { fragment: Some(path.clone()), drop_ins };
            return Ok(Self { unit, path, fragment, files, paths });
        }
        let [own, _] = spellings(unit.as_str());
        let path = directory.join(own).join(drop_in_name(&args.drop_in)?);
        drop_ins.retain(|drop_in| drop_in.file_name() != path.file_name());
        drop_ins.push(path.clone());
        drop_ins.sort_by_key(|drop_in| drop_in.file_name().map(ToOwned::to_owned));
        let files = Files { fragment: fragment.clone(), drop_ins };
        Ok(Self { unit, path, fragment, files, paths })
    }

    /// What the editor begins with.
    fn before(&self, args: &EditArgs) -> anyhow::Result<String> {
        let own = if self.path.exists() { read(&self.path)? } else { String::new() };
        if args.full {
            return match &self.fragment {
                Some(file) if own.is_empty() => read(file),
                _ => Ok(own),
            };
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

    /// Edits the file from first to last.
    fn perform(&self, args: &EditArgs) -> anyhow::Result<Outcome> {
        if args.stdin {
            let text = kept(&io::read_to_string(io::stdin())?);
            return Ok(self.settle(&text, Retry::Never)?.unwrap_or(Outcome::Discarded));
        }
        let draft = Draft::new(self.path.file_name().unwrap_or_default().as_ref(), self.before(args)?)?;
        let edited = self.in_editor(&draft);
        edited.map_err(|error| match draft.keep() {
            Some(path) => anyhow!("{error:#}\nThe edited text is kept in {}.", path.display()),
            None => error,
        })
    }

    /// Lets the text be edited until nothing is wrong with it, or it is given up.
    fn in_editor(&self, draft: &Draft) -> anyhow::Result<Outcome> {
        let retry = if io::stdin().is_terminal() { Retry::Asked } else { Retry::Never };
        loop {
            if let Some(outcome) = self.settle(&kept(&draft.edit()?), retry)? {
                return Ok(outcome);
            }
        }
    }

    /// Saves a text with which nothing is wrong; `None`: it is to be edited again.
    fn settle(&self, text: &str, retry: Retry) -> anyhow::Result<Option<Outcome>> {
        if text.trim().is_empty() {
            complain(&format!("{}: editing is canceled, nothing is left of the text.", self.unit));
            return Ok(Some(Outcome::Discarded));
        }
        let is_right = self.is_right(text)?;
        let path = self.path.display();
        if is_right && fs::read_to_string(&self.path).ok().as_deref() == Some(text) {
            complain(&format!("{path} is as it was."));
            return Ok(Some(Outcome::Unchanged));
        }
        if is_right {
            let saved = save::save(&self.path, text, self.like().as_ref());
            return saved.map(|()| Some(Outcome::Saved)).with_context(|| format!("cannot write {path}"));
        }
        Ok(match retry {
            Retry::Never => bail!("{path} is not changed."),
            Retry::Asked => match ask()? {
                Choice::EditAgain => None,
                Choice::Discard => Some(Outcome::Discarded),
            },
        })
    }

    /// Prints what is wrong with a text; warnings are not.
    fn is_right(&self, text: &str) -> io::Result<bool> {
        let source = Source::from_text(&self.path, text);
        let host = Host::read(self.paths);
        let found = match assemble_with(&self.unit.sample(), self.files.clone(), &host, Some(&source)) {
            Ok((_, warnings)) => warnings,
            Err(faults) => faults,
        };
        let style = if io::stderr().is_terminal() { Style::Colored } else { Style::Plain };
        io::stderr().write_all(verify::text(&found, style).as_bytes())?;
        Ok(found.iter().all(|diagnostic| diagnostic.severity != Severity::Error))
    }

    /// Whose mode and owner the file has: its own, else those of the unit's file, whose secrets a drop-in may repeat.
    fn like(&self) -> Option<Metadata> {
        let fragment = self.fragment.as_ref();
        fs::metadata(&self.path).or_else(|error| fragment.map_or(Err(error), fs::metadata)).ok()
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
