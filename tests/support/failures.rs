//! Launches that fail on a private host: what `status` says, how the unit ends, and that nothing is left behind.

use super::host::Host;
use super::image::{Layer, write_layout};
use std::fs;

/// A launch that fails.
pub struct Case {
    /// What is done to the host first; and how it is undone.
    pub host: [&'static str; 2],
    /// What follows `image = …` in the file of the unit.
    pub unit: &'static str,
    /// What `status` says of it.
    pub told: &'static str,
}

/// One that fails on any host.
pub const fn case(unit: &'static str, told: &'static str) -> Case {
    Case { host: ["", ""], unit, told }
}

/// A payload that lasts.
pub const SLEEP: &str = "command = [\"/bin/sleep\", \"1000\"]\n";

/// An image in which much is not as it should be.
pub fn odd_image(host: &Host) {
    let mut foreign = fs::read("/bin/busybox").expect("Debian's busybox-static is installed");
    foreign.truncate(4096);
    // e_machine, elf(5): EM_AARCH64, and on that EM_X86_64.
    foreign[18] = if cfg!(target_arch = "aarch64") { 62 } else { 183 };
    let dynamic = fs::read("/bin/ls").expect("coreutils are installed");
    let odd = Layer::new()
        .file("bin/foreign", 0o755, &foreign)
        .file("bin/dynamic", 0o755, &dynamic)
        .file("bin/text", 0o755, b"echo text\n")
        .file("bin/empty", 0o755, b"")
        .file("bin/lost", 0o755, b"#!/usr/bin/python9\n")
        .file("bin/plain", 0o644, b"#!/bin/sh\n")
        .file("bin/closed", 0o700, b"#!/bin/sh\n")
        .directory("data")
        .file("file", 0o644, b"file\n")
        .link("loop", "loop")
        .link("dangling", "nowhere/else")
        .link("to-proc", "proc/sys")
        .file("etc/group", 0o644, b"root:x:0:\n");
    write_layout(&host.shared().join("odd"), vec![Layer::busybox(), odd], &serde_json::json!({}));
    host.import("odd", "localhost/odd");
}

/// Everything that a launch could leave.
pub fn traces(host: &Host) -> String {
    let script = "manager=$(systemctl show --property=MainPID --value sampand); \
        echo mounts; grep -hv /dev/full /proc/1/mountinfo /proc/$manager/mountinfo; \
        echo files; cd /; find /run/sampan /var/lib/sampan/containers /var/lib/sampan/volumes /var/lib/sampan/staging -not -path '*/gone-*' | sort; \
        echo descriptors; systemctl show --property=NFileDescriptorStore sampand; \
        echo processes; ps -o comm= --ppid $manager | grep -vx sampan-ready | sort; \
        pgrep -x sampan-ready -P $manager >/dev/null && echo waits; pgrep -x sampan-launch; \
        echo units; systemctl list-units --all --no-legend --plain 'sampan-*.scope'; systemctl list-jobs --no-legend; \
        echo groups; ls /sys/fs/cgroup/sampan.slice; true";
    host.succeed(&["sh", "-c", script])
}

/// How many descriptors the manager has.
pub fn descriptors(host: &Host) -> usize {
    let script = "ls /proc/$(systemctl show --property=MainPID --value sampand)/fd | wc -l";
    host.succeed(&["sh", "-c", script]).trim().parse().expect("a number")
}

/// Boots a host and has a unit run on it once: then it has all that lasts.
pub fn host() -> Host {
    prepared(Host::start())
}

/// The same with a host that runs.
pub fn prepared(host: Host) -> Host {
    odd_image(&host);
    let unit = format!("[container]\nimage = \"localhost/odd\"\n{SLEEP}");
    host.unit("web.container", &unit);
    host.unit("keep.container", &unit);
    host.succeed(&["sampanctl", "start", "web", "keep"]);
    host.succeed(&["sampanctl", "stop", "web"]);
    host
}

/// Whether some case in these sources is about a step.
pub fn told_in(sources: &str, step: &str) -> bool {
    sources.contains(&format!("\"{step}: "))
}

/// systemd.exec(5), "Process Exit Codes": that of each step. What comes before there is a process is "resources".
const STATUSES: &[(&str, &str)] = &[
    ("begin: ", "202/FDS"),
    ("execute: ", "203/EXEC"),
    ("change directory: ", "200/CHDIR"),
    ("set nice value: ", "201/NICE"),
    ("pass sockets: ", "202/FDS"),
    ("set limits: ", "205/LIMITS"),
    ("set OOM score: ", "206/OOM_ADJUST"),
    ("connect to journal: ", "209/STDOUT"),
    ("set I/O scheduling: ", "211/IOPRIO"),
    ("set CPU scheduling: ", "214/SETSCHEDULER"),
    ("set CPU affinity: ", "215/CPUAFFINITY"),
    ("resolve group: ", "216/GROUP"),
    ("resolve user: ", "217/USER"),
    ("change user: ", "217/USER"),
    ("map ids: ", "217/USER"),
    ("drop privileges: ", "218/CAPABILITIES"),
    ("start helper: ", "226/NAMESPACE"),
    ("start init: ", "226/NAMESPACE"),
    ("start session: ", "220/SETSID"),
    ("wait for scope: ", "219/CGROUP"),
    ("open: control group: ", "219/CGROUP"),
    ("delegate control group: ", "219/CGROUP"),
    ("raise loopback: ", "225/NETWORK"),
    ("filter: ", "228/SECCOMP"),
    ("set personality: ", "230/PERSONALITY"),
    ("set AppArmor profile: ", "231/APPARMOR"),
    ("join keyring: ", "237/KEYRING"),
    ("load credential: ", "243/CREDENTIALS"),
    ("find credential: ", "243/CREDENTIALS"),
    ("find encrypted credential: ", "243/CREDENTIALS"),
    ("decrypt credential: ", "243/CREDENTIALS"),
    ("keep credential: ", "243/CREDENTIALS"),
    ("give credentials to user: ", "243/CREDENTIALS"),
    ("enter namespace: user: ", "217/USER"),
    ("enter namespace: ", "226/NAMESPACE"),
    ("mount: ", "226/NAMESPACE"),
    ("mount ", "226/NAMESPACE"),
    ("open bind: ", "226/NAMESPACE"),
    ("map ids of bind: ", "226/NAMESPACE"),
    ("open device: ", "226/NAMESPACE"),
    ("make device: ", "226/NAMESPACE"),
    ("copy mount: ", "226/NAMESPACE"),
    ("protect: ", "226/NAMESPACE"),
    ("mask: ", "226/NAMESPACE"),
    ("set sysctl: ", "226/NAMESPACE"),
    ("set hostname: ", "226/NAMESPACE"),
    ("enter root: ", "226/NAMESPACE"),
    ("volume ", "226/NAMESPACE"),
    ("limit root: ", "226/NAMESPACE"),
    ("discard changes: ", "226/NAMESPACE"),
    ("private image: ", "226/NAMESPACE"),
    ("write: ", "226/NAMESPACE"),
    ("link: ", "226/NAMESPACE"),
    ("make: ", "226/NAMESPACE"),
];

/// The status of a step that has failed; `None` where there was no process yet.
pub fn status_of(told: &str) -> Option<&'static str> {
    STATUSES.iter().find(|(step, _)| told.starts_with(step)).map(|(_, status)| *status)
}

const PROPERTIES: [&str; 5] = ["LaunchError", "Result", "ExecMainCode", "ExecMainStatus", "ExecMainPID"];

fn properties(host: &Host) -> [String; 5] {
    let shown = host.succeed(&["sampanctl", "show", "--property", &PROPERTIES.join(","), "web"]);
    PROPERTIES.map(|name| {
        let line = shown.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        line.unwrap_or_default().to_owned()
    })
}

/// What is missing of how the launch of a failed unit has ended.
fn ending(host: &Host, ended: &[String], told: &str, status: &str) -> Option<String> {
    let Some(class) = status_of(told) else {
        return (ended != ["resources", "0", "0", "0"]).then(|| format!("resources, but {ended:?}"));
    };
    let number = class.split('/').next().unwrap_or_default();
    let line = format!("Main process exited, code=exited, status={class}");
    let is_ended = ended[..3] == ["exit-code", "1", number] && ended[3] != "0";
    let said = status.contains(&format!("(code=exited, status={class})"));
    let logged = host.recent().lines().rev().take(12).any(|logged| logged.contains(&line));
    (!(is_ended && said && logged)).then(|| format!("{line}, but {ended:?}"))
}

/// The lines that only one of two texts has, or has more often.
fn difference(one: &str, other: &str) -> String {
    let only = |text: &str, sign: char, other: &str| -> String {
        let mut left: Vec<&str> = other.lines().collect();
        let mut lines = String::new();
        for line in text.lines() {
            match left.iter().position(|found| *found == line) {
                Some(found) => drop(left.swap_remove(found)),
                None => lines += &format!("{sign}{line}\n"),
            }
        }
        lines
    };
    only(one, '-', other) + &only(other, '+', one)
}

/// Launches each, once.
pub fn assert_each_fails(host: &Host, cases: &[Case]) {
    let (before, descriptors) = (traces(host), descriptors(host));
    let mut wrong = Vec::new();
    for Case { host: [make, undo], unit, told } in cases {
        host.unit("web.container", &format!("[container]\nimage = \"localhost/odd\"\n{unit}"));
        host.succeed(&["sh", "-ec", make]);
        let error = host.fail(1, &["sampanctl", "start", "web"]);
        let properties = properties(host);
        let found = &properties[0];
        let status = host.answer(3, &["sampanctl", "status", "--full", "web"]);
        let missing = ending(host, &properties[1..], found, &status);
        host.succeed(&["sh", "-ec", undo]);
        if !found.starts_with(told) || !status.contains(found) || !error.contains(found) || missing.is_some()
        {
            wrong.push(format!(
                "{unit}\n  expected: {told}\n  found: {found}\n  lacks: {missing:?}\n{status}"
            ));
        }
        host.succeed(&["sampanctl", "reset-failed", "web"]);
        let after = traces(host);
        if before != after {
            wrong.push(format!("{unit} left something:\n{}", difference(&before, &after)));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    // One that a container may come of, and one that commands may.
    let waiting = "pgrep -c -x sampan-ready -P $(systemctl show --property=MainPID --value sampand)";
    let waiting = host.succeed(&["sh", "-c", waiting]);
    assert!(waiting.trim().parse::<u32>().is_ok_and(|count| count <= 2), "{waiting} launchers wait");
    // Some come and go with the bus.
    let after = self::descriptors(host);
    assert!(after <= descriptors + cases.len() / 2, "{descriptors} and then {after} descriptors");
    assert_eq!(host.property("keep", "ActiveState"), "active");
}
