//! Commands before and after the payload, as meant.

use crate::unit::model::{Commands, ExecCommand, Init, OnFailure, Pass, Place, ServiceType, Stage};
use crate::unit::report::Report;
use crate::unit::schema::{CommandEntry, CommandLines, CommandList, ContainerFile, ContainerTable};
use crate::unit::value::Text;

pub fn lower(table: &ContainerTable, report: &mut Report<'_>) -> Commands {
    let mut read = |stage, written: &CommandList| list(stage, written, report);
    let commands = Commands {
        condition: read(Stage::Condition, &table.exec_condition),
        start_pre: read(Stage::StartPre, &table.exec_start_pre),
        start_post: read(Stage::StartPost, &table.exec_start_post),
        stop: read(Stage::Stop, &table.exec_stop),
        stop_post: read(Stage::StopPost, &table.exec_stop_post),
    };
    let inside = |command: &ExecCommand| command.place == Place::Container;
    if table.kind == Some(ServiceType::Oneshot)
        && let Some(index) = commands.start_post.iter().position(inside)
    {
        let message = "the container of a unit of type \"oneshot\" has ended when its start is done";
        let help = "use \"exec_stop_post\", which runs in a container of its own, or host = true";
        report.item_error(&["container", Stage::StartPost.key()], index, message, help);
    }
    commands
}

/// The words of the payload, and of those that follow it in a oneshot.
pub fn payload(file: &ContainerFile, report: &mut Report<'_>) -> (Option<Vec<String>>, Vec<Vec<String>>) {
    const WAY: [&str; 2] = ["container", "command"];
    let table = &file.container;
    let Some(CommandLines(lines)) = &table.command else { return (None, Vec::new()) };
    let (first, then) = lines.split_first().map_or((None, &[][..]), |(first, then)| (Some(first), then));
    if then.is_empty() {
        return (first.cloned(), Vec::new());
    }
    if table.kind != Some(ServiceType::Oneshot) {
        let help = "write type = \"oneshot\", or one command that starts the others";
        report.item_error(&WAY, 1, "only a unit of type \"oneshot\" has several commands", help);
    }
    if let Some(empty) = lines.iter().position(|line| line.first().is_none_or(String::is_empty)) {
        report.item_error(&WAY, empty, "there is no program to execute", "");
    }
    if matches!(table.init, Some(Text(Init::System | Init::Payload))) {
        let message = "several commands are run by an init of Sampan's own";
        report.error(&["container", "init"], message, "leave it out");
    }
    let swapped = file.socket.iter().filter(|(_, socket)| matches!(socket.pass, Some(Text(Pass::Swap))));
    for (name, _) in swapped {
        let message = "pass = \"swap\" is for a unit with one command";
        report.error(&["socket", name, "pass"], message, "use \"fd\", or one command");
    }
    (first.cloned(), then.to_vec())
}

fn list(stage: Stage, written: &CommandList, report: &mut Report<'_>) -> Vec<ExecCommand> {
    let mut commands = Vec::new();
    for (index, entry) in written.0.iter().enumerate() {
        match command(entry) {
            Ok(command) => commands.push(command),
            Err((message, help)) => {
                report.item_error(&["container", stage.key()], index, message, help);
            }
        }
    }
    commands
}

/// Why words are no command: what is to be said and done.
pub fn no_program(words: &[String]) -> Option<(String, &'static str)> {
    match words.first().map(String::as_str).unwrap_or_default() {
        "" => Some(("there is no program to execute".to_owned(), "begin with its name or path")),
        program if program.contains(char::is_whitespace) => {
            Some((format!("\"{program}\" is not the name of a program"), LINES))
        }
        _ => None,
    }
}

const LINES: &str =
    "each word is a string of its own; for a line of the shell write [\"sh\", \"-c\", \"...\"]";

fn command(entry: &CommandEntry) -> Result<ExecCommand, (String, &'static str)> {
    let mut words = entry.command.clone();
    let mut failure = OnFailure::Counts;
    if let Some(first) = words.first_mut()
        && let Some(program) = first.strip_prefix('-')
    {
        (*first, failure) = (program.to_owned(), OnFailure::Ignored);
    }
    let program = words.first().map(String::as_str).unwrap_or_default();
    if let Some(prefix) = program.chars().next().filter(|first| "@:+!|".contains(*first)) {
        let help = match prefix {
            '+' => "what runs on the host is { command = [...], host = true }",
            _ => "\"-\" alone, for a failure that is no matter, can be before a program",
        };
        return Err((format!("\"{program}\" begins with \"{prefix}\""), help));
    }
    if let Some(fault) = no_program(&words) {
        return Err(fault);
    }
    if entry.host && !program.starts_with('/') {
        let message = format!("\"{program}\" runs on the host and is no absolute path");
        return Err((message, "write the whole path, such as \"/usr/bin/mkdir\""));
    }
    let place = if entry.host { Place::Host } else { Place::Container };
    Ok(ExecCommand { words, place, user: entry.user.clone(), failure })
}
