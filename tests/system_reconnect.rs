//! What containers, clients and users notice when the bus goes away and comes back.

mod support;

use support::host::Host;
use support::units::{shell, socket};

/// Ends the bus, and keeps it from coming back until [`open_gate`].
fn end_bus(host: &Host) {
    host.write("/run/systemd/system/dbus.service.d/gate.conf", "[Service]\nExecStartPre=cat /run/gate\n");
    host.succeed(&["sh", "-c", "test -p /run/gate || mkfifo /run/gate; systemctl daemon-reload"]);
    kill_bus(host);
}

fn kill_bus(host: &Host) {
    let script = "pid=$(systemctl show --property=MainPID --value dbus)
        kill -KILL $pid
        while kill -0 $pid 2>/dev/null; do :; done";
    host.succeed(&["sh", "-c", script]);
}

fn open_gate(host: &Host) {
    let script = "rm /run/systemd/system/dbus.service.d/gate.conf; systemctl daemon-reload; timeout 100 sh -c 'echo open >/run/gate'";
    host.succeed(&["sh", "-c", script]);
}

fn manager(host: &Host) -> String {
    host.succeed(&["systemctl", "show", "--property=MainPID", "--value", "sampand"])
}

fn sleeper() -> String {
    shell("trap 'echo bye; exit 0' TERM; echo up; while :; do sleep 0.1; done")
}

#[test]
fn the_manager_follows_a_bus_that_is_restarted() {
    let host = Host::with_images(&["hello", "web"]);
    let nginx = "[container]\nimage = \"localhost/web\"\n";
    host.unit(
        "idle.container",
        &format!("{nginx}{}", socket("127.0.0.1:8001", "\"swap\"\ntarget = \"0.0.0.0:80\"")),
    );
    for unit in ["one", "two", "three"] {
        host.unit(&format!("{unit}.container"), &sleeper());
    }
    host.succeed(&["sampanctl", "start", "idle", "one", "two", "three"]);
    let before = (manager(&host), host.property("one", "MainPID"));
    for round in 0..3 {
        if round == 1 {
            host.succeed(&["systemctl", "restart", "dbus"]);
        } else {
            kill_bus(&host);
        }
        // A connection starts a container as soon as systemd can be asked.
        assert!(host.get("127.0.0.1:8001").contains("Hello from nginx"));
        assert_eq!((manager(&host), host.property("one", "MainPID")), before);
        host.succeed(&["sampanctl", "restart", "two"]);
        host.succeed(&["sampanctl", "stop", "idle"]);
        host.succeed(&["sampanctl", "start", "idle"]);
    }
    // systemd has forgotten who controls the scope of the first, and knows who started the second.
    for unit in ["one", "two"] {
        host.succeed(&["systemctl", "stop", &host.property(unit, "Scope")]);
        host.wait_property(unit, "ActiveState", "inactive");
        assert_eq!(host.property(unit, "Result"), "success");
    }
    assert_eq!(host.property("three", "SubState"), "running");
}

#[test]
fn a_scope_is_stopped_whomever_systemd_believes_to_control_it() {
    let host = Host::with_images(&["hello"]);
    host.unit("web.container", &(sleeper() + "start_limit = { burst = 0 }\n"));
    for _ in 0..4 {
        host.succeed(&["sampanctl", "start", "web"]);
        // systemd keeps the name that the scope's controller had on the old bus, and asks whoever has it now.
        host.succeed(&["systemctl", "restart", "dbus"]);
        let scope = host.property("web", "Scope");
        host.succeed(&["systemctl", "stop", &scope]);
        host.wait_property("web", "ActiveState", "inactive");
        assert_eq!(host.property("web", "Result"), "success");
    }
}

#[test]
fn what_is_wanted_while_there_is_no_bus_happens_when_it_is_back() {
    let host = Host::with_images(&["hello"]);
    let script = "test -e /run/once || { echo up; sleep 1000; }";
    host.unit("web.container", &(shell(script) + "restart = \"always\"\nrestart_delay = \"0\"\n"));
    host.unit("stopped.container", &sleeper());
    host.succeed(&["sampanctl", "start", "web", "stopped"]);
    let before = manager(&host);
    let (pid, scope) = (host.property("web", "MainPID"), host.property("stopped", "Scope"));
    end_bus(&host);
    // Root needs no bus.
    host.succeed(&["timeout", "25", "sampanctl", "status", "web"]);
    let error =
        host.fail(1, &["runuser", "-u", "nobody", "--", "timeout", "25", "sampanctl", "status", "web"]);
    assert!(error.contains("system bus"), "{error}");
    host.succeed(&["kill", "-KILL", &pid]);
    host.succeed(&["systemctl", "stop", &scope]);
    open_gate(&host);
    host.wait_until("web runs again", |host| host.property("web", "NRestarts") == "1");
    host.wait_property("web", "SubState", "running");
    host.wait_property("stopped", "ActiveState", "inactive");
    assert_eq!(host.property("stopped", "Result"), "success");
    assert_eq!(manager(&host), before);
}
