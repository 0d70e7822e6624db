//! "Did you mean …?" for units and verbs that nobody knows.

use super::args::Cli;
use super::output::complain;
use super::run::missing;
use super::text::escaped;
use crate::paths::Paths;
use crate::unit::search::Search;
use crate::unit::suggest::nearest;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Command, CommandFactory};

/// Suffixes of units that are never ours, systemd.unit(5).
const NATIVE: [&str; 8] =
    [".service", ".socket", ".timer", ".mount", ".path", ".slice", ".scope", ".automount"];

/// A question to put behind a message about a unit that does not exist; empty where no name is near.
pub fn of_unit(name: &str, paths: &Paths) -> String {
    let known = Search::new(paths).names();
    let stem = |name: &str| name.strip_suffix(".container").unwrap_or(name).to_owned();
    let known: Vec<String> = known.iter().map(|name| stem(name.as_str())).collect();
    let wanted = stem(name);
    // Whoever comes from Quadlet writes the name of the service that it makes.
    let wanted = wanted.strip_suffix(".service").unwrap_or(&wanted);
    match nearest(wanted, known.iter().map(String::as_str)) {
        Some(template) if template.ends_with('@') => {
            format!(" There is a template: write an instance of it, such as \"{template}NAME\".")
        }
        Some(near) => format!(" Did you mean \"{near}\"?"),
        None if NATIVE.iter().any(|suffix| stem(name).ends_with(suffix)) => {
            " Units of systemd are those of systemctl(1).".to_owned()
        }
        None => String::new(),
    }
}

/// Tells that there is no such unit.
pub fn complain_of_unknown(name: &str, paths: &Paths) {
    complain(&format!("Unit {name} could not be found.{}", of_unit(name, paths)));
}

/// What is said of a verb that does not exist, in systemctl's words; `None` for other errors.
pub fn of_verb(error: &clap::Error) -> Option<String> {
    if error.kind() != ErrorKind::InvalidSubcommand {
        return None;
    }
    let Some(ContextValue::String(verb)) = error.get(ContextKind::InvalidSubcommand) else {
        return None;
    };
    let command = Cli::command();
    let verbs = command.get_subcommands().filter(|verb| !verb.is_hide_set()).map(Command::get_name);
    let near = nearest(verb, verbs);
    let verb = escaped(verb);
    Some(match near {
        Some(near) => format!("Unknown command verb '{verb}', did you mean '{near}'?"),
        None => format!("Unknown command verb '{verb}'. See \"sampanctl --help\"."),
    })
}

/// What is said of an option of `run` that other engines have and this one has not; `None` for other errors.
pub fn of_option(error: &clap::Error) -> Option<String> {
    let Some(ContextValue::String(option)) = error.get(ContextKind::InvalidArg) else { return None };
    let advice = missing::advice(option).filter(|_| error.kind() == ErrorKind::UnknownArgument)?;
    Some(format!("There is no {}: {advice}.", escaped(option)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[test]
    fn verbs_near_the_word_are_named() {
        let told = |verb: &str| of_verb(&Cli::try_parse_from(["sampanctl", verb, "web"]).unwrap_err());
        assert_eq!(told("strat").unwrap(), "Unknown command verb 'strat', did you mean 'start'?");
        assert_eq!(
            told("frobnicate").unwrap(),
            "Unknown command verb 'frobnicate'. See \"sampanctl --help\"."
        );
        assert_eq!(of_verb(&Cli::try_parse_from(["sampanctl", "start"]).unwrap_err()), None);
    }

    #[test]
    fn units_near_the_name_are_named() {
        let root = tempfile::tempdir().unwrap();
        let units = root.path().join("etc/sampan/units");
        std::fs::create_dir_all(&units).unwrap();
        std::fs::write(units.join("web.container.toml"), "[container]\n").unwrap();
        let paths = Paths::new(root.path());
        assert_eq!(of_unit("wbe.container", &paths), " Did you mean \"web\"?");
        assert_eq!(of_unit("web.service.container", &paths), " Did you mean \"web\"?");
        assert_eq!(of_unit("mail.container", &paths), "");
        let native = " Units of systemd are those of systemctl(1).";
        for name in ["dbus.service.container", "x.service.container", "backup.timer.container"] {
            assert_eq!(of_unit(name, &paths), native, "{name}");
        }
        std::fs::write(units.join("worker@.container.toml"), "[container]\n").unwrap();
        for name in ["worker.container", "worker@.container"] {
            assert!(of_unit(name, &paths).contains("an instance of it, such as \"worker@NAME\""), "{name}");
        }
    }
}
