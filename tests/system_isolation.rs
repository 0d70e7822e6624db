//! What a container sees of itself and of the host, from inside, and what it leaves behind.

mod support;

use support::host::Host;
use support::units::shell;

const KEYS: [&str; 4] = ["NoNewPrivs", "CapEff", "CapBnd", "Seccomp"];

/// What the shell prints that runs in a container of this unit.
fn inside(host: &Host, unit: &str, script: &str) -> String {
    host.succeed(&["sampanctl", "exec", unit, "sh", "-c", script])
}

/// A host with one container that sleeps; more tables of the unit may be given.
fn sleeper(more: &str) -> Host {
    let host = Host::with_images(&["hello"]);
    host.unit("web.container", &(shell("exec sleep 1000") + more));
    host.succeed(&["sampanctl", "start", "web"]);
    host
}

#[test]
fn the_payload_is_alone_and_has_little() {
    let host = sleeper("");
    assert_eq!(inside(&host, "web", "cat /proc/1/comm"), "sleep\n");
    let map = inside(&host, "web", "cat /proc/1/uid_map");
    let map: Vec<u32> = map.split_whitespace().map(|number| number.parse().expect("a number")).collect();
    assert!(map[0] == 0 && map[1] >= 65_536 && map[2] == 65_536, "ids of its own: {map:?}");
    let owner = host.succeed(&["stat", "-c", "%u", &format!("/proc/{}", host.property("web", "MainPID"))]);
    assert_eq!(owner.trim(), map[1].to_string(), "the host sees the payload as nobody's");
    let groups = inside(&host, "web", "cat /proc/1/cgroup");
    assert!(groups.lines().all(|line| line.ends_with(":/")), "it is the top of its own tree: {groups}");
    let own = inside(&host, "web", "cat /proc/self/cgroup; cat /sys/fs/cgroup/cgroup.procs");
    assert!(
        own.contains("0::/\n1\n"),
        "exec works in the container's group, which it sees as the top: {own}"
    );
    assert_eq!(inside(&host, "web", "hostname"), "web\n");

    let status = inside(&host, "web", "cat /proc/1/status");
    let value = |key: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
        line.unwrap_or_else(|| panic!("{key}: {status}")).trim().to_owned()
    };
    let [privileges, effective, bounding, seccomp] = KEYS.map(value);
    assert_eq!((privileges.as_str(), seccomp.as_str()), ("1", "2"));
    assert_eq!(effective, bounding);
    let effective = u64::from_str_radix(&effective, 16).expect("a mask");
    for (name, bit) in [
        ("CAP_SYS_ADMIN", 21),
        ("CAP_SYS_MODULE", 16),
        ("CAP_SYS_PTRACE", 19),
        ("CAP_NET_ADMIN", 12),
        ("CAP_SYS_TIME", 25),
    ] {
        assert_eq!(effective & (1 << bit), 0, "{name} is given to nobody by default");
    }
    assert!(effective.count_ones() <= 11, "{effective:x}");

    let descriptors = inside(&host, "web", "ls /proc/1/fd | sort -n");
    assert_eq!(descriptors, "0\n1\n2\n");
    let interfaces = inside(&host, "web", "ls /sys/class/net");
    assert_eq!(interfaces, "lo\n");
    assert!(inside(&host, "web", "ip -o link show lo").contains("UP"), "loopback works");
    let processes = inside(&host, "web", "ls /proc | grep -c '^[0-9]*$'");
    assert!(processes.trim().parse::<u32>().expect("a number") <= 6, "only its own processes: {processes}");
}

#[test]
fn the_kernel_is_out_of_reach() {
    let host = sleeper("");
    for write in [
        "echo 1 >/proc/sys/kernel/panic",
        "echo b >/proc/sysrq-trigger",
        "mkdir /sys/fs/cgroup/mine",
        "echo 0 >/proc/sys/vm/drop_caches",
        "mount -t tmpfs none /tmp",
        "unshare -U true",
        "mknod /tmp/disk b 8 0",
        "hostname other",
        "chroot / true && umount /proc",
        "test -c /dev/kmsg",
    ] {
        let output = host.run(&["sampanctl", "exec", "web", "sh", "-c", write]);
        assert!(!output.status.success(), "{write} was possible");
    }
    assert_eq!(
        inside(&host, "web", "cat /proc/kcore 2>/dev/null | head -c 10; cat /proc/keys 2>/dev/null"),
        ""
    );
    assert_eq!(inside(&host, "web", "ls /sys/firmware"), "");
    let devices = inside(&host, "web", "ls /dev");
    for device in ["null", "zero", "full", "random", "urandom", "tty", "ptmx", "shm"] {
        assert!(devices.lines().any(|line| line == device), "/dev/{device}: {devices}");
    }
    for device in ["sda", "vda", "mem", "kmsg", "fuse"] {
        assert!(!devices.lines().any(|line| line == device), "/dev/{device} of the host: {devices}");
    }
    inside(&host, "web", "echo lost >/dev/null && test -w /dev/shm && test -w /tmp");
}

#[test]
fn changes_are_kept_or_gone_or_refused_as_the_unit_says() {
    let host = Host::with_images(&["hello"]);
    for root in ["ephemeral", "persistent", "read-only"] {
        host.unit(&format!("{root}.container"), &format!("{}root = \"{root}\"\n", shell("exec sleep 1000")));
        host.succeed(&["sampanctl", "start", root]);
    }
    for root in ["ephemeral", "persistent"] {
        inside(&host, root, "echo changed >/www/index.html && echo new >/www/new && rm /etc/passwd");
        assert_eq!(inside(&host, root, "cat /www/index.html /www/new"), "changed\nnew\n");
    }
    let refused = host.fail(1, &["sampanctl", "exec", "read-only", "sh", "-c", "echo x >/www/new"]);
    assert!(refused.contains("Read-only file system"), "{refused}");
    host.succeed(&["sampanctl", "restart", "ephemeral", "persistent"]);
    assert_eq!(
        inside(&host, "persistent", "cat /www/index.html /www/new; ls /etc/passwd 2>/dev/null || echo none"),
        "changed\nnew\nnone\n"
    );
    assert_eq!(
        inside(&host, "ephemeral", "cat /www/index.html; ls /www"),
        "<h1>Hello from busybox</h1>\nindex.html\n"
    );
    host.succeed(&["sampanctl", "fsck"]);
    assert_eq!(host.succeed(&["sampanctl", "stop", "ephemeral", "persistent", "read-only"]), "");
    let listing = host.succeed(&["sampanctl", "files", "localhost/hello", "/www"]);
    assert!(listing.contains("index.html") && !listing.contains("new"), "{listing}");
}

#[test]
fn a_container_runs_as_its_image_says() {
    let host = Host::with_images(&[]);
    let site = support::image::Layer::new().file(
        "app/run",
        0o755,
        b"#!/bin/sh\necho \"$0 $* $(id -u):$(id -g) $(pwd) $COLOUR $SIZE\"\nexec sleep 1000\n",
    );
    let config = serde_json::json!({
        "Entrypoint": ["/app/run"], "Cmd": ["as", "usual"], "User": "33:44", "WorkingDir": "/app",
        "Env": ["COLOUR=green", "SIZE=small", "LISTEN_FDS=9", "PATH=/bin"],
    });
    let layout = host.shared().join("app");
    support::image::write_layout(&layout, vec![support::image::Layer::busybox(), site], &config);
    host.import("app", "localhost/app");
    host.unit("plain.container", "[container]\nimage = \"localhost/app\"\n");
    host.succeed(&["sampanctl", "start", "plain"]);
    assert!(host.wait_log("plain", "/app/run ").ends_with("/app/run as usual 33:44 /app green small"));
    assert_eq!(inside(&host, "plain", "echo ${LISTEN_FDS-none}"), "none\n", "no image may pretend");
    host.unit(
        "changed.container",
        "[container]\nimage = \"localhost/app\"\ncommand = [\"of\", \"late\"]\nuser = \"0\"\nworking_directory = \"/tmp\"\nenvironment = { COLOUR = \"blue\" }\n",
    );
    host.succeed(&["sampanctl", "start", "changed"]);
    assert!(host.wait_log("changed", "/app/run ").ends_with("/app/run of late 0:0 /tmp blue small"));
}

#[test]
fn each_unit_has_ids_of_its_own_and_sees_mounts_of_the_host_as_its_own() {
    let host = Host::with_images(&["hello"]);
    host.succeed(&[
        "sh",
        "-c",
        "mkdir -p /srv/shared && echo theirs >/srv/shared/file && chown -R 33 /srv/shared",
    ]);
    let mounts = "[mount.\"/data\"]\ntype = \"bind\"\nsource = \"/srv/shared\"\n[mount.\"/kept\"]\ntype = \"volume\"\nsource = \"kept\"\n";
    for unit in ["one", "two"] {
        host.unit(&format!("{unit}.container"), &(shell("exec sleep 1000") + mounts));
        host.succeed(&["sampanctl", "start", unit]);
    }
    assert_ne!(host.property("one", "UserNamespace"), host.property("two", "UserNamespace"));
    for unit in ["one", "two"] {
        assert_eq!(inside(&host, unit, "cat /data/file; stat -c %u /data/file"), "theirs\n33\n");
    }
    inside(&host, "one", "echo written >/kept/note && chown 33 /kept/note");
    assert_eq!(inside(&host, "two", "cat /kept/note; stat -c %u /kept/note"), "written\n33\n");
    let owner = host.succeed(&["stat", "-c", "%u", "/var/lib/sampan/volumes/kept/note"]);
    assert!(owner.trim().parse::<u32>().expect("a number") > 65_536, "no user of the host owns it: {owner}");
}
