//! The private host that system tests run on is a whole systemd machine.

mod support;

use support::host::Host;

#[test]
fn runs_systemd_with_a_bus_and_keeps_its_files_over_a_reboot() {
    let host = Host::boot();
    assert_eq!(host.succeed(&["systemctl", "is-system-running"]), "running\n");
    host.write("/root/note", "kept");
    host.succeed(&["systemd-run", "--quiet", "--wait", "--unit=hello", "echo", "hello from a unit"]);
    host.journal(&["--unit=hello"]).wait("hello from a unit");
    host.reboot();
    assert_eq!(host.succeed(&["cat", "/root/note"]), "kept");
}

#[test]
fn tells_what_happens_on_its_bus() {
    let host = Host::start();
    let mut signals = host.signals();
    host.succeed(&["sampanctl", "start", "default.target"]);
    signals.wait("default.target");
}

#[test]
fn ends_with_its_value() {
    let host = Host::boot();
    let init = host.init();
    let shared = host.shared();
    drop(host);
    assert!(!std::path::Path::new(&format!("/proc/{init}")).exists());
    assert!(!shared.exists());
}
