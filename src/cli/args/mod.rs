//! The command line as it is typed. Nothing is done here.

mod files;
mod inside;
mod jobs;
mod list;
mod look;
mod run;

pub use files::{
    AddDependencyArgs, DefaultTargetArgs, DisableArgs, EditArgs, EnableNowArgs, ForceArgs, LastingArgs,
    LinkArgs, NowArgs, PresetAllArgs, PresetArgs, PresetModeArg,
};
pub use inside::{ExecArgs, PlaceArgs, ShellArgs};
pub use jobs::{
    CancelArgs, CleanArgs, Cleaned, IsolateArgs, JobArgs, KillArgs, PlanArgs, SetPropertyArgs, UnitsArgs,
    Whom,
};
pub use list::{DependencyArgs, ListArgs, ListJobsArgs, ListUnitsArgs};
pub use look::{
    BlameArgs, ChainArgs, LogsArgs, Order, ResetFailedArgs, ShowArgs, StatusArgs, SystemStateArgs, TestArgs,
    TopArgs,
};
pub use run::{LimitArgs, ProcessArgs, Published, RunArgs, ViewArgs};

use super::images::ImageVerb;
use super::of::{NAME, Of};
use super::units::cat::CatArgs;
use super::units::enable::EnableArgs;
use super::units::list_unit_files::ListUnitFilesArgs;
use super::units::schema::SchemaArgs;
use super::units::verify::VerifyArgs;
use super::volumes::VolumesArgs;
use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;
use std::path::PathBuf;

/// Control containers and their images.
#[derive(Debug, Parser)]
#[command(name = NAME, version, max_term_width = 100, infer_subcommands = false)]
#[command(after_help = "Without a verb, the loaded units are listed. \"web\" means \"web.container\".")]
pub struct Cli {
    /// Work on the unit files and the store below another root directory
    #[arg(long, global = true, value_name = "DIR", default_value = "/", hide_default_value = true)]
    pub root: PathBuf,
    /// Do not ask for passwords, to be allowed more than root alone may do
    #[arg(long, global = true)]
    pub no_ask_password: bool,
    // Of the program alone: after `exec`, `--user` is another option.
    /// Talk to the manager of the user who calls
    #[arg(long, conflicts_with = "system")]
    pub user: bool,
    /// Talk to the manager of the system; it does so anyway
    #[arg(long)]
    pub system: bool,
    /// What every verb takes.
    #[command(flatten)]
    pub everywhere: EverywhereArgs,
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

/// Options that stand before or after any verb, as systemctl(1) has them. A verb with more to say of one declares it
/// itself, under the same name; for all others there is nothing that it would change.
#[derive(Debug, Clone, Copy, Args)]
pub struct EverywhereArgs {
    /// Do not use a pager
    #[arg(long, global = true)]
    pub no_pager: bool,
    /// No heading and no legend
    #[arg(long, global = true)]
    pub no_legend: bool,
    /// Print only errors
    #[arg(long, short, global = true)]
    pub quiet: bool,
    /// Do not cut long lines
    #[arg(long, short = 'l', global = true)]
    pub full: bool,
}

/// Verbs that have notices to leave out, and nothing else to choose.
#[derive(Debug, Clone, Copy, Args)]
pub struct QuietArgs {
    /// No warnings
    #[arg(long, short)]
    pub quiet: bool,
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Start units
    Start(Of<JobArgs>),
    /// Stop units
    Stop(Of<JobArgs>),
    /// Let units read their configuration again
    Reload(Of<JobArgs>),
    /// Start or restart units
    Restart(Of<JobArgs>),
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
    /// Verbs over images
    #[command(flatten)]
    Image(ImageVerb),
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
    Run(Of<RunArgs>),
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
            (args.place.user.as_str(), args.command.clone()),
            ("root", ["ls", "-u", "--", "x"].map(str::to_owned).to_vec())
        );
    }

    #[test]
    fn every_verb_takes_what_systemctl_takes_everywhere() {
        let mut command = Cli::command();
        command.build();
        for verb in command.get_subcommands().filter(|verb| verb.get_name() != "help") {
            for option in ["no-pager", "no-legend", "quiet", "full"] {
                let known = verb.get_arguments().any(|argument| argument.get_long() == Some(option));
                assert!(known, "{} --{option}", verb.get_name());
            }
        }
        for line in
            ["--no-pager start web", "start -q --no-pager -l web", "-q daemon-reload", "is-active -l web"]
        {
            let words = line.split(' ').map(std::ffi::OsString::from);
            let words = std::iter::once("sampanctl".into()).chain(words).collect();
            let words = crate::cli::argv::verb_first(&Cli::command(), words);
            assert!(Cli::try_parse_from(words).is_ok(), "{line}");
        }
    }

    #[test]
    fn properties_may_be_named_one_by_one() {
        let words = ["sampanctl", "show", "-p", "Id", "--property=After,Before", "web"];
        let Verb::Show(args) = Cli::parse_from(words).verb else { panic!("not show") };
        assert_eq!(args.names(), ["Id", "After", "Before"]);
    }
}
