//! What a unit says of its processes, as they see it: limits, processors, groups, variables, the kernel's settings.

mod support;

use support::host::Host;
use support::units::shell;

/// A script that tells all of it, a word or line each.
const TELL: &str = "umask; id -G; ulimit -n; ulimit -Hn; ulimit -c; ulimit -s; cat /proc/self/oom_score_adj; \
    sed -n \"s/^Cpus_allowed_list:.//p\" /proc/self/status; echo \"$PASSED|$CALLED|$PATH\"; \
    cat /proc/sys/net/ipv4/ip_local_port_range; date -d @0; head -c 1 /proc/interrupts | wc -c";

const KEYS: &str = r#"
supplementary_groups = ["4711", "4712"]
umask = "0027"
pass_environment = ["PASSED", "CALLED", "ABSENT"]
environment = { CALLED = "by the unit" }
timezone = "Asia/Tokyo"
[resources]
cpu_affinity = "0"
oom_score_adjust = 321
limits = { nofile = "2048:4096", core = 0, stack = "16M" }
[security]
unmask_paths = ["/proc/interrupts"]
sysctl = { "net.ipv4.ip_local_port_range" = "2000 2999" }
"#;

const TOLD: [&str; 12] = [
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
