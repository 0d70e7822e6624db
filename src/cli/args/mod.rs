//! The command line as it is typed. Nothing is done here.

mod files;
mod inside;
mod jobs;
mod list;
mod look;
mod run;
mod verb;

pub use files::{
    AddDependencyArgs, DefaultTargetArgs, DisableArgs, EditArgs, EnableNowArgs, ForceArgs, LastingArgs,
    LinkArgs, NowArgs, PresetAllArgs, PresetArgs, PresetModeArg,
};
pub use inside::{ExecArgs, PlaceArgs, ShellArgs};
pub use jobs::{
    CancelArgs, CleanArgs, Cleaned, IsolateArgs, JobArgs, KillArgs, PlanArgs, RestartArgs, SetPropertyArgs,
    UnitsArgs, Whom,
};
pub use list::{DependencyArgs, ListArgs, ListJobsArgs, ListUnitsArgs};
pub use look::{
    BlameArgs, ChainArgs, LogsArgs, Order, ResetFailedArgs, ShowArgs, StatusArgs, SystemStateArgs, TestArgs,
    TopArgs,
};
pub use run::{LimitArgs, ProcessArgs, Protocol, Published, RunArgs, ViewArgs};
pub use verb::{FileVerb, JobVerb, LookVerb, RestVerb, StateVerb};

use super::images::ImageVerb;
use super::of::{NAME, Of};
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
    /// Verbs that make jobs
    #[command(flatten)]
    Job(Of<JobVerb>),
    /// Verbs that look at units
    #[command(flatten)]
    Look(Of<LookVerb>),
    /// Verbs over unit files
    #[command(flatten)]
    File(Of<FileVerb>),
    /// Verbs over states
    #[command(flatten)]
    State(Of<StateVerb>),
    /// Verbs over images
    #[command(flatten)]
    Image(Of<ImageVerb>),
    /// All others
    #[command(flatten)]
    Rest(Of<RestVerb>),
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
        let Verb::Rest(Of(RestVerb::Exec(args))) = Cli::parse_from(words).verb else { panic!("not exec") };
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
        let Verb::Look(Of(LookVerb::Show(args))) = Cli::parse_from(words).verb else { panic!("not show") };
        assert_eq!(args.names(), ["Id", "After", "Before"]);
    }
}
