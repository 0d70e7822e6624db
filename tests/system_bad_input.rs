//! What a user is told of a unit that cannot work, and that nothing of it is left behind.

mod support;

use support::host::Host;
use support::units::{shell, socket};

/// No scope, no listening socket, no process of ours but the manager.
fn assert_nothing_left(host: &Host) {
    assert_eq!(host.succeed(&["systemctl", "list-units", "--all", "--no-legend", "sampan-*.scope"]), "");
    assert_eq!(host.succeed(&["sh", "-c", "pgrep -x sampan-launch || true"]), "");
    for table in ["tcp", "tcp6"] {
        let text = host.succeed(&["cat", &format!("/proc/net/{table}")]);
        assert!(!text.contains(":1F90 "), "port 8080 is open: {text}");
    }
}

#[test]
fn a_wrong_key_is_told_with_its_place_and_the_unit_works_once_it_is_right() {
    let host = Host::with_images(&["hello"]);
    let wrong = shell("exec sleep 1000") + "restrat = \"always\"\n";
    host.unit("web.container", &wrong);
    let verdict = host.run(&["sampanctl", "verify", "web"]);
    assert_eq!(verdict.status.code(), Some(1));
    let verdict =
        String::from_utf8_lossy(&verdict.stdout).into_owned() + &String::from_utf8_lossy(&verdict.stderr);
    for part in ["/etc/sampan/units/web.container.toml:5:1", "restrat", "did you mean", "restart"] {
        assert!(verdict.contains(part), "{part}: {verdict}");
    }
    let refusal = host.run(&["sampanctl", "start", "web"]);
    assert!(!refusal.status.success());
    let refusal = String::from_utf8_lossy(&refusal.stderr).into_owned();
    assert!(refusal.contains("bad unit file") && refusal.contains("sampanctl verify web"), "{refusal}");
    let status = host.answer(3, &["sampanctl", "status", "web"]);
    assert!(status.contains("Loaded: bad") && status.contains("web.container.toml:5:1"), "{status}");
    assert_nothing_left(&host);

    // Who mends it needs no daemon-reload: there is nothing of it that could go on as it was.
    host.write("/etc/sampan/units/web.container.toml", &wrong.replace("restrat", "restar"));
    let refusal = host.fail(1, &["sampanctl", "start", "web"]);
    assert!(refusal.contains("bad unit file") && !refusal.contains("changed on disk"), "{refusal}");
    let status = host.answer(3, &["sampanctl", "status", "web"]);
    assert!(status.contains("restar\"") && !status.contains("restrat"), "{status}");
    host.write("/etc/sampan/units/web.container.toml", &shell("exec sleep 1000"));
    host.succeed(&["sampanctl", "start", "web"]);
    assert!(host.succeed(&["sampanctl", "status", "web"]).contains("Loaded: loaded"));
    host.succeed(&["sampanctl", "stop", "web"]);
    host.unit("web.container", &wrong);

    host.unit("good.container", &shell("exec sleep 1000"));
    host.succeed(&["sampanctl", "start", "good"]);
    host.unit("web.container", &wrong.replace("restrat", "restart"));
    host.succeed(&["sampanctl", "start", "web"]);
    assert_eq!(host.succeed(&["sampanctl", "is-active", "web"]), "active\n");
}

/// Starts a unit that cannot; what `start` and `status` must name.
fn assert_fails(host: &Host, names: &[&str]) {
    let error = host.fail(1, &["sampanctl", "start", "web"]);
    assert!(error.contains("Job for web.container failed"), "{error}");
    let status = host.answer(3, &["sampanctl", "status", "web"]);
    assert!(status.contains("Active: failed (Result: "), "{status}");
    for name in names {
        assert!(error.contains(name), "{name}: {error}");
        assert!(status.contains(name), "{name}: {status}");
    }
    assert_eq!(host.succeed(&["sampanctl", "is-failed", "web"]), "failed\n");
    assert_nothing_left(host);
}

#[test]
fn an_image_that_is_not_there_is_named() {
    let host = Host::with_images(&["hello"]);
    host.unit("web.container", "[container]\nimage = \"localhost/nope\"\n");
    assert_fails(&host, &["localhost/nope"]);
    host.unit("web.container", "[container]\nimage = \"localhost/hello\"\n");
    host.succeed(&["sampanctl", "start", "web"]);
}

#[test]
fn a_payload_that_does_not_exist_is_named() {
    let host = Host::with_images(&["hello"]);
    let nope = |key: &str| format!("[container]\nimage = \"localhost/hello\"\n{key}\n");
    host.unit("web.container", &nope("entrypoint = [\"/bin/nope\"]"));
    assert_fails(&host, &["execute", "/bin/nope", "No such file or directory"]);
    host.unit("web.container", &nope("entrypoint = [\"/etc/passwd\"]"));
    assert_fails(&host, &["execute", "/etc/passwd", "Permission denied"]);
    host.unit("web.container", &nope("user = \"nobody-here\""));
    assert_fails(&host, &["nobody-here"]);
    host.unit("web.container", &nope("[mount.\"/data\"]\ntype = \"bind\"\nsource = \"/srv/nope\""));
    assert_fails(&host, &["/srv/nope"]);
}

#[test]
fn a_port_that_is_taken_is_named() {
    let host = Host::with_images(&["hello"]);
    let other = shell("exec sleep 1000") + &socket("127.0.0.1:9090", "\"fd\"");
    host.unit("other.container", &other);
    host.succeed(&["sampanctl", "start", "other"]);
    // The first socket would open; it must not stay open when the second does not.
    let sockets = "[socket.a]\nlisten = \"127.0.0.1:8080\"\npass = \"fd\"\n";
    host.unit("web.container", &(other + sockets));
    assert_fails(&host, &["socket.main", "127.0.0.1:9090", "Address already in use"]);
    host.succeed(&["sampanctl", "stop", "other"]);
    host.succeed(&["sampanctl", "start", "web"]);
    assert_eq!(host.property("web", "SubState"), "listening");
}

#[test]
fn a_bad_archive_leaves_no_image() {
    let host = Host::with_images(&[]);
    let images = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("target/images/hello.tar");
    let archive = std::fs::read(images).expect("the image is there");
    std::fs::write(host.shared().join("half.tar"), &archive[..archive.len() / 2]).expect("it is written");
    let error = host.fail(1, &["sampanctl", "import", "/srv/half.tar", "--name", "localhost/half"]);
    assert!(error.contains("half.tar"), "{error}");
    assert!(host.fail(1, &["sampanctl", "import", "/srv/none.tar"]).contains("/srv/none.tar"));
    assert!(!host.succeed(&["sampanctl", "images"]).contains("half"));
    host.succeed(&["sampanctl", "fsck"]);
}

#[test]
fn a_limit_of_a_device_that_is_not_there_is_told() {
    let host = Host::with_images(&["hello"]);
    let limits = "[resources]\nio_read_bandwidth_max = { \"/dev/no-such-disk\" = \"5M\", \"/proc\" = \"5M\" }\n\
                  io_device_weight = { \"/dev/null\" = 50 }\n";
    host.unit("web.container", &(shell("exec sleep 1000") + limits));
    let faults = [
        "io_device_weight: /dev/null is a character device, not a block device",
        "io_read_bandwidth_max: /dev/no-such-disk does not exist",
        "io_read_bandwidth_max: /proc is on a file system without a block device",
    ];
    let verdict = host.run(&["sampanctl", "verify", "web"]);
    assert_eq!(verdict.status.code(), Some(0), "the container runs without them");
    let verdict = String::from_utf8_lossy(&verdict.stderr).into_owned();
    assert!(verdict.contains("web.container.toml:6:49\n") && verdict.contains("3 warnings"), "{verdict}");
    host.succeed(&["sampanctl", "start", "web"]);
    for fault in faults {
        host.journal(&["SAMPAN_UNIT=web.container"]).wait(fault);
        assert!(verdict.contains(fault.split_once(": ").unwrap().1), "{fault}: {verdict}");
    }
    let status = host.succeed(&["sampanctl", "status", "web"]);
    for fault in faults {
        assert!(status.contains(&format!("{fault}, continuing without this limit.")), "{fault}: {status}");
    }
    host.succeed(&["sampanctl", "set-property", "--runtime", "web", "io_write_iops_max=/gone 50"]);
    let told = "io_write_iops_max: /gone does not exist, continuing without this limit.";
    host.journal(&["SAMPAN_UNIT=web.container"]).wait(told);
}
