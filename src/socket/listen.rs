//! The sockets that are held for a unit: opened anew ([`super::open`]), or taken back from systemd's store. But for
//! `pass = "accept"` ([`super::incoming`]) a held socket is never accepted on: it only waits to become readable, and goes
//! to the container as it is.

use super::defer::admit;
use super::node::{self, socket_type};
use super::open::{backlog, open};
use super::{SocketError, options};
use crate::paths::Paths;
use crate::sys::socket::SocketOption;
use crate::unit::model::{Listen, Socket, VsockAddress};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{FileType, fstat};
use rustix::io::Errno;
use rustix::net::sockopt::{ipv6_v6only, socket_acceptconn, socket_domain, socket_type as type_of};
use rustix::net::{AddressFamily, SocketAddrAny, connect_unspec, getsockname, listen};
use socket2::SockRef;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

/// A socket or FIFO. Dropping it closes our descriptor and leaves a path as it is, for the next manager;
/// [`Held::close`] is the end of the socket.
#[derive(Debug)]
pub struct Held {
    name: String,
    socket: Arc<Socket>,
    fd: Arc<OwnedFd>,
}

impl Held {
    /// Opens the socket that a unit describes under this name.
    ///
    /// # Errors
    /// When the address is taken, the path is in use by another kind of file, or a call fails.
    pub fn open(name: &str, socket: Arc<Socket>, paths: &Paths) -> Result<Self, SocketError> {
        let fd = open(&socket, paths)?;
        options::keep_destinations(&fd, &socket);
        Ok(Self { name: name.to_owned(), socket, fd: Arc::new(fd) })
    }

    /// Takes a descriptor back that is the socket which the unit describes, and gives it the options that can be set
    /// at any time.
    ///
    /// # Errors
    /// When it is anything else: then the unit has changed, and the socket is to be opened anew.
    pub fn adopt(name: &str, socket: Arc<Socket>, fd: OwnedFd) -> Result<Self, SocketError> {
        let address = || socket.listen.clone();
        match mismatch(&fd, &socket) {
            Ok(None) => {}
            Ok(Some(found)) => return Err(SocketError::Mismatch { address: address(), found }),
            Err(error) => {
                let found = format!("not a socket: {}", io::Error::from(error));
                return Err(SocketError::Mismatch { address: address(), found });
            }
        }
        options::apply(fd.as_fd(), &socket)?;
        // Connections may be deferred since its unit was about to stop; that they stay so is told by nobody who waits.
        admit(&fd).map_err(|error| SocketError::Call {
            address: address(),
            action: "admit connections",
            source: error.into(),
        })?;
        Ok(Self { name: name.to_owned(), socket, fd: Arc::new(fd) })
    }

    /// Its name in the unit.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What the unit says of it.
    pub fn socket(&self) -> &Arc<Socket> {
        &self.socket
    }

    /// Takes what the unit says of it now, where it need not be opened anew for that ([`Socket::opens_as`]).
    ///
    /// # Errors
    /// As listen(2).
    pub fn renew(&mut self, socket: Arc<Socket>) -> Result<(), SocketError> {
        let is_changed = self.socket.backlog != socket.backlog;
        self.socket = socket;
        match is_changed && self.socket.listen.connects() {
            true => self.listening(listen(&self.fd, backlog(&self.socket))),
            false => Ok(()),
        }
    }

    /// Makes it take clients again where a server has ended that with shutdown(2) or connect(2), which act on the
    /// socket and not on the server's descriptor. To be called when a container has stopped.
    ///
    /// # Errors
    /// When it cannot, as for a unix socket; then it is to be closed and opened anew.
    pub fn ensure_listening(&self) -> Result<(), SocketError> {
        let again = || {
            match &self.socket.listen {
                Listen::Fifo(_) => return Ok(()),
                // The length of the queue was the last server's, too.
                listens if listens.connects() => listen(&self.fd, backlog(&self.socket))?,
                _ => connect_unspec(&self.fd)?,
            }
            options::keep_destinations(&self.fd, &self.socket);
            if is_shut_down(&self.fd)? { Err(Errno::SHUTDOWN) } else { Ok(()) }
        };
        self.listening(again())
    }

    fn listening(&self, result: rustix::io::Result<()>) -> Result<(), SocketError> {
        result.map_err(|error| SocketError::Call {
            address: self.socket.listen.clone(),
            action: "listen again",
            source: error.into(),
        })
    }

    /// Its descriptor, for whoever watches it; [`Held::close`] ends it for them, too.
    pub fn descriptor(&self) -> Arc<OwnedFd> {
        self.fd.clone()
    }

    /// Ends the socket: nobody can connect any more, and a path is gone.
    pub fn close(self) {
        // systemd may hold its copy of the descriptor for a moment longer: a socket that does not listen any
        // more is in nobody's way, socket(7) SO_REUSEADDR. There is nobody to tell of a failure.
        let _ = rustix::net::shutdown(&self.fd, rustix::net::Shutdown::Both);
        if let Listen::Udp(_) = self.socket.listen {
            let _ = SocketOption::SO_REUSEADDR.set(self.fd.as_fd(), 1);
        }
        node::remove(&self.socket);
    }
}

impl AsFd for Held {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl AsRawFd for Held {
    fn as_raw_fd(&self) -> i32 {
        self.fd.as_raw_fd()
    }
}

/// Whether nothing will be received any more.
fn is_shut_down(fd: &OwnedFd) -> rustix::io::Result<bool> {
    let mut asked = [PollFd::new(fd, PollFlags::RDHUP)];
    poll(&mut asked, Some(&Timespec::default()))?;
    Ok(asked[0].revents().contains(PollFlags::RDHUP))
}

/// What a descriptor is instead of the socket that a unit describes; `None`: it is that.
fn mismatch(fd: &OwnedFd, socket: &Socket) -> rustix::io::Result<Option<String>> {
    if let Listen::Fifo(path) = &socket.listen {
        let is_fifo = FileType::from_raw_mode(fstat(fd)?.st_mode) == FileType::Fifo;
        return Ok((!is_fifo || !node::is_at(fd, path)).then(|| "not the FIFO at this path".to_owned()));
    }
    if type_of(fd)? != socket_type(socket.listen.kind()) {
        return Ok(Some("a socket of another type".to_owned()));
    }
    let family = socket_domain(fd)?;
    if !is_at(fd, family, &socket.listen)? {
        return Ok(Some(format!("bound to another address, {:?}", getsockname(fd)?)));
    }
    if family == AddressFamily::INET6 && ipv6_v6only(fd)? != socket.is_v6_only() {
        return Ok(Some("bound with another \"v6only\"".to_owned()));
    }
    Ok((socket.listen.connects() && !socket_acceptconn(fd)?).then(|| "not listening".to_owned()))
}

fn is_at(fd: &OwnedFd, family: AddressFamily, listen: &Listen) -> rustix::io::Result<bool> {
    let local = || -> rustix::io::Result<SocketAddrAny> { getsockname(fd) };
    Ok(match listen {
        Listen::Tcp(address) | Listen::Udp(address) => {
            SocketAddr::try_from(local()?).is_ok_and(|local| local == *address)
        }
        Listen::Unix(..) if family != AddressFamily::UNIX => false,
        Listen::Unix(_, name) => node::has_name(fd, name)? && listen.path().is_none_or(|path| path.exists()),
        Listen::Vsock(VsockAddress { cid, port }) => {
            let local = SockRef::from(fd).local_addr().ok().and_then(|local| local.as_vsock_address());
            local == Some((cid.unwrap_or(libc::VMADDR_CID_ANY), *port))
        }
        Listen::Fifo(path) => node::is_at(fd, path),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::unit::model::{Pass, UnixName, UnixType};
    use rustix::net::{Shutdown, shutdown};
    use std::fs;
    use std::net::{TcpListener, TcpStream};

    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    use std::os::unix::net::{UnixListener, UnixStream};
    use std::path::Path;
    use std::time::Duration;

    fn socket(listen: Listen) -> Socket {
        let mut socket = Socket::new(listen, Pass::Fd);
        socket.node.mode = 0o660;
        socket
    }

    fn stream(path: &Path) -> Listen {
        Listen::Unix(UnixType::Stream, UnixName::Path(path.to_owned()))
    }

    fn open(socket: &Socket) -> Result<Held, SocketError> {
        Held::open("test", socket.clone().into(), &Paths::default())
    }

    fn free_port() -> u16 {
        TcpListener::bind("[::]:0").unwrap().local_addr().unwrap().port()
    }

    #[test]
    fn the_v6_wildcard_takes_both_families_and_is_adopted_again() {
        let socket = socket(Listen::Tcp(format!("[::]:{}", free_port()).parse().unwrap()));
        let Listen::Tcp(address) = socket.listen else { unreachable!() };
        let held = open(&socket).unwrap();
        TcpStream::connect(("127.0.0.1", address.port())).unwrap();
        TcpStream::connect(("::1", address.port())).unwrap();
        let copy = held.fd.try_clone().unwrap();
        drop(held);
        let adopted = Held::adopt("test", socket.into(), copy).unwrap();
        TcpStream::connect(("127.0.0.1", address.port())).unwrap();
        drop(adopted);
        assert!(TcpStream::connect(("127.0.0.1", address.port())).is_err());
    }

    #[test]
    fn a_busy_port_names_the_process_that_has_it() {
        let other = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = other.local_addr().unwrap();
        let error = open(&socket(Listen::Tcp(address))).unwrap_err().to_string();
        let pid = std::process::id();
        assert!(
            error.starts_with(&format!("{address}: Address already in use: another process (")),
            "{error}"
        );
        assert!(error.ends_with(&format!(", PID {pid}) listens there")), "{error}");
    }

    #[test]
    fn a_unix_socket_gets_its_mode_and_owner_and_is_gone_after_close() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("made/here/a.sock");
        let mut wanted = socket(stream(&path));
        (wanted.node.user, wanted.node.group) = (Some("daemon".to_owned()), Some("4321".to_owned()));
        let held = open(&wanted).unwrap();
        let metadata = path.metadata().unwrap();
        assert_eq!(metadata.permissions().mode() & 0o7777, 0o660);
        assert_eq!((metadata.uid(), metadata.gid()), (1, 4321));
        UnixStream::connect(&path).unwrap();
        held.close();
        assert!(!path.exists());
        wanted.node.user = Some("nobody-of-this-name".to_owned());
        assert!(
            open(&wanted).unwrap_err().to_string().ends_with("no user \"nobody-of-this-name\" on this host")
        );
    }

    #[test]
    fn only_a_stale_socket_file_makes_way() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.sock");
        let wanted = socket(stream(&path));
        let other = UnixListener::bind(&path).unwrap();
        assert!(matches!(open(&wanted), Err(SocketError::InUse { .. })));
        drop(other);
        let held = open(&wanted).unwrap();
        UnixStream::connect(&path).unwrap();
        held.close();
        fs::write(&path, "data").unwrap();
        assert!(matches!(open(&wanted), Err(SocketError::OtherKind { .. })));
        assert_eq!(fs::read_to_string(&path).unwrap(), "data");
    }

    #[test]
    fn a_descriptor_of_another_address_or_kind_is_not_adopted() {
        let address = "127.0.0.1:1".parse().unwrap();
        let other = TcpListener::bind("127.0.0.1:0").unwrap();
        let adopt = |fd: OwnedFd| {
            Held::adopt("test", socket(Listen::Tcp(address)).into(), fd).unwrap_err().to_string()
        };
        assert!(
            adopt(other.into()).starts_with("127.0.0.1:1: the stored descriptor is bound to another address")
        );
        assert!(adopt(fs::File::open("/dev/null").unwrap().into()).contains("not a socket"));
    }

    #[test]
    fn a_socket_that_a_server_shut_down_listens_again() {
        let wanted = socket(Listen::Tcp(format!("127.0.0.1:{}", free_port()).parse().unwrap()));
        let Listen::Tcp(address) = wanted.listen else { unreachable!() };
        let held = open(&wanted).unwrap();
        shutdown(&held.fd, Shutdown::Both).unwrap();
        assert!(TcpStream::connect(address).is_err());
        held.ensure_listening().unwrap();
        TcpStream::connect(address).unwrap();
    }

    #[test]
    fn a_unix_socket_that_a_server_shut_down_is_to_be_opened_anew() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.sock");
        let held = open(&socket(stream(&path))).unwrap();
        held.ensure_listening().unwrap();
        shutdown(&held.fd, Shutdown::Both).unwrap();
        assert!(UnixStream::connect(&path).is_err());
        // The kernel says that it listens, and that it begins to.
        assert!(socket_acceptconn(&held.fd).unwrap());
        held.ensure_listening().unwrap_err();
    }

    #[test]
    fn the_queue_is_as_long_as_the_unit_says_after_a_server_that_made_it_short() {
        let wanted = socket(Listen::Tcp(format!("127.0.0.1:{}", free_port()).parse().unwrap()));
        let Listen::Tcp(address) = wanted.listen else { unreachable!() };
        let held = open(&wanted).unwrap();
        listen(&held.fd, 0).unwrap();
        held.ensure_listening().unwrap();
        let connect = |_| TcpStream::connect_timeout(&address, Duration::from_millis(500)).unwrap();
        let _clients: Vec<_> = (0..wanted.backlog).map(connect).collect();
    }
}
