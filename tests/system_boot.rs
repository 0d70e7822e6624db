//! The order in which a host's boot starts units, and its shutdown stops them.

mod support;

use support::host::Host;
use support::units::shell;

/// A unit that says when it starts and, after a while, when it ends.
fn stamped(name: &str, seconds: &str, more: &str) -> String {
    let script = format!(
        "trap 'sleep {seconds}; echo {name} ends; exit 0' TERM; echo {name} starts; while :; do sleep 0.1; done"
    );
    format!("[unit]\n{more}\n{}[install]\nwanted_by = [\"default.target\"]\n", shell(&script))
}

/// Lines of the containers in the journal, in their order. All boots have one id: that of the machine's kernel.
fn lines(host: &Host) -> Vec<String> {
    let text = host.succeed(&["journalctl", "--output=cat", "--no-pager", "--unit=sampan-*.scope"]);
    text.lines()
        .filter(|line| line.ends_with("starts") || line.ends_with("ends"))
        .map(str::to_owned)
        .collect()
}

fn stamp(host: &Host, unit: &str, property: &str) -> u64 {
    let path = format!("/org/sampan1/unit/{unit}_2econtainer");
    let answer =
        host.succeed(&["busctl", "get-property", "org.sampan1", &path, "org.sampan1.Unit", property]);
    answer.trim().trim_start_matches("t ").parse().expect("a number")
}

fn position(lines: &[String], line: &str) -> usize {
    lines.iter().position(|one| one == line).unwrap_or_else(|| panic!("\"{line}\" is not in {lines:?}"))
}

#[test]
fn a_boot_starts_in_order_and_a_shutdown_stops_in_the_reverse() {
    let host = Host::with_images(&["hello"]);
    host.succeed(&["systemctl", "enable", "sampand"]);
    host.unit("db.container", &stamped("db", "0.5", ""));
    host.unit(
        "app.container",
        &stamped("app", "1", "requires = [\"db.container\"]\nafter = [\"db.container\"]"),
    );
    host.unit(
        "web.container",
        &stamped("web", "2", "wants = [\"app.container\"]\nafter = [\"app.container\"]"),
    );
    host.unit("other.container", &stamped("other", "0", ""));
    host.unit(
        "deaf.container",
        &(stamped("deaf", "1000", "").replace("[install]", "stop_timeout = \"3s\"\n[install]")),
    );
    host.succeed(&["sampanctl", "enable", "db", "app", "web", "other", "deaf"]);
    for _ in 0..2 {
        host.reboot();
        for unit in ["db", "app", "web", "other", "deaf"] {
            host.wait_property(unit, "SubState", "running");
            host.wait_log(unit, &format!("{unit} starts"));
        }
        for (first, second) in [("db", "app"), ("app", "web")] {
            let ready = stamp(&host, first, "ActiveEnterTimestamp");
            assert!(ready <= stamp(&host, second, "ExecMainStartTimestamp"), "{first} before {second}");
        }
    }
    let ended = lines(&host);
    for (first, second) in [("web", "app"), ("app", "db")] {
        let of = |unit: &str| position(&ended, &format!("{unit} ends"));
        assert!(of(first) < of(second), "{ended:?}");
    }
    position(&ended, "other ends");
    assert!(!ended.contains(&"deaf ends".to_owned()), "{ended:?}");
    let journal = host.succeed(&["journalctl", "--output=cat", "--no-pager", "--unit=sampand"]);
    assert!(!journal.contains("timed out") && !journal.contains("Killing"), "{journal}");
}

#[test]
fn a_stop_that_is_slow_gets_its_time_at_shutdown() {
    let host = Host::with_images(&["hello"]);
    // Longer than systemd lets sampand take by itself.
    host.write("/run/systemd/system/sampand.service.d/short.conf", "[Service]\nTimeoutStopSec=2\n");
    host.succeed(&["systemctl", "daemon-reload"]);
    host.unit("slow.container", &stamped("slow", "6", ""));
    host.succeed(&["sampanctl", "start", "slow"]);
    host.wait_log("slow", "slow starts");
    host.reboot();
    assert_eq!(lines(&host), ["slow starts", "slow ends"]);
}

/// The network comes when somebody writes to `/srv/network`, and not before.
fn gate_the_network(host: &Host) {
    host.succeed(&["mkfifo", "/srv/network"]);
    let gate = "[Unit]\nBefore=network-online.target\n[Service]\nType=oneshot\nRemainAfterExit=yes\n\
        ExecStart=cat /srv/network\n[Install]\nWantedBy=network-online.target\n";
    host.write("/etc/systemd/system/gate.service", gate);
    // At shutdown what waits for the network is cancelled a while before sampand is stopped.
    let guest = "[Unit]\nAfter=sampand.service\n[Service]\nType=oneshot\nRemainAfterExit=yes\n\
        ExecStart=true\nExecStop=sleep 1\n[Install]\nWantedBy=multi-user.target\n";
    host.write("/etc/systemd/system/guest.service", guest);
    host.succeed(&["systemctl", "enable", "gate.service", "guest.service", "sampand.service"]);
}

#[test]
fn a_boot_waits_for_the_network_only_where_a_unit_or_a_pull_does() {
    let host = Host::with_images(&["hello"]);
    gate_the_network(&host);
    host.unit("local.container", &stamped("local", "0", ""));
    let online = "wants = [\"network-online.target\"]\nafter = [\"network-online.target\"]";
    host.unit("online.container", &stamped("online", "0", online));
    let install = "[install]\nwanted_by = [\"default.target\"]\n";
    host.unit("pulled.container", &format!("[container]\nimage = \"127.0.0.1:5000/team/web:1\"\n{install}"));
    host.succeed(&["sampanctl", "enable", "local", "online", "pulled"]);
    // The second shutdown finds units that still wait.
    for _ in 0..2 {
        host.reboot();
        host.wait_property("local", "SubState", "running");
        host.wait_property("pulled", "SubState", "pull");
        assert_eq!(host.property("online", "ActiveState"), "inactive");
        assert!(host.succeed(&["sampanctl", "list-jobs"]).contains("online.container"));
    }
    let registry = host.in_network(|| std::net::TcpListener::bind("127.0.0.1:5000")).expect("it listens");
    host.succeed(&["timeout", "100", "sh", "-c", "echo up >/srv/network"]);
    host.wait_property("online", "SubState", "running");
    registry.accept().expect("the pull comes");
    let journal = host.succeed(&["journalctl", "--output=cat", "--no-pager", "--unit=sampand"]);
    for word in ["the start job ended", "refused", "without"] {
        assert!(!journal.contains(word), "nobody asks before there is a network: {journal}");
    }
}

#[test]
fn a_container_that_ignores_its_stop_signal_holds_a_shutdown_up_no_longer_than_it_may() {
    let host = Host::with_images(&["hello"]);
    host.succeed(&["systemctl", "enable", "sampand"]);
    let deaf = shell("trap '' TERM; echo deaf starts; while :; do sleep 0.1; done");
    host.unit("deaf.container", &format!("{deaf}stop_timeout = \"1s\"\n"));
    let relation = "[unit]\nrequires = [\"deaf.container\"]\nafter = [\"deaf.container\"]\n";
    host.unit("user.container", &format!("{relation}{deaf}stop_timeout = \"1s\"\n"));
    host.unit("other.container", &stamped("other", "0", ""));
    // What is still on its way up is no reason to wait.
    host.unit(
        "never.container",
        &(shell("exec sleep 1000") + "type = \"notify\"\nstart_timeout = \"infinity\"\n"),
    );
    host.succeed(&["sampanctl", "start", "user", "other"]);
    host.succeed(&["sampanctl", "start", "--no-block", "never"]);
    for unit in ["deaf", "user"] {
        host.wait_log(unit, "deaf starts");
    }
    host.wait_property("never", "SubState", "start");
    host.reboot();
    let journal = host.succeed(&["journalctl", "--output=cat", "--no-pager", "--unit=sampand"]);
    assert!(!journal.contains("timed out") && !journal.contains("Killing"), "{journal}");
    position(&lines(&host), "other ends");
}
