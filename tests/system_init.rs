//! Containers whose first process is an init, as the manager and its user see them.

mod support;

use support::host::Host;
use support::units::{python, shell};

#[test]
fn a_payload_below_the_minimal_init_is_the_main_process() {
    let host = Host::with_images(&["servers"]);
    let payload = "import os, signal, socket, sys, time
signal.signal(signal.SIGHUP, lambda *_: print('hup', flush=True))
notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
notify.sendto(b'READY=1', os.environ['NOTIFY_SOCKET'])
print('number', os.getpid(), flush=True)
while True:
    time.sleep(1000)
";
    host.unit("web.container", &(python(payload) + "init = true\ntype = \"notify\"\n"));
    host.succeed(&["sampanctl", "start", "web"]);
    let of = |pid: &str| {
        host.succeed(&["sed", "-n", "s/^NSpid:.*\\t//p", &format!("/proc/{pid}/status")]).trim().to_owned()
    };
    assert_eq!(of(&host.property("web", "MainPID")), "2");
    host.succeed(&["sampanctl", "kill", "--kill-whom=main", "-s", "HUP", "web"]);
    host.wait_until("the signal", |host| host.succeed(&["sampanctl", "logs", "web"]).contains("hup"));
    let listed =
        host.succeed(&["sampanctl", "exec", "web", "python3", "-c", "print(open('/proc/1/comm').read())"]);
    assert_eq!(listed.trim(), "sampan-init");
    // A successor of the manager finds it, and stops it in time.
    host.succeed(&["systemctl", "restart", "sampand"]);
    assert_eq!(host.property("web", "ActiveState"), "active");
    assert_eq!(of(&host.property("web", "MainPID")), "2");
    host.succeed(&["sampanctl", "stop", "web"]);
    let end = ["ActiveState", "SubState", "Result"].map(|name| host.property("web", name));
    assert_eq!(end, ["inactive", "dead", "success"]);
}

#[test]
fn a_container_with_an_init_ends_as_its_payload() {
    let host = Host::with_images(&["hello"]);
    for (script, result, status) in [
        ("exit 0", "success", "0"),
        ("exit 3", "exit-code", "3"),
        ("kill -KILL $$", "signal", "9"),
        ("kill -TERM $$", "success", "15"),
    ] {
        host.unit("web.container", &(shell(script) + "init = true\n"));
        host.succeed(&["sampanctl", "daemon-reload"]);
        host.succeed(&["sampanctl", "start", "web"]);
        host.wait_until("its end", |host| host.property("web", "MainPID") == "0");
        let told = ["Result", "ExecMainStatus"].map(|name| host.property("web", name));
        assert_eq!(told, [result, status], "{script}");
        host.succeed(&["sampanctl", "reset-failed"]);
    }
    // A signal that the payload does not catch ends it, as outside of a container.
    host.unit("web.container", &(shell("exec sleep 1000") + "init = true\n"));
    host.succeed(&["sampanctl", "daemon-reload"]);
    host.succeed(&["sampanctl", "start", "web"]);
    host.succeed(&["sampanctl", "stop", "web"]);
    assert_eq!(host.property("web", "Result"), "success");
    assert_eq!(host.property("web", "ExecMainStatus"), "15");
    let ran =
        ["sampanctl", "run", "--init", "-q", "--rm", "--entrypoint=", "hello", "sh", "-c", "echo $$; exit 4"];
    assert_eq!(host.answer(4, &ran), "2\n");
}

/// A Debian system, which says itself when it has booted. Where nothing else is said, it is known by its command.
const DEBIAN: &str = "[container]\nimage = \"localhost/debian\"\ntype = \"notify\"\nstop_timeout = \"60s\"\n";

fn inside(host: &Host, script: &str) -> String {
    host.succeed(&["sampanctl", "exec", "box", "sh", "-c", script])
}

#[test]
fn a_debian_system_boots_and_halts() {
    let host = Host::with_images(&["debian"]);
    const STATE: &str = "[mount.\"/var\"]\ntype = \"tmpfs\"\noptions = [\"mode=0755\"]\n";
    for (root, mounts) in [("ephemeral", ""), ("read-only", STATE), ("persistent", "")] {
        host.unit("box.container", &format!("{DEBIAN}root = \"{root}\"\n{mounts}"));
        host.succeed(&["sampanctl", "daemon-reload"]);
        host.succeed(&["sampanctl", "start", "box"]);
        assert_eq!(inside(&host, "systemctl is-active multi-user.target"), "active\n", "{root}");
        assert_eq!(inside(&host, "systemctl --failed --no-legend"), "", "{root}");
        let told = inside(
            &host,
            "systemd-detect-virt; cat /etc/hostname; systemd-id128 machine-id; cat /proc/1/cgroup",
        );
        let uuid = inside(&host, "cat /run/host/container-uuid").replace('-', "");
        assert!(told.starts_with(&format!("container-other\nbox\n{uuid}")), "{root}: {told}");
        assert!(told.ends_with("0::/init.scope\n"), "{told}");
        // Its processes are the unit's, wherever in its group they are.
        let scope = host.property("box", "ControlGroup");
        assert!(scope.ends_with("/sampan-box.scope"), "{scope}");
        let tree = host.succeed(&["sampanctl", "status", "--no-pager", "box"]);
        assert!(tree.contains("systemd-journald"), "{tree}");
        host.succeed(&["systemctl", "restart", "sampand"]);
        assert_eq!(host.property("box", "ActiveState"), "active");
        assert_eq!(inside(&host, "systemctl is-active multi-user.target"), "active\n", "{root}");
        // Without a time-out.
        host.succeed(&["sampanctl", "stop", "box"]);
        let end = ["ActiveState", "SubState", "Result"].map(|name| host.property("box", name));
        assert_eq!(end, ["inactive", "dead", "success"], "{root}");
    }
}

#[test]
fn a_system_has_its_group_and_not_its_limits() {
    let host = Host::with_images(&["debian"]);
    host.unit("box.container", &format!("{DEBIAN}init = \"system\"\n"));
    host.succeed(&["sampanctl", "start", "box"]);
    let own = inside(&host, "find /sys/fs/cgroup -maxdepth 1 -type f -user 0 -printf '%f\\n'");
    let delegated = host.succeed(&["cat", "/sys/kernel/cgroup/delegate"]);
    for file in own.lines() {
        assert!(delegated.lines().any(|known| known == file), "{file} belongs to the container");
    }
    assert!(own.contains("cgroup.procs"), "{own}");
    let attack = "cd /sys/fs/cgroup; for file in $(find . -maxdepth 1 -type f -not -user 0); do \
            (echo max > $file) 2>/dev/null && echo $file; done; \
        mkdir below && echo $$ > below/cgroup.procs; (echo $$ > ../cgroup.procs) 2>/dev/null && echo out; \
        mkdir -p /tmp/group; mount -t cgroup2 none /tmp/group 2>/dev/null && echo mounted; cat /proc/self/cgroup";
    let told = inside(&host, attack);
    assert!(!told.contains("out\n") && !told.contains("mounted") && !told.contains("./"), "{told}");
    assert!(told.ends_with("0::/below\n"), "{told}");
    // Another payload of the same image only sees its group.
    host.unit(
        "plain.container",
        "[container]\nimage = \"localhost/debian\"\ncommand = [\"/bin/sleep\", \"1000\"]\n",
    );
    host.succeed(&["sampanctl", "start", "plain"]);
    let told = host.fail(1, &["sampanctl", "exec", "plain", "mkdir", "/sys/fs/cgroup/below"]);
    assert!(told.contains("Read-only file system"), "{told}");
}

/// Waits for lines of a unit, in this order.
fn wait_lines(host: &Host, unit: &str, lines: &[&str]) {
    let mut log = host.journal(&[&format!("--unit=sampan-{unit}.scope")]);
    lines.iter().for_each(|line| drop(log.wait(line)));
}

#[test]
fn openrc_boots_and_halts() {
    let host = Host::with_images(&["openrc"]);
    // The init of busybox halts with reboot(2), which ends the container alone.
    let unit = "[container]\nimage = \"localhost/openrc\"\nstop_timeout = \"60s\"\n\
        [security]\nadd_capabilities = [\"CAP_SYS_BOOT\"]\nsystem_call_filter = [\"@system-service\", \"reboot\"]\n";
    host.unit("box.container", unit);
    host.succeed(&["sampanctl", "start", "box"]);
    wait_lines(&host, "box", &["first is up", "second is up"]);
    inside(&host, "until [ $(rc-status --runlevel) = default ]; do sleep 0.1; done");
    let told = inside(&host, "tr '\\0' '\\n' </proc/1/environ; cat /proc/1/comm; rc-status default");
    assert!(told.contains("container=sampan\n") && told.contains("\ninit\n"), "{told}");
    assert_eq!(told.matches("started").count(), 2, "{told}");
    host.succeed(&["sampanctl", "stop", "box"]);
    wait_lines(&host, "box", &["second is down", "first is down"]);
    let end = ["ActiveState", "SubState", "Result"].map(|name| host.property("box", name));
    assert_eq!(end, ["inactive", "dead", "success"]);
}

#[test]
fn s6_boots_and_halts() {
    let host = Host::with_images(&["s6"]);
    // It is known as the supervisor that it is by nothing; as a system it has its group, too.
    for (name, init) in [("plain", ""), ("system", "init = \"system\"\n")] {
        let unit = format!("[container]\nimage = \"localhost/s6\"\nstop_timeout = \"60s\"\n{init}");
        host.unit(&format!("{name}.container"), &unit);
        host.succeed(&["sampanctl", "start", name]);
        wait_lines(&host, name, &["hello is up in sampan"]);
        let told = host.succeed(&["sampanctl", "exec", name, "s6-svstat", "/run/service/hello"]);
        assert!(told.starts_with("up "), "{name}: {told}");
        host.succeed(&["sampanctl", "stop", name]);
        wait_lines(&host, name, &["hello is down", "all services are down"]);
        let end = ["ActiveState", "SubState", "Result", "ExecMainStatus"].map(|key| host.property(name, key));
        assert_eq!(end, ["inactive", "dead", "success", "0"], "{name}");
    }
}
