//! Images that attack while they run, or lie in the store: overlays, privileges of files, programs of their own.

#[path = "support/layout.rs"]
mod layout;
mod support;

use layout::{Entry, Layout, Tar, plain};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Command;
use support::host::Host;

/// Somebody of the host without any right.
const STRANGER: [&str; 6] =
    ["setpriv", "--reuid=54321", "--regid=54321", "--clear-groups", "--inh-caps=-all", "--"];

/// What a program may do: its effective user, its effective capabilities.
const PROBE: &str = r#"
#include <stdio.h>
#include <string.h>
#include <unistd.h>
int main(void) {
    char line[256];
    FILE *status = fopen("/proc/self/status", "r");
    printf("euid %u\n", geteuid());
    while (status && fgets(line, sizeof line, status))
        if (!strncmp(line, "CapEff", 6)) printf("%s", line);
    return 0;
}
"#;

/// A library that leaves a trace in whoever loads it.
const TRAP: &str = r#"
#include <fcntl.h>
__attribute__((constructor)) static void trap(void) { open("/tmp/trapped", O_CREAT | O_WRONLY, 0644); }
"#;

fn compile(directory: &Path, source: &str, arguments: &[&str]) -> Vec<u8> {
    let (code, program): (PathBuf, PathBuf) = (directory.join("code.c"), directory.join("program"));
    std::fs::write(&code, source).unwrap();
    let status = Command::new("gcc").args(arguments).arg("-o").arg(&program).arg(&code).status().unwrap();
    assert!(status.success(), "gcc compiles it");
    std::fs::read(program).unwrap()
}

fn busybox() -> Tar {
    let program = std::fs::read("/bin/busybox").expect("Debian's busybox-static is installed");
    let layer =
        ["bin", "dev", "etc", "proc", "run", "sys", "tmp"].iter().fold(Tar::default(), |layer, name| {
            let mode = if *name == "tmp" { 0o1777 } else { 0o755 };
            layer.entry(&Entry { name, typeflag: b'5', mode, ..Entry::default() })
        });
    let layer = layer.entry(&Entry { name: "bin/busybox", mode: 0o755, body: &program, ..Entry::default() });
    ["sh", "cat", "find", "id", "ls", "readlink", "sleep", "sort", "stat"]
        .iter()
        .fold(layer, |layer, applet| layer.symlink(&format!("bin/{applet}"), "busybox"))
        .file("etc/passwd", "root:x:0:0:root:/:/bin/sh\nweb:x:1000:1000:web:/:/bin/sh\n")
        .file("etc/group", "root:x:0:\nweb:x:1000:\n")
}

/// A host on which an image of these layers runs as `web`.
fn running(layers: Vec<Tar>, more: &str) -> Host {
    let host = Host::start();
    let layers: Vec<_> = layers.into_iter().map(|layer| plain(layer.end())).collect();
    Layout::write_with(&host.shared().join("image"), &layers, &mut |documents| {
        documents.config["config"] = json!({ "Cmd": ["/bin/sleep", "1000"] });
    });
    host.import("image", "localhost/web");
    host.unit("web.container", &format!("[container]\nimage = \"localhost/web\"\n{more}"));
    host.succeed(&["sampanctl", "start", "web"]);
    host
}

fn inside(host: &Host, script: &str) -> String {
    host.succeed(&["sampanctl", "exec", "web", "sh", "-c", script])
}

#[test]
fn an_image_cannot_steer_the_overlay_that_it_runs_in() {
    let steer = |layer: Tar, name: &str, value: &[u8]| {
        let (trusted, user) =
            (format!("SCHILY.xattr.trusted.overlay.{name}"), format!("SCHILY.xattr.user.overlay.{name}"));
        layer.pax(&[(trusted.as_str(), value), (user.as_str(), value)])
    };
    let layer = Tar::default().directory("opt").file("opt/below", "below");
    let layer = steer(layer, "opaque", b"y").directory("opt/opaque").file("opt/opaque/file", "x");
    let layer =
        steer(layer, "redirect", b"/etc").directory("opt/redirected").file("opt/redirected/file", "x");
    let layer = steer(layer, "metacopy", b"").file("opt/metacopy", "its own content");
    let layer = steer(layer, "redirect", b"/etc/passwd").file("opt/moved", "its own, too");
    let layer = steer(layer, "whiteout", b"y").file("opt/hidden", "");
    let layer = layer.entry(&Entry { name: "opt/device", typeflag: b'3', ..Entry::default() });
    let host = running(vec![busybox(), layer], "");
    let files = host.succeed(&["sampanctl", "files", "web", "/opt", "--output=json"]);
    let files: Value = serde_json::from_str(&files).unwrap();
    let mut told: Vec<&str> =
        files.as_array().unwrap().iter().map(|file| file["path"].as_str().unwrap()).collect();
    told.sort_unstable();
    let seen = inside(&host, "find /opt | sort");
    assert_eq!(seen.lines().collect::<Vec<_>>(), told, "the container sees what the index says");
    assert!(told.contains(&"/opt/hidden") && !told.contains(&"/opt/device"), "{told:?}");
    assert_eq!(inside(&host, "cat /opt/metacopy /opt/moved"), "its own contentits own, too");
    assert_eq!(
        inside(&host, "ls /opt/redirected /opt/opaque"),
        "/opt/opaque:\nfile\n\n/opt/redirected:\nfile\n"
    );
}

#[test]
fn privileges_of_files_work_in_the_container_and_nowhere_else() {
    let directory = tempfile::tempdir().unwrap();
    let probe = compile(directory.path(), PROBE, &["-static"]);
    // Version 2, effective, CAP_CHOWN permitted: capabilities(7).
    let capability = [&[1u8, 0, 0, 2, 1, 0, 0, 0][..], &[0; 12]].concat();
    let layer = Tar::default()
        .directory("opt")
        .entry(&Entry { name: "opt/su", mode: 0o4755, body: &probe, ..Entry::default() })
        .pax(&[("SCHILY.xattr.security.capability", &capability)])
        .entry(&Entry { name: "opt/able", mode: 0o755, body: &probe, ..Entry::default() });
    let host = running(vec![busybox(), layer], "[security]\nno_new_privileges = false\n");
    let as_web = |program: &str| host.succeed(&["sampanctl", "exec", "-u", "web", "web", program]);
    assert!(as_web("/opt/su").starts_with("euid 0\n"), "set-user-ID works in the container");
    assert_eq!(as_web("/opt/able"), "euid 1000\nCapEff:\t0000000000000001\n");

    let rootfs = host.succeed(&["sampanctl", "inspect", "web", "--output=json"]);
    let rootfs: Value = serde_json::from_str(&rootfs).unwrap();
    let rootfs = rootfs["rootfs"].as_str().unwrap();
    let stranger = |command: &[&str]| host.run(&[&STRANGER[..], command].concat());
    let entered = stranger(&["find", "/var/lib/sampan", "-name", "su"]);
    assert!(!entered.status.success() && entered.stdout.is_empty(), "the store is closed to others");
    let process = format!("/proc/{}/root/opt/su", host.property("web", "MainPID"));
    // By a shell: setpriv(1) itself still has capabilities when it executes.
    assert!(!stranger(&["sh", "-c", &process]).status.success(), "no way leads through a container");
    for program in ["su", "able"] {
        // A descriptor that somebody let slip leads past all directories.
        let script = format!("exec 9<{rootfs}/opt/{program}; exec {} /proc/self/fd/9", STRANGER.join(" "));
        let output = host.run(&["sh", "-c", &script]);
        let told = String::from_utf8(output.stdout).unwrap();
        assert!(!told.contains("euid 0\n"), "{program}: {told}");
        assert!(told.is_empty() || told.contains("CapEff:\t0000000000000000"), "{program}: {told}");
    }
}

#[test]
fn nothing_that_an_image_brings_is_run_or_loaded_for_the_host() {
    let directory = tempfile::tempdir().unwrap();
    let library = compile(directory.path(), TRAP, &["-shared", "-fPIC"]);
    let program = compile(directory.path(), &format!("{TRAP}int main(void) {{ return 1; }}"), &["-static"]);
    let mut layer = Tar::default().file("etc/nsswitch.conf", "passwd: trap files\ngroup: trap files\n");
    layer = layer.file("etc/ld.so.preload", "/lib/libtrap.so\n");
    for name in [
        "lib/libtrap.so",
        "lib/libnss_trap.so.2",
        "lib/libnss_files.so.2",
        "lib/x86_64-linux-gnu/libnss_trap.so.2",
    ] {
        layer = layer.entry(&Entry { name, mode: 0o755, body: &library, ..Entry::default() });
    }
    for name in ["gzip", "unpigz", "xz", "zstd", "tar", "getent", "newuidmap"] {
        for place in ["bin", "usr/bin"] {
            let name = format!("{place}/{name}");
            layer = layer.entry(&Entry { name: &name, mode: 0o755, body: &program, ..Entry::default() });
        }
    }
    let host = running(vec![busybox(), layer], "user = \"web\"\n");
    assert_eq!(inside(&host, "id -un"), "web\n");
    assert_eq!(host.succeed(&["sampanctl", "exec", "-u", "root", "web", "id", "-u"]), "0\n");
    for format in ["dir", "tar", "oci-archive", "docker-archive"] {
        host.succeed(&["sampanctl", "export", "web", "--format", format, "-o", &format!("/srv/{format}")]);
    }
    host.succeed(&["sampanctl", "import", "/srv/oci-archive", "--name", "again"]);
    host.succeed(&["sampanctl", "restart", "web"]);
    assert_eq!(inside(&host, "ls /tmp"), "", "nothing of it ran in the container");
    host.fail(2, &["ls", "/tmp/trapped"]);
    host.succeed(&["sampanctl", "fsck"]);
}
