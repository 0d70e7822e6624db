//! Sockets on a private host: the first connection starts the container and is served, whoever it is that listens.

mod support;

use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use support::host::{Host, exchange};
use support::units::{python, socket};

/// A unit of an image as it is, with other words for its command.
fn image(name: &str, command: &[&str]) -> String {
    format!("[container]\nimage = \"localhost/{name}\"\ncommand = {command:?}\n")
}

#[test]
fn a_server_that_knows_listen_fds_gets_the_socket() {
    let host = Host::with_images(&["servers"]);
    // This application of Python's own library answers with the environment of the request.
    let command = ["/usr/bin/gunicorn", "--worker-tmp-dir=/dev/shm", "wsgiref.simple_server:demo_app"];
    host.unit("web.container", &(image("servers", &command) + &socket("127.0.0.1:8000", "\"fd\"")));
    host.succeed(&["sampanctl", "start", "web"]);
    assert_eq!(host.property("web", "SubState"), "listening");
    assert_eq!(host.property("web", "MainPID"), "0");
    let stream = host.connect("127.0.0.1:8000").expect("the socket listens");
    let client = stream.local_addr().expect("it has an address");
    let answer = exchange(stream, b"GET / HTTP/1.0\r\n\r\n").expect("it is served");
    assert!(answer.contains("Hello world!"), "{answer}");
    assert!(
        answer.contains(&format!("REMOTE_PORT = '{}'", client.port())),
        "not the client's own address: {answer}"
    );
    host.wait_property("web", "SubState", "running");
    let sockets = host.succeed(&["sampanctl", "list-sockets", "--no-legend"]);
    let words: Vec<&str> = sockets.split_whitespace().collect();
    assert_eq!(words[..5], ["127.0.0.1:8000", "main", "web.container", "fd", "running"], "{sockets}");
    assert_eq!(words[6], "1", "one activation: {sockets}");
    host.succeed(&["sampanctl", "stop", "web"]);
    assert!(host.connect("127.0.0.1:8000").is_err(), "a stopped unit listens on nothing");
}

/// Says over each connection which of the sockets it came by.
const NAMER: &str = r#"
import os, selectors, socket
assert os.environ["LISTEN_PID"] == str(os.getpid())
names = os.environ["LISTEN_FDNAMES"].split(":")
assert len(names) == int(os.environ["LISTEN_FDS"])
ready = selectors.DefaultSelector()
for number, name in enumerate(names):
    ready.register(socket.socket(fileno=3 + number), selectors.EVENT_READ, name)
while True:
    for key, _ in ready.select():
        connection, address = key.fileobj.accept()
        connection.recv(100)
        connection.sendall(key.data.encode())
        connection.close()
"#;

#[test]
fn a_server_of_one_version_of_addresses_with_the_socket_of_both_is_told() {
    let host = Host::with_images(&["servers"]);
    let command = ["/usr/bin/python3", "-m", "http.server", "--directory", "/var/www", "8000"];
    host.unit("web.container", &(image("servers", &command) + &socket("[::]:8000", "\"swap\"")));
    host.succeed(&["sampanctl", "start", "web"]);
    assert!(host.get("127.0.0.1:8000").contains("Hello from the servers"));
    let told = "The server binds 0.0.0.0:8000 and no address of IPv6, and has the socket of \"[::]:8000\"";
    host.journal(&["--unit=sampand"]).wait(told);
    assert!(host.succeed(&["sampanctl", "status", "--full", "web"]).contains(told));
}

#[test]
fn a_unit_listens_on_addresses_of_every_kind() {
    let host = Host::with_images(&["servers"]);
    let sockets = r#"
        [activation]
        start = "socket"
        [socket.four]
        listen = "127.0.0.1:4444"
        pass = "fd"
        [socket.six]
        listen = "[::1]:6666"
        pass = "fd"
        [socket.dual]
        listen = "[::]:4646"
        pass = "fd"
        [socket.file]
        listen = "/run/web.sock"
        pass = "fd"
        mode = "0620"
        user = "www-data"
        group = "33"
    "#;
    host.unit("web.container", &(python(NAMER) + sockets));
    host.succeed(&["sampanctl", "start", "web"]);
    let ask = |address| exchange(host.connect(address).expect(address), b"?").expect(address);
    assert_eq!(ask("127.0.0.1:4444"), "four");
    assert_eq!(ask("[::1]:6666"), "six");
    assert_eq!(ask("[::1]:4646"), "dual");
    assert_eq!(ask("127.0.0.1:4646"), "dual");
    assert!(host.connect("127.0.0.1:6666").is_err(), "[::1] is no address of version 4");
    let path = host.path("/run/web.sock");
    let file = path.metadata().expect("the socket is there");
    assert_eq!((file.permissions().mode() & 0o777, file.uid(), file.gid()), (0o620, 33, 33));
    assert_eq!(exchange(UnixStream::connect(&path).expect("it listens"), b"?").expect("it answers"), "file");
    assert_eq!(host.succeed(&["sampanctl", "list-sockets", "--no-legend"]).lines().count(), 4);
    host.succeed(&["sampanctl", "stop", "web"]);
    assert!(!path.exists(), "its file is gone with it");
}

#[test]
fn unmodified_servers_are_given_the_socket_when_they_bind() {
    let host = Host::with_images(&["hello", "web", "servers"]);
    let http = "GET / HTTP/1.0\r\nHost: localhost\r\n\r\n";
    let redis = ["/usr/bin/redis-server", "--port", "6379", "--save", ""];
    let python = ["/usr/bin/python3", "-m", "http.server", "--directory", "/var/www", "8000"];
    for (name, unit, target, request, answer) in [
        (
            "nginx",
            "[container]\nimage = \"localhost/web\"\n".to_owned(),
            "0.0.0.0:80",
            http,
            "Hello from nginx",
        ),
        (
            "busybox",
            "[container]\nimage = \"localhost/hello\"\n".to_owned(),
            "[::]:80",
            http,
            "Hello from busybox",
        ),
        ("python", image("servers", &python), "0.0.0.0:8000", http, "Hello from the servers"),
        ("redis", image("servers", &redis), "127.0.0.1:6379", "PING\r\nQUIT\r\n", "+PONG"),
    ] {
        let sockets = socket("127.0.0.1:8001", &format!("\"swap\"\ntarget = \"{target}\""));
        host.unit(&format!("{name}.container"), &(unit + &sockets));
        host.succeed(&["sampanctl", "start", name]);
        for connection in ["first", "second"] {
            let stream = host.connect("127.0.0.1:8001").expect("the socket listens");
            let got = exchange(stream, request.as_bytes()).expect(name);
            assert!(got.contains(answer), "{name}, {connection} connection: {got}");
        }
        host.wait_property(name, "SubState", "running");
        host.succeed(&["sampanctl", "stop", name]);
        assert_eq!(host.property(name, "Result"), "success", "{name}");
    }
}

#[test]
fn two_hundred_clients_at_once_are_all_served() {
    let host = Host::with_images(&["web"]);
    let sockets = socket("127.0.0.1:8001", "\"swap\"\ntarget = \"0.0.0.0:80\"");
    host.unit("web.container", &(image("web", &["-c", "/etc/nginx/nginx.conf"]) + &sockets));
    host.succeed(&["sampanctl", "start", "web"]);
    std::thread::scope(|scope| {
        let client = || host.try_get("127.0.0.1:8001");
        let clients: Vec<_> = (0..200).map(|_| scope.spawn(client)).collect();
        for client in clients {
            let answer = client.join().expect("the client ends").expect("it is served");
            assert!(answer.contains("Hello from nginx"), "{answer}");
        }
    });
    let row = host.succeed(&["sampanctl", "list-sockets", "--no-legend"]);
    assert_eq!(row.split_whitespace().nth(6), Some("1"), "one launch for all: {row}");
}

#[test]
fn no_client_notices_a_restart() {
    let host = Host::with_images(&["web"]);
    let sockets = socket("127.0.0.1:8001", "\"swap\"\ntarget = \"0.0.0.0:80\"");
    let unlimited = "start_limit = { burst = 0 }\n";
    host.unit("web.container", &(image("web", &["-c", "/etc/nginx/nginx.conf"]) + unlimited + &sockets));
    host.succeed(&["sampanctl", "start", "web"]);
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let clients = scope.spawn(|| {
            let mut answers = 0;
            while !over.load(Ordering::Relaxed) {
                assert!(host.get("127.0.0.1:8001").contains("Hello from nginx"));
                answers += 1;
            }
            answers
        });
        for _ in 0..5 {
            host.succeed(&["sampanctl", "restart", "web"]);
        }
        over.store(true, Ordering::Relaxed);
        assert!(clients.join().expect("no client was refused") > 5);
    });
}

#[test]
fn a_connection_made_before_a_crash_of_the_payload_is_served_by_the_next_run() {
    let host = Host::with_images(&["servers"]);
    // The first run ends without a look at its socket.
    let program = "import os, socket, sys\nif not os.path.exists('/data/seen'):\n    open('/data/seen', 'w')\n    sys.exit(1)\nconnection, _ = socket.socket(fileno=3).accept()\nconnection.recv(100)\nconnection.sendall(b'served')\nconnection.close()\n";
    let policy = "restart = \"on-failure\"\nrestart_delay = \"10ms\"\n[mount.\"/data\"]\ntype = \"volume\"\nsource = \"data\"\n";
    host.unit("web.container", &(python(program) + policy + &socket("127.0.0.1:8000", "\"fd\"")));
    host.succeed(&["sampanctl", "start", "web"]);
    let mut stream = host.connect("127.0.0.1:8000").expect("the socket listens");
    stream.write_all(b"?").expect("the request is sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it is served");
    assert_eq!(answer, "served");
}
