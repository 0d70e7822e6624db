//! Limits are real: the kernel keeps them, the container sees them, and what follows is what systemd.service(5) says.

mod support;

use support::host::{Host, check_all};
use support::units::shell;

#[test]
fn limits_hold() {
    let host = Host::with_controllers(&["hello"]);
    check_all(
        &host,
        &[
            ("limits are seen inside and cannot be written", limits_are_seen_inside),
            ("memory_high slows and does not kill", memory_high_does_not_kill),
            ("swap is limited", swap_is_limited),
            ("tasks_max stops a fork bomb", tasks_max_stops_a_fork_bomb),
            ("a fork bomb is ended, and the host answers meanwhile", a_fork_bomb_is_ended),
            ("cpu_quota holds a busy loop", cpu_quota_holds_a_busy_loop),
            ("devices are limited by path", devices_are_limited_by_path),
            ("limits change while it runs", limits_change_while_it_runs),
            ("what runs follows its unit file", what_runs_follows_its_unit_file),
            ("the host's limits are for units without any", the_hosts_limits_are_for_units_without_any),
        ],
    );
}

/// A file of the control group of a unit's scope.
fn group(host: &Host, unit: &str, file: &str) -> String {
    let path = format!("/sys/fs/cgroup{}/{file}", host.property(unit, "ControlGroup"));
    host.succeed(&["cat", &path]).trim_end().to_owned()
}

/// One number of a file with lines `KEY VALUE`.
fn count(text: &str, key: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' '));
    line.and_then(|value| value.trim().parse().ok()).unwrap_or_else(|| panic!("no {key}: {text}"))
}

/// Starts a unit with this payload and these limits.
fn start(host: &Host, unit: &str, script: &str, keys: &str) {
    host.unit(&format!("{unit}.container"), &format!("{}{keys}", shell(script)));
    host.succeed(&["sampanctl", "start", unit]);
}

fn limits_are_seen_inside(host: &Host) {
    let script = "cd /sys/fs/cgroup; cat memory.max memory.high pids.max cpu.max cpu.weight; \
                  echo 1 >memory.max || echo refused; cat /proc/self/cgroup; exec sleep 1000";
    let keys = "[resources]\nmemory_max = \"64M\"\nmemory_high = \"48M\"\ntasks_max = 77\ncpu_quota = \"40%\"\ncpu_weight = 50\n";
    start(host, "seen", script, keys);
    let mut log = host.journal(&["--unit=sampan-seen.scope"]);
    for line in ["67108864", "50331648", "77", "40000 100000", "50", "refused", "0::/"] {
        assert_eq!(log.wait(line), line);
    }
    host.succeed(&["sampanctl", "stop", "seen"]);
}

fn memory_high_does_not_kill(host: &Host) {
    let script = "dd if=/dev/zero of=/file bs=1M count=64 2>/dev/null; echo written; exec sleep 1000";
    start(host, "slow", script, "[resources]\nmemory_high = \"16M\"\n");
    host.wait_log("slow", "written");
    assert!(count(&group(host, "slow", "memory.events"), "high") > 0);
    let peak: u64 = group(host, "slow", "memory.peak").parse().expect("a number");
    assert!(peak < 20 << 20, "{peak}");
    host.succeed(&["sampanctl", "stop", "slow"]);
    assert_eq!(host.property("slow", "Result"), "success");
}

/// 48 MiB of which a container can have 24 in memory.
fn swap_is_limited(host: &Host) {
    host.succeed(&["sh", "-c", "mkswap /dev/ubdb && swapon /dev/ubdb"]);
    let script = "dd if=/dev/zero of=/dev/null bs=48M count=1 2>/dev/null; echo ended $?; exec sleep 1000";
    let limits = |swap: &str| {
        format!(
            "[resources]\nmemory_max = \"24M\"\nmemory_swap_max = \"{swap}\"\noom_policy = \"continue\"\n"
        )
    };
    for (unit, swap, said) in [("swaps", "64M", "ended 0"), ("cannot-swap", "0", "ended 137")] {
        start(host, unit, script, &limits(swap));
        host.wait_log(unit, said);
        host.succeed(&["sampanctl", "stop", unit]);
    }
    host.succeed(&["swapoff", "/dev/ubdb"]);
}

fn tasks_max_stops_a_fork_bomb(host: &Host) {
    let script = "for i in 1 2 3 4 5 6 7 8 9; do sleep 1000 & done";
    host.unit("bomb.container", &(shell(script) + "[resources]\ntasks_max = 6\n"));
    host.succeed(&["sampanctl", "start", "bomb"]);
    host.wait_log("bomb", "can't fork");
    assert!(host.succeed(&["echo", "the host goes on"]).contains("goes on"));
}

/// Its shells make processes until they cannot, and these stay.
fn a_fork_bomb_is_ended(host: &Host) {
    host.unit("bystander.container", &shell("exec sleep 1000"));
    let keys = "stop_timeout = \"1s\"\n[resources]\ntasks_max = 100\n";
    host.unit(
        "bomb.container",
        &(shell("for shell in 1 2 3; do (while :; do sleep 1000 & done) & done; wait; exec sleep 1000")
            + keys),
    );
    host.succeed(&["sampanctl", "start", "bomb"]);
    host.wait_log("bomb", "can't fork");
    for words in [&["start", "bystander"][..], &["list-units"], &["status", "bomb"], &["stop", "bystander"]] {
        host.succeed(&[&["timeout", "60", "sampanctl", "--no-pager"], words].concat());
    }
    let processes: u32 = group(host, "bomb", "pids.current").parse().expect("a number");
    assert!(processes <= 100, "{processes}");
    assert!(count(&group(host, "bomb", "pids.events"), "max") > 0);
    let directory = format!("/sys/fs/cgroup{}", host.property("bomb", "ControlGroup"));
    host.succeed(&["timeout", "60", "sampanctl", "stop", "bomb"]);
    host.fail(1, &["test", "-e", &directory]);
}

fn cpu_quota_holds_a_busy_loop(host: &Host) {
    let script =
        "cd /sys/fs/cgroup; while grep -q 'nr_throttled 0' cpu.stat; do :; done; echo held; exec sleep 1000";
    start(host, "busy", script, "[resources]\ncpu_quota = \"20%\"\n");
    host.wait_log("busy", "held");
    host.succeed(&["sampanctl", "stop", "busy"]);
}

fn limits_of_disk(host: &Host) -> String {
    group(host, "disk", "io.max")
}

/// The kernel's name of the disk that the store is on is 98:0.
fn devices_are_limited_by_path(host: &Host) {
    let keys = "[resources]\nio_read_bandwidth_max = { \"/var/lib/sampan\" = \"5M\" }\n\
                io_write_iops_max = { \"/var/lib/sampan\" = 200 }\n";
    start(host, "disk", "cat /sys/fs/cgroup/io.max; exec sleep 1000", keys);
    assert_eq!(host.wait_log("disk", "98:0"), "98:0 rbps=5000000 wbps=max riops=max wiops=200");
    let set = |words: &[&str]| host.succeed(&[&["sampanctl", "set-property", "disk"], words].concat());
    set(&["io_write_bandwidth_max=/var/lib/sampan 2M"]);
    set(&["io_write_iops_max="]);
    assert!(!limits_of_disk(host).contains("wiops=200"));
    set(&["IOReadBandwidthMax=/dev/ubdb 1M", "io_write_iops_max=/var/lib/sampan infinity"]);
    let limits = || {
        let mut lines: Vec<String> = group(host, "disk", "io.max").lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    let expected = [
        "98:0 rbps=5000000 wbps=2000000 riops=max wiops=max",
        "98:16 rbps=1000000 wbps=max riops=max wiops=max",
    ];
    assert_eq!(limits(), expected);
    host.succeed(&["sampanctl", "restart", "disk"]);
    assert_eq!(limits(), expected, "after a restart");
    assert_eq!(host.property("disk", "IOWriteBandwidthMax"), "/var/lib/sampan 2000000");
    host.succeed(&["sampanctl", "stop", "disk"]);
}

/// At a daemon-reload, as units of systemd's do, and at a restart of the manager.
fn what_runs_follows_its_unit_file(host: &Host) {
    let unit = |keys: &str| shell("exec sleep 1000") + "[resources]\n" + keys;
    start(
        host,
        "follows",
        "exec sleep 1000",
        "[resources]\nmemory_max = \"64M\"\ntasks_max = 50\nio_write_iops_max = { \"/var/lib/sampan\" = 200 }\n",
    );
    let pid = host.property("follows", "MainPID");
    let limits = || ["memory.max", "pids.max", "cpu.max", "io.max"].map(|file| group(host, "follows", file));
    assert_eq!(limits()[0], "67108864");
    host.unit("follows.container", &unit("memory_max = \"48M\"\ncpu_quota = \"40%\"\n"));
    host.wait_until("what is in the file is", |_| limits()[0] == "50331648" && limits()[2] == "40000 100000");
    let default = host.succeed(&["systemctl", "show", "--property=DefaultTasksMax", "--value"]);
    host.wait_until("and what is not is not", |_| limits()[1] == default.trim() && limits()[3].is_empty());
    host.write("/etc/sampan/units/follows.container.toml", &unit("cpu_quota = \"30%\"\n"));
    host.succeed(&["systemctl", "restart", "sampand"]);
    host.wait_until("the new manager tells", |_| limits()[0] == "max" && limits()[2] == "30000 100000");
    assert_eq!(host.property("follows", "MainPID"), pid);
    host.succeed(&["sampanctl", "stop", "follows"]);
}

fn the_hosts_limits_are_for_units_without_any(host: &Host) {
    start(host, "plain", "exec sleep 1000", "");
    let tasks = group(host, "plain", "pids.max");
    assert_ne!(tasks, "max", "systemd's DefaultTasksMax=");
    assert!(host.succeed(&["sampanctl", "status", "plain"]).contains(&format!("Tasks: 1 (limit: {tasks})")));
    host.write("/etc/sampan/sampan.toml", "[resources]\nmemory_max = \"96M\"\ntasks_max = 99\n");
    host.succeed(&["sampanctl", "daemon-reload"]);
    host.succeed(&["sampanctl", "restart", "plain"]);
    start(host, "own", "exec sleep 1000", "[resources]\nmemory_max = \"infinity\"\n");
    let limits = |unit: &str| ["memory.max", "pids.max"].map(|file| group(host, unit, file));
    assert_eq!(limits("plain"), ["100663296", "99"]);
    assert_eq!(limits("own"), ["max", "99"]);
    assert_eq!(host.property("plain", "MemoryMax"), "100663296");
    host.succeed(&["sampanctl", "stop", "plain", "own"]);
}

/// Known amounts of everything that has a column.
#[test]
fn top_tells_what_each_container_uses() {
    let host = &Host::with_controllers(&["hello"]);
    const MEBIBYTE: u64 = 1 << 20;
    start(host, "idle", "exec sleep 1000", "");
    start(host, "busy", "while :; do :; done & while :; do :; done", "");
    // Private memory by awk, page cache by a file, shared memory by one in /dev/shm, processes by number.
    let script = "dd if=/dev/zero of=/file bs=1M count=24 2>/dev/null; sync
        dd if=/dev/zero of=/dev/shm/file bs=1M count=8 2>/dev/null
        for i in 1 2 3; do sleep 1000 & done
        exec awk 'BEGIN { s = \"x\"; while (length(s) < 16777216) s = s s; print \"full\"; system(\"exec sleep 1000\") }'";
    start(host, "full", script, "");
    host.wait_property("full", "TasksCurrent", "5");
    start(
        host,
        "writes",
        "while :; do dd if=/dev/zero of=/file bs=64k count=16 conv=fsync 2>/dev/null; done",
        "",
    );
    let top =
        |words: &[&str]| host.succeed(&[&["sampanctl", "top", "-b", "-n", "1", "-d", "1"], words].concat());
    let number = |row: &serde_json::Value, column: &str| {
        row[column].as_f64().unwrap_or_else(|| panic!("{column}: {row}")) as u64
    };
    let text = top(&["--output=json"]);
    let last = text.lines().last().expect("a table");
    let rows: Vec<serde_json::Value> = serde_json::from_str(last).expect(last);
    let row = |unit: &str| {
        let name = format!("{unit}.container");
        rows.iter().find(|row| row["unit"] == name.as_str()).unwrap_or_else(|| panic!("no {unit}: {text}"))
    };
    assert_eq!(number(row("idle"), "tasks"), 1);
    assert_eq!(number(row("full"), "tasks"), 5, "three, awk and its child");
    assert!(number(row("busy"), "cpu_percent") > 10 && number(row("idle"), "cpu_percent") < 5, "{text}");
    let full = |column: &str| number(row("full"), column) / MEBIBYTE;
    assert!((16..40).contains(&full("memory_private")), "{text}");
    assert!((8..16).contains(&full("memory_shared")), "{text}");
    assert!((20..32).contains(&full("memory_page_cache")), "{text}");
    assert!(
        full("memory") >= full("memory_private") + full("memory_shared") + full("memory_page_cache"),
        "{text}"
    );
    assert!(number(row("writes"), "io_write_per_second") > MEBIBYTE, "{text}");
    assert_eq!(number(row("idle"), "io_write_per_second"), 0, "{text}");
    // The same for people: the order is what is asked for.
    for (order, first) in [("tasks", "full"), ("memory", "full"), ("io", "writes"), ("path", "busy")] {
        let table = top(&["--order", order]);
        let heading = table.lines().position(|line| line.starts_with("UNIT ")).expect(&table);
        let columns: Vec<&str> = table.lines().nth(heading).expect(&table).split_whitespace().collect();
        assert_eq!(
            columns,
            ["UNIT", "TASKS", "%CPU", "MEMORY", "PRIVATE", "SHARED", "CACHE", "INPUT/s", "OUTPUT/s"]
        );
        let line = table.lines().nth(heading + 1).expect(&table);
        assert!(line.starts_with(&format!("{first}.container ")), "{order}: {table}");
        assert_eq!(line.split_whitespace().count(), columns.len(), "{table}");
    }
    // Whoever writes to a fast disk uses as much of the processor as who does nothing else.
    let table = top(&["--order", "cpu"]);
    let rows = table.lines().filter(|line| line.contains(".container "));
    let shares: Vec<f64> = rows
        .map(|row| row.split_whitespace().nth(2).and_then(|share| share.parse().ok()).expect("a share"))
        .collect();
    assert!(shares.len() == 4 && shares.is_sorted_by(|one, next| one >= next), "{table}");
    host.succeed(&["sampanctl", "stop", "idle", "busy", "full", "writes"]);
}

fn limits_change_while_it_runs(host: &Host) {
    start(host, "changed", "exec sleep 1000", "[resources]\nmemory_max = \"64M\"\n");
    let set = |words: &[&str]| host.succeed(&[&["sampanctl", "set-property"], words].concat());
    set(&["changed", "memory_max=32M", "cpu_quota=30%"]);
    set(&["--runtime", "changed", "tasks_max=55"]);
    let limits = || ["memory.max", "cpu.max", "pids.max"].map(|file| group(host, "changed", file));
    let expected = ["33554432", "30000 100000", "55"].map(str::to_owned);
    assert_eq!(limits(), expected);
    let inside = ["sampanctl", "exec", "changed", "cat", "/sys/fs/cgroup/memory.max"];
    assert_eq!(host.succeed(&inside), "33554432\n");
    host.succeed(&["sampanctl", "restart", "changed"]);
    assert_eq!(limits(), expected, "after a restart");
    let kept = host.succeed(&["sampanctl", "cat", "changed"]);
    for file in ["/etc/sampan/units/changed.container.toml.d/50-memory_max.toml", "/run/sampan/units/changed"]
    {
        assert!(kept.contains(file), "{kept}");
    }
    set(&["changed", "memory_min=8M", "MemoryLow=16M", "managed_oom_preference=avoid", "AllowedCPUs=0"]);
    let more = || ["memory.min", "memory.low"].map(|file| group(host, "changed", file));
    assert_eq!(more(), ["8388608", "16777216"]);
    assert_eq!(host.property("changed", "AllowedCPUs"), "0");
    // What is not set has no value, whatever the files say.
    set(&["changed", "memory_max=", "cpu_quota=", "memory_min=", "MemoryLow=", "allowed_cpus="]);
    set(&["--runtime", "changed", "tasks_max=", "managed_oom_preference="]);
    for _ in ["at once", "after a restart"] {
        assert_eq!(
            (limits(), more()),
            (["max", "max 100000", "max"].map(str::to_owned), ["0"; 2].map(str::to_owned))
        );
        host.succeed(&["sampanctl", "restart", "changed"]);
    }
    let told = ["AllowedCPUs", "ManagedOOMPreference"].map(|name| host.property("changed", name));
    assert_eq!(told, ["", "avoid"], "a file of /etc counts before one of /run");
    let wrong = ["sampanctl", "set-property", "changed", "managed_oom_memory_pressure_limit=50%"];
    let told = host.fail(1, &wrong);
    assert!(told.contains("without managed_oom_memory_pressure = \"kill\""), "{told}");
    host.succeed(&["sampanctl", "stop", "changed"]);
}
