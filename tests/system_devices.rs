//! Devices of the host that a unit lets its container use.

mod support;

use support::host::Host;
use support::units::shell;

fn unit(devices: &str, more: &str) -> String {
    format!("{}[security]\ndevices = [{devices}]\n{more}", shell("exec sleep 1000"))
}

fn inside(host: &Host, unit: &str, script: &str) -> String {
    host.succeed(&["sampanctl", "exec", unit, "sh", "-c", script])
}

#[test]
fn a_container_can_use_the_devices_that_its_unit_names_and_no_others() {
    let host = Host::with_images(&["hello"]);
    host.unit("none.container", &shell("exec sleep 1000"));
    host.unit(
        "web.container",
        &unit("\"/dev/fuse\", \"/dev/zero:/dev/nothing/zero:r\", \"-/dev/gone\", \"-char-gone\"", ""),
    );
    host.unit("host.container", &unit("\"/dev/fuse:rw\"", "user_namespace = \"host\"\n"));
    host.succeed(&["sampanctl", "start", "none", "web", "host"]);
    let open = "exec 3<>/dev/fuse && stat -c '%t:%T %u' /dev/fuse";
    for unit in ["web", "host"] {
        assert_eq!(inside(&host, unit, open), "a:e5 0\n", "fuse opens, and belongs to root");
    }
    assert_eq!(inside(&host, "web", "head -c 3 /dev/nothing/zero | wc -c"), "3\n");
    assert_eq!(inside(&host, "web", "ls /dev/gone /dev/kvm 2>/dev/null | wc -l"), "0\n");
    let none = host.run(&["sampanctl", "exec", "none", "sh", "-c", "exec 3</dev/fuse"]);
    assert!(!none.status.success(), "{none:?}");
    // A node of its own is as closed to others of the host as the store, and none of another device can be made.
    host.fail(1, &["sampanctl", "exec", "web", "mknod", "/dev/disk", "b", "8", "0"]);
    let policy = host.succeed(&["systemctl", "show", "sampan-web.scope", "-p", "DevicePolicy,DeviceAllow"]);
    assert!(
        policy.contains("DevicePolicy=closed") && policy.contains("DeviceAllow=/dev/fuse rwm"),
        "{policy}"
    );
    let none = host.succeed(&["systemctl", "show", "sampan-none.scope", "-p", "DeviceAllow"]);
    assert!(!none.contains("/dev/"), "{none}");
}

#[test]
fn devices_of_a_driver_come_by_its_name() {
    let host = Host::with_images(&["hello"]);
    host.unit("web.container", &unit("\"char-misc:rw\"", ""));
    host.succeed(&["sampanctl", "start", "web"]);
    assert_eq!(inside(&host, "web", "exec 3<>/dev/fuse && echo opened"), "opened\n");
}

#[test]
fn a_device_that_is_missing_or_none_is_named() {
    let host = Host::with_images(&["hello"]);
    for (device, told) in [
        ("/dev/gone", ["open device: /dev/gone", "begin it with \"-\""]),
        ("/dev/shm", ["every container has", ""]),
        ("/dev/pts", ["every container has", ""]),
        ("char-gone", ["no devices \"char-gone\"", "begin it with \"-\""]),
    ] {
        host.unit("web.container", &unit(&format!("\"{device}\""), ""));
        let output = host.run(&["sampanctl", "start", "web"]);
        assert!(!output.status.success(), "{device}");
        let status = host.run(&["sampanctl", "status", "web"]);
        let status =
            String::from_utf8_lossy(&status.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        assert!(told.iter().all(|told| status.contains(told)), "{device}: {status}");
    }
}
