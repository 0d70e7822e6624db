//! Who is connected to a listening socket, and who holds one, asked of the kernel: no cooperation of the
//! server is needed. Connections that wait in the queue count too.

use super::node::socket_type;
use super::{Holder, SocketError, accepted};
use crate::sys::process::holder_of_socket;
use crate::sys::sock_diag::{self, InternetSocket, State, Transport, UnixSocket};
use crate::unit::model::{Listen, UnixName, UnixType};
use rustix::net::AddressFamily;
use std::io;
use std::net::SocketAddr;
use std::os::unix::ffi::OsStrExt;

/// Counts the connections that are open to an address of the host, those that wait in its queue among them. Datagrams
/// and FIFOs have none. `server` tells the processes that may have accepted one: only with them it is known whose a
/// connection is that the kernel does not list by its address.
///
/// # Errors
/// When the kernel cannot be asked.
pub fn count(listen: &Listen, server: impl FnOnce() -> Vec<u32>) -> Result<usize, SocketError> {
    let count = match listen {
        Listen::Tcp(address) => tcp(*address).map(|sockets| sockets.len()),
        Listen::Unix(kind, name) if listen.connects() => {
            queued(*kind, name).map(|queued| queued + accepted::count(listen, &server()))
        }
        Listen::Vsock(_) => Ok(accepted::count(listen, &server())),
        Listen::Unix(..) | Listen::Udp(_) | Listen::Fifo(_) => Ok(0),
    };
    count.map_err(|source| SocketError::Count { address: listen.clone(), source })
}

/// Connections to a unix socket that nobody has accepted yet.
fn queued(kind: UnixType, name: &UnixName) -> io::Result<usize> {
    let mut sockets = unix_of(kind, name)?;
    sockets.retain(|socket| socket.state == State::Listen);
    Ok(sockets.iter().map(|socket| usize::try_from(socket.queue).unwrap_or(usize::MAX)).sum())
}

/// Who waits for clients at an address of the host, as far as it can be found.
pub(super) fn holder(listen: &Listen) -> Holder {
    let inode = match listen {
        Listen::Tcp(address) => waiting(Transport::Tcp, address.port()).next(),
        Listen::Udp(address) => waiting(Transport::Udp, address.port()).next(),
        Listen::Unix(_, name) => {
            let sockets = unix(name).unwrap_or_default();
            sockets.into_iter().find(|socket| socket.state != State::Established).map(|socket| socket.inode)
        }
        Listen::Vsock(_) | Listen::Fifo(_) => None,
    };
    Holder(inode.and_then(|inode| holder_of_socket(u64::from(inode))))
}

/// Sockets that wait for clients at a port; another wildcard or another address with it is in the way as well.
fn waiting(transport: Transport, port: u16) -> impl Iterator<Item = u32> {
    let families = [AddressFamily::INET, AddressFamily::INET6].into_iter();
    let sockets = families.flat_map(move |family| {
        sock_diag::internet(family, transport, transport.waiting(), port).unwrap_or_default()
    });
    sockets.filter(|socket| !socket.is_shut_down).map(|socket| socket.inode)
}

/// Whether anybody waits for clients at a port. What was closed here is shut down, and in nobody's way.
pub(super) fn is_waited_at(transport: Transport, port: u16) -> bool {
    waiting(transport, port).next().is_some()
}

/// Those that are open, see [`sock_diag::connections`].
fn tcp(listen: SocketAddr) -> io::Result<Vec<InternetSocket>> {
    Ok(of(listen, sock_diag::connections(family(listen), listen.port())?))
}

/// Those in one state.
pub(super) fn tcp_in(listen: SocketAddr, state: State) -> io::Result<Vec<InternetSocket>> {
    Ok(of(listen, sock_diag::internet(family(listen), Transport::Tcp, state, listen.port())?))
}

/// A connection that a dual socket took over v4 is a v6 socket with a mapped address.
fn family(listen: SocketAddr) -> AddressFamily {
    match listen {
        SocketAddr::V4(_) => AddressFamily::INET,
        SocketAddr::V6(_) => AddressFamily::INET6,
    }
}

fn of(listen: SocketAddr, mut sockets: Vec<InternetSocket>) -> Vec<InternetSocket> {
    sockets.retain(|socket| listen.ip().is_unspecified() || socket.local.ip() == listen.ip());
    sockets
}

/// Those of one type: a name is one of each.
pub(super) fn unix_of(kind: UnixType, name: &UnixName) -> io::Result<Vec<UnixSocket>> {
    let mut sockets = unix(name)?;
    sockets.retain(|socket| socket.kind == socket_type(kind));
    Ok(sockets)
}

fn unix(name: &UnixName) -> io::Result<Vec<UnixSocket>> {
    let name = match name {
        UnixName::Path(path) => path.as_os_str().as_bytes().to_vec(),
        UnixName::Abstract(name) => [b"\0", name.as_bytes()].concat(),
    };
    let mut sockets = sock_diag::unix()?;
    sockets.retain(|socket| socket.name == name);
    Ok(sockets)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::namespace::{Namespace, unshare};
    use std::net::{TcpListener, TcpStream};
    use std::os::unix::net::{UnixListener, UnixStream};

    #[test]
    fn a_dual_socket_counts_clients_of_both_families_until_they_leave() {
        let listener = TcpListener::bind("[::]:0").unwrap();
        let listen = Listen::Tcp(listener.local_addr().unwrap());
        let port = listener.local_addr().unwrap().port();
        assert_eq!(count(&listen, Vec::new).unwrap(), 0);
        let v4 = TcpStream::connect(("127.0.0.1", port)).unwrap();
        let v6 = TcpStream::connect(("::1", port)).unwrap();
        assert_eq!(count(&listen, Vec::new).unwrap(), 2);
        let (served, _) = listener.accept().unwrap();
        assert_eq!(count(&listen, Vec::new).unwrap(), 2);
        drop((v4, served));
        assert_eq!(count(&listen, Vec::new).unwrap(), 1);
        drop(v6);
        assert_eq!(holder(&listen), Holder(Some((process_name(), std::process::id()))));
    }

    #[test]
    fn connections_to_another_address_of_the_port_do_not_count() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let _client = TcpStream::connect(("127.0.0.1", port)).unwrap();
        assert_eq!(count(&Listen::Tcp(([127, 0, 0, 2], port).into()), Vec::new).unwrap(), 0);
    }

    #[test]
    fn unix_connections_count_before_and_after_they_are_accepted() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("socket");
        let listener = UnixListener::bind(&path).unwrap();
        let listen = Listen::Unix(UnixType::Stream, UnixName::Path(path.clone()));
        let count = || count(&listen, || vec![std::process::id()]).unwrap();
        // A client of another network, such as another container, whose connections are not listed among ours.
        let elsewhere = std::thread::spawn(move || {
            unshare(&[Namespace::Network]).unwrap();
            UnixStream::connect(&path).unwrap()
        });
        let client = elsewhere.join().unwrap();
        assert_eq!(count(), 1);
        let served = listener.accept().unwrap();
        assert_eq!(count(), 1);
        drop(served);
        assert_eq!(count(), 0);
        drop(client);
    }

    fn process_name() -> String {
        std::fs::read_to_string("/proc/self/comm").unwrap().trim_end().to_owned()
    }
}
