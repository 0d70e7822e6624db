//! Launches on a store whose disk is full, or cannot be written any more: what is told, how the unit ends, and that
//! nothing is left behind.

mod support;

use support::failures::{Case, assert_each_fails, prepared, traces};
use support::host::Host;

/// A host whose store is a file system of its own.
fn host() -> Host {
    let host = Host::boot();
    let script = "mount -t tmpfs -o size=128m,nr_inodes=20000,mode=0755 tmpfs /var/lib/sampan; systemctl start sampand";
    host.succeed(&["sh", "-ec", script]);
    prepared(host)
}

/// Each wants something else of the disk.
const UNITS: [&str; 4] = [
    "",
    "root = \"read-only\"\n[mount.\"/etc/a/b\"]\ntype = \"tmpfs\"\n",
    "root_size = \"16M\"\n",
    "[security]\nuser_namespace = \"300000000:65536\"\n",
];

/// Whichever file is the first for which there is no place.
#[test]
fn a_store_without_room_for_another_file_is_told_and_keeps_nothing() {
    let host = host();
    for unit in UNITS {
        host.unit(
            "web.container",
            &format!("[container]\nimage = \"localhost/odd\"\ncommand = [\"/bin/sleep\", \"1000\"]\n{unit}"),
        );
        let before = traces(&host);
        let mut left = 0;
        loop {
            let room = format!(
                "mount -o remount,nr_inodes=$(($(df --output=iused /var/lib/sampan | tail -n 1) + {left})) /var/lib/sampan"
            );
            host.succeed(&["sh", "-ec", &room]);
            let started = host.run(&["sampanctl", "start", "web"]);
            host.succeed(&["mount", "-o", "remount,nr_inodes=20000", "/var/lib/sampan"]);
            if started.status.success() {
                break;
            }
            let error = host.property("web", "LaunchError");
            let status = host.answer(3, &["sampanctl", "status", "--full", "web"]);
            assert!(error.contains("No space left on device"), "{unit} with {left}: {error}");
            assert!(status.contains(&error) && status.contains("(ENOSPC)"), "{unit} with {left}: {status}");
            assert_eq!(started.status.code(), Some(1));
            host.succeed(&["sampanctl", "reset-failed", "web"]);
            assert_eq!(traces(&host), before, "{unit} with {left} left something: {error}");
            left += 1;
        }
        assert!(left > 0, "{unit}");
        host.succeed(&["sampanctl", "stop", "web"]);
    }
    assert_eq!(host.property("keep", "ActiveState"), "active");
}

macro_rules! read_only {
    ($unit:literal, $told:literal) => {
        Case {
            host: [
                "mkdir -p -m 0700 /var/lib/sampan/containers/web.container; mount -o remount,ro /var/lib/sampan",
                "mount -o remount,rw /var/lib/sampan; rm -rf /var/lib/sampan/containers/web.container",
            ],
            unit: concat!("command = [\"/bin/true\"]\n", $unit),
            told: $told,
        }
    };
}

const READ_ONLY: &[Case] = &[
    read_only!(
        "",
        "mount root: /var/lib/sampan/containers/web.container/ephemeral/work: Read-only file system; "
    ),
    read_only!(
        "root = \"persistent\"\n",
        "mount root: /var/lib/sampan/containers/web.container/persistent/work: Read-only file system; "
    ),
    read_only!(
        "root = \"read-only\"\n",
        "mount root: /var/lib/sampan/containers/web.container/stand: Read-only file system; "
    ),
    read_only!("root_size = \"16M\"\n", "limit root: "),
    read_only!("share = false\n", "private image: "),
    Case {
        host: ["mount -o remount,ro /var/lib/sampan", "mount -o remount,rw /var/lib/sampan"],
        unit: "command = [\"/bin/true\"]\n",
        told: "store: cannot create /var/lib/sampan/containers/web.container: Read-only file system",
    },
];

#[test]
fn a_store_that_cannot_be_written_is_told() {
    assert_each_fails(&host(), READ_ONLY);
}
