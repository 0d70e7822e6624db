//! Containers that nobody uses, on a private host: they are stopped or frozen, and whoever comes next is served.

mod support;

use std::io::{Read, Write};
use std::process::Stdio;
use std::time::{Duration, Instant, UNIX_EPOCH};
use support::host::{Host, exchange};
use support::units::{python, socket};

const REQUEST: &[u8] = b"GET / HTTP/1.0\r\nHost: localhost\r\n\r\n";

/// nginx as Debian has it, which sleeps as the keys say.
fn nginx(keys: &str) -> String {
    let unit = "[container]\nimage = \"localhost/web\"\nstart_limit = { burst = 0 }\n";
    let sockets = socket("127.0.0.1:8000", "\"swap\"\ntarget = \"0.0.0.0:80\"");
    unit.to_owned() + &sockets.replace("start = \"socket\"\n", &format!("start = \"socket\"\n{keys}\n"))
}

/// Waits for a line of the manager's.
fn told(host: &Host, text: &str) {
    host.journal(&["--unit=sampand"]).wait(text);
}

fn asleep(host: &Host, keys: &str) {
    host.unit("web.container", &nginx(keys));
    host.succeed(&["sampanctl", "start", "web"]);
    assert!(host.get("127.0.0.1:8000").contains("Hello from nginx"));
}

#[test]
fn a_container_without_clients_is_stopped_and_the_next_client_starts_it() {
    let host = Host::with_images(&["web"]);
    asleep(&host, "idle_timeout = \"300ms\"");
    host.wait_property("web", "SubState", "listening");
    assert_eq!(host.property("web", "MainPID"), "0");
    told(&host, "web.container: Idle for 300ms, stopping.");
    let mut client = host.connect("127.0.0.1:8000").expect("the socket listens");
    host.wait_property("web", "SubState", "running");
    assert_eq!(host.property("web", "InUseBy"), "1 connection to socket main");
    let status = host.succeed(&["sampanctl", "status", "web"]);
    assert!(status.contains("Idle: no: 1 connection to socket main\n"), "{status}");
    let slower = nginx("idle_timeout = \"1s\"").replace("8000", "8001");
    host.unit("slower.container", &slower);
    host.succeed(&["sampanctl", "start", "slower"]);
    assert!(host.get("127.0.0.1:8001").contains("Hello from nginx"));
    host.wait_property("slower", "SubState", "listening");
    assert_eq!(host.property("web", "SubState"), "running", "a client that says nothing is a client");
    client.write_all(REQUEST).unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    assert!(answer.contains("Hello from nginx"), "{answer}");
    host.wait_property("web", "SubState", "listening");
    assert_eq!(host.property("web", "Result"), "success");
}

#[test]
fn status_says_when_an_idle_container_is_stopped() {
    let host = Host::with_images(&["web"]);
    asleep(&host, "idle_timeout = \"1h\"");
    let idle = |host: &Host| {
        let status = host.succeed(&["sampanctl", "status", "web"]);
        status.lines().find_map(|line| line.trim().strip_prefix("Idle: ").map(str::to_owned))
    };
    let line = idle(&host).unwrap();
    assert!(line.starts_with("last used ") && line.contains("; stopped in 59min"), "{line}");
    assert_eq!(host.property("web", "IdleTimeoutUSec"), "1h");
    host.unit("web.container", &nginx(""));
    assert_eq!(idle(&host), None, "it never sleeps any more");
}

#[test]
fn a_frozen_container_goes_on_where_it_was() {
    let host = Host::with_images(&["web"]);
    asleep(&host, "idle_timeout = \"200ms\"\nidle_action = \"freeze\"\nidle_stop_after = \"1h\"");
    host.wait_property("web", "SubState", "frozen");
    let main = host.property("web", "MainPID");
    assert_eq!(
        (host.property("web", "ActiveState"), host.property("web", "FreezerState")),
        ("active".into(), "frozen".into())
    );
    let status = host.succeed(&["sampanctl", "status", "web"]);
    assert!(status.contains("active (frozen) since") && status.contains("; stopped in 59min"), "{status}");
    told(&host, "Idle for 200ms, frozen in ");
    for _ in 0..3 {
        assert!(host.get("127.0.0.1:8000").contains("Hello from nginx"));
        assert_eq!(host.property("web", "MainPID"), main, "it is the same container");
        host.wait_property("web", "SubState", "frozen");
    }
    told(&host, "Thawed by socket main in ");
    // A manager that comes later finds it asleep, and wakes it.
    let pid = host.succeed(&["systemctl", "show", "--property=MainPID", "--value", "sampand"]);
    host.succeed(&["kill", "-KILL", pid.trim()]);
    host.wait_until("sampand is back", |host| host.run(&["sampanctl", "is-active", "web"]).status.success());
    assert_eq!(host.property("web", "SubState"), "frozen");
    assert!(host.get("127.0.0.1:8000").contains("Hello from nginx"));
    assert_eq!(host.property("web", "MainPID"), main);
    host.wait_property("web", "SubState", "frozen");
    // Who does something in it wakes it, and keeps it awake.
    host.succeed(&["sampanctl", "exec", "web", "nginx", "-v"]);
    host.wait_property("web", "SubState", "frozen");
    host.succeed(&["sampanctl", "thaw", "web"]);
    host.wait_property("web", "SubState", "frozen");
    host.succeed(&["sampanctl", "stop", "web"]);
    assert_eq!(host.property("web", "ActiveState"), "inactive");
}

/// When a connection launched the container last or thawed it, as `list-sockets` says: microseconds since 1970, and how
/// long that took.
fn last_activation(host: &Host) -> (u64, u64) {
    let rows = host.succeed(&["sampanctl", "list-sockets", "--output=json"]);
    let rows: serde_json::Value = serde_json::from_str(&rows).expect("JSON");
    let number = |key: &str| rows[0][key].as_u64().expect("a number");
    (number("last_usec"), number("latency_usec"))
}

#[test]
fn list_sockets_says_when_a_container_was_launched_or_thawed_last() {
    let host = Host::with_images(&["web"]);
    let now = || u64::try_from(UNIX_EPOCH.elapsed().unwrap().as_micros()).unwrap();
    let keys = "idle_timeout = \"200ms\"\nidle_action = \"freeze\"\nidle_stop_after = \"1h\"";
    host.unit("web.container", &nginx(keys));
    host.succeed(&["sampanctl", "start", "web"]);
    assert_eq!(last_activation(&host), (0, 0));
    let row = host.succeed(&["sampanctl", "list-sockets", "--no-legend"]);
    assert!(row.trim_end().ends_with("listening 0 0 - - -"), "{row}");
    let mut before = now();
    for state in ["a launch", "a thaw"] {
        assert!(host.get("127.0.0.1:8000").contains("Hello from nginx"));
        let (last, latency) = last_activation(&host);
        assert!(before <= last && last + latency <= now(), "{state}: {last} {latency}");
        host.wait_property("web", "SubState", "frozen");
        before = now();
    }
    let row = host.succeed(&["sampanctl", "list-sockets", "--no-legend"]);
    assert!(row.contains(" 2 ") && row.trim_end().ends_with(" ago"), "{row}");
    // A manager that comes later knows it, too.
    let known = last_activation(&host);
    let pid = host.succeed(&["systemctl", "show", "--property=MainPID", "--value", "sampand"]);
    host.succeed(&["kill", "-KILL", pid.trim()]);
    host.wait_until("sampand is back", |host| host.run(&["sampanctl", "is-active", "web"]).status.success());
    assert_eq!(last_activation(&host), known);
}

#[test]
fn a_container_that_is_frozen_for_long_is_stopped() {
    let host = Host::with_images(&["web"]);
    asleep(&host, "idle_timeout = \"100ms\"\nidle_action = \"freeze\"\nidle_stop_after = \"200ms\"");
    host.wait_property("web", "SubState", "listening");
    told(&host, "Idle for 100ms, frozen in ");
    assert!(host.get("127.0.0.1:8000").contains("Hello from nginx"));
}

/// Has a client every 300 ms that it lets go at once, until it gets a line or is closed.
const VISITS: &str = r#"
import select, socket, sys, time
longest, last = 0, time.monotonic()
while not select.select([sys.stdin], [], [], 0.3)[0]:
    client = socket.create_connection(("127.0.0.1", 8000))
    client.recv(1)
    client.close()
    longest, last = max(longest, time.monotonic() - last), time.monotonic()
print(longest)
"#;

#[test]
fn visitors_who_leave_at_once_keep_a_container_awake() {
    let host = Host::with_images(&["servers"]);
    // It takes them before anybody else can see that they have come.
    let program =
        "import socket\nlistener = socket.socket(fileno=3)\nwhile True:\n    listener.accept()[0].close()\n";
    let unit = python(program) + &socket("127.0.0.1:8000", "\"fd\"");
    let keys = "start = \"socket\"\nidle_timeout = \"2s\"\n";
    host.unit("door.container", &unit.replace("start = \"socket\"\n", keys));
    host.succeed(&["sampanctl", "start", "door"]);
    let mut visits = host.command(&["python3", "-c", VISITS]);
    let mut visits = visits.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("python3");
    host.wait_property("door", "SubState", "running");
    let main = host.property("door", "MainPID");
    let begun = Instant::now();
    let mut states = Vec::new();
    while begun.elapsed() < Duration::from_secs(8) {
        states.push((host.property("door", "SubState"), host.property("door", "MainPID")));
    }
    drop(visits.stdin.take());
    let longest = visits.wait_with_output().expect("it ends").stdout;
    let longest: f64 = String::from_utf8_lossy(&longest).trim().parse().expect("a number");
    // On a loaded host the visitors may come too late themselves.
    if longest < 1.9 {
        states.retain(|state| *state != ("running".to_owned(), main.clone()));
        assert!(states.is_empty(), "it slept although somebody came each {longest} s: {states:?}");
    }
    host.wait_property("door", "SubState", "listening");
    host.succeed(&["sampanctl", "stop", "door"]);
}

/// Works from its first client to its second.
const WORKER: &str = r#"
import socket, time
listener = socket.socket(fileno=3)
listener.accept()[0].close()
listener.setblocking(False)
while True:
    try:
        listener.accept()[0].close()
        break
    except BlockingIOError:
        pass
time.sleep(1000)
"#;

#[test]
fn a_container_that_works_is_not_idle() {
    let host = Host::with_images(&["servers", "web"]);
    let keys = "start = \"socket\"\nidle_timeout = \"200ms\"\nidle_cpu_floor = \"10%\"\n";
    let sockets = socket("127.0.0.1:8001", "\"fd\"").replace("start = \"socket\"\n", keys);
    host.unit("busy.container", &(python(WORKER) + "stop_timeout = \"1s\"\n" + &sockets));
    host.succeed(&["sampanctl", "start", "busy"]);
    drop(host.connect("127.0.0.1:8001").unwrap());
    host.wait_property("busy", "SubState", "running");
    asleep(&host, "idle_timeout = \"1s\"");
    host.wait_property("web", "SubState", "listening");
    assert_eq!(host.property("busy", "SubState"), "running");
    let uses = host.property("busy", "InUseBy");
    assert!(uses.ends_with("% of a processor"), "{uses}");
    drop(host.connect("127.0.0.1:8001").unwrap());
    host.wait_property("busy", "SubState", "listening");
}

/// Clients come at every moment of the time around the end of the idle time.
fn clients_around_the_end(host: &Host, keys: &str, unit: &str) {
    for round in 0..60_u64 {
        let pause = Duration::from_millis(85) + Duration::from_micros(700) * u32::try_from(round).unwrap();
        let since = Instant::now();
        let answer = exchange(host.connect("127.0.0.1:8000").expect("nobody is refused"), REQUEST);
        let answer = answer.unwrap_or_else(|error| panic!("{unit}, {keys}, round {round}: {error}"));
        assert!(answer.contains("Hello from nginx"), "{unit}, {keys}, round {round}: {answer:?}");
        let left = pause.saturating_sub(since.elapsed());
        if !left.is_zero() {
            std::thread::sleep(left);
        }
    }
}

#[test]
fn whoever_comes_at_any_moment_is_served() {
    let host = Host::with_images(&["web"]);
    for keys in [
        "idle_timeout = \"100ms\"",
        "idle_timeout = \"100ms\"\nidle_action = \"freeze\"",
        "idle_timeout = \"50ms\"\nidle_action = \"freeze\"\nidle_stop_after = \"50ms\"",
    ] {
        asleep(&host, keys);
        clients_around_the_end(&host, keys, "web");
        host.succeed(&["sampanctl", "stop", "web"]);
    }
}
