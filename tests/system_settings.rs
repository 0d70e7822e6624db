//! What a unit says of its processes, as they see it: limits, processors, groups, variables, the kernel's settings.

mod support;

use support::host::Host;
use support::units::{python, shell};

/// A script that tells all of it, a word or line each.
const TELL: &str = "umask; id -G; ulimit -n; ulimit -Hn; ulimit -c; ulimit -s; cat /proc/self/oom_score_adj; \
    sed -n \"s/^Cpus_allowed_list:.//p\" /proc/self/status; echo \"$PASSED|$CALLED|$PATH\"; \
    cat /proc/sys/net/ipv4/ip_local_port_range; date -d @0; head -c 1 /proc/interrupts | wc -c; \
    cut -d \" \" -f 19,40,41 /proc/self/stat; ionice; uname -m";

const KEYS: &str = r#"
supplementary_groups = ["4711", "4712"]
umask = "0027"
pass_environment = ["PASSED", "CALLED", "ABSENT"]
environment = { CALLED = "by the unit" }
timezone = "Asia/Tokyo"
personality = "x86"
[resources]
cpu_affinity = "0"
oom_score_adjust = 321
nice = -3
cpu_scheduling_policy = "batch"
io_scheduling_class = "realtime"
io_scheduling_priority = 2
limits = { nofile = "2048:4096", core = 0, stack = "16M" }
[security]
unmask_paths = ["/proc/interrupts"]
sysctl = { "net.ipv4.ip_local_port_range" = "2000 2999" }
"#;

const TOLD: [&str; 15] = [
    "0027",
    "0 4711 4712",
    "2048",
    "4096",
    "0",
    "16384",
    "321",
    "0",
    "by the manager|by the unit|/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "2000\t2999",
    "Thu Jan  1 09:00:00 JST 1970",
    "1",
    "-3 0 3",
    "realtime: prio 2",
    "i686",
];

#[test]
fn processes_begin_as_the_unit_says() {
    let host = Host::with_images(&["hello"]);
    let variables = "[Service]\nEnvironment=\"PASSED=by the manager\" CALLED=wrongly\n";
    host.write("/run/systemd/system/sampand.service.d/variables.conf", variables);
    host.succeed(&["sh", "-c", "systemctl daemon-reload; systemctl restart sampand"]);
    host.unit("web.container", &(shell(&format!("{TELL}; exec sleep 1000")) + KEYS));
    host.succeed(&["sampanctl", "start", "web"]);
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
    host.wait_until("all lines", |host| lines(&log(host)).len() >= TOLD.len());
    assert_eq!(lines(&log(&host)), TOLD);
    // What comes later has the same.
    let later = host.succeed(&["sampanctl", "exec", "web", "sh", "-c", TELL]);
    assert_eq!(lines(&later), TOLD);
}

#[test]
fn systemd_oomd_is_told_of_a_container_what_the_unit_says() {
    const OURS: [&str; 4] = [
        "ManagedOOMSwap",
        "ManagedOOMMemoryPressure",
        "ManagedOOMMemoryPressureLimit",
        "ManagedOOMPreference",
    ];
    let host = Host::with_images(&["hello"]);
    let told = "managed_oom_swap = \"kill\"\nmanaged_oom_memory_pressure = \"kill\"\n\
        managed_oom_memory_pressure_limit = \"60%\"\nmanaged_oom_preference = \"omit\"\n";
    for (unit, keys, expected) in
        [("told", told, ["kill", "kill", "2576980377", "omit"]), ("plain", "", ["auto", "auto", "0", "none"])]
    {
        let text = format!("{}[resources]\n{keys}", shell("exec sleep 1000"));
        host.unit(&format!("{unit}.container"), &text);
        host.succeed(&["sampanctl", "start", unit]);
        let scope = format!("sampan-{unit}.scope");
        let of_scope = OURS.map(|name| {
            let property = format!("--property={name}");
            host.succeed(&["systemctl", "show", "--value", &property, &scope]).trim().to_owned()
        });
        assert_eq!(of_scope, expected, "{unit}");
        assert_eq!(OURS.map(|name| host.property(unit, name)), expected, "{unit}");
    }
}

#[test]
fn a_machine_id_stays_and_is_nobody_elses() {
    let host = Host::with_images(&["hello"]);
    const TELL: &str = "cat /etc/machine-id /etc/hostname; echo $container_uuid; cat /run/host/os-release";
    for (name, keys) in
        [("web", ""), ("db", ""), ("old", "machine_id = \"0123456789abcdef0123456789abcdef\"\n")]
    {
        host.unit(&format!("{name}.container"), &(shell("exec sleep 1000") + keys));
    }
    let told = |unit: &str| {
        host.succeed(&["sampanctl", "restart", unit]);
        host.succeed(&["sampanctl", "exec", unit, "sh", "-c", TELL])
    };
    let [web, db, old] = ["web", "db", "old"].map(told);
    let id = |text: &str| text.lines().next().unwrap().to_owned();
    assert_eq!(told("web"), web, "another run has another identity");
    let hosts = host.succeed(&["cat", "/etc/machine-id"]);
    assert_eq!([&web, &db].map(|text| id(text).len()), [32, 32]);
    assert!(id(&web) != id(&db) && id(&web) != hosts.trim(), "{web} {db} {hosts}");
    assert!(web.lines().nth(1) == Some("web") && web.contains("\nPRETTY_NAME="), "{web}");
    assert_eq!(web.lines().nth(2).unwrap().replace('-', ""), id(&web));
    assert_eq!(id(&old), "0123456789abcdef0123456789abcdef");
}

#[test]
fn labels_of_unit_and_image_are_shown() {
    let host = Host::with_images(&[]);
    let import = "cd / && tar -c bin/busybox | sampanctl import - --format tree --name hello \
        --change 'LABEL team=of the image' --change 'LABEL made=here' --change 'CMD [\"/bin/busybox\", \"sleep\", \"1000\"]'";
    host.succeed(&["sh", "-c", import]);
    let unit = "[container]\nimage = \"localhost/hello\"\nlabels = { team = \"sea\", \"org.example/%p\" = \"%n\" }\n";
    host.unit("web.container", unit);
    let own = "org.example/web=web.container team=sea";
    assert_eq!(host.property("web", "Labels"), own);
    host.succeed(&["sampanctl", "start", "web"]);
    assert_eq!(host.property("web", "Labels"), format!("made=here {own}"));
    let json = host.succeed(&["sampanctl", "show", "--output=json", "--property=Labels", "web"]);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    let words = serde_json::json!({ "made": "here", "org.example/web": "web.container", "team": "sea" });
    assert_eq!(json[0]["Labels"], words);
    // A successor of the manager knows them, too.
    host.succeed(&["systemctl", "restart", "sampand"]);
    assert_eq!(host.property("web", "Labels"), format!("made=here {own}"));
    host.succeed(&["sampanctl", "run", "-d", "--name=job", "--label=alone", "hello"]);
    assert_eq!(host.property("job", "Labels"), "alone= made=here team=of the image");
}

/// Fields of proc_pid_stat(5): the priority in real time, and the policy.
#[test]
fn what_a_payload_in_real_time_starts_is_not() {
    let host = Host::with_images(&["hello"]);
    const TELL: &str = "read -r line < /proc/self/stat; set -- $line; echo \"${40} ${41}\"; \
        cut -d \" \" -f 40,41 /proc/self/stat; true";
    let keys = "[resources]\ncpu_scheduling_policy = \"rr\"\ncpu_scheduling_priority = 7\n\
        cpu_scheduling_reset_on_fork = true\n";
    host.unit("web.container", &(shell(&format!("{TELL}; exec sleep 1000")) + keys));
    host.succeed(&["sampanctl", "start", "web"]);
    host.wait_until("both lines", |host| log(host).lines().count() >= 2);
    assert_eq!(log(&host), "7 2\n0 0\n");
    let later = host.succeed(&["sampanctl", "exec", "web", "sh", "-c", TELL]);
    assert_eq!(later, "7 2\n0 0\n");
    for (property, value) in
        [("CPUSchedulingPolicy", "2"), ("CPUSchedulingPriority", "7"), ("CPUSchedulingResetOnFork", "yes")]
    {
        assert_eq!(host.property("web", property), value, "{property}");
    }
}

/// KEYCTL_GET_KEYRING_ID and KEYCTL_READ of KEY_SPEC_SESSION_KEYRING, keyctl(2).
const KEYRING: &str = "import ctypes, platform
call = ctypes.CDLL(None, use_errno=True).syscall
number = {'x86_64': 250, 'aarch64': 219}[platform.machine()]
print(call(number, 0, -3, 0), call(number, 11, -3, None, 0), flush=True)
";

#[test]
fn each_process_has_a_keyring_of_its_own_with_nothing_in_it() {
    let host = Host::with_images(&["servers"]);
    let keys = "[security]\nsystem_call_filter = [\"@system-service\", \"@keyring\"]\n";
    host.unit("web.container", &(python(&format!("{KEYRING}import time\ntime.sleep(1000)\n")) + keys));
    host.succeed(&["sampanctl", "start", "web"]);
    host.wait_until("a line", |host| log(host).lines().count() == 1);
    let later = host.succeed(&["sampanctl", "exec", "web", "python3", "-c", KEYRING]);
    let rings = [log(&host), later];
    let of =
        |text: &String| -> Vec<i64> { text.split_whitespace().map(|word| word.parse().unwrap()).collect() };
    let [first, later] = rings.each_ref().map(of);
    assert!(first[0] > 0 && later[0] > 0 && first[0] != later[0], "{rings:?}");
    assert_eq!((first[1], later[1]), (0, 0), "keys are linked: {rings:?}");
}

/// TIOCSTI and TIOCLINUX, ioctl_tty(2), also in a number whose upper half the kernel does not look at.
const TYPE: &str = "import ctypes, os
call = ctypes.CDLL(None, use_errno=True).ioctl
print('terminal', os.fstat(0).st_rdev)
for request in 0x5412, 0x541C, 1 << 32 | 0x5412:
    result = call(0, ctypes.c_ulong(request), ctypes.c_char_p(b'!'))
    print('typed' if result == 0 else os.strerror(ctypes.get_errno()))
";

#[test]
fn nobody_types_at_the_terminal_of_the_host() {
    let host = Host::with_images(&["servers"]);
    host.unit("web.container", &python("import time\ntime.sleep(1000)\n"));
    host.succeed(&["sampanctl", "start", "web"]);
    host.write("/type.py", TYPE);
    for line in [
        "sampanctl exec -t web python3 -c \"$(cat /type.py)\"",
        "sampanctl run --entrypoint= -qt --rm servers python3 -c \"$(cat /type.py)\"",
    ] {
        let line = format!("stat -Lc 'terminal %r' \"$(tty)\"; {line}");
        let seen = host.succeed(&["script", "-qec", &line, "/dev/null"]);
        assert_eq!(seen.matches("Operation not permitted").count(), 3, "{line}: {seen}");
        // What the container has is not the terminal of who called.
        let terminals: Vec<&str> = seen.lines().filter(|line| line.contains("terminal ")).collect();
        assert!(matches!(terminals.as_slice(), [outer, inner] if outer != inner), "{seen}");
    }
}

fn log(host: &Host) -> String {
    host.succeed(&[
        "journalctl",
        "--output=cat",
        "--no-pager",
        "--unit=sampan-web.scope",
        "_TRANSPORT=stdout",
    ])
}

#[test]
fn what_the_kernel_does_not_allow_is_named() {
    let host = Host::with_images(&["hello"]);
    for (keys, reason) in [
        ("supplementary_groups = [\"nobody-knows\"]", "resolve group: nobody-knows"),
        ("[resources]\ncpu_affinity = \"900\"", "set CPU affinity: 900: Invalid argument"),
        (
            "[security]\nsysctl = { \"net.ipv4.nonsense\" = 1 }",
            "net/ipv4/nonsense = 1: No such file or directory",
        ),
        (
            "[security]\nsysctl = { \"net.ipv4.ip_forward\" = \"many\" }",
            "net/ipv4/ip_forward = many: Invalid argument",
        ),
        ("timezone = \"Europe/Atlantis\"", "/usr/share/zoneinfo/Europe/Atlantis"),
    ] {
        host.unit("web.container", &(shell("exec sleep 1000") + keys));
        host.fail(1, &["sampanctl", "start", "web"]);
        let status = host.answer(3, &["sampanctl", "status", "web"]);
        assert!(status.contains(reason), "{keys}: {status}");
        assert_eq!(host.property("web", "MainPID"), "0");
    }
}

#[test]
fn a_container_uses_the_processors_that_it_may() {
    let host = Host::with_images(&["hello"]);
    host.unit("web.container", &(shell("exec sleep 1000") + "[resources]\nallowed_cpus = \"0\"\n"));
    host.succeed(&["sampanctl", "start", "web"]);
    let of_scope = ["systemctl", "show", "--property=AllowedCPUs", "--value", "sampan-web.scope"];
    assert_eq!(host.succeed(&of_scope).trim(), "0");
}
