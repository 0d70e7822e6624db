//! Who is connected to a listening socket, and who holds one, asked of the kernel: no cooperation of the
//! server is needed. Connections that wait in the queue count too.

use super::node::socket_type;
use super::{Holder, SocketError};
use crate::sys::process::holder_of_socket;
use crate::sys::sock_diag::{self, InternetSocket, State, Transport, UnixSocket};
use crate::unit::model::{Listen, UnixName};
use rustix::net::AddressFamily;
use std::io;
use std::net::SocketAddr;
use std::os::unix::ffi::OsStrExt;

/// Counts the connections that are established to an address of the host. Datagrams and FIFOs have none, and the
/// kernel does not list those of vsock(7).
///
/// # Errors
/// When the kernel cannot be asked.
pub fn count(listen: &Listen) -> Result<usize, SocketError> {
    let count = match listen {
        Listen::Tcp(address) => tcp(*address).map(|sockets| sockets.len()),
        Listen::Unix(kind, name) if listen.connects() => unix(name).map(|sockets| {
            sockets.iter().filter(|socket| socket.kind == socket_type(*kind)).map(connections_of).sum()
        }),
        Listen::Unix(..) | Listen::Udp(_) | Listen::Vsock(_) | Listen::Fifo(_) => Ok(0),
    };
    count.map_err(|source| SocketError::Count { address: listen.clone(), source })
}

/// An accepted socket is a connection; a listening one stands for those in its queue.
fn connections_of(socket: &UnixSocket) -> usize {
    match socket.state {
        State::Established => 1,
        State::Listen => usize::try_from(socket.queue).unwrap_or(usize::MAX),
        State::Unconnected => 0,
    }
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

/// A connection that a dual socket took over v4 is a v6 socket with a mapped address.
fn tcp(listen: SocketAddr) -> io::Result<Vec<InternetSocket>> {
    let family = match listen {
        SocketAddr::V4(_) => AddressFamily::INET,
        SocketAddr::V6(_) => AddressFamily::INET6,
    };
    let mut sockets = sock_diag::internet(family, Transport::Tcp, State::Established, listen.port())?;
    sockets.retain(|socket| listen.ip().is_unspecified() || socket.local.ip() == listen.ip());
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
    use crate::unit::model::UnixType;
    use std::net::{TcpListener, TcpStream};
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::{SocketAddr as UnixAddr, UnixListener, UnixStream};

    #[test]
    fn a_dual_socket_counts_clients_of_both_families_until_they_leave() {
        let listener = TcpListener::bind("[::]:0").unwrap();
        let listen = Listen::Tcp(listener.local_addr().unwrap());
        let port = listener.local_addr().unwrap().port();
        assert_eq!(count(&listen).unwrap(), 0);
        let v4 = TcpStream::connect(("127.0.0.1", port)).unwrap();
        let v6 = TcpStream::connect(("::1", port)).unwrap();
        assert_eq!(count(&listen).unwrap(), 2);
        let (served, _) = listener.accept().unwrap();
        assert_eq!(count(&listen).unwrap(), 2);
        drop((v4, served));
        assert_eq!(count(&listen).unwrap(), 1);
        drop(v6);
        assert_eq!(holder(&listen), Holder(Some((process_name(), std::process::id()))));
    }

    #[test]
    fn connections_to_another_address_of_the_port_do_not_count() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let _client = TcpStream::connect(("127.0.0.1", port)).unwrap();
        assert_eq!(count(&Listen::Tcp(([127, 0, 0, 2], port).into())).unwrap(), 0);
    }

    #[test]
    fn abstract_sockets_count() {
        let name = format!("sampan-test-{}", std::process::id());
        let address = UnixAddr::from_abstract_name(&name).unwrap();
        let _listener = UnixListener::bind_addr(&address).unwrap();
        let _client = UnixStream::connect_addr(&address).unwrap();
        assert_eq!(count(&Listen::Unix(UnixType::Stream, UnixName::Abstract(name))).unwrap(), 1);
    }

    fn process_name() -> String {
        std::fs::read_to_string("/proc/self/comm").unwrap().trim_end().to_owned()
    }
}
