//! On the oldest kernel that Sampan runs on, Linux 6.1, what a user does with containers works as on a new one.

mod support;

use support::host::{Host, check_all};
use support::units::shell;

#[test]
fn linux_6_1_is_enough() {
    let host = Host::with_controllers(&["hello"]);
    check_all(
        &host,
        &[
            ("the kernel is the oldest", the_kernel_is_the_oldest),
            ("a root can be written and is gone", a_root_can_be_written_and_is_gone),
            ("a root is read-only", a_root_is_read_only),
            ("mounts of all types are there", mounts_of_all_types_are_there),
            ("connections start a server that binds by itself", connections_start_a_server),
            ("a killed manager finds its container again", a_killed_manager_finds_its_container),
            ("an end that nobody saw is a failure", an_end_that_nobody_saw_is_a_failure),
            ("a health check runs inside", a_health_check_runs_inside),
            ("a payload has the AppArmor profile of its unit", a_payload_has_an_apparmor_profile),
            ("the store is whole", |host| assert_eq!(host.succeed(&["sampanctl", "fsck"]), "")),
        ],
    );
}

fn the_kernel_is_the_oldest(host: &Host) {
    assert!(host.succeed(&["uname", "--kernel-release"]).starts_with("6.1."));
}

fn a_root_can_be_written_and_is_gone(host: &Host) {
    let script =
        "id -u; ls /made 2>/dev/null; touch /made /etc/passwd && ls -n /made; cat /proc/self/uid_map";
    for _ in 0..2 {
        let run = ["sampanctl", "run", "--quiet", "--entrypoint=sh", "localhost/hello", "-c", script];
        let said = host.succeed(&run);
        let lines: Vec<Vec<&str>> = said.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!((lines.len(), lines[0][0], &lines[1][2..4]), (3, "0", ["0", "0"].as_slice()), "{said}");
        assert_ne!(lines[2][1], "0", "root inside is nobody outside: {said}");
    }
}

fn a_root_is_read_only(host: &Host) {
    host.unit("sealed.container", &(shell("touch /made; exec sleep 1000") + "root = \"read-only\"\n"));
    host.succeed(&["sampanctl", "start", "sealed"]);
    host.wait_log("sealed", "Read-only file system");
    host.succeed(&["sampanctl", "stop", "sealed"]);
}

fn mounts_of_all_types_are_there(host: &Host) {
    host.write("/root/notes/one", "written outside");
    let unit = shell("cat /notes/one; touch /volume/three /tmp/four && echo all; exec sleep 1000")
        + "[mount.\"/notes\"]\ntype = \"bind\"\nsource = \"/root/notes\"\noptions = [\"noidmap\"]\n\
           [mount.\"/volume\"]\ntype = \"volume\"\nsource = \"content\"\n\
           [mount.\"/tmp\"]\ntype = \"tmpfs\"\n";
    host.unit("mounts.container", &unit);
    host.succeed(&["sampanctl", "start", "mounts"]);
    host.wait_log("mounts", "written outside");
    host.wait_log("mounts", "all");
    host.succeed(&["sampanctl", "stop", "mounts"]);
}

fn connections_start_a_server(host: &Host) {
    let socket = "[socket.http]\nlisten = \"127.0.0.1:8080\"\npass = \"swap\"\ntarget = \"[::]:80\"\n\
                  [activation]\nstart = \"socket\"\n";
    host.unit("web.container", &format!("[container]\nimage = \"localhost/hello\"\n{socket}"));
    host.succeed(&["sampanctl", "start", "web"]);
    let page = host.succeed(&["curl", "--silent", "--max-time", "60", "http://127.0.0.1:8080/"]);
    assert!(page.contains("Hello"), "{page}");
    host.succeed(&["sampanctl", "stop", "web"]);
}

fn a_killed_manager_finds_its_container(host: &Host) {
    host.unit("kept.container", &shell("trap 'exit 0' TERM; sleep 1000 & wait"));
    host.succeed(&["sampanctl", "start", "kept"]);
    let pid = host.property("kept", "MainPID");
    host.succeed(&["systemctl", "kill", "--signal=KILL", "--kill-whom=main", "sampand"]);
    assert_eq!(host.property("kept", "MainPID"), pid);
    assert_eq!(host.succeed(&["sampanctl", "exec", "kept", "echo", "inside"]), "inside\n");
    host.succeed(&["sampanctl", "stop", "kept"]);
    assert_eq!(host.property("kept", "Result"), "success");
}

/// Before Linux 6.15 the kernel does not tell how a process ended that is nobody's child.
fn an_end_that_nobody_saw_is_a_failure(host: &Host) {
    host.unit("unseen.container", &shell("exec sleep 1000"));
    host.succeed(&["sampanctl", "start", "unseen"]);
    let pid = host.property("unseen", "MainPID");
    host.succeed(&["systemctl", "stop", "sampand"]);
    host.succeed(&["kill", "-KILL", &pid]);
    host.succeed(&["systemctl", "start", "sampand"]);
    host.wait_property("unseen", "ActiveState", "failed");
    host.succeed(&["sampanctl", "reset-failed", "unseen"]);
}

fn a_health_check_runs_inside(host: &Host) {
    let health = "ready = \"health\"\n[health]\ncommand = [\"cat\", \"/proc/1/comm\"]\ninterval = \"1s\"\n";
    host.unit("checked.container", &(shell("exec sleep 1000") + health));
    host.succeed(&["sampanctl", "start", "checked"]);
    assert_eq!(host.property("checked", "HealthState"), "healthy");
    host.succeed(&["sampanctl", "stop", "checked"]);
}

fn a_payload_has_an_apparmor_profile(host: &Host) {
    let profile = "profile sampan-test flags=(attach_disconnected) {\n  file,\n  capability,\n  network,\n  signal,\n  \
                   unix,\n  deny /etc/passwd r,\n}\n";
    host.write("/root/profile", profile);
    host.succeed(&["mount", "-t", "securityfs", "securityfs", "/sys/kernel/security"]);
    host.succeed(&["apparmor_parser", "--quiet", "--replace", "--skip-cache", "/root/profile"]);
    let unit = |name: &str| {
        shell("cat /proc/self/attr/current; cat /etc/passwd || echo refused; exec sleep 1000")
            + &format!("[security]\napparmor_profile = \"{name}\"\n")
    };
    for init in ["", "init = true\n"] {
        host.unit(
            "confined.container",
            &unit("sampan-test").replace("[security]", &format!("{init}[security]")),
        );
        host.succeed(&["sampanctl", "start", "confined"]);
        host.wait_log("confined", "sampan-test (enforce)");
        host.wait_log("confined", "refused");
        let also = host.succeed(&["sampanctl", "exec", "confined", "cat", "/proc/self/attr/current"]);
        assert_eq!(also, "sampan-test (enforce)\n");
        host.succeed(&["sampanctl", "stop", "confined"]);
    }
    assert_eq!(host.property("confined", "AppArmorProfile"), "sampan-test");
    host.unit("lost.container", &unit("no-such"));
    let told = host.fail(1, &["sampanctl", "start", "lost"]);
    assert!(
        told.contains("set AppArmor profile: no-such: No such file or directory; no such profile is loaded"),
        "{told}"
    );
    host.unit("lost.container", &unit("-no-such"));
    host.succeed(&["sampanctl", "start", "lost"]);
    host.wait_log("lost", "unconfined");
    host.succeed(&["sampanctl", "stop", "lost"]);
}
