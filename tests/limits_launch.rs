//! Launches on a host that has as many namespaces, mounts or processes as it allows: what `status` says, how the unit
//! ends, and that nothing is left behind.

mod support;

use support::failures::{Case, SLEEP, assert_each_fails, prepared, status_of};
use support::host::Host;

const TRUE: &str = "command = [\"/bin/true\"]\n";

/// A setting of the kernel, and its value before. A launcher that waits has made its namespaces already: it goes.
macro_rules! sysctl {
    ($name:literal, $value:literal) => {
        [
            concat!(
                "cat /proc/sys/",
                $name,
                " >/run/before; echo ",
                $value,
                " >/proc/sys/",
                $name,
                "; pkill --exact sampan-ready || true"
            ),
            concat!("cat /run/before >/proc/sys/", $name),
        ]
    };
}

const CASES: &[Case] = &[
    Case {
        host: sysctl!("user/max_net_namespaces", "0"),
        unit: TRUE,
        told: "enter namespace: unshare: No space left on device; the host allows no more namespaces",
    },
    Case {
        host: sysctl!("user/max_pid_namespaces", "0"),
        unit: TRUE,
        told: "enter namespace: clone: No space left on device; the host allows no more namespaces",
    },
    Case { host: sysctl!("fs/mount-max", "1"), unit: TRUE, told: "mount root: /var/lib/sampan/images/" },
];

#[test]
fn a_launch_that_the_host_has_no_room_for_is_told() {
    let host = prepared(Host::with_controllers(&[]));
    assert_each_fails(&host, CASES);
    no_user_namespace_is_left(&host);
    one_process_is_not_enough(&host);
    host.unit("web.container", &format!("[container]\nimage = \"localhost/odd\"\n{SLEEP}"));
    host.succeed(&["sampanctl", "start", "web"]);
}

/// The launcher and its helper make theirs at the same time.
fn no_user_namespace_is_left(host: &Host) {
    let [make, undo] = sysctl!("user/max_user_namespaces", "0");
    host.succeed(&["sh", "-ec", make]);
    let reason = "No space left on device; the host allows no more namespaces: see user.max_user_namespaces and its like \
                  in namespaces(7)";
    one_of_these_fails(host, "", &["map ids: ", "enter namespace: unshare: "], reason);
    host.succeed(&["sh", "-ec", undo]);
}

/// An init has its payload as its child; which of the processes comes too late for the limit depends on when systemd has
/// the launcher in the scope.
fn one_process_is_not_enough(host: &Host) {
    let keys = "init = true\n[resources]\ntasks_max = 1\n";
    let reason = "Resource temporarily unavailable; there are as many processes as resources.tasks_max or the host allows";
    one_of_these_fails(host, keys, &["map ids: ", "enter namespace: clone: ", "start init: clone: "], reason);
}

fn one_of_these_fails(host: &Host, keys: &str, steps: &[&str], reason: &str) {
    host.unit("web.container", &format!("[container]\nimage = \"localhost/odd\"\n{TRUE}{keys}"));
    host.fail(1, &["sampanctl", "start", "web"]);
    let told = host.property("web", "LaunchError");
    assert!(steps.iter().any(|step| told.starts_with(step)) && told.ends_with(reason), "{told}");
    let status = status_of(&told).expect("a process has failed");
    let shown = host.answer(3, &["sampanctl", "status", "web"]);
    assert!(shown.contains(&format!("code=exited, status={status}")), "{shown}");
    host.succeed(&["sampanctl", "reset-failed", "web"]);
}
