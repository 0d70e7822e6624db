//! What a person sees of units on a private host: the states of all kinds of them, logs, times, terminals and pipes.

mod support;

use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;
use support::host::Host;
use support::image::{Layer, write_layout};
use support::units::{shell, socket};

#[test]
fn the_system_is_starting_until_what_is_enabled_has_started() {
    let host = Host::with_images(&["hello"]);
    let waits = shell("until test -e /tmp/go; do sleep 0.05; done") + "type = \"oneshot\"\n";
    host.unit("first.container", &(waits + "[install]\nwanted_by = [\"default.target\"]\n"));
    host.succeed(&["sampanctl", "enable", "first"]);
    assert_eq!(host.succeed(&["sampanctl", "is-system-running"]), "running\n");
    host.succeed(&["sampanctl", "stop", "default.target"]);
    host.succeed(&["sampanctl", "start", "--no-block", "default.target"]);
    host.wait_property("first", "SubState", "start");
    assert_eq!(host.answer(1, &["sampanctl", "is-system-running"]), "starting\n");
    assert!(host.succeed(&["sampanctl", "status"]).contains("State: starting"));
    let wait =
        host.command(&["sampanctl", "is-system-running", "--wait"]).stdout(Stdio::piped()).spawn().unwrap();
    // The container ends with what this brings about, and this with it if it comes before it has told its status.
    host.run(&["sampanctl", "exec", "first", "touch", "/tmp/go"]);
    let waited = wait.wait_with_output().unwrap();
    assert!(waited.status.success());
    assert_eq!(String::from_utf8_lossy(&waited.stdout), "running\n");
}

#[test]
fn every_state_has_its_words_and_exit_status() {
    let host = Host::with_images(&["hello"]);
    host.unit("web.container", &shell("exec sleep 1000"));
    host.unit("slow.container", &(shell("exec sleep 1000") + "type = \"notify\"\n"));
    host.unit("door.container", &(shell("exec sleep 1000") + &socket("127.0.0.1:8080", "\"fd\"")));
    host.write("/usr/lib/sampan/units/gone.container.toml", &shell("exec sleep 1000"));
    host.unit("bad.container", "[container]\nimage = \"x\"\nrestrat = \"always\"\n");
    host.succeed(&["sampanctl", "start", "web", "door"]);
    host.succeed(&["sampanctl", "start", "--no-block", "slow"]);
    host.wait_property("slow", "SubState", "start");
    host.succeed(&["sampanctl", "mask", "gone"]);

    let slow = host.succeed(&["sampanctl", "status", "slow"]);
    assert!(
        slow.contains("● slow.container") && slow.contains("Active: activating (start) since "),
        "{slow}"
    );
    assert!(slow.contains("        Job: ") && slow.contains("(start)"), "{slow}");
    let door = host.succeed(&["sampanctl", "status", "door"]);
    assert!(
        door.contains("Active: active (listening) since ")
            && door.contains("     Listen: main: 127.0.0.1:8080 (fd)\n"),
        "{door}"
    );
    assert!(!door.contains("Main PID"), "{door}");
    let rows = host.succeed(&["sampanctl", "list-sockets", "--no-legend"]);
    assert!(rows.starts_with("127.0.0.1:8080 main door.container fd listening 0"), "{rows}");
    let gone = host.answer(3, &["sampanctl", "status", "gone"]);
    assert!(gone.contains("Loaded: masked (Reason: Unit gone.container is masked.)\n"), "{gone}");
    assert!(host.fail(1, &["sampanctl", "start", "gone"]).contains("Unit gone.container is masked."));
    let bad = host.answer(3, &["sampanctl", "status", "bad"]);
    assert!(bad.contains("Loaded: bad (Reason: ") && bad.contains("did you mean \"restart\""), "{bad}");

    for (verb, unit, answer, status) in [
        ("is-active", "web", "active", 0),
        ("is-active", "door", "active", 0),
        ("is-active", "slow", "activating", 3),
        ("is-active", "nope", "inactive", 4),
        ("is-failed", "web", "active", 1),
        ("is-enabled", "gone", "masked", 1),
        ("is-enabled", "web", "static", 0),
        ("is-enabled", "bad", "bad", 1),
    ] {
        assert_eq!(host.answer(status, &["sampanctl", verb, unit]), format!("{answer}\n"), "{verb} {unit}");
        assert_eq!(host.answer(status, &["sampanctl", verb, "--quiet", unit]), "");
    }
    // One that is active is enough, as for systemctl.
    assert_eq!(host.succeed(&["sampanctl", "is-active", "nope", "web"]), "inactive\nactive\n");

    let listed = |words: &[&str]| {
        let text = host.succeed(&[&["sampanctl", "list-units", "--plain", "--no-legend"], words].concat());
        text.lines()
            .filter_map(|line| line.split(' ').next().map(str::to_owned))
            .collect::<Vec<_>>()
            .join(" ")
    };
    assert_eq!(listed(&["--state=listening"]), "door.container");
    assert_eq!(listed(&["--state=bad,masked"]), "bad.container gone.container");
    assert_eq!(listed(&["--all", "[bg]*"]), "bad.container gone.container");
    assert_eq!(listed(&["--all", "--type=target", "default*"]), "default.target");
    assert_eq!(listed(&["--state=activating", "web"]), "");
    assert!(host.succeed(&["sampanctl", "list-units"]).contains(" JOB   DESCRIPTION"));
}

#[test]
fn logs_take_the_options_of_journalctl() {
    let host = Host::with_images(&["hello"]);
    host.unit("web.container", &shell("echo one; echo '<3>two'; echo three; exec sleep 1000"));
    host.succeed(&["sampanctl", "start", "web"]);
    host.wait_log("web", "three");
    host.succeed(&["journalctl", "--sync"]);
    let logs = |words: &[&str]| host.succeed(&[&["sampanctl", "logs", "--payload", "web"], words].concat());
    assert_eq!(logs(&["-o", "cat", "-p", "err"]), "two\n");
    assert_eq!(host.succeed(&["sampanctl", "logs", "-u", "web", "-o", "cat", "-p", "err"]), "two\n");
    assert_eq!(logs(&["-o", "cat", "-n", "1"]), "three\n");
    assert_eq!(logs(&["-o", "cat", "-r", "-n", "2"]), "three\ntwo\n");
    assert_eq!(logs(&["-o", "cat", "--since", "-1h", "-g", "^one"]), "one\n");
    assert_eq!(logs(&["-o", "cat", "-q", "--since", "tomorrow"]), "");
    let line: Value = serde_json::from_str(&logs(&["-o", "json", "-n", "1"])).unwrap();
    assert_eq!((&line["MESSAGE"], &line["_SYSTEMD_UNIT"]), (&json!("three"), &json!("sampan-web.scope")));

    // Ctrl-C ends what follows.
    let line = "echo $$; exec sampanctl logs -f -n 1 -o cat --payload web";
    let mut follow = host.command(&["sh", "-c", line]).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(follow.stdout.take().unwrap()).lines().map(Result::unwrap);
    let pid = lines.next().unwrap();
    assert_eq!(lines.next().as_deref(), Some("three"));
    host.succeed(&["kill", "-INT", &pid]);
    assert_eq!(lines.next(), None);
    follow.wait().unwrap();
}

#[test]
fn times_of_starts_are_real() {
    let host = Host::with_images(&["hello"]);
    host.unit("db.container", &(shell("sleep 0.3") + "type = \"oneshot\"\nremain_after_exit = true\n"));
    let web = shell("exec sleep 1000");
    host.unit(
        "web.container",
        &format!("[unit]\nrequires = [\"db.container\"]\nafter = [\"db.container\"]\n{web}"),
    );
    host.succeed(&["sampanctl", "start", "web"]);
    let json = |verb: &str| -> Value {
        serde_json::from_str(&host.succeed(&["sampanctl", verb, "-o", "json", "web"])).unwrap()
    };
    let table = host.succeed(&["sampanctl", "blame", "web", "db"]);
    let first = table.lines().next().unwrap().split_whitespace().nth(1);
    assert_eq!(first, Some("db.container"), "the longest comes first: {table}");
    let chain = json("critical-chain");
    let units: Vec<&str> =
        chain[0].as_array().unwrap().iter().map(|link| link["unit"].as_str().unwrap()).collect();
    assert_eq!(units, ["web.container", "db.container"]);
    assert!(chain[0][1]["time"].as_u64().unwrap() >= 300_000, "{chain}");
    assert!(chain[0][0]["at"].as_u64() > chain[0][1]["at"].as_u64(), "{chain}");
    let phases: Value =
        serde_json::from_str(&host.succeed(&["sampanctl", "show", "web", "-o", "json"])).unwrap();
    let phases: Vec<&str> =
        phases[0]["StartPhases"].as_array().unwrap().iter().map(|phase| phase[0].as_str().unwrap()).collect();
    assert_eq!(phases, ["pull", "prepare", "tree", "mounts", "scope", "container", "exec", "ready"]);
    let page = host.succeed(&["sampanctl", "critical-chain", "web"]);
    assert!(page.starts_with("web.container @") && page.contains("\n└─db.container @"), "{page}");
}

/// A command line of a shell at a terminal of 60 columns; what is seen there, without the carriage returns.
fn at_terminal(host: &Host, line: &str) -> String {
    let line = format!("stty rows 20 cols 60; {line}");
    host.succeed(&["script", "-qec", &line, "/dev/null"]).replace('\r', "")
}

#[test]
fn terminals_get_colours_a_pager_and_lines_that_fit() {
    let host = Host::with_images(&["hello"]);
    let long = "A site with a description that is far too long for any terminal of that size";
    host.unit("web.container", &format!("[unit]\ndescription = \"{long}\"\n{}", shell("exec sleep 1000")));
    host.succeed(&["sampanctl", "start", "web"]);
    let plain = at_terminal(&host, "NO_COLOR=1 sampanctl list-units --no-pager");
    assert!(plain.contains('…') && plain.lines().take(3).all(|line| line.chars().count() <= 60), "{plain}");
    assert!(!plain.contains('\x1b'), "{plain}");
    assert!(at_terminal(&host, "NO_COLOR=1 sampanctl list-units --no-pager --full").contains(long));
    let status = at_terminal(&host, "sampanctl status --no-pager web");
    assert!(status.contains("\x1b[0;1;32m●\x1b[0m web.container"), "{status}");
    assert!(!at_terminal(&host, "SYSTEMD_COLORS=0 sampanctl status --no-pager web").contains("\x1b["));
    let pager = "export SYSTEMD_PAGERSECURE=0 SYSTEMD_PAGER='sed s/^/paged:/'; sampanctl list-units";
    assert!(at_terminal(&host, pager).contains("paged:"));
    assert!(!at_terminal(&host, &format!("{pager} --no-pager")).contains("paged:"));
    assert!(!at_terminal(&host, &format!("{pager} | cat")).contains("paged:"));
}

#[test]
fn a_reader_that_leaves_early_is_no_error() {
    let host = Host::with_images(&["hello"]);
    host.unit("web.container", &shell("exec sleep 1000"));
    host.succeed(&["sampanctl", "start", "web"]);
    for line in [
        "list-units --all",
        "show web",
        "status web",
        "schema",
        "list-unit-files",
        "cat web",
        "--help",
        "images",
        "top -b -n 2 -d 100ms",
        "logs web",
    ] {
        let script = format!("sampanctl {line} | true; echo ${{PIPESTATUS[0]}}");
        let output = host.run(&["bash", "-c", &script]);
        let status = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        assert!(["0", "141"].contains(&status.as_str()), "{line}: {status}");
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{line}");
    }
}

#[test]
fn status_tells_what_presets_say_and_what_systemd_counts() {
    let host = Host::with_images(&["hello"]);
    host.write("/etc/sampan/presets/10-test.preset", "disable web.container\nenable *\n");
    let install = "[resources]\nip_accounting = true\n[install]\nwanted_by = [\"default.target\"]\n";
    for unit in ["web", "db"] {
        host.unit(&format!("{unit}.container"), &(shell("exec sleep 1000") + install));
    }
    host.succeed(&["sampanctl", "enable", "--now", "web"]);
    host.succeed(&["sampanctl", "start", "db"]);
    let status = |unit: &str| host.succeed(&["sampanctl", "status", unit]);
    let line = status("web");
    assert!(line.contains("/web.container.toml; enabled; preset: disabled)\n"), "{line}");
    let line = status("db");
    assert!(line.contains("/db.container.toml; disabled; preset: enabled)\n"), "{line}");

    // Whether the host may count is systemd's matter; what it has is what we show.
    let of_scope = |name: &str| {
        let words = ["systemctl", "show", "--value", "--property", name, "sampan-web.scope"];
        host.succeed(&words).trim().to_owned()
    };
    assert_eq!(of_scope("IPAccounting"), "yes");
    for name in ["IPIngressBytes", "IPEgressBytes"] {
        let counted = of_scope(name).parse::<u64>().unwrap_or(u64::MAX);
        let call = ["busctl", "get-property", "org.sampan1", "/org/sampan1/unit/web_2econtainer"];
        let told = host.succeed(&[&call[..], &["org.sampan1.Unit", name]].concat());
        assert_eq!(told, format!("t {counted}\n"), "{name}");
    }
}

#[test]
fn a_failure_is_told_once() {
    let host = Host::with_images(&["hello"]);
    host.unit("web.container", &shell("exit 3"));
    let mut journal = host.journal(&["--unit=sampand", "--output=cat"]);
    host.run(&["sampanctl", "start", "web"]);
    journal.wait("web.container: Failed with result 'exit-code'.");
    host.succeed(&["sampanctl", "daemon-reload"]);
    host.succeed(&["journalctl", "--sync"]);
    let told = host.succeed(&["journalctl", "--unit=sampand", "--output=cat", "--grep=Failed with"]);
    assert_eq!(told, "web.container: Failed with result 'exit-code'.\n");
}

#[test]
fn without_a_daemon_there_is_a_next_step() {
    let host = Host::start();
    host.succeed(&["systemctl", "mask", "--now", "--quiet", "sampand"]);
    for words in [["list-units", "--all"], ["start", "web"], ["status", "web"], ["run", "hello"]] {
        let told = host.fail(1, &[&["sampanctl"], words.as_slice()].concat());
        assert!(told.starts_with("Failed to connect to sampand: "), "{told}");
        assert!(told.ends_with("Is it running? \"systemctl start sampand\".\n"), "{told}");
    }
}

#[test]
fn a_command_at_a_terminal_hears_of_sizes_and_keys() {
    let host = Host::with_images(&["hello"]);
    host.unit("web.container", &shell("exec sleep 1000"));
    host.succeed(&["sampanctl", "start", "web"]);
    let script = "trap \"stty size; exit 5\" WINCH; while :; do sleep 0.1; done";
    let resize = "tty=$(tty); (while stty -F $tty rows 11 cols 22; do sleep 0.2; stty -F $tty rows 12 cols 22; sleep 0.2; done) &";
    let seen = at_terminal(
        &host,
        &format!("{resize} sampanctl exec -it web sh -c '{script}' </dev/tty; echo code $?; kill $!"),
    );
    assert!(seen.contains(" 22\n") && seen.contains("code 5"), "{seen}");

    // Ctrl-C is the command's, and not the client's.
    let words = [
        "sampanctl",
        "exec",
        "-t",
        "web",
        "sh",
        "-c",
        "trap 'echo caught; exit 9' INT; echo up; while :; do sleep 0.1; done",
    ];
    let mut client = host.command(&words).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(client.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert_eq!(lines.next().as_deref(), Some("up"));
    client.stdin.as_mut().unwrap().write_all(b"\x03").unwrap();
    let caught = lines.next().unwrap();
    assert!(caught.ends_with("caught"), "{caught}");
    assert_eq!(client.wait().unwrap().code(), Some(9));
}

#[test]
fn an_image_without_a_shell_is_told_so() {
    let host = Host::with_images(&[]);
    let busybox = std::fs::read("/bin/busybox").unwrap();
    let layer = Layer::new().directory("bin").file("bin/busybox", 0o755, &busybox);
    write_layout(
        &host.shared().join("bare"),
        vec![layer],
        &json!({ "Cmd": ["/bin/busybox", "sleep", "1000"] }),
    );
    host.import("bare", "localhost/bare");
    host.unit("bare.container", "[container]\nimage = \"localhost/bare\"\n");
    host.succeed(&["sampanctl", "start", "bare"]);
    let told = host.fail(127, &["sampanctl", "shell", "bare"]);
    assert_eq!(
        told,
        "The image of bare has no shell: run one of its programs with \"sampanctl exec bare PROGRAM\".\n"
    );
    assert_eq!(host.succeed(&["sampanctl", "exec", "bare", "/bin/busybox", "echo", "here"]), "here\n");
}

/// systemd makes the control group of a scope before it tells journald of the run.
#[test]
fn the_first_line_is_of_its_run_however_slow_systemd_is() {
    let host = Host::with_images(&["hello"]);
    host.unit("web.container", &shell("echo first; exec sleep 1000"));
    // The first container on a host has its slice made, too.
    host.unit("before.container", &shell("exec sleep 1000"));
    host.succeed(&["sampanctl", "start", "before"]);
    let slow = "--inject=symlink,symlinkat:delay_enter=300ms";
    host.succeed(&["systemd-run", "--unit=tracer", "strace", "--output=/dev/null", slow, "--attach", "1"]);
    host.journal(&["--unit=tracer"]).wait("attached");
    host.succeed(&["sampanctl", "start", "web"]);
    host.wait_log("web", "first");
    assert_eq!(host.succeed(&["sampanctl", "logs", "-I", "--payload", "-o", "cat", "web"]), "first\n");
}
