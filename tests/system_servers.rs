//! Servers as Debian packages them, on a private host: each is woken by its first client, gets the socket in place of
//! the one that it binds, and serves clients of both versions of addresses.

mod support;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::UdpSocket;
use std::os::unix::net::UnixStream;
use std::time::Duration;
use support::host::{Host, exchange};
use support::units::{server, socket, swapped};

/// Where the units of these tests listen.
const DUAL: &str = "[::]:8001";
const CLIENTS: [&str; 2] = ["127.0.0.1:8001", "[::1]:8001"];

/// A unit that listens, and whose server binds `target`, with more tables.
fn listen(host: &Host, unit: &str, container: &str, target: &str, more: &str) {
    host.unit(&format!("{unit}.container"), &(container.to_owned() + &swapped(&[(DUAL, target)]) + more));
    host.succeed(&["sampanctl", "start", unit]);
    assert_eq!(host.property(unit, "SubState"), "listening", "{unit}");
}

/// Stops a unit that one connection has launched.
fn stop(host: &Host, unit: &str) {
    host.wait_property(unit, "SubState", "running");
    let row = host.succeed(&["sampanctl", "list-sockets", "--no-legend"]);
    assert_eq!(row.split_whitespace().nth(6), Some("1"), "one launch: {row}");
    host.succeed(&["sampanctl", "stop", unit]);
}

/// Asks each of these servers of an image over HTTP: its name, its command, what it binds, and what it answers.
fn ask_all(image: &str, servers: &[(&str, &[&str], &str, &str)]) {
    let host = Host::with_images(&[image]);
    host.write("/srv/app/Hello.java", JAVA);
    host.write("/srv/app/cluster.js", NODE);
    let programs = "[mount.\"/app\"]\ntype = \"bind\"\nsource = \"/srv/app\"\n";
    for (unit, command, target, answer) in servers {
        // Most of these do not end by SIGTERM as the first process of a container.
        let container = server(image, command) + "init = true\n";
        listen(&host, unit, &container, target, programs);
        for client in [CLIENTS, CLIENTS].concat() {
            let got = host.get(client);
            assert!(got.contains(answer), "{unit}, {client}: {got}");
        }
        stop(&host, unit);
    }
}

#[test]
fn servers_with_workers() {
    let page = "Hello from workers";
    let haproxy = ["/usr/sbin/haproxy", "-W", "-db", "-f", "/etc/haproxy.cfg"];
    let servers: [(&str, &[&str], &str, &str); 3] = [
        ("apache", &[], "[::]:80", page),
        ("lighttpd", &["/usr/sbin/lighttpd", "-D", "-f", "/etc/lighttpd.conf"], "[::]:80", page),
        ("haproxy", &haproxy, "[::]:80", "Hello from haproxy"),
    ];
    ask_all("workers", &servers);
}

#[test]
fn servers_of_go() {
    let exporter = ["/usr/bin/prometheus-node-exporter", "--collector.disable-defaults"];
    let four = [&exporter[..], &["--web.listen-address=0.0.0.0:9100"]].concat();
    let servers: [(&str, &[&str], &str, &str); 3] = [
        ("caddy", &[], "[::]:8080", "Hello from go"),
        ("exporter", &exporter, "[::]:9100", "Node Exporter"),
        ("four", &four, "[::]:9100", "Node Exporter"),
    ];
    ask_all("go", &servers);
}

/// Answers with the address of its client, from a worker, which wants getsockname(2) to tell the port that it bound.
const NODE: &str = r#"
const cluster = require("cluster");
if (cluster.isPrimary) cluster.fork();
else require("http").createServer((request, answer) => answer.end("Hello " + request.socket.remoteAddress)).listen(8001);
"#;

#[test]
fn servers_of_node() {
    let alone =
        "require('http').createServer((request, answer) => answer.end('Hello')).listen(3000, '0.0.0.0')";
    let servers: [(&str, &[&str], &str, &str); 2] = [
        ("cluster", &["/app/cluster.js"], DUAL, "Hello ::"),
        ("alone", &["-e", alone], "[::]:3000", "Hello"),
    ];
    ask_all("node", &servers);
}

const JAVA: &str = r#"
public class Hello {
    public static void main(String[] arguments) throws Exception {
        var server = com.sun.net.httpserver.HttpServer.create(new java.net.InetSocketAddress(8000), 0);
        server.createContext("/", exchange -> {
            var answer = ("Hello " + server.getAddress().getPort()).getBytes();
            exchange.sendResponseHeaders(200, answer.length);
            exchange.getResponseBody().write(answer);
            exchange.close();
        });
        server.start();
    }
}
"#;

#[test]
fn servers_of_java() {
    let four = ["-Djava.net.preferIPv4Stack=true", "/app/Hello.java"];
    let servers: [(&str, &[&str], &str, &str); 2] = [
        ("dual", &["/app/Hello.java"], "[::]:8000", "Hello 80"),
        ("four", &four, "0.0.0.0:8000", "Hello 80"),
    ];
    ask_all("java", &servers);
}

#[test]
fn servers_of_php() {
    let itself = ["/usr/bin/php", "-S", "0.0.0.0:80", "-t", "/srv"];
    ask_all("php", &[("itself", &itself, "0.0.0.0:80", "Hello from PHP")]);
    let host = Host::with_images(&["php"]);
    listen(&host, "fpm", &server("php", &[]), "[::]:9000", "");
    let script = ["--env=REQUEST_METHOD=GET", "--env=SCRIPT_FILENAME=/srv/index.php"];
    // This client knows IPv4 alone.
    let got = client(&host, "php", &script, &["/usr/bin/cgi-fcgi", "-bind", "-connect", CLIENTS[0]]);
    assert!(got.contains("Hello from PHP"), "{got}");
    stop(&host, "fpm");
}

/// Runs a client of an image in the network of the host; its output.
fn client(host: &Host, image: &str, options: &[&str], command: &[&str]) -> String {
    let (image, entrypoint) = (format!("localhost/{image}"), format!("--entrypoint={}", command[0]));
    let run = ["sampanctl", "run", "--quiet", "--rm", "--network=host", &entrypoint];
    host.succeed(&[&run, options, &[&image, "--"], &command[1..]].concat())
}

#[test]
fn postgresql() {
    let host = Host::with_images(&["postgres"]);
    listen(&host, "db", &server("postgres", &[]), "[::]:5432", "");
    // PostgreSQL takes connections and refuses them itself until it is ready.
    let first = host.connect(CLIENTS[0]).expect("the socket listens");
    host.wait_log("db", "ready to accept connections");
    drop(first);
    for address in ["127.0.0.1", "::1"] {
        let question = "SELECT inet_server_port(), 'from', inet_client_addr()";
        let psql = [
            "/usr/bin/psql",
            "--host",
            address,
            "--port=8001",
            "--username=server",
            "--dbname=postgres",
            "-Atc",
        ];
        let got = client(&host, "postgres", &[], &[&psql[..], &[question]].concat());
        assert!(got.starts_with("8001|from|"), "{got}");
    }
    stop(&host, "db");
}

#[test]
fn mariadb() {
    let host = Host::with_images(&["mariadb"]);
    let sockets = swapped(&[(DUAL, "[::]:3306"), ("/run/db.sock", "/tmp/mariadb.sock")]);
    host.unit("db.container", &(server("mariadb", &[]) + &sockets));
    host.succeed(&["sampanctl", "start", "db"]);
    for address in ["127.0.0.1", "::1"] {
        let mariadb = ["/usr/bin/mariadb", "--host", address, "--port=8001", "--user=guest"];
        let got = client(&host, "mariadb", &[], &[&mariadb[..], &["-Ne", "SELECT 6 * 7"]].concat());
        assert_eq!(got, "42\n");
    }
    // It ends its listening with shutdown(2), which is of the socket and not of its descriptor.
    for _ in 0..2 {
        let mut greeting = [0; 100];
        let mut stream = UnixStream::connect(host.path("/run/db.sock")).expect("it listens");
        stream.read_exact(&mut greeting).expect("it greets");
        assert!(String::from_utf8_lossy(&greeting).contains("MariaDB"));
        host.succeed(&["sampanctl", "restart", "db"]);
    }
}

#[test]
fn memcached_and_redis() {
    let host = Host::with_images(&["workers", "servers"]);
    // Protected mode takes clients of "127.0.0.1", and not of "::ffff:127.0.0.1", for those of this machine.
    let redis = ["/usr/bin/redis-server", "--save", "", "--protected-mode", "no"];
    let memcached = ["/usr/bin/memcached", "--user=www-data"];
    for (unit, container, target, request, answer) in [
        ("memcached", server("workers", &memcached), "[::]:11211", "version\r\nquit\r\n", "VERSION 1."),
        ("redis", server("servers", &redis), "[::]:6379", "PING\r\nQUIT\r\n", "+PONG"),
    ] {
        listen(&host, unit, &container, target, "");
        for client in CLIENTS {
            let stream = host.connect(client).expect("the socket listens");
            let got = exchange(stream, request.as_bytes()).expect(unit);
            assert!(got.contains(answer), "{unit}, {client}: {got}");
        }
        stop(&host, unit);
    }
}

#[test]
fn servers_of_shells() {
    let host = Host::with_images(&["sshd"]);
    let dropbear = ["/usr/sbin/dropbear", "-F", "-E", "-R", "-p", "22"];
    for (unit, command) in [("openssh", &[][..]), ("dropbear", &dropbear)] {
        listen(&host, unit, &server("sshd", command), "[::]:22", "");
        for address in ["127.0.0.1", "::1"] {
            let scan = ["/usr/bin/ssh-keyscan", "-p", "8001", "-t", "ed25519", "-T", "30", address];
            let got = client(&host, "sshd", &[], &scan);
            assert!(got.contains("ssh-ed25519 AAAA"), "{unit}, {address}: {got}");
        }
        stop(&host, unit);
    }
}

#[test]
fn servers_that_know_listen_fds() {
    let host = Host::with_images(&["listeners", "mariadb"]);
    let cockpit = ["/usr/lib/cockpit/cockpit-ws", "--no-tls"];
    let start = |unit: &str, container: String, listen: &str| {
        host.unit(&format!("{unit}.container"), &(container + &socket(listen, "\"fd\"")));
        host.succeed(&["sampanctl", "start", unit]);
    };
    start("cockpit", server("listeners", &cockpit), "0.0.0.0:8001");
    let page = host.succeed(&["curl", "--silent", "--max-time", "60", "http://127.0.0.1:8001/"]);
    assert!(page.contains("<title>Loading...</title>"), "{page}");
    stop(&host, "cockpit");
    // It takes the socket for the one of its configuration that has this address.
    start("dovecot", server("listeners", &[]), "0.0.0.0:143");
    let mut stream = host.connect("127.0.0.1:143").expect("the socket listens");
    let mut lines = BufReader::new(stream.try_clone().expect("a descriptor")).lines().map_while(Result::ok);
    assert!(lines.any(|line| line.ends_with("Dovecot (Debian) ready.")), "{}", host.recent());
    stream.write_all(b"a LOGOUT\r\n").expect("the request is sent");
    assert!(lines.any(|line| line.starts_with("a OK")));
    stop(&host, "dovecot");
    start("mariadb", server("mariadb", &[]), "0.0.0.0:8001");
    let mariadb =
        ["/usr/bin/mariadb", "--host=127.0.0.1", "--port=8001", "--user=guest", "-Ne", "SELECT 6 * 7"];
    assert_eq!(client(&host, "mariadb", &[], &mariadb), "42\n");
    assert!(host.wait_log("mariadb", "Using systemd activated socket").contains("8001"));
    stop(&host, "mariadb");
}

/// A question for the address of `host.test`, RFC 1035.
const QUESTION: &[u8] =
    b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x04host\x04test\x00\x00\x01\x00\x01";
const ANSWER: &[u8] = &[192, 0, 2, 1];

#[test]
fn servers_of_names() {
    let host = Host::with_images(&["names"]);
    let unbound = ["/usr/sbin/unbound", "-d", "-c", "/etc/unbound.conf"];
    let nsd = ["/usr/sbin/nsd", "-d", "-c", "/etc/nsd.conf"];
    let sockets: String = ["127.0.0.1", "[::1]"]
        .iter()
        .enumerate()
        .flat_map(|(number, address)| {
            ["", "udp:"].map(|kind| {
                let name = format!("{}{number}", kind.trim_end_matches(':'));
                format!("[socket.s{name}]\nlisten = \"{kind}{address}:53\"\n")
            })
        })
        .collect();
    for (unit, command) in [("dnsmasq", &[][..]), ("unbound", &unbound), ("nsd", &nsd)] {
        let text = server("names", command) + "init = true\n[activation]\nstart = \"socket\"\n" + &sockets;
        host.unit(&format!("{unit}.container"), &text);
        host.succeed(&["sampanctl", "start", unit]);
        for address in ["127.0.0.1:53", "[::1]:53"] {
            let got = host.in_network(|| {
                let any = if address.starts_with('[') { "[::]:0" } else { "0.0.0.0:0" };
                let socket = UdpSocket::bind(any).expect("a port is free");
                socket.set_read_timeout(Some(Duration::from_secs(30))).expect("a duration");
                socket.send_to(QUESTION, address).expect("it is sent");
                let mut buffer = [0; 512];
                let (length, from) = socket.recv_from(&mut buffer).expect("it answers");
                assert_eq!(from.to_string(), address);
                buffer[..length].to_vec()
            });
            assert!(got.windows(4).any(|bytes| bytes == ANSWER), "{unit}, {address}: {got:?}");
            let mut stream = host.connect(address).expect("the socket listens");
            let length = u16::try_from(QUESTION.len()).expect("it is short").to_be_bytes();
            stream.write_all(&[&length[..], QUESTION].concat()).expect("it is sent");
            let mut length = [0; 2];
            stream.read_exact(&mut length).expect("it answers");
            let mut got = vec![0; usize::from(u16::from_be_bytes(length))];
            stream.read_exact(&mut got).expect("it answers");
            assert!(got.windows(4).any(|bytes| bytes == ANSWER), "{unit}, {address}: {got:?}");
        }
        host.wait_property(unit, "SubState", "running");
        host.succeed(&["sampanctl", "stop", unit]);
    }
}
