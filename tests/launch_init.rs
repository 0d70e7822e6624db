//! The minimal init: what it does for its payload, and that nothing in the container can do anything to it.

#[allow(dead_code)]
#[path = "launch_rig/mod.rs"]
mod rig;

use rig::Rig;
use rustix::process::Signal;
use sampan::sys::pidfd::{self, Exit};
use sampan::unit::model::*;
use std::fs;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

fn rig(script: &str) -> Rig {
    let mut rig = Rig::new();
    rig.container.init = Init::Minimal;
    rig.script(script);
    rig
}

#[test]
fn a_container_ends_as_its_payload_does() {
    for (script, code) in [("exit 0", 0), ("exit 7", 7), ("kill -TERM $$", 143), ("kill -KILL $$", 137)] {
        let outcome = rig(script).run();
        assert_eq!((outcome.failed, outcome.exit), (None, Exit::Code(code)), "{script}");
    }
    // What it leaves behind is ended with it.
    let outcome = rig("echo $$; ps | head -n 3; sleep 1000 & exit 3").run();
    assert_eq!(outcome.exit, Exit::Code(3));
    assert!(
        outcome.output.starts_with("2\n") && outcome.output.contains("sampan-init"),
        "{}",
        outcome.output
    );
}

#[test]
fn processes_that_nobody_waits_for_are_reaped() {
    let script = "for i in $(seq 50); do (sleep 0.01 &); done; \
        n=0; while grep -qs '^Name:.sleep' /proc/[0-9]*/status && [ $n -lt 5000 ]; do n=$((n + 1)); done; \
        ls -d /proc/[0-9]* | wc -l; \
        grep -l ^State:.Z /proc/[0-9]*/status; true";
    let outcome = rig(script).run();
    let lines: Vec<&str> = outcome.printed().lines().collect();
    assert_eq!(lines.len(), 1, "zombies: {lines:?}");
    assert!(lines[0].parse::<u32>().unwrap() < 8, "{lines:?}");
}

/// The payload, the first child of the init, as a directory of proc(5).
fn payload(running: &rig::Running) -> PathBuf {
    let pid = pidfd::number(running.process()).unwrap();
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
    Path::new("/proc").join(children.split(' ').next().unwrap())
}

fn until(what: impl Fn() -> bool) {
    while !what() {
        std::thread::yield_now();
    }
}

#[test]
fn signals_are_handed_on() {
    let begin = "trap 'echo hup; : >/hup' HUP; trap 'echo real; : >/real' 37; trap 'echo term; exit 4' TERM; \
        echo up; : >/up; while :; do sleep 0.05; done";
    let rig = rig(begin);
    let running = rig.start(&[]);
    let has_written = |name: &str| payload(&running).join("root").join(name).exists();
    until(|| has_written("up"));
    pidfd::signal(running.process(), Signal::HUP).unwrap();
    until(|| has_written("hup"));
    pidfd::signal_by_number(running.process(), 37).unwrap();
    until(|| has_written("real"));
    pidfd::signal(running.process(), Signal::TERM).unwrap();
    let outcome = rig.finish(running);
    assert_eq!((outcome.output.as_str(), outcome.exit), ("up\nhup\nreal\nterm\n", Exit::Code(4)));
}

#[test]
fn what_cannot_be_executed_is_told() {
    let mut rig = rig("");
    rig.container.command = Some(vec!["nothing".into()]);
    assert_eq!(rig.run().failure(), ("execute", "nothing", libc::ENOENT));
    rig.container.user = Some("nobody-knows".into());
    assert_eq!(rig.run().failure().0, "resolve user");
}

/// Root of the container, with all that a unit can give it.
#[test]
fn nothing_inside_reaches_it() {
    let attack = "kill -KILL 1; kill -STOP 1; \
        cat /proc/1/environ /proc/1/mem /proc/1/maps; ls /proc/1/fd /proc/1/root /proc/1/cwd; \
        readlink /proc/1/exe; echo 1000 > /proc/1/oom_score_adj; \
        grep -E '^(Cap(Prm|Eff|Bnd|Amb|Inh)|NoNewPrivs|Seccomp):' /proc/1/status";
    let mut rig = rig(attack);
    rig.container.security.add_capabilities =
        ["CAP_SYS_PTRACE", "CAP_SYS_ADMIN", "CAP_KILL", "CAP_DAC_READ_SEARCH"].map(str::to_owned).into();
    rig.container.security.system_calls =
        sampan::unit::system_calls::SystemCallFilter::read(&["@system-service".into(), "@debug".into()])
            .unwrap();
    let outcome = rig.run();
    let told = outcome.printed();
    assert!(!told.contains("memfd") && !told.contains("PATH="), "{told}");
    assert!(told.matches("Permission denied").count() >= 6, "{told}");
    for line in ["CapPrm:\t0000000000000020", "CapEff:\t0000000000000020", "CapBnd:\t0000000000000020"] {
        assert!(told.contains(line), "{told}");
    }
    assert!(told.contains("NoNewPrivs:\t1\n") && told.contains("Seccomp:\t2\n"), "{told}");
}

#[test]
fn it_keeps_nothing_open_and_little_memory() {
    let mut rig = rig("echo $LISTEN_PID $$; exec sleep 1000");
    rig.container.sockets.insert("http".into(), rig::socket(Pass::Fd).into());
    let socket = std::os::unix::net::UnixListener::bind(rig.directory.path().join("socket")).unwrap();
    let running = rig.start(&[socket.as_fd()]);
    let pid = pidfd::number(running.process()).unwrap();
    // The shell has said what it has to, and is another program.
    until(|| fs::read_to_string(payload(&running).join("comm")).is_ok_and(|name| name == "sleep\n"));
    // It gives up what it has after the payload has begun.
    until(|| fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count() == 0);
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap();
    let field = |name: &str| -> u64 {
        let line = rollup.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim_end_matches("kB").trim().parse().unwrap()
    };
    // The program itself is the same memory for all containers.
    println!("init: {} kB of its own, {} kB with what is shared", field("Pss_Anon:"), field("Rss:"));
    assert!(field("Pss_Anon:") < 512, "{rollup}");
    pidfd::signal(running.process(), Signal::KILL).unwrap();
    assert_eq!(rig.finish(running).output, "2 2\n");
}
