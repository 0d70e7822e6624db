//! `sampan@NAME.service`: units of Sampan as units of systemd.

mod support;

use support::host::Host;
use support::units::shell;

fn state(host: &Host, service: &str) -> String {
    host.succeed(&["systemctl", "show", "--property=ActiveState", "--value", service]).trim().to_owned()
}

/// Makes a service of systemd's that depends on one of ours.
fn service(host: &Host, name: &str, relation: &str, ours: &str) {
    let unit =
        format!("[Unit]\n{relation}={ours}.service\nAfter={ours}.service\n[Service]\nExecStart=sleep 1000\n");
    host.write(&format!("/run/systemd/system/{name}.service"), &unit);
    host.succeed(&["systemctl", "daemon-reload"]);
}

fn wait_state(host: &Host, service: &str, wanted: &str) {
    let script = format!(
        "while [ \"$(systemctl show --property=ActiveState --value '{service}')\" != {wanted} ]; do sleep 0.05; done"
    );
    let done = host.run(&["timeout", "100", "sh", "-c", &script]);
    assert!(done.status.success(), "{service} is {}, not {wanted}: {}", state(host, service), host.recent());
}

#[test]
fn the_units_of_this_project_are_clean() {
    let host = Host::boot();
    for unit in ["sampand.service", "sampan@web.service", "sampan.slice"] {
        let checked = host.run(&["systemd-analyze", "verify", "--man=no", unit]);
        let text = String::from_utf8_lossy(&checked.stderr).into_owned();
        assert!(checked.status.success() && !text.contains("sampan"), "{unit}: {text}");
    }
}

#[test]
fn a_service_starts_its_unit_and_goes_down_with_it() {
    let host = Host::with_images(&["hello"]);
    host.unit("web.container", &shell("exec sleep 1000"));
    host.unit("my-web@.container", &shell("exec sleep 1000"));
    for (service, unit) in [
        ("sampan@web", "web"),
        ("sampan@my-web@blue", "my-web@blue"),
        (r"sampan@my\x2dweb\x40green", "my-web@green"),
    ] {
        host.succeed(&["systemctl", "start", service]);
        assert_eq!(
            (host.property(unit, "SubState"), state(&host, service)),
            ("running".into(), "active".into())
        );
        // No process of ours stays.
        let group =
            host.succeed(&["systemctl", "show", "--property=ControlGroup,MainPID,TasksCurrent", service]);
        assert!(group.contains("MainPID=0") && group.contains("TasksCurrent=[not set]"), "{group}");
        host.succeed(&["systemctl", "stop", service]);
        assert_eq!(host.property(unit, "ActiveState"), "inactive");

        host.succeed(&["systemctl", "start", service]);
        host.succeed(&["sampanctl", "restart", unit]);
        assert_eq!(state(&host, service), "active");
        host.succeed(&["sampanctl", "stop", unit]);
        wait_state(&host, service, "inactive");
    }
    let restarts = "restart = \"on-failure\"\nrestart_delay = \"0\"\n";
    host.unit("steady.container", &(shell("exec sleep 1000") + restarts));
    host.succeed(&["systemctl", "start", "sampan@steady"]);
    host.succeed(&["kill", "-KILL", &host.property("steady", "MainPID")]);
    host.wait_property("steady", "NRestarts", "1");
    host.wait_property("steady", "SubState", "running");
    assert_eq!(state(&host, "sampan@steady"), "active");
}

#[test]
fn a_unit_that_fails_is_a_service_that_failed() {
    let host = Host::with_images(&["hello"]);
    host.unit("web.container", &shell("exec sleep 1000"));
    host.write(
        "/run/systemd/system/bound.service",
        "[Unit]\nBindsTo=sampan@web.service\nAfter=sampan@web.service\n[Service]\nExecStart=sleep 1000\n",
    );
    host.write(
        "/run/systemd/system/requiring.service",
        "[Unit]\nRequires=sampan@web.service\nAfter=sampan@web.service\n[Service]\nExecStart=sleep 1000\n",
    );
    host.succeed(&["systemctl", "daemon-reload"]);
    for away in [false, true] {
        host.succeed(&["systemctl", "start", "bound", "requiring"]);
        assert_eq!(host.property("web", "SubState"), "running");
        let pid = host.property("web", "MainPID");
        if away {
            host.succeed(&[
                "sh",
                "-c",
                &format!("systemctl stop sampand; kill -KILL {pid}; systemctl start sampand"),
            ]);
        } else {
            host.succeed(&["kill", "-KILL", &pid]);
        }
        wait_state(&host, "sampan@web", "failed");
        wait_state(&host, "bound", "inactive");
        // systemd.unit(5): Requires= alone does not stop what depends on a unit that ends by itself.
        assert_eq!(state(&host, "requiring"), "active");
        host.succeed(&["systemctl", "stop", "requiring"]);
        host.succeed(&["systemctl", "reset-failed"]);
    }
    host.succeed(&["systemctl", "start", "requiring"]);
    host.succeed(&["sampanctl", "stop", "web"]);
    wait_state(&host, "requiring", "inactive");

    host.unit("broken.container", "[container]\nimage = \"localhost/nope\"\n");
    service(&host, "needing", "Requires", "sampan@broken");
    let error = host.fail(1, &["systemctl", "start", "needing"]);
    assert!(error.contains("dependency"), "{error}");
    assert_eq!(state(&host, "sampan@broken"), "failed");
    assert_eq!(state(&host, "needing"), "inactive");
}

#[test]
fn what_comes_after_a_service_waits_until_its_unit_is_ready() {
    let host = Host::with_images(&["hello"]);
    host.unit(
        "job.container",
        &(shell("while ! test -e /srv/open; do sleep 0.05; done; echo ready")
            + "type = \"oneshot\"\n[mount.\"/srv\"]\ntype = \"bind\"\nsource = \"/srv\"\n"),
    );
    service(&host, "later", "Requires", "sampan@job");
    host.succeed(&["systemctl", "--no-block", "start", "later"]);
    host.wait_property("job", "SubState", "start");
    assert_eq!(state(&host, "later"), "inactive");
    std::fs::write(host.shared().join("open"), "").expect("the gate opens");
    wait_state(&host, "sampan@job", "active");
    wait_state(&host, "later", "active");
    // It has done its work, and nobody stops what needed it.
    assert_eq!(host.property("job", "ActiveState"), "inactive");
    assert_eq!(state(&host, "sampan@job"), "active");
}

#[test]
fn an_enabled_service_starts_its_unit_at_boot() {
    let host = Host::with_images(&["hello"]);
    host.unit("web.container", &shell("exec sleep 1000"));
    host.succeed(&["systemctl", "enable", "sampan@web"]);
    host.reboot();
    wait_state(&host, "sampan@web", "active");
    assert_eq!(host.property("web", "SubState"), "running");
}
