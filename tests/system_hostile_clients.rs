//! Clients that mean no good: connections half made, clients that say nothing, and a manager without descriptors. The
//! manager goes on, and others are served.

mod support;

use socket2::{Domain, Protocol, Socket, Type};
use std::io::Read as _;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;
use support::failures::descriptors;
use support::host::Host;
use support::units::{shell, socket};

fn web(port: u16) -> String {
    "[container]\nimage = \"localhost/web\"\n".to_owned()
        + &socket(&format!("127.0.0.1:{port}"), "\"swap\"\ntarget = \"0.0.0.0:80\"")
}

fn main_pid(host: &Host) -> String {
    host.succeed(&["systemctl", "show", "--property=MainPID", "--value", "sampand"]).trim().to_owned()
}

/// The sum of the internet checksum, RFC 1071.
fn checksum(bytes: &[u8]) -> u16 {
    let words = bytes.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0)));
    let sum = words.sum::<u32>();
    let folded = (sum & 0xffff) + (sum >> 16);
    !((folded & 0xffff) + (folded >> 16)) as u16
}

/// The first packet of a connection from an address that answers nothing, RFC 791 and RFC 9293.
fn syn(source: Ipv4Addr, port: u16) -> Vec<u8> {
    let target = Ipv4Addr::LOCALHOST;
    let mut tcp = [&40000_u16.to_be_bytes()[..], &port.to_be_bytes(), &[0, 0, 0, 7], &[0; 4]].concat();
    tcp.extend([5 << 4, 2, 0xff, 0xff, 0, 0, 0, 0]);
    let pseudo = [&source.octets()[..], &target.octets(), &[0, 6, 0, 20], &tcp].concat();
    tcp[16..18].copy_from_slice(&checksum(&pseudo).to_be_bytes());
    // The kernel fills in its length, its number and its checksum, raw(7).
    let ip = [&[0x45, 0, 0, 40, 0, 0, 0, 0, 64, 6, 0, 0][..], &source.octets(), &target.octets()].concat();
    [ip, tcp].concat()
}

#[test]
fn ten_thousand_connections_half_made_wake_nobody_and_keep_nobody_out() {
    let host = Host::with_images(&["web"]);
    host.unit("web.container", &web(8001));
    host.succeed(&["sampanctl", "start", "web"]);
    let pid = main_pid(&host);
    // The answers go to where nobody is.
    host.succeed(&["ip", "route", "add", "198.18.0.0/15", "dev", "lo"]);
    host.in_network(|| {
        let raw = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::from(libc::IPPROTO_RAW))).unwrap();
        let target = SocketAddr::from((Ipv4Addr::LOCALHOST, 8001)).into();
        for number in 0_u32..10_000 {
            let source = Ipv4Addr::from(u32::from(Ipv4Addr::new(198, 18, 0, 1)) + number);
            raw.send_to(&syn(source, 8001), &target).unwrap();
        }
    });
    let half_made = host.succeed(&["ss", "--no-header", "--numeric", "--tcp", "state", "syn-recv"]);
    assert!(half_made.lines().count() > 100, "{half_made}");
    assert_eq!(host.property("web", "SubState"), "listening");
    let row = host.succeed(&["sampanctl", "list-sockets", "--no-legend"]);
    assert_eq!(row.split_whitespace().nth(5), Some("0"), "{row}");
    assert!(host.get("127.0.0.1:8001").contains("Hello from nginx"));
    host.wait_property("web", "SubState", "running");
    assert_eq!(main_pid(&host), pid);
}

#[test]
fn a_thousand_clients_that_say_nothing_cost_the_manager_nothing() {
    let host = Host::with_images(&["web", "hello"]);
    host.unit("web.container", &web(8001));
    host.unit("quiet.container", &(shell("exec sleep 1000") + &socket("127.0.0.1:8002", "\"fd\"")));
    host.succeed(&["sampanctl", "start", "web", "quiet"]);
    drop(host.connect("127.0.0.1:8002").unwrap());
    host.wait_property("quiet", "SubState", "running");
    let before = descriptors(&host);
    let silent: Vec<TcpStream> = (0..1000).map(|_| host.connect("127.0.0.1:8002").unwrap()).collect();
    let row = host.succeed(&["sampanctl", "list-sockets", "--no-legend", "quiet"]);
    assert_eq!(row.split_whitespace().nth(5), Some("1000"), "{row}");
    assert_eq!(descriptors(&host), before);
    assert!(host.get("127.0.0.1:8001").contains("Hello from nginx"));
    drop(silent);
    host.succeed(&["sampanctl", "stop", "quiet"]);
}

#[test]
fn whoever_waits_for_a_container_that_fails_is_let_go() {
    let host = Host::with_images(&["hello"]);
    let listen = socket("127.0.0.1:8001", "\"fd\"\nbacklog = 600");
    host.unit("bad.container", &(shell("sleep 0.3; exit 1") + "start_limit = { burst = 3 }\n" + &listen));
    host.succeed(&["sampanctl", "start", "bad"]);
    let waiting: Vec<TcpStream> = (0..500).map(|_| host.connect("127.0.0.1:8001").unwrap()).collect();
    host.wait_property("bad", "ActiveState", "failed");
    for mut client in waiting {
        client.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        // An end or a reset, and no wait.
        let ended = client.read(&mut [0]);
        assert!(
            matches!(&ended, Ok(0))
                || ended.as_ref().is_err_and(|error| error.raw_os_error() == Some(libc::ECONNRESET)),
            "{ended:?}"
        );
    }
    assert!(host.connect("127.0.0.1:8001").is_err(), "nobody listens for a failed unit");
    let status = host.answer(3, &["sampanctl", "status", "bad"]);
    assert!(status.contains("start-limit-hit") && status.contains("reset-failed"), "{status}");
}

#[test]
fn a_manager_without_descriptors_says_so_and_goes_on_when_it_has_some() {
    let host = Host::with_images(&["web"]);
    host.unit("web.container", &web(8001));
    host.succeed(&["sampanctl", "start", "web"]);
    let pid = main_pid(&host);
    let limit = |soft: &str| host.succeed(&["prlimit", "--pid", &pid, &format!("--nofile={soft}:")]);
    let own = host.succeed(&["prlimit", "--pid", &pid, "--nofile", "--noheadings", "--output=SOFT"]);
    limit("8");
    let waiting = host.connect("127.0.0.1:8001").unwrap();
    host.journal(&["--unit=sampand"]).wait("Too many open files");
    limit(own.trim());
    drop(waiting);
    if host.property("web", "ActiveState") == "failed" {
        host.succeed(&["sampanctl", "reset-failed", "web"]);
        host.succeed(&["sampanctl", "start", "web"]);
    }
    assert!(host.get("127.0.0.1:8001").contains("Hello from nginx"));
    assert_eq!(main_pid(&host), pid);
}
