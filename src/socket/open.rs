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
