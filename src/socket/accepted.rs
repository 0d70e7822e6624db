//! Connections that the processes of a server have accepted, seen by their descriptors. The kernel lists unix sockets by
//! network namespaces, where an accepted one belongs to that of its client; it lists none of vsock(7).

use super::node::{has_name, socket_type};
use super::stand_in::duplicate;
use crate::sys::process;
use crate::unit::model::Listen;
use rustix::net::sockopt::socket_acceptconn;
use rustix::net::{getpeername, sockopt};
use socket2::SockRef;
use std::collections::BTreeSet;
use std::os::fd::OwnedFd;

/// Counts the connections to an address that any of these processes has.
pub(super) fn count(listen: &Listen, processes: &[u32]) -> usize {
    let mut seen = BTreeSet::new();
    let sockets =
        processes.iter().flat_map(|pid| process::sockets(*pid).into_iter().map(|found| (*pid, found)));
    // Of a process that ends meanwhile, nothing is left to be counted.
    let connections = sockets.filter(|(pid, (fd, inode))| {
        seen.insert(*inode) && duplicate(*pid, *fd).is_ok_and(|socket| is_connection(&socket, listen))
    });
    connections.count()
}

fn is_connection(socket: &OwnedFd, listen: &Listen) -> bool {
    is_at(socket, listen).unwrap_or(false)
        && !socket_acceptconn(socket).unwrap_or(true)
        && getpeername(socket).is_ok()
}

fn is_at(socket: &OwnedFd, listen: &Listen) -> std::io::Result<bool> {
    Ok(match listen {
        Listen::Unix(kind, name) => {
            sockopt::socket_type(socket)? == socket_type(*kind) && has_name(socket, name)?
        }
        Listen::Vsock(address) => {
            let local = SockRef::from(socket).local_addr()?.as_vsock_address();
            local.is_some_and(|(_, port)| port == address.port)
        }
        _ => false,
    })
}
