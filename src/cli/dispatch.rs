//! From the words of the command line to the verb, and from its result to the exit status.

use super::args::{Cli, FileVerb, JobVerb, LookVerb, RestVerb, StateVerb, Verb};
use super::argv::verb_first;
use super::client::{self, Asking, Bus, Choice, Scope};
use super::error::{CliError, FAILURE};
use super::freeze::Motion;
use super::is_active::Question;
use super::lifecycle::Operation;
use super::of::{Of, alone};
use super::output::complain;
use super::plan::{self, Purpose};
use super::suggestion;
use super::units::enable::Change;
use super::{
    blame, clean, completions, critical_chain, daemon, exec, freeze, images, is_active, kill, lifecycle,
    list_dependencies, list_jobs, list_sockets, list_timers, list_units, logs, run as run_verb, set_property,
    show, status, system_state, top, unit_files, units, volumes,
};
use crate::paths::Paths;
use crate::unit::search::LinkKind;
use clap::{Command, CommandFactory, FromArgMatches, Subcommand as _};
use std::ffi::OsString;
use std::process::ExitCode;

/// Runs `sampanctl` with the words of its command line, the first of which is its own name.
pub fn main(words: Vec<OsString>) -> ExitCode {
    if let Some(status) = completions::answer(&words) {
        return ExitCode::from(status);
    }
    let cli = match parsed(&words) {
        Ok(cli) => cli,
        Err(error) => return usage(&error, &words),
    };
    let mut paths = Paths::new(&cli.root);
    client::choose(Choice {
        bus: if cli.user { Bus::User } else { Bus::System },
        asking: if cli.no_ask_password { Asking::Never } else { Asking::Allowed },
        scope: if paths.are_of_this_host() { Scope::ThisHost } else { Scope::OtherRoot },
    });
    if cli.user {
        paths = paths.of_user(|name| std::env::var(name).ok());
    }
    match run(cli.verb, &paths) {
        Ok(status) => ExitCode::from(status),
        Err(error) => {
            complain(&told(&error));
            ExitCode::from(error.downcast_ref().map_or(FAILURE, CliError::status))
        }
    }
}

/// All verbs are declared only where the line may be wrong, or have its options before the verb.
fn parsed(words: &[OsString]) -> Result<Cli, clap::Error> {
    let first = words.get(1).and_then(|word| word.to_str()).filter(|word| Verb::has_subcommand(word));
    if let Some(cli) = first.and_then(alone::<Cli>).and_then(|command| matched(command, words).ok()) {
        return Ok(cli);
    }
    matched(Cli::command(), words)
}

fn matched(command: Command, words: &[OsString]) -> Result<Cli, clap::Error> {
    let words = verb_first(&command, words.to_vec());
    Cli::from_arg_matches(&command.try_get_matches_from(words)?)
}

/// An error with its causes, but none that it tells itself at its end.
fn told(error: &anyhow::Error) -> String {
    error.chain().map(ToString::to_string).fold(String::new(), |told, cause| match told.as_str() {
        "" => cause,
        _ if told.ends_with(&cause) => told,
        _ => format!("{told}: {cause}"),
    })
}

/// Prints help, the version, or what is wrong with the command line; the latter is status 1, as systemctl's.
fn usage(error: &clap::Error, words: &[OsString]) -> ExitCode {
    let words = verb_first(&Cli::command(), words.to_vec());
    let verb = words.iter().skip(1).find_map(|word| word.to_str().filter(|word| !word.starts_with('-')));
    if verb == Some("run")
        && let Some(told) = suggestion::of_option(error)
    {
        complain(&told);
        return ExitCode::from(FAILURE);
    }
    if let Some(told) = suggestion::of_verb(error) {
        complain(&told);
        return ExitCode::from(FAILURE);
    }
    // When neither output can be written there is nobody to tell.
    let _ = error.print();
    if error.use_stderr() { ExitCode::from(FAILURE) } else { ExitCode::SUCCESS }
}

fn run(verb: Verb, paths: &Paths) -> anyhow::Result<u8> {
    match verb {
        Verb::Job(Of(verb)) => act(verb, paths),
        Verb::Look(Of(verb)) => look(verb, paths),
        Verb::File(Of(verb)) => change_files(verb, paths),
        Verb::State(Of(verb)) => tell_state(verb, paths),
        Verb::Image(Of(verb)) => images::run(verb, paths),
        Verb::Rest(Of(verb)) => do_other(verb, paths),
    }
}

fn act(verb: JobVerb, paths: &Paths) -> anyhow::Result<u8> {
    match verb {
        JobVerb::Start(args) => lifecycle::run(Operation::Start, &args, paths),
        JobVerb::Stop(args) => lifecycle::run(Operation::Stop, &args, paths),
        JobVerb::Reload(args) => lifecycle::run(Operation::Reload, &args, paths),
        JobVerb::Restart(args) if args.overlap => {
            lifecycle::run(Operation::RestartOverlapping, &args.job, paths)
        }
        JobVerb::Restart(args) => lifecycle::run(Operation::Restart, &args.job, paths),
        JobVerb::TryRestart(args) => lifecycle::run(Operation::TryRestart, &args, paths),
        JobVerb::ReloadOrRestart(args) => lifecycle::run(Operation::ReloadOrRestart, &args, paths),
        JobVerb::TryReloadOrRestart(args) => lifecycle::run(Operation::TryReloadOrRestart, &args, paths),
        JobVerb::Isolate(args) => lifecycle::isolate(&args, paths),
        JobVerb::Freeze(args) => freeze::run(Motion::Freeze, &args),
        JobVerb::Clean(args) => clean::run(&args),
        JobVerb::SetProperty(args) => set_property::run(&args),
        JobVerb::Thaw(args) => freeze::run(Motion::Thaw, &args),
        JobVerb::Kill(args) => kill::run(&args),
    }
}

fn look(verb: LookVerb, paths: &Paths) -> anyhow::Result<u8> {
    match verb {
        LookVerb::Status(args) => status::run(&args, paths),
        LookVerb::Show(args) => show::run(&args),
        LookVerb::Cat(args) => units::cat::run(&args, paths),
        LookVerb::ListUnits(args) => list_units::run(&args),
        LookVerb::ListUnitFiles(args) => units::list_unit_files::run(&args, paths),
        LookVerb::ListSockets(args) => list_sockets::run(&args),
        LookVerb::ListTimers(args) => list_timers::run(&args),
        LookVerb::ListJobs(args) => list_jobs::run(&args),
        LookVerb::Cancel(args) => list_jobs::cancel(&args),
        LookVerb::ListDependencies(args) => list_dependencies::run(&args, paths),
    }
}

fn change_files(verb: FileVerb, paths: &Paths) -> anyhow::Result<u8> {
    match verb {
        FileVerb::Enable(args) => unit_files::run(Change::Enable, &args.0, paths),
        FileVerb::Disable(args) => unit_files::run(Change::Disable, &args.0, paths),
        FileVerb::Reenable(args) => unit_files::run(Change::Reenable, &args.0, paths),
        FileVerb::Mask(args) => unit_files::run(Change::Mask, &args.0, paths),
        FileVerb::Unmask(args) => unit_files::run(Change::Unmask, &args.0, paths),
        FileVerb::Edit(args) => units::edit::run(&args, paths),
        FileVerb::Link(args) => unit_files::run(Change::Link, &args.0, paths),
        FileVerb::Preset(args) => unit_files::run(Change::Preset(args.0.mode.into()), &args.0, paths),
        FileVerb::PresetAll(args) => unit_files::preset_all(&args, paths),
        FileVerb::Revert(args) => unit_files::run(Change::Revert, &args.0, paths),
        FileVerb::AddWants(args) => unit_files::add_dependency(LinkKind::Wants, &args, paths),
        FileVerb::AddRequires(args) => unit_files::add_dependency(LinkKind::Requires, &args, paths),
        FileVerb::GetDefault => unit_files::get_default(paths),
        FileVerb::SetDefault(args) => unit_files::set_default(&args, paths),
    }
}

fn tell_state(verb: StateVerb, paths: &Paths) -> anyhow::Result<u8> {
    match verb {
        StateVerb::IsActive(args) => is_active::run(Question::Active, &args),
        StateVerb::IsFailed(args) => is_active::run(Question::Failed, &args),
        StateVerb::IsEnabled(args) => units::enable::is_enabled(&args, paths),
        StateVerb::IsSystemRunning(args) => system_state::run(&args),
        StateVerb::DaemonReload(args) => daemon::reload(&args),
        StateVerb::Plan(args) => plan::run(Purpose::Show, &args, paths),
        StateVerb::Apply(args) => plan::run(Purpose::Apply, &args, paths),
        StateVerb::ResetFailed(args) => daemon::reset_failed(&args),
    }
}

fn do_other(verb: RestVerb, paths: &Paths) -> anyhow::Result<u8> {
    // Verbs over what runs that do not need the manager for it: it refuses all others.
    if matches!(verb, RestVerb::Top(_) | RestVerb::Logs(_)) {
        client::expect_this_host()?;
    }
    match verb {
        RestVerb::Top(args) => top::run(&args, paths),
        RestVerb::Blame(args) => blame::run(&args),
        RestVerb::CriticalChain(args) => critical_chain::run(&args, paths),
        RestVerb::Volumes(args) => volumes::run(args.0, paths),
        RestVerb::Verify(args) => units::verify::run(&args, paths),
        RestVerb::Schema(args) => units::schema::run(&args, paths),
        RestVerb::Logs(args) => logs::run(&args),
        RestVerb::Exec(args) => exec::run(&args, paths),
        RestVerb::Shell(args) => exec::shell(&args, paths),
        RestVerb::Run(args) => run_verb::run(&args),
        RestVerb::Completions(args) => completions::run(&args),
    }
}
