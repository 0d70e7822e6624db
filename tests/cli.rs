//! What a person sees of `sampanctl` where no manager runs: usage, exit statuses, and verbs that need none.

use clap::{Arg, Command as Clap, CommandFactory};
use sampan::cli::args::Cli;
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// Runs `sampanctl` on the root directory `root`, with no bus to talk to.
fn sampanctl(root: &Path, arguments: &[&str]) -> Output {
    program(root).arg("--root").arg(root).args(arguments).output().unwrap()
}

/// `sampanctl` on this host, with no bus to talk to.
fn program(root: &Path) -> Command {
    let mut program = Command::new(env!("CARGO_BIN_EXE_sampanctl"));
    program.env("DBUS_SYSTEM_BUS_ADDRESS", format!("unix:path={}", root.join("no-bus").display()));
    program
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn unit(root: &Path, name: &str, content: &str) {
    let directory = root.join("etc/sampan/units");
    fs::create_dir_all(&directory).unwrap();
    fs::write(directory.join(name), content).unwrap();
}

#[test]
fn a_wrong_command_line_names_what_is_wrong() {
    let root = tempfile::tempdir().unwrap();
    for (arguments, expected) in [
        (&["strat", "web"][..], "Unknown command verb 'strat', did you mean 'start'?"),
        (&["frobnicate"], "Unknown command verb 'frobnicate'. See \"sampanctl --help\"."),
        (&["start"], "<UNIT>"),
        (&["start", "--job-mode=isolat", "web"], "'isolate'"),
        (&["kill", "-s", "SIGNOPE", "web"], "not a signal"),
        (&["preset", "--now", "web"], "'--now'"),
        (&["unmask", "--force", "web"], "'--force'"),
        (&["disable", "--force", "web"], "'--force'"),
        (&["revert", "--runtime", "web"], "'--runtime'"),
        (&["show", "--plan"], "<UNIT>"),
        (&["list-units", "--type=service"], "Unknown unit type \"service\""),
        (&["edit", "--stdin", "web", "db"], "--stdin is the text of one unit"),
        (&["exec", "web"], "<COMMAND>"),
        (&["exec", "-e", "NO SUCH VARIABLE", "web", "--", "ls"], "NAME=VALUE"),
    ] {
        let output = sampanctl(root.path(), arguments);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        assert!(text(&output.stderr).contains(expected), "{arguments:?}: {}", text(&output.stderr));
        assert_eq!(text(&output.stdout), "");
    }
}

#[test]
fn a_name_that_is_none_is_refused() {
    let root = tempfile::tempdir().unwrap();
    for verb in ["cat", "enable", "is-enabled", "logs"] {
        let output = program(root.path()).args([verb, "../web"]).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{verb}");
        assert!(text(&output.stderr).contains("not a valid unit name"), "{verb}: {}", text(&output.stderr));
    }
}

#[test]
fn without_a_manager_its_verbs_say_how_to_start_it() {
    let root = tempfile::tempdir().unwrap();
    for arguments in [
        &["list-units"][..],
        &[],
        &["--failed"],
        &["start", "web"],
        &["status", "web"],
        &["is-active", "web"],
        &["show", "-p", "MainPID", "web"],
        &["exec", "web", "--", "true"],
        &["daemon-reload"],
    ] {
        let output = program(root.path()).args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        let complaint = text(&output.stderr);
        assert!(complaint.starts_with("Failed to connect to sampand: "), "{arguments:?}: {complaint}");
        assert!(complaint.ends_with("Is it running? \"systemctl start sampand\".\n"), "{complaint}");
        assert_eq!(complaint.lines().count(), 1);
    }
}

/// A root with one unit, and a bus that tells who connects.
fn silent_bus() -> (tempfile::TempDir, UnixListener) {
    let root = tempfile::tempdir().unwrap();
    let bus = UnixListener::bind(root.path().join("no-bus")).unwrap();
    bus.set_nonblocking(true).unwrap();
    unit(root.path(), "web.container.toml", "[container]\nimage = \"web\"\n");
    (root, bus)
}

#[test]
fn with_another_root_nothing_is_said_or_done_of_what_runs_on_this_host() {
    let (root, bus) = silent_bus();
    for arguments in [
        &["plan"][..],
        &["apply"],
        &["start", "web"],
        &["stop", "web"],
        &["isolate", "web"],
        &["freeze", "web"],
        &["clean", "web"],
        &["kill", "web"],
        &["set-property", "web", "memory_max=1G"],
        &["status", "web"],
        &["status"],
        &["show", "web"],
        &["list-units"],
        &["list-dependencies", "web"],
        &["is-active", "web"],
        &["is-system-running"],
        &["daemon-reload"],
        &["reset-failed"],
        &["run", "web"],
        &["exec", "web", "true"],
        &["logs", "web"],
        &["top", "-1"],
        &["blame"],
    ] {
        let output = sampanctl(root.path(), arguments);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        assert!(
            text(&output.stderr).contains("work with --root="),
            "{arguments:?}: {}",
            text(&output.stderr)
        );
        assert_eq!(text(&output.stdout), "");
        assert!(bus.accept().is_err(), "{arguments:?} connected");
    }
}

#[test]
fn verbs_over_files_never_open_the_bus() {
    let (root, bus) = silent_bus();
    for arguments in [
        &["--help"][..],
        &["list-unit-files"],
        &["cat", "web"],
        &["is-enabled", "web"],
        &["verify"],
        &["schema"],
        &["images"],
        &["completions", "bash"],
    ] {
        let output = sampanctl(root.path(), arguments);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", text(&output.stderr));
        assert!(bus.accept().is_err(), "{arguments:?} connected");
    }
}

#[test]
fn units_are_enabled_without_a_manager() {
    let root = tempfile::tempdir().unwrap();
    unit(
        root.path(),
        "web.container.toml",
        "[container]\nimage = \"web\"\n\n[install]\nwanted_by = [\"default.target\"]\n",
    );
    let state = || {
        let output = sampanctl(root.path(), &["is-enabled", "web"]);
        (text(&output.stdout), output.status.code())
    };
    assert_eq!(state(), ("disabled\n".to_owned(), Some(1)));
    let enabled = sampanctl(root.path(), &["enable", "web"]);
    assert_eq!(enabled.status.code(), Some(0), "{}", text(&enabled.stderr));
    assert_eq!(state(), ("enabled\n".to_owned(), Some(0)));
    let now = sampanctl(root.path(), &["disable", "--now", "web"]);
    assert_eq!(now.status.code(), Some(1), "--now needs the manager of that host");
    assert!(text(&now.stderr).contains("--root="), "{}", text(&now.stderr));
    assert_eq!(state(), ("enabled\n".to_owned(), Some(0)), "nothing is done of what cannot be done whole");
    assert!(sampanctl(root.path(), &["disable", "web"]).status.success());
    assert_eq!(state(), ("disabled\n".to_owned(), Some(1)));
    let unknown = sampanctl(root.path(), &["is-enabled", "nope"]);
    assert_eq!(unknown.status.code(), Some(4));
}

/// `sampanctl top -b | head -1`
#[test]
fn a_table_that_nobody_reads_any_more_is_the_last() {
    let root = tempfile::tempdir().unwrap();
    for format in ["text", "json"] {
        let mut command = program(root.path());
        command.args(["top", "--batch", "--delay=10ms", "--output", format]).stdout(Stdio::piped());
        let mut top = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(top.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert!(!line.is_empty());
        assert!(top.wait().unwrap().success());
    }
}

#[test]
fn what_systemctl_takes_everywhere_stands_before_and_behind_every_verb() {
    let root = tempfile::tempdir().unwrap();
    unit(root.path(), "web.container.toml", "[container]\nimage = \"web\"\n");
    for (arguments, expected) in [
        (&["--no-pager", "--no-legend", "-q", "-l", "get-default"][..], "default.target\n"),
        (&["is-enabled", "--no-pager", "--no-legend", "--full", "web"], "static\n"),
        (&["add-wants", "-q", "default.target", "web"], ""),
        (&["-q", "preset-all"], ""),
    ] {
        let output = sampanctl(root.path(), arguments);
        assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
        assert_eq!(
            (text(&output.stdout).as_str(), text(&output.stderr).as_str()),
            (expected, ""),
            "{arguments:?}"
        );
    }
}

#[test]
fn lists_are_json_when_asked_for() {
    let root = tempfile::tempdir().unwrap();
    unit(root.path(), "web.container.toml", "[container]\nimage = \"web\"\n");
    let output = sampanctl(root.path(), &["list-unit-files", "--output=json"]);
    assert_eq!(text(&output.stdout), "[{\"unit_file\":\"web.container\",\"state\":\"static\"}]\n");
}

#[test]
fn the_words_of_states_are_listed_on_request() {
    let root = tempfile::tempdir().unwrap();
    for (verb, word) in
        [("list-units", "auto-restart"), ("status", "auto-restart"), ("list-unit-files", "static")]
    {
        let output = sampanctl(root.path(), &[verb, "--state=help"]);
        assert!(output.status.success(), "{verb}");
        assert!(text(&output.stdout).lines().any(|line| line == word), "{verb}: {}", text(&output.stdout));
    }
}

#[test]
fn shells_learn_the_names_of_verbs() {
    let answer = Command::new(env!("CARGO_BIN_EXE_sampanctl"))
        .env("SAMPANCTL_COMPLETE", "bash")
        .env("_CLAP_COMPLETE_INDEX", "1")
        .env("_CLAP_IFS", "\n")
        .args(["--", "sampanctl", "list-"])
        .output()
        .unwrap();
    let answer = text(&answer.stdout);
    assert!(answer.lines().any(|line| line == "list-sockets"), "{answer}");
}

#[test]
fn the_manual_has_every_verb_and_option() {
    let manual = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("man/sampanctl.1")).unwrap();
    let lines: Vec<&str> = manual.lines().collect();
    let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let verb_known = |verb: &Clap| {
        let item = [".It", "Cm", verb.get_name()];
        lines.iter().any(|line| words(line).starts_with(&item.map(str::to_owned)))
    };
    let option_known = |option: &Arg| {
        let Some(long) = option.get_long().map(|long| format!("-{long}")) else { return true };
        let follows = |line: &&str| words(line).windows(2).any(|pair| pair[0] == "Fl" && pair[1] == long);
        lines.iter().filter(|line| line.starts_with(".It Fl") || line.starts_with(".Fl")).any(follows)
    };
    let mut command = Cli::command();
    command.build();
    let verbs = command.get_subcommands().filter(|verb| !verb.is_hide_set() && verb.get_name() != "help");
    for verb in verbs {
        assert!(verb_known(verb), "man/sampanctl.1 has no \".It Cm {}\"", verb.get_name());
        for option in verb.get_arguments() {
            assert!(option_known(option), "man/sampanctl.1 has no --{:?}", option.get_long());
        }
    }
}
