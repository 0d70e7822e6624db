//! The verbs, in the order of the help. They are in groups, so that one can be declared without all others.

use super::{
    AddDependencyArgs, BlameArgs, CancelArgs, ChainArgs, CleanArgs, CompletionsArgs, DefaultTargetArgs,
    DependencyArgs, DisableArgs, EditArgs, EnableNowArgs, ExecArgs, ForceArgs, IsolateArgs, JobArgs,
    KillArgs, LastingArgs, LinkArgs, ListArgs, ListJobsArgs, ListUnitsArgs, LogsArgs, PlanArgs,
    PresetAllArgs, PresetArgs, QuietArgs, ResetFailedArgs, RestartArgs, RunArgs, SetPropertyArgs, ShellArgs,
    ShowArgs, StatusArgs, SystemStateArgs, TestArgs, TopArgs, UnitsArgs,
};
use crate::cli::of::Of;
use crate::cli::units::cat::CatArgs;
use crate::cli::units::enable::EnableArgs;
use crate::cli::units::list_unit_files::ListUnitFilesArgs;
use crate::cli::units::schema::SchemaArgs;
use crate::cli::units::verify::VerifyArgs;
use crate::cli::volumes::VolumesArgs;
use clap::Subcommand;

/// Verbs that make jobs, and what else is done to units.
#[derive(Debug, Subcommand)]
pub enum JobVerb {
    /// Start units
    Start(Of<JobArgs>),
    /// Stop units
    Stop(Of<JobArgs>),
    /// Let units read their configuration again
    Reload(Of<JobArgs>),
    /// Start or restart units
    Restart(Of<RestartArgs>),
    /// Restart units that are active
    #[command(alias = "condrestart")]
    TryRestart(Of<JobArgs>),
    /// Reload units where they can be reloaded, else start or restart them
    #[command(alias = "force-reload")]
    ReloadOrRestart(Of<JobArgs>),
    /// Reload or restart units that are active
    #[command(alias = "reload-or-try-restart")]
    TryReloadOrRestart(Of<JobArgs>),
    /// Start a unit and stop all others
    Isolate(Of<IsolateArgs>),
    /// Send a signal to the processes of units
    Kill(Of<KillArgs>),
    /// Suspend the processes of units
    Freeze(Of<UnitsArgs>),
    /// Let frozen units go on
    Thaw(Of<UnitsArgs>),
    /// Remove what units that are down have left behind
    Clean(Of<CleanArgs>),
    /// Change limits of a unit, also while it runs
    SetProperty(Of<SetPropertyArgs>),
}

/// Verbs that look at units.
#[derive(Debug, Subcommand)]
pub enum LookVerb {
    /// Show what units do, with the last lines of their logs
    Status(Of<StatusArgs>),
    /// Show properties of units or of the manager, or the plan of a launch
    Show(Of<ShowArgs>),
    /// Show the files of units
    Cat(Of<CatArgs>),
    /// List the units in memory
    ListUnits(Of<ListUnitsArgs>),
    /// List the unit files
    ListUnitFiles(Of<ListUnitFilesArgs>),
    /// List sockets and the units behind them
    ListSockets(Of<ListArgs>),
    /// List timers, and when they start their units
    ListTimers(Of<ListArgs>),
    /// List jobs
    ListJobs(Of<ListJobsArgs>),
    /// Take jobs back
    Cancel(Of<CancelArgs>),
    /// Show what units need, as a tree
    ListDependencies(Of<DependencyArgs>),
}

/// Verbs over unit files.
#[derive(Debug, Subcommand)]
pub enum FileVerb {
    /// Start units at boot
    Enable(Of<EnableNowArgs>),
    /// Do not start units at boot
    Disable(Of<DisableArgs>),
    /// Disable units, then enable them
    Reenable(Of<EnableNowArgs>),
    /// Make it impossible to start units
    Mask(Of<EnableNowArgs>),
    /// Undo mask
    Unmask(Of<LastingArgs>),
    /// Edit the files of units, and check them before they are saved
    Edit(Of<EditArgs>),
    /// Make files from elsewhere units
    Link(Of<ForceArgs>),
    /// Enable or disable units as preset files say
    Preset(Of<PresetArgs>),
    /// Enable or disable all units as preset files say
    PresetAll(Of<PresetAllArgs>),
    /// Take back what was laid over the files of packages
    Revert(Of<LinkArgs>),
    /// Make a unit want others
    AddWants(Of<AddDependencyArgs>),
    /// Make a unit require others
    AddRequires(Of<AddDependencyArgs>),
    /// Show what is started at boot
    GetDefault,
    /// Choose the target that is started at boot
    SetDefault(Of<DefaultTargetArgs>),
}

/// Verbs over the state of units and of the manager.
#[derive(Debug, Subcommand)]
pub enum StateVerb {
    /// Check whether units are active
    IsActive(Of<TestArgs>),
    /// Check whether units have failed
    IsFailed(Of<TestArgs>),
    /// Check whether units are enabled
    IsEnabled(Of<EnableArgs>),
    /// Check whether all is well
    IsSystemRunning(Of<SystemStateArgs>),
    /// Read all unit files again
    DaemonReload(Of<QuietArgs>),
    /// Show what reading all unit files again, and starting what is enabled, would do
    Plan(Of<PlanArgs>),
    /// Read all unit files again, and start, stop and restart what has changed
    Apply(Of<PlanArgs>),
    /// Forget that units failed, and their start limits
    ResetFailed(Of<ResetFailedArgs>),
}

/// All other verbs.
#[derive(Debug, Subcommand)]
pub enum RestVerb {
    /// List volumes, or show, remove, export and import them
    Volumes(Of<VolumesArgs>),
    /// Check unit files
    Verify(Of<VerifyArgs>),
    /// Print the JSON schema of unit files
    Schema(Of<SchemaArgs>),
    /// Show the logs of units
    Logs(Of<LogsArgs>),
    /// Run a command in a container
    Exec(Of<ExecArgs>),
    /// Open a shell in a container
    Shell(Of<ShellArgs>),
    /// Run a container that no file describes
    Run(Box<Of<RunArgs>>),
    /// Show what containers use, live
    Top(Of<TopArgs>),
    /// List units by the time that their last start took
    Blame(Of<BlameArgs>),
    /// Show the chain of units that made a start take its time
    CriticalChain(Of<ChainArgs>),
    /// Print the completions of a shell
    #[command(hide = true)]
    Completions(Of<CompletionsArgs>),
}
