//! A host whose disks are full: clear errors, no lost state, and once there is space again everything goes on,
//! whatever happened to the manager in between. The space is really used up: the errors are the kernel's.

mod support;

use support::host::Host;
use support::units::{shell, socket};

/// A file system that holds a directory of the host, and that can be filled to its last byte and inode.
struct Disk<'a> {
    host: &'a Host,
    directory: &'static str,
}

impl<'a> Disk<'a> {
    /// Puts one of 64 MiB where a directory is.
    fn mount(host: &'a Host, directory: &'static str) -> Self {
        let script = "set -e; mkdir -p $1 /srv/kept; cp -a $1/. /srv/kept
            mount -t tmpfs -o size=64m,nr_inodes=20000,mode=0755 tmpfs $1
            cp -a /srv/kept/. $1; rm -r /srv/kept";
        host.succeed(&["sh", "-c", script, "sh", directory]);
        Self { host, directory }
    }

    fn fill(&self) {
        let script = "mkdir -p $1/many
            number=0; while touch $1/many/$number; do number=$((number + 1)); done 2>/dev/null
            rm -f $1/many/0; cat /dev/zero 2>/dev/null >$1/many/0
            ! touch $1/more 2>/dev/null && ! echo x 2>/dev/null >>$1/many/0";
        // Less than it holds is no limit that the kernel takes: what is left open is filled.
        let limit = "set -- $1 $(df --block-size=1 --output=used,iused $1 | tail -n 1)
            mount -o remount,size=$(($2 + 65536)),nr_inodes=$(($3 + 40)) $1";
        self.host.succeed(&["sh", "-c", limit, "sh", self.directory]);
        self.host.succeed(&["sh", "-c", script, "sh", self.directory]);
    }

    fn free(&self) {
        let script = "rm -r $1/many; mount -o remount,size=256m,nr_inodes=20000 $1";
        self.host.succeed(&["sh", "-c", script, "sh", self.directory]);
    }
}

fn kill_manager(host: &Host) {
    let script = "pid=$(systemctl show --property=MainPID --value sampand)
        kill -KILL $pid
        while kill -0 $pid 2>/dev/null; do :; done";
    host.succeed(&["sh", "-c", script]);
    host.succeed(&["sampanctl", "list-units"]);
}

fn host() -> Host {
    let host = Host::with_images(&["hello", "web"]);
    start_units(&host);
    host
}

/// A container that runs, one behind a socket, a socket that nobody has used, and a unit that is down.
fn start_units(host: &Host) {
    host.unit("job.container", &shell("trap 'echo bye; exit 0' TERM; echo up; while :; do sleep 0.1; done"));
    host.unit("late.container", &shell("exec sleep 100000"));
    let nginx = "[container]\nimage = \"localhost/web\"\n";
    for (unit, port) in [("web", 8001), ("idle", 8002)] {
        let swap = socket(&format!("127.0.0.1:{port}"), "\"swap\"\ntarget = \"0.0.0.0:80\"");
        host.unit(&format!("{unit}.container"), &format!("{nginx}{swap}"));
    }
    host.succeed(&["sampanctl", "start", "job", "web", "idle"]);
    assert!(host.get("127.0.0.1:8001").contains("Hello from nginx"));
}

fn identity(host: &Host) -> Vec<String> {
    let facts = ["MainPID", "InvocationID", "ActiveEnterTimestamp"];
    ["job", "web"].iter().flat_map(|unit| facts.map(|fact| host.property(unit, fact))).collect()
}

/// What fails for want of space says so.
fn refused(host: &Host, words: &[&str]) {
    let output = host.run(words);
    let said =
        String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    assert!(!output.status.success(), "{words:?} succeeds: {said}");
    assert!(said.contains("No space left on device"), "{words:?}: {said}\n{}", host.recent());
}

/// Everything works, and nothing was restarted for it.
fn assert_all_works(host: &Host, before: &[String]) {
    assert_eq!(identity(host), before);
    assert_eq!(host.property("idle", "SubState"), "listening");
    for port in [8001, 8002] {
        assert!(host.get(&format!("127.0.0.1:{port}")).contains("Hello from nginx"));
    }
    host.succeed(&["sampanctl", "daemon-reload"]);
    host.succeed(&["sampanctl", "start", "late"]);
    host.succeed(&["sampanctl", "exec", "late", "true"]);
    kill_manager(host);
    assert_eq!(identity(host), before);
    host.succeed(&["sampanctl", "stop", "late", "job", "web", "idle"]);
    host.wait_log("job", "bye");
    assert_eq!(host.property("job", "Result"), "success");
    assert_eq!(host.succeed(&["systemctl", "list-units", "--no-legend", "sampan-*.scope"]), "");
    // No root of a run is left behind, for longer than it takes to remove it.
    let left = "find /var/lib/sampan/containers -mindepth 2 | grep -q .";
    host.succeed(&["timeout", "100", "sh", "-c", &format!("while {left}; do sleep 0.05; done")]);
}

#[test]
fn a_full_run_costs_a_start_and_nothing_else() {
    let host = host();
    let disk = Disk { host: &host, directory: "/run" };
    let before = identity(&host);
    disk.fill();
    refused(&host, &["sampanctl", "start", "late"]);
    refused(&host, &["sampanctl", "set-property", "--runtime", "job", "TasksMax=77"]);
    host.succeed(&["sampanctl", "daemon-reload"]);
    host.succeed(&["sampanctl", "status", "job"]);
    kill_manager(&host);
    assert_eq!(identity(&host), before);
    assert_eq!(host.property("idle", "SubState"), "listening");
    refused(&host, &["sampanctl", "start", "late"]);
    disk.free();
    assert_all_works(&host, &before);
}

#[test]
fn a_record_that_finds_no_space_is_not_lost() {
    let host = host();
    let disk = Disk::mount(&host, "/run/sampan");
    host.unit("once.container", &(shell("exit 7") + "type = \"oneshot\"\n"));
    let before = identity(&host);
    disk.fill();
    // What only these records know.
    host.fail(1, &["sampanctl", "start", "once"]);
    host.succeed(&["sampanctl", "start", "late"]);
    let late = ["MainPID", "ImageID", "ExecMainStartTimestamp"].map(|name| host.property("late", name));
    let status = host.answer(3, &["sampanctl", "status", "once"]);
    assert!(status.contains("status=7"), "{status}");
    kill_manager(&host);
    assert_eq!(identity(&host), before);
    assert_eq!(
        ["MainPID", "ImageID", "ExecMainStartTimestamp"].map(|name| host.property("late", name)),
        late
    );
    let status = host.answer(3, &["sampanctl", "status", "once"]);
    assert!(status.contains("status=7"), "{status}\n{}", host.recent());
    disk.free();
    host.succeed(&["sampanctl", "reset-failed", "once"]);
    host.succeed(&["sampanctl", "stop", "late"]);
    kill_manager(&host);
    assert_eq!(host.property("late", "ActiveState"), "inactive");
    assert_eq!(host.property("once", "ActiveState"), "inactive");
    assert_all_works(&host, &before);
}

#[test]
fn a_full_store_costs_a_start_and_an_import_and_nothing_else() {
    let host = Host::boot();
    let disk = Disk::mount(&host, "/var/lib/sampan");
    host.succeed(&["systemctl", "start", "sampand"]);
    host.add_images(&["hello", "web"]);
    start_units(&host);
    let before = identity(&host);
    disk.fill();
    refused(&host, &["sampanctl", "start", "late"]);
    refused(&host, &["sampanctl", "import", "/srv/web.tar", "--name", "localhost/again"]);
    host.succeed(&["sampanctl", "images"]);
    kill_manager(&host);
    assert_eq!(identity(&host), before);
    refused(&host, &["sampanctl", "start", "late"]);
    // Whoever comes now waits until there is space.
    let client = host.connect("127.0.0.1:8002").expect("it listens");
    host.wait_property("idle", "SubState", "auto-restart");
    disk.free();
    let answer = support::host::exchange(client, b"GET / HTTP/1.0\r\n\r\n").expect("it is served");
    assert!(answer.contains("Hello from nginx"), "{answer}");
    host.succeed(&["sampanctl", "stop", "idle"]);
    host.succeed(&["sampanctl", "start", "idle"]);
    assert_eq!(host.succeed(&["sampanctl", "fsck"]), "");
    host.succeed(&["sampanctl", "import", "/srv/web.tar", "--name", "localhost/again"]);
    assert_all_works(&host, &before);
}

#[test]
fn unit_files_that_cannot_be_written_stay_as_they_are() {
    let host = host();
    let disk = Disk::mount(&host, "/etc/sampan");
    host.unit(
        "wanted.container",
        &(shell("exec sleep 1000") + "[install]\nwanted_by = [\"default.target\"]\n"),
    );
    let before = identity(&host);
    let files = || host.succeed(&["sh", "-c", "cd /etc/sampan/units; find . | sort; cat *.toml"]);
    let editor = "#!/bin/sh\nexec sed -i '1i [unit]\\ndescription = \"a long one\"' \"$1\"\n";
    host.write("/run/editor", editor);
    host.succeed(&["chmod", "+x", "/run/editor"]);
    let unchanged = files();
    disk.fill();
    let editor = ["env", "EDITOR=/run/editor", "sampanctl"];
    for words in [
        &["sampanctl", "enable", "wanted"][..],
        &["sampanctl", "mask", "nobody"],
        &["sampanctl", "set-property", "job", "TasksMax=77"],
        &[&editor[..], &["edit", "job"]].concat(),
        &[&editor[..], &["edit", "--full", "job"]].concat(),
    ] {
        refused(&host, words);
        assert_eq!(files(), unchanged, "{words:?}");
    }
    host.succeed(&["sampanctl", "daemon-reload"]);
    kill_manager(&host);
    assert_eq!(identity(&host), before);
    disk.free();
    host.succeed(&["sampanctl", "set-property", "job", "TasksMax=77"]);
    host.succeed(&["sampanctl", "enable", "wanted"]);
    assert_all_works(&host, &before);
}
