//! Where text goes: straight to standard output, or through a pager on a terminal.

use super::error::CliError;
use super::pager;
use crate::sys::errno::without_numbers;
use std::io::{self, ErrorKind, IsTerminal, Write};
use std::process::Command;

/// Whether long text may go through a pager.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Paging {
    /// On a terminal it does.
    Allowed,
    /// Never, as `--no-pager` says.
    Never,
}

/// Whether a verb tells more than errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Telling {
    /// What is done, warnings and hints.
    Hints,
    /// Errors alone, as `--quiet` says.
    Errors,
}

impl Telling {
    /// As the option says.
    pub fn of_quiet(quiet: bool) -> Self {
        if quiet { Self::Errors } else { Self::Hints }
    }
}

/// How JSON is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JsonLayout {
    /// For programs.
    OneLine,
    /// For people, too.
    Indented,
}

/// Prints text. A reader that closes its end early is no error.
///
/// # Errors
/// When standard output cannot be written.
pub fn print(text: &str, paging: Paging) -> anyhow::Result<()> {
    if paging == Paging::Allowed && io::stdout().is_terminal() && pager::show(text) {
        return Ok(());
    }
    write_all(io::stdout().lock(), text)
}

/// Prints a value as JSON.
///
/// # Errors
/// When standard output cannot be written.
pub fn print_json(value: &impl serde::Serialize, layout: JsonLayout) -> anyhow::Result<()> {
    let text = match layout {
        JsonLayout::OneLine => serde_json::to_string(value)?,
        JsonLayout::Indented => serde_json::to_string_pretty(value)?,
    };
    write_all(io::stdout().lock(), &(text + "\n"))
}

/// Prints one line to standard error, reasons in the words of strerror(3); when that fails there is nobody to tell.
pub fn complain(line: &str) {
    let _ = writeln!(io::stderr(), "{}", without_numbers(line));
}

/// Replaces this process with a program. Returns only the error.
pub fn execute(command: &mut Command) -> CliError {
    use std::os::unix::process::CommandExt;
    let error = command.exec();
    CliError::Program { program: command.get_program().to_string_lossy().into_owned(), error }
}

fn write_all(mut output: impl Write, text: &str) -> anyhow::Result<()> {
    match output.write_all(text.as_bytes()).and_then(|()| output.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        result => Ok(result?),
    }
}
