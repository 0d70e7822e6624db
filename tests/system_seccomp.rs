//! Seccomp profiles of other engines: the real default one, and ones that are wrong.

mod support;

use support::host::Host;
use support::units::{shell, socket};

/// What Podman gives containers by default: Debian's golang-github-containers-common.
const PROFILE: &str = "/usr/share/containers/seccomp.json";

fn profile(path: &str) -> String {
    format!("[security]\nseccomp_profile = \"{path}\"\n")
}

fn inside(host: &Host, unit: &str, script: &str) -> String {
    host.succeed(&["sampanctl", "exec", unit, "sh", "-c", script])
}

#[test]
fn the_default_profile_of_podman_works_and_does_not_go_below_the_floor() {
    let host = Host::with_images(&["hello"]);
    host.unit("web.container", &(shell("exec sleep 1000") + &profile(PROFILE)));
    host.succeed(&["sampanctl", "start", "web"]);
    assert_eq!(
        inside(&host, "web", "grep ^Seccomp /proc/self/status").replace('\t', " "),
        "Seccomp: 2\nSeccomp_filters: 2\n"
    );
    inside(&host, "web", "ls -l / >/dev/null; sleep 0; touch /tmp/x; chmod 600 /tmp/x; chown 1:1 /tmp/x");
    // The profile allows it to everybody; the floor to who has CAP_SYS_ADMIN.
    host.fail(1, &["sampanctl", "exec", "web", "unshare", "-U", "true"]);
    host.unit(
        "admin.container",
        &(shell("exec sleep 1000") + &profile(PROFILE) + "add_capabilities = [\"CAP_SYS_ADMIN\"]\n"),
    );
    host.succeed(&["sampanctl", "start", "admin"]);
    inside(&host, "admin", "unshare -U true && mount -t tmpfs none /tmp");
    let plan = host.succeed(&["sampanctl", "show", "--plan", "web"]);
    assert!(plan.contains("\"profile\"") && plan.contains("personality"), "{plan}");
}

#[test]
fn a_profile_decides_what_the_payload_may_do_and_a_swapped_socket_works_with_it() {
    let host = Host::with_images(&["hello"]);
    let rules = r#"{ "defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_AARCH64"], "syscalls": [
        { "names": ["mkdir", "mkdirat", "no_such_call"], "action": "SCMP_ACT_ERRNO", "errnoRet": 28 },
        { "names": ["kill"], "action": "SCMP_ACT_ERRNO", "errno": "EROFS",
          "args": [{ "index": 1, "value": 255, "valueTwo": 10, "op": "SCMP_CMP_MASKED_EQ" }] },
        { "names": ["chroot"], "action": "SCMP_ACT_KILL_PROCESS", "includes": { "caps": ["CAP_SYS_CHROOT"] } },
        { "names": ["sethostname"], "action": "SCMP_ACT_TRAP", "excludes": { "minKernel": "3.0" } }
    ] }"#;
    host.write("/etc/profile.json", rules);
    let served = shell("exec httpd -f -p 8080 -h /www")
        + &profile("/etc/profile.json")
        + &socket("127.0.0.1:8080", "\"swap\"");
    host.unit("web.container", &served);
    host.succeed(&["sampanctl", "start", "web"]);
    assert!(host.get("127.0.0.1:8080").contains("Hello"), "bind is answered by the manager");
    let told = inside(
        &host,
        "web",
        "mkdir /tmp/x 2>&1; sleep 100 & kill -USR1 $! 2>&1; kill -TERM $!; chroot / true; echo $?",
    );
    assert!(told.contains("No space left on device"), "{told}");
    assert!(told.contains("Read-only file system"), "10 is SIGUSR1: {told}");
    // 128 and SIGSYS.
    assert!(told.trim_end().ends_with("159"), "{told}");
}

#[test]
fn a_profile_that_is_wrong_is_told_with_its_line_and_starts_nothing() {
    let host = Host::with_images(&["hello"]);
    host.unit("web.container", &(shell("exec sleep 1000") + &profile("/etc/profile.json")));
    let refused = |text: Option<&str>, told: &str| {
        match text {
            Some(text) => host.write("/etc/profile.json", text),
            None => drop(host.succeed(&["rm", "-f", "/etc/profile.json"])),
        }
        // Else the limit of starts is reached.
        host.succeed(&["sampanctl", "reset-failed", "web"]);
        host.fail(1, &["sampanctl", "start", "web"]);
        let status = host.answer(3, &["sampanctl", "status", "web"]);
        assert!(status.contains(told), "{told}: {status}");
    };
    refused(None, "seccomp profile /etc/profile.json: No such file or directory");
    refused(
        Some("{ \"defaultAction\":\n \"SCMP_ACT_BLOCK\" }"),
        "/etc/profile.json:2:19: there is no action \"SCMP_ACT_BLOCK\"",
    );
    refused(
        Some("{ \"defaultAction\": \"SCMP_ACT_ALLOW\", \"architectures\": [\"SCMP_ARCH_S390X\"] }"),
        "other machines",
    );
    let many: Vec<String> = (0..2000)
        .map(|number| format!("{{\"names\":[\"read\"],\"action\":\"SCMP_ACT_LOG\",\"args\":[{{\"index\":2,\"value\":{number},\"op\":\"SCMP_CMP_EQ\"}}]}}"))
        .collect();
    let many = format!("{{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"syscalls\":[{}]}}", many.join(","));
    refused(Some(&many), "more than the 4096 instructions");
    refused(Some(&" ".repeat((1 << 20) + 1)), "larger than 1 MiB");
    host.succeed(&["sh", "-c", "sampanctl reset-failed web; rm /etc/profile.json; mkfifo /etc/profile.json"]);
    host.fail(1, &["sampanctl", "start", "web"]);
    assert!(host.answer(3, &["sampanctl", "status", "web"]).contains("is no file"));
    host.succeed(&[
        "sh",
        "-c",
        &format!("rm /etc/profile.json; cp {PROFILE} /etc/profile.json; sampanctl reset-failed web; sampanctl start web"),
    ]);
}
