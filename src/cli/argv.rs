//! Lets options stand before the verb, as systemctl does: `sampanctl -n 5 status web`, `sampanctl --failed`.

use clap::Command;
use std::ffi::OsString;

/// Moves options that stand before the verb behind it; without a verb they are those of `list-units`.
///
/// Options of the program itself (`--help`, `--version`) stay in front.
pub fn verb_first(command: &Command, words: Vec<OsString>) -> Vec<OsString> {
    let mut rest = words.into_iter();
    let Some(program) = rest.next() else {
        return Vec::new();
    };
    let (mut options, mut verb) = (Vec::new(), None);
    while let Some(word) = rest.next() {
        let Some(text) = word.to_str().filter(|text| text.starts_with('-') && text.len() > 1) else {
            verb = Some(word);
            break;
        };
        if matches!(text, "-h" | "--help" | "-V" | "--version") {
            return [program, word].into_iter().chain(rest).collect();
        }
        let value_follows = takes_value(command, text);
        options.push(word);
        if value_follows {
            options.extend(rest.next());
        }
    }
    let verb = verb.unwrap_or_else(|| "list-units".into());
    [program, verb].into_iter().chain(options).chain(rest).collect()
}

/// Whether the word after this option belongs to it, in any of the verbs.
fn takes_value(command: &Command, option: &str) -> bool {
    let named = |argument: &clap::Arg| match option.strip_prefix("--") {
        Some(long) => argument.get_long() == Some(long),
        None => {
            argument.get_short().is_some_and(|short| option.strip_prefix('-') == Some(&short.to_string()))
        }
    };
    let verbs = command.get_subcommands().flat_map(Command::get_arguments);
    verbs
        .chain(command.get_arguments())
        .filter(|argument| named(argument))
        .any(|argument| argument.get_action().takes_values())
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
}
