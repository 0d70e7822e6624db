//! Arguments of verbs that run commands in containers.

use crate::cli::candidates::unit_names;
use clap::Args;
use clap_complete::engine::ArgValueCandidates;

/// `exec`.
#[derive(Debug, Clone, Args)]
pub struct ExecArgs {
    /// Where and as whom it runs
    #[command(flatten)]
    pub place: PlaceArgs,
    /// The command and its arguments
    #[arg(value_name = "COMMAND", required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    pub command: Vec<String>,
}

/// `shell`.
#[derive(Debug, Clone, Args)]
pub struct ShellArgs {
    /// Where and as whom it runs
    #[command(flatten)]
    pub place: PlaceArgs,
}

/// Where and as whom a command runs.
#[derive(Debug, Clone, Args)]
pub struct PlaceArgs {
    /// Name of a unit
    #[arg(value_name = "UNIT", add = ArgValueCandidates::new(unit_names))]
    pub unit: String,
    /// The user, instead of the container's
    #[arg(long, alias = "uid", short, default_value = "", hide_default_value = true)]
    pub user: String,
    /// The directory, instead of the container's
    #[arg(
        long,
        alias = "workdir",
        short,
        default_value = "",
        hide_default_value = true,
        value_name = "DIRECTORY"
    )]
    pub working_directory: String,
    /// More environment; without a value, that of the caller
    #[arg(long = "env", alias = "setenv", short, value_name = "NAME[=VALUE]", value_parser = inherited)]
    pub environment: Vec<String>,
    /// Make a terminal for it, even when this is none
    #[arg(long, short, overrides_with = "no_tty")]
    pub tty: bool,
    /// Make no terminal for it
    #[arg(long, short = 'T', overrides_with = "tty")]
    pub no_tty: bool,
    /// Hand standard input on, which is done anyway
    #[arg(long, short)]
    pub interactive: bool,
    /// Do not tell how to leave a terminal
    #[arg(long, short)]
    pub quiet: bool,
}

/// `NAME=VALUE`.
pub(super) fn assignment(text: &str) -> Result<String, String> {
    match text.split_once('=') {
        Some((name, _)) if !name.is_empty() => Ok(text.to_owned()),
        _ => Err("write NAME=VALUE".to_owned()),
    }
}

/// `NAME=VALUE`, or `NAME` for what the caller's environment has.
pub(super) fn inherited(text: &str) -> Result<String, String> {
    match std::env::var(text) {
        Ok(value) if !text.contains('=') && !text.is_empty() => Ok(format!("{text}={value}")),
        _ => assignment(text)
            .map_err(|_| "write NAME=VALUE, or the name of a variable that is set here".to_owned()),
    }
}
