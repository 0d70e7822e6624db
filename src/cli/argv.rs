//! Lets options stand before the verb, as systemctl does: `sampanctl -n 5 status web`, `sampanctl --failed`; and tells
//! options of `run` from those of the command that it runs.

use clap::{Arg, Command};
use std::ffi::{OsStr, OsString};

/// Verbs after which `--user` names a user of the container.
const INSIDE: [&str; 3] = ["exec", "shell", "run"];
/// How many lines are meant where only `--lines` is said, journalctl(1).
const LINES: &str = "--lines=10";

/// Moves options that stand before the verb behind it; without a verb they are those of `list-units`.
///
/// Options of the program itself (`--help`, `--version`, `--user`, `--system`) stay in front, and may stand behind.
pub fn verb_first(command: &Command, words: Vec<OsString>) -> Vec<OsString> {
    let mut rest = words.into_iter();
    let Some(program) = rest.next() else {
        return Vec::new();
    };
    let (mut front, mut options, mut verb) = (vec![program], Vec::new(), None);
    while let Some(word) = rest.next() {
        let Some(text) = word.to_str().filter(|text| text.starts_with('-') && text.len() > 1) else {
            verb = Some(word);
            break;
        };
        match text {
            "-h" | "--help" | "-V" | "--version" => {
                return front.into_iter().chain([word]).chain(rest).collect();
            }
            "--user" | "--system" => front.push(word),
            text => {
                let value_follows = takes_value(command, text);
                options.push(word);
                if value_follows {
                    options.extend(rest.next());
                }
            }
        }
    }
    let verb = verb.unwrap_or_else(|| "list-units".into());
    options.extend(rest);
    if !INSIDE.iter().any(|inside| *inside == verb) {
        let (chosen, others) = options.into_iter().partition(|word| word == "--user" || word == "--system");
        front.extend::<Vec<_>>(chosen);
        options = others;
    }
    if verb == "logs" {
        options = counted(options);
    }
    if verb == "run" {
        options = command_apart(command, options);
    }
    front.into_iter().chain([verb]).chain(options).collect()
}

/// `-n` may stand without a number, before the name of a unit.
fn counted(words: Vec<OsString>) -> Vec<OsString> {
    let mut counted = Vec::with_capacity(words.len());
    let mut words = words.into_iter().peekable();
    while let Some(word) = words.next() {
        let alone = word == "-n" || word == "--lines";
        counted.push(if alone && !words.peek().is_some_and(|next| is_count(next)) {
            LINES.into()
        } else {
            word
        });
    }
    counted
}

fn is_count(word: &OsStr) -> bool {
    let text = word.to_str().unwrap_or_default();
    let digits = text.strip_prefix('+').unwrap_or(text);
    text == "all" || (!digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()))
}

/// What follows the image belongs to the container, whatever it looks like: `sampanctl run hello -h`.
fn command_apart(command: &Command, words: Vec<OsString>) -> Vec<OsString> {
    let Some(run) = command.find_subcommand("run") else { return words };
    let mut rest = words.into_iter();
    let mut front = Vec::new();
    while let Some(word) = rest.next() {
        let option = word.to_str().filter(|text| text.starts_with('-') && text.len() > 1);
        let (is_image, value_follows) = (option.is_none(), option.is_some_and(|text| takes_value(run, text)));
        let ended = word == "--";
        front.push(word);
        if is_image {
            let mut rest = rest.peekable();
            if rest.peek().is_some_and(|next| next != "--") {
                front.push("--".into());
            }
            return front.into_iter().chain(rest).collect();
        }
        if ended {
            break;
        }
        if value_follows {
            front.extend(rest.next());
        }
    }
    front.into_iter().chain(rest).collect()
}

/// Whether the word after these options belongs to the last of them, in any of the verbs.
fn takes_value(command: &Command, options: &str) -> bool {
    let verbs = command.get_subcommands().flat_map(Command::get_arguments);
    let valued: Vec<&Arg> = verbs
        .chain(command.get_arguments())
        .filter(|argument| argument.get_action().takes_values())
        .collect();
    if let Some(long) = options.strip_prefix("--") {
        let is_named = |argument: &&Arg| {
            let aliases = argument.get_all_aliases().unwrap_or_default();
            argument.get_long() == Some(long) || aliases.contains(&long)
        };
        return valued.iter().any(is_named);
    }
    // In `-ivdata:/data` the value is in the word.
    let is_valued = |letter: char| valued.iter().any(|argument| argument.get_short() == Some(letter));
    options.chars().position(is_valued).is_some_and(|first| first + 1 == options.chars().count())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::args::Cli;
    use clap::CommandFactory;

    fn sorted(line: &str) -> String {
        let words = line.split(' ').map(OsString::from).collect();
        let words = verb_first(&Cli::command(), words);
        words.iter().map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn options_may_stand_before_the_verb() {
        assert_eq!(sorted("sampanctl -n 5 status web"), "sampanctl status -n 5 web");
        assert_eq!(sorted("sampanctl --failed"), "sampanctl list-units --failed");
        assert_eq!(sorted("sampanctl --root /x cat web"), "sampanctl cat --root /x web");
        assert_eq!(
            sorted("sampanctl --no-pager --state=failed"),
            "sampanctl list-units --no-pager --state=failed"
        );
        assert_eq!(sorted("sampanctl"), "sampanctl list-units");
        assert_eq!(sorted("sampanctl --version"), "sampanctl --version");
        assert_eq!(sorted("sampanctl exec web -- ls -l"), "sampanctl exec web -- ls -l");
    }

    #[test]
    fn the_manager_is_chosen_anywhere_but_inside() {
        assert_eq!(sorted("sampanctl list-units --user"), "sampanctl --user list-units");
        assert_eq!(sorted("sampanctl --user -a status"), "sampanctl --user status -a");
        assert_eq!(sorted("sampanctl exec --user root web id"), "sampanctl exec --user root web id");
    }

    #[test]
    fn what_follows_the_image_is_the_command() {
        for (line, apart) in [
            ("run hello", "run hello"),
            ("run -h", "run -h"),
            ("run hello -h", "run hello -- -h"),
            ("run hello ls -d", "run hello -- ls -d"),
            ("run hello -- -d", "run hello -- -d"),
            ("run -- hello -d", "run -- hello -d"),
            ("run -d --rm hello -d", "run -d --rm hello -- -d"),
            ("run -v data:/data --net host hello -v", "run -v data:/data --net host hello -- -v"),
            ("run -itv data:/data -p80 hello -p", "run -itv data:/data -p80 hello -- -p"),
            ("run --name=a --workdir /srv hello --help", "run --name=a --workdir /srv hello -- --help"),
            ("-q run hello -q", "run -q hello -- -q"),
        ] {
            assert_eq!(sorted(&format!("sampanctl {line}")), format!("sampanctl {apart}"), "{line}");
        }
    }

    #[test]
    fn lines_may_be_asked_for_without_a_number() {
        assert_eq!(sorted("sampanctl logs -n web"), "sampanctl logs --lines=10 web");
        assert_eq!(sorted("sampanctl logs -n 5 web"), "sampanctl logs -n 5 web");
        assert_eq!(sorted("sampanctl logs web -n"), "sampanctl logs web --lines=10");
    }
}
