//! Opens a socket of each kind, with its options, until it waits for clients.

use super::connections::{holder, is_waited_at};
use super::node::{Node, socket_type};
use super::{SocketError, options};
use crate::paths::Paths;
use crate::sys::sock_diag::Transport;
use crate::sys::socket::SocketOption;
use crate::unit::model::{Listen, Socket, UnixName, UnixType, VsockAddress};
use rustix::fs::{Mode, fchmod};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, listen as listen_on, socket_with,
};
use socket2::{SockAddr, SockRef};
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

/// Opens what a unit describes.
pub(super) fn open(socket: &Socket, paths: &Paths) -> Result<OwnedFd, SocketError> {
    let opening = Opening { socket, paths };
    let fd = match &socket.listen {
        Listen::Tcp(address) => opening.tcp(*address)?,
        Listen::Udp(address) => opening.udp(*address)?,
        Listen::Unix(kind, UnixName::Path(path)) => opening.unix(*kind, path)?,
        Listen::Unix(kind, UnixName::Abstract(name)) => opening.abstract_name(*kind, name)?,
        Listen::Vsock(address) => opening.vsock(*address)?,
        Listen::Fifo(path) => return Node { socket, path, paths }.fifo(),
    };
    options::apply(fd.as_fd(), socket)?;
    Ok(fd)
}

/// As listen(2) takes it.
pub(super) fn backlog(socket: &Socket) -> i32 {
    i32::try_from(socket.backlog).unwrap_or(i32::MAX)
}

/// One socket on its way.
struct Opening<'a> {
    socket: &'a Socket,
    paths: &'a Paths,
}

impl Opening<'_> {
    fn tcp(&self, address: SocketAddr) -> Result<OwnedFd, SocketError> {
        let fd = self.make(family(address), SocketType::STREAM)?;
        options::before_bind(&fd, self.socket)?;
        self.bind_and_listen(&fd, bind(&fd, &address))?;
        Ok(fd)
    }

    /// With SO_REUSEADDR anybody could bind a UDP socket beside one that has it, too, and take its datagrams. It is set
    /// only where what is in the way was closed here, and systemd has not let go of it yet.
    fn udp(&self, address: SocketAddr) -> Result<OwnedFd, SocketError> {
        let fd = self.make(family(address), SocketType::DGRAM)?;
        options::before_bind(&fd, self.socket)?;
        let mut bound = bind(&fd, &address);
        if bound == Err(Errno::ADDRINUSE) && !is_waited_at(Transport::Udp, address.port()) {
            let share = |with| {
                let set = SocketOption::SO_REUSEADDR.set(fd.as_fd(), with);
                set.map_err(|source| self.failed("share the address", source))
            };
            share(1)?;
            bound = bind(&fd, &address);
            share(0)?;
        }
        match bound {
            Err(Errno::ADDRINUSE) => Err(self.in_use()),
            result => self.check("bind", result).map(|()| fd),
        }
    }

    fn abstract_name(&self, kind: UnixType, name: &str) -> Result<OwnedFd, SocketError> {
        let address = self.check("use the name", SocketAddrUnix::new_abstract_name(name.as_bytes()))?;
        let fd = self.make(AddressFamily::UNIX, socket_type(kind))?;
        self.bind_and_listen(&fd, bind(&fd, &address))?;
        Ok(fd)
    }

    fn unix(&self, kind: UnixType, path: &Path) -> Result<OwnedFd, SocketError> {
        let address = self.check("use the path", SocketAddrUnix::new(path))?;
        let node = Node { socket: self.socket, path, paths: self.paths };
        node.check_owner()?;
        node.make_directory(path)?;
        node.remove_stale(kind, &address)?;
        let fd = self.make(AddressFamily::UNIX, socket_type(kind))?;
        // bind(2) takes the mode of the new file from the socket, so that nobody gets in before its owner is set.
        self.check("set its mode", fchmod(&fd, Mode::empty()))?;
        self.bind_and_listen(&fd, bind(&fd, &address))?;
        node.finish()?;
        Ok(fd)
    }

    fn vsock(&self, address: VsockAddress) -> Result<OwnedFd, SocketError> {
        let fd = self.make(AddressFamily::VSOCK, SocketType::STREAM)?;
        let address = SockAddr::vsock(address.cid.unwrap_or(libc::VMADDR_CID_ANY), address.port);
        let bound = SockRef::from(&fd).bind(&address);
        let bound = bound.map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO));
        self.bind_and_listen(&fd, bound)?;
        Ok(fd)
    }

    fn make(&self, family: AddressFamily, kind: SocketType) -> Result<OwnedFd, SocketError> {
        self.check("make a socket", socket_with(family, kind, SocketFlags::CLOEXEC, None))
    }

    /// With SO_REUSEADDR two sockets may bind one address, and the second learns it only from listen(2).
    fn bind_and_listen(&self, fd: &OwnedFd, bound: rustix::io::Result<()>) -> Result<(), SocketError> {
        let listens = self.socket.listen.connects();
        let done = bound.and_then(|()| if listens { listen_on(fd, backlog(self.socket)) } else { Ok(()) });
        match done {
            Err(Errno::ADDRINUSE) => Err(self.in_use()),
            result => self.check("listen", result),
        }
    }

    fn in_use(&self) -> SocketError {
        SocketError::InUse { address: self.socket.listen.clone(), holder: holder(&self.socket.listen) }
    }

    fn check<T>(&self, action: &'static str, result: rustix::io::Result<T>) -> Result<T, SocketError> {
        result.map_err(|error| self.failed(action, error.into()))
    }

    fn failed(&self, action: &'static str, source: io::Error) -> SocketError {
        SocketError::Call { address: self.socket.listen.clone(), action, source }
    }
}

fn family(address: SocketAddr) -> AddressFamily {
    match address {
        SocketAddr::V4(_) => AddressFamily::INET,
        SocketAddr::V6(_) => AddressFamily::INET6,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::socket::listen::Held;
    use crate::unit::model::{KeepAlive, Pass};
    use crate::unit::value::Written;
    use rustix::io::{read, write};
    use rustix::net::sockopt::{ipv6_v6only, socket_acceptconn};
    use rustix::net::{SendFlags, connect, recv, send, sendto};
    use std::fs;
    use std::net::UdpSocket;
    use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
    use std::os::unix::net::UnixDatagram;
    use std::time::Duration;

    fn socket(listen: &str) -> Socket {
        Socket::new(Listen::read(listen).unwrap(), Pass::Fd)
    }

    fn hold(socket: &Socket) -> Result<Held, SocketError> {
        Held::open("test", socket.clone().into(), &Paths::default())
    }

    /// A port that is free in both versions and both transports, of this process alone.
    fn free_port() -> u16 {
        std::net::TcpListener::bind("[::]:0").unwrap().local_addr().unwrap().port()
    }

    fn received(held: &Held) -> Vec<u8> {
        let mut buffer = [0; 64];
        let (length, _) = recv(held, buffer.as_mut_slice(), rustix::net::RecvFlags::DONTWAIT).unwrap();
        buffer[..length].to_vec()
    }

    #[test]
    fn udp_of_every_address_takes_both_versions_and_is_adopted_again() {
        let port = free_port();
        let wanted = socket(&format!("udp:{port}"));
        let held = hold(&wanted).unwrap();
        let copy = held.as_fd().try_clone_to_owned().unwrap();
        for (own, address) in [("127.0.0.1:0", "127.0.0.1"), ("[::1]:0", "::1")] {
            UdpSocket::bind(own).unwrap().send_to(b"hello", (address, port)).unwrap();
            assert_eq!(received(&held), b"hello", "{address}");
        }
        drop(held);
        let adopted = Held::adopt("test", wanted.clone().into(), copy).unwrap();
        UdpSocket::bind("127.0.0.1:0").unwrap().send_to(b"again", ("127.0.0.1", port)).unwrap();
        assert_eq!(received(&adopted), b"again");
        let other = Held::adopt(
            "test",
            socket(&format!("{port}")).into(),
            adopted.as_fd().try_clone_to_owned().unwrap(),
        );
        assert!(
            other.unwrap_err().to_string().ends_with("the stored descriptor is a socket of another type")
        );
    }

    #[test]
    fn a_busy_udp_port_names_its_process_and_one_closed_here_is_free_though_systemd_has_it_still() {
        let other = UdpSocket::bind("127.0.0.1:0").unwrap();
        SocketOption::SO_REUSEADDR.set(other.as_fd(), 1).unwrap();
        let port = other.local_addr().unwrap().port();
        let error = hold(&socket(&format!("udp:127.0.0.1:{port}"))).unwrap_err().to_string();
        let expected = format!("udp:127.0.0.1:{port}: Address already in use: another process (");
        assert!(error.starts_with(&expected), "{error}");

        let wanted = socket(&format!("udp:{}", free_port()));
        let held = hold(&wanted).unwrap();
        let kept = held.as_fd().try_clone_to_owned().unwrap();
        held.close();
        let held = hold(&wanted).unwrap();
        let Listen::Udp(address) = wanted.listen else { unreachable!() };
        UdpSocket::bind("127.0.0.1:0").unwrap().send_to(b"new", ("127.0.0.1", address.port())).unwrap();
        assert_eq!(received(&held), b"new");
        drop(kept);
        // Nobody can be bound beside it, whatever they ask for.
        let thief = socket2::Socket::new(socket2::Domain::IPV6, socket2::Type::DGRAM, None).unwrap();
        thief.set_reuse_address(true).unwrap();
        let error = thief.bind(&std::net::SocketAddr::from(([0; 16], address.port())).into()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    }

    #[test]
    fn a_udp_socket_that_a_server_spoilt_is_whole_again_or_told() {
        let wanted = socket(&format!("udp:127.0.0.1:{}", free_port()));
        let held = hold(&wanted).unwrap();
        connect(&held, &"127.0.0.1:9".parse::<SocketAddr>().unwrap()).unwrap();
        held.ensure_listening().unwrap();
        let Listen::Udp(address) = wanted.listen else { unreachable!() };
        UdpSocket::bind("127.0.0.1:0").unwrap().send_to(b"hello", address).unwrap();
        assert_eq!(received(&held), b"hello");
        let _ = rustix::net::shutdown(&held, rustix::net::Shutdown::Both);
        held.ensure_listening().unwrap_err();
    }

    #[test]
    fn unix_sockets_of_every_type_are_reached_and_gone_after_close() {
        let directory = tempfile::tempdir().unwrap();
        for (number, kind) in ["", "datagram:", "seqpacket:"].into_iter().enumerate() {
            let path = directory.path().join(format!("made/{number}"));
            let link = directory.path().join(format!("links/{number}"));
            let mut wanted = socket(&format!("{kind}{}", path.display()));
            wanted.node.directory_mode = 0o710;
            wanted.node.symlinks = vec![link.clone()];
            let held = hold(&wanted).unwrap();
            assert_eq!(path.parent().unwrap().metadata().unwrap().permissions().mode() & 0o777, 0o710);
            let Listen::Unix(kind, _) = wanted.listen else { unreachable!() };
            let client =
                socket_with(AddressFamily::UNIX, socket_type(kind), SocketFlags::CLOEXEC, None).unwrap();
            connect(&client, &SocketAddrUnix::new(&link).unwrap()).unwrap();
            send(&client, b"hello", SendFlags::empty()).unwrap();
            assert_eq!(socket_acceptconn(&held).unwrap(), kind != UnixType::Datagram);
            let again = hold(&wanted).unwrap_err();
            assert!(matches!(again, SocketError::InUse { .. }), "{again}");
            held.ensure_listening().unwrap();
            let held = Held::adopt("test", wanted.clone().into(), held.as_fd().try_clone_to_owned().unwrap())
                .unwrap();
            held.close();
            assert!(!path.exists() && !link.is_symlink());
        }
    }

    #[test]
    fn abstract_datagrams_arrive() {
        let name = format!("sampan-open-{}", std::process::id());
        let held = hold(&socket(&format!("datagram:@{name}"))).unwrap();
        let address = SocketAddrUnix::new_abstract_name(name.as_bytes()).unwrap();
        let client = UnixDatagram::unbound().unwrap();
        sendto(&client, b"hello", SendFlags::empty(), &address).unwrap();
        assert_eq!(received(&held), b"hello");
    }

    #[test]
    fn a_link_in_the_way_stays_and_nothing_is_left_of_the_socket() {
        let directory = tempfile::tempdir().unwrap();
        let (path, link) = (directory.path().join("socket"), directory.path().join("link"));
        fs::write(&link, "data").unwrap();
        let mut wanted = socket(&format!("{}", path.display()));
        wanted.node.symlinks = vec![link.clone()];
        let error = hold(&wanted).unwrap_err().to_string();
        assert!(error.contains(&format!("cannot make the link {}", link.display())), "{error}");
        assert_eq!(fs::read_to_string(&link).unwrap(), "data");
        assert!(!path.exists());
    }

    #[test]
    fn a_fifo_never_ends_and_gets_its_mode_and_owner() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("made/fifo");
        let mut wanted = socket(&format!("fifo:{}", path.display()));
        wanted.node.mode = 0o620;
        wanted.node.group = Some("4321".to_owned());
        let held = hold(&wanted).unwrap();
        let metadata = path.metadata().unwrap();
        assert!(metadata.file_type().is_fifo());
        assert_eq!((metadata.permissions().mode() & 0o777, metadata.gid()), (0o620, 4321));
        for _ in 0..2 {
            let writer = fs::OpenOptions::new().write(true).open(&path).unwrap();
            write(&writer, b"hello").unwrap();
            drop(writer);
            let mut buffer = [0; 16];
            assert_eq!(read(&held, &mut buffer).unwrap(), 5);
        }
        let flags = rustix::fs::fcntl_getfl(&held).unwrap();
        assert!(!flags.contains(rustix::fs::OFlags::NONBLOCK), "a program that reads it waits");
        held.ensure_listening().unwrap();
        let copy = held.as_fd().try_clone_to_owned().unwrap();
        let adopted = Held::adopt("test", wanted.clone().into(), copy.try_clone().unwrap()).unwrap();
        adopted.close();
        assert!(!path.exists());
        Held::adopt("test", wanted.clone().into(), copy).unwrap_err();
        fs::write(&path, "data").unwrap();
        assert!(matches!(hold(&wanted), Err(SocketError::OtherKind { .. })));
        assert_eq!(fs::read_to_string(&path).unwrap(), "data");
    }

    #[test]
    fn vsock_listens_for_virtual_machines() {
        let port = 0x4000_0000 + std::process::id();
        let wanted = socket(&format!("vsock:{port}"));
        let held = hold(&wanted).unwrap();
        assert!(socket_acceptconn(&held).unwrap());
        assert!(matches!(hold(&wanted), Err(SocketError::InUse { .. })));
        let copy = held.as_fd().try_clone_to_owned().unwrap();
        assert!(
            Held::adopt("test", socket(&format!("vsock:{}", port + 1)).into(), copy.try_clone().unwrap())
                .is_err()
        );
        Held::adopt("test", wanted.clone().into(), copy).unwrap();
    }

    #[test]
    fn options_are_set_and_set_again_when_a_socket_is_taken_back() {
        let mut wanted = socket(&format!("{}", free_port()));
        let options = &mut wanted.options;
        let seconds = |seconds| Some(Duration::from_secs(seconds));
        options.keep_alive =
            KeepAlive { on: true, time: seconds(120), interval: seconds(7), probes: Some(3) };
        (options.no_delay, options.reuse_port, options.free_bind) = (true, true, true);
        (options.v6only, options.mark, options.bind_to_device) =
            (Some(true), Some(0x8000_0001), Some("lo".into()));
        (options.receive_buffer, options.send_buffer) = (Some(8 << 20), Some(9 << 20));
        options.defer_accept = seconds(1);
        let held = hold(&wanted).unwrap();
        let get = |option: SocketOption| option.get(held.as_fd()).unwrap();
        for (option, value) in [
            (SocketOption::SO_KEEPALIVE, 1),
            (SocketOption::TCP_KEEPIDLE, 120),
            (SocketOption::TCP_KEEPINTVL, 7),
            (SocketOption::TCP_KEEPCNT, 3),
            (SocketOption::TCP_NODELAY, 1),
            (SocketOption::TCP_DEFER_ACCEPT, 1),
            (SocketOption::SO_REUSEPORT, 1),
            (SocketOption::IPV6_FREEBIND, 1),
            (SocketOption::SO_MARK, 0x8000_0001_u32.cast_signed()),
            (SocketOption::SO_RCVBUF, 16 << 20),
            (SocketOption::SO_SNDBUF, 18 << 20),
        ] {
            assert_eq!(get(option), value, "{}", option.name());
        }
        assert!(ipv6_v6only(&held).unwrap());
        assert_eq!(SockRef::from(&held).device().unwrap().as_deref(), Some(&b"lo"[..]));
        // Somebody else who wants to share the port can.
        hold(&wanted).unwrap();

        let copy = || held.as_fd().try_clone_to_owned().unwrap();
        let mut changed = wanted.clone();
        (changed.options.no_delay, changed.options.keep_alive.time) = (false, seconds(60));
        Held::adopt("test", changed.clone().into(), copy()).unwrap();
        assert_eq!((get(SocketOption::TCP_NODELAY), get(SocketOption::TCP_KEEPIDLE)), (0, 60));
        changed.options.v6only = None;
        let error = Held::adopt("test", changed.clone().into(), copy()).unwrap_err().to_string();
        assert!(error.ends_with("bound with another \"v6only\""), "{error}");
    }

    #[test]
    fn an_address_that_comes_with_an_interface_can_be_waited_for() {
        let mut wanted = socket(&format!("192.0.2.1:{}", free_port()));
        assert!(hold(&wanted).unwrap_err().to_string().contains("Cannot assign requested address"));
        wanted.options.free_bind = true;
        hold(&wanted).unwrap();
        wanted.options.bind_to_device = Some("no-such-device".to_owned());
        let error = hold(&wanted).unwrap_err().to_string();
        assert!(error.contains("cannot set SO_BINDTODEVICE: No such device"), "{error}");
    }
}
