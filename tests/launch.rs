//! Launches seen from inside: isolation, identity, files, errors. As root, without systemd.

#[allow(dead_code)]
#[path = "launch_rig/mod.rs"]
mod rig;

use rig::{RANGE, Rig, STORE, own, socket};
use rustix::process::Signal;
use sampan::launch::plan::Command;
use sampan::launch::step::{HostTree, LabelModule};
use sampan::sys::pidfd::{self, Exit};
use sampan::sys::seccomp::{Instruction, install};
use sampan::unit::model::*;
use sampan::unit::system_calls::SystemCallFilter;
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};

const ENOENT: i32 = 2;
const ESRCH: i32 = 3;
const ELOOP: i32 = 40;

#[test]
fn the_payload_is_process_1_with_little_privilege() {
    let mut rig = Rig::new();
    rig.script(
        "echo pid $$; hostname; cat /proc/self/uid_map; id; \
         grep -E '^(NoNewPrivs|Seccomp|Cap...):' /proc/self/status; cat /proc/sys/kernel/hostname",
    );
    let outcome = rig.run();
    let printed = outcome.printed();
    for line in [
        "pid 1".to_owned(),
        "boat".into(),
        format!("{:>10} {:>10} {:>10}", 0, RANGE.base, RANGE.length),
        "uid=0(root) gid=0(root) groups=0(root)".into(),
        "CapInh:\t0000000000000000".into(),
        "CapPrm:\t00000000800405fb".into(),
        "CapEff:\t00000000800405fb".into(),
        "CapBnd:\t00000000800405fb".into(),
        "CapAmb:\t0000000000000000".into(),
        "NoNewPrivs:\t1".into(),
        "Seccomp:\t2".into(),
    ] {
        assert!(printed.lines().any(|printed| printed == line), "{line} in\n{printed}");
    }
    assert_eq!(outcome.header, ["web", "sampan-web.scope", "6", "1", "0", "0", "0"]);
}

#[test]
fn a_user_of_the_image_has_its_groups_and_no_capability() {
    let mut rig = Rig::new();
    rig.image.user = "web".into();
    rig.image.working_directory = "/var/www".into();
    rig.script(
        "id; pwd; echo $HOME; grep -E '^Cap(Eff|Prm|Amb)' /proc/self/status; touch here; stat -c %u:%g here",
    );
    let outcome = rig.run();
    assert_eq!(
        outcome.printed(),
        "uid=33(web) gid=44(web) groups=4(log),44(web)\n/var/www\n/var/www\n\
         CapPrm:\t0000000000000000\nCapEff:\t0000000000000000\nCapAmb:\t0000000000000000\n33:44\n"
    );
}

#[test]
fn a_unit_can_give_a_user_a_capability() {
    let mut rig = Rig::new();
    rig.container.user = Some("33:44".into());
    rig.container.security.capabilities = Some(["CAP_NET_BIND_SERVICE".to_owned()].into());
    rig.container.security.no_new_privileges = false;
    rig.script("grep -E '^(Cap(Eff|Bnd|Amb)|NoNew|Seccomp:)' /proc/self/status");
    assert_eq!(
        rig.run().printed(),
        "CapEff:\t0000000000000400\nCapBnd:\t0000000000000400\nCapAmb:\t0000000000000400\n\
         NoNewPrivs:\t0\nSeccomp:\t2\n"
    );
}

#[test]
fn a_unit_can_change_single_capabilities() {
    let mut rig = Rig::new();
    rig.container.security.add_capabilities = ["CAP_SYS_NICE".to_owned()].into();
    rig.container.security.drop_capabilities = ["CAP_CHOWN".to_owned()].into();
    rig.script("grep CapEff /proc/self/status");
    assert_eq!(rig.run().printed(), "CapEff:\t00000000808405fa\n");
    rig.container.user = Some("33:44".into());
    assert_eq!(rig.run().printed(), "CapEff:\t0000000000800000\n");
}

#[test]
fn devices_work_and_the_host_is_out_of_sight() {
    let mut rig = Rig::new();
    rig.script(
        "ls /dev; echo x > /dev/null; head -c 3 /dev/zero | wc -c; ls /sys/firmware | wc -l; \
         echo 1 > /proc/sys/vm/drop_caches; echo 1 > /sys/kernel/x; mount -t tmpfs x /tmp; \
         echo interfaces $(grep -c : /proc/net/dev), loopback $(ip addr show lo | grep -c 127.0.0.1); \
         cat /proc/timer_list /proc/keys 2> /dev/null; true",
    );
    let outcome = rig.run();
    let printed = outcome.printed();
    let devices =
        "fd\nfull\nmqueue\nnull\nptmx\npts\nrandom\nshm\nstderr\nstdin\nstdout\ntty\nurandom\nzero\n3\n0\n";
    assert!(printed.starts_with(devices), "{printed}");
    assert!(printed.contains("drop_caches: Read-only file system"), "{printed}");
    assert!(printed.contains("mount: permission denied"), "{printed}");
    assert!(printed.ends_with("interfaces 1, loopback 1\n"), "{printed}");
}

#[test]
fn mounts_are_ours_only() {
    let mut rig = Rig::new();
    rig.script("cat /proc/self/mountinfo; cat /proc/self/cgroup; touch /sys/fs/cgroup/x");
    let running = rig.start(&[]);
    let outcome = rig.finish(running);
    let places: Vec<_> = outcome
        .output
        .lines()
        .filter_map(|line| line.contains(" - ").then(|| line.split(' ').nth(4)).flatten())
        .collect();
    for place in ["/", "/proc", "/sys", "/dev", "/dev/pts", "/dev/shm", "/dev/mqueue", "/sys/fs/cgroup"] {
        assert_eq!(
            places.iter().filter(|known| **known == place).count(),
            1,
            "{place} in {}",
            outcome.output
        );
    }
    let known = |place: &&str| ["/", "/proc", "/sys", "/dev"].iter().any(|top| place.starts_with(top));
    assert!(places.iter().all(known));
    assert!(!outcome.output.contains("target"), "{}", outcome.output);
    assert!(outcome.output.contains("touch: /sys/fs/cgroup/x: Read-only file system"), "{}", outcome.output);
    assert!(outcome.output.contains("0::/\n"), "{}", outcome.output);
}

#[test]
fn descriptors_are_exact() {
    let mut rig = Rig::new();
    rig.script("ls /proc/1/fd; true");
    assert_eq!(rig.run().printed(), "0\n1\n2\n");
}

#[test]
fn output_can_be_opened_by_its_name() {
    let mut rig = Rig::new();
    rig.script(
        "echo out > /dev/stdout; ln -s /dev/stdout /tmp/log; echo log >> /tmp/log; stat -c '%F %a %u' /dev/stdout",
    );
    for namespace in [UserNamespace::Auto, UserNamespace::Host] {
        rig.container.security.user_namespace = namespace;
        let outcome = rig.run();
        assert_eq!((outcome.printed(), outcome.written.as_str()), ("fifo 622 0\n", "out\nlog\n"));
        assert_eq!(outcome.second, "web\nsampan-web.scope\n6\n1\n0\n0\n0\n");
    }
    rig.container.user = Some("web".into());
    rig.script("echo error > /dev/stderr; echo here >&2; cat /dev/stdout; true");
    let outcome = rig.run();
    let printed = "here\ncat: can't open '/dev/stdout': Permission denied\n";
    assert_eq!((outcome.printed(), outcome.written.as_str()), (printed, "error\n"));
}

#[test]
fn sockets_are_passed_by_listen_fds() {
    let mut rig = Rig::new();
    rig.container.sockets.insert("http".into(), std::sync::Arc::new(socket(Pass::Fd)));
    rig.container.sockets.insert("admin".into(), std::sync::Arc::new(socket(Pass::Fd)));
    rig.image.environment =
        vec!["LISTEN_FDS=9".into(), "NOTIFY_SOCKET=/x".into(), "A=1".into(), "A=2".into()];
    rig.script("ls /proc/1/fd; env | grep -E '^(LISTEN|NOTIFY|A=|container)' | sort");
    let one = std::os::unix::net::UnixListener::bind(rig.directory.path().join("1")).unwrap();
    let two = std::os::unix::net::UnixListener::bind(rig.directory.path().join("2")).unwrap();
    let outcome = rig.run_with(&[one.as_fd(), two.as_fd()]);
    assert_eq!(
        outcome.printed(),
        "0\n1\n2\n3\n4\nA=2\nLISTEN_FDNAMES=admin:http\nLISTEN_FDS=2\nLISTEN_PID=1\ncontainer=sampan\n"
    );
}

#[test]
fn swapped_sockets_give_a_listener() {
    let mut rig = Rig::new();
    rig.container.sockets.insert("http".into(), std::sync::Arc::new(socket(Pass::Swap)));
    rig.container.security.no_new_privileges = false;
    rig.script("ls /proc/1/fd; grep Seccomp_filters /proc/self/status");
    let running = rig.start(&[]);
    assert!(running.notifier.is_some());
    assert_eq!(rig.finish(running).printed(), "0\n1\n2\nSeccomp_filters:\t2\n");
}

#[test]
fn system_calls_are_filtered() {
    let mut rig = Rig::new();
    rig.script("unshare -U true; unshare -m true; chroot / /bin/true && echo chroot works; nslookup x 127.0.0.1 | tail -1");
    let outcome = rig.run();
    assert!(outcome.output.contains("unshare(0x10000000): Operation not permitted"), "{}", outcome.output);
    assert!(outcome.output.contains("chroot works"), "{}", outcome.output);
}

#[test]
fn changes_are_discarded_kept_or_refused() {
    let mut rig = Rig::new();
    rig.script("cat /seen; id -u > /seen; echo changed > /etc/group; stat -c '%u:%g %a' / /etc/group /seen");
    for _ in 0..2 {
        assert!(rig.run().printed().starts_with("cat: can't open '/seen'"));
    }
    rig.container.root = RootMode::Persistent;
    assert!(rig.run().printed().starts_with("cat: can't open '/seen'"));
    assert_eq!(rig.run().printed(), "0\n0:0 755\n0:0 644\n0:0 644\n");
    let upper = rig.facts.directory.join("persistent/upper");
    assert_eq!(upper.join("seen").metadata().unwrap().uid(), RANGE.base);
    assert_eq!(upper.metadata().unwrap().uid(), RANGE.base);
    rig.container.root = RootMode::ReadOnly;
    rig.script("touch /x; mkdir /etc/y; touch /tmp/z; cat /etc/hosts; stat -c %u:%g /etc /dev /proc");
    let refused = rig.run();
    assert_eq!(refused.output.matches("Read-only file system").count(), 3, "{}", refused.output);
    assert!(refused.output.contains("127.0.1.1 boat"), "{}", refused.output);
    // The image never changes.
    assert_eq!(std::fs::read_to_string(rig.rootfs().join("etc/group")).unwrap().lines().count(), 3);
    assert_eq!(rig.rootfs().join("etc/group").metadata().unwrap().uid(), STORE);
}

#[test]
fn mounts_of_the_unit_belong_to_the_container() {
    let mut rig = Rig::new();
    let shared = rig.directory.path().join("shared");
    std::fs::create_dir(&shared).unwrap();
    std::fs::write(shared.join("file"), "from the host\n").unwrap();
    let bind = |source: &Path| Mount::new(MountSource::Bind(Bind::new(source.to_owned())));
    rig.mount("/srv/shared", bind(&shared));
    rig.mount("/srv/read", bind(&shared).read_only());
    rig.mount("/etc/file", bind(&shared.join("file")).read_only());
    rig.mount("/cache", Mount::new(MountSource::Tmpfs(Tmpfs::new(Some(65536)))));
    rig.mount("/data", Mount::new(MountSource::Volume { name: "data".into(), seed: Seed::Image }));
    let volume = rig.volume("data");
    rig.script(
        "cat /etc/file; stat -c %u /srv/shared/file; touch /srv/shared/new /data/new; touch /srv/read/x; echo y > /etc/file; \
         df -k /cache | tail -1 | awk '{print $2}'; chown 33 /data/new",
    );
    let outcome = rig.run();
    let lines: Vec<_> = outcome.printed().lines().collect();
    assert_eq!(lines[..2], ["from the host", "0"], "{lines:?}");
    assert_eq!(outcome.output.matches("Read-only file system").count(), 2, "{lines:?}");
    assert!(lines.contains(&"64"), "{lines:?}");
    assert_eq!(shared.join("new").metadata().unwrap().uid(), 0);
    assert_eq!(volume.join("new").metadata().unwrap().uid(), STORE + 33);
    // A unit that shares the host's ids, and a plain directory of the host's ids as image.
    rig.container.security.user_namespace = UserNamespace::Host;
    assert_eq!(rig.run().printed().lines().next(), Some("from the host"));
}

#[test]
fn the_hosts_ids_and_network_can_be_shared() {
    let mut rig = Rig::new();
    rig.container.network = NetworkMode::Host;
    rig.script(
        "stat -c %u /bin/busybox; readlink /proc/self/ns/net; ls /sys/class/net | tr '\\n' ' '; touch /sys/x",
    );
    let ours = std::fs::read_link("/proc/self/ns/net").unwrap();
    for namespace in [UserNamespace::Auto, UserNamespace::Host] {
        rig.container.security.user_namespace = namespace;
        let outcome = rig.run();
        assert!(outcome.output.starts_with(&format!("0\n{}\n", ours.display())), "{}", outcome.output);
        assert!(outcome.output.contains("Read-only file system"), "{}", outcome.output);
    }
    rig.container.network = NetworkMode::None;
    rig.script("ip addr show lo | grep -c UP; true");
    assert_eq!(rig.run().printed(), "0\n");
}

#[test]
fn a_plain_directory_of_the_host_is_an_image_too() {
    let mut rig = Rig::new();
    let plain = rig.directory.path().join("plain");
    let copied = std::process::Command::new("cp").arg("-a").arg(rig.rootfs()).arg(&plain).status().unwrap();
    assert!(copied.success());
    assert!(std::process::Command::new("chown").args(["-hR", "0:0"]).arg(&plain).status().unwrap().success());
    rig.facts.rootfs = HostTree { path: plain, id_base: 0 };
    rig.script("stat -c %u:%g /bin/busybox /etc; id -u");
    assert_eq!(rig.run().printed(), "0:0\n0:0\n0\n");
    rig.container.security.user_namespace = UserNamespace::Host;
    assert_eq!(rig.run().printed(), "0:0\n0:0\n0\n");
}

#[test]
fn notify_reaches_the_hosts_socket() {
    let mut rig = Rig::new();
    let path = rig.directory.path().join("notify");
    let socket = std::os::unix::net::UnixDatagram::bind(&path).unwrap();
    rig.facts.identity.notify = Some(path);
    for root in [RootMode::Ephemeral, RootMode::ReadOnly] {
        rig.container.root = root;
        rig.script("echo $NOTIFY_SOCKET; ls -l /run/host | grep -c ^s");
        assert_eq!(rig.run().printed(), "/run/host/notify\n1\n");
    }
    drop(socket);
}

#[test]
fn a_payload_that_cannot_run_is_named() {
    let mut rig = Rig::new();
    rig.container.command = Some(vec!["/usr/bin/nothing".into()]);
    assert_eq!(rig.run().failure(), ("execute", "/usr/bin/nothing", ENOENT));
    rig.container.command = Some(vec!["nothing".into()]);
    assert_eq!(rig.run().failure(), ("execute", "nothing", ENOENT));
    rig.container.command = Some(vec!["/etc/passwd".into()]);
    assert_eq!(rig.run().failure(), ("execute", "/etc/passwd", 13));
    rig.script("true").container.user = Some("nobody".into());
    assert_eq!(rig.run().failure(), ("resolve user", "nobody", ESRCH));
    rig.container.user = Some("4294967296".into());
    assert_eq!(rig.run().failure(), ("resolve user", "4294967296", ESRCH));
    rig.container.user = None;
    rig.container.working_directory = Some("/etc/passwd".into());
    assert_eq!(rig.run().failure(), ("change directory", "/etc/passwd", 20));
    rig.container.working_directory = Some("/not/there".into());
    rig.container.root = RootMode::ReadOnly;
    assert_eq!(rig.run().failure(), ("change directory", "/not/there", 30));
}

#[test]
fn host_trees_that_are_missing_are_named() {
    let mut rig = Rig::new();
    rig.mount("/srv/x", Mount::new(MountSource::Bind(Bind::new("/nonexistent".into()))));
    assert_eq!(rig.run().failure(), ("open bind", "/nonexistent", ENOENT));
    rig.container.mounts.clear();
    rig.facts.rootfs.path = "/nonexistent".into();
    assert_eq!(rig.run().failure(), ("mount root", "/nonexistent", ENOENT));
}

#[test]
fn links_of_a_hostile_image_lead_nowhere() {
    for name in ["proc", "dev", "sys"] {
        let rig = Rig::new();
        let canary = rig.directory.path().join("canary");
        std::fs::create_dir(&canary).unwrap();
        std::fs::remove_dir(rig.rootfs().join(name)).unwrap();
        symlink(&canary, rig.rootfs().join(name)).unwrap();
        assert_eq!(rig.run().failure(), ("mount", format!("/{name}").as_str(), ELOOP));
        assert_eq!(canary.read_dir().unwrap().count(), 0);
    }
}

#[test]
fn files_of_a_hostile_image_cannot_stall_a_launch() {
    let rig = Rig::new();
    let passwd = rig.rootfs().join("etc/passwd");
    std::fs::remove_file(&passwd).unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, &passwd, 0o644.into()).unwrap();
    assert_eq!(rig.run().failure(), ("resolve user", "/etc/passwd", 95));
    std::fs::remove_file(&passwd).unwrap();
    symlink("/dev/zero", &passwd).unwrap();
    assert_eq!(rig.run().failure(), ("resolve user", "/etc/passwd", 95));
    std::fs::remove_file(&passwd).unwrap();
    std::fs::File::create(&passwd).unwrap().set_len(1 << 40).unwrap();
    assert_eq!(rig.run().failure(), ("resolve user", "/etc/passwd", 27));
}

#[test]
fn working_directories_of_a_hostile_image_stay_inside() {
    let mut rig = Rig::new();
    rig.script("pwd; ls /");
    for descriptor in (0..16).chain(508..520) {
        rig.image.working_directory = format!("/proc/self/fd/{descriptor}");
        let outcome = rig.run();
        assert_eq!(outcome.failure().0, "change directory", "{descriptor}");
    }
    rig.image.working_directory = "/../../../..".into();
    assert!(rig.run().printed().starts_with("/\nbin\n"));
}

#[test]
fn the_launcher_cannot_be_executed_or_written_from_inside() {
    let mut rig = Rig::new();
    let script = rig.rootfs().join("bin/evil");
    std::fs::write(&script, "#!/proc/self/exe\n").unwrap();
    std::fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let program = Path::new(env!("CARGO_BIN_EXE_sampan-launch"));
    let before = std::fs::read(program).unwrap();
    rig.container.command = Some(vec!["/bin/evil".into()]);
    let outcome = rig.run();
    assert!(outcome.failed.is_some() || outcome.exit != Exit::Code(0));
    assert_eq!(std::fs::read(program).unwrap(), before);
}

#[test]
fn a_program_joins_a_running_container() {
    let mut rig = Rig::new();
    rig.container.environment.insert("COLOUR".into(), "blue".into());
    rig.script("echo up > /tmp/up; trap 'exit 0' TERM; while true; do sleep 0.05; done");
    let running = rig.start(&[]);
    let words = |script: &str| vec!["sh".to_owned(), "-c".into(), script.into()];
    let command = Command {
        words: words(
            "until test -e /tmp/up; do sleep 0.01; done; hostname; echo $COLOUR $EXTRA; ps | grep -c 'sh -c'; ls /proc/self/fd | wc -l; \
             grep -E '^(NoNewPrivs|Seccomp|CapBnd):' /proc/self/status; cat /proc/self/uid_map; ls /",
        ),
        environment: vec!["EXTRA=1".into()],
        ..Command::default()
    };
    let (output, exit) = rig.join(&running, &command);
    assert_eq!(exit, Ok(Exit::Code(0)), "{output}");
    let start = "boat\nblue 1\n";
    assert!(output.starts_with(start), "{output}");
    assert!(output.contains("CapBnd:\t00000000800405fb\nNoNewPrivs:\t1\nSeccomp:\t2\n"), "{output}");
    assert!(output.contains(&RANGE.base.to_string()), "{output}");
    let as_user = Command {
        words: words("id -un; pwd; exit 3"),
        user: Some("web".into()),
        working_directory: Some(PathBuf::from("/var/www")),
        ..Command::default()
    };
    assert_eq!(rig.join(&running, &as_user), ("web\n/var/www\n".to_owned(), Ok(Exit::Code(3))));
    let missing = Command { words: vec!["nothing".into()], ..Command::default() };
    let (_, failed) = rig.join(&running, &missing);
    assert_eq!(failed.unwrap_err().step, "execute");
    pidfd::signal(running.process(), Signal::TERM).unwrap();
    assert_eq!(rig.finish(running).exit, Exit::Code(0));
}

/// A kernel whose overlayfs takes no descriptors, as before Linux 6.13: fsconfig(2) with FSCONFIG_SET_FD fails.
fn refuse_layers_by_descriptor() {
    let one = |code, if_true, if_false, operand| Instruction { code, if_true, if_false, operand };
    let program = [
        one(0x20, 0, 0, 0),
        one(0x15, 0, 3, 431),
        one(0x20, 0, 0, 24),
        one(0x15, 0, 1, 5),
        one(0x06, 0, 0, 0x0005_0000 | 22),
        one(0x06, 0, 0, 0x7fff_0000),
    ];
    install(&program).unwrap();
}

#[test]
fn older_kernels_get_the_same_root() {
    let mut rig = Rig::new();
    let by_descriptor =
        rig.script("echo x > /file; grep -c overlay /proc/self/mountinfo; stat -c %u /bin/busybox").run();
    refuse_layers_by_descriptor();
    assert_eq!(rig.run().printed(), by_descriptor.printed());
    rig.container.root = RootMode::ReadOnly;
    rig.script("stat -c %u /bin/busybox /dev; touch /x");
    assert_eq!(rig.run().output, "0\n0\ntouch: /x: Read-only file system\n");
}

#[test]
fn limits_of_the_manager_are_not_the_payloads() {
    let mut rig = Rig::new();
    rig.script(
        "ulimit -n; cat /proc/self/oom_score_adj; umask; grep -E '^Sig(Blk|Ign)' /proc/1/status; tty; true",
    );
    let outcome = rig.run();
    assert!(
        outcome.printed().starts_with("1024\n0\n0022\nSigBlk:\t0000000000000000\n"),
        "{}",
        outcome.output
    );
}

#[test]
fn a_node_that_root_makes_cannot_be_opened() {
    let mut rig = Rig::new();
    rig.container.security.user_namespace = UserNamespace::Host;
    rig.container.security.add_capabilities = ["CAP_MKNOD".to_owned()].into();
    rig.script("for at in /dev /tmp /dev/shm; do mknod $at/memory c 1 1 && head -c 1 $at/memory; done; true");
    let outcome = rig.run();
    assert_eq!(outcome.printed().matches("memory: Permission denied").count(), 3, "{}", outcome.output);
}

#[test]
fn nothing_is_left_on_the_host() {
    let mut rig = Rig::new();
    let mounts = || std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    let before = mounts();
    rig.script("true");
    rig.run().printed();
    rig.container.user = Some("nobody".into());
    rig.run().failure();
    assert_eq!(mounts(), before);
    let children = std::fs::read_to_string(format!(
        "/proc/self/task/{}/children",
        rustix::thread::gettid().as_raw_nonzero()
    ))
    .unwrap();
    assert_eq!(children, "");
}

#[test]
fn a_unit_filters_hides_and_protects_more() {
    let mut rig = Rig::new();
    let list = |items: &[&str]| {
        let items: Vec<String> = items.iter().map(|item| (*item).to_owned()).collect();
        SystemCallFilter::read(&items).unwrap()
    };
    rig.container.security.system_calls = list(&["@system-service", "~@chown", "~mkdir", "~mkdirat"]);
    rig.script("mkdir /tmp/x; chown 33 /etc/passwd; touch /tmp/y && echo made");
    let output = rig.run().output;
    assert!(output.contains("'/tmp/x': Operation not permitted") && output.ends_with("made\n"), "{output}");
    assert!(output.contains("/etc/passwd: Operation not permitted"), "{output}");
    // What the launcher itself still needs does not count as the payload's.
    rig.container.security.system_calls = list(&["@basic-io", "@process", "@signal", "@ipc", "@file-system"]);
    rig.container.user = Some("web".into());
    rig.script("cat /proc/self/status | grep -c '^Seccomp:.2'; unshare -U true");
    let output = rig.run().output;
    assert!(output.starts_with("1\n") && output.contains("Operation not permitted"), "{output}");
    rig.container.user = None;
    rig.container.security.system_calls = SystemCallFilter::default();

    std::fs::write(rig.rootfs().join("etc/secret"), "hidden").unwrap();
    std::fs::create_dir_all(rig.rootfs().join("opt/app")).unwrap();
    own(rig.rootfs());
    symlink("/opt/app", rig.rootfs().join("app")).unwrap();
    rig.mount("/opt/app/mem", Mount::new(MountSource::Tmpfs(Tmpfs::new(None))));
    let paths = |paths: &[&str]| paths.iter().map(std::path::PathBuf::from).collect();
    rig.container.security.mask_paths = paths(&["/etc/secret", "/srv", "/not/there"]);
    rig.container.security.read_only_paths = paths(&["/app", "/bin"]);
    rig.script(
        "cat /etc/secret; ls -A /srv; touch /srv/x /opt/app/x /opt/app/mem/x; touch /tmp/x && echo made",
    );
    let output = rig.run().output;
    assert_eq!(output.matches("Read-only file system").count(), 3, "{output}");
    assert!(output.ends_with("made\n") && !output.contains("hidden"), "{output}");
}

/// What ping(8) does where it has no capability: icmp(7).
const PING: &str = r#"
#include <arpa/inet.h>
#include <netinet/ip_icmp.h>
#include <stdio.h>
#include <unistd.h>
int main(void) {
    struct sockaddr_in host = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct icmphdr request = {.type = ICMP_ECHO}, reply;
    int pings = socket(AF_INET, SOCK_DGRAM, IPPROTO_ICMP);
    if (pings < 0) return perror("ping"), 0;
    connect(pings, (struct sockaddr *)&host, sizeof host);
    if (write(pings, &request, sizeof request) < 0 || read(pings, &reply, sizeof reply) < 0) return perror("ping"), 1;
    return puts(reply.type == ICMP_ECHOREPLY ? "answered" : "lost"), 0;
}
"#;

#[test]
fn everybody_can_ping_without_a_capability() {
    let mut rig = Rig::new();
    let (source, program) = (rig.directory.path().join("ping.c"), rig.rootfs().join("bin/echo-request"));
    std::fs::write(&source, PING).unwrap();
    let built =
        std::process::Command::new("gcc").arg("-static").arg("-o").arg(&program).arg(&source).status();
    assert!(built.unwrap().success(), "gcc builds it");
    own(&program);
    rig.script("echo-request");
    for user in ["0", "33:44"] {
        rig.container.user = Some(user.into());
        assert_eq!(rig.run().printed(), "answered\n", "{user}");
    }
    rig.container.security.user_namespace = UserNamespace::Host;
    assert_eq!(rig.run().printed(), "answered\n");
    rig.container.security.sysctl.insert("net/ipv4/ping_group_range".into(), "1 0".into());
    assert_eq!(rig.run().printed(), "ping: Permission denied\n");
}

#[test]
fn a_label_that_no_module_takes_is_told_or_passed_over() {
    let mut rig = Rig::new();
    rig.facts.modules = [LabelModule::Apparmor, LabelModule::Selinux].into();
    rig.script("echo ran");
    // This machine's kernel has neither in use, whatever the plan says.
    for (key, step) in [("apparmor", "set AppArmor profile"), ("selinux", "set SELinux label")] {
        for missing in [IfMissing::Fail, IfMissing::Ignore] {
            let label = Some(SecurityLabel { name: "a:b:none:s0".into(), missing });
            let security = &mut rig.container.security;
            (security.apparmor_profile, security.selinux_label) =
                if key == "apparmor" { (label, None) } else { (None, label) };
            let outcome = rig.run();
            match missing {
                IfMissing::Ignore => assert_eq!(outcome.printed(), "ran\n"),
                IfMissing::Fail => assert_eq!(outcome.failure().0, step),
            }
        }
    }
}
