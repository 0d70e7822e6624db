//! Connections that are taken for containers of their own, `pass = "accept"`: who has connected, and what the instance
//! is called.

use super::listen::Held;
use crate::sys::errno::is_of_connection;
use crate::sys::socket::peer_process;
use crate::unit::model::Peer;
use rustix::io::{Errno, ioctl_fionbio};
use rustix::net::sockopt::socket_domain;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, accept_with, getpeername};
use socket2::SockRef;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// A connection that was taken from the queue.
#[derive(Debug)]
pub struct Incoming {
    /// The connection; reading it blocks.
    pub connection: OwnedFd,
    /// Who has connected.
    pub peer: Peer,
    /// The address that it has connected to, where that is one of a network.
    local: Option<String>,
}

impl Held {
    /// Takes the connection that waits longest, without waiting for one; `None`: there is none.
    ///
    /// # Errors
    /// As accept(2), but not for what is wrong with a connection alone.
    pub fn accept(&self) -> io::Result<Option<Incoming>> {
        ioctl_fionbio(self, true)?;
        let taken = take(self.as_fd());
        // Where the unit is changed, a server gets it that waits for connections.
        ioctl_fionbio(self, false)?;
        taken
    }
}

fn take(listener: BorrowedFd<'_>) -> io::Result<Option<Incoming>> {
    loop {
        match accept_with(listener, SocketFlags::CLOEXEC) {
            Ok(connection) => match Incoming::of(connection) {
                Ok(incoming) => return Ok(Some(incoming)),
                // It is over already.
                Err(error) if error.kind() == io::ErrorKind::NotConnected => {}
                Err(error) => return Err(error),
            },
            Err(Errno::AGAIN) => return Ok(None),
            Err(error) if is_of_connection(error) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

impl Incoming {
    /// Asks the kernel for the two ends of a connection.
    ///
    /// # Errors
    /// As getpeername(2).
    pub fn of(connection: OwnedFd) -> io::Result<Self> {
        let (peer, local) = match socket_domain(&connection)? {
            AddressFamily::UNIX => (of_process(&connection)?, None),
            AddressFamily::VSOCK => of_guest(&connection)?,
            _ => of_address(&connection)?,
        };
        Ok(Self { connection, peer, local })
    }

    /// The instance for it, as systemd.socket(5) has it: `0-127.0.0.1:7-127.0.0.1:40000`, `0-PID-UID`.
    pub fn instance(&self, number: u32) -> String {
        match (&self.peer, self.local.as_deref()) {
            (Peer::Internet(address), Some(local)) => {
                format!("{number}-{local}-{}", bare(*address))
            }
            (Peer::Vsock { cid, port }, Some(local)) => format!("{number}-{local}-{cid}:{port}"),
            (Peer::Unix { process, user, .. }, _) => format!("{number}-{process}-{user}"),
            _ => format!("{number}-unknown"),
        }
    }
}

/// Without brackets, which no name of a unit has.
fn bare(address: SocketAddr) -> String {
    format!("{}:{}", address.ip(), address.port())
}

/// An address of IPv4 that IPv6 maps is one of IPv4.
fn plain(address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V6(ip) => ip.to_ipv4_mapped().map_or(address, |ip| (ip, address.port()).into()),
        IpAddr::V4(_) => address,
    }
}

fn of_address(connection: &OwnedFd) -> io::Result<(Peer, Option<String>)> {
    let socket = SockRef::from(connection);
    let (local, peer) = (socket.local_addr()?.as_socket(), socket.peer_addr()?.as_socket());
    Ok((
        peer.map_or(Peer::Unknown, |peer| Peer::Internet(plain(peer))),
        local.map(|local| bare(plain(local))),
    ))
}

fn of_guest(connection: &OwnedFd) -> io::Result<(Peer, Option<String>)> {
    let socket = SockRef::from(connection);
    let (local, peer) = (socket.local_addr()?, socket.peer_addr()?);
    let peer = peer.as_vsock_address().map_or(Peer::Unknown, |(cid, port)| Peer::Vsock { cid, port });
    Ok((peer, local.as_vsock_address().map(|(cid, port)| format!("{cid}:{port}"))))
}

fn of_process(connection: &OwnedFd) -> io::Result<Peer> {
    let process = match peer_process(connection.as_fd()) {
        Ok(process) => process,
        Err(error) if error.raw_os_error() == Some(libc::ENODATA) => return Ok(Peer::Unknown),
        Err(error) => return Err(error),
    };
    // A client that is gone, or has bound its socket to no name, has no address.
    let address = getpeername(connection).ok().flatten();
    let address = address.and_then(|address| SocketAddrUnix::try_from(address).ok());
    let address = address.and_then(|address| {
        let path = address.path_bytes().map(|path| String::from_utf8_lossy(path).into_owned());
        let name = address.abstract_name().filter(|name| !name.is_empty());
        let name = name.map(|name| format!("@{}", String::from_utf8_lossy(name)));
        path.or(name).filter(|address| !address.is_empty() && !address.contains('\0'))
    });
    Ok(Peer::Unix { process: process.process, user: process.user, address })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::paths::Paths;
    use crate::unit::model::{Listen, Pass, Socket, Source, UnixName, UnixType};
    use crate::unit::name::UnitName;
    use std::io::{Read, Write};
    use std::net::{Shutdown, TcpListener, TcpStream};
    use std::os::unix::net::UnixStream;

    fn hold(listen: Listen) -> Held {
        Held::open("test", Socket::new(listen, Pass::Accept).into(), &Paths::default()).unwrap()
    }

    fn free_port() -> u16 {
        TcpListener::bind("[::]:0").unwrap().local_addr().unwrap().port()
    }

    #[test]
    fn connections_of_both_versions_are_taken_in_turn_and_called_by_their_addresses() {
        let port = free_port();
        let held = hold(Listen::Tcp(format!("[::]:{port}").parse().unwrap()));
        assert!(held.accept().unwrap().is_none());
        let mut four = TcpStream::connect(("127.0.0.1", port)).unwrap();
        let six = TcpStream::connect(("::1", port)).unwrap();
        let (first, second) = (held.accept().unwrap().unwrap(), held.accept().unwrap().unwrap());
        assert!(held.accept().unwrap().is_none());

        let own = four.local_addr().unwrap();
        assert_eq!(first.peer, Peer::Internet(own));
        assert_eq!(first.peer.source(), Some(Source::Address(own.ip())));
        assert_eq!(first.instance(3), format!("3-127.0.0.1:{port}-127.0.0.1:{}", own.port()));
        let name = second.instance(4);
        assert_eq!(name, format!("4-::1:{port}-::1:{}", six.local_addr().unwrap().port()));
        let listener = UnitName::parse("echo.container").unwrap();
        assert!(listener.of_connection(&name).is_some());
        assert_eq!(second.peer.remote().0.as_deref(), Some("::1"));

        // Who reads waits.
        let mut connection = TcpStream::from(first.connection);
        let reader = std::thread::spawn(move || {
            let mut all = String::new();
            connection.read_to_string(&mut all).map(|_| all)
        });
        four.write_all(b"hello").unwrap();
        four.shutdown(Shutdown::Write).unwrap();
        assert_eq!(reader.join().unwrap().unwrap(), "hello");
    }

    #[test]
    fn a_process_is_called_by_its_number_and_user() {
        let name = format!("sampan-incoming-{}", std::process::id());
        let held = hold(Listen::Unix(UnixType::Stream, UnixName::Abstract(name.clone())));
        let address = {
            use std::os::linux::net::SocketAddrExt;
            std::os::unix::net::SocketAddr::from_abstract_name(&name).unwrap()
        };
        let _client = UnixStream::connect_addr(&address).unwrap();
        let incoming = held.accept().unwrap().unwrap();
        let (process, user) = (std::process::id(), rustix::process::getuid().as_raw());
        assert_eq!(incoming.instance(0), format!("0-{process}-{user}"));
        assert_eq!(incoming.peer.source(), Some(Source::User(user)));
        assert_eq!(incoming.peer.remote(), (None, None), "it has bound its socket to no name");
    }
}
