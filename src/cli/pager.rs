//! The pager, chosen and confined as systemctl(1) says: `$SYSTEMD_PAGER`, `$PAGER`, `$SYSTEMD_LESS`,
//! `$SYSTEMD_LESSCHARSET`, `$SYSTEMD_PAGERSECURE`.

use super::text::{Glyphs, boolean};
use rustix::process::geteuid;
use std::ffi::OsString;
use std::io::Write;
use std::process::{Command, Stdio};

/// Leave at once when it fits on a screen, keep colours, cut long lines.
const LESS: &str = "FRSXMK";
/// What is tried where no pager is named.
const KNOWN: [&str; 3] = ["pager", "less", "more"];

/// What the environment wants.
#[derive(Debug, PartialEq, Eq)]
struct Choice {
    /// Command lines, tried in turn.
    commands: Vec<String>,
    /// Whether the pager may neither run programs nor open files.
    secure: Secure,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Secure {
    Yes,
    No,
}

/// Shows text in a pager; false when there is none, or it could not be executed.
pub fn show(text: &str) -> bool {
    let Some(choice) = choose(|name| std::env::var(name).ok(), privileged()) else {
        return false;
    };
    choice.commands.iter().any(|command| run(command, choice.secure, text))
}

/// Whether the environment lets text go through a pager.
pub fn is_wanted() -> bool {
    choose(|name| std::env::var(name).ok(), false).is_some()
}

fn choose(variable: impl Fn(&str) -> Option<String>, privileged: bool) -> Option<Choice> {
    let named = variable("SYSTEMD_PAGER").or_else(|| variable("PAGER"));
    let named = named.as_deref().map(str::trim);
    if matches!(named, Some("" | "cat")) {
        return None;
    }
    let asked = variable("SYSTEMD_PAGERSECURE").and_then(|word| boolean(&word));
    let secure = if asked.unwrap_or(privileged) { Secure::Yes } else { Secure::No };
    // A pager of the caller's choice is not run with more rights than the caller has, unless that is wanted; and of
    // those known only less(1) can be confined.
    let trusted = asked.is_some() || !privileged;
    let known = KNOWN.into_iter().filter(|name| secure == Secure::No || *name == "less");
    let commands = named.filter(|_| trusted).into_iter().chain(known).map(str::to_owned).collect();
    Some(Choice { commands, secure })
}

/// Whether we run with the rights of another user than the one who logged in, as under sudo(8). Who has not logged
/// in at all counts as privileged, too.
fn privileged() -> bool {
    let group = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    owner(&group) != Some(geteuid().as_raw())
}

/// The user whose slice a control group is in: `/user.slice/user-1000.slice/…`.
fn owner(group: &str) -> Option<u32> {
    let slice = group.split('/').find_map(|part| part.strip_prefix("user-")?.strip_suffix(".slice"))?;
    slice.parse().ok()
}

/// Whether the pager took the text.
fn run(pager: &str, secure: Secure, text: &str) -> bool {
    let mut command = Command::new("/bin/sh");
    command.arg("-c").arg(format!("exec {pager}")).stdin(Stdio::piped());
    let of = |name: &str| std::env::var_os(name);
    command.env("LESS", of("SYSTEMD_LESS").unwrap_or_else(|| LESS.into()));
    let charset = || (Glyphs::of_locale() == Glyphs::Unicode).then(|| OsString::from("utf-8"));
    if let Some(charset) = of("SYSTEMD_LESSCHARSET").or_else(charset) {
        command.env("LESSCHARSET", charset);
    }
    match secure {
        Secure::Yes => command.env("LESSSECURE", "1"),
        Secure::No => command.env_remove("LESSSECURE"),
    };
    // A pager that is not there is told by the next one that is.
    if !is_there(pager) {
        return false;
    }
    let Ok(mut child) = command.spawn() else {
        return false;
    };
    if let Some(mut input) = child.stdin.take() {
        // The pager may be left before it has read everything.
        let _ = input.write_all(text.as_bytes());
    }
    // The shell's "not found" and "cannot execute": the text has not been shown.
    child.wait().is_ok_and(|status| !matches!(status.code(), Some(126 | 127)))
}

fn is_there(pager: &str) -> bool {
    let program = pager.split_whitespace().next().unwrap_or_default();
    let path = std::env::var_os("PATH").unwrap_or_default();
    program.contains('/') || std::env::split_paths(&path).any(|directory| directory.join(program).is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(variables: &[(&str, &str)], privileged: bool) -> Option<Choice> {
        let variable = |name: &str| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        };
        choose(variable, privileged)
    }

    fn commands(variables: &[(&str, &str)], privileged: bool) -> String {
        chosen(variables, privileged).map_or("none".to_owned(), |choice| choice.commands.join(", "))
    }

    #[test]
    fn the_environment_names_the_pager() {
        assert_eq!(commands(&[], false), "pager, less, more");
        assert_eq!(commands(&[("PAGER", "most")], false), "most, pager, less, more");
        assert_eq!(
            commands(&[("PAGER", "most"), ("SYSTEMD_PAGER", "less -N")], false),
            "less -N, pager, less, more"
        );
        assert_eq!(commands(&[("PAGER", "most"), ("SYSTEMD_PAGER", "")], false), "none");
        assert_eq!(commands(&[("PAGER", " cat ")], false), "none");
    }

    #[test]
    fn with_the_rights_of_another_user_only_a_confined_pager_runs() {
        let choice = chosen(&[("PAGER", "most")], true).unwrap();
        assert_eq!((choice.commands.join(", ").as_str(), choice.secure), ("less", Secure::Yes));
        assert_eq!(
            commands(&[("PAGER", "most"), ("SYSTEMD_PAGERSECURE", "0")], true),
            "most, pager, less, more"
        );
        assert_eq!(commands(&[("PAGER", "most"), ("SYSTEMD_PAGERSECURE", "1")], false), "most, less");
        assert_eq!(commands(&[("PAGER", "cat")], true), "none");
    }

    #[test]
    fn the_owner_of_a_session_is_told_by_its_control_group() {
        assert_eq!(owner("0::/user.slice/user-1000.slice/session-3.scope\n"), Some(1000));
        assert_eq!(owner("0::/system.slice/cron.service\n"), None);
    }
}
