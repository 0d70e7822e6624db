//! Completions: scripts for shells, and the answers to their questions.

use super::args::{Cli, CompletionsArgs};
use super::error::FAILURE;
use super::output::{Paging, complain, print};
use clap::CommandFactory;
use clap_complete::CompleteEnv;
use clap_complete::env::Shells;
use std::ffi::OsString;

/// The variable by which a script of ours asks.
const VARIABLE: &str = "SAMPANCTL_COMPLETE";

/// Prints the script of a shell, which asks this program at each completion.
///
/// # Errors
/// When standard output cannot be written.
pub fn run(args: &CompletionsArgs) -> anyhow::Result<u8> {
    let name = args.shell.to_string();
    let shells = Shells::builtins();
    let Some(shell) = shells.completer(&name) else {
        complain(&format!("No completions for {name}."));
        return Ok(FAILURE);
    };
    let mut script = Vec::new();
    shell.write_registration(VARIABLE, "sampanctl", "sampanctl", "sampanctl", &mut script)?;
    print(&String::from_utf8(script)?, Paging::Never)?;
    Ok(0)
}

/// Answers a shell that asks for completions; `None` when this is an ordinary run.
pub fn answer(words: &[OsString]) -> Option<u8> {
    std::env::var_os(VARIABLE)?;
    let directory = std::env::current_dir().ok();
    let environment = CompleteEnv::with_factory(Cli::command).var(VARIABLE);
    match environment.try_complete(words.to_vec(), directory.as_deref()) {
        Ok(true) => Some(0),
        Ok(false) => None,
        Err(error) => {
            complain(&error.to_string());
            Some(FAILURE)
        }
    }
}
