//! Servers that bind again, on a private host: when they are told to read their configuration again, when they execute
//! themselves again, and whatever becomes of the manager meanwhile.

mod support;

use std::os::unix::net::UnixStream;
use support::host::{Host, exchange};
use support::units::{python, server, swapped};

const SOCKETS: [(&str, &str); 1] = [("[::]:8001", "[::]:80")];
const CLIENTS: [&str; 2] = ["127.0.0.1:8001", "[::1]:8001"];

/// What a server writes when it serves, the signal that has it read its configuration, and what it writes of that.
type Reload<'a> = (&'a str, &'a str, &'a [&'a str]);

/// Has a server of this unit bind again twice, while clients of both versions of addresses look for an answer.
fn reload_twice(host: &Host, unit: &str, text: &str, (ready, signal, done): Reload, answer: &str) {
    host.unit(&format!("{unit}.container"), text);
    host.succeed(&["sampanctl", "start", unit]);
    let ask = || {
        for client in CLIENTS {
            let got = host.get(client);
            assert!(got.contains(answer), "{unit}, {client}: {got}");
        }
    };
    ask();
    let mut journal = host.journal(&[&format!("--unit=sampan-{unit}.scope")]);
    journal.wait(ready);
    for _ in 0..2 {
        host.succeed(&["sampanctl", "kill", "--kill-whom=main", &format!("--signal={signal}"), unit]);
        done.iter().for_each(|line| drop(journal.wait(line)));
        ask();
    }
    assert_eq!(host.property(unit, "NRestarts"), "0", "{unit}");
    host.succeed(&["sampanctl", "stop", unit]);
}

#[test]
fn servers_read_their_configuration_again() {
    let host = Host::with_images(&["workers", "servers"]);
    let resumed = "resuming normal operations";
    let apache = server("workers", &[]) + &swapped(&SOCKETS);
    for (signal, seen) in [("SIGUSR1", "Doing graceful restart"), ("SIGHUP", "Attempting to restart")] {
        reload_twice(&host, "apache", &apache, (resumed, signal, &[seen, resumed]), "Hello from workers");
    }
    let haproxy = ["/usr/sbin/haproxy", "-W", "-db", "-f", "/etc/haproxy.cfg"];
    let haproxy = server("workers", &haproxy) + &swapped(&SOCKETS);
    let done = ["Reloading HAProxy", "Loading success", "Former worker"];
    reload_twice(&host, "haproxy", &haproxy, ("Loading success", "SIGUSR2", &done), "Hello from haproxy");
    let application = "wsgiref.simple_server:demo_app";
    let gunicorn = ["/usr/bin/gunicorn", "--worker-tmp-dir=/dev/shm", "--bind=[::]:80", application];
    let gunicorn = server("servers", &gunicorn) + &swapped(&SOCKETS);
    let booted = "Booting worker with pid";
    reload_twice(
        &host,
        "gunicorn",
        &gunicorn,
        (booted, "SIGHUP", &["Handling signal: hup", booted]),
        "Hello world!",
    );
}

/// The configuration of nginx with these lines for its server. It answers with the process that does.
fn nginx(host: &Host, listen: &str) {
    let configuration = format!(
        "daemon off; user www-data; worker_processes 2; pid /run/nginx.pid; error_log stderr notice; events {{ }}
         http {{ access_log off; server {{ {listen} return 200 \"Hello from worker $pid\"; }} }}"
    );
    host.write("/srv/nginx/nginx.conf", &configuration);
}

#[test]
fn nginx_replaces_its_workers() {
    let host = Host::with_images(&["web"]);
    let mount = "[mount.\"/etc/nginx/test\"]\ntype = \"bind\"\nsource = \"/srv/nginx\"\n";
    let unit = server("web", &["-c", "/etc/nginx/test/nginx.conf"]) + &swapped(&SOCKETS) + mount;
    let done = ["reconfiguring", "start worker process", "exited with code 0", "exited with code 0"];
    let reload: Reload<'_> = ("start worker process", "SIGHUP", &done);
    for listen in [
        "listen 80; listen [::]:80;",
        "listen 80 reuseport; listen [::]:80 reuseport;",
        "listen [::]:80 ipv6only=off;",
        "listen 10.1.2.3:80 backlog=7 fastopen=12 deferred rcvbuf=64k so_keepalive=30m::10; listen [2001:db8::1]:80;",
    ] {
        nginx(&host, listen);
        reload_twice(&host, "web", &unit, reload, "Hello from worker");
    }
    nginx(&host, "listen 80; listen [::]:80; listen unix:/run/inside.sock;");
    let sockets = swapped(&[SOCKETS[0], ("/run/web.sock", "/run/inside.sock")]);
    let unit = server("web", &["-c", "/etc/nginx/test/nginx.conf"]) + &sockets + mount;
    host.unit("web.container", &unit);
    host.succeed(&["sampanctl", "start", "web"]);
    for _ in 0..2 {
        let stream = UnixStream::connect(host.path("/run/web.sock")).expect("it listens");
        let got = exchange(stream, b"GET / HTTP/1.0\r\n\r\n").expect("it answers");
        assert!(got.contains("Hello from worker"), "{got}");
        CLIENTS.iter().for_each(|client| assert!(host.get(client).contains("Hello from worker")));
        host.succeed(&["sampanctl", "kill", "--kill-whom=main", "--signal=SIGHUP", "web"]);
    }
}

#[test]
fn sshd_executes_itself_again() {
    let host = Host::with_images(&["sshd"]);
    host.unit("ssh.container", &(server("sshd", &[]) + &swapped(&[("[::]:8001", "[::]:22")])));
    host.succeed(&["sampanctl", "start", "ssh"]);
    let mut journal = host.journal(&["--unit=sampan-ssh.scope"]);
    for client in [CLIENTS, CLIENTS].concat() {
        let got =
            exchange(host.connect(client).expect("the socket listens"), b"Nobody\r\n").expect("it answers");
        assert!(got.starts_with("SSH-2.0-OpenSSH"), "{client}: {got}");
        journal.wait("Server listening on :: port 22");
        host.succeed(&["sampanctl", "kill", "--kill-whom=main", "--signal=SIGHUP", "ssh"]);
    }
    journal.wait("Server listening on :: port 22");
    assert_eq!(host.property("ssh", "NRestarts"), "0");
}

/// Binds again when it is asked to: what it serves, and what no unit declares.
const BINDER: &str = r#"
import socket
def bind(port):
    server = socket.socket()
    server.bind(("0.0.0.0", port))
    server.listen()
    return server
server = bind(80)
while True:
    connection, _ = server.accept()
    again = b"again" in connection.recv(100)
    if again:
        server.close()
        print("binding")
        server, other = bind(80), bind(81)
        other.close()
        print("bound")
    connection.sendall(b"served")
    connection.close()
"#;

fn manager(host: &Host) -> String {
    host.succeed(&["systemctl", "show", "--property=MainPID", "--value", "sampand"]).trim().to_owned()
}

/// A host with this server, and what it answers to a request.
fn binder() -> Host {
    let host = Host::with_images(&["servers"]);
    host.unit("web.container", &(python(BINDER) + &swapped(&[("0.0.0.0:8001", "0.0.0.0:80")])));
    host.succeed(&["sampanctl", "start", "web"]);
    assert_eq!(ask(&host, b"once"), "served");
    host
}

fn ask(host: &Host, request: &[u8]) -> String {
    exchange(host.connect("127.0.0.1:8001").expect("the socket listens"), request).expect("it answers")
}

#[test]
fn a_server_binds_again_whatever_becomes_of_the_manager() {
    let host = binder();
    for _ in 0..3 {
        host.succeed(&["kill", "-KILL", &manager(&host)]);
        assert_eq!(ask(&host, b"again"), "served");
    }
    host.succeed(&["systemctl", "restart", "sampand"]);
    assert_eq!(ask(&host, b"again"), "served");
    // One that hangs has the server wait; its successor answers, too.
    for signal in ["-CONT", "-KILL"] {
        let hangs = manager(&host);
        host.succeed(&["kill", "-STOP", &hangs]);
        let mut journal = host.journal(&["--unit=sampan-web.scope", "--lines=0"]);
        let stream = host.connect("127.0.0.1:8001").expect("the socket listens");
        std::thread::scope(|scope| {
            let answer = scope.spawn(|| exchange(stream, b"again").expect("it answers"));
            journal.wait("binding");
            host.succeed(&["kill", signal, &hangs]);
            assert_eq!(answer.join().expect("the client ends"), "served");
        });
    }
    assert_eq!(host.property("web", "NRestarts"), "0");
}

#[test]
fn a_server_that_can_bind_no_more_since_the_manager_was_stopped_is_told() {
    let host = binder();
    host.succeed(&["systemctl", "stop", "sampand"]);
    host.succeed(&["systemctl", "start", "sampand"]);
    let told = "web.container: bind(2) fails in the container with ENOSYS since sampand.service was stopped";
    host.journal(&["--unit=sampand"]).wait(told);
    assert!(host.succeed(&["sampanctl", "status", "--full", "web"]).contains(told));
    assert_eq!(ask(&host, b"once"), "served");
    host.succeed(&["sampanctl", "restart", "web"]);
    assert_eq!(ask(&host, b"again"), "served");
}
