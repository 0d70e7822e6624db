//! A dual socket in two places of one server: `listen 80; listen [::]:80;`.
//!
//! Where a unit holds `[::]:80` and the server binds `0.0.0.0:80`, the dual socket stands in for the server's
//! v4 socket. Its v4 clients have mapped addresses, which most servers take from a v4 socket, but not all:
//! nginx closes such a connection. So once the same process binds v6 too, it gets its own v4 socket back,
//! bound in the container's network where nobody connects, and serves everybody through the v6 one.

use crate::sys::seccomp_notify::{self as notify, BindRequest, OnExec};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl, fstat};
use rustix::net::sockopt::set_ip_freebind;
use rustix::net::{bind, listen};
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open};
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// More than a server binds v4 sockets of one port; the oldest is forgotten.
const MEMORY: usize = 32;

/// One v4 socket that the server would have bound.
#[derive(Debug)]
pub(super) struct StandIn {
    /// The process.
    pub(super) process: u32,
    /// Its descriptor, where the dual socket is now.
    pub(super) fd: u32,
    /// Whether that is closed by execve(2).
    pub(super) on_exec: OnExec,
    /// The server's own socket.
    pub(super) own: OwnedFd,
    /// Where the server wanted it.
    pub(super) address: SocketAddr,
}

/// The v4 sockets for which dual ones stand in now.
#[derive(Debug, Default)]
pub(super) struct StandIns(Vec<StandIn>);

impl StandIns {
    /// Remembers one.
    pub(super) fn remember(&mut self, stand_in: StandIn) {
        self.0.retain(|old| (old.process, old.fd) != (stand_in.process, stand_in.fd));
        if self.0.len() == MEMORY {
            self.0.remove(0);
        }
        self.0.push(stand_in);
    }

    /// Where servers wanted those that are theirs no more.
    pub(super) fn addresses(&self) -> impl Iterator<Item = SocketAddr> {
        self.0.iter().map(|stand_in| stand_in.address)
    }

    /// Gives a process that binds v6 its own v4 sockets of the port back. One that it has closed is left
    /// out; one that cannot be given back stays as it is, which most servers can live with.
    pub(super) fn give_back(
        &mut self,
        listener: BorrowedFd<'_>,
        request: &BindRequest,
        caller: (u32, u16),
        dual: BorrowedFd<'_>,
    ) {
        let of_caller = |stand_in: &StandIn| (stand_in.process, stand_in.address.port()) == caller;
        for stand_in in self.0.extract_if(.., |stand_in| of_caller(stand_in)) {
            let StandIn { process, fd, .. } = stand_in;
            if is_still(process, fd, dual).unwrap_or(false) && restore(&stand_in, dual).is_ok() {
                let place = request.at_descriptor(stand_in.fd);
                let _ = notify::replace_descriptor(listener, &place, stand_in.own.as_fd(), stand_in.on_exec);
            }
        }
    }
}

/// Whether a descriptor of a process is a socket still: another thread may have closed it and opened something else.
pub(super) fn is_still(process: u32, fd: u32, socket: impl AsFd) -> io::Result<bool> {
    let (there, here) = (fstat(duplicate(process, fd)?)?, fstat(socket)?);
    Ok((there.st_dev, there.st_ino) == (here.st_dev, here.st_ino))
}

/// Does to the server's own socket what the server did to the dual one.
fn restore(stand_in: &StandIn, dual: BorrowedFd<'_>) -> rustix::io::Result<()> {
    // The container's network may not have the address.
    set_ip_freebind(&stand_in.own, true)?;
    bind(&stand_in.own, &stand_in.address)?;
    listen(&stand_in.own, 1)?;
    let status = fcntl_getfl(&stand_in.own)?.difference(OFlags::NONBLOCK);
    fcntl_setfl(&stand_in.own, status | fcntl_getfl(dual)?.intersection(OFlags::NONBLOCK))
}

/// A descriptor of another process, as one of ours.
pub(super) fn duplicate(process: u32, fd: u32) -> io::Result<OwnedFd> {
    let pid = i32::try_from(process).ok().and_then(Pid::from_raw).ok_or(io::ErrorKind::NotFound)?;
    let fd = i32::try_from(fd).map_err(|_| io::ErrorKind::InvalidInput)?;
    Ok(pidfd_getfd(pidfd_open(pid, PidfdFlags::empty())?, fd, PidfdGetfdFlags::empty())?)
}
