//! Containers without memory: who is killed, what follows, and what is told of it.

mod support;

use support::host::{Host, check_all};
use support::units::shell;

/// Takes memory until it is killed.
const GREEDY: &str = "exec tail /dev/zero";

#[test]
fn the_kernel_kills_and_the_policies_follow() {
    let host = Host::with_controllers(&["hello"]);
    check_all(
        &host,
        &[
            ("a container that takes too much is killed", a_container_is_killed),
            ("the restart policies follow", the_restart_policies_follow),
            ("oom_policy = continue", a_killed_child_is_survived),
            ("oom_policy = stop", a_killed_child_stops_the_container),
            ("oom_policy = kill", a_killed_child_takes_all_with_it),
            ("kills are counted by every manager", kills_are_counted_by_every_manager),
            ("what has ended is watched no more", what_has_ended_is_watched_no_more),
            ("a container that divides its group is killed", a_divided_container_is_killed),
        ],
    );
}

fn unit(script: &str, container: &str, policy: &str) -> String {
    format!("{}{container}[resources]\nmemory_max = \"24M\"\noom_policy = \"{policy}\"\n", shell(script))
}

fn a_container_is_killed(host: &Host) {
    host.unit("greedy.container", &unit(GREEDY, "", "stop"));
    host.succeed(&["sampanctl", "start", "greedy"]);
    host.wait_property("greedy", "ActiveState", "failed");
    let properties = ["Result", "ExecMainStatus", "OOMKills"].map(|name| host.property("greedy", name));
    assert_eq!(properties, ["oom-kill", "9", "1"]);
    let status = host.answer(3, &["sampanctl", "status", "greedy"]);
    for part in
        ["failed (Result: oom-kill)", "24.0M (peak)", "set-property greedy memory_max=", "OOM kills: 1"]
    {
        assert!(status.contains(part), "no {part}:\n{status}");
    }
    let told = host.succeed(&["journalctl", "--output=cat", "SAMPAN_UNIT=greedy.container"]);
    assert!(told.contains("has been killed by the OOM killer (memory limit 24.0M, peak 24.0M)"), "{told}");
}

/// systemd.service(5), the table of `Restart=`: an end for want of memory is an unclean one, and no abort.
fn the_restart_policies_follow(host: &Host) {
    let script = "[ -e /kept/once ] && exec sleep 1000; touch /kept/once; exec tail /dev/zero";
    for (policy, restarts) in
        [("no", "0"), ("on-success", "0"), ("on-abort", "0"), ("on-failure", "1"), ("on-abnormal", "1")]
    {
        let name = format!("after-{policy}");
        let container = format!(
            "restart = \"{policy}\"\nrestart_delay = \"0\"\n[mount.\"/kept\"]\ntype = \"volume\"\nsource = \"{name}\"\n"
        );
        host.unit(&format!("{name}.container"), &unit(script, &container, "stop"));
        host.succeed(&["sampanctl", "start", &name]);
        match restarts {
            "0" => host.wait_property(&name, "ActiveState", "failed"),
            _ => host.wait_until("a restart", |host| {
                host.property(&name, "SubState") == "running" && host.property(&name, "NRestarts") == "1"
            }),
        }
        assert_eq!(host.property(&name, "NRestarts"), restarts, "{policy}");
        host.run(&["sampanctl", "stop", &name]);
    }
}

fn a_killed_child_is_survived(host: &Host) {
    let script = "tail /dev/zero; echo child ended $?; exec sleep 1000";
    host.unit("survives.container", &unit(script, "", "continue"));
    host.succeed(&["sampanctl", "start", "survives"]);
    host.wait_log("survives", "child ended 137");
    host.wait_property("survives", "OOMKills", "1");
    assert_eq!(host.property("survives", "SubState"), "running");
    assert!(host.succeed(&["sampanctl", "status", "survives"]).contains("OOM kills: 1"));
    host.succeed(&["sampanctl", "stop", "survives"]);
}

fn a_killed_child_stops_the_container(host: &Host) {
    let script = "trap 'echo asked; exit 0' TERM; tail /dev/zero; sleep 1000 & wait";
    host.unit("stops.container", &unit(script, "", "stop"));
    host.succeed(&["sampanctl", "start", "stops"]);
    host.wait_property("stops", "ActiveState", "failed");
    host.wait_log("stops", "asked");
    assert_eq!(host.property("stops", "Result"), "oom-kill");
}

fn a_killed_child_takes_all_with_it(host: &Host) {
    let script = "trap 'echo asked' TERM; tail /dev/zero; echo went on; exec sleep 1000";
    host.unit("all.container", &unit(script, "", "kill"));
    host.succeed(&["sampanctl", "start", "all"]);
    host.wait_property("all", "ActiveState", "failed");
    assert_eq!(host.property("all", "Result"), "oom-kill");
    let said = host.succeed(&["journalctl", "--output=cat", "--unit=sampan-all.scope"]);
    assert!(!said.contains("went on") && !said.contains("asked"), "{said}");
}

fn kills_are_counted_by_every_manager(host: &Host) {
    let script = "trap 'tail /dev/zero; echo one more' USR1; echo up; while :; do sleep 1000 & wait $!; done";
    host.unit("counted.container", &unit(script, "", "continue"));
    host.succeed(&["sampanctl", "start", "counted"]);
    host.wait_log("counted", "up");
    let pid = host.property("counted", "MainPID");
    let mut log = host.journal(&["--unit=sampan-counted.scope"]);
    let mut kill = || {
        host.succeed(&["kill", "-USR1", &pid]);
        log.wait("one more");
    };
    kill();
    host.wait_property("counted", "OOMKills", "1");
    host.succeed(&["systemctl", "stop", "sampand"]);
    kill();
    host.succeed(&["systemctl", "start", "sampand"]);
    assert_eq!(host.property("counted", "OOMKills"), "2", "one while no manager was there");
    host.succeed(&["systemctl", "kill", "--signal=KILL", "--kill-whom=main", "sampand"]);
    kill();
    host.wait_property("counted", "OOMKills", "3");
    assert_eq!(host.property("counted", "SubState"), "running");
    host.succeed(&["sampanctl", "stop", "counted"]);
}

/// The kernel would keep a file of each control group that ever was.
fn what_has_ended_is_watched_no_more(host: &Host) {
    let watches = || {
        let manager = host.succeed(&["systemctl", "show", "--property=MainPID", "--value", "sampand"]);
        let count =
            format!("cat /proc/{}/fdinfo/* 2>/dev/null | grep --count ^inotify; true", manager.trim());
        host.succeed(&["sh", "-c", &count]).trim().parse::<usize>().expect("a number")
    };
    let before = watches();
    host.unit("watched.container", &unit("exec sleep 1000", "", "stop"));
    for _ in 0..3 {
        host.succeed(&["sampanctl", "start", "watched"]);
        assert_eq!(watches(), before + 1);
        host.succeed(&["sampanctl", "stop", "watched"]);
        assert_eq!(watches(), before);
    }
}

/// The limit is above all that a system makes of its group, and is seen in it.
fn a_divided_container_is_killed(host: &Host) {
    let script = "cd /sys/fs/cgroup; echo limit $(cat memory.max); mkdir first greedy; echo $$ >first/cgroup.procs; \
        until echo +memory >cgroup.subtree_control; do :; done 2>/dev/null; echo divided; \
        sh -c 'echo $$ >greedy/cgroup.procs; exec tail /dev/zero'; echo went on; exec sleep 1000";
    for policy in ["stop", "kill"] {
        let name = format!("divided-{policy}");
        host.unit(&format!("{name}.container"), &unit(script, "init = \"system\"\n", policy));
        host.succeed(&["sampanctl", "start", &name]);
        host.wait_property(&name, "ActiveState", "failed");
        assert_eq!(host.property(&name, "Result"), "oom-kill", "{policy}");
        // Of a group that is killed as one, the kernel counts each process.
        let kills: u32 = host.property(&name, "OOMKills").parse().expect("a number");
        assert!(kills == 1 || policy == "kill" && kills > 1, "{policy}: {kills}");
        let scope = format!("--unit=sampan-{name}.scope");
        let said = host.succeed(&["journalctl", "--output=cat", &scope]);
        assert!(said.contains("limit 25165824") && said.contains("divided"), "{policy}: {said}");
        assert!(policy == "stop" || !said.contains("went on"), "{said}");
    }
}
