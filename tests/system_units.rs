//! Units on a private host, steered as a user steers them: the verbs of `sampanctl`, their words and exit statuses.

mod support;

use serde_json::json;
use support::host::Host;
use support::image::{Layer, write_layout};
use support::units::{python, shell};

#[test]
fn verbs_answer_with_the_words_and_statuses_of_systemctl() {
    let host = Host::with_images(&["hello"]);
    host.unit("web.container", &shell("echo serving; exec sleep 1000"));
    assert_eq!(host.answer(3, &["sampanctl", "is-active", "web"]), "inactive\n");
    host.succeed(&["sampanctl", "start", "web"]);
    assert_eq!(host.succeed(&["sampanctl", "is-active", "web"]), "active\n");
    assert_eq!(host.answer(1, &["sampanctl", "is-failed", "web"]), "active\n");
    assert!(host.wait_log("web", "serving").ends_with("serving"));
    let status = host.succeed(&["sampanctl", "status", "web"]);
    assert!(status.contains("Active: active (running) since"), "{status}");
    assert!(status.contains("Image: localhost/hello"), "{status}");
    let units = host.succeed(&["sampanctl", "list-units", "--no-legend"]);
    assert!(
        units.lines().any(|line| line.split_whitespace().take(4).eq([
            "web.container",
            "loaded",
            "active",
            "running"
        ])),
        "{units}"
    );
    assert!(host.succeed(&["sampanctl", "cat", "web"]).contains("exec sleep 1000"));
    assert!(host.succeed(&["sampanctl", "logs", "web"]).contains("serving"));
    assert!(host.succeed(&["journalctl", "--unit=sampan-web.scope", "--output=cat"]).contains("serving"));
    assert!(host.succeed(&["systemctl", "is-active", "sampan-web.scope"]).contains("active"));

    let first = host.property("web", "InvocationID");
    host.succeed(&["sampanctl", "restart", "web"]);
    assert_ne!(host.property("web", "InvocationID"), first);
    host.succeed(&["sampanctl", "stop", "web"]);
    assert_eq!(host.answer(3, &["sampanctl", "is-active", "web"]), "inactive\n");
    assert!(host.answer(3, &["sampanctl", "status", "web"]).contains("Active: inactive (dead) since"));
    assert!(!host.succeed(&["sampanctl", "list-units", "--no-legend"]).contains("web.container"));
}

#[test]
fn a_unit_that_does_not_exist_is_told_as_systemctl_tells_it() {
    let host = Host::with_images(&[]);
    assert!(host.fail(5, &["sampanctl", "start", "nope"]).contains("Unit nope.container not found."));
    assert!(host.fail(5, &["sampanctl", "stop", "nope"]).contains("nope.container"));
    assert_eq!(host.answer(4, &["sampanctl", "is-active", "nope"]), "inactive\n");
    assert_eq!(host.answer(1, &["sampanctl", "is-failed", "nope"]), "inactive\n");
    assert!(
        host.fail(4, &["sampanctl", "status", "nope"]).contains("Unit nope.container could not be found.")
    );
    assert!(host.fail(1, &["sampanctl", "enable", "nope"]).contains("nope.container"));
    host.fail(1, &["sampanctl", "cat", "nope"]);
}

#[test]
fn commands_run_inside_a_container() {
    let host = Host::with_images(&["hello"]);
    host.unit(
        "web.container",
        &(shell("exec sleep 1000") + "environment = { COLOUR = \"blue\" }\nworking_directory = \"/www\"\n"),
    );
    assert!(host.fail(1, &["sampanctl", "exec", "web", "true"]).contains("not running"));
    host.succeed(&["sampanctl", "start", "web"]);
    let seen = host.succeed(&[
        "sampanctl",
        "exec",
        "web",
        "sh",
        "-c",
        "pwd; echo $COLOUR; cat /proc/1/comm; hostname",
    ]);
    assert_eq!(seen, "/www\nblue\nsleep\nweb\n");
    host.answer(7, &["sampanctl", "exec", "web", "sh", "-c", "exit 7"]);
    host.answer(137, &["sampanctl", "exec", "web", "sh", "-c", "kill -9 $$"]);
    assert!(host.fail(127, &["sampanctl", "exec", "web", "/bin/nope"]).contains("/bin/nope"));
    assert_eq!(
        host.succeed(&[
            "sampanctl",
            "exec",
            "--env=A=b",
            "-w",
            "/bin",
            "-u",
            "33:33",
            "web",
            "sh",
            "-c",
            "echo $A; pwd; id -u"
        ]),
        "b\n/bin\n33\n"
    );
    assert_eq!(host.succeed(&["sampanctl", "is-active", "web"]), "active\n");
}

#[test]
fn an_enabled_unit_starts_at_boot() {
    let host = Host::with_images(&["hello"]);
    host.succeed(&["systemctl", "enable", "sampand"]);
    let unit = shell("exec sleep 1000") + "[install]\nwanted_by = [\"default.target\"]\n";
    host.unit("web.container", &unit);
    host.unit("idle.container", &unit);
    assert_eq!(host.answer(1, &["sampanctl", "is-enabled", "web"]), "disabled\n");
    host.succeed(&["sampanctl", "enable", "--now", "web"]);
    assert_eq!(host.succeed(&["sampanctl", "is-active", "web"]), "active\n");
    assert_eq!(host.succeed(&["sampanctl", "is-enabled", "web"]), "enabled\n");
    host.reboot();
    host.wait_property("web", "ActiveState", "active");
    assert_eq!(host.property("idle", "ActiveState"), "inactive");
    host.succeed(&["sampanctl", "disable", "--now", "web"]);
    assert_eq!(host.answer(3, &["sampanctl", "is-active", "web"]), "inactive\n");
    assert_eq!(host.answer(1, &["sampanctl", "is-enabled", "web"]), "disabled\n");
    host.reboot();
    host.wait_property("default.target", "ActiveState", "active");
    assert_eq!(host.property("web", "ActiveState"), "inactive");
}

#[test]
fn what_a_unit_requires_starts_before_it_and_stops_after_it() {
    let host = Host::with_images(&["hello"]);
    host.unit("setup.container", &(shell("sleep 0.3; echo prepared") + "type = \"oneshot\"\n"));
    host.unit(
        "db.container",
        &shell("trap 'echo db stops; exit 0' TERM; echo db runs; while :; do sleep 0.1; done"),
    );
    let needs = "[unit]\nrequires = [\"db.container\", \"setup.container\"]\nafter = [\"db.container\", \"setup.container\"]\n";
    let web = shell("trap 'echo web stops; exit 0' TERM; echo web runs; while :; do sleep 0.1; done");
    host.unit("web.container", &format!("{needs}{web}"));
    host.succeed(&["sampanctl", "start", "web"]);
    host.wait_log("web", "web runs");
    host.succeed(&["sampanctl", "stop", "db"]);
    assert_eq!(host.property("web", "ActiveState"), "inactive", "it requires db");
    let log = host.succeed(&["sampanctl", "logs", "--output=cat", "setup", "db", "web"]);
    let said: Vec<&str> = log
        .lines()
        .filter(|line| line.starts_with("db ") || line.starts_with("web ") || *line == "prepared")
        .collect();
    let of =
        |text: &str| said.iter().position(|line| *line == text).unwrap_or_else(|| panic!("{text}: {log}"));
    assert!(of("prepared") < of("web runs") && of("db runs") < of("web runs"), "{log}");
    assert!(of("web stops") < of("db stops"), "{log}");
}

#[test]
fn a_failed_requirement_keeps_a_unit_from_starting() {
    let host = Host::with_images(&["hello"]);
    host.unit("setup.container", &(shell("exit 3") + "type = \"oneshot\"\n"));
    host.unit(
        "web.container",
        &format!(
            "[unit]\nrequires = [\"setup.container\"]\nafter = [\"setup.container\"]\n{}",
            shell("exec sleep 1000")
        ),
    );
    assert!(
        host.fail(1, &["sampanctl", "start", "web"]).contains("A dependency job for web.container failed.")
    );
    assert_eq!(host.answer(3, &["sampanctl", "is-active", "web"]), "inactive\n");
    assert_eq!(host.succeed(&["sampanctl", "is-failed", "setup"]), "failed\n");
    assert_eq!(host.property("setup", "ExecMainStatus"), "3");
}

#[test]
fn a_unit_that_keeps_failing_hits_its_start_limit() {
    let host = Host::with_images(&["hello"]);
    let policy = "restart = \"on-failure\"\nrestart_delay = \"50ms\"\nstart_limit = { burst = 3, interval = \"1min\" }\n";
    host.unit("web.container", &(shell("echo a try; exit 3") + policy));
    host.succeed(&["sampanctl", "start", "web"]);
    host.wait_property("web", "Result", "start-limit-hit");
    let status = host.answer(3, &["sampanctl", "status", "web"]);
    assert!(status.contains("Active: failed (Result: start-limit-hit)"), "{status}");
    assert_eq!(host.succeed(&["sampanctl", "is-failed", "web"]), "failed\n");
    assert!(host.succeed(&["sampanctl", "list-units", "--failed", "--no-legend"]).contains("web.container"));
    let log = host.succeed(&["sampanctl", "logs", "--output=cat", "web"]);
    assert_eq!(log.lines().filter(|line| *line == "a try").count(), 3, "{log}");
    assert!(host.fail(1, &["sampanctl", "start", "web"]).contains("sampanctl reset-failed web"));
    host.succeed(&["sampanctl", "reset-failed", "web"]);
    assert_eq!(host.answer(3, &["sampanctl", "is-active", "web"]), "inactive\n");
    host.succeed(&["sampanctl", "start", "web"]);
}

#[test]
fn a_restart_policy_looks_at_how_the_payload_ended() {
    let host = Host::with_images(&["hello"]);
    let policy = "restart = \"on-failure\"\nrestart_delay = \"50ms\"\n[mount.\"/data\"]\ntype = \"bind\"\nsource = \"/srv\"\n";
    host.unit("clean.container", &(shell("exit 0") + policy));
    host.unit("killed.container", &(shell("exec sleep 1000") + policy));
    host.succeed(&["sampanctl", "start", "clean"]);
    host.wait_property("clean", "ActiveState", "inactive");
    assert_eq!(host.property("clean", "NRestarts"), "0");
    host.succeed(&["sampanctl", "start", "killed"]);
    host.succeed(&["sampanctl", "kill", "--signal=KILL", "killed"]);
    host.wait_property("killed", "NRestarts", "1");
    host.wait_property("killed", "ActiveState", "active");
}

#[test]
fn exit_codes_and_signals_are_told() {
    let host = Host::with_images(&["hello"]);
    for (name, script, active, ended) in [
        ("done", "exit 0", "inactive (dead)", "code=exited, status=0/SUCCESS"),
        ("code", "exit 42", "failed (Result: exit-code)", "code=exited, status=42/n/a"),
        ("signal", "kill -9 $$; exec sleep 1000", "", ""),
    ] {
        host.unit(&format!("{name}.container"), &shell(script));
        host.succeed(&["sampanctl", "start", name]);
        if ended.is_empty() {
            host.succeed(&["sampanctl", "kill", "--kill-whom=main", "--signal=KILL", name]);
        }
        let (active, ended) = if ended.is_empty() {
            ("failed (Result: signal)", "code=killed, signal=KILL")
        } else {
            (active, ended)
        };
        host.wait_property(name, "MainPID", "0");
        let status = host.answer(3, &["sampanctl", "status", name]);
        assert!(status.contains(active) && status.contains(ended), "{status}");
    }
}

#[test]
fn a_payload_that_does_not_stop_is_killed_in_the_end() {
    let host = Host::with_images(&["hello"]);
    host.unit(
        "web.container",
        &(shell("trap '' TERM; echo deaf; while :; do sleep 0.1; done") + "stop_timeout = \"300ms\"\n"),
    );
    host.succeed(&["sampanctl", "start", "web"]);
    host.wait_log("web", "deaf");
    host.run(&["sampanctl", "stop", "web"]);
    let status = host.answer(3, &["sampanctl", "status", "web"]);
    assert!(status.contains("failed (Result: timeout)") && status.contains("signal=KILL"), "{status}");
}

#[test]
fn real_time_signals_reach_a_payload() {
    let host = Host::with_images(&["hello"]);
    let script = "trap 'echo asked' 38; trap 'echo told; exit 0' 37; echo up; while :; do sleep 0.1; done";
    host.unit("web.container", &(shell(script) + "stop_signal = \"SIGRTMIN+3\"\n"));
    host.succeed(&["sampanctl", "start", "web"]);
    host.wait_log("web", "up");
    host.succeed(&["sampanctl", "kill", "--kill-whom=main", "--signal=SIGRTMIN+4", "web"]);
    host.wait_log("web", "asked");
    host.succeed(&["sampanctl", "stop", "web"]);
    host.wait_log("web", "told");
    assert_eq!(host.property("web", "Result"), "success");
}

#[test]
fn a_stop_signal_of_the_image_that_is_none_is_told() {
    let host = Host::start();
    let told = |unit: &str, stop_signal: &str| {
        let image = format!("localhost/{unit}");
        let config = json!({ "Cmd": ["/bin/sleep", "1000"], "StopSignal": stop_signal });
        write_layout(&host.shared().join(unit), vec![Layer::busybox()], &config);
        let imported = host.run(&["sampanctl", "import", &format!("/srv/{unit}"), "--name", &image]);
        let imported = String::from_utf8_lossy(&imported.stderr).into_owned();
        host.unit(&format!("{unit}.container"), &format!("[container]\nimage = \"{image}\"\n"));
        host.succeed(&["sampanctl", "start", unit]);
        host.succeed(&["journalctl", "--sync"]);
        let status = host.succeed(&["sampanctl", "status", unit]);
        host.succeed(&["sampanctl", "stop", unit]);
        assert_eq!(host.property(unit, "Result"), "success");
        let ended = host.answer(3, &["sampanctl", "status", unit]);
        (imported, status, ended)
    };
    let (imported, status, ended) = told("web", "SIGFOO");
    assert!(imported.contains("its stop signal \"SIGFOO\" is not known\n"), "{imported}");
    assert!(status.contains("the image: its stop signal \"SIGFOO\" is not known, using SIGTERM"), "{status}");
    assert!(ended.contains("signal=TERM"), "{ended}");
    let (imported, status, ended) = told("blog", "sigquit");
    assert!(!imported.contains("not known") && !status.contains("not known"), "{imported}{status}");
    assert!(ended.contains("signal=QUIT"), "{ended}");
}

#[test]
fn a_deadly_signal_ends_a_payload_that_has_no_handler_for_it() {
    let host = Host::with_images(&["hello"]);
    host.unit("web.container", &shell("exec sleep 1000"));
    for (arguments, result) in [
        (["--signal=SIGTERM", "--kill-whom=all"], "success"),
        (["--signal=SIGTERM", "--kill-whom=main"], "success"),
        (["--signal=SIGUSR1", "--kill-whom=all"], "signal"),
        (["--signal=SIGRTMIN+1", "--kill-whom=main"], "signal"),
    ] {
        host.succeed(&["sampanctl", "start", "web"]);
        // Nothing that a process without a handler would end of.
        host.succeed(&["sampanctl", "kill", "--signal=SIGWINCH", "web"]);
        host.succeed(&["sampanctl", "kill", "--signal=SIGCONT", "web"]);
        assert_eq!(host.property("web", "ActiveState"), "active");
        host.succeed(&[&["sampanctl", "kill", "web"], arguments.as_slice()].concat());
        host.wait_property("web", "MainPID", "0");
        assert_eq!(host.property("web", "Result"), result, "{arguments:?}");
    }
}

/// Tells what it does, and is ready only when somebody writes to a pipe.
const NOTIFIER: &str = r#"
import os, socket, time
manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
manager.connect(os.environ["NOTIFY_SOCKET"])
os.mkfifo("/tmp/go")
manager.send(b"STATUS=Loading")
open("/tmp/go").read()
manager.send(b"READY=1\nSTATUS=Serving 3 sites")
time.sleep(1000)
"#;

#[test]
fn a_notify_unit_has_started_when_it_says_so() {
    let host = Host::with_images(&["servers"]);
    host.unit("web.container", &(python(NOTIFIER) + "type = \"notify\"\n"));
    host.succeed(&["sampanctl", "start", "--no-block", "web"]);
    host.wait_property("web", "StatusText", "Loading");
    assert_eq!(host.answer(3, &["sampanctl", "is-active", "web"]), "activating\n");
    host.succeed(&["sampanctl", "exec", "web", "sh", "-c", "echo >/tmp/go"]);
    host.wait_property("web", "ActiveState", "active");
    let status = host.succeed(&["sampanctl", "status", "web"]);
    assert!(status.contains("Status: \"Serving 3 sites\""), "{status}");
}

#[test]
fn a_notify_unit_that_stays_silent_fails() {
    let host = Host::with_images(&["hello"]);
    host.unit(
        "web.container",
        &(shell("exec sleep 1000") + "type = \"notify\"\nstart_timeout = \"300ms\"\n"),
    );
    let error = host.fail(1, &["sampanctl", "start", "web"]);
    assert!(error.contains("timed out") || error.contains("timeout"), "{error}");
    assert!(host.answer(3, &["sampanctl", "status", "web"]).contains("failed (Result: timeout)"));
}

#[test]
fn files_are_read_again_on_reload() {
    let host = Host::with_images(&["hello"]);
    host.unit("web.container", &shell("exec sleep 1000"));
    host.succeed(&["sampanctl", "start", "web"]);
    let process = host.property("web", "MainPID");
    let changed = format!("[unit]\ndescription = \"The site\"\n{}", shell("exec sleep 2000"));
    host.write("/etc/sampan/units/web.container.toml", &changed);
    assert_eq!(host.property("web", "NeedDaemonReload"), "yes");
    host.succeed(&["sampanctl", "verify", "web"]);
    host.succeed(&["sampanctl", "daemon-reload"]);
    assert_eq!(host.property("web", "NeedDaemonReload"), "no");
    assert_eq!(host.property("web", "Description"), "The site");
    assert_eq!(host.property("web", "MainPID"), process, "a reload stops nothing");
    host.write("/etc/sampan/units/web.container.toml.d/name.toml", "[unit]\ndescription = \"Dropped in\"\n");
    host.succeed(&["sampanctl", "daemon-reload"]);
    assert!(host.succeed(&["sampanctl", "status", "web"]).contains("web.container - Dropped in"));
}

/// The journal looks for the control group of who wrote a line, and may be too late.
#[test]
fn lines_of_processes_that_have_ended_are_in_the_log_of_the_unit() {
    let host = Host::with_images(&["hello"]);
    let script = "for number in $(seq 100); do /bin/busybox echo line $number; done; \
                  /bin/busybox echo by name >/dev/stdout";
    host.unit("brief.container", &(shell(script) + "type = \"oneshot\"\n"));
    host.succeed(&["sampanctl", "start", "brief"]);
    host.succeed(&["journalctl", "--sync"]);
    let log = host.succeed(&["sampanctl", "logs", "brief"]);
    let found =
        (1..=100).filter(|number| log.lines().any(|line| line.ends_with(&format!(": line {number}"))));
    assert_eq!(found.count(), 100, "{log}");
    assert!(log.contains(": by name\n"), "{log}");
}
