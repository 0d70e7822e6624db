//! A thousand containers on one host, a thousand units that sleep, and thousands of cycles: what each costs, and that
//! nothing is left of any.
//!
//! `SAMPAN_CYCLES` says how many starts and stops; `tests/soak cycles` asks for ten thousand.

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::time::Instant;
use support::host::Host;
use support::units::{shell, socket};

/// What a container may cost beyond its payload, in bytes: ours and systemd's memory together.
const MEMORY_MAX: u64 = 250_000;

/// What a unit may cost that only listens, in bytes of sampand's memory.
const SLEEPER_MAX: u64 = 4096;

/// The most scopes in one slice, sampand(8).
const SCOPES_MAX: usize = 64;

fn lines(host: &Host, words: &[&str]) -> usize {
    host.succeed(words).lines().count()
}

fn manager(host: &Host) -> String {
    host.succeed(&["systemctl", "show", "--property=MainPID", "--value", "sampand"]).trim().to_owned()
}

/// The memory of a process of the host that no other has, in bytes: proc_pid_smaps(5).
fn private(host: &Host, pid: &str) -> u64 {
    let text = fs::read_to_string(host.path(&format!("/proc/{pid}/smaps_rollup"))).expect("the process runs");
    let sizes = text.lines().filter_map(|line| line.strip_prefix("Private_")?.split_whitespace().nth(1));
    sizes.map(|size| size.parse::<u64>().expect("a number")).sum::<u64>() * 1024
}

/// Everything that a run makes and its end takes away.
#[derive(Debug, PartialEq, Eq)]
struct Left {
    /// Of the manager, and of systemd for it.
    descriptors: usize,
    stored: String,
    mounts: usize,
    processes: Vec<String>,
    /// By their kind, as far as any process is in them.
    namespaces: BTreeMap<String, usize>,
    scopes: usize,
    /// Below /run/sampan and the store.
    files: BTreeSet<String>,
}

impl Left {
    fn on(host: &Host) -> Self {
        let descriptors = fs::read_dir(host.path(&format!("/proc/{}/fd", manager(host))));
        let scopes = ["sh", "-c", "find /sys/fs/cgroup -name 'sampan-*.scope' | wc -l"];
        let processes =
            host.succeed(&["sh", "-c", "cat /proc/[0-9]*/comm 2>/dev/null | grep -e sampan -e sleep | sort"]);
        Self {
            descriptors: descriptors.expect("the manager runs").count(),
            stored: host.succeed(&[
                "systemctl",
                "show",
                "--property=NFileDescriptorStore",
                "--value",
                "sampand",
            ]),
            mounts: lines(host, &["cat", "/proc/1/mounts"]),
            processes: processes.lines().map(str::to_owned).collect(),
            namespaces: namespaces(host),
            scopes: host.succeed(&scopes).trim().parse().expect("a number"),
            files: files(host),
        }
    }

    /// Fails where something is left on the host that was not there before.
    fn assert_same(&self, host: &Host) {
        let now = Self::on(host);
        let new: Vec<_> = now.files.difference(&self.files).collect();
        assert!(new.is_empty(), "{new:#?}");
        assert_eq!(now, *self);
    }
}

/// Files, and directories with something in them: each unit that has ever run keeps an empty one.
fn files(host: &Host) -> BTreeSet<String> {
    let below = "find /run/sampan /var/lib/sampan -not -path '*/images/*' -not '(' -type d -empty ')'";
    host.succeed(&["sh", "-c", below]).lines().map(str::to_owned).collect()
}

fn namespaces(host: &Host) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for kind in host.succeed(&["lsns", "--noheadings", "--output=TYPE"]).lines() {
        *counts.entry(kind.trim().to_owned()).or_default() += 1;
    }
    counts
}

/// Many instances of one template, and a target that wants them all.
fn many(host: &Host, count: usize) {
    host.unit(
        "many@.container",
        &(shell("trap 'exit 0' TERM; sleep 100000 & wait") + "start_limit = { burst = 0 }\n"),
    );
    let names: Vec<String> = (0..count).map(|number| format!("\"many@{number}.container\"")).collect();
    let names = names.join(", ");
    host.unit("many.target", &format!("[unit]\nwants = [{names}]\nafter = [{names}]\n"));
    host.succeed(&["sampanctl", "daemon-reload"]);
    // The first one makes what is made once.
    host.succeed(&["sampanctl", "start", "many@0"]);
    host.succeed(&["sampanctl", "stop", "many@0"]);
}

fn stop_all(host: &Host) {
    host.succeed(&["sampanctl", "stop", "many.target", "many@*.container"]);
    let failed = host.succeed(&["sampanctl", "list-units", "--failed", "--no-legend"]);
    assert_eq!(failed, "", "{}", host.recent());
}

/// How many of our scopes each slice has.
fn slices(host: &Host) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for path in host.succeed(&["find", "/sys/fs/cgroup/", "-name", "sampan-many:*.scope"]).lines() {
        *counts.entry(path.rsplit_once('/').expect("a path").0.to_owned()).or_default() += 1;
    }
    counts
}

#[test]
fn a_thousand_containers_run_on_one_host() {
    const COUNT: usize = 1000;
    let host = Host::with_images(&["hello"]);
    many(&host, COUNT);
    let before = Left::on(&host);
    let memory = || private(&host, &manager(&host)) + private(&host, "1");
    let resident = memory();

    let begin = Instant::now();
    host.succeed(&["sampanctl", "start", "many.target"]);
    let started = begin.elapsed();
    let units = host.succeed(&["sampanctl", "list-units", "--all", "--no-legend", "many@*"]);
    assert_eq!(units.lines().count(), COUNT);
    let others: Vec<_> = units.lines().filter(|line| !line.contains(" active running ")).collect();
    assert!(others.is_empty(), "{others:#?}\n{}", host.recent());
    let listed = begin.elapsed() - started;
    let each = memory().saturating_sub(resident) / COUNT as u64;
    let slices = slices(&host);
    assert_eq!(slices.values().sum::<usize>(), COUNT);
    assert!(slices.values().all(|count| *count <= SCOPES_MAX), "{slices:?}");

    let begin = Instant::now();
    stop_all(&host);
    let stopped = begin.elapsed();
    println!(
        "{COUNT} containers: started in {started:.1?}, listed in {listed:.1?}, stopped in {stopped:.1?}; \
         sampand and systemd take {each} bytes for each, the limit is {MEMORY_MAX}"
    );
    assert!(each <= MEMORY_MAX, "{each} bytes each");
    before.assert_same(&host);
}

/// Loads units that are started by their sockets, and has them listen.
fn sleepers(host: &Host, numbers: std::ops::Range<usize>) {
    let names: Vec<String> = numbers.map(|number| format!("sleeper{number}")).collect();
    for name in &names {
        let unit = shell("exec cat") + &socket(&format!("/run/sleepers/{name}.sock"), "\"fd\"");
        host.write(&format!("/etc/sampan/units/{name}.container.toml"), &unit);
    }
    host.succeed(&["sampanctl", "daemon-reload"]);
    let words = ["sampanctl", "start"].into_iter().chain(names.iter().map(String::as_str));
    host.succeed(&words.collect::<Vec<_>>());
}

#[test]
fn a_thousand_sleeping_units_cost_little_memory() {
    // The first ones make what is made once, and fault in the program that they are read with.
    const FIRST: usize = 200;
    const COUNT: usize = 1000;
    let host = Host::with_images(&["hello"]);
    let listening = || {
        let sockets = host.succeed(&["sampanctl", "list-sockets", "--no-legend"]);
        sockets.lines().filter(|line| line.contains(" listening ")).count()
    };
    sleepers(&host, 0..FIRST);
    assert_eq!(listening(), FIRST);
    let processes = lines(&host, &["sh", "-c", "cat /proc/[0-9]*/comm | grep sampan"]);
    let before = private(&host, &manager(&host));
    sleepers(&host, FIRST..FIRST + COUNT);
    assert_eq!(listening(), FIRST + COUNT, "{}", host.recent());
    let each = private(&host, &manager(&host)).saturating_sub(before) / COUNT as u64;
    println!("{COUNT} sleeping units: sampand takes {each} bytes for each, the limit is {SLEEPER_MAX}");
    assert!(each <= SLEEPER_MAX, "{each} bytes each");
    assert_eq!(
        lines(&host, &["sh", "-c", "cat /proc/[0-9]*/comm | grep sampan"]),
        processes,
        "and no process"
    );
}

#[test]
fn nothing_is_left_of_many_cycles() {
    const AT_ONCE: usize = 20;
    let cycles = std::env::var("SAMPAN_CYCLES").map_or(200, |cycles| cycles.parse().expect("a number"));
    let host = Host::with_images(&["hello"]);
    many(&host, AT_ONCE);
    let round = || {
        host.succeed(&["sampanctl", "start", "many.target"]);
        stop_all(&host);
    };
    (0..3).for_each(|_| round());
    let (before, resident) = (Left::on(&host), private(&host, &manager(&host)));
    (0..cycles / AT_ONCE).for_each(|_| round());
    before.assert_same(&host);
    let after = private(&host, &manager(&host));
    println!("{cycles} starts and stops: {resident} bytes of sampand's own memory before, {after} after");
    // What grows with the cycles grows by more than the allocator's pages.
    let grown = after.saturating_sub(resident);
    assert!(grown < (1 << 20) + 10 * cycles as u64, "{resident} before, {after} after");
}
