//! `pass = "proxy"` on a private host: servers that know nothing of it, in a network of their own.

mod support;

use std::io::{Read, Write};
use std::net::UdpSocket;
use std::time::Duration;
use support::host::{Host, exchange};
use support::units::{python, socket};

const REQUEST: &[u8] = b"GET / HTTP/1.0\r\nHost: localhost\r\n\r\n";

fn nginx(keys: &str) -> String {
    let unit = "[container]\nimage = \"localhost/web\"\nready = \"listening\"\nstart_limit = { burst = 0 }\n";
    let sockets = socket("[::]:8000", "\"proxy\"\ntarget = \"127.0.0.1:80\"");
    unit.to_owned() + &sockets.replace("start = \"socket\"\n", &format!("start = \"socket\"\n{keys}\n"))
}

/// The proxies of the host, by their numbers there.
fn proxies(host: &Host) -> Vec<String> {
    let found = host.run(&["pgrep", "--exact", "sampan-proxy"]);
    String::from_utf8(found.stdout).unwrap().split_whitespace().map(str::to_owned).collect()
}

#[test]
fn a_server_in_a_network_of_its_own_is_reached_from_both_versions_of_addresses() {
    let host = Host::with_images(&["web"]);
    host.unit("web.container", &nginx(""));
    host.succeed(&["sampanctl", "start", "web"]);
    assert!(proxies(&host).is_empty(), "nothing runs for a unit that sleeps");
    for address in ["127.0.0.1:8000", "[::1]:8000"] {
        assert!(host.get(address).contains("Hello from nginx"));
    }
    let proxy = proxies(&host);
    assert_eq!(proxy.len(), 1);
    let status = host.succeed(&["cat", &format!("/proc/{}/status", proxy[0])]);
    assert!(status.contains("CapPrm:\t0000000000000000") && status.contains("Seccomp:\t2"), "{status}");
    let tree = host.succeed(&["sampanctl", "status", "web"]);
    assert!(tree.contains("sampan-proxy") && tree.contains("[::]:8000 (proxy)"), "{tree}");
    let listed = host.succeed(&["sampanctl", "list-sockets", "--no-legend"]);
    assert!(listed.split_whitespace().collect::<Vec<_>>()[3..5] == ["proxy", "running"], "{listed}");
    // What is connected outlives the manager, and the next one finds the proxy.
    let mut client = host.connect("127.0.0.1:8000").unwrap();
    client.write_all(&REQUEST[..10]).unwrap();
    let pid = host.succeed(&["systemctl", "show", "--property=MainPID", "--value", "sampand"]);
    host.succeed(&["kill", "-KILL", pid.trim()]);
    host.wait_until("sampand is back", |host| host.run(&["sampanctl", "is-active", "web"]).status.success());
    assert!(exchange(client, &REQUEST[10..]).unwrap().contains("Hello from nginx"));
    assert_eq!(proxies(&host), proxy);
    // One that is killed is replaced; a client waits for that.
    host.succeed(&["kill", "-KILL", &proxy[0]]);
    assert!(host.get("127.0.0.1:8000").contains("Hello from nginx"));
    host.journal(&["--unit=sampand"]).wait("sampan-proxy has ended, starting another one.");
    host.succeed(&["sampanctl", "restart", "web"]);
    assert!(host.get("127.0.0.1:8000").contains("Hello from nginx"));
    host.succeed(&["sampanctl", "stop", "web"]);
    assert!(proxies(&host).is_empty());
    assert_eq!(host.property("web", "Result"), "success");
}

#[test]
fn a_proxied_container_sleeps_with_its_proxy() {
    let host = Host::with_images(&["web"]);
    for keys in ["idle_timeout = \"200ms\"\nidle_action = \"freeze\"", "idle_timeout = \"200ms\""] {
        host.unit("web.container", &nginx(keys));
        host.succeed(&["sampanctl", "start", "web"]);
        for _ in 0..3 {
            let mut client = host.connect("127.0.0.1:8000").unwrap();
            client.write_all(REQUEST).unwrap();
            let mut answer = String::new();
            client.read_to_string(&mut answer).unwrap();
            assert!(answer.contains("Hello from nginx"), "{keys}: {answer}");
            drop(client);
            let asleep = if keys.contains("freeze") { "frozen" } else { "listening" };
            host.wait_property("web", "SubState", asleep);
        }
        host.succeed(&["sampanctl", "stop", "web"]);
    }
}

/// Tells each client, over both transports, what it has said.
const ECHO: &str = r#"
import selectors, socket
tcp = socket.create_server(("127.0.0.1", 7))
udp = socket.socket(type=socket.SOCK_DGRAM)
udp.bind(("0.0.0.0", 7))
ready = selectors.DefaultSelector()
ready.register(tcp, selectors.EVENT_READ)
ready.register(udp, selectors.EVENT_READ)
while True:
    for key, _ in ready.select():
        if key.fileobj is udp:
            data, client = udp.recvfrom(2000)
            udp.sendto(data, client)
        else:
            connection, _ = tcp.accept()
            connection.sendall(connection.recv(2000))
            connection.close()
"#;

#[test]
fn datagrams_and_the_address_of_the_client_go_through() {
    let host = Host::with_images(&["servers"]);
    let sockets = r#"
        [activation]
        start = "socket"
        [socket.packets]
        listen = "udp:127.0.0.1:7"
        pass = "proxy"
        [socket.stream]
        listen = "127.0.0.1:7"
        pass = "proxy"
        proxy_protocol = "v1"
        max_connections_per_source = 5
    "#;
    host.unit("echo.container", &(python(ECHO) + "ready = \"listening\"\n" + sockets));
    host.succeed(&["sampanctl", "start", "echo"]);
    host.in_network(|| {
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        client.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        client.connect("127.0.0.1:7").unwrap();
        client.send(b"wake up").unwrap();
        let mut answer = [0; 100];
        let length = client.recv(&mut answer).unwrap();
        assert_eq!(&answer[..length], b"wake up", "the datagram that wakes the server is answered");
    });
    let client = host.connect("127.0.0.1:7").unwrap();
    let own = client.local_addr().unwrap();
    let answer = exchange(client, b"x").unwrap();
    assert!(answer.starts_with(&format!("PROXY TCP4 127.0.0.1 127.0.0.1 {} 7\r\n", own.port())), "{answer}");
    host.wait_property("echo", "SubState", "running");
    host.succeed(&["sampanctl", "stop", "echo"]);
}
