//! Unit files that change while their units run: broken ones, what a reload would do, and what editing does.

mod support;

use support::host::Host;
use support::units::{shell, socket};

/// The state that systemd's own users would look at.
fn loaded(host: &Host, unit: &str) -> (String, String, String) {
    let property = |name| host.property(unit, name);
    (property("LoadState"), property("ActiveState"), property("SubState"))
}

fn words(state: &str, active: &str, sub: &str) -> (String, String, String) {
    (state.to_owned(), active.to_owned(), sub.to_owned())
}

#[test]
fn a_broken_file_leaves_its_last_good_version_running_whatever_happens_to_the_daemon() {
    let host = Host::with_images(&["hello"]);
    let good = shell("echo begun; exec sleep 1000") + "restart = \"always\"\nrestart_delay = \"10ms\"\n";
    host.unit("web.container", &good);
    host.succeed(&["sampanctl", "start", "web"]);
    let first = host.property("web", "MainPID");
    host.unit("web.container", &(good.clone() + "memory_max = \"1G\"\n"));
    assert_eq!(loaded(&host, "web"), words("bad", "active", "running"));
    let status = host.succeed(&["sampanctl", "status", "web"]);
    for part in ["Loaded: bad", "web.container.toml:7:1", "memory_max", "[resources]"] {
        assert!(status.contains(part), "{part}: {status}");
    }
    let listed = host.succeed(&["sampanctl", "list-units", "--no-legend"]);
    let row = listed.lines().find(|line| line.contains("web.container")).expect("it is listed");
    assert!(row.split_whitespace().any(|word| word == "bad"), "{row}");

    // A restart that somebody asks for is refused, and takes nothing down.
    let refusal = host.fail(1, &["sampanctl", "restart", "web"]);
    assert!(refusal.contains("bad unit file"), "{refusal}");
    assert_eq!(host.property("web", "MainPID"), first);
    // It is up, which is enough for a unit that needs it.
    host.unit(
        "app.container",
        &(String::from("[unit]\nrequires = [\"web.container\"]\nafter = [\"web.container\"]\n") + &good),
    );
    host.succeed(&["sampanctl", "start", "app"]);

    // A daemon that dies and comes back knows the version that runs, and restarts the payload with it.
    host.succeed(&["systemctl", "kill", "--signal=SIGKILL", "sampand"]);
    host.wait_until("the daemon is back", |host| {
        host.run(&["sampanctl", "is-active", "web"]).status.success()
    });
    assert_eq!(loaded(&host, "web"), words("bad", "active", "running"));
    assert_eq!(host.property("web", "MainPID"), first);
    host.succeed(&["sampanctl", "kill", "--signal=SIGKILL", "web"]);
    host.wait_until("the payload runs again", |host| {
        let pid = host.property("web", "MainPID");
        pid != first && pid != "0" && host.property("web", "SubState") == "running"
    });
    assert_eq!(loaded(&host, "web").0, "bad");

    host.unit("web.container", &good);
    assert_eq!(loaded(&host, "web"), words("loaded", "active", "running"));
    host.succeed(&["sampanctl", "restart", "web"]);
    host.succeed(&["sampanctl", "stop", "web"]);
}

#[test]
fn a_unit_without_its_file_keeps_its_sockets_and_can_be_stopped() {
    let host = Host::with_images(&["servers"]);
    let program = "import socket,os\ns=socket.socket(fileno=3)\nwhile True:\n c,_=s.accept(); c.recv(99); c.sendall(b'HTTP/1.0 200 OK\\r\\n\\r\\nhere'); c.close()";
    host.unit("web.container", &(support::units::python(program) + &socket("0.0.0.0:8080", "\"fd\"")));
    host.succeed(&["sampanctl", "start", "web"]);
    host.succeed(&["rm", "/etc/sampan/units/web.container.toml"]);
    host.succeed(&["systemctl", "restart", "sampand"]);
    assert_eq!(loaded(&host, "web"), words("not-found", "active", "listening"));
    assert!(host.get("127.0.0.1:8080").ends_with("here"));
    host.succeed(&["sampanctl", "stop", "web"]);
    assert!(host.connect("127.0.0.1:8080").is_err());
    assert_eq!(host.answer(4, &["sampanctl", "is-active", "web"]), "inactive\n");
}

#[test]
fn a_plan_says_what_apply_does() {
    let host = Host::with_images(&["hello"]);
    let unit = |script: &str| shell(script) + "[install]\nwanted_by = [\"default.target\"]\n";
    for name in ["web", "same", "old", "gone"] {
        host.unit(&format!("{name}.container"), &unit("exec sleep 1000"));
        host.succeed(&["sampanctl", "enable", "--now", name]);
    }
    assert_eq!(host.succeed(&["sampanctl", "plan"]), "Nothing to do.\n");
    host.answer(0, &["sampanctl", "plan", "--detailed-exitcode"]);

    let write =
        |name: &str, text: &str| host.write(&format!("/etc/sampan/units/{name}.container.toml"), text);
    write("web", &unit("exec sleep 2000"));
    write("same", &(String::from("[unit]\ndescription = \"Same\"\n") + &unit("exec sleep 1000")));
    write("new", &unit("exec sleep 1000"));
    host.succeed(&["sampanctl", "enable", "--no-reload", "new"]);
    host.succeed(&["sampanctl", "disable", "--no-reload", "old"]);
    host.succeed(&["rm", "/etc/sampan/units/gone.container.toml"]);
    let before = host.property("same", "InvocationID");
    let plan = host.answer(2, &["sampanctl", "plan", "--detailed-exitcode"]);
    for line in [
        "- stop gone.container: its file is gone",
        "+ start new.container: it is enabled",
        "- stop old.container: nothing wants it any more",
        "~ update same.container: its files have changed",
        "    unit.description: \"same.container\" → \"Same\"",
        "~ restart web.container: its files have changed",
        "    container.command: [\"exec sleep 1000\"] → [\"exec sleep 2000\"]",
    ] {
        assert!(plan.lines().any(|found| found == line), "{line}\n{plan}");
    }
    assert_eq!(host.succeed(&["sampanctl", "apply", "--dry-run"]), plan);
    assert_eq!(host.property("new", "ActiveState"), "inactive");
    let json = host.succeed(&["sampanctl", "plan", "--output=json"]);
    assert!(json.contains(r#""unit":"web.container","action":"restart""#), "{json}");

    host.answer(2, &["sampanctl", "apply", "--detailed-exitcode"]);
    for (name, state) in [("web", "active"), ("new", "active"), ("same", "active"), ("old", "inactive")] {
        assert_eq!(host.property(name, "ActiveState"), state, "{name}");
    }
    assert_eq!(host.property("same", "InvocationID"), before);
    host.answer(4, &["sampanctl", "is-active", "gone"]);
    assert_eq!(host.succeed(&["sampanctl", "plan"]), "Nothing to do.\n");

    // One that has errors stops no other, and is told.
    write("new", "[container]\nimagee = \"x\"\n");
    write("web", &unit("exec sleep 3000"));
    let output = host.run(&["sampanctl", "apply"]);
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("did you mean \"image\"?") && text.contains("! keep new.container"), "{text}");
    assert_eq!(host.property("new", "ActiveState"), "active");
    assert_eq!(host.property("new", "LoadState"), "bad");
}

/// No file has the name of an instance, and nothing but its start has asked for it.
#[test]
fn a_plan_reads_instances_through_their_templates() {
    let host = Host::with_images(&["hello"]);
    host.unit("worker@.container", &shell("exec sleep 1000"));
    host.succeed(&["sampanctl", "start", "worker@blue"]);
    assert_eq!(host.succeed(&["sampanctl", "plan"]), "Nothing to do.\n");
    host.succeed(&["sampanctl", "apply"]);
    assert_eq!(host.succeed(&["sampanctl", "is-active", "worker@blue"]), "active\n");

    let template = "/etc/sampan/units/worker@.container.toml";
    host.write(template, &shell("exec sleep 2000"));
    let plan = host.succeed(&["sampanctl", "plan"]);
    assert!(plan.starts_with("~ restart worker@blue.container: its files have changed\n"), "{plan}");
    host.write(template, "[container]\nimagee = \"x\"\n");
    let plan = host.answer(1, &["sampanctl", "plan"]);
    assert!(plan.starts_with("! keep worker@blue.container: its files have errors\n"), "{plan}");
    host.succeed(&["rm", template]);
    let plan = host.succeed(&["sampanctl", "plan"]);
    assert!(plan.starts_with("- stop worker@blue.container: its file is gone\n"), "{plan}");
}

/// What `enable`, links, drop-ins and instances come to once the manager and systemd see them.
#[test]
fn units_are_pulled_in_by_targets_of_ours_and_of_systemd() {
    let host = Host::with_images(&["hello"]);
    let unit = |install: &str| shell("exec sleep 1000") + "[install]\n" + install + "\n";
    host.unit("ours.container", &unit("wanted_by = [\"default.target\"]"));
    host.unit("native.container", &unit("wanted_by = [\"multi-user.target\"]"));
    host.unit("worker@.container", &unit("wanted_by = [\"default.target\"]\ndefault_instance = \"main\""));
    host.unit("named.container", &unit("alias = [\"other.container\"]"));
    host.write("/usr/lib/sampan/units/masked.container.toml", &unit("wanted_by = [\"default.target\"]"));
    host.unit("linked.container", &shell("exec sleep 1000"));
    host.succeed(&["sampanctl", "enable", "ours", "native", "worker@", "worker@blue", "named", "masked"]);
    host.succeed(&["sampanctl", "add-requires", "default.target", "linked"]);
    host.succeed(&["sampanctl", "mask", "masked"]);
    let links = host.succeed(&[
        "find",
        "/etc/sampan/units",
        "/etc/systemd/system",
        "-type",
        "l",
        "-path",
        "*sampan*",
    ]);
    for link in [
        "/etc/sampan/units/default.target.wants/ours.container.toml",
        "/etc/sampan/units/default.target.wants/worker@main.container.toml",
        "/etc/sampan/units/default.target.wants/worker@blue.container.toml",
        "/etc/sampan/units/default.target.requires/linked.container.toml",
        "/etc/sampan/units/other.container.toml",
        "/etc/systemd/system/multi-user.target.wants/sampan@native.service",
    ] {
        assert!(links.lines().any(|found| found == link), "{link}\n{links}");
    }
    host.succeed(&["systemctl", "enable", "sampand"]);
    host.reboot();
    for name in ["ours", "native", "worker@main", "worker@blue", "linked"] {
        host.wait_property(name, "ActiveState", "active");
    }
    assert_eq!(host.property("masked", "LoadState"), "masked");
    assert_eq!(host.property("masked", "ActiveState"), "inactive");
    assert!(host.fail(1, &["sampanctl", "start", "masked"]).contains("masked"));
    assert_eq!(host.property("other", "Id"), "named.container");
    host.succeed(&["sampanctl", "start", "other"]);
    assert_eq!(host.property("named", "ActiveState"), "active");
    assert_eq!(host.succeed(&["sampanctl", "is-enabled", "worker@blue"]), "enabled\n");
    assert_eq!(host.succeed(&["sampanctl", "plan"]), "Nothing to do.\n");
}

#[test]
fn drop_ins_of_a_type_a_prefix_a_template_and_an_instance_all_count() {
    let host = Host::with_images(&["hello"]);
    let variable = |name: &str, value: &str| format!("[container.environment]\n{name} = \"{value}\"\n");
    for (path, text) in [
        ("/usr/lib/sampan/units/container.d/10-type.toml", variable("TYPE", "%n")),
        ("/run/sampan/units/shop-.container.d/10-prefix.toml", variable("PREFIX", "yes")),
        ("/etc/sampan/units/shop-web@.container.toml.d/10-template.toml", variable("TEMPLATE", "%i")),
        ("/etc/sampan/units/shop-web@blue.container.toml.d/20-instance.toml", variable("INSTANCE", "blue")),
        ("/etc/sampan/units/shop-web@blue.container.toml.d/10-prefix.toml", variable("PREFIX", "own")),
    ] {
        host.write(path, &text);
    }
    host.unit("shop-web@.container", &shell("env; echo printed; exec sleep 1000"));
    host.succeed(&["sampanctl", "start", "shop-web@blue", "shop-web@red"]);
    let environment = |unit: &str| {
        host.wait_log(&unit.replace('@', ":"), "printed");
        let text = host.succeed(&["sampanctl", "logs", unit, "--output=cat"]);
        let words = ["TYPE=", "PREFIX=", "TEMPLATE=", "INSTANCE="];
        let mut lines: Vec<String> = text
            .lines()
            .filter(|line| words.iter().any(|word| line.starts_with(word)))
            .map(str::to_owned)
            .collect();
        lines.sort();
        lines.join(" ")
    };
    assert_eq!(
        environment("shop-web@blue"),
        "INSTANCE=blue PREFIX=own TEMPLATE=blue TYPE=shop-web@blue.container"
    );
    assert_eq!(environment("shop-web@red"), "PREFIX=yes TEMPLATE=red TYPE=shop-web@red.container");
    let status = host.succeed(&["sampanctl", "status", "shop-web@blue"]);
    assert!(status.contains("20-instance.toml"), "{status}");
}

/// What stands in place of a unit's file is looked at, and neither followed nor waited for.
#[test]
fn no_file_of_a_unit_holds_up_or_brings_down_the_daemon() {
    let host = Host::with_images(&["hello"]);
    host.unit("good.container", &shell("exec sleep 1000"));
    host.succeed(&["sampanctl", "start", "good"]);
    let script = "cd /etc/sampan/units; mkfifo fifo.container.toml; mkdir directory.container.toml; \
        ln -s gone.container.toml dangling.container.toml; ln -s loop.container.toml loop.container.toml; \
        ln -s /dev/zero zero.container.toml; \
        head -c 2000000 /dev/zero | tr '\\0' '#' >long.container.toml; printf '\\377\\376a' >wide.container.toml; \
        mkdir -p good.container.d; mkfifo good.container.d/10-fifo.toml";
    host.succeed(&["sh", "-c", script]);
    let reload = host.run(&["sampanctl", "daemon-reload"]);
    let warnings = String::from_utf8_lossy(&reload.stderr).into_owned();
    assert!(
        reload.status.success() && warnings.contains("The files of fifo.container have errors"),
        "{warnings}"
    );
    for name in ["fifo", "directory", "dangling", "loop", "zero", "long", "wide", "good"] {
        assert_eq!(host.property(name, "LoadState"), "bad", "{name}");
    }
    assert_eq!(host.property("good", "ActiveState"), "active");
    let found = host.fail(1, &["sampanctl", "verify"]);
    for text in [
        "this is a directory, not a unit file",
        "this is not a regular file",
        "gone.container.toml, which does not exist",
        "leads back to itself",
        "longer than 1 MiB",
        "not valid UTF-8",
    ] {
        assert!(found.contains(text), "{text}\n{found}");
    }
    host.succeed(&["sampanctl", "stop", "good"]);
}
