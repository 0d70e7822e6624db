//! Arguments of verbs that change the files of units and the links to them.

use crate::cli::candidates::unit_names;
use crate::cli::units::enable::EnableArgs;
use crate::unit::enable::PresetMode;
use clap::{Args, ValueEnum};
use clap_complete::engine::ArgValueCandidates;

/// `revert`, and what its kin take, too.
#[derive(Debug, Clone, Args)]
pub struct LinkArgs {
    /// The files.
    #[command(flatten)]
    pub files: EnableArgs,
    /// Do not tell the manager
    #[arg(long)]
    pub no_reload: bool,
}

/// `unmask`, and what others take that make links for a while.
#[derive(Debug, Clone, Args)]
pub struct LastingArgs {
    /// Which links.
    #[command(flatten)]
    pub links: LinkArgs,
    /// Only until the next boot
    #[arg(long)]
    pub runtime: bool,
}

/// `link`, and what others take that make links where there may be some.
#[derive(Debug, Clone, Args)]
pub struct ForceArgs {
    /// Which links, and for how long.
    #[command(flatten)]
    pub lasting: LastingArgs,
    /// Replace links that are in the way
    #[arg(long, short)]
    pub force: bool,
}

/// Whether units are started or stopped, too.
#[derive(Debug, Clone, Copy, Args)]
pub struct NowArgs {
    /// Start or stop them, too
    #[arg(long, conflicts_with = "no_reload")]
    pub now: bool,
    /// Do not wait until the jobs of --now are over
    #[arg(long, requires = "now")]
    pub no_block: bool,
}

/// `enable`, `reenable`, `mask`.
#[derive(Debug, Clone, Args)]
pub struct EnableNowArgs {
    /// Which links, and how they are made.
    #[command(flatten)]
    pub links: ForceArgs,
    /// The units themselves.
    #[command(flatten)]
    pub now: NowArgs,
}

/// `disable`.
#[derive(Debug, Clone, Args)]
pub struct DisableArgs {
    /// Which links.
    #[command(flatten)]
    pub links: LastingArgs,
    /// The units themselves.
    #[command(flatten)]
    pub now: NowArgs,
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
    /// Do not print what is done
    #[arg(long, short)]
    pub quiet: bool,
}

/// `preset`.
#[derive(Debug, Clone, Args)]
pub struct PresetArgs {
    /// Which links, and how they are made.
    #[command(flatten)]
    pub links: ForceArgs,
    /// Which of what preset files say is done
    #[arg(long = "preset-mode", value_enum, default_value = "full", value_name = "MODE")]
    pub mode: PresetModeArg,
}

/// [`PresetMode`] as it is typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum PresetModeArg {
    /// All of it
    Full,
    /// What they enable
    EnableOnly,
    /// What they disable
    DisableOnly,
}

impl From<PresetModeArg> for PresetMode {
    fn from(mode: PresetModeArg) -> Self {
        match mode {
            PresetModeArg::Full => Self::Full,
            PresetModeArg::EnableOnly => Self::EnableOnly,
            PresetModeArg::DisableOnly => Self::DisableOnly,
        }
    }
}

/// `preset-all`.
#[derive(Debug, Clone, Args)]
pub struct PresetAllArgs {
    /// Which of what preset files say is done
    #[arg(long = "preset-mode", value_enum, default_value = "full", value_name = "MODE")]
    pub mode: PresetModeArg,
    /// Only until the next boot
    #[arg(long)]
    pub runtime: bool,
    /// Do not print what is done
    #[arg(long, short)]
    pub quiet: bool,
}

/// `set-default`.
#[derive(Debug, Clone, Args)]
pub struct DefaultTargetArgs {
    /// The name of a target
    #[arg(value_name = "TARGET", add = ArgValueCandidates::new(unit_names))]
    pub target: String,
    /// Do not print what is done
    #[arg(long, short)]
    pub quiet: bool,
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
