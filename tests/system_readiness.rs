//! When a start is done, on a private host: `ready = "listening"` with servers that know nothing of it.

mod support;

use serde_json::json;
use std::process::{Child, Stdio};
use support::host::Host;
use support::image::{Layer, write_layout};
use support::units::python;

/// A server that binds its port when the file `/go/go` appears, which the test makes.
fn late(host: &Host, port: u16, more: &str) -> String {
    std::fs::create_dir_all(host.shared().join("go")).unwrap();
    let script = format!(
        "import http.server, os, time\nprint('up', flush=True)\nwhile not os.path.exists('/go/go'): time.sleep(0.01)\n\
         http.server.HTTPServer(('', {port}), http.server.SimpleHTTPRequestHandler).serve_forever()\n"
    );
    let unit = python(&script);
    format!("{unit}ready = \"listening\"\n{more}\n[mount.\"/go\"]\ntype = \"bind\"\nsource = \"/srv/go\"\n")
}

fn start(host: &Host, unit: &str) -> Child {
    host.command(&["sampanctl", "start", unit]).stderr(Stdio::null()).spawn().expect("tests/host runs")
}

fn go(host: &Host) {
    std::fs::write(host.shared().join("go/go"), "").unwrap();
}

fn assert_starts_when_it_listens(host: &Host, unit: &str) {
    let mut starting = start(host, unit);
    host.wait_log(unit, "up");
    assert_eq!(host.property(unit, "ActiveState"), "activating");
    assert!(starting.try_wait().unwrap().is_none(), "the start waits");
    go(host);
    assert!(starting.wait().unwrap().success(), "{}", host.recent());
    assert_eq!(host.property(unit, "SubState"), "running");
    std::fs::remove_file(host.shared().join("go/go")).unwrap();
}

#[test]
fn a_swapped_socket_is_ready_when_its_server_binds_and_refuses_nobody_before() {
    let host = Host::with_images(&["servers"]);
    host.unit("web.container", &late(&host, 8000, "[socket.main]\nlisten = \"127.0.0.1:8000\"\n"));
    let mut starting = start(&host, "web");
    host.wait_log("web", "up");
    let early = host.connect("127.0.0.1:8000").expect("nobody is refused");
    assert_eq!(host.property("web", "ActiveState"), "activating");
    go(&host);
    let answer = support::host::exchange(early, b"GET / HTTP/1.0\r\n\r\n").expect("and all are served");
    assert!(answer.contains("200 OK"), "{answer}");
    assert!(starting.wait().unwrap().success(), "{}", host.recent());
    host.succeed(&["sampanctl", "stop", "web"]);
    std::fs::remove_file(host.shared().join("go/go")).unwrap();

    // A manager that comes in between knows what its predecessor has answered, or hears of it itself.
    let mut starting = start(&host, "web");
    let mut journal = host.journal(&["--unit=sampan-web.scope"]);
    (0..2).for_each(|_| drop(journal.wait("up")));
    host.succeed(&["systemctl", "kill", "--signal=KILL", "sampand"]);
    host.succeed(&["systemctl", "start", "sampand"]);
    go(&host);
    assert!(starting.wait().unwrap().success(), "{}", host.recent());
    assert_eq!(host.property("web", "SubState"), "running");
}

#[test]
fn the_ports_of_an_image_are_seen_in_the_network_of_the_container() {
    let host = Host::with_images(&["servers"]);
    let layout = host.shared().join("late");
    write_layout(
        &layout,
        vec![Layer::busybox()],
        &json!({ "ExposedPorts": { "8000/tcp": {}, "9/sctp": {} } }),
    );
    host.import("late", "localhost/late");
    std::fs::create_dir_all(host.shared().join("go")).unwrap();
    for network in ["private", "host"] {
        let script =
            "echo up; while ! test -e /go/go; do sleep 0.01; done; exec httpd -f -p 127.0.0.1:8000 -h /www";
        host.unit(
            &format!("{network}.container"),
            &format!(
                "[container]\nimage = \"localhost/late\"\ncommand = [\"/bin/busybox\", \"sh\", \"-c\", {script:?}]\n\
                 ready = \"listening\"\n[network]\nmode = \"{network}\"\n\
                 [mount.\"/go\"]\ntype = \"bind\"\nsource = \"/srv/go\"\n"
            ),
        );
        // Of others, in the host's network or another, nothing counts.
        let other = (network == "host")
            .then(|| host.in_network(|| std::net::TcpListener::bind("127.0.0.2:8000").unwrap()));
        assert_starts_when_it_listens(&host, network);
        drop(other);
        host.succeed(&["sampanctl", "stop", network]);
    }
}

#[test]
fn what_cannot_be_waited_for_is_told() {
    let host = Host::with_images(&["hello"]);
    let layout = host.shared().join("mute");
    write_layout(&layout, vec![Layer::busybox()], &json!({}));
    host.import("mute", "localhost/mute");
    let mute = "[container]\nimage = \"localhost/mute\"\ncommand = [\"/bin/sleep\", \"1000\"]\nready = \"listening\"\n";
    host.unit("mute.container", mute);
    host.fail(1, &["sampanctl", "start", "mute"]);
    let status = host.answer(3, &["sampanctl", "status", "mute"]);
    assert!(status.contains("no [socket], and its image exposes no port"), "{status}");
    host.unit(
        "deaf.container",
        &format!("{mute}start_timeout = \"1s\"\n[socket.main]\nlisten = \"127.0.0.1:81\"\n"),
    );
    host.fail(1, &["sampanctl", "start", "deaf"]);
    assert_eq!(
        ["Result", "LaunchError"].map(|name| host.property("deaf", name)),
        ["timeout", "start: no port listens in time"]
    );
    // A socket that is handed over listens all along.
    host.unit("given.container", &format!("{mute}[socket.main]\nlisten = \"127.0.0.1:82\"\npass = \"fd\"\n"));
    host.succeed(&["sampanctl", "start", "given"]);
}

#[test]
fn a_server_that_commands_come_before_is_waited_for() {
    let host = Host::with_images(&["servers"]);
    let more = "exec_start_pre = [\"true\"]\n[socket.main]\nlisten = \"127.0.0.1:8000\"\n";
    host.unit("web.container", &late(&host, 8000, more));
    assert_starts_when_it_listens(&host, "web");
    // One that binds before anybody can have heard that it runs.
    let server =
        "[container]\nimage = \"localhost/servers\"\ncommand = [\"httpd\", \"-f\", \"-p\", \"8001\"]\n";
    let more = "ready = \"listening\"\nexec_start_pre = [\"true\"]\n[socket.main]\nlisten = \"[::1]:8001\"\n";
    host.unit("quick.container", &format!("{server}{more}"));
    host.succeed(&["timeout", "30", "sampanctl", "start", "quick"]);
}
