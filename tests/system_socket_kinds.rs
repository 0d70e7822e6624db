//! Sockets of every kind on a private host: the first that comes starts the container and is served, the options are
//! those of the unit, and servers that bind by themselves get what is held for them.

mod support;

use rustix::net::{
    AddressFamily, SendFlags, SocketAddrUnix, SocketFlags, SocketType, connect, recv, send, socket_with,
};
use std::io::Write;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr as InternetAddress, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::Path;
use std::time::Duration;
use support::host::{Host, exchange};
use support::units::python;

/// Longest wait for an answer; a test that comes near it has failed.
const PATIENCE: Duration = Duration::from_secs(30);

/// Answers each message with the name of the socket that it came by, or prints that where there is no way back.
const NAMER: &str = r#"
import os, selectors, socket, stat
assert os.environ["LISTEN_PID"] == str(os.getpid())
names = os.environ["LISTEN_FDNAMES"].split(":")
assert len(names) == int(os.environ["LISTEN_FDS"])
print("names", *names)
ready = selectors.DefaultSelector()
for number, name in enumerate(names, 3):
    fifo = stat.S_ISFIFO(os.fstat(number).st_mode)
    ready.register(number if fifo else socket.socket(fileno=number), selectors.EVENT_READ, name)
while True:
    for key, _ in ready.select():
        held, name = key.fileobj, key.data.encode()
        if isinstance(held, int):
            print(key.data, "got", os.read(held, 100).decode())
        elif held.type == socket.SOCK_DGRAM:
            message, peer = held.recvfrom(100)
            held.sendto(name + b" got " + message, peer)
        else:
            connection, _ = held.accept()
            connection.sendall(name + b" got " + connection.recv(100))
            connection.close()
"#;

/// A client, and the answer that it gets.
type Asks = fn(&Host) -> String;

/// A port of this machine, which all private hosts share: there is no name space for these.
fn guest() -> String {
    format!("vsock:{}", std::process::id())
}

/// A unit with one socket of each kind.
fn every_kind() -> String {
    let sockets = [
        ("tcp", "127.0.0.1:7001"),
        ("udp", "udp:7001"),
        ("stream", "/run/kinds/stream"),
        ("datagram", "datagram:/run/kinds/datagram"),
        ("packets", "seqpacket:/run/kinds/packets"),
        ("abstract", "datagram:@kinds"),
        ("fifo", "fifo:/run/kinds/fifo"),
        ("guest", &guest()),
    ];
    let table =
        |(name, listen): (&str, &str)| format!("[socket.{name}]\nlisten = \"{listen}\"\npass = \"fd\"\n");
    let tables: String = sockets.map(table).concat();
    python(NAMER) + "start_limit = { burst = 0 }\n[activation]\nstart = \"socket\"\n" + &tables
}

/// What a server answers by UDP from inside of the host's network.
fn ask_udp(host: &Host, address: &str, message: &str) -> String {
    let address: InternetAddress = address.parse().expect("an address");
    host.in_network(|| {
        let any = if address.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() };
        let client = UdpSocket::bind(InternetAddress::new(any, 0)).expect("a socket");
        client.set_read_timeout(Some(PATIENCE)).expect("a time");
        client.connect(address).expect("an address");
        client.send(message.as_bytes()).expect("it is sent");
        let mut answer = [0; 200];
        let length =
            client.recv(&mut answer).unwrap_or_else(|error| panic!("{address}: {error}\n{}", host.recent()));
        String::from_utf8_lossy(&answer[..length]).into_owned()
    })
}

fn ask_packets(path: &Path, message: &str) -> String {
    let client = connected(SocketType::SEQPACKET, path);
    send(&client, message.as_bytes(), SendFlags::empty()).expect("it is sent");
    let mut answer = [0; 200];
    let (length, _) =
        recv(&client, answer.as_mut_slice(), rustix::net::RecvFlags::empty()).expect("an answer");
    String::from_utf8_lossy(&answer[..length]).into_owned()
}

fn connected(kind: SocketType, path: &Path) -> OwnedFd {
    let client = socket_with(AddressFamily::UNIX, kind, SocketFlags::CLOEXEC, None).expect("a socket");
    connect(&client, &SocketAddrUnix::new(path).expect("a short path")).expect("it listens");
    client
}

/// By a socket with an abstract name of the host's network, so that there is a way back out of the container.
fn ask_datagram(host: &Host, path: &str, message: &str) -> String {
    host.in_network(|| {
        let name = SocketAddr::from_abstract_name("client").expect("a name");
        let client = UnixDatagram::bind_addr(&name).expect("a socket");
        client.set_read_timeout(Some(PATIENCE)).expect("a time");
        client.send_to(message.as_bytes(), host.path(path)).expect("it is sent");
        let mut answer = [0; 200];
        let length = client.recv(&mut answer).expect("an answer");
        String::from_utf8_lossy(&answer[..length]).into_owned()
    })
}

fn write_fifo(host: &Host, message: &str) {
    let fifo = std::fs::OpenOptions::new().write(true).open(host.path("/run/kinds/fifo"));
    fifo.expect("it is there").write_all(message.as_bytes()).expect("it is written");
}

#[test]
fn what_comes_first_by_any_socket_starts_the_container_and_is_served() {
    let host = Host::with_images(&["servers"]);
    host.unit("kinds.container", &every_kind());
    let stream: Asks = |host| {
        let socket =
            std::os::unix::net::UnixStream::connect(host.path("/run/kinds/stream")).expect("it listens");
        exchange(socket, b"1").expect("an answer")
    };
    let tcp: Asks =
        |host| exchange(host.connect("127.0.0.1:7001").expect("it listens"), b"1").expect("an answer");
    let firsts: [(&str, Asks); 5] = [
        ("tcp got 1", tcp),
        ("udp got 1", |host| ask_udp(host, "127.0.0.1:7001", "1")),
        ("udp got 1", |host| ask_udp(host, "[::1]:7001", "1")),
        ("stream got 1", stream),
        ("packets got 1", |host| ask_packets(&host.path("/run/kinds/packets"), "1")),
    ];
    for (number, (expected, ask)) in firsts.into_iter().enumerate() {
        host.succeed(&["sampanctl", "start", "kinds"]);
        assert_eq!(host.property("kinds", "SubState"), "listening", "{expected}");
        assert_eq!(ask(&host), expected, "{number}");
        host.wait_property("kinds", "SubState", "running");
        host.succeed(&["sampanctl", "stop", "kinds"]);
    }
    host.succeed(&["sampanctl", "start", "kinds"]);
    write_fifo(&host, "bytes");
    host.wait_log("kinds", "fifo got bytes");
    host.wait_log("kinds", "names abstract datagram fifo guest packets stream tcp udp");
    let lines = host.succeed(&["sampanctl", "list-sockets", "--no-legend"]);
    let rows: Vec<Vec<&str>> = lines.lines().map(|line| line.split_whitespace().collect()).collect();
    for (address, name) in [
        ("udp:[::]:7001", "udp"),
        ("datagram:@kinds", "abstract"),
        ("seqpacket:/run/kinds/packets", "packets"),
        ("fifo:/run/kinds/fifo", "fifo"),
        (&guest(), "guest"),
    ] {
        assert!(rows.iter().any(|row| row[..2] == [address, name]), "{name}: {lines}");
    }
    host.succeed(&["sampanctl", "stop", "kinds"]);
    let left = std::fs::read_dir(host.path("/run/kinds")).expect("the directory").count();
    assert_eq!(left, 0, "what was made is gone again");
}

#[test]
fn a_datagram_by_a_unix_socket_starts_the_container_and_a_manager_that_dies_changes_nothing() {
    let host = Host::with_images(&["servers"]);
    host.unit("kinds.container", &every_kind());
    host.succeed(&["sampanctl", "start", "kinds"]);
    let kill = || {
        let script = "pid=$(systemctl show --property=MainPID --value sampand)
            kill -KILL $pid
            while kill -0 $pid 2>/dev/null; do :; done";
        host.succeed(&["sh", "-c", script]);
    };
    let fifo = || host.path("/run/kinds/fifo").metadata().expect("the FIFO").ino();
    let before = fifo();
    kill();
    // It comes while there is no manager, or one that has just begun.
    let answer = ask_udp(&host, "127.0.0.1:7001", "nobody there?");
    assert_eq!(answer, "udp got nobody there?");
    let process = host.property("kinds", "MainPID");
    kill();
    write_fifo(&host, "after");
    host.wait_log("kinds", "fifo got after");
    assert_eq!(ask_packets(&host.path("/run/kinds/packets"), "2"), "packets got 2");
    assert_eq!((host.property("kinds", "MainPID"), fifo()), (process, before));
    let sockets = host.succeed(&["sampanctl", "list-sockets", "--no-legend"]);
    assert_eq!(sockets.lines().filter(|line| line.contains(" running ")).count(), 8, "{sockets}");
    host.succeed(&["sampanctl", "stop", "kinds"]);
    host.succeed(&["sampanctl", "start", "kinds"]);
    assert_eq!(ask_datagram(&host, "/run/kinds/datagram", "3"), "datagram got 3");
}

/// Prints the options of its sockets.
const OPTIONS: &str = r#"
import os, signal, socket
names = os.environ["LISTEN_FDNAMES"].split(":")
held = {name: socket.socket(fileno=3 + number) for number, name in enumerate(names)}
web, log = held["web"], held["log"]
get = lambda held, level, option: held.getsockopt(level, option)
tcp, base = socket.IPPROTO_TCP, socket.SOL_SOCKET
print("web", get(web, base, socket.SO_KEEPALIVE), get(web, tcp, socket.TCP_KEEPIDLE), get(web, tcp, socket.TCP_KEEPINTVL),
    get(web, tcp, socket.TCP_KEEPCNT), get(web, tcp, socket.TCP_NODELAY), get(web, tcp, socket.TCP_DEFER_ACCEPT),
    get(web, base, socket.SO_REUSEPORT), get(web, base, socket.SO_MARK), get(web, base, socket.SO_RCVBUF),
    get(web, socket.IPPROTO_IPV6, socket.IPV6_V6ONLY), web.getsockopt(base, 25, 16).decode().strip("\0"))
print("log", get(log, base, socket.SO_SNDBUF), log.getsockname())
signal.pause()
"#;

#[test]
fn options_are_those_of_the_unit() {
    let host = Host::with_images(&["servers"]);
    let sockets = r#"
        [socket.web]
        listen = "7002"
        pass = "fd"
        backlog = 77
        bind_to_device = "lo"
        reuse_port = true
        v6only = true
        keepalive = true
        keepalive_time = "2min"
        keepalive_interval = "10s"
        keepalive_probes = 5
        nodelay = true
        defer_accept = "1s"
        mark = 0x2a
        receive_buffer = "8M"
        [socket.four]
        listen = "0.0.0.0:7002"
        pass = "fd"
        [socket.early]
        listen = "192.0.2.7:7003"
        pass = "fd"
        free_bind = true
        [socket.log]
        listen = "datagram:/run/made/log.sock"
        pass = "fd"
        mode = "0620"
        user = "www-data"
        group = "adm"
        directory_mode = "0750"
        symlinks = ["/run/linked/log.sock"]
        send_buffer = "8M"
    "#;
    host.unit("options.container", &(python(OPTIONS) + sockets));
    host.succeed(&["sampanctl", "start", "options"]);
    let buffers = 16 << 20;
    host.wait_log("options", &format!("web 1 120 10 5 1 1 1 42 {buffers} 1 lo"));
    host.wait_log("options", &format!("log {buffers} /run/made/log.sock"));
    let listed = host.in_network(|| {
        let ss = std::process::Command::new("ss")
            .args(["--listening", "--tcp", "--numeric", "--no-header"])
            .output();
        String::from_utf8(ss.expect("ss runs").stdout).expect("text")
    });
    assert!(listed.lines().any(|line| line.contains("[::]%lo:7002") && line.contains(" 77 ")), "{listed}");
    assert!(listed.contains("192.0.2.7:7003"), "{listed}");
    let (path, link) = (host.path("/run/made/log.sock"), host.path("/run/linked/log.sock"));
    let node = path.metadata().expect("the socket");
    assert!(node.file_type().is_socket());
    assert_eq!((node.permissions().mode() & 0o777, node.uid(), node.gid()), (0o620, 33, 4));
    let directory = path.parent().expect("a directory").metadata().expect("it is there");
    assert_eq!(directory.permissions().mode() & 0o777, 0o750);
    assert_eq!(link.read_link().expect("the link"), Path::new("/run/made/log.sock"));
    host.succeed(&["sampanctl", "stop", "options"]);
    assert!(!path.exists() && !link.is_symlink(), "they are gone with the socket");
}

/// Unmodified servers: they bind by themselves.
const UDP_SERVER: &str = r#"
import socket
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 30000)
server.setsockopt(socket.IPPROTO_IP, 8, 1)
server.bind(("0.0.0.0", 53))
print("options", server.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF), server.getsockopt(socket.IPPROTO_IP, 8))
while True:
    message, peer = server.recvfrom(100)
    server.sendto(b"answer to " + message, peer)
"#;

const PACKET_SERVER: &str = r#"
import socket
server = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
server.bind("/run/packets.sock")
server.listen()
while True:
    connection, _ = server.accept()
    connection.send(b"answer to " + connection.recv(100))
    connection.close()
"#;

fn swapped(program: &str, listen: &str, target: &str) -> String {
    let activation = "[activation]\nstart = \"socket\"\n";
    python(program) + activation + &format!("[socket.main]\nlisten = \"{listen}\"\ntarget = \"{target}\"\n")
}

#[test]
fn unmodified_servers_of_datagrams_and_packets_get_what_is_held() {
    let host = Host::with_images(&["servers"]);
    host.unit("udp.container", &swapped(UDP_SERVER, "udp:0.0.0.0:7004", "udp:0.0.0.0:53"));
    host.unit(
        "packets.container",
        &swapped(PACKET_SERVER, "seqpacket:/run/out.sock", "seqpacket:/run/packets.sock"),
    );
    host.succeed(&["sampanctl", "start", "udp", "packets"]);
    assert_eq!(ask_udp(&host, "127.0.0.1:7004", "one"), "answer to one");
    assert_eq!(ask_udp(&host, "127.0.0.1:7004", "two"), "answer to two");
    host.wait_log("udp", "options 60000 1");
    assert_eq!(ask_packets(&host.path("/run/out.sock"), "one"), "answer to one");
    assert_eq!(ask_packets(&host.path("/run/out.sock"), "two"), "answer to two");
    for unit in ["udp", "packets"] {
        host.wait_property(unit, "SubState", "running");
    }
}

#[test]
fn a_udp_server_of_the_other_version_of_ip_is_told() {
    let host = Host::with_images(&["servers"]);
    host.unit("udp.container", &swapped(UDP_SERVER, "udp:7005", "udp:53"));
    host.succeed(&["sampanctl", "start", "udp"]);
    host.in_network(|| {
        let client = UdpSocket::bind("127.0.0.1:0").expect("a socket");
        client.send_to(b"one", "127.0.0.1:7005").expect("it is sent");
    });
    let told = "The server binds 0.0.0.0:53 by UDP, and could not answer by [socket.main], which is of the other \
                version of IP: listen on \"udp:0.0.0.0:7005\"";
    host.journal(&["--unit=sampand"]).wait(told);
}

#[test]
fn a_datagram_that_nobody_takes_starts_the_container_only_so_often() {
    let host = Host::with_images(&["hello"]);
    let unit = support::units::shell("exit 0")
        + "start_limit = { burst = 0 }\n[activation]\nstart = \"socket\"\ntrigger_limit = { burst = 3, interval = \"1min\" }
           [socket.main]\nlisten = \"udp:127.0.0.1:7006\"\npass = \"fd\"\n[socket.door]\nlisten = \"127.0.0.1:7006\"\npass = \"fd\"\n";
    host.unit("looping.container", &unit);
    host.succeed(&["sampanctl", "start", "looping"]);
    // Somebody waits who is never served.
    let waiting = host.connect("127.0.0.1:7006").expect("it listens");
    host.wait_property("looping", "Result", "trigger-limit-hit");
    host.wait_property("looping", "ActiveState", "failed");
    waiting.set_read_timeout(Some(PATIENCE)).expect("a time");
    let end = std::io::Read::read(&mut &waiting, &mut [0; 1]);
    assert!(end.is_err() || matches!(end, Ok(0)), "who waits is let go of");
    let error = end.err().map(|error| error.kind());
    assert!(!matches!(error, Some(std::io::ErrorKind::WouldBlock)), "it does not wait for ever");
    assert!(host.connect("127.0.0.1:7006").is_err(), "nobody listens any more");
    assert!(host.answer(3, &["sampanctl", "status", "looping"]).contains("trigger-limit-hit"));
    let launches = host.succeed(&["journalctl", "--quiet", "--output=cat", "--unit=sampand"]);
    assert_eq!(launches.matches("Launched by socket ").count(), 3, "{launches}");
    host.succeed(&["sampanctl", "reset-failed", "looping"]);
    host.succeed(&["sampanctl", "start", "looping"]);
}
