//! `sampanctl logs`: journalctl(1) of units.

mod invocation;
mod matches;

use super::args::LogsArgs;
use super::error::FAILURE;
use super::output::{complain, execute};
use crate::unit::name::UnitName;
use matches::{Speakers, Subject};
use std::process::{Command, Stdio};

/// Becomes journalctl.
///
/// # Errors
/// When a word is no name or journalctl cannot be executed.
pub fn run(args: &LogsArgs) -> anyhow::Result<u8> {
    let units = [args.units.as_slice(), &args.also].concat();
    let subjects = matches::subjects(&units)?;
    if subjects.is_empty() && !units.is_empty() {
        if !args.quiet {
            complain("-- No entries --");
        }
        return Ok(FAILURE);
    }
    let mut command = Command::new("journalctl");
    command.args(options(args));
    match wanted(args, &subjects) {
        Some(words) => command.args(words),
        None => {
            complain("No such run of these units is in the journal.");
            return Ok(FAILURE);
        }
    };
    Err(execute(&mut command).into())
}

/// What is asked of the last lines of a unit.
#[derive(Debug, Clone, Copy)]
pub struct Tail<'a> {
    /// How many lines.
    pub lines: u32,
    /// The journal's format.
    pub format: &'a str,
    /// The end of lines; `None`: they are not cut.
    pub width: Option<usize>,
}

/// The last lines of this boot about a unit, for `status`; nothing when there is no journal.
pub fn tail(unit: &UnitName, tail: Tail<'_>) -> String {
    let mut command = Command::new("journalctl");
    command.args(["--quiet", "--no-pager", "--boot"]);
    command.arg(format!("--output={}", tail.format)).arg(format!("--lines={}", tail.lines));
    match tail.width {
        // journalctl writes to a pipe, and knows the terminal by this alone.
        Some(width) => command.env("COLUMNS", width.to_string()).arg("--no-full"),
        None => command.arg("--full"),
    };
    command.args(matches::words(&Subject::all_of(unit), Speakers::All)).stderr(Stdio::null());
    match command.output() {
        Ok(output) if output.status.success() => String::from_utf8_lossy(&output.stdout).into_owned(),
        _ => String::new(),
    }
}

/// The matches; `None` when a run is asked for that is not there.
fn wanted(args: &LogsArgs, subjects: &[Subject]) -> Option<Vec<String>> {
    let run = args.invocation.as_deref().or(args.last_invocation.then_some("0"));
    let speakers = if args.payload { Speakers::Container } else { Speakers::All };
    match run {
        Some(run) => {
            let matches = invocation::chosen(subjects, run)?.matches(speakers);
            // A run that never got as far as a scope said nothing, and no matches would mean all lines.
            (!matches.is_empty()).then(|| matches.join(&"+".to_owned()))
        }
        None if subjects.is_empty() => Some(matches::everything()),
        None => Some(matches::words(subjects, speakers)),
    }
}

fn options(args: &LogsArgs) -> Vec<String> {
    let mut words = Vec::new();
    let valued = [
        ("lines", &args.lines),
        ("output", &args.output),
        ("since", &args.since),
        ("until", &args.until),
        ("priority", &args.priority),
        ("grep", &args.grep),
        ("boot", &args.boot),
    ];
    for (name, value) in valued {
        words.extend(value.as_ref().map(|value| format!("--{name}={value}")));
    }
    let flags = [
        ("follow", args.follow),
        ("reverse", args.reverse),
        ("no-tail", args.no_tail),
        ("catalog", args.catalog),
        ("pager-end", args.pager_end),
        ("utc", args.utc),
        ("full", args.full),
        ("quiet", args.quiet),
        ("no-pager", args.no_pager),
    ];
    words.extend(flags.iter().filter(|(_, set)| *set).map(|(name, _)| format!("--{name}")));
    words
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::args::{Cli, RestVerb, Verb};
    use crate::cli::of::Of;
    use clap::Parser;

    fn journalctl(line: &str) -> String {
        match Cli::parse_from(line.split(' ')).verb {
            Verb::Rest(Of(RestVerb::Logs(args))) => options(&args).join(" "),
            verb => panic!("{verb:?}"),
        }
    }

    #[test]
    fn options_reach_journalctl() {
        assert_eq!(journalctl("sampanctl logs web"), "");
        assert_eq!(
            journalctl("sampanctl logs web db@a.container -n 5 -f -o cat --since -1h -p err -b -g fail"),
            "--lines=5 --output=cat --since=-1h --priority=err --grep=fail --boot=0 --follow"
        );
        assert_eq!(journalctl("sampanctl logs web -n all -x -e"), "--lines=all --catalog --pager-end");
    }
}
