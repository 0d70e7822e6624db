//! What a user sees whom polkit asks for a password: at a terminal, without one, and with `--no-ask-password`.

mod support;

use std::process::Command;
use support::events::Events;
use support::host::Host;
use support::terminal::Terminal;
use support::units::shell;

/// A host with a unit, on which everything takes root's password.
fn host() -> Host {
    let host = Host::with_images(&["hello"]);
    host.unit("web.container", &shell("exec sleep 1000"));
    host.write(
        "/etc/polkit-1/rules.d/10-test.rules",
        "polkit.addRule(function(action, subject) { return polkit.Result.AUTH_ADMIN; });\n",
    );
    host.succeed(&["sh", "-c", "echo root:ahoy | chpasswd"]);
    host
}

#[test]
fn at_a_terminal_the_password_is_asked_for() {
    let host = host();
    let mut terminal = Terminal::of(&host, "nobody", "sampanctl start web");
    terminal.wait("Authentication is required to manage containers and other units.");
    terminal.wait("Password:");
    assert_eq!(host.property("web", "ActiveState"), "inactive");
    terminal.press_secretly(&host, "ahoy\n");
    let (status, shown) = terminal.end();
    assert!(status.success() && shown.contains("AUTHENTICATION COMPLETE"), "{status}: {shown}");
    assert_eq!(host.property("web", "ActiveState"), "active");

    let mut terminal = Terminal::of(&host, "nobody", "sampanctl stop web");
    terminal.wait("Password:");
    terminal.press_secretly(&host, "wrong\n");
    let (status, shown) = terminal.end();
    assert_eq!(status.code(), Some(4), "{shown}");
    assert!(shown.contains("polkit does not allow org.sampan1.manage-units (stop web.container)"), "{shown}");

    // Whatever changes something asks, and the agent ends with the verb.
    for verb in [
        "set-property --runtime web tasks_max=77",
        "freeze web",
        "thaw web",
        "daemon-reload",
        "kill --signal=SIGCONT web",
    ] {
        let mut terminal = Terminal::of(&host, "nobody", &format!("sampanctl {verb}"));
        terminal.wait("Password:");
        terminal.press_secretly(&host, "ahoy\n");
        let (status, shown) = terminal.end();
        assert!(status.success() && shown.contains("AUTHENTICATION COMPLETE"), "{verb}: {status}: {shown}");
    }
    assert_eq!(host.property("web", "TasksMax"), "77");
    host.fail(1, &["pgrep", "pkttyagent"]);
}

#[test]
fn a_command_begins_after_the_password() {
    let host = host();
    host.succeed(&["sampanctl", "start", "web"]);
    let mut terminal = Terminal::of(&host, "nobody", "sampanctl exec -it web sh");
    terminal.wait("Password:");
    terminal.press_secretly(&host, "ahoy\n");
    terminal.wait("# ");
    terminal.press("echo $((41 + 1)) here\n");
    terminal.wait("42 here");
    terminal.press("exit 7\n");
    let (status, shown) = terminal.end();
    assert_eq!(status.code(), Some(7), "{shown}");
}

#[test]
fn nobody_is_asked_who_does_not_want_to_be_or_cannot() {
    let host = host();
    let line = "sampanctl --no-ask-password start web";
    let (status, shown) = Terminal::of(&host, "nobody", line).end();
    assert_eq!(status.code(), Some(4), "{shown}");
    assert!(shown.contains("Interactive authentication required: org.sampan1.manage-units"), "{shown}");
    assert!(!shown.contains("Password"), "{shown}");
    // There is no terminal.
    let told = host.fail(4, &["runuser", "-u", "nobody", "--", "sampanctl", "start", "web"]);
    assert!(told.contains("Interactive authentication required"), "{told}");
    // There is no agent.
    host.succeed(&["rm", "/usr/bin/pkttyagent"]);
    let (status, shown) = Terminal::of(&host, "nobody", "sampanctl start web").end();
    assert_eq!(status.code(), Some(4), "{shown}");
    assert!(shown.contains("Interactive authentication required"), "{shown}");
    assert_eq!(host.property("web", "ActiveState"), "inactive");
}

#[test]
fn a_question_of_a_caller_that_has_left_is_taken_back() {
    let host = host();
    // The agent is another process than the caller, as that of a desktop is.
    host.succeed(&["mkfifo", "--mode=666", "/srv/pid", "/srv/go"]);
    let caller = "echo $$$$ >/srv/pid; read go </srv/go; exec busctl call --allow-interactive-authorization=yes org.sampan1 \
                  /org/sampan1 org.sampan1.Manager StartUnit ss web.container replace";
    host.succeed(&["systemd-run", "--unit=caller", "--uid=nobody", "sh", "-c", caller]);
    let pid = host.succeed(&["timeout", "100", "cat", "/srv/pid"]);
    let agent = format!("pkttyagent --process={}", pid.trim());
    let mut terminal = Terminal::of(&host, "nobody", &agent);
    host.journal(&["--unit=polkit"]).wait("Registered Authentication Agent");
    host.succeed(&["timeout", "100", "sh", "-c", "echo go >/srv/go"]);
    terminal.wait("Password:");
    let mut monitor = Command::new("busctl");
    monitor.arg(format!("--address=unix:path={}", host.path("/run/dbus/system_bus_socket").display()));
    monitor.args(["--match=type='method_call',member='CancelAuthentication'", "monitor"]);
    let mut calls = Events::of_monitor(monitor);
    host.succeed(&["systemctl", "kill", "--signal=SIGKILL", "caller"]);
    // polkit tells the agent that its answer does not matter any more: a window of a desktop goes away.
    calls.wait("CancelAuthentication");
    assert_eq!(host.property("web", "ActiveState"), "inactive");
}
