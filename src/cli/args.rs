//! The command line as it is typed. Nothing is done here.

use super::candidates::unit_names;
use super::display::DisplayArgs;
use super::images::ImageVerb;
use super::units::cat::CatArgs;
use super::units::enable::EnableArgs;
use super::units::list_unit_files::ListUnitFilesArgs;
use super::units::schema::SchemaArgs;
use super::units::verify::VerifyArgs;
use super::volumes::VolumesArgs;
use crate::unit::signal;
use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use clap_complete::engine::ArgValueCandidates;
use std::path::PathBuf;

/// Control containers and their images.
#[derive(Debug, Parser)]
#[command(name = "sampanctl", version, max_term_width = 100, infer_subcommands = false)]
#[command(after_help = "Without a verb, the loaded units are listed. \"web\" means \"web.container\".")]
pub struct Cli {
    /// Work on the unit files and the store below another root directory
    #[arg(long, global = true, value_name = "DIR", default_value = "/", hide_default_value = true)]
    pub root: PathBuf,
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Start units
    Start(JobArgs),
    /// Stop units
    Stop(JobArgs),
    /// Start or restart units
    Restart(JobArgs),
    /// Restart units that are active
    TryRestart(JobArgs),
    /// Send a signal to the processes of units
    Kill(KillArgs),
    /// Show what units do, with the last lines of their logs
    Status(StatusArgs),
    /// Show properties of units, or the plan of their launch
    Show(ShowArgs),
    /// Show the files of units
    Cat(CatArgs),
    /// List the units in memory
    ListUnits(ListUnitsArgs),
    /// List the unit files
    ListUnitFiles(ListUnitFilesArgs),
    /// List sockets and the units behind them
    ListSockets(ListArgs),
    /// List jobs
    ListJobs(ListArgs),
    /// Show what units need, as a tree
    ListDependencies(DependencyArgs),
    /// Start units at boot
    Enable(EnableNowArgs),
    /// Do not start units at boot
    Disable(EnableNowArgs),
    /// Disable units, then enable them
    Reenable(EnableNowArgs),
    /// Make it impossible to start units
    Mask(EnableNowArgs),
    /// Undo mask
    Unmask(EnableNowArgs),
    /// Check whether units are active
    IsActive(TestArgs),
    /// Check whether units have failed
    IsFailed(TestArgs),
    /// Check whether units are enabled
    IsEnabled(EnableArgs),
    /// Read all unit files again
    DaemonReload,
    /// Forget that units failed, and their start limits
    ResetFailed(ResetFailedArgs),
    /// Verbs over images
    #[command(flatten)]
    Image(ImageVerb),
    /// List volumes, or show, remove, export and import them
    Volumes(VolumesArgs),
    /// Check unit files
    Verify(VerifyArgs),
    /// Print the JSON schema of unit files
    Schema(SchemaArgs),
    /// Show the logs of units
    Logs(LogsArgs),
    /// Run a command in a container
    Exec(ExecArgs),
    /// Open a shell in a container
    Shell(ShellArgs),
    /// Print the completions of a shell
    #[command(hide = true)]
    Completions(CompletionsArgs),
}

/// A signal by name or number.
fn signal_number(text: &str) -> Result<i32, String> {
    signal::number(text).ok_or_else(|| "not a signal: use a name such as SIGTERM, or a number".to_owned())
}

/// `--job-mode=`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum JobMode {
    /// Replace a job that contradicts
    Replace,
    /// Fail if there is one
    Fail,
}

impl JobMode {
    /// The word on the bus.
    pub fn word(self) -> &'static str {
        match self {
            Self::Replace => "replace",
            Self::Fail => "fail",
        }
    }
}

/// `--kill-whom=`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Whom {
    /// The main process
    Main,
    /// All processes
    All,
}

/// `start`, `stop`, `restart`, `try-restart`.
#[derive(Debug, Clone, Args)]
pub struct JobArgs {
    /// Names of units, or patterns over loaded ones
    #[arg(value_name = "UNIT", required = true, add = ArgValueCandidates::new(unit_names))]
    pub units: Vec<String>,
    /// Do not wait until the jobs are over
    #[arg(long)]
    pub no_block: bool,
    /// What to do about queued jobs that contradict
    #[arg(long, value_enum, default_value = "replace", value_name = "MODE")]
    pub job_mode: JobMode,
    /// Accepted for scripts written for systemctl; errors are printed all the same
    #[arg(long, short)]
    pub quiet: bool,
}

/// `kill`.
#[derive(Debug, Clone, Args)]
pub struct KillArgs {
    /// Names of units, or patterns over loaded ones
    #[arg(value_name = "UNIT", required = true, add = ArgValueCandidates::new(unit_names))]
    pub units: Vec<String>,
    /// The signal
    #[arg(long, short, default_value = "SIGTERM", value_parser = signal_number)]
    pub signal: i32,
    /// Which processes get it
    #[arg(long, value_enum, default_value = "all", value_name = "WHOM")]
    pub kill_whom: Whom,
}

/// `status`.
#[derive(Debug, Clone, Args)]
pub struct StatusArgs {
    /// Names of units, or patterns over loaded ones; without one, the state of the manager
    #[arg(value_name = "UNIT", add = ArgValueCandidates::new(unit_names))]
    pub units: Vec<String>,
    /// How many lines of the log
    #[arg(long, short = 'n', default_value_t = 10, value_name = "COUNT")]
    pub lines: u32,
    /// How it is printed
    #[command(flatten)]
    pub display: DisplayArgs,
}

/// `show`.
#[derive(Debug, Clone, Args)]
pub struct ShowArgs {
    /// Names of units, or patterns over loaded ones; without one, the manager
    #[arg(value_name = "UNIT", add = ArgValueCandidates::new(unit_names))]
    pub units: Vec<String>,
    /// Only these properties, with commas between
    #[arg(long, short = 'p', value_delimiter = ',', value_name = "NAME")]
    pub property: Vec<String>,
    /// Values without names
    #[arg(long)]
    pub value: bool,
    /// As --value --property
    #[arg(short = 'P', value_delimiter = ',', value_name = "NAME", conflicts_with = "property")]
    pub value_of: Vec<String>,
    /// Empty properties, too
    #[arg(long, short)]
    pub all: bool,
    /// The plan of the launch instead
    #[arg(long, conflicts_with_all = ["property", "value"])]
    pub plan: bool,
    /// How it is printed
    #[command(flatten)]
    pub display: DisplayArgs,
}

impl ShowArgs {
    /// The properties asked for; none: all.
    pub fn names(&self) -> &[String] {
        if self.value_of.is_empty() { &self.property } else { &self.value_of }
    }

    /// Whether values are printed without names.
    pub fn is_bare(&self) -> bool {
        self.value || !self.value_of.is_empty()
    }
}

/// `list-units`.
#[derive(Debug, Clone, Default, Args)]
pub struct ListUnitsArgs {
    /// Names and patterns
    #[arg(value_name = "PATTERN", add = ArgValueCandidates::new(unit_names))]
    pub patterns: Vec<String>,
    /// Inactive units, too
    #[arg(long, short)]
    pub all: bool,
    /// Only units in one of these states, with commas between
    #[arg(long, value_delimiter = ',')]
    pub state: Vec<String>,
    /// Only units that failed
    #[arg(long)]
    pub failed: bool,
    /// Only units of these types: container, target
    #[arg(long = "type", short = 't', value_delimiter = ',', value_name = "TYPE")]
    pub kind: Vec<String>,
    /// Accepted for scripts written for systemctl
    #[arg(long, short)]
    pub quiet: bool,
    /// How it is printed
    #[command(flatten)]
    pub display: DisplayArgs,
}

/// `list-sockets`, `list-jobs`.
#[derive(Debug, Clone, Default, Args)]
pub struct ListArgs {
    /// Names and patterns of units
    #[arg(value_name = "PATTERN", add = ArgValueCandidates::new(unit_names))]
    pub patterns: Vec<String>,
    /// How it is printed
    #[command(flatten)]
    pub display: DisplayArgs,
}

/// `list-dependencies`.
#[derive(Debug, Clone, Args)]
pub struct DependencyArgs {
    /// Names of units
    #[arg(value_name = "UNIT", default_value = "default.target", add = ArgValueCandidates::new(unit_names))]
    pub units: Vec<String>,
    /// Follow containers, too, not only targets
    #[arg(long, short)]
    pub all: bool,
    /// What needs them instead
    #[arg(long, conflicts_with_all = ["after", "before"])]
    pub reverse: bool,
    /// What they start after instead
    #[arg(long, conflicts_with = "before")]
    pub after: bool,
    /// What they start before instead
    #[arg(long)]
    pub before: bool,
    /// How it is printed
    #[command(flatten)]
    pub display: DisplayArgs,
}

/// `enable`, `disable`, `reenable`, `mask`, `unmask`.
#[derive(Debug, Clone, Args)]
pub struct EnableNowArgs {
    /// The files.
    #[command(flatten)]
    pub files: EnableArgs,
    /// Start or stop them, too
    #[arg(long)]
    pub now: bool,
    /// Do not tell the manager
    #[arg(long, conflicts_with = "now")]
    pub no_reload: bool,
}

/// `is-active`, `is-failed`.
#[derive(Debug, Clone, Args)]
pub struct TestArgs {
    /// Names of units, or patterns over loaded ones
    #[arg(value_name = "UNIT", required = true, add = ArgValueCandidates::new(unit_names))]
    pub units: Vec<String>,
    /// Only the exit status
    #[arg(long, short)]
    pub quiet: bool,
}

/// `reset-failed`.
#[derive(Debug, Clone, Args)]
pub struct ResetFailedArgs {
    /// Names of units, or patterns over loaded ones; all when there are none
    #[arg(value_name = "UNIT", add = ArgValueCandidates::new(unit_names))]
    pub units: Vec<String>,
}

/// `logs`: what journalctl(1) takes.
#[derive(Debug, Clone, Args)]
pub struct LogsArgs {
    /// Names of units, or patterns
    #[arg(value_name = "UNIT", required = true, add = ArgValueCandidates::new(unit_names))]
    pub units: Vec<String>,
    /// The last lines only
    #[arg(long, short = 'n', value_name = "COUNT")]
    pub lines: Option<String>,
    /// Wait for new lines
    #[arg(long, short)]
    pub follow: bool,
    /// The journal's format: short, cat, json, ...
    #[arg(long, short, value_name = "FORMAT")]
    pub output: Option<String>,
    /// Lines from this time on
    #[arg(long, short = 'S', value_name = "TIME", allow_hyphen_values = true)]
    pub since: Option<String>,
    /// Lines until this time
    #[arg(long, short = 'U', value_name = "TIME", allow_hyphen_values = true)]
    pub until: Option<String>,
    /// Lines of this priority and above
    #[arg(long, short, value_name = "RANGE")]
    pub priority: Option<String>,
    /// Lines of this boot, or of another
    #[arg(long, short, value_name = "ID", num_args = 0..=1, require_equals = true, default_missing_value = "0")]
    pub boot: Option<String>,
    /// Newest first
    #[arg(long, short)]
    pub reverse: bool,
    /// Do not use a pager
    #[arg(long)]
    pub no_pager: bool,
}

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
    #[arg(long, short, default_value = "", hide_default_value = true)]
    pub user: String,
    /// The directory, instead of the container's
    #[arg(long, short, default_value = "", hide_default_value = true, value_name = "DIRECTORY")]
    pub working_directory: String,
    /// More environment
    #[arg(long = "env", short, value_name = "NAME=VALUE", value_parser = assignment)]
    pub environment: Vec<String>,
    /// Make a terminal for it, even when this is none
    #[arg(long, short, overrides_with = "no_tty")]
    pub tty: bool,
    /// Make no terminal for it
    #[arg(long, short = 'T', overrides_with = "tty")]
    pub no_tty: bool,
}

fn assignment(text: &str) -> Result<String, String> {
    match text.split_once('=') {
        Some((name, _)) if !name.is_empty() => Ok(text.to_owned()),
        _ => Err("write NAME=VALUE".to_owned()),
    }
}

/// `completions`.
#[derive(Debug, Clone, Args)]
pub struct CompletionsArgs {
    /// The shell
    #[arg(value_enum)]
    pub shell: Shell,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_command_of_exec_keeps_its_own_options() {
        let words = ["sampanctl", "exec", "web", "-u", "root", "--", "ls", "-u", "--", "x"];
        let Verb::Exec(args) = Cli::parse_from(words).verb else { panic!("not exec") };
        assert_eq!(
            (args.place.user.as_str(), args.command),
            ("root", ["ls", "-u", "--", "x"].map(str::to_owned).to_vec())
        );
    }
}
