//! A storm: starts, stops, restarts, connections and reloads, while managers are killed at random moments,
//! upgraded and systemd executes itself again. Nobody notices.
//!
//! `SAMPAN_ROUNDS` says how often the manager is disturbed; `tests/soak survival` asks for hundreds. `SAMPAN_SEED`
//! repeats the choices of a run.

mod support;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use support::dice::Dice;
use support::host::Host;
use support::units::{shell, socket};

fn rounds() -> usize {
    std::env::var("SAMPAN_ROUNDS").map_or(12, |rounds| rounds.parse().expect("SAMPAN_ROUNDS is a number"))
}

/// Ends the storm also when a part of it fails.
struct UntilEnd<'a>(&'a AtomicBool);

impl Drop for UntilEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Does something again and again until the storm is over, at least once.
fn repeat(over: &AtomicBool, done: &AtomicUsize, mut work: impl FnMut()) {
    let _end = UntilEnd(over);
    loop {
        work();
        done.fetch_add(1, Ordering::Relaxed);
        if over.load(Ordering::Relaxed) {
            return;
        }
    }
}

/// One thing that happens to the manager, at a random moment of whatever it does.
fn disturb(host: &Host, dice: &mut Dice) {
    std::thread::sleep(Duration::from_millis(dice.below(400)));
    match dice.below(12) {
        0 => drop(host.succeed(&["systemctl", "daemon-reexec"])),
        1 => drop(host.succeed(&["systemctl", "daemon-reload"])),
        // A new binary in the place of the old, as a package manager puts it.
        2 => drop(host.succeed(&[
            "sh",
            "-c",
            "cd /usr/libexec/sampan && cp sampand sampand.new && mv sampand.new sampand && systemctl restart sampand",
        ])),
        3 => drop(host.succeed(&["systemctl", "restart", "sampand"])),
        _ => drop(host.succeed(&[
            "sh",
            "-c",
            "pid=$(systemctl show --property=MainPID --value sampand); test $pid = 0 || kill -KILL $pid",
        ])),
    }
}

/// One order to a unit of one's own, and what it must have come to.
fn command(host: &Host, unit: &str, dice: &mut Dice) {
    let before = host.property(unit, "ActiveState");
    if before == "active" && dice.below(4) == 0 {
        // Its end is known, whoever is there to see it.
        host.succeed(&["kill", "-KILL", &host.property(unit, "MainPID")]);
        host.wait_until("the end of a payload", |host| host.property(unit, "ActiveState") != "active");
        let end = ["ActiveState", "Result"].map(|name| host.property(unit, name));
        assert_eq!(end, ["failed", "signal"], "{unit}: {}", host.recent());
        return;
    }
    let verb = ["start", "stop", "restart", "try-restart"][dice.below(4) as usize];
    host.succeed(&["sampanctl", verb, unit]);
    let after = host.property(unit, "ActiveState");
    let expected = match verb {
        "start" | "restart" => "active",
        "stop" if before == "active" => "inactive",
        _ => &before,
    };
    assert_eq!(after, expected, "{unit} {verb}: {}", host.recent());
}

fn storm_host() -> Host {
    let host = Host::with_images(&["hello", "web"]);
    let server = "[container]\nimage = \"localhost/web\"\nstart_limit = { burst = 0 }\n";
    for (unit, port) in [("web", 8001), ("idle", 8002)] {
        let listen = format!("127.0.0.1:{port}");
        host.unit(
            &format!("{unit}.container"),
            &format!("{server}{}", socket(&listen, "\"swap\"\ntarget = \"0.0.0.0:80\"")),
        );
    }
    host.unit("steady.container", &shell("exec sleep 100000"));
    for unit in ["one", "two", "three"] {
        let script = "trap 'exit 0' TERM; while :; do sleep 0.1; done";
        host.unit(&format!("{unit}.container"), &(shell(script) + "start_limit = { burst = 0 }\n"));
    }
    host.succeed(&["sampanctl", "start", "web", "idle", "steady"]);
    host
}

#[test]
fn a_storm_leaves_everything_as_it_was_ordered() {
    let host = storm_host();
    let identity = || ["MainPID", "InvocationID", "NRestarts"].map(|name| host.property("steady", name));
    let before = identity();
    let over = AtomicBool::new(false);
    let done: [AtomicUsize; 6] = Default::default();
    std::thread::scope(|scope| {
        let (host, over, done) = (&host, &over, &done);
        for (number, unit) in ["one", "two", "three"].into_iter().enumerate() {
            let mut dice = Dice::new(number as u64);
            scope.spawn(move || repeat(over, &done[number], || command(host, unit, &mut dice)));
        }
        // One server is restarted under its clients, the other runs only when they come.
        let ask = |address| assert!(host.get(address).contains("Hello from nginx"));
        scope.spawn(move || repeat(over, &done[3], || ask("127.0.0.1:8001")));
        let mut dice = Dice::new(4);
        scope.spawn(move || {
            repeat(over, &done[4], || {
                ask("127.0.0.1:8002");
                if dice.below(8) == 0 {
                    host.succeed(&["sampanctl", "restart", ["web", "idle"][dice.below(2) as usize]]);
                }
            });
        });
        let mut dice = Dice::new(5);
        scope.spawn(move || {
            repeat(over, &done[5], || {
                let text = format!("[container]\nimage = \"localhost/hello\"\n# {}\n", dice.below(1000));
                host.write("/etc/sampan/units/other.container.toml", &text);
                host.succeed(&["sampanctl", "daemon-reload"]);
            });
        });
        let _end = UntilEnd(over);
        let mut dice = Dice::new(6);
        for _ in 0..rounds() {
            if over.load(Ordering::Relaxed) {
                break;
            }
            disturb(host, &mut dice);
        }
    });
    assert_eq!(identity(), before, "what nobody touched runs on");
    assert!(done.iter().all(|count| count.load(Ordering::Relaxed) > 0), "{done:?}");
    println!("{} rounds; orders, requests, reloads: {done:?}", rounds());
    host.succeed(&["sampanctl", "stop", "one", "two", "three", "web", "idle", "steady"]);
    // What has failed is remembered until then.
    host.succeed(&["sampanctl", "reset-failed"]);
    assert!(host.succeed(&["sampanctl", "list-jobs"]).contains("No jobs"));
    let left = host.succeed(&["systemctl", "list-units", "--no-legend", "sampan-*.scope"]);
    assert_eq!(left, "", "{}", host.recent());
    assert_eq!(host.succeed(&["sh", "-c", "ls /run/sampan/state | grep -v default.target || true"]), "");
}
