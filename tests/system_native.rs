//! Units of systemd's that containers depend on: started, waited for and followed, over restarts of everything.

mod support;

use support::host::Host;
use support::units::shell;

/// Writes a unit of systemd's.
fn native(host: &Host, name: &str, text: &str) {
    host.write(&format!("/run/systemd/system/{name}"), text);
    host.succeed(&["systemctl", "daemon-reload"]);
}

/// A container that depends on other units.
fn dependent(host: &Host, name: &str, relations: &str) {
    let text = format!("[unit]\n{relations}\n{}", shell("exec sleep 100000"));
    host.unit(&format!("{name}.container"), &text);
}

/// Waits until systemd says this of one of its units.
fn wait_native(host: &Host, name: &str, state: &str) {
    let script =
        "while [ \"$(systemctl show --property=ActiveState --value $0)\" != $1 ]; do sleep 0.05; done";
    let done = host.run(&["timeout", "100", "sh", "-c", script, name, state]);
    assert!(done.status.success(), "{name} does not get {state}\n{}", host.recent());
}

fn kill_manager(host: &Host) {
    host.succeed(&["systemctl", "kill", "--signal=KILL", "--kill-whom=main", "sampand"]);
    host.succeed(&["sampanctl", "list-units"]);
}

/// A service that is up once somebody writes to `/run/gate`.
fn gated(host: &Host) {
    host.succeed(&["mkfifo", "/run/gate"]);
    let text = "[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=cat /run/gate\n";
    native(host, "gated.service", text);
}

fn open_gate(host: &Host) {
    host.succeed(&["timeout", "100", "sh", "-c", "echo open >/run/gate"]);
}

#[test]
fn a_container_waits_for_the_service_that_it_requires_and_follows_it() {
    let host = Host::with_images(&["hello"]);
    gated(&host);
    dependent(&host, "web", "requires = [\"gated.service\"]\nafter = [\"gated.service\"]");
    for disturbance in ["", "kill", "daemon-reexec", "daemon-reload"] {
        host.succeed(&["sampanctl", "start", "--no-block", "web"]);
        wait_native(&host, "gated.service", "activating");
        match disturbance {
            "" => {}
            "kill" => kill_manager(&host),
            verb => drop(host.succeed(&["systemctl", verb])),
        }
        let jobs = host.succeed(&["sampanctl", "list-jobs", "--no-legend"]);
        assert!(jobs.contains("web.container") && jobs.contains("waiting"), "{disturbance}: {jobs}");
        assert_eq!(host.property("web", "ActiveState"), "inactive");
        open_gate(&host);
        host.wait_property("web", "SubState", "running");
        host.succeed(&["systemctl", "stop", "gated.service"]);
        host.wait_property("web", "ActiveState", "inactive");
        assert_eq!(host.property("web", "Result"), "success");
    }
}

#[test]
fn a_service_that_restarts_restarts_what_requires_it() {
    let host = Host::with_images(&["hello"]);
    native(&host, "db.service", "[Service]\nExecStart=sleep 100000\n");
    dependent(&host, "web", "requires = [\"db.service\"]\nafter = [\"db.service\"]");
    dependent(&host, "part", "part_of = [\"db.service\"]\nafter = [\"db.service\"]");
    dependent(&host, "fan", "wants = [\"db.service\"]\nafter = [\"db.service\"]");
    host.succeed(&["sampanctl", "start", "web", "part", "fan"]);
    wait_native(&host, "db.service", "active");
    // The bus and systemd forget who listens.
    host.succeed(&["systemctl", "restart", "dbus"]);
    host.succeed(&["systemctl", "daemon-reexec"]);
    let runs = || ["web", "part", "fan"].map(|unit| host.property(unit, "InvocationID"));
    let before = runs();
    host.succeed(&["systemctl", "restart", "db.service"]);
    for (number, unit) in ["web", "part"].into_iter().enumerate() {
        host.wait_until("another run", |host| {
            host.property(unit, "InvocationID") != before[number]
                && host.property(unit, "SubState") == "running"
        });
    }
    assert_eq!(runs()[2], before[2], "what only wants it stays");
}

#[test]
fn what_cannot_be_had_is_named_and_only_what_requires_it_fails() {
    let host = Host::with_images(&["hello"]);
    native(&host, "bad.service", "[Service]\nType=oneshot\nExecStart=false\n");
    host.succeed(&["systemctl", "mask", "--runtime", "masked.service"]);
    for (other, reason) in
        [("bad.service", "dependency"), ("nope.service", "not found"), ("masked.service", "masked")]
    {
        dependent(&host, "needs", &format!("requires = [\"{other}\"]\nafter = [\"{other}\"]"));
        let error = String::from_utf8(host.run(&["sampanctl", "start", "needs"]).stderr).expect("UTF-8");
        assert!(error.contains(reason), "{other}: {error}");
        assert_eq!(host.property("needs", "ActiveState"), "inactive");
        let journal = host.succeed(&["journalctl", "--unit=sampand", "--output=cat", "--no-pager"]);
        assert!(error.contains(other) || journal.contains(other), "{other}: {error}{journal}");

        dependent(&host, "wishes", &format!("wants = [\"{other}\"]\nafter = [\"{other}\"]"));
        host.succeed(&["sampanctl", "start", "wishes"]);
        host.succeed(&["sampanctl", "stop", "wishes"]);
    }
}

#[test]
fn a_container_that_is_bound_to_a_mount_goes_with_it() {
    let host = Host::with_images(&["hello"]);
    native(&host, "run-data.mount", "[Mount]\nWhat=tmpfs\nWhere=/run/data\nType=tmpfs\n");
    dependent(&host, "web", "binds_to = [\"run-data.mount\"]\nafter = [\"run-data.mount\"]");
    for away in [false, true] {
        host.succeed(&["sampanctl", "start", "web"]);
        wait_native(&host, "run-data.mount", "active");
        if away {
            host.succeed(&["sh", "-c", "systemctl stop sampand; umount /run/data; systemctl start sampand"]);
        } else {
            host.succeed(&["umount", "/run/data"]);
        }
        host.wait_property("web", "ActiveState", "inactive");
        assert_eq!(host.property("web", "Result"), "success");
    }
}

#[test]
fn what_goes_down_while_the_manager_is_away_takes_along_only_what_is_bound_to_it() {
    let host = Host::with_images(&["hello"]);
    native(&host, "db.service", "[Service]\nExecStart=sleep 100000\n");
    dependent(&host, "needs", "requires = [\"db.service\"]\nafter = [\"db.service\"]");
    dependent(&host, "bound", "binds_to = [\"db.service\"]\nafter = [\"db.service\"]");
    host.succeed(&["sampanctl", "start", "needs", "bound"]);
    let before = host.property("needs", "MainPID");
    // systemd does not tell afterwards whether somebody stopped it or it ended by itself.
    for unit in ["sampand", "db.service"] {
        host.succeed(&["systemctl", "stop", unit]);
    }
    host.succeed(&["systemctl", "start", "sampand"]);
    host.wait_property("bound", "ActiveState", "inactive");
    assert_eq!(host.property("needs", "MainPID"), before);
    host.succeed(&["sampanctl", "start", "bound"]);
    wait_native(&host, "db.service", "active");
    host.succeed(&["systemctl", "stop", "db.service"]);
    for unit in ["needs", "bound"] {
        host.wait_property(unit, "ActiveState", "inactive");
    }
}

#[test]
fn a_container_needs_the_mounts_of_its_paths() {
    let host = Host::with_images(&["hello"]);
    let mount = |what: &str| format!("[Mount]\nWhat={what}\nWhere=/srv/my-data\nType=tmpfs\n");
    native(&host, "srv-my\\x2ddata.mount", &mount("tmpfs"));
    let bind = "[mount.\"/data\"]\ntype = \"bind\"\nsource = \"/srv/my-data\"\noptions = [\"noidmap\"]\n";
    host.unit("binds.container", &(shell("exec sleep 100000") + bind));
    dependent(&host, "named", "requires_mounts_for = [\"/srv/my-data/web\"]");
    dependent(&host, "wants", "wants_mounts_for = [\"/srv/my-data/web\"]");
    dependent(&host, "other", "requires_mounts_for = [\"/srv/my\"]");
    let state =
        || host.succeed(&["systemctl", "show", "--property=ActiveState", "--value", "srv-my\\x2ddata.mount"]);
    for unit in ["binds", "named", "wants"] {
        assert_eq!(state(), "inactive\n");
        host.succeed(&["sampanctl", "start", "other", unit]);
        assert_eq!(state(), "active\n");
        host.succeed(&["systemctl", "stop", "srv-my\\x2ddata.mount"]);
        if unit == "wants" {
            assert_eq!(host.property(unit, "ActiveState"), "active");
            continue;
        }
        // What is still seen of it inside goes with the container.
        host.wait_property(unit, "ActiveState", "inactive");
        assert_eq!(host.property(unit, "Result"), "success");
    }
    assert_eq!(host.property("other", "ActiveState"), "active");
    host.succeed(&["sampanctl", "stop", "wants"]);

    native(&host, "srv-my\\x2ddata.mount", &mount("tmpfs").replace("Type=tmpfs", "Type=nonesuch"));
    let told = host.fail(1, &["sampanctl", "start", "named"]);
    assert!(told.contains("A dependency job for named.container failed"), "{told}");
    let jobs = host.succeed(&["journalctl", "--unit=sampand", "--output=cat", "--no-pager"]);
    assert!(jobs.contains("srv-my\\x2ddata.mount"), "{jobs}");
    host.succeed(&["sampanctl", "start", "wants"]);
}
