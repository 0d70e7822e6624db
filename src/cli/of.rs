//! One verb, with its arguments, which can be declared alone: to declare all verbs takes longer than most verbs take.

use clap::{ArgMatches, Args, Command, CommandFactory, Error, FromArgMatches, Id, Subcommand};
use std::cell::RefCell;
use std::ops::Deref;

thread_local! {
    /// The verb that alone has arguments, while there is one.
    static ALONE: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// The program.
pub const NAME: &str = "sampanctl";

/// The command with this verb and no other; `None` where there is no such verb.
pub fn alone<C: CommandFactory>(verb: &str) -> Option<Command> {
    ALONE.set(Some(verb.to_owned()));
    let whole = C::command();
    ALONE.set(None);
    let verb = whole.find_subcommand(verb)?.clone();
    Some(Command::new(NAME).args(whole.get_arguments()).groups(whole.get_groups()).subcommand(verb))
}

/// Whether a verb is declared alone, and something is about others.
fn is_left_out(is_about: impl FnOnce(&str) -> bool) -> bool {
    ALONE.with_borrow(|alone| alone.as_ref().is_some_and(|verb| !is_about(verb)))
}

/// The arguments of a verb, or a group of verbs.
#[derive(Debug)]
pub struct Of<T>(pub T);

impl<T> Deref for Of<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: FromArgMatches> FromArgMatches for Of<T> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        T::from_arg_matches(matches).map(Self)
    }

    fn from_arg_matches_mut(matches: &mut ArgMatches) -> Result<Self, Error> {
        T::from_arg_matches_mut(matches).map(Self)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        self.0.update_from_arg_matches(matches)
    }
}

impl<T: Args> Args for Of<T> {
    fn group_id() -> Option<Id> {
        T::group_id()
    }

    fn augment_args(command: Command) -> Command {
        match is_left_out(|verb| verb == command.get_name()) {
            true => command,
            false => T::augment_args(command),
        }
    }

    fn augment_args_for_update(command: Command) -> Command {
        T::augment_args_for_update(command)
    }
}

impl<T: Subcommand> Subcommand for Of<T> {
    fn augment_subcommands(command: Command) -> Command {
        match is_left_out(T::has_subcommand) {
            true => command,
            false => T::augment_subcommands(command),
        }
    }

    fn augment_subcommands_for_update(command: Command) -> Command {
        T::augment_subcommands_for_update(command)
    }

    fn has_subcommand(name: &str) -> bool {
        T::has_subcommand(name)
    }
}
