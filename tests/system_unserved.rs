//! Servers that cannot work with a socket that they have not made, on a private host: they are told apart and named.

mod support;

use std::os::unix::net::UnixStream;
use support::host::{Host, exchange};
use support::units::{python, swapped};

/// Has a child bind its sockets, as programs do that have a helper with the right to: what the child binds is replaced
/// for the child alone.
const DELEGATING: &str = r#"
import os, signal, socket
servers = [(socket.socket(), ("0.0.0.0", 80)), (socket.socket(socket.AF_UNIX), "/run/inside.sock")]
if os.fork() == 0:
    for server, address in servers:
        server.bind(address)
    signal.pause()
print("up")
signal.pause()
"#;

/// Accepts one client at a time, and serves each for as long as it stays.
const SLOW: &str = r#"
import socket
server = socket.create_server(("0.0.0.0", 80))
while True:
    connection, _ = server.accept()
    connection.sendall(b"served")
    connection.recv(1)
    connection.close()
"#;

#[test]
fn a_server_that_accepts_nobody_is_told() {
    let host = Host::with_images(&["servers"]);
    host.unit("slow.container", &(python(SLOW) + &swapped(&[("0.0.0.0:8001", "0.0.0.0:80")])));
    let sockets = swapped(&[("0.0.0.0:8002", "0.0.0.0:80"), ("/run/outside.sock", "/run/inside.sock")]);
    host.unit("bad.container", &(python(DELEGATING) + &sockets));
    host.succeed(&["sampanctl", "start", "slow", "bad"]);
    let _served = host.connect("127.0.0.1:8001").expect("the socket listens");
    let waiting = host.connect("127.0.0.1:8002").expect("the socket listens");
    let _by_path = UnixStream::connect(host.path("/run/outside.sock")).expect("the socket listens");
    // Whoever comes later waits for the one before, which is how this server is.
    let second = host.connect("127.0.0.1:8001").expect("the socket listens");
    // A successor knows as well who has the socket.
    host.wait_log("bad", "up");
    host.succeed(&["systemctl", "kill", "--signal=KILL", "--kill-whom=main", "sampand"]);
    for socket in ["s0", "s1"] {
        let told = format!("bad.container: A client of socket.{socket} has waited for 20 s");
        host.journal(&["--unit=sampand"]).wait(&told);
        let status = host.succeed(&["sampanctl", "status", "--full", "bad"]);
        assert!(status.contains(&told) && status.contains("pass = \"proxy\""), "{status}");
    }
    assert!(!host.succeed(&["sampanctl", "status", "--full", "slow"]).contains("has waited"));
    drop((waiting, _served));
    assert_eq!(exchange(second, b"?").expect("it is served at last"), "served");
}
