//! A manager that hangs: systemd starts it anew, and neither containers nor clients notice.

mod support;

use std::sync::atomic::{AtomicBool, Ordering};
use support::host::Host;
use support::units::{shell, socket};

#[test]
fn a_manager_that_hangs_is_replaced_and_missed_by_nobody() {
    let host = Host::with_images(&["hello", "web"]);
    let times = "[Service]\nWatchdogSec=2s\nTimeoutAbortSec=1s\n";
    host.write("/run/systemd/system/sampand.service.d/times.conf", times);
    host.succeed(&["sh", "-c", "systemctl daemon-reload; systemctl restart sampand"]);
    let nginx = "[container]\nimage = \"localhost/web\"\n";
    for (unit, port) in [("web", 8001), ("idle", 8002)] {
        let swap = socket(&format!("127.0.0.1:{port}"), "\"swap\"\ntarget = \"0.0.0.0:80\"");
        host.unit(&format!("{unit}.container"), &format!("{nginx}{swap}"));
    }
    host.unit("job.container", &shell("exec sleep 100000"));
    host.succeed(&["sampanctl", "start", "web", "idle", "job"]);
    assert!(host.get("127.0.0.1:8001").contains("Hello from nginx"));
    let identity =
        || ["web", "job"].map(|unit| host.property(unit, "InvocationID") + &host.property(unit, "MainPID"));
    let before = identity();
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let client = scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                assert!(host.get("127.0.0.1:8001").contains("Hello from nginx"));
            }
        });
        // Stopped, it does not even end at SIGABRT; who connects meanwhile waits.
        let script = "pid=$(systemctl show --property=MainPID --value sampand); kill -STOP $pid";
        host.succeed(&["sh", "-c", script]);
        assert!(host.get("127.0.0.1:8002").contains("Hello from nginx"));
        over.store(true, Ordering::Relaxed);
        client.join().expect("every request is answered");
    });
    assert_eq!(identity(), before);
    assert_eq!(host.property("idle", "SubState"), "running");
    let journal = host.succeed(&["journalctl", "--unit=sampand", "--output=cat", "--no-pager"]);
    assert_eq!(journal.matches("Watchdog timeout").count(), 1, "{journal}");
    assert_eq!(host.succeed(&["systemctl", "is-active", "sampand"]), "active\n");
}
