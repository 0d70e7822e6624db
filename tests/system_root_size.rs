//! Roots that have a size, on a private host.

mod support;

use support::host::Host;
use support::units::shell;

const SLEEP: &str = "trap 'exit 0' TERM; while :; do sleep 1000 & wait; done";

fn inside(host: &Host, unit: &str, script: &str) -> String {
    host.succeed(&["sampanctl", "exec", unit, "sh", "-c", script])
}

fn start_units(host: &Host, units: &[(&str, &str)]) {
    for (name, keys) in units {
        host.unit(&format!("{name}.container"), &format!("{}{keys}", shell(SLEEP)));
        host.succeed(&["sampanctl", "start", name]);
    }
}

/// No file system of a root, no loop device, no mount but those of the host.
fn assert_no_disk(host: &Host, unit: &str) {
    let script = "find /var/lib/sampan/containers/$0.container -name 'disk*' -not -path '*/gone-*'; grep -h /dev/loop /proc/1/mountinfo | grep -v ' /var/lib/sampan '; \
        grep -ls /var/lib/sampan/containers/$0.container /sys/block/loop*/loop/backing_file; true";
    host.wait_until("nothing is left of the root", |host| {
        host.succeed(&["sh", "-c", script, unit]).is_empty()
    });
}

const FILL: &str = "dd if=/dev/zero of=/fill bs=64k 2>&1; stat -c %s /fill; rm -f /fill";

#[test]
fn what_is_full_is_full_for_the_container_alone() {
    let host = Host::with_images(&["hello"]);
    start_units(
        &host,
        &[
            ("small", "root_size = \"32M\"\n"),
            ("large", "root_size = \"64M\"\nuser = \"0\"\n[security]\nuser_namespace = \"host\"\n"),
            ("free", ""),
        ],
    );
    for (unit, size) in [("small", 32 << 20), ("large", 64 << 20)] {
        let filled = inside(&host, unit, FILL);
        assert!(filled.contains("No space left on device"), "{filled}");
        let written: u64 = filled.lines().last().unwrap().parse().unwrap();
        assert!(written < size && written > size * 3 / 4, "{unit}: {written}");
    }
    inside(&host, "small", "echo kept >/etc/kept; dd if=/dev/zero of=/some bs=1M count=8 2>/dev/null");
    let status = host.succeed(&["sampanctl", "status", "small"]);
    let root = status.lines().find(|line| line.trim_start().starts_with("Root: ")).unwrap_or_default();
    assert!(root.ends_with("M (limit: 32.0M)"), "{status}");
    assert!(host.property("small", "RootUsed").parse::<u64>().unwrap() > 8 << 20);
    assert!(!host.succeed(&["sampanctl", "status", "free"]).contains("Root: "));
    // A successor of the manager knows as much, and an end takes all away.
    host.succeed(&["systemctl", "kill", "--signal=KILL", "--kill-whom=main", "sampand"]);
    host.wait_until("the manager is back", |host| {
        host.run(&["sampanctl", "is-active", "small"]).status.success()
    });
    host.succeed(&["sampanctl", "restart", "small"]);
    assert_eq!(
        inside(&host, "small", "ls /etc/kept 2>&1 || true").trim(),
        "ls: /etc/kept: No such file or directory"
    );
    host.succeed(&["sampanctl", "stop", "small", "large"]);
    assert_no_disk(&host, "small");
    assert_no_disk(&host, "large");
}

#[test]
fn a_persistent_root_is_kept_and_can_grow() {
    let host = Host::with_images(&["hello"]);
    let unit = |size: &str| format!("{}root = \"persistent\"\n{size}", shell(SLEEP));
    let start = |size: &str| {
        host.unit("web.container", &unit(size));
        host.succeed(&["sampanctl", "restart", "web"]);
    };
    start("root_size = \"32M\"\n");
    inside(&host, "web", "echo kept >/kept; chown 33:44 /kept");
    start("root_size = \"48M\"\n");
    assert_eq!(inside(&host, "web", "cat /kept; stat -c %u:%g /kept"), "kept\n33:44\n");
    let filled: u64 = inside(&host, "web", FILL).lines().last().unwrap().parse().unwrap();
    assert!(filled > 34 << 20, "{filled}");
    // What has had a limit is not lost with it; and a crash costs nothing that was synchronized.
    inside(&host, "web", "echo more >>/kept; sync");
    host.succeed(&["sampanctl", "kill", "--signal=KILL", "web"]);
    start("");
    assert_eq!(inside(&host, "web", "cat /kept"), "kept\nmore\n");

    host.unit("web.container", &unit("root_size = \"32M\"\n"));
    host.succeed(&["sampanctl", "stop", "web"]);
    host.fail(1, &["sampanctl", "start", "web"]);
    let told = host.property("web", "LaunchError");
    assert!(
        told.ends_with(
            "File too large; it is larger already, and a limit can only grow: raise container.root_size"
        ),
        "{told}"
    );
    let other = format!("{}root = \"persistent\"\n", shell(SLEEP));
    host.unit("other.container", &other);
    host.succeed(&["sampanctl", "start", "other"]);
    host.succeed(&["sampanctl", "stop", "other"]);
    host.unit("other.container", &format!("{other}root_size = \"32M\"\n"));
    host.fail(1, &["sampanctl", "start", "other"]);
    let told = host.property("other", "LaunchError");
    assert!(told.contains("File exists; the root has changes without a limit"), "{told}");
    assert_eq!(host.succeed(&["sh", "-c", "grep -h /dev/loop /proc/1/mountinfo; true"]), "");
}

#[test]
fn the_store_can_be_in_memory_and_the_host_can_lack_what_is_needed() {
    let host = Host::boot();
    host.succeed(&["mount", "-t", "tmpfs", "-o", "size=512M", "tmpfs", "/var/lib/sampan"]);
    host.succeed(&["systemctl", "start", "sampand"]);
    host.add_images(&["hello"]);
    let unit = format!("{}root_size = \"32M\"\n", shell(SLEEP));
    host.unit("web.container", &unit);
    host.succeed(&["mv", "/dev/loop-control", "/dev/away"]);
    host.fail(1, &["sampanctl", "start", "web"]);
    let told = host.property("web", "LaunchError");
    assert!(
        told.starts_with(
            "limit root: /dev/loop-control: No such file or directory; a root with a size needs loop devices"
        ),
        "{told}"
    );
    host.succeed(&["mv", "/dev/away", "/dev/loop-control"]);
    host.succeed(&["sampanctl", "start", "web"]);
    assert!(inside(&host, "web", FILL).contains("No space left on device"));
    host.succeed(&["sampanctl", "stop", "web"]);
    host.succeed(&["mv", "/usr/sbin/mkfs.ext4", "/usr/sbin/away"]);
    host.fail(1, &["sampanctl", "start", "web"]);
    let told = host.property("web", "LaunchError");
    assert!(told.starts_with("limit root: /usr/sbin/mkfs.ext4: No such file or directory; "), "{told}");
    assert_no_disk(&host, "web");
}

/// A file in which there is a file system takes as much of any disk as is in it; quotas would be another thing on each.
#[test]
fn the_store_can_be_on_xfs_and_on_btrfs() {
    for kind in ["xfs", "btrfs"] {
        let host = Host::boot();
        let make = format!(
            "truncate -s 512M /srv/disk && mkfs.{kind} -q /srv/disk && mount -o loop /srv/disk /var/lib/sampan"
        );
        host.succeed(&["sh", "-c", &make]);
        host.succeed(&["systemctl", "start", "sampand"]);
        host.add_images(&["hello"]);
        start_units(
            &host,
            &[("small", "root_size = \"32M\"\n"), ("kept", "root = \"persistent\"\nroot_size = \"32M\"\n")],
        );
        for unit in ["small", "kept"] {
            let filled = inside(&host, unit, FILL);
            assert!(filled.contains("No space left on device"), "{kind}: {filled}");
            let written: u64 = filled.lines().last().unwrap().parse().unwrap();
            assert!(written < 32 << 20 && written > 24 << 20, "{kind} {unit}: {written}");
        }
        inside(&host, "kept", "echo kept >/kept; sync");
        let disk = "/var/lib/sampan/containers/kept.container/persistent/disk";
        let blocks = || host.succeed(&["stat", "-c", "%b", disk]).trim().parse::<u64>().unwrap();
        assert!(blocks() * 512 < 16 << 20, "{kind}: what was removed inside is free outside: {}", blocks());
        host.succeed(&["sampanctl", "restart", "kept"]);
        assert_eq!(inside(&host, "kept", "cat /kept"), "kept\n");
        // Copies for one unit are made here as well, of shared blocks.
        start_units(&host, &[("own", "share = false\n")]);
        host.succeed(&["sampanctl", "fsck"]);
        host.succeed(&["sampanctl", "stop", "small", "kept", "own"]);
        assert_no_disk(&host, "small");
        host.succeed(&["systemctl", "stop", "sampand"]);
        host.succeed(&["umount", "/var/lib/sampan"]);
    }
}

/// As with podman's --read-only and --read-only-tmpfs.
#[test]
fn a_root_that_cannot_be_written_has_what_the_unit_wants_in_memory() {
    let host = Host::with_images(&["hello"]);
    let memory = ["/tmp", "/run", "/var/tmp"]
        .map(|at| format!("[mount.\"{at}\"]\ntype = \"tmpfs\"\noptions = [\"size=4M\"]\n"));
    start_units(&host, &[("web", &format!("root = \"read-only\"\n{}", memory.concat()))]);
    let told = inside(
        &host,
        "web",
        "for at in /tmp /run /var/tmp /dev/shm; do echo x >$at/file && cat $at/file; done; { echo x >/file; echo x >/etc/file; } 2>&1; true",
    );
    assert_eq!(told.matches("x\n").count(), 4, "{told}");
    assert_eq!(told.matches("Read-only file system").count(), 2, "{told}");
    let filled = inside(&host, "web", "dd if=/dev/zero of=/tmp/fill bs=64k 2>&1; true");
    assert!(filled.contains("No space left on device"), "{filled}");
}
