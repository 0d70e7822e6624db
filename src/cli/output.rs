//! Where text goes: straight to standard output, or through a pager on a terminal.

use super::error::CliError;
use std::io::{self, ErrorKind, IsTerminal, Write};
use std::process::{Command, Stdio};

/// Whether long text may go through a pager.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Paging {
    /// On a terminal it does.
    Allowed,
    /// Never, as `--no-pager` says.
    Never,
}

/// Prints text. A reader that closes its end early is no error.
///
/// # Errors
/// When standard output cannot be written.
pub fn print(text: &str, paging: Paging) -> anyhow::Result<()> {
    let pager = (paging == Paging::Allowed && io::stdout().is_terminal()).then(pager).flatten();
    if let Some(pager) = pager
        && page(text, &pager)
    {
        return Ok(());
    }
    write_all(io::stdout().lock(), text)
}

/// Prints a value as JSON, indented on a terminal.
///
/// # Errors
/// When standard output cannot be written.
pub fn print_json(value: &impl serde::Serialize) -> anyhow::Result<()> {
    let text = if io::stdout().is_terminal() {
        serde_json::to_string_pretty(value)?
    } else {
        serde_json::to_string(value)?
    };
    write_all(io::stdout().lock(), &(text + "\n"))
}

/// Prints one line to standard error; when that fails there is nobody to tell.
pub fn complain(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
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

/// The pager's command; an empty one and `cat` mean none.
fn pager() -> Option<String> {
    let named = ["SAMPAN_PAGER", "PAGER"].into_iter().find_map(|name| std::env::var(name).ok());
    match named.as_deref().map(str::trim) {
        Some("" | "cat") => None,
        Some(command) => Some(command.to_owned()),
        None => Some("less".to_owned()),
    }
}

/// Whether the pager took the text.
fn page(text: &str, pager: &str) -> bool {
    let mut command = Command::new("/bin/sh");
    command.arg("-c").arg(format!("exec {pager}")).stdin(Stdio::piped());
    if std::env::var_os("LESS").is_none() {
        // Leave at once when it fits on a screen, keep colours, cut long lines: as systemctl(1) sets it.
        command.env("LESS", "FRSXMK");
    }
    let Ok(mut child) = command.spawn() else {
        return false;
    };
    if let Some(input) = child.stdin.take() {
        // The pager may be left before it has read everything.
        let _ = write_all(input, text);
    }
    // The shell's "not found" and "cannot execute": the text has not been shown.
    child.wait().is_ok_and(|status| !matches!(status.code(), Some(126 | 127)))
}
