//! Arguments of verbs that change what units do.

use crate::cli::candidates::unit_names;
use crate::cli::display::DisplayArgs;
use crate::cli::units::enable::EnableArgs;
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
    #[arg(long, alias = "kill-who", value_enum, default_value = "all", value_name = "WHOM")]
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

/// `enable`, `disable`, `reenable`, `preset`, `mask`, `unmask`, `link`, `revert`.
#[derive(Debug, Clone, Args)]
pub struct EnableNowArgs {
    /// The files.
    #[command(flatten)]
    pub files: EnableArgs,
    /// Start or stop them, too
    #[arg(long)]
    pub now: bool,
    /// Only until the next boot
    #[arg(long)]
    pub runtime: bool,
    /// Replace links that are in the way
    #[arg(long, short)]
    pub force: bool,
    /// Do not wait until the jobs of --now are over
    #[arg(long, requires = "now")]
    pub no_block: bool,
    /// Do not tell the manager
    #[arg(long, conflicts_with = "now")]
    pub no_reload: bool,
}

/// `add-wants`, `add-requires`.
#[derive(Debug, Clone, Args)]
pub struct AddDependencyArgs {
    /// The unit that is to need the others
    #[arg(value_name = "TARGET", add = ArgValueCandidates::new(unit_names))]
    pub target: String,
    /// Names of units
    #[arg(value_name = "UNIT", required = true, add = ArgValueCandidates::new(unit_names))]
    pub units: Vec<String>,
    /// Only until the next boot
    #[arg(long)]
    pub runtime: bool,
    /// Replace links that are in the way
    #[arg(long, short)]
    pub force: bool,
}

/// `preset-all`.
#[derive(Debug, Clone, Args)]
pub struct PresetAllArgs {
    /// Only until the next boot
    #[arg(long)]
    pub runtime: bool,
}

/// `set-default`.
#[derive(Debug, Clone, Args)]
pub struct DefaultTargetArgs {
    /// The name of a target
    #[arg(value_name = "TARGET", add = ArgValueCandidates::new(unit_names))]
    pub target: String,
}

/// `edit`.
#[derive(Debug, Clone, Args)]
pub struct EditArgs {
    /// Names of units
    #[arg(value_name = "UNIT", required = true, add = ArgValueCandidates::new(unit_names))]
    pub units: Vec<String>,
    /// The whole file, not a drop-in
    #[arg(long)]
    pub full: bool,
    /// With --full, a new unit
    #[arg(long, requires = "full")]
    pub force: bool,
    /// Only until the next boot
    #[arg(long)]
    pub runtime: bool,
    /// Take the text from standard input
    #[arg(long)]
    pub stdin: bool,
    /// The name of the drop-in
    #[arg(long, value_name = "NAME", default_value = "override.toml", conflicts_with = "full")]
    pub drop_in: String,
    /// Do not tell the manager
    #[arg(long)]
    pub no_reload: bool,
}

/// `plan`, `apply`.
#[derive(Debug, Clone, Args)]
pub struct PlanArgs {
    /// Exit status 2 when something would change
    #[arg(long)]
    pub detailed_exitcode: bool,
    /// Only show what would be done
    #[arg(long)]
    pub dry_run: bool,
    /// How it is printed
    #[command(flatten)]
    pub display: DisplayArgs,
}
