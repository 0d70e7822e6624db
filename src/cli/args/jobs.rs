//! Arguments of verbs that change what units do.

use crate::cli::candidates::unit_names;
use crate::cli::units::enable::EnableArgs;
use crate::unit::signal;
use clap::{Args, ValueEnum};
use clap_complete::engine::ArgValueCandidates;

/// `--job-mode=`, systemctl(1).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum JobMode {
    /// Replace queued jobs that contradict
    #[default]
    Replace,
    /// Fail if a queued job contradicts
    Fail,
    /// Replace, and be replaced by nothing
    ReplaceIrreversibly,
    /// Stop all other units
    Isolate,
    /// Cancel all queued jobs
    Flush,
    /// Do what is asked for without what it depends on
    IgnoreDependencies,
    /// Keep the order, but need nothing
    IgnoreRequirements,
    /// Stop what triggers the unit, too
    Triggering,
    /// Restart what depends on the unit, too
    RestartDependencies,
}

impl JobMode {
    /// The word on the bus.
    pub fn word(self) -> &'static str {
        match self {
            Self::Replace => "replace",
            Self::Fail => "fail",
            Self::ReplaceIrreversibly => "replace-irreversibly",
            Self::Isolate => "isolate",
            Self::Flush => "flush",
            Self::IgnoreDependencies => "ignore-dependencies",
            Self::IgnoreRequirements => "ignore-requirements",
            Self::Triggering => "triggering",
            Self::RestartDependencies => "restart-dependencies",
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
    /// Numbers of jobs
    #[arg(value_name = "JOB", required = true)]
    pub jobs: Vec<u32>,
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
    /// Do not wait until the jobs of --now are over
    #[arg(long, requires = "now")]
    pub no_block: bool,
    /// Do not tell the manager
    #[arg(long, conflicts_with = "now")]
    pub no_reload: bool,
}
