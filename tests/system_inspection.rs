//! What a default container has and lacks, as it sees itself: the table in sampan-isolation(7), column by column.

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;
use support::host::Host;
use support::units::shell;

/// Keys, each with all its values.
type Seen = BTreeMap<String, Vec<String>>;

fn read(told: &str) -> Seen {
    let mut seen = Seen::new();
    for (key, value) in told.lines().filter_map(|line| line.split_once(": ")) {
        seen.entry(key.to_owned()).or_default().push(value.to_owned());
    }
    seen
}

fn one<'a>(seen: &'a Seen, key: &str) -> &'a str {
    seen.get(key).and_then(|values| values.first()).map_or("", String::as_str)
}

/// The column of the table that the manual has for what was seen, of namespaces beside those of the host.
fn column(seen: &Seen, host: &Seen) -> Vec<String> {
    let own: Vec<&str> = ["user", "mnt", "pid", "net", "uts", "ipc", "cgroup", "time"]
        .into_iter()
        .filter(|name| {
            let key = format!("namespace {name}");
            one(seen, &key) != one(host, &key)
        })
        .collect();
    let capabilities = |key: &str| {
        u64::from_str_radix(one(seen, key), 16)
            .map_or_else(|_| String::new(), |mask| mask.count_ones().to_string())
    };
    let ids: Vec<&str> = one(seen, "uid_map").split_whitespace().collect();
    let root = if ids.get(1) == Some(&"0") { "root" } else { "nobody" };
    let has = |key: &str, parts: &[&str]| {
        let values = seen.get(key).map_or(&[][..], Vec::as_slice);
        if parts.iter().all(|part| values.iter().any(|value| value == part)) { "yes" } else { "no" }
            .to_owned()
    };
    let devices = seen.get("device").map_or(0, |names| {
        names
            .iter()
            .filter(|name| !["full", "null", "random", "tty", "urandom", "zero"].contains(&name.as_str()))
            .count()
    });
    vec![
        own.join(" "),
        root.to_owned(),
        capabilities("CapEff"),
        capabilities("CapBnd"),
        capabilities("CapAmb"),
        if one(seen, "NoNewPrivs") == "1" { "yes" } else { "no" }.to_owned(),
        if one(seen, "Seccomp") == "2" { "filter" } else { "none" }.to_owned(),
        has("masked", &["/proc/keys", "/proc/timer_list", "/sys/firmware"]),
        has("read-only", &["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys"]),
        one(seen, "settings that can be written").to_owned(),
        one(seen, "files of /sys that can be written").to_owned(),
        devices.to_string(),
    ]
}

/// The rows of the table in the manual: what, Sampan, Podman, Docker.
fn table() -> Vec<Vec<String>> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("man/sampan-isolation.7");
    let page = fs::read_to_string(page).unwrap();
    let rows = page.lines().filter_map(|line| line.strip_prefix(".It "));
    rows.filter(|row| row.starts_with('"'))
        .map(|row| row.split(" Ta ").map(|cell| cell.trim().trim_matches('"').to_owned()).collect())
        .collect()
}

#[test]
fn the_manual_tells_what_containers_see_of_themselves() {
    let host = Host::with_images(&["hello"]);
    let code = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/escape_rig/inspector.c");
    fs::create_dir_all(host.shared().join("tree")).unwrap();
    let program = host.shared().join("tree/inspector");
    let built = Command::new("gcc").args(["-static", "-O1", "-o"]).arg(&program).arg(code).status();
    assert!(built.unwrap().success(), "gcc builds the inspector");
    let unit = shell("exec sleep 1000") + "[mount.\"/see\"]\ntype = \"bind\"\nsource = \"/srv/tree\"\n";
    host.unit("web.container", &unit);
    host.succeed(&["sampanctl", "start", "web"]);
    let namespaces = "for name in user mnt pid net uts ipc cgroup time; do echo \"namespace $name: $(readlink /proc/self/ns/$name)\"; done";
    let outside = read(&host.succeed(&["sh", "-c", namespaces]));
    let ours = read(&host.succeed(&["sampanctl", "exec", "web", "/see/inspector"]));
    host.succeed(&[
        "sh",
        "-c",
        "mkdir -p /srv/tree/proc /srv/tree/sys /srv/tree/dev /srv/tree/etc /srv/tree/run /srv/tree/tmp",
    ]);
    // What differs from its defaults is for a private host, which has no storage, no bridge and no rights to raise limits.
    let podman = "podman --runtime crun --cgroup-manager cgroupfs --storage-driver vfs \
        --root /var/lib/sampan/podman --runroot /run/podman run --rm --network none --cgroups=disabled \
        --ulimit nofile=1024:1024 --ulimit nproc=1000:1000 --rootfs /srv/tree /inspector";
    let theirs = read(&host.succeed(&["sh", "-c", podman]));

    let rows = table();
    for (place, seen) in [(1, &ours), (2, &theirs)] {
        let written: Vec<&str> = rows.iter().map(|row| row[place].as_str()).collect();
        assert_eq!(written, column(seen, &outside), "{seen:#?}");
        // How many calls a kernel has differs.
        let calls: u32 = one(seen, "calls refused").parse().expect("a number");
        assert!(calls >= 70, "{calls}");
    }
    let calls = [&ours, &theirs].map(|seen| one(seen, "calls refused").parse::<u32>().expect("a number"));
    assert!(calls[0] >= calls[1], "{calls:?}");
}
