//! `sampan-proxy` between clients and servers on real sockets.

#[path = "proxy_rig/mod.rs"]
mod rig;

use rig::*;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::net::sockopt::{set_socket_linger, set_socket_timeout};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketAddrUnix, SocketFlags, SocketType, accept, bind, recv, send,
    socket_with, sockopt::Timeout,
};
use sampan::proxy::configuration::{ProxyProtocol, Socket, Target};
use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::process::Command;
use std::thread;
use std::time::Duration;

/// A proxy between a listener of ours and a server of ours that has accepted one client.
fn pair() -> (Proxy, TcpStream, TcpStream) {
    let ((front, address), (server, target)) = (listen("127.0.0.1:0"), listen("127.0.0.1:0"));
    let proxy = Proxy::start(&front, socket(Target::Internet(target)));
    let client = connect(address);
    let (served, _) = server.accept().unwrap();
    served.set_read_timeout(Some(PATIENCE)).unwrap();
    (proxy, client, served)
}

fn read_to_end(stream: &mut impl Read) -> Vec<u8> {
    let mut all = Vec::new();
    stream.read_to_end(&mut all).unwrap();
    all
}

fn reset(stream: TcpStream) {
    set_socket_linger(&stream, Some(Duration::ZERO)).unwrap();
}

#[test]
fn clients_wait_for_a_server_that_is_late_and_see_no_error() {
    let ((front, address), target) = (listen("127.0.0.1:0"), nobody());
    let mut proxy = Proxy::start(&front, socket(Target::Internet(target)));
    let mut client = connect(address);
    client.write_all(b"early").unwrap();
    let server = TcpListener::bind(target).unwrap();
    proxy.until_listening();
    let (mut served, _) = server.accept().unwrap();
    let mut buffer = [0; 5];
    served.read_exact(&mut buffer).unwrap();
    assert_eq!(&buffer, b"early");
    drop(served);
    assert_eq!(read_to_end(&mut client), b"");
    // It was found without a connection that is nobody's.
    server.set_nonblocking(true).unwrap();
    assert_eq!(server.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
}

#[test]
fn either_end_may_stop_to_send_and_still_receive() {
    let (_proxy, mut client, mut server) = pair();
    client.write_all(b"question").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(read_to_end(&mut server), b"question");
    server.write_all(b"answer").unwrap();
    drop(server);
    assert_eq!(read_to_end(&mut client), b"answer");

    let (_proxy, mut client, mut server) = pair();
    server.write_all(b"greeting").unwrap();
    server.shutdown(Shutdown::Write).unwrap();
    assert_eq!(read_to_end(&mut client), b"greeting");
    client.write_all(b"thanks").unwrap();
    drop(client);
    assert_eq!(read_to_end(&mut server), b"thanks");
}

/// Packets that a connection has got so far, ss(8).
fn packets_to(stream: &TcpStream) -> u32 {
    let port = stream.local_addr().unwrap().port();
    let output = Command::new("ss").args(["-Htin", &format!("sport = :{port}")]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let word = text.split_whitespace().find_map(|word| word.strip_prefix("segs_in:"));
    word.unwrap_or_else(|| panic!("{text}")).parse().unwrap()
}

#[test]
fn the_last_bytes_and_the_end_come_in_one_packet() {
    let (proxy, mut client, mut server) = pair();
    server.write_all(b"first").unwrap();
    client.read_exact(&mut [0; 5]).unwrap();
    let before = packets_to(&client);
    proxy.meanwhile(|| {
        server.write_all(b"last").unwrap();
        drop(server);
    });
    assert_eq!(read_to_end(&mut client), b"last");
    assert_eq!(packets_to(&client), before + 1);
}

#[test]
fn a_reset_of_either_end_is_a_reset_of_the_other() {
    let (_proxy, client, mut server) = pair();
    reset(client);
    assert_eq!(server.read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionReset);

    let (_proxy, mut client, server) = pair();
    reset(server);
    assert_eq!(client.read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionReset);

    // Also of an end that has stopped to send before.
    let (_proxy, client, mut server) = pair();
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(read_to_end(&mut server), b"");
    reset(client);
    let mut poll_server = [PollFd::new(&server, PollFlags::IN)];
    while !poll_server[0].revents().contains(PollFlags::ERR) {
        poll(&mut poll_server, None).unwrap();
    }
}

#[test]
fn urgent_bytes_do_not_hold_up_those_after_them() {
    let (_proxy, client, mut server) = pair();
    for (bytes, flags) in [("abc", SendFlags::empty()), ("d", SendFlags::OOB), ("efg", SendFlags::empty())] {
        send(&client, bytes.as_bytes(), flags).unwrap();
    }
    let mut received = Vec::new();
    while !received.ends_with(b"efg") {
        let mut buffer = [0; 16];
        let length = server.read(&mut buffer).unwrap();
        received.extend_from_slice(&buffer[..length]);
    }
}

/// Bytes at a place of a long stream.
fn pattern(from: usize, length: usize) -> Vec<u8> {
    (from..from + length).map(|place| (place.wrapping_mul(0x9e37_79b1) >> 13) as u8).collect()
}

const CHUNK: usize = 64 * 1024;
const CHUNKS: usize = 1024;

fn send_pattern(stream: &mut impl Write) {
    for chunk in 0..CHUNKS {
        stream.write_all(&pattern(chunk * CHUNK, CHUNK)).unwrap();
    }
}

fn receive_pattern(stream: &mut impl Read) {
    let mut buffer = vec![0; CHUNK];
    for chunk in 0..CHUNKS {
        stream.read_exact(&mut buffer).unwrap();
        assert!(buffer == pattern(chunk * CHUNK, CHUNK), "chunk {chunk}");
    }
    assert_eq!(stream.read(&mut [0]).unwrap(), 0);
}

#[test]
fn a_slow_reader_gets_64_mebibytes_and_the_proxy_keeps_none_of_them() {
    let (proxy, mut client, mut server) = pair();
    // So little that the reader is always behind.
    rustix::net::sockopt::set_socket_recv_buffer_size(&client, 64 * 1024).unwrap();
    let sender = thread::spawn(move || {
        send_pattern(&mut server);
        server.shutdown(Shutdown::Write).unwrap();
        server
    });
    receive_pattern(&mut client);
    let mut server = sender.join().unwrap();
    // And the other way.
    let sender = thread::spawn(move || send_pattern(&mut client));
    receive_pattern(&mut server);
    sender.join().unwrap();
    let peak = proxy.memory("VmHWM");
    assert!(peak < 16 * 1024, "{peak} KiB");
}

#[test]
fn a_thousand_clients_are_served_at_one_time() {
    raise_descriptors();
    let ((front, address), (server, target)) = (listen("[::]:0"), listen("127.0.0.1:0"));
    serve_echo(server);
    let mut proxy = Proxy::start(&front, socket(Target::Internet(target)));
    proxy.until_listening();
    let (before, descriptors) = (proxy.memory("VmRSS"), proxy.descriptors());
    let address = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), address.port());
    let mut clients: Vec<_> = (0..1000).map(|_| connect(address)).collect();
    for (number, client) in clients.iter_mut().enumerate() {
        exchange(client, &format!("this is {number}"));
    }
    let each = (proxy.memory("VmRSS") - before) * 1024 / 1000;
    assert!(each < 1024, "{each} bytes for each");
    for (number, client) in clients.iter_mut().enumerate().rev() {
        exchange(client, &format!("still {number}"));
    }
    drop(clients);
    while proxy.descriptors() > descriptors + 1 {
        thread::yield_now();
    }
}

#[test]
fn one_more_than_the_limit_waits_until_another_one_has_left() {
    let ((front, address), (server, target)) = (listen("127.0.0.1:0"), listen("127.0.0.1:0"));
    serve_echo(server);
    let limited = Socket { max_connections: 2, ..socket(Target::Internet(target)) };
    let mut proxy = Proxy::start(&front, limited);
    let [mut first, mut second, mut third] = [(); 3].map(|()| connect(address));
    exchange(&mut first, "first");
    exchange(&mut second, "second");
    third.write_all(b"third").unwrap();
    front.set_nonblocking(true).unwrap();
    let mut waiting = [PollFd::new(&front, PollFlags::IN)];
    assert_eq!(poll(&mut waiting, None).unwrap(), 1);
    drop(first);
    let mut back = [0; 5];
    third.read_exact(&mut back).unwrap();
    assert_eq!(&back, b"third");
    drop(connect(address));
    let notice = proxy.notice();
    assert_eq!(notice, "<4>socket.main: 2 connections (max_connections); more wait\n");
}

#[test]
fn one_source_has_no_more_than_its_part() {
    let ((front, address), (server, target)) = (listen("[::]:0"), listen("127.0.0.1:0"));
    serve_echo(server);
    let limited = Socket { max_connections_per_source: Some(1), ..socket(Target::Internet(target)) };
    let mut proxy = Proxy::start(&front, limited);
    let address = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), address.port());
    let mut first = connect(address);
    exchange(&mut first, "first");
    let mut second = connect(address);
    assert_eq!(second.read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionReset);
    let notice = proxy.notice();
    assert!(notice.contains("refused 127.0.0.1, which has max_connections_per_source"), "{notice}");
    let mut other = connect(SocketAddr::new("::1".parse().unwrap(), address.port()));
    exchange(&mut other, "of another address");
    first.shutdown(Shutdown::Both).unwrap();
    // As soon as the first one is gone, there is a place.
    loop {
        let mut again = connect(address);
        if again.write_all(b"x").is_ok() && again.read_exact(&mut [0]).is_ok() {
            break;
        }
    }
}

#[test]
fn out_of_descriptors_clients_wait_and_the_proxy_rests() {
    let ((front, address), (server, target)) = (listen("127.0.0.1:0"), listen("127.0.0.1:0"));
    serve_echo(server);
    let mut proxy = Proxy::start_with("ulimit -n 20", &[(front.as_fd(), socket(Target::Internet(target)))]);
    proxy.until_listening();
    let mut clients: Vec<_> = (0..20).map(|_| connect(address)).collect();
    for client in &mut clients {
        client.write_all(b"x").unwrap();
    }
    assert!(proxy.notice().starts_with("<4>cannot take more clients: Too many open files"));
    // This is measured, not waited for: the time of the proxy while clients wait whom it cannot take.
    let before = proxy.processor_time();
    thread::sleep(Duration::from_millis(500));
    let spent = proxy.processor_time() - before;
    assert!(spent < Duration::from_millis(50), "{spent:?}");
    let mut served = 0;
    while !clients.is_empty() {
        let mut ends: Vec<_> = clients.iter().map(|client| PollFd::new(client, PollFlags::IN)).collect();
        poll(&mut ends, None).unwrap();
        let is_ready: Vec<_> = ends.iter().map(|end| !end.revents().is_empty()).collect();
        let mut is_ready = is_ready.into_iter();
        clients.retain_mut(|client| {
            let ready = is_ready.next().unwrap();
            if ready {
                client.read_exact(&mut [0]).unwrap();
                served += 1;
            }
            !ready
        });
    }
    assert_eq!(served, 20);
}

#[test]
fn clients_of_a_server_that_restarts_are_served_by_the_next_one() {
    let ((front, address), (server, target)) = (listen("127.0.0.1:0"), listen("127.0.0.1:0"));
    let mut proxy = Proxy::start(&front, socket(Target::Internet(target)));
    proxy.until_listening();
    drop(server);
    let (mut accepted, mut queued) = (connect(address), connect(address));
    accepted.write_all(b"accepted").unwrap();
    queued.write_all(b"queued").unwrap();
    let notice = proxy.notice();
    assert_eq!(notice, format!("<4>socket.main: {target} takes no clients; they wait until it does\n"));
    serve_echo(TcpListener::bind(target).unwrap());
    let mut back = [0; 8];
    accepted.read_exact(&mut back).unwrap();
    assert_eq!(&back, b"accepted");
    queued.read_exact(&mut back[..6]).unwrap();
    assert_eq!(&back[..6], b"queued");
}

#[test]
fn a_client_whom_no_server_takes_in_time_is_reset() {
    let ((front, address), (server, target)) = (listen("127.0.0.1:0"), listen("127.0.0.1:0"));
    let limited = Socket { connect_timeout: Duration::from_millis(50), ..socket(Target::Internet(target)) };
    let mut proxy = Proxy::start(&front, limited);
    proxy.until_listening();
    drop(server);
    let mut client = connect(address);
    assert_eq!(client.read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionReset);
}

#[test]
fn the_server_is_told_who_the_client_is() {
    for (version, listening) in [(ProxyProtocol::V1, "[::]:0"), (ProxyProtocol::V2, "[::]:0")] {
        let ((front, address), (server, target)) = (listen(listening), listen("127.0.0.1:0"));
        let told = Socket { proxy_protocol: Some(version), ..socket(Target::Internet(target)) };
        let _proxy = Proxy::start(&front, told);
        let mut client = connect(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), address.port()));
        let (from, to) = (client.local_addr().unwrap().port(), address.port());
        let (mut served, _) = server.accept().unwrap();
        client.write_all(b"GET").unwrap();
        drop(client);
        let expected = match version {
            ProxyProtocol::V1 => format!("PROXY TCP4 127.0.0.1 127.0.0.1 {from} {to}\r\n").into_bytes(),
            _ => {
                let start = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c\x7f\0\0\x01\x7f\0\0\x01";
                [&start[..], &from.to_be_bytes(), &to.to_be_bytes()].concat()
            }
        };
        assert_eq!(read_to_end(&mut served), [&expected[..], b"GET"].concat());
    }
}

#[test]
fn a_drained_proxy_serves_its_clients_to_their_end_and_takes_no_others() {
    let ((front, address), (server, target)) = (listen("127.0.0.1:0"), listen("127.0.0.1:0"));
    serve_echo(server);
    let mut proxy = Proxy::start(&front, socket(Target::Internet(target)));
    let mut client = connect(address);
    exchange(&mut client, "before");
    proxy.terminate();
    // It has taken the signal once that is no more pending.
    while proxy.status("ShdPnd").contains('4') || proxy.status("SigPnd").contains('4') {
        thread::yield_now();
    }
    exchange(&mut client, "after");
    let mut late = connect(address);
    late.write_all(b"late").unwrap();
    exchange(&mut client, "and on");
    drop(client);
    assert!(proxy.wait().success());
    // Who came late waits for the next one.
    let mut next = Proxy::start(&front, socket(Target::Internet(target)));
    next.until_listening();
    let mut back = [0; 4];
    late.read_exact(&mut back).unwrap();
    assert_eq!(&back, b"late");
}

#[test]
fn a_proxy_ends_soon_after_its_container_whoever_is_connected() {
    let ((front, address), (server, target)) = (listen("127.0.0.1:0"), listen("127.0.0.1:0"));
    let mut container = std::process::Command::new("sleep").arg("1000").spawn().unwrap();
    let held = sampan::sys::pidfd::open(container.id()).unwrap();
    let sockets = [(front.as_fd(), socket(Target::Internet(target)))];
    let mut proxy = Proxy::start_for("", &sockets, Some(held.as_fd()));
    let mut client = connect(address);
    let (mut served, _) = server.accept().unwrap();
    // Its last words still arrive.
    served.write_all(b"farewell").unwrap();
    container.kill().unwrap();
    container.wait().unwrap();
    let mut words = [0; 8];
    client.read_exact(&mut words).unwrap();
    assert_eq!(&words, b"farewell");
    assert!(proxy.wait().success());
    assert!(!matches!(client.read(&mut words), Ok(1..)), "the client is not left waiting");
}

#[test]
fn nothing_is_left_of_its_privileges() {
    let (proxy, _client, _server) = pair();
    assert_eq!((proxy.status("Seccomp"), proxy.status("NoNewPrivs")), ("2".to_owned(), "1".to_owned()));
    for set in ["CapEff", "CapPrm", "CapInh", "CapAmb"] {
        assert_eq!(proxy.status(set), "0000000000000000");
    }
}

#[test]
fn unix_sockets_are_targets_and_have_clients() {
    let directory = tempfile::tempdir().unwrap();
    let [front_path, target] = ["front", "target"].map(|name| directory.path().join(name));
    let front = UnixListener::bind(&front_path).unwrap();
    let mut proxy = Proxy::start(&front, socket(Target::Unix(target.clone())));
    let mut client = UnixStream::connect(&front_path).unwrap();
    client.write_all(b"early").unwrap();
    let server = UnixListener::bind(&target).unwrap();
    proxy.until_listening();
    let mut served = loop {
        // The proxy looks at a path by connecting to it.
        let (mut served, _) = server.accept().unwrap();
        let mut early = [0; 5];
        if served.read_exact(&mut early).is_ok() {
            assert_eq!(&early, b"early");
            break served;
        }
    };
    let sender = thread::spawn(move || {
        send_pattern(&mut served);
        drop(served);
    });
    receive_pattern(&mut client);
    sender.join().unwrap();
}

/// A socket of packets with their bounds, of this abstract name.
fn packets(name: &str) -> (OwnedFd, SocketAddrUnix) {
    let address = SocketAddrUnix::new_abstract_name(name.as_bytes()).unwrap();
    let socket = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).unwrap();
    set_socket_timeout(&socket, Timeout::Recv, Some(PATIENCE)).unwrap();
    (socket, address)
}

#[test]
fn packets_keep_their_bounds_however_long_they_are() {
    let names = ["front", "target"].map(|name| format!("sampan-test-{name}-{}", std::process::id()));
    let [(front, front_address), (server, target)] = names.clone().map(|name| packets(&name));
    for (socket, address) in [(&front, &front_address), (&server, &target)] {
        bind(socket, address).unwrap();
        rustix::net::listen(socket, 16).unwrap();
    }
    let mut proxy = Proxy::start(&front, socket(Target::Abstract(names[1].clone())));
    proxy.until_listening();
    // The look.
    drop(accept(&server).unwrap());
    let client = packets("").0;
    rustix::net::connect(&client, &front_address).unwrap();
    let served = accept(&server).unwrap();
    for packet in [vec![1], vec![2; 100_000], vec![3; 16 * 1024], vec![4; 2]] {
        for (from, to) in [(&client, &served), (&served, &client)] {
            send(from, &packet, SendFlags::empty()).unwrap();
            let mut buffer = vec![0; 200_000];
            let (_, length) = recv(to, &mut buffer[..], RecvFlags::empty()).unwrap();
            assert!(buffer[..length] == packet, "{length} of {}", packet.len());
        }
    }
    drop(client);
    assert_eq!(recv(&served, &mut [0; 1][..], RecvFlags::empty()).unwrap().1, 0);
}

fn udp(address: &str) -> UdpSocket {
    let socket = UdpSocket::bind(address).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

/// Receives one datagram and answers it in capitals.
fn answer(server: &UdpSocket) -> (Vec<u8>, SocketAddr) {
    let mut buffer = [0; 65536];
    let (length, from) = server.recv_from(&mut buffer).unwrap();
    server.send_to(&buffer[..length].to_ascii_uppercase(), from).unwrap();
    (buffer[..length].to_vec(), from)
}

fn receive(client: &UdpSocket) -> (Vec<u8>, SocketAddr) {
    let mut buffer = [0; 65536];
    let (length, from) = client.recv_from(&mut buffer).unwrap();
    (buffer[..length].to_vec(), from)
}

#[test]
fn each_client_of_datagrams_has_a_flow_until_it_is_idle() {
    let (front, target) = (udp("[::]:0"), nobody());
    let quick = Socket { idle_timeout: Duration::from_millis(100), ..socket(Target::Internet(target)) };
    let mut proxy = Proxy::start(&front, quick);
    let port = front.local_addr().unwrap().port();
    let [one, other] = [udp("127.0.0.1:0"), udp("[::1]:0")];
    // Before anybody is there to take it, and to an address that is one of many.
    one.send_to(b"early", (Ipv4Addr::new(127, 0, 0, 9), port)).unwrap();
    let server = udp(&target.to_string());
    proxy.until_listening();
    let idle = proxy.descriptors();
    let (bytes, early) = answer(&server);
    assert_eq!(bytes, b"early");
    let asked = SocketAddr::new(Ipv4Addr::new(127, 0, 0, 9).into(), port);
    assert_eq!(receive(&one), (b"EARLY".to_vec(), asked));
    other.send_to(b"other", ("::1", port)).unwrap();
    let (_, second) = answer(&server);
    assert_ne!(early, second);
    assert_eq!(receive(&other).0, b"OTHER");
    let long = vec![b'x'; 60_000];
    one.send_to(&long, asked).unwrap();
    assert_eq!(answer(&server).0.len(), long.len());
    assert_eq!(receive(&one).0.len(), long.len());
    while proxy.descriptors() >= idle {
        thread::yield_now();
    }
}

#[test]
fn datagrams_go_on_with_the_next_server() {
    let (front, target) = (udp("127.0.0.1:0"), nobody());
    let mut proxy = Proxy::start(&front, socket(Target::Internet(target)));
    let server = udp(&target.to_string());
    proxy.until_listening();
    let client = udp("127.0.0.1:0");
    client.connect(front.local_addr().unwrap()).unwrap();
    client.send(b"first").unwrap();
    answer(&server);
    assert_eq!(receive(&client).0, b"FIRST");
    drop(server);
    // The first one finds out that nobody is there.
    client.send(b"lost").unwrap();
    assert!(proxy.notice().contains("takes no clients"));
    client.send(b"kept").unwrap();
    let server = udp(&target.to_string());
    answer(&server);
    assert_eq!(receive(&client).0, b"KEPT");
}

#[test]
fn each_datagram_tells_who_the_client_is() {
    let ((front, server), client) = ((udp("[::]:0"), udp("127.0.0.1:0")), udp("127.0.0.1:0"));
    let target = Target::Internet(server.local_addr().unwrap());
    let _proxy = Proxy::start(&front, Socket { proxy_protocol: Some(ProxyProtocol::V2), ..socket(target) });
    let (from, to) = (client.local_addr().unwrap().port(), front.local_addr().unwrap().port());
    let start = b"\r\n\r\n\0\r\nQUIT\n\x21\x12\x00\x0c\x7f\0\0\x01\x7f\0\0\x01";
    let header = [&start[..], &from.to_be_bytes(), &to.to_be_bytes()].concat();
    for text in ["first", "second"] {
        client.send_to(text.as_bytes(), ("127.0.0.1", to)).unwrap();
        assert_eq!(receive(&server).0, [&header[..], text.as_bytes()].concat());
    }
}

#[test]
fn flows_have_limits() {
    let (front, server) = (udp("0.0.0.0:0"), udp("127.0.0.1:0"));
    let target = Target::Internet(server.local_addr().unwrap());
    let limited = Socket { max_connections: 2, max_connections_per_source: Some(1), ..socket(target) };
    let mut proxy = Proxy::start(&front, limited);
    let port = front.local_addr().unwrap().port();
    let clients = ["127.0.0.1:0", "127.0.0.1:0", "127.0.0.2:0", "127.0.0.3:0"].map(udp);
    for client in &clients {
        client.send_to(client.local_addr().unwrap().to_string().as_bytes(), ("127.0.0.1", port)).unwrap();
    }
    let received = [(); 2].map(|()| String::from_utf8(answer(&server).0).unwrap());
    assert_eq!(received, [&clients[0], &clients[2]].map(|client| client.local_addr().unwrap().to_string()));
    assert!(proxy.notice().contains("refused 127.0.0.1, which has max_connections_per_source"));
    assert!(proxy.notice().contains("2 connections (max_connections)"));
}

#[test]
fn datagrams_of_unix_sockets_are_answered_and_none_is_lost() {
    let directory = tempfile::tempdir().unwrap();
    let [front_path, target, name] = ["front", "target", "client"].map(|name| directory.path().join(name));
    let (front, server) = (UnixDatagram::bind(&front_path).unwrap(), UnixDatagram::bind(&target).unwrap());
    let mut proxy = Proxy::start(&front, socket(Target::Unix(target)));
    proxy.until_listening();
    let (named, nameless) = (UnixDatagram::bind(&name).unwrap(), UnixDatagram::unbound().unwrap());
    for socket in [&named, &server] {
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
    }
    // More than the server's queue takes, unix(7).
    let sender = thread::spawn(move || {
        for number in 0..1000 {
            nameless.send_to(number.to_string().as_bytes(), &front_path).unwrap();
        }
        named.send_to(&[7; 100_000], &front_path).unwrap();
        named
    });
    let mut buffer = vec![0; 200_000];
    for number in 0..1000 {
        let length = server.recv(&mut buffer).unwrap();
        assert_eq!(buffer[..length], *number.to_string().as_bytes());
    }
    let (length, from) = server.recv_from(&mut buffer).unwrap();
    assert_eq!(length, 100_000);
    let server_to_flow = rustix::net::SocketAddrUnix::new_abstract_name(from.as_abstract());
    rustix::net::sendto(&server, b"answer", SendFlags::empty(), &server_to_flow.unwrap()).unwrap();
    let named = sender.join().unwrap();
    let length = named.recv(&mut buffer).unwrap();
    assert_eq!(buffer[..length], *b"answer");
}

/// The abstract name of an address.
trait AsAbstract {
    fn as_abstract(&self) -> &[u8];
}

impl AsAbstract for std::os::unix::net::SocketAddr {
    fn as_abstract(&self) -> &[u8] {
        std::os::linux::net::SocketAddrExt::as_abstract_name(self).unwrap()
    }
}

#[test]
fn what_cannot_be_served_is_said() {
    let front = udp("127.0.0.1:0");
    let target = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9);
    let wrong = Socket { proxy_protocol: Some(ProxyProtocol::V1), ..socket(Target::Internet(target)) };
    let mut proxy = Proxy::start(&front, wrong);
    assert_eq!(proxy.wait().code(), Some(1));
    let reason = std::io::Error::from(Errno::INVAL).to_string();
    assert!(proxy.notice().contains("socket.main: cannot be proxied to 127.0.0.1:9"), "{reason}");
}
