//! More descriptors than systemd's store takes: units beyond its limit start, are supervised and adopted all the same.

mod support;

use support::host::Host;
use support::units::{shell, socket};

const JOBS: [&str; 4] = ["one", "two", "three", "four"];

fn kill_manager(host: &Host) {
    host.succeed(&["systemctl", "kill", "--signal=KILL", "--kill-whom=main", "sampand"]);
    host.succeed(&["sampanctl", "list-units"]);
}

fn warnings(host: &Host) -> usize {
    let journal = host.succeed(&["journalctl", "--unit=sampand", "--output=cat", "--no-pager"]);
    journal.matches("descriptor store is full (FileDescriptorStoreMax=").count()
}

#[test]
fn units_beyond_the_limit_of_the_store_are_started_supervised_and_adopted() {
    for limit in [1, 6] {
        let host = Host::with_images(&["hello", "web"]);
        let limit = format!("[Service]\nFileDescriptorStoreMax={limit}\n");
        host.write("/run/systemd/system/sampand.service.d/limit.conf", &limit);
        host.succeed(&["sh", "-c", "systemctl daemon-reload; systemctl restart sampand"]);
        let sleeper = shell("trap 'echo bye; exit 0' TERM; echo up; while :; do sleep 0.1; done");
        for unit in JOBS {
            host.unit(
                &format!("{unit}.container"),
                &(sleeper.clone() + "restart = \"on-failure\"\nrestart_delay = \"0\"\n"),
            );
        }
        let nginx = "[container]\nimage = \"localhost/web\"\n";
        for (unit, port) in [("web", 8001), ("idle", 8002)] {
            let swap = socket(&format!("127.0.0.1:{port}"), "\"swap\"\ntarget = \"0.0.0.0:80\"");
            host.unit(&format!("{unit}.container"), &format!("{nginx}{swap}"));
        }
        host.succeed(&[&["sampanctl", "start", "web", "idle"][..], &JOBS].concat());
        assert!(host.get("127.0.0.1:8001").contains("Hello from nginx"));
        assert_eq!(warnings(&host), 1);

        let pids = || ["one", "two", "three", "four", "web"].map(|unit| host.property(unit, "MainPID"));
        let before = pids();
        kill_manager(&host);
        assert_eq!(pids(), before, "{}", host.recent());
        assert!(warnings(&host) <= 2, "once for each manager");
        for port in [8001, 8002] {
            let answer = host.try_get(&format!("127.0.0.1:{port}"));
            let shown =
                || host.succeed(&["sh", "-c", "sampanctl status web idle; sampanctl list-sockets; ss -ltnp"]);
            assert!(
                answer.as_ref().is_ok_and(|text| text.contains("Hello from nginx")),
                "{port}: {answer:?}\n{}",
                shown()
            );
        }
        // Its end is seen, and so is what comes after.
        host.succeed(&["kill", "-KILL", &before[3]]);
        host.wait_until("another run", |host| {
            host.property("four", "NRestarts") == "1" && host.property("four", "SubState") == "running"
        });
        host.succeed(&["kill", "-QUIT", &before[4]]);
        host.wait_property("web", "SubState", "listening");
        assert!(host.get("127.0.0.1:8001").contains("Hello from nginx"));
        host.succeed(&[&["sampanctl", "stop", "web", "idle"][..], &JOBS].concat());
        assert_eq!(host.property("one", "Result"), "success");
        assert_eq!(host.succeed(&["systemctl", "list-units", "--no-legend", "sampan-*.scope"]), "");
    }
}
