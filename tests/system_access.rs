//! Who may do what over the bus: root, a user without a rule of polkit, and a user with one.

mod support;

use support::host::Host;
use support::units::shell;

/// Runs a command as the user `nobody`.
const NOBODY: [&str; 4] = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"];

/// A host with two units, on which a rule of polkit speaks for `nobody`: what it decides is JavaScript.
fn host(rule: &str) -> Host {
    let host = Host::with_images(&["hello"]);
    for unit in ["web", "db"] {
        host.unit(
            &format!("{unit}.container"),
            &(shell("exec sleep 1000")
                + "environment = { PASSWORD = \"hunter2\" }\n[install]\nwanted_by = [\"default.target\"]\n"),
        );
    }
    host.write(
        "/etc/polkit-1/rules.d/10-test.rules",
        &format!(
            "polkit.addRule(function(action, subject) {{ if (subject.user == 'nobody') {{ {rule} }} }});\n"
        ),
    );
    host
}

fn as_nobody<'a>(words: &[&'a str]) -> Vec<&'a str> {
    [&NOBODY, words].concat()
}

/// A call of the manager as nobody, which fails with this error.
fn refused(host: &Host, error: &str, call: &[&str]) -> String {
    let words = [&["busctl", "call", "org.sampan1", "/org/sampan1", "org.sampan1.Manager"], call].concat();
    let text = host.fail(1, &as_nobody(&words));
    assert!(text.contains(error), "{call:?}: {text}");
    text
}

#[test]
fn looking_is_free_and_changing_is_not() {
    let host = host("");
    host.succeed(&["sampanctl", "start", "web"]);
    assert_eq!(host.succeed(&as_nobody(&["sampanctl", "is-active", "web"])), "active\n");
    assert!(host.succeed(&as_nobody(&["sampanctl", "list-units"])).contains("web.container"));
    assert!(host.succeed(&as_nobody(&["sampanctl", "status", "web"])).contains("active (running)"));
    assert!(host.succeed(&as_nobody(&["sampanctl", "show", "web"])).contains("MainPID="));
    host.succeed(&as_nobody(&["busctl", "introspect", "org.sampan1", "/org/sampan1"]));

    let told = host.fail(4, &as_nobody(&["sampanctl", "stop", "web"]));
    assert!(told.contains("org.sampan1.manage-units (stop web.container)"), "{told}");
    for call in [
        ["StartUnit", "ss", "db.container", "replace"].as_slice(),
        &["RestartUnit", "ss", "web.container", "replace"],
        &["KillUnit", "ssi", "web.container", "all", "9"],
        &["FreezeUnit", "s", "web.container"],
        &["CleanUnit", "sas", "web.container", "1", "all"],
        &["SetUnitProperties", "sba(sv)", "web.container", "true", "1", "MemoryMax", "t", "1"],
        &["ResetFailed"],
        &["Reload"],
        &["EnableUnitFiles", "asbb", "1", "web.container", "false", "false"],
        &["MaskUnitFiles", "asbb", "1", "web.container", "false", "false"],
        &["Plan", "s", "web.container"],
    ] {
        refused(&host, "Interactive authentication required: org.sampan1.", call);
    }
    let told = host.fail(4, &as_nobody(&["sampanctl", "exec", "web", "true"]));
    assert!(told.contains("org.sampan1.exec (exec web.container)"), "{told}");
    assert_eq!(host.property("web", "ActiveState"), "active");
    assert_eq!(host.property("web", "MemoryMax"), "infinity");
    assert_eq!(host.succeed(&["sampanctl", "is-active", "web"]), "active\n");
}

#[test]
fn a_rule_allows_one_verb_of_one_unit() {
    let host = host(
        "if (action.id == 'org.sampan1.manage-units' && action.lookup('unit') == 'web.container' &&
             action.lookup('verb') == 'start') return polkit.Result.YES;",
    );
    host.succeed(&as_nobody(&["sampanctl", "start", "web"]));
    assert_eq!(host.property("web", "ActiveState"), "active");
    host.fail(4, &as_nobody(&["sampanctl", "stop", "web"]));
    host.fail(4, &as_nobody(&["sampanctl", "start", "db"]));
    assert_eq!(host.property("db", "ActiveState"), "inactive");
    host.fail(4, &as_nobody(&["sampanctl", "exec", "web", "true"]));
}

#[test]
fn an_alias_does_not_go_around_a_rule() {
    let host = host(
        "if (action.lookup('unit') == 'web.container') return polkit.Result.NO; return polkit.Result.YES;",
    );
    host.succeed(&["ln", "-s", "web.container.toml", "/etc/sampan/units/site.container.toml"]);
    host.succeed(&["sampanctl", "daemon-reload"]);
    host.fail(4, &as_nobody(&["sampanctl", "start", "site"]));
    host.succeed(&as_nobody(&["sampanctl", "start", "db"]));
}

#[test]
fn rules_for_exec_unit_files_and_the_plan() {
    let host = host("if (action.id.indexOf('org.sampan1.') == 0) return polkit.Result.YES;");
    host.succeed(&as_nobody(&["sampanctl", "start", "web"]));
    assert_eq!(
        host.succeed(&as_nobody(&["sampanctl", "exec", "web", "sh", "-c", "echo $PASSWORD"])),
        "hunter2\n"
    );
    let manager = ["busctl", "call", "org.sampan1", "/org/sampan1", "org.sampan1.Manager"];
    let call = |words: &[&str]| host.succeed(&as_nobody(&[&manager, words].concat()));
    let changes = call(&["EnableUnitFiles", "asbb", "1", "web.container", "false", "false"]);
    assert!(changes.starts_with("ba(sss) true 1 \"symlink\""), "{changes}");
    assert_eq!(call(&["GetUnitFileState", "s", "web.container"]), "s \"enabled\"\n");
    assert!(call(&["DisableUnitFiles", "asb", "1", "web.container", "false"]).contains("\"unlink\""));
    assert!(call(&["EnableUnitFiles", "asbb", "1", "web.container", "true", "false"]).contains("/run/"));
    assert_eq!(call(&["GetUnitFileState", "s", "web.container"]), "s \"enabled-runtime\"\n");
    let wants = call(&[
        "AddDependencyUnitFiles",
        "asssbb",
        "1",
        "db.container",
        "web.container",
        "Wants",
        "false",
        "false",
    ]);
    assert!(wants.contains("web.container.wants/db.container"), "{wants}");
    assert_eq!(call(&["GetDefaultTarget"]), "s \"default.target\"\n");
    assert!(call(&["Plan", "s", "web.container"]).contains("hunter2"));
}

#[test]
fn nothing_that_everybody_may_read_holds_a_secret() {
    let host = host("");
    host.succeed(&["sampanctl", "start", "web"]);
    let (bad, text) =
        ("/etc/sampan/units/bad.container.toml", "[container]\nimage = \"x\"\npasswrod = \"hunter2\"\n");
    host.write(bad, text);
    host.succeed(&["chmod", "600", bad]);
    host.succeed(&["sampanctl", "daemon-reload"]);
    for unit in ["web", "bad"] {
        let shown = host.succeed(&as_nobody(&["sampanctl", "show", "--all", unit]));
        assert!(!shown.contains("hunter2"), "{shown}");
    }
    assert!(host.succeed(&["sampanctl", "show", "bad"]).contains("hunter2"), "root may read the file");
}

#[test]
fn a_password_is_asked_for_only_where_the_caller_allows_it() {
    let host = host("return polkit.Result.AUTH_ADMIN;");
    let call = ["StartUnit", "ss", "web.container", "replace"];
    refused(&host, "Interactive authentication required", &call);
    // There is no agent that could ask.
    refused(
        &host,
        "Interactive authentication required",
        &[&["--allow-interactive-authorization=yes", "--timeout=60"], call.as_slice()].concat(),
    );
    assert_eq!(host.property("web", "ActiveState"), "inactive");
}

#[test]
fn without_polkit_only_root_changes_anything() {
    let host = host("return polkit.Result.YES;");
    host.succeed(&["systemctl", "mask", "--now", "polkit.service"]);
    let told = host.fail(4, &as_nobody(&["sampanctl", "start", "web"]));
    assert!(told.contains("Access denied: org.sampan1.manage-units (start web.container)"), "{told}");
    host.succeed(&["rm", "/usr/share/dbus-1/system-services/org.freedesktop.PolicyKit1.service"]);
    host.succeed(&["busctl", "call", "org.freedesktop.DBus", "/", "org.freedesktop.DBus", "ReloadConfig"]);
    let told = host.fail(4, &as_nobody(&["sampanctl", "start", "web"]));
    assert!(told.contains("polkit, which could allow it, is not installed"), "{told}");
    host.answer(3, &as_nobody(&["sampanctl", "is-active", "web"]));
}

#[test]
fn a_caller_that_leaves_does_not_get_what_it_asked_for() {
    // The rule runs a program, during which the caller leaves.
    let host = host(
        "polkit.spawn(['/bin/sh', '-c', 'echo asked >/srv/asked; cat /srv/answer']); return polkit.Result.YES;",
    );
    host.succeed(&["mkfifo", "--mode=666", "/srv/asked", "/srv/answer"]);
    host.succeed(&["systemd-run", "--unit=caller", "--uid=nobody", "sampanctl", "start", "web"]);
    host.succeed(&["timeout", "100", "cat", "/srv/asked"]);
    host.succeed(&["systemctl", "stop", "caller"]);
    host.succeed(&["timeout", "100", "sh", "-c", "echo go >/srv/answer"]);
    host.journal(&["--unit=sampand"]).wait("the caller is gone");
    assert_eq!(host.property("web", "ActiveState"), "inactive");
}

#[test]
fn who_waits_for_polkit_keeps_nobody_else_waiting() {
    let host = host("polkit.spawn(['/bin/sh', '-c', 'echo asked >/srv/asked; cat /srv/answer']);");
    host.succeed(&["mkfifo", "--mode=666", "/srv/asked", "/srv/answer"]);
    // A registry that takes connections and says nothing.
    let _registry = host.in_network(|| std::net::TcpListener::bind("127.0.0.1:5000").unwrap());
    let manager = ["busctl", "call", "org.sampan1", "/org/sampan1", "org.sampan1.Manager"];
    host.succeed(&[&manager, ["PullImage", "sa{sv}", "localhost:5000/web", "0"].as_slice()].concat());
    let transfers = host.succeed(&[&manager, ["ListTransfers"].as_slice()].concat());
    let id = transfers.split_whitespace().nth(2).unwrap_or_default();
    let cancel = ["CancelTransfer", "u", id];
    host.succeed(&[&["systemd-run", "--unit=caller", "--uid=nobody"], manager.as_slice(), &cancel].concat());
    host.succeed(&["timeout", "30", "cat", "/srv/asked"]);
    host.succeed(&as_nobody(&["sampanctl", "list-units"]));
    assert_eq!(host.succeed(&["systemctl", "is-active", "caller"]), "active\n", "it was answered before");
}
