//! What a server has set on its own socket before bind(2) holds for the one that it gets instead.
//!
//! A socket that nobody has touched tells what the kernel's defaults are: where the server's differs, the server has
//! set that. Everything else is as the unit has it, so that nothing is left from a server before. What is about the
//! address (`SO_REUSEPORT`, `IPV6_V6ONLY`, `SO_BINDTODEVICE`, …) is the unit's alone.

use super::options;
use crate::sys::socket::SocketOption;
use crate::unit::model::Socket;
use rustix::net::sockopt::{set_socket_linger, socket_domain, socket_linger, socket_protocol, socket_type};
use rustix::net::{SocketFlags, socket_with};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Options of every family; a socket has those of its own.
const CARRIED: [SocketOption; 29] = [
    SocketOption::SO_BROADCAST,
    SocketOption::SO_KEEPALIVE,
    SocketOption::SO_PASSCRED,
    SocketOption::SO_PRIORITY,
    SocketOption::SO_RCVLOWAT,
    SocketOption::SO_TIMESTAMP,
    SocketOption::SO_TIMESTAMPNS,
    SocketOption::IP_MTU_DISCOVER,
    SocketOption::IP_PKTINFO,
    SocketOption::IP_RECVERR,
    SocketOption::IP_RECVORIGDSTADDR,
    SocketOption::IP_RECVTOS,
    SocketOption::IP_RECVTTL,
    SocketOption::IP_TOS,
    SocketOption::IP_TTL,
    SocketOption::IPV6_MTU_DISCOVER,
    SocketOption::IPV6_RECVERR,
    SocketOption::IPV6_RECVHOPLIMIT,
    SocketOption::IPV6_RECVPKTINFO,
    SocketOption::IPV6_RECVTCLASS,
    SocketOption::IPV6_TCLASS,
    SocketOption::IPV6_UNICAST_HOPS,
    SocketOption::TCP_DEFER_ACCEPT,
    SocketOption::TCP_FASTOPEN,
    SocketOption::TCP_KEEPCNT,
    SocketOption::TCP_KEEPIDLE,
    SocketOption::TCP_KEEPINTVL,
    SocketOption::TCP_NODELAY,
    SocketOption::TCP_USER_TIMEOUT,
];

/// These are read as twice what was set, and setting one ends its growing by itself: they are only carried.
const BUFFERS: [SocketOption; 2] = [SocketOption::SO_RCVBUF, SocketOption::SO_SNDBUF];

/// Gives a held socket the options of the server's own.
///
/// # Errors
/// When no socket can be made to compare with.
pub(super) fn carry(own: &OwnedFd, socket: &Socket, held: BorrowedFd<'_>) -> io::Result<()> {
    let (domain, kind) = (socket_domain(own)?, socket_type(own)?);
    let untouched = socket_with(domain, kind, SocketFlags::CLOEXEC, socket_protocol(own)?)?;
    let settings = options::settings(socket);
    for option in CARRIED {
        // One that is not of this kind of socket.
        let (Ok(own), Ok(default)) = (option.get(own.as_fd()), option.get(untouched.as_fd())) else {
            continue;
        };
        let of_unit = settings.iter().find(|(set, _)| *set == option).map(|(_, value)| *value);
        let wanted = if own == default { of_unit.unwrap_or(default) } else { own };
        if option.get(held).is_ok_and(|there| there != wanted) {
            // What one server cannot have, it can do without.
            let _ = option.set(held, wanted);
        }
    }
    for option in BUFFERS {
        let (own, default) = (option.get(own.as_fd())?, option.get(untouched.as_fd())?);
        if own != default && option.get(held)? != own {
            let _ = option.set(held, own / 2);
        }
    }
    let linger = socket_linger(own)?;
    if linger != socket_linger(held)? {
        set_socket_linger(held, linger)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::paths::Paths;
    use crate::socket::listen::Held;
    use crate::unit::model::{KeepAlive, Listen, Pass, UnixName, UnixType};
    use rustix::net::{AddressFamily, SocketType};
    use std::time::Duration;

    fn own(family: AddressFamily, kind: SocketType) -> OwnedFd {
        socket_with(family, kind, SocketFlags::CLOEXEC, None).unwrap()
    }

    fn hold(socket: &Socket) -> Held {
        Held::open("test", socket.clone().into(), &Paths::default()).unwrap()
    }

    fn free_port(family: AddressFamily) -> u16 {
        let address = if family == AddressFamily::INET { "127.0.0.1:0" } else { "[::]:0" };
        std::net::TcpListener::bind(address).unwrap().local_addr().unwrap().port()
    }

    #[test]
    fn what_the_server_has_set_comes_over_what_the_unit_says() {
        let port = free_port(AddressFamily::INET6);
        let mut socket = Socket::new(Listen::Tcp(format!("[::]:{port}").parse().unwrap()), Pass::Swap);
        socket.options.keep_alive =
            KeepAlive { on: true, time: Some(Duration::from_secs(50)), ..KeepAlive::default() };
        let held = hold(&socket);
        let get = |option: SocketOption| option.get(held.as_fd()).unwrap();
        assert_eq!((get(SocketOption::SO_KEEPALIVE), get(SocketOption::TCP_KEEPIDLE)), (1, 50));

        let server = own(AddressFamily::INET6, SocketType::STREAM);
        let set = [
            (SocketOption::TCP_NODELAY, 1),
            (SocketOption::TCP_KEEPIDLE, 99),
            (SocketOption::TCP_FASTOPEN, 5),
            (SocketOption::IPV6_TCLASS, 0x20),
            (SocketOption::SO_RCVBUF, 20_000),
        ];
        for (option, value) in set {
            option.set(server.as_fd(), value).unwrap();
        }
        set_socket_linger(&server, Some(Duration::from_secs(3))).unwrap();
        carry(&server, &socket, held.as_fd()).unwrap();
        for (option, value) in &set[..4] {
            assert_eq!(get(*option), *value, "{}", option.name());
        }
        assert_eq!((get(SocketOption::SO_RCVBUF), get(SocketOption::SO_KEEPALIVE)), (40_000, 1));
        assert_eq!(socket_linger(&held).unwrap(), Some(Duration::from_secs(3)));

        // The next server sets nothing.
        carry(&own(AddressFamily::INET6, SocketType::STREAM), &socket, held.as_fd()).unwrap();
        assert_eq!((get(SocketOption::TCP_NODELAY), get(SocketOption::TCP_KEEPIDLE)), (0, 50));
        assert_eq!(socket_linger(&held).unwrap(), None);
    }

    #[test]
    fn a_v4_server_with_a_socket_of_both_versions_keeps_its_options() {
        let port = free_port(AddressFamily::INET6);
        let socket = Socket::new(Listen::Tcp(format!("[::]:{port}").parse().unwrap()), Pass::Swap);
        let held = hold(&socket);
        let server = own(AddressFamily::INET, SocketType::STREAM);
        SocketOption::IP_TOS.set(server.as_fd(), 0x10).unwrap();
        carry(&server, &socket, held.as_fd()).unwrap();
        assert_eq!(SocketOption::IP_TOS.get(held.as_fd()).unwrap(), 0x10);
    }

    #[test]
    fn datagram_sockets_tell_what_the_server_asked_to_be_told() {
        let port = free_port(AddressFamily::INET);
        let udp = Socket::new(Listen::Udp(([127, 0, 0, 1], port).into()), Pass::Swap);
        let name = UnixName::Abstract(format!("sampan-carry-{}", std::process::id()));
        let unix = Socket::new(Listen::Unix(UnixType::Datagram, name), Pass::Swap);
        for (socket, family, option) in [
            (udp, AddressFamily::INET, SocketOption::IP_PKTINFO),
            (unix, AddressFamily::UNIX, SocketOption::SO_PASSCRED),
        ] {
            let (held, server) = (hold(&socket), own(family, SocketType::DGRAM));
            option.set(server.as_fd(), 1).unwrap();
            carry(&server, &socket, held.as_fd()).unwrap();
            assert_eq!(option.get(held.as_fd()).unwrap(), 1, "{}", option.name());
        }
    }
}
