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
