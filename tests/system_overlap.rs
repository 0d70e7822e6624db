//! `restart --overlap` on a private host: the next container serves before the one before is stopped, and nobody who
//! connects meanwhile notices more than who answers.

mod support;

use std::io::{Read, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use support::host::Host;
use support::units::python;

/// Tells, when it goes, that something is over.
struct Ending<'a>(&'a AtomicBool);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Clients that come one after the other for as long as something is done: each must be answered.
fn clients_during<T>(host: &Host, address: &str, work: impl FnOnce() -> T) -> (T, usize) {
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let come = || {
            let mut served = 0;
            while !over.load(Ordering::Relaxed) {
                let got = host.try_get(address).unwrap_or_else(|error| panic!("client {served}: {error}"));
                assert!(got.starts_with("HTTP/1."), "client {served}: {got:?}");
                served += 1;
            }
            served
        };
        let threads = [scope.spawn(come), scope.spawn(come)];
        let ending = Ending(&over);
        let done = work();
        drop(ending);
        let served = threads.map(|thread| thread.join().expect("every client is answered"));
        (done, served.iter().sum())
    })
}

fn main_pid(host: &Host, unit: &str) -> String {
    host.property(unit, "MainPID")
}

/// The container before has ended, and nothing of it is left.
fn wait_alone(host: &Host, unit: &str) {
    host.wait_until("nothing is left of the one before", |host| {
        !host.run(&["sampanctl", "is-active", &format!("{unit}@:retired")]).status.success()
    });
    // systemd sees soon that one is empty, and tells nobody but its journal of it.
    let gone =
        format!("until ! systemctl is-active --quiet sampan-{unit}::retired.scope; do sleep 0.05; done");
    host.succeed(&["timeout", "30", "sh", "-c", &gone]);
    host.succeed(&["systemctl", "is-active", "--quiet", &format!("sampan-{unit}.scope")]);
    let units = host.succeed(&["sampanctl", "list-units", "--all", "--no-legend"]);
    assert!(!units.contains("retired"), "{units}");
    let state = host.succeed(&["ls", "/run/sampan/state"]);
    assert!(!state.contains("retired"), "{state}");
    let kept = host.succeed(&["ls", "/var/lib/sampan/containers"]);
    assert!(!kept.contains("retired"), "{kept}");
}

/// Restarts a unit with an overlap a few times while clients come.
fn overlap_under_clients(host: &Host, unit: &str, address: &str) {
    let kept = || host.succeed(&["systemctl", "show", "--property=NFileDescriptorStore", "sampand"]);
    let before = kept();
    for _ in 0..3 {
        let before = main_pid(host, unit);
        let (_, served) = clients_during(host, address, || {
            host.succeed(&["sampanctl", "restart", "--overlap", unit]);
            assert_eq!(host.property(unit, "ActiveState"), "active");
            assert_ne!(main_pid(host, unit), before, "another container serves");
            wait_alone(host, unit);
        });
        assert!(served > 0);
        assert_eq!(host.property(unit, "SubState"), "running");
    }
    assert!(host.get(address).starts_with("HTTP/1."));
    assert_eq!(kept(), before, "systemd keeps what is of the one container");
    host.journal(&["--unit=sampand"]).wait("Overlapped: the next container is up");
}

fn nginx(pass: &str) -> String {
    format!(
        "[container]\nimage = \"localhost/web\"\nstop_signal = \"SIGQUIT\"\nstart_limit = {{ burst = 0 }}\n\
         [activation]\nstart = \"socket\"\n[socket.main]\nlisten = \"127.0.0.1:8000\"\n{pass}\n"
    )
}

#[test]
fn nobody_notices_where_sockets_are_swapped() {
    let host = Host::with_images(&["web"]);
    host.unit("web.container", &nginx("pass = \"swap\"\ntarget = \"0.0.0.0:80\""));
    host.succeed(&["sampanctl", "start", "web"]);
    host.get("127.0.0.1:8000");
    overlap_under_clients(&host, "web", "127.0.0.1:8000");
}

#[test]
fn nobody_notices_behind_a_proxy() {
    let host = Host::with_images(&["web"]);
    host.unit("web.container", &nginx("pass = \"proxy\"\ntarget = \"127.0.0.1:80\""));
    host.succeed(&["sampanctl", "start", "web"]);
    host.get("127.0.0.1:8000");
    overlap_under_clients(&host, "web", "127.0.0.1:8000");
}

/// Answers with a word of its own, one at a time for each client; `/slow` when the client has said one line more.
/// Stopped, it takes nobody new and finishes what it has begun.
const SERVER: &str = r#"
import os, select, signal, socket, threading
me = b"I am " + os.urandom(4).hex().encode()
reader, writer = os.pipe()
BEGIN
signal.signal(signal.SIGTERM, lambda *_: os.write(writer, b"x"))
def serve(connection):
    with connection:
        request = connection.makefile("rb")
        slow = b"/slow" in request.readline()
        while request.readline().strip():
            pass
        if slow:
            print("slow", flush=True)
            request.readline()
        connection.sendall(b"HTTP/1.0 200 OK\r\n\r\n" + me)
listener.setblocking(False)
threads = []
while reader not in select.select([reader, listener], [], [])[0]:
    try:
        connection, _ = listener.accept()
    except OSError:
        continue
    connection.setblocking(True)
    threads.append(threading.Thread(target=serve, args=[connection]))
    threads[-1].start()
[thread.join() for thread in threads]
END
"#;

const PASSED: &str = "listener = socket.socket(fileno=3)";
const BOUND: &str = r#"
listener = socket.socket()
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
listener.bind(("0.0.0.0", 80))
listener.listen(100)
"#;

fn own(begin: &str, end: &str, pass: &str, keys: &str) -> String {
    let program = SERVER.replace("BEGIN", begin).replace("END", end);
    python(&program)
        + "start_limit = { burst = 0 }\nstop_timeout = \"5s\"\n"
        + keys
        + &format!(
            "\n[socket.main]\nlisten = \"127.0.0.1:8000\"\n{pass}\n[mount.\"/gate\"]\ntype = \"bind\"\nsource = \"/srv/gate\"\n"
        )
}

const SWAP: &str = "pass = \"swap\"\ntarget = \"0.0.0.0:80\"";
const FD: &str = "pass = \"fd\"";
/// Waits until somebody opens the gate.
const GATED: &str = "print(\"at the gate\", flush=True)\nopen(\"/gate/gate\").read()";

/// A host on which a server of this unit runs, and the word of that.
fn serving(unit: &str) -> (Host, String) {
    let host = Host::with_images(&["servers"]);
    host.succeed(&["sh", "-c", "mkdir /srv/gate && mkfifo /srv/gate/gate"]);
    host.unit("web.container", unit);
    host.succeed(&["sampanctl", "start", "web"]);
    let word = word(&host);
    (host, word)
}

fn word(host: &Host) -> String {
    let got = host.get("127.0.0.1:8000");
    got.split("I am ").nth(1).unwrap_or_else(|| panic!("{got:?}")).to_owned()
}

/// A client that a server is busy with.
fn slow_client(host: &Host) -> std::net::TcpStream {
    let mut client = host.connect("127.0.0.1:8000").unwrap();
    client.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    client.write_all(b"GET /slow HTTP/1.0\r\n\r\n").unwrap();
    client
}

fn finish(mut client: std::net::TcpStream) -> String {
    client.write_all(b"\n").unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    answer.split("I am ").nth(1).unwrap_or_else(|| panic!("{answer:?}")).to_owned()
}

fn kill_manager(host: &Host) {
    let pid = host.succeed(&["systemctl", "show", "--property=MainPID", "--value", "sampand"]);
    host.succeed(&["systemctl", "reset-failed", "sampand"]);
    host.succeed(&["kill", "-KILL", pid.trim()]);
    host.wait_until("sampand is back", |host| host.run(&["sampanctl", "is-active", "web"]).status.success());
}

#[test]
fn what_has_begun_is_finished_by_the_one_before() {
    let (host, before) = serving(&own(PASSED, "", FD, ""));
    let client = slow_client(&host);
    host.wait_log("web", "slow");
    host.succeed(&["sampanctl", "restart", "--overlap", "web"]);
    let after = word(&host);
    assert_ne!(after, before, "the next container answers who comes now");
    // It is told of while it has something to finish.
    let status = host.succeed(&["sampanctl", "status", "web"]);
    assert!(status.contains("Retired: web@:retired.container"), "{status}");
    assert_eq!(host.property("web", "Retired"), "web@:retired.container");
    assert_eq!(host.succeed(&["sampanctl", "is-active", "web"]).trim(), "active");
    assert_eq!(host.property("web@:retired", "SubState"), "stop-sigterm");
    // So it is after another manager has come.
    kill_manager(&host);
    assert_eq!(word(&host), after);
    assert_eq!(finish(client), before);
    wait_alone(&host, "web");
    assert_eq!(word(&host), after);
    // A stop takes both along.
    let client = slow_client(&host);
    host.succeed(&["sampanctl", "restart", "--overlap", "web"]);
    std::thread::scope(|scope| {
        let stop = scope.spawn(|| host.succeed(&["sampanctl", "stop", "web"]));
        assert_eq!(finish(client), after);
        stop.join().unwrap();
    });
    assert_eq!(host.property("web", "ActiveState"), "inactive");
    let scopes = host.succeed(&["systemctl", "list-units", "--no-legend", "--plain", "sampan-*.scope"]);
    assert_eq!(scopes, "");
}

#[test]
fn the_one_before_goes_on_where_the_next_does_not_come_up() {
    let good = own(BOUND, "", SWAP, "");
    let (host, before) = serving(&good);
    let pid = main_pid(&host, "web");
    let crash = own("raise SystemExit(3)", "", SWAP, "");
    let deaf = own("import time; time.sleep(1000)", "", SWAP, "start_timeout = \"1s\"");
    let missing = good.replace("localhost/servers", "localhost/nothing");
    for (unit, why) in
        [(crash, "has ended"), (deaf, "no port listens in time"), (missing, "localhost/nothing")]
    {
        host.unit("web.container", &unit);
        let (said, _) = clients_during(&host, "127.0.0.1:8000", || {
            host.fail(1, &["sampanctl", "restart", "--overlap", "web"])
        });
        assert!(said.contains("Job for web.container") && said.contains(why), "{said}");
        assert!(said.contains("the container of before goes on"), "{said}");
        assert_eq!((word(&host), main_pid(&host, "web")), (before.clone(), pid.clone()), "{why}");
        assert_eq!(host.property("web", "ActiveState"), "active");
        host.wait_until("it has its scope again", |host| {
            host.succeed(&["cat", &format!("/proc/{pid}/cgroup")]).contains("/sampan-web.scope")
        });
        wait_alone(&host, "web");
    }
    host.unit("web.container", &good);
    overlap_under_clients(&host, "web", "127.0.0.1:8000");
    host.succeed(&["sampanctl", "stop", "web"]);
}

#[test]
fn a_manager_that_is_killed_meanwhile_loses_nobody() {
    let (host, before) = serving(&own(BOUND, "", SWAP, ""));
    host.unit("web.container", &own(&format!("{GATED}\n{BOUND}"), "", SWAP, ""));
    host.succeed(&["sampanctl", "restart", "--overlap", "--no-block", "web"]);
    host.wait_log("web", "at the gate");
    assert_eq!((word(&host), host.property("web", "ActiveState")), (before.clone(), "active".to_owned()));
    // Commands go to the one that serves.
    assert_eq!(host.succeed(&["sampanctl", "exec", "web", "echo", "here"]).trim(), "here");
    kill_manager(&host);
    assert_eq!(word(&host), before, "the next one is not up yet");
    host.succeed(&["sh", "-c", "echo >/srv/gate/gate"]);
    host.wait_until("the next one is up", |host| host.property("web", "SubState") == "running");
    host.journal(&["--unit=sampand"]).wait("Overlapped: the next container is up");
    wait_alone(&host, "web");
    assert_ne!(word(&host), before);
    // At whatever moment that is.
    host.unit("web.container", &own(BOUND, "", SWAP, ""));
    let (_, served) = clients_during(&host, "127.0.0.1:8000", || {
        for pause in (0..8).map(|turn| Duration::from_millis(turn * 40)) {
            host.succeed(&["sampanctl", "restart", "--overlap", "--no-block", "web"]);
            std::thread::sleep(pause);
            kill_manager(&host);
            host.wait_property("web", "Job", "0");
            wait_alone(&host, "web");
            assert_eq!(host.property("web", "SubState"), "running");
        }
    });
    assert!(served > 0);
}

#[test]
fn a_stop_while_the_next_one_starts_ends_both() {
    let (host, _) = serving(&own(BOUND, "", SWAP, ""));
    host.unit("web.container", &own(&format!("{GATED}\n{BOUND}"), "", SWAP, ""));
    host.succeed(&["sampanctl", "restart", "--overlap", "--no-block", "web"]);
    host.wait_log("web", "at the gate");
    // Another one is on its way already.
    host.succeed(&["sampanctl", "restart", "--overlap", "--no-block", "web"]);
    host.succeed(&["sampanctl", "stop", "web"]);
    assert_eq!(host.property("web", "ActiveState"), "inactive");
    let scopes = host.succeed(&["systemctl", "list-units", "--no-legend", "--plain", "sampan-*.scope"]);
    assert_eq!(scopes, "");
    host.fail(1, &["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/8000"]);
    let states = host.succeed(&["ls", "/run/sampan/state"]);
    assert!(!states.contains("web"), "{states}");
}

#[test]
fn a_server_that_shuts_its_socket_down_does_not_take_its_successor_along() {
    let end = "listener.shutdown(socket.SHUT_RDWR)";
    for (begin, pass) in [(PASSED, FD), (BOUND, SWAP)] {
        let (host, before) = serving(&own(begin, end, pass, ""));
        host.succeed(&["sampanctl", "restart", "--overlap", "web"]);
        wait_alone(&host, "web");
        assert_ne!(word(&host), before);
        assert_ne!(word(&host), before);
    }
}

#[test]
fn what_cannot_run_twice_is_refused_with_the_way_out() {
    let host = Host::with_images(&["hello"]);
    let sleeps = support::units::shell("trap 'exit 0' TERM; while :; do sleep 1000 & wait; done");
    for (keys, why) in [
        ("root = \"persistent\"", "its root file system is kept"),
        ("share = false", "its files are its own"),
    ] {
        host.unit("web.container", &format!("{sleeps}{keys}\n"));
        host.succeed(&["sampanctl", "start", "web"]);
        let pid = main_pid(&host, "web");
        let said = host.fail(3, &["sampanctl", "restart", "--overlap", "web"]);
        assert!(
            said.contains("web.container cannot be restarted with --overlap") && said.contains(why),
            "{said}"
        );
        assert_eq!(main_pid(&host, "web"), pid);
        host.succeed(&["sampanctl", "stop", "web"]);
    }
    // Without sockets, and where nothing runs yet.
    host.unit("web.container", &sleeps);
    host.succeed(&["sampanctl", "restart", "--overlap", "web"]);
    let pid = main_pid(&host, "web");
    host.succeed(&["sampanctl", "restart", "--overlap", "web"]);
    assert_ne!(main_pid(&host, "web"), pid);
    wait_alone(&host, "web");
}
