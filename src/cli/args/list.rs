//! Arguments of verbs that list.

use crate::cli::candidates::unit_names;
use crate::cli::display::DisplayArgs;
use clap::Args;
use clap_complete::engine::ArgValueCandidates;

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
    /// How it is printed
    #[command(flatten)]
    pub display: DisplayArgs,
}

/// `list-sockets` and `list-timers`.
#[derive(Debug, Clone, Default, Args)]
pub struct ListArgs {
    /// Names and patterns of units
    #[arg(value_name = "PATTERN", add = ArgValueCandidates::new(unit_names))]
    pub patterns: Vec<String>,
    /// Those that do not listen or are not armed, too
    #[arg(long, short)]
    pub all: bool,
    /// How it is printed
    #[command(flatten)]
    pub display: DisplayArgs,
}

/// `list-jobs`.
#[derive(Debug, Clone, Default, Args)]
pub struct ListJobsArgs {
    /// Names and patterns of units
    #[arg(value_name = "PATTERN", add = ArgValueCandidates::new(unit_names))]
    pub patterns: Vec<String>,
    /// Below each job, those that wait for it
    #[arg(long)]
    pub after: bool,
    /// Below each job, those that it waits for
    #[arg(long)]
    pub before: bool,
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
