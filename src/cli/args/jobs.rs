//! Arguments of verbs that change what units do.

use crate::cli::candidates::unit_names;
use crate::cli::display::DisplayArgs;
use crate::manager::machine::JobMode;
use crate::unit::signal;
use clap::builder::PossibleValue;
use clap::{Args, ValueEnum};
use clap_complete::engine::ArgValueCandidates;

/// `--job-mode=`, systemctl(1).
impl ValueEnum for JobMode {
    fn value_variants<'a>() -> &'a [Self] {
        &Self::ALL
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        let help = match self {
            Self::Replace => "Replace queued jobs that contradict",
            Self::Fail => "Fail if a queued job contradicts",
            Self::ReplaceIrreversibly => "Replace, and be replaced by nothing",
            Self::Isolate => "Stop all other units",
            Self::Flush => "Cancel all queued jobs",
            Self::IgnoreDependencies => "Do what is asked for without what it depends on",
            Self::IgnoreRequirements => "Keep the order, but need nothing",
            Self::RestartDependencies => "Restart what depends on the unit, too",
        };
        Some(PossibleValue::new(self.as_str()).help(help))
    }
}

/// `--kill-whom=`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Whom {
    /// The main process
    Main,
    /// The command around the payload that runs in its container
    Control,
    /// All processes
    All,
}

/// `start`, `stop`, `restart` and the like.
#[derive(Debug, Clone, Args)]
pub struct JobArgs {
    /// Names of units, or patterns over loaded ones
    #[arg(value_name = "UNIT", required = true, add = ArgValueCandidates::new(unit_names))]
    pub units: Vec<String>,
    /// Do not wait until the jobs are over
    #[arg(long)]
    pub no_block: bool,
    /// Wait until the units have ended again
    #[arg(long, conflicts_with = "no_block")]
    pub wait: bool,
    /// What to do about queued jobs that contradict
    #[arg(long, value_enum, default_value = "replace", value_name = "MODE")]
    pub job_mode: JobMode,
    /// Print the jobs that are queued
    #[arg(long, short = 'T')]
    pub show_transaction: bool,
    /// No warnings and no hints
    #[arg(long, short)]
    pub quiet: bool,
}

/// `restart`.
#[derive(Debug, Clone, Args)]
pub struct RestartArgs {
    /// Start another container beside the one that runs, and stop that when the other one is up
    #[arg(long)]
    pub overlap: bool,
    /// As of other verbs
    #[command(flatten)]
    pub job: JobArgs,
}

/// `isolate`.
#[derive(Debug, Clone, Args)]
pub struct IsolateArgs {
    /// Name of a unit
    #[arg(value_name = "UNIT", add = ArgValueCandidates::new(unit_names))]
    pub unit: String,
    /// Do not wait until the jobs are over
    #[arg(long)]
    pub no_block: bool,
    /// Print the jobs that are queued
    #[arg(long, short = 'T')]
    pub show_transaction: bool,
    /// No warnings and no hints
    #[arg(long, short)]
    pub quiet: bool,
}

/// `freeze`, `thaw`.
#[derive(Debug, Clone, Args)]
pub struct UnitsArgs {
    /// Names of units, or patterns over loaded ones
    #[arg(value_name = "UNIT", required = true, add = ArgValueCandidates::new(unit_names))]
    pub units: Vec<String>,
}

/// `clean`.
#[derive(Debug, Clone, Args)]
pub struct CleanArgs {
    /// Names of units, or patterns over loaded ones
    #[arg(value_name = "UNIT", required = true, add = ArgValueCandidates::new(unit_names))]
    pub units: Vec<String>,
    /// What is removed
    #[arg(long, value_enum, value_delimiter = ',', default_value = "cache", value_name = "WHAT")]
    pub what: Vec<Cleaned>,
}

/// What a unit leaves behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Cleaned {
    /// Copies of images that it has for itself
    Cache,
    /// Its persistent root, and when its persistent timer elapsed last
    State,
    /// Both
    All,
}

impl Cleaned {
    /// The word of the bus.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cache => "cache",
            Self::State => "state",
            Self::All => "all",
        }
    }
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
    #[arg(long, aliases = ["kill-who", "whom"], value_enum, default_value = "all", value_name = "WHOM")]
    pub kill_whom: Whom,
}

/// A signal by name or number.
fn signal_number(text: &str) -> Result<i32, String> {
    signal::number(text).ok_or_else(|| "not a signal: use a name such as SIGTERM, or a number".to_owned())
}

/// `set-property`.
#[derive(Debug, Clone, Args)]
pub struct SetPropertyArgs {
    /// Name of a unit
    #[arg(value_name = "UNIT", add = ArgValueCandidates::new(unit_names))]
    pub unit: String,
    /// Keys of [resources] and their values, as in unit files
    #[arg(value_name = "KEY=VALUE", required = true, value_parser = super::inside::assignment)]
    pub assignments: Vec<String>,
    /// Until the next boot only
    #[arg(long)]
    pub runtime: bool,
}

/// `cancel`.
#[derive(Debug, Clone, Args)]
pub struct CancelArgs {
    /// Numbers of jobs; all of them when none is named
    #[arg(value_name = "JOB")]
    pub jobs: Vec<u32>,
}

/// `plan`, `apply`.
#[derive(Debug, Clone, Args)]
pub struct PlanArgs {
    /// Exit status 2 when something would change, or has
    #[arg(long)]
    pub detailed_exitcode: bool,
    /// Only show what would be done
    #[arg(long)]
    pub dry_run: bool,
    /// How it is printed
    #[command(flatten)]
    pub display: DisplayArgs,
}
