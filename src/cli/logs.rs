//! `sampanctl logs`: journalctl(1) of the scopes of units.

use super::args::LogsArgs;
use super::output::execute;
use super::pattern::is_pattern;
use crate::unit::name::{NameError, UnitName};
use std::process::Command;

/// Becomes journalctl.
///
/// # Errors
/// When a word is no name or journalctl cannot be executed.
pub fn run(args: &LogsArgs) -> anyhow::Result<u8> {
    let mut command = Command::new("journalctl");
    command.args(arguments(args)?);
    Err(execute(&mut command).into())
}

/// The last lines of one unit, for `status`; nothing when there is no journal.
pub fn last_lines(scope: &str, count: u32, width: Option<usize>) -> String {
    let mut command = Command::new("journalctl");
    command.args(["--quiet", "--no-pager", "--output=short", "--boot", "--unit", scope, "--lines"]);
    command.arg(count.to_string());
    if width.is_none() {
        command.arg("--full");
    }
    match command.output() {
        Ok(output) if output.status.success() => String::from_utf8_lossy(&output.stdout).into_owned(),
        _ => String::new(),
    }
}

fn arguments(args: &LogsArgs) -> Result<Vec<String>, NameError> {
    let mut words = Vec::new();
    for unit in &args.units {
        words.push("--unit".to_owned());
        words.push(scope(unit)?);
    }
    let valued = [
        ("lines", &args.lines),
        ("output", &args.output),
        ("since", &args.since),
        ("until", &args.until),
        ("priority", &args.priority),
        ("boot", &args.boot),
    ];
    for (name, value) in valued {
        words.extend(value.as_ref().map(|value| format!("--{name}={value}")));
    }
    for (name, set) in [("follow", args.follow), ("reverse", args.reverse), ("no-pager", args.no_pager)] {
        words.extend(set.then(|| format!("--{name}")));
    }
    Ok(words)
}

/// journalctl matches patterns itself.
fn scope(word: &str) -> Result<String, NameError> {
    if is_pattern(word) {
        let stem = word.strip_suffix(".container").unwrap_or(word);
        // As UnitName::scope() has it.
        return Ok(format!("sampan-{}.scope", stem.replace('@', ":")));
    }
    Ok(UnitName::from_command_line(word)?.scope())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::args::{Cli, Verb};
    use clap::Parser;

    fn journalctl(line: &str) -> String {
        match Cli::parse_from(line.split(' ')).verb {
            Verb::Logs(args) => arguments(&args).unwrap().join(" "),
            verb => panic!("{verb:?}"),
        }
    }

    #[test]
    fn options_reach_journalctl() {
        assert_eq!(journalctl("sampanctl logs web"), "--unit sampan-web.scope");
        assert_eq!(
            journalctl("sampanctl logs web db@a.container -n 5 -f -o cat --since -1h -p err -b"),
            "--unit sampan-web.scope --unit sampan-db:a.scope --lines=5 --output=cat --since=-1h --priority=err \
             --boot=0 --follow"
        );
        assert_eq!(journalctl("sampanctl logs web*"), "--unit sampan-web*.scope");
    }
}
