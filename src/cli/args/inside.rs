//! Arguments of verbs that run commands: in a container that runs, and in one of their own.

use crate::cli::candidates::{image_names, unit_names};
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
}

/// `run`.
#[derive(Debug, Clone, Args)]
pub struct AdHocArgs {
    /// Name of the unit, instead of one that is made up
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// Remove the unit when it has ended
    #[arg(long)]
    pub rm: bool,
    /// Leave it running and print its name
    #[arg(long, short)]
    pub detach: bool,
    /// Hand standard input on
    #[arg(long, short, conflicts_with = "detach")]
    pub interactive: bool,
    /// Make a terminal for it
    #[arg(long, short, conflicts_with = "detach")]
    pub tty: bool,
    /// Environment; without a value, that of the caller
    #[arg(long = "env", alias = "setenv", short, value_name = "NAME[=VALUE]", value_parser = inherited)]
    pub environment: Vec<String>,
    /// Files of environment
    #[arg(long, value_name = "FILE")]
    pub env_file: Vec<String>,
    /// Directories of the host, or named volumes
    #[arg(long, short, value_name = "SOURCE:TARGET[:OPTIONS]")]
    pub volume: Vec<String>,
    /// Addresses that listen, for the container to accept from: 127.0.0.1:80, [::]:80, /run/web.sock
    #[arg(long, alias = "publish", short = 'p', value_name = "ADDRESS")]
    pub socket: Vec<String>,
    /// Who the command runs as
    #[arg(long, alias = "uid", short, value_name = "USER")]
    pub user: Option<String>,
    /// Where the command runs
    #[arg(long, alias = "workdir", short, value_name = "DIRECTORY")]
    pub working_directory: Option<String>,
    /// Instead of the image's
    #[arg(long, value_name = "COMMAND")]
    pub entrypoint: Option<String>,
    /// Most memory
    #[arg(long, value_name = "BYTES")]
    pub memory: Option<String>,
    /// Processors, as 0.5
    #[arg(long, value_name = "NUMBER", value_parser = processors)]
    pub cpus: Option<String>,
    /// Most processes and threads
    #[arg(long, value_name = "COUNT")]
    pub pids_limit: Option<u64>,
    /// The root cannot be written
    #[arg(long)]
    pub read_only: bool,
    /// When it is started again
    #[arg(long, value_name = "POLICY")]
    pub restart: Option<String>,
    /// When the image is pulled
    #[arg(long, value_name = "POLICY")]
    pub pull: Option<String>,
    /// Any other key of a unit file, as security.no_new_privileges=false
    #[arg(long, short = 'S', value_name = "TABLE.KEY=VALUE", value_parser = assignment)]
    pub set: Vec<String>,
    /// No notices
    #[arg(long, short)]
    pub quiet: bool,
    /// The image
    #[arg(value_name = "IMAGE", add = ArgValueCandidates::new(image_names))]
    pub image: String,
    /// The command and its arguments, instead of the image's
    #[arg(value_name = "COMMAND", trailing_var_arg = true, allow_hyphen_values = true)]
    pub command: Vec<String>,
}

/// `NAME=VALUE`.
pub(super) fn assignment(text: &str) -> Result<String, String> {
    match text.split_once('=') {
        Some((name, _)) if !name.is_empty() => Ok(text.to_owned()),
        _ => Err("write NAME=VALUE".to_owned()),
    }
}

/// `NAME=VALUE`, or `NAME` for what the caller's environment has.
fn inherited(text: &str) -> Result<String, String> {
    match std::env::var(text) {
        Ok(value) if !text.contains('=') && !text.is_empty() => Ok(format!("{text}={value}")),
        _ => assignment(text)
            .map_err(|_| "write NAME=VALUE, or the name of a variable that is set here".to_owned()),
    }
}

/// Processors as systemd's quota: 0.5 is 50%.
fn processors(text: &str) -> Result<String, String> {
    let number: f64 = text.parse().map_err(|_| "write a number, as 1.5".to_owned())?;
    match number.is_finite() && number > 0.0 {
        true => Ok(format!("{}%", (number * 100.0).round())),
        false => Err("write a number above 0, as 1.5".to_owned()),
    }
}
