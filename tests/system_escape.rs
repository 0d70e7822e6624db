//! The ways out of containers that others paid for, tried from inside of a hostile image. Each test says what a
//! break would look like; `escape_rig/attacker.c` has the attacks.

#[path = "support/layout.rs"]
mod layout;
mod support;

use layout::{Entry, Layout, Tar, plain};
use serde_json::json;
use sha2::Digest as _;
use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use support::host::Host;

/// How many times a program joins a container that lies in wait for it.
const JOINS: usize = 150;

/// Every capability: then it is not for the lack of one that an attack fails.
const ALL_CAPABILITIES: &str = r#"[security]
add_capabilities = ["CAP_SYS_ADMIN", "CAP_SYS_PTRACE", "CAP_SYS_MODULE", "CAP_SYS_RAWIO", "CAP_SYS_BOOT", "CAP_SYS_TIME",
    "CAP_SYS_TTY_CONFIG", "CAP_SYS_RESOURCE", "CAP_DAC_READ_SEARCH", "CAP_NET_ADMIN", "CAP_SYSLOG", "CAP_BPF", "CAP_PERFMON"]
"#;

/// The attacker, built once for all tests of this program.
fn attacker() -> Vec<u8> {
    static BUILT: std::sync::OnceLock<Vec<u8>> = std::sync::OnceLock::new();
    let build = || {
        let directory = tempfile::tempdir().unwrap();
        let (code, program): (PathBuf, PathBuf) = (
            Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/escape_rig/attacker.c"),
            directory.path().join("attacker"),
        );
        let arguments = ["-static", "-O1", "-pthread", "-o"];
        let status = Command::new("gcc").args(arguments).arg(&program).arg(&code).status().unwrap();
        assert!(status.success(), "gcc builds the attacker");
        fs::read(program).unwrap()
    };
    BUILT.get_or_init(build).clone()
}

fn layer() -> Tar {
    let busybox = fs::read("/bin/busybox").expect("Debian's busybox-static is installed");
    let directories = ["bin", "dev", "etc", "mnt", "proc", "run", "sys"];
    let layer = directories.iter().fold(Tar::default(), |layer, name| layer.directory(name));
    let layer = layer.entry(&Entry { name: "tmp", typeflag: b'5', mode: 0o1777, ..Entry::default() });
    let program =
        |layer: Tar, name, body: &[u8]| layer.entry(&Entry { name, mode: 0o755, body, ..Entry::default() });
    let layer = program(program(layer, "bin/busybox", &busybox), "attacker", &attacker());
    ["cat", "echo", "ls", "mkdir", "ln", "pwd", "sh", "sleep", "touch", "true", "printf"]
        .iter()
        .fold(layer, |layer, applet| layer.symlink(&format!("bin/{applet}"), "busybox"))
        .file("etc/passwd", "root:x:0:0:root:/:/bin/sh\n")
        .file("attacked", "file")
}

/// A host with a hostile image, and the attacker in its `/srv`.
fn host(more: Tar, config: serde_json::Value) -> Host {
    let host = Host::start();
    let layers = [plain(layer().end()), plain(more.end())];
    Layout::write_with(&host.shared().join("image"), &layers, &mut |documents| {
        documents.config["config"] = config.clone();
    });
    host.import("image", "localhost/evil");
    fs::write(host.shared().join("attacker"), attacker()).unwrap();
    host.succeed(&["chmod", "755", "/srv/attacker"]);
    host
}

fn asleep() -> Host {
    host(Tar::default(), json!({ "Cmd": ["/bin/sleep", "10000"] }))
}

/// Starts a container of the hostile image.
fn start(host: &Host, unit: &str, more: &str) {
    host.unit(&format!("{unit}.container"), &format!("[container]\nimage = \"localhost/evil\"\n{more}"));
    host.succeed(&["sampanctl", "start", unit]);
}

fn attack(host: &Host, unit: &str, words: &[&str]) -> String {
    host.succeed(&[&["sampanctl", "exec", unit, "/attacker"], words].concat())
}

/// An attack that goes on in the container until `/tmp/end` is there; it has begun.
fn lasting(host: &Host, unit: &str, words: &[&str]) -> (Child, BufReader<std::process::ChildStdout>) {
    let mut command = host.command(&[&["sampanctl", "exec", unit, "/attacker"], words].concat());
    let mut attack = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut told = BufReader::new(attack.stdout.take().unwrap());
    told.read_line(&mut String::new()).unwrap();
    (attack, told)
}

fn end(host: &Host, unit: &str, (mut attack, told): (Child, BufReader<std::process::ChildStdout>)) -> String {
    host.succeed(&["sampanctl", "exec", unit, "touch", "/tmp/end"]);
    let told = std::io::read_to_string(told).unwrap();
    attack.wait().unwrap();
    told
}

fn descriptors(host: &Host) -> usize {
    let pid = host.succeed(&["systemctl", "show", "--value", "-p", "MainPID", "sampand"]);
    host.succeed(&["ls", &format!("/proc/{}/fd", pid.trim())]).lines().count()
}

/// A break: a line ends in DONE. Errors that a wrong argument gives would prove nothing, and are none of these.
#[test]
fn calls_that_steer_the_kernel_are_refused_by_the_filter_alone_and_without_it() {
    let host = asleep();
    start(&host, "plain", "");
    start(&host, "mighty", ALL_CAPABILITIES);
    for unit in ["plain", "mighty"] {
        let told = attack(&host, unit, &["calls"]);
        let met: BTreeMap<&str, &str> = told.lines().filter_map(|line| line.split_once(": ")).collect();
        assert!(met.len() > 45, "all attacks are tried: {told}");
        for (attack, result) in &met {
            let refused = match *attack {
                "clone3 user" | "i386 socket" | "i386 unshare" | "i386 getpid" | "x32 getpid" => {
                    // A kernel without such programs ends who tries.
                    ["ENOSYS", "SIGSEGV"].contains(result)
                }
                // Calls that no program needs are not known.
                _ => ["EPERM", "ENOSYS"].contains(result),
            };
            assert!(refused, "{unit}: {attack}: {result}\n{told}");
        }
    }
    // What capabilities refuse where the unit lets calls through: only what is the container's own is mounted.
    start(
        &host,
        "open",
        "[security]\nsystem_call_filter = [\"@system-service\", \"@mount\", \"@module\", \"@clock\", \"@reboot\", \"@swap\", \"@raw-io\", \"bpf\", \"open_by_handle_at\", \"syslog\", \"acct\"]\n",
    );
    let told = attack(&host, "open", &["calls"]);
    assert!(!told.contains("DONE"), "{told}");
}

/// A break: a file of the kernel or of the container's own control group can be opened for writing.
#[test]
fn files_that_steer_the_host_cannot_be_written() {
    let host = asleep();
    for (unit, more) in [("plain", ""), ("mighty", ALL_CAPABILITIES)] {
        start(&host, unit, more);
        for file in [
            "/proc/sys/kernel/core_pattern",
            "/proc/sys/kernel/modprobe",
            "/proc/sys/kernel/hotplug",
            "/proc/sys/kernel/hostname",
            "/proc/sys/kernel/ns_last_pid",
            "/proc/sys/fs/binfmt_misc/register",
            "/proc/sys/vm/overcommit_memory",
            "/proc/sys/net/ipv4/ip_forward",
            "/proc/sysrq-trigger",
            "/proc/irq/default_smp_affinity",
            "/proc/kcore",
            "/proc/kmsg",
            "/proc/kallsyms",
            "/proc/keys",
            "/proc/timer_list",
            "/proc/acpi",
            "/proc/bus/pci/devices",
            "/proc/scsi",
            "/sys/kernel/uevent_helper",
            "/sys/kernel/mm/transparent_hugepage/enabled",
            "/sys/module/kernel/parameters/panic",
            "/sys/fs/cgroup/cgroup.procs",
            "/sys/fs/cgroup/cgroup.subtree_control",
            "/sys/fs/cgroup/cgroup.freeze",
            "/sys/fs/cgroup/cgroup.kill",
            "/sys/fs/cgroup/memory.max",
            "/sys/fs/cgroup/pids.max",
            "/sys/fs/cgroup/release_agent",
            "/sys/fs/cgroup/../cgroup/cgroup.procs",
            "/dev/mem",
            "/dev/kmsg",
            "/dev/sda",
            "/dev/fuse",
            "/dev/kvm",
            "/dev/loop-control",
            "/dev/mapper/control",
            "/dev/net/tun",
            "/dev/console",
        ] {
            let told = attack(&host, unit, &["write", file]);
            // A file that this kernel does not have is not there for anybody; one of the mask is a null device.
            let masked = ["/proc/kcore", "/proc/keys", "/proc/timer_list"].contains(&file);
            assert!(!told.contains("DONE") || masked, "{unit}: {told}");
        }
    }
    // Only reading tells that a null device hides it.
    let read = "cat /proc/kcore /proc/keys /proc/timer_list | head -c 1";
    assert_eq!(host.succeed(&["sampanctl", "exec", "mighty", "sh", "-c", read]), "");
}

/// CVE-2016-9962 and CVE-2019-5736. A break: the attacker reaches a descriptor, the memory, the directories or the
/// program of a launcher that has entered the container but is not its payload yet.
#[test]
fn who_joins_a_container_that_lies_in_wait_gives_nothing_away() {
    let script = Tar::default()
        .entry(&Entry {
            name: "bin/own",
            mode: 0o755,
            body: b"#!/proc/self/exe overwrite\n",
            ..Entry::default()
        })
        .file("etc/ld.so.preload", "/lib/evil.so\n");
    let host = host(
        script,
        json!({ "Cmd": ["/bin/sleep", "10000"], "Env": ["LD_PRELOAD=/lib/evil.so", "LISTEN_FDS=3", "LISTEN_PID=1"] }),
    );
    let programs = || {
        let read = |name: &str| fs::read(host.path(&format!("/usr/libexec/sampan/{name}"))).expect(name);
        sha2::Sha256::digest(read("sampan-launch"))
    };
    let before = programs();
    for (unit, more) in [("plain", ""), ("mighty", ALL_CAPABILITIES)] {
        start(&host, unit, more);
        let watching = lasting(&host, unit, &["watch"]);
        let join = format!("for i in $(seq {JOINS}); do sampanctl exec {unit} true || exit 1; done");
        host.succeed(&["sh", "-c", &join]);
        let told = end(&host, unit, watching);
        assert!(told.contains("launchers seen: some"), "none was met: {told}");
        assert!(!told.contains("DONE"), "{unit}: {told}");
        // The interpreter of this script is whatever executes it.
        let own = host.run(&["sampanctl", "exec", unit, "/bin/own"]);
        assert!(!String::from_utf8_lossy(&own.stdout).contains("DONE"), "{own:?}");
        let left = host.succeed(&["sampanctl", "exec", unit, "ls", "/proc/self/fd"]);
        assert_eq!(left, "0\n1\n2\n3\n", "3 is that of ls itself");
    }
    assert_eq!(before, programs(), "the launcher on the host is what it was");
}

/// CVE-2024-21626. A break: a working directory is outside of the root, so that `..` leads to the host.
#[test]
fn no_working_directory_leads_out() {
    let host = asleep();
    host.succeed(&["sh", "-c", "echo host >/srv/canary"]);
    start(&host, "web", "");
    let mut refused = 0;
    for number in (0..16).chain(510..520) {
        for directory in [format!("/proc/self/fd/{number}"), format!("/proc/self/fd/{number}/../../..")] {
            let look = [
                "sampanctl",
                "exec",
                "-w",
                &directory,
                "web",
                "sh",
                "-c",
                "pwd; cat srv/canary ../../../srv/canary",
            ];
            let output = host.run(&look);
            let told = String::from_utf8_lossy(&output.stdout).into_owned();
            assert!(!told.contains("host") && !told.contains("(unreachable)"), "{directory}: {told}");
            refused += usize::from(told.is_empty());
        }
    }
    assert!(refused > 40, "hardly any of them is a directory");
    for directory in ["/proc/self/fd/7", "/proc/1/root/..", "/proc/self/cwd"] {
        host.unit("led.container", &format!("[container]\nimage = \"localhost/evil\"\nworking_directory = \"{directory}\"\ncommand = [\"/bin/sh\", \"-c\", \"pwd; cat srv/canary; exec sleep 1000\"]\n"));
        let output = host.run(&["sampanctl", "start", "led"]);
        assert!(!output.status.success(), "a magic link is followed: {directory}");
        let status = host.answer(3, &["sampanctl", "status", "led"]);
        assert!(status.contains("change directory"), "{status}");
    }
}

/// CVE-2025-31133, CVE-2025-52565, CVE-2025-52881. A break: a mount or a write goes to what a link of the image names.
#[test]
fn links_in_the_place_of_the_kernels_files_redirect_nothing() {
    let canary = "/run/canary";
    let links = Tar::default()
        .directory("run/canary")
        .symlink("dev/null", "/proc/sys/kernel/core_pattern")
        .symlink("dev/console", "/proc/sysrq-trigger")
        .symlink("dev/pts", canary)
        .symlink("dev/shm", canary)
        .symlink("dev/mqueue", canary)
        .symlink("dev/stdout", "/proc/sys/kernel/core_pattern")
        .symlink("etc/hosts", "/proc/sys/kernel/hostname")
        .symlink("etc/resolv.conf", "/proc/self/attr/exec")
        .directory("proc/self")
        .symlink("proc/self/attr", canary)
        .symlink("proc/sys", canary)
        .symlink("sys/fs", canary);
    let host = host(links, json!({ "Cmd": ["/bin/sleep", "10000"] }));
    let before = host.succeed(&["sh", "-c", "cat /proc/sys/kernel/core_pattern /proc/mounts | sort"]);
    for root in ["ephemeral", "persistent", "read-only"] {
        start(&host, root, &format!("root = \"{root}\"\n"));
        let look = "ls /run/canary; echo lost >/dev/null; cat /proc/sys/kernel/hostname";
        let told = host.succeed(&["sampanctl", "exec", root, "sh", "-c", look]);
        assert_eq!(told, format!("{root}\n"), "nothing is mounted or made behind a link");
        let mounts = host.succeed(&["sampanctl", "exec", root, "cat", "/proc/mounts"]);
        for place in [" /dev devpts ", canary] {
            assert!(!mounts.contains(place), "{mounts}");
        }
        assert!(mounts.contains(" /proc/sys ") && mounts.contains(" /sys/fs/cgroup "), "{mounts}");
    }
    assert_eq!(before, host.succeed(&["sh", "-c", "cat /proc/sys/kernel/core_pattern /proc/mounts | sort"]));
    // A whole directory of the kernel's that is a link is an error, and no start.
    let host = self::host(Tar::default().symlink("proc", canary), json!({ "Cmd": ["/bin/sleep", "10000"] }));
    host.unit("web.container", "[container]\nimage = \"localhost/evil\"\n");
    host.fail(1, &["sampanctl", "start", "web"]);
    let status = host.answer(3, &["sampanctl", "status", "web"]);
    assert!(status.contains("/proc") && status.contains("symbolic link"), "{status}");
}

/// CVE-2018-15664, CVE-2019-14271. A break: the archive of a volume has a file of the host, or the host one of the
/// archive's.
#[test]
fn a_directory_that_becomes_a_link_while_it_is_copied_leads_nowhere() {
    let host = asleep();
    host.succeed(&["sh", "-c", "mkdir -p /etc/deep; echo host-secret >/etc/deep/file"]);
    start(&host, "web", "[mount.\"/data\"]\ntype = \"volume\"\nsource = \"kept\"\n");
    let make = "mkdir -p /data/deep /data/plain; echo inside >/data/deep/file; ln -s /etc/deep /data/link";
    host.succeed(&["sampanctl", "exec", "web", "sh", "-c", make]);
    let exchanging = lasting(&host, "web", &["exchange", "/data/deep", "/data/link"]);
    for _ in 0..30 {
        // What changes while it is read may make it fail, but never lead away.
        let output = host.run(&[
            "sh",
            "-c",
            "sampanctl volumes export kept --output=/srv/kept.tar; cat /srv/kept.tar",
        ]);
        assert!(!String::from_utf8_lossy(&output.stdout).contains("host-secret"), "a link is followed");
    }
    end(&host, "web", exchanging);
    assert_eq!(host.succeed(&["ls", "/etc/deep"]), "file\n");
}

/// A break: a key of the host's root is found; a lock in one container is seen in another; an abstract socket of
/// the host answers (CVE-2020-15257).
#[test]
fn what_the_kernel_shares_by_name_is_not_shared() {
    let host = asleep();
    let allow = "[security]\nsystem_call_filter = [\"@system-service\", \"@keyring\"]\n";
    start(&host, "web", allow);
    start(&host, "shop", allow);
    // KEY_SPEC_SESSION_KEYRING and KEY_SPEC_USER_KEYRING of linux/keyctl.h.
    for ring in ["-3", "-4"] {
        let found = host.succeed(&[
            "sh",
            "-c",
            &format!("/srv/attacker add-key {ring}; /srv/attacker find-key {ring}"),
        ]);
        assert!(ring == "-3" || found == "add: DONE\nfind: DONE\n", "{found}");
        attack(&host, "shop", &["add-key", ring]);
        assert_eq!(attack(&host, "web", &["find-key", ring]), "find: ENOKEY\n", "{ring}");
    }

    let mut holder = host
        .command(&["sampanctl", "exec", "web", "/attacker", "lock", "/attacked", "hold"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(holder.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "lock: DONE\n");
    assert_eq!(attack(&host, "web", &["lock", "/attacked"]), "lock: EAGAIN\n");
    assert_eq!(attack(&host, "shop", &["lock", "/attacked"]), "lock: DONE\n", "the same inode in the store");

    let mut listener =
        host.command(&["/srv/attacker", "listen", "host"]).stdout(Stdio::piped()).spawn().unwrap();
    BufReader::new(listener.stdout.take().unwrap()).read_line(&mut String::new()).unwrap();
    assert_eq!(host.succeed(&["/srv/attacker", "connect", "host"]), "connect: DONE\n");
    assert_eq!(attack(&host, "web", &["connect", "host"]), "connect: ECONNREFUSED\n");
    let sockets = host.succeed(&["cat", "/proc/net/unix"]);
    assert!(
        !sockets.contains("@sampan") && !sockets.contains("@/run/sampan"),
        "none of ours is abstract: {sockets}"
    );
    for mut child in [holder, listener] {
        child.kill().unwrap();
        child.wait().unwrap();
    }
}

/// CVE-2022-0847 and CVE-2016-5195 among others. A break: what a container may only read has changed, for another that
/// has the same inode of the store.
#[test]
fn pages_that_containers_share_are_written_by_nobody() {
    let host = asleep();
    start(&host, "web", "root = \"read-only\"\n");
    start(&host, "shop", "");
    let told = attack(&host, "web", &["write-pages", "/attacked"]);
    assert_eq!(told, "pipe: tried\ncopy: tried\nshared mapping: EACCES\nprotection: EACCES\n");
    for unit in ["web", "shop"] {
        assert_eq!(host.succeed(&["sampanctl", "exec", unit, "cat", "/attacked"]), "file", "{unit}");
    }
    host.succeed(&["sampanctl", "fsck"]);
}

/// A break: a queue, memory or a semaphore of another container is found by its key; who holds a lease on a file of the
/// store has others wait who open theirs.
#[test]
fn what_is_found_by_keys_and_inodes_is_not_that_of_others() {
    let host = asleep();
    start(&host, "web", "");
    start(&host, "shop", "");
    attack(&host, "shop", &["make-keys"]);
    let all = |met: &str| format!("memory: {met}\nmessages: {met}\nsemaphores: {met}\n");
    assert_eq!(attack(&host, "shop", &["find-keys"]), all("DONE"));
    assert_eq!(attack(&host, "web", &["find-keys"]), all("ENOENT"));
    assert_eq!(host.succeed(&["/srv/attacker", "find-keys"]), all("ENOENT"));

    let mut holder = host
        .command(&["sampanctl", "exec", "web", "/attacker", "lease", "/attacked", "hold"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(holder.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "lease: DONE\n");
    assert_eq!(
        attack(&host, "shop", &["write-now", "/attacked"]),
        "writing: DONE\n",
        "the same inode in the store"
    );
    assert_eq!(attack(&host, "web", &["write-now", "/attacked"]), "writing: EAGAIN\n");
    holder.kill().unwrap();
    holder.wait().unwrap();
}

/// A break: the daemon keeps descriptors that it was sent, takes a process of others for the main one, or ends.
#[test]
fn a_payload_that_lies_to_the_manager_gains_nothing() {
    let host = asleep();
    start(
        &host,
        "web",
        "type = \"notify\"\ncommand = [\"/bin/sh\", \"-c\", \"/attacker notify; exec sleep 1000\"]\n",
    );
    host.wait_log("web", "told");
    // From now on a launcher waits for the next command, too.
    host.succeed(&["sampanctl", "exec", "web", "true"]);
    let before = descriptors(&host);
    let stored = || host.succeed(&["systemctl", "show", "--value", "-p", "NFileDescriptorStore", "sampand"]);
    let kept = stored();
    let main = host.property("web", "MainPID");
    let daemon = host.succeed(&["systemctl", "show", "--value", "-p", "MainPID", "sampand"]);
    host.succeed(&[
        "sampanctl",
        "exec",
        "web",
        "sh",
        "-c",
        "NOTIFY_SOCKET=/run/host/notify /attacker notify",
    ]);
    assert_eq!(main, host.property("web", "MainPID"));
    assert_eq!(kept, stored(), "nothing is passed on to systemd");
    assert!(descriptors(&host) <= before, "no descriptor stays");
    assert_eq!(daemon, host.succeed(&["systemctl", "show", "--value", "-p", "MainPID", "sampand"]));
    // Neither does a status that the payload gives reach a terminal as it is.
    let status = host.succeed(&["sampanctl", "status", "web"]);
    assert!(status.contains("owned") && !status.contains(['\u{1b}', '\u{7}']), "{status:?}");

    start(
        &host,
        "swap",
        "command = [\"/bin/sh\", \"-c\", \"/attacker binds; exec sleep 1000\"]\n[socket.main]\nlisten = \"127.0.0.1:8080\"\npass = \"swap\"\n",
    );
    host.wait_log("swap", "bound");
    assert_eq!(daemon, host.succeed(&["systemctl", "show", "--value", "-p", "MainPID", "sampand"]));
    assert_eq!(
        attack(&host, "swap", &["lock", "/attacked"]),
        "lock: DONE\n",
        "the container works as before"
    );
}

/// A break: what a payload prints or calls itself drives the administrator's terminal.
#[test]
fn output_and_names_of_a_payload_do_not_reach_a_terminal_as_they_are() {
    let host = asleep();
    let script =
        "printf '\\033]0;owned\\007\\033[2Jfirst\\n'; exec /bin/sh -c 'sleep 1000; true' '\u{1b}[31mname'";
    host.unit(
        "web.container",
        &format!(
            "[container]\nimage = \"localhost/evil\"\ncommand = [\"/bin/sh\", \"-c\", '''{}''']\n",
            script.replace('\u{1b}', "$(printf \"\\033\")")
        ),
    );
    host.succeed(&["sampanctl", "start", "web"]);
    host.wait_log("web", "first");
    for verb in
        [&["status", "web"][..], &["list-units"], &["top", "--iterations=1"], &["images"], &["logs", "web"]]
    {
        let output = host.run(&[&["sampanctl", "--no-pager"], verb].concat());
        let told = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(!told.contains("\u{1b}]0;") && !told.contains("\u{1b}[2J"), "{verb:?}: {told:?}");
        assert!(!told.contains("\u{1b}[31mname"), "{verb:?}: {told:?}");
    }
}

/// A break: a container that can write above what another one binds has it bind something of the host's.
#[test]
fn a_link_above_what_another_container_binds_leads_nowhere() {
    let host = asleep();
    host.succeed(&["mkdir", "-p", "/srv/tree/a/systemd"]);
    host.write("/srv/tree/a/systemd/own", "own\n");
    start(&host, "web", "[mount.\"/tree\"]\ntype = \"bind\"\nsource = \"/srv/tree\"\n");
    let victim = "[mount.\"/x\"]\ntype = \"bind\"\nsource = \"/srv/tree/a/systemd\"\n";
    let shows = |host: &Host| host.succeed(&["sampanctl", "exec", "shop", "ls", "/x"]);
    start(&host, "shop", victim);
    assert_eq!(shows(&host), "own\n", "without a link it is as ever");
    let plan = host.succeed(&["sampanctl", "show", "--plan", "shop"]);
    assert!(plan.contains("\"shared\": \"/srv/tree\""), "{plan}");
    host.succeed(&["sampanctl", "stop", "shop"]);

    let inside = |script: &str| host.succeed(&["sampanctl", "exec", "web", "/bin/sh", "-c", script]);
    inside("/bin/busybox mv /tree/a /tree/real && ln -s /etc /tree/a");
    host.succeed(&["test", "-d", "/srv/tree/a/systemd"]);
    host.fail(1, &["sampanctl", "start", "shop"]);
    let told = host.property("shop", "LaunchError");
    let expected = "open bind: /srv/tree/a/systemd: Too many levels of symbolic links; symbolic links lead in a circle, \
                    or are in a directory that a container can write";
    assert!(told.starts_with(expected), "{told}");

    let swaps = "while [ ! -e /tmp/end ]; do rm=/bin/busybox; $rm rm /tree/a; $rm mv /tree/real /tree/a; \
                 $rm mv /tree/a /tree/real; ln -s /etc /tree/a; done";
    let mut command = host.command(&["sampanctl", "exec", "web", "/bin/sh", "-c", swaps]);
    let mut swapper = command.spawn().unwrap();
    for _ in 0..30 {
        if host.run(&["sampanctl", "start", "shop"]).status.success() {
            assert_eq!(shows(&host), "own\n");
            host.succeed(&["sampanctl", "stop", "shop"]);
        }
        host.run(&["sampanctl", "reset-failed", "shop"]);
    }
    inside("touch /tmp/end");
    swapper.wait().unwrap();
}

/// A break: one container takes memory of the kernel for files and terminals without end.
#[test]
fn places_in_memory_have_room_for_so_many_files_only() {
    let host = asleep();
    start(&host, "web", "[mount.\"/scratch\"]\ntype = \"tmpfs\"\noptions = [\"size=1M\"]\n");
    for (directory, most) in [("/dev", 20_000), ("/dev/shm", 20_000), ("/scratch", 300)] {
        let made = attack(&host, "web", &["fill", directory]);
        let made: u64 = made.trim().strip_prefix("made: ").unwrap().parse().unwrap();
        assert!((100..=most).contains(&made), "{directory}: {made} files");
    }
    let shm = host.run(&["sampanctl", "exec", "web", "sh", "-c", "cat /dev/zero >/dev/shm/0"]);
    assert!(String::from_utf8_lossy(&shm.stderr).contains("No space left"), "{shm:?}");
    // Docker's --shm-size.
    start(&host, "small", "[mount.\"/dev/shm\"]\ntype = \"tmpfs\"\noptions = [\"size=1M\"]\n");
    let fill = "cat /dev/zero >/dev/shm/0 2>/dev/null; ls -s /dev/shm/0";
    let filled = host.succeed(&["sampanctl", "exec", "small", "sh", "-c", fill]);
    assert!(filled.trim_start().starts_with("1024 "), "{filled}");
}

/// Who goes through directories by going down into each has no stack left for these, and the manager would be gone.
#[test]
fn directories_without_end_are_no_end_of_the_manager() {
    let host = asleep();
    start(&host, "web", "[mount.\"/deep\"]\ntype = \"volume\"\nsource = \"deep\"\n");
    let manager = host.succeed(&["systemctl", "show", "--property=MainPID,NRestarts", "sampand"]);
    for place in ["/tmp", "/deep"] {
        assert_eq!(attack(&host, "web", &["dig", place, "20000"]), "dig: DONE\n");
    }
    let shown = host.succeed(&["sampanctl", "volumes", "inspect", "deep"]);
    assert!(shown.contains("20000 entries"), "{shown}");
    let refused = host.fail(1, &["sampanctl", "volumes", "export", "deep", "-o", "/run/deep.tar"]);
    assert!(refused.contains("/…/") && refused.contains("File name too long"), "{refused}");
    assert!(refused.len() < 200, "{refused}");
    host.succeed(&["sampanctl", "stop", "web"]);
    host.succeed(&["rm", "/etc/sampan/units/web.container.toml"]);
    host.succeed(&["sampanctl", "daemon-reload"]);
    host.succeed(&["sampanctl", "volumes", "remove", "deep"]);
    let left = "find /var/lib/sampan/containers -mindepth 1 -maxdepth 1 -name 'gone-*' | grep -q .";
    host.succeed(&["timeout", "100", "sh", "-c", &format!("while {left}; do sleep 0.05; done")]);
    assert_eq!(
        host.succeed(&["systemctl", "show", "--property=MainPID,NRestarts", "sampand"]),
        manager,
        "{}",
        host.recent()
    );
}
