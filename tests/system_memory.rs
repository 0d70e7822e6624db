//! A hundred containers: one process of ours, nothing kept of those that have ended, and no wake-up while all is quiet.

mod support;

use std::fs;
use std::time::Duration;
use support::host::Host;
use support::units::shell;

/// Processes of ours on the host, by name.
fn ours(host: &Host) -> Vec<String> {
    let text = host.succeed(&["sh", "-c", "cat /proc/[0-9]*/comm 2>/dev/null"]);
    let mut names: Vec<_> =
        text.lines().filter(|name| name.starts_with("sampan")).map(str::to_owned).collect();
    names.sort();
    names
}

/// How many descriptors the manager has open.
fn descriptors(host: &Host) -> usize {
    let pid = host.succeed(&["systemctl", "show", "--property=MainPID", "--value", "sampand"]);
    fs::read_dir(host.path(&format!("/proc/{}/fd", pid.trim()))).expect("the manager runs").count()
}

/// How many descriptors systemd keeps for the manager.
fn stored(host: &Host) -> String {
    host.succeed(&["systemctl", "show", "--property=NFileDescriptorStore", "--value", "sampand"])
}

#[test]
fn a_hundred_containers_cost_no_process_and_leave_no_descriptor() {
    let host = Host::with_images(&["hello"]);
    let unit = shell("exec sleep 100000") + "[socket.main]\nlisten = \"@%n\"\npass = \"fd\"\n";
    host.unit("sleep@.container", &unit);
    let names: Vec<String> = (0..100).map(|number| format!("sleep@{number}")).collect();
    let all = |verb| {
        [["sampanctl", verb].as_slice(), &names.iter().map(String::as_str).collect::<Vec<_>>()].concat()
    };
    // The first round makes what is made once.
    host.succeed(&["sampanctl", "start", "sleep@0"]);
    host.succeed(&["sampanctl", "stop", "sleep@0"]);
    let (before, kept) = (descriptors(&host), stored(&host));
    host.succeed(&all("start"));
    let running = host.succeed(&["sampanctl", "list-units", "--no-legend", "--state=running"]);
    assert_eq!(running.lines().count(), 100, "{running}");
    let few = ["sampan-ready", "sampan-ready", "sampan-ready", "sampand"];
    assert_eq!(ours(&host), few, "the manager, and the launcher of the next start with its two helpers");
    assert!(descriptors(&host) > before);
    host.succeed(&all("stop"));
    assert_eq!(descriptors(&host), before, "each stopped container has given its descriptors back");
    assert_eq!(host.succeed(&["systemctl", "list-units", "--no-legend", "sampan-*.scope"]), "");
    assert_eq!(host.succeed(&["sh", "-c", "ls -A /run/sampan/state"]), "default.target.json\n");
    assert_eq!(stored(&host), kept, "and systemd keeps none of them");
}

/// How often the manager's threads have been given a processor, proc_pid_status(5).
fn switches(host: &Host) -> u64 {
    let pid = host.succeed(&["systemctl", "show", "--property=MainPID", "--value", "sampand"]);
    let tasks = fs::read_dir(host.path(&format!("/proc/{}/task", pid.trim()))).expect("the manager runs");
    let count = |task: std::io::Result<fs::DirEntry>| -> u64 {
        let text = fs::read_to_string(task.expect("an entry").path().join("status")).expect("proc(5)");
        let counts = text.lines().filter_map(|line| line.split_once("_ctxt_switches:"));
        counts.map(|(_, count)| count.trim().parse::<u64>().expect("a number")).sum()
    };
    tasks.map(count).sum()
}

#[test]
fn a_quiet_manager_is_not_woken() {
    const QUIET: Duration = Duration::from_secs(5);
    let host = Host::with_images(&["hello"]);
    host.unit("web.container", &(shell("exec sleep 100000") + "restart = \"always\"\n"));
    let socket = "[socket.main]\nlisten = \"@db\"\npass = \"fd\"\n[activation]\nstart = \"socket\"\n";
    host.unit("db.container", &(shell("exec sleep 100000") + socket));
    host.succeed(&["sampanctl", "start", "web", "db"]);
    // What was begun before comes to its end first.
    let is_quiet = |_| {
        let before = switches(&host);
        std::thread::sleep(QUIET);
        switches(&host) == before
    };
    assert!((0..6).any(is_quiet), "{}", host.succeed(&["systemctl", "status", "sampand"]));
}
