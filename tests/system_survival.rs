//! What containers and clients notice when the manager, or systemd, goes away and comes back: nothing.
//!
//! `SAMPAN_ROUNDS` says how often; the soak test asks for hundreds.

mod support;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use support::host::Host;
use support::units::{shell, socket};

/// How often things are killed.
fn rounds() -> usize {
    std::env::var("SAMPAN_ROUNDS").map_or(5, |rounds| rounds.parse().expect("SAMPAN_ROUNDS is a number"))
}

/// Kills the manager, and returns when it is gone: until then it would still be asked.
fn kill_manager(host: &Host) {
    let script = "pid=$(systemctl show --property=MainPID --value sampand)
        kill -KILL $pid
        while kill -0 $pid 2>/dev/null; do :; done";
    host.succeed(&["sh", "-c", script]);
}

/// A host with nginx behind a socket that is handed over, busybox that started by itself, and an idle socket.
fn busy_host() -> Host {
    let host = Host::with_images(&["hello", "web"]);
    let nginx = "[container]\nimage = \"localhost/web\"\n";
    let swap = |listen| socket(listen, "\"swap\"\ntarget = \"0.0.0.0:80\"");
    host.unit("web.container", &format!("{nginx}{}", swap("127.0.0.1:8001")));
    host.unit("idle.container", &format!("{nginx}start_limit = {{ burst = 0 }}\n{}", swap("127.0.0.1:8002")));
    host.unit("job.container", &shell("exec sleep 100000"));
    host.succeed(&["sampanctl", "start", "web", "idle", "job"]);
    assert!(host.get("127.0.0.1:8001").contains("Hello from nginx"));
    host
}

/// Requests one after the other while `work` goes on; every one of them must be answered.
fn under_load(host: &Host, work: impl FnOnce(&AtomicUsize)) {
    let (over, answers) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        let client = scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                assert!(host.get("127.0.0.1:8001").contains("Hello from nginx"));
                answers.fetch_add(1, Ordering::Relaxed);
            }
        });
        let work = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| work(&answers)));
        over.store(true, Ordering::Relaxed);
        client.join().expect("every request is answered");
        work.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    });
    assert!(answers.into_inner() > 0);
}

/// What must stay as it is: processes and runs of the containers.
fn identity(host: &Host) -> Vec<String> {
    ["web", "job"]
        .iter()
        .flat_map(|unit| ["MainPID", "InvocationID"].map(|name| host.property(unit, name)))
        .collect()
}

fn assert_states(host: &Host) {
    let states = ["web", "job", "idle"].map(|unit| host.property(unit, "SubState"));
    assert_eq!(states, ["running", "running", "listening"], "{}", host.recent());
}

#[test]
fn a_killed_manager_is_missed_by_nobody() {
    let host = busy_host();
    let before = identity(&host);
    under_load(&host, |_| {
        for _ in 0..rounds() {
            let manager = host.succeed(&["systemctl", "show", "--property=MainPID", "--value", "sampand"]);
            kill_manager(&host);
            // The bus starts the manager for the question, if systemd has not yet.
            assert_states(&host);
            assert_ne!(
                host.succeed(&["systemctl", "show", "--property=MainPID", "--value", "sampand"]),
                manager
            );
            assert_eq!(identity(&host), before);
        }
    });
    assert!(host.get("127.0.0.1:8002").contains("Hello from nginx"), "the idle socket is still answered");
    host.succeed(&["sampanctl", "stop", "web", "idle", "job"]);
    assert_eq!(host.property("job", "Result"), "success");
    assert_eq!(host.succeed(&["systemctl", "list-units", "--no-legend", "sampan-*.scope"]), "");
}

#[test]
fn a_restart_of_the_manager_is_an_upgrade_that_nobody_notices() {
    let host = busy_host();
    let before = identity(&host);
    under_load(&host, |_| {
        for _ in 0..rounds() {
            host.succeed(&["systemctl", "restart", "sampand"]);
            assert_states(&host);
            assert_eq!(identity(&host), before);
        }
        for _ in 0..rounds().min(20) {
            host.succeed(&["systemctl", "daemon-reexec"]);
            assert_states(&host);
            assert_eq!(identity(&host), before);
        }
    });
    host.succeed(&["sampanctl", "restart", "job"]);
    host.succeed(&["sampanctl", "stop", "web", "idle", "job"]);
}

#[test]
fn a_client_in_the_queue_is_served_though_the_manager_was_killed() {
    let host = busy_host();
    for _ in 0..rounds() {
        host.succeed(&["sampanctl", "stop", "idle"]);
        host.succeed(&["sampanctl", "start", "idle"]);
        let connection = host.connect("127.0.0.1:8002").expect("the socket listens");
        kill_manager(&host);
        let answer = support::host::exchange(connection, b"GET / HTTP/1.0\r\n\r\n").expect("it is served");
        assert!(answer.contains("Hello from nginx"), "{answer}");
    }
}

#[test]
fn a_manager_that_was_stopped_listens_again_when_it_is_started() {
    let host = busy_host();
    let before = identity(&host);
    // A systemd without FileDescriptorStorePreserve= closes the sockets that it has stored.
    host.succeed(&["systemctl", "stop", "sampand"]);
    host.succeed(&["systemctl", "start", "sampand"]);
    assert_states(&host);
    assert_eq!(identity(&host), before);
    for port in [8001, 8002] {
        assert!(host.get(&format!("127.0.0.1:{port}")).contains("Hello from nginx"), "{port}");
    }
    // What only the container has kept open is listened on when it has ended.
    host.succeed(&["kill", "-QUIT", &host.property("web", "MainPID")]);
    host.wait_property("web", "SubState", "listening");
    assert!(host.get("127.0.0.1:8001").contains("Hello from nginx"));
}

#[test]
fn how_a_payload_ended_while_the_manager_was_away_is_known() {
    let host = Host::with_images(&["hello"]);
    // The manager comes back when somebody writes to the gate.
    host.write("/run/systemd/system/sampand.service.d/gate.conf", "[Service]\nExecStartPre=cat /run/gate\n");
    host.succeed(&["sh", "-c", "mkfifo /run/gate; systemctl daemon-reload"]);
    host.unit("code.container", &shell("trap 'exit 7' USR1; echo up; while :; do sleep 0.05; done"));
    host.unit("signal.container", &shell("exec sleep 1000"));
    host.unit(
        "stays.container",
        &(shell("exec sleep 1000") + "restart = \"on-failure\"\nrestart_delay = \"0\"\n"),
    );
    host.succeed(&["sampanctl", "start", "code", "signal", "stays"]);
    host.wait_log("code", "up");
    let pids = ["code", "signal", "stays"].map(|unit| host.property(unit, "MainPID"));
    kill_manager(&host);
    let script = "kill -USR1 $1; kill -KILL $2 $3
        for pid; do while kill -0 $pid 2>/dev/null; do :; done; done
        echo open >/run/gate";
    host.succeed(&["sh", "-c", script, "sh", &pids[0], &pids[1], &pids[2]]);
    host.wait_property("code", "MainPID", "0");
    let status = host.answer(3, &["sampanctl", "status", "code"]);
    assert!(status.contains("code=exited, status=7"), "{status}");
    let status = host.answer(3, &["sampanctl", "status", "signal"]);
    assert!(status.contains("signal=KILL"), "{status}");
    host.wait_property("stays", "ActiveState", "active");
    assert_ne!(host.property("stays", "MainPID"), pids[2]);
}

#[test]
fn a_scope_that_systemd_is_told_to_stop_is_a_clean_stop() {
    let host = Host::with_images(&["hello"]);
    let script = "trap 'echo bye; exit 0' TERM; echo up; while :; do sleep 0.1; done";
    host.unit("web.container", &(shell(script) + "restart = \"on-failure\"\n"));
    for restart in [None, Some("restart"), Some("kill")] {
        host.succeed(&["sampanctl", "start", "web"]);
        let scope = host.property("web", "Scope");
        match restart {
            Some("kill") => kill_manager(&host),
            Some(verb) => drop(host.succeed(&["systemctl", verb, "sampand"])),
            None => {}
        }
        assert_eq!(host.property("web", "SubState"), "running");
        host.succeed(&["systemctl", "stop", &scope]);
        host.wait_property("web", "ActiveState", "inactive");
        assert_eq!(
            (host.property("web", "Result"), host.property("web", "NRestarts")),
            ("success".into(), "0".into()),
            "after {restart:?}"
        );
    }
}

#[test]
fn a_client_that_waits_for_a_job_hears_its_end_from_the_next_manager() {
    let host = Host::with_images(&["hello"]);
    let ready = "while ! test -e /srv/$0; do sleep 0.05; done";
    let mount = "[mount.\"/srv\"]\ntype = \"bind\"\nsource = \"/srv\"\n";
    for (unit, end) in [("good", "exit 0"), ("bad", "exit 7")] {
        let script = format!("{}; {end}", ready.replace("$0", unit));
        host.unit(&format!("{unit}.container"), &(shell(&script) + "type = \"oneshot\"\n" + mount));
    }
    for (unit, status) in [("good", 0), ("bad", 1)] {
        let start = host.command(&["sampanctl", "start", unit]).spawn().expect("tests/host runs");
        host.wait_property(unit, "SubState", "start");
        for _ in 0..3 {
            kill_manager(&host);
            assert_eq!(host.property(unit, "SubState"), "start");
        }
        std::fs::write(host.shared().join(unit), "").expect("the gate opens");
        let ended = start.wait_with_output().expect("it ends");
        assert_eq!(ended.status.code(), Some(status), "{unit}: {}", host.recent());
    }
}

#[test]
fn calls_are_answered_though_managers_are_killed() {
    let host = Host::with_images(&["hello"]);
    host.unit("job.container", &(shell("exec sleep 1000") + "start_limit = { burst = 0 }\n"));
    under_kills(&host, || {
        for _ in 0..rounds().min(20) {
            host.succeed(&["sampanctl", "start", "job"]);
            host.succeed(&["sampanctl", "list-units"]);
            host.succeed(&["sampanctl", "status", "job"]);
            host.succeed(&["sampanctl", "stop", "job"]);
        }
    });
    assert_eq!(host.property("job", "ActiveState"), "inactive");
    let told = host.succeed(&[
        "sh",
        "-c",
        "journalctl --quiet --unit=sampand --output=cat | grep 'job.container' || true",
    ]);
    assert!(!told.contains("Failed"), "{told}");
}

/// Kills managers one after the other while `work` goes on.
fn under_kills(host: &Host, work: impl FnOnce()) {
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let killer = scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                kill_manager(host);
                // What is asked of them takes several calls.
                for _ in 0..5 {
                    host.succeed(&["sampanctl", "list-units"]);
                }
            }
        });
        let work = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
        over.store(true, Ordering::Relaxed);
        killer.join().expect("managers can be killed");
        work.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    });
}
