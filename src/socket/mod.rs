//! Sockets of units: held by the manager before, between and after the runs of their container.
//! `listen` opens and adopts them, `swap` puts them in place of those that a server binds by itself,
//! `connections` counts who is connected.
#![forbid(unsafe_code)]

pub mod connections;
pub mod listen;
mod stand_in;
pub mod swap;
mod unix_node;

use crate::unit::model::Listen;
use std::fmt;
use std::io;

/// Why a socket does not work.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// A call failed.
    #[error("{address}: cannot {action}: {source}")]
    Call {
        /// Where the socket should listen.
        address: Address,
        /// What could not be done: `listen`, `set its owner`.
        action: &'static str,
        /// Why.
        source: io::Error,
    },
    /// Somebody else listens there.
    #[error("{address}: Address already in use: {holder} listens there")]
    InUse {
        /// Where the socket should listen.
        address: Address,
        /// Who does.
        holder: Holder,
    },
    /// There is a file that is no socket.
    #[error("{address}: the path exists and is not a socket; remove it first")]
    NoSocket {
        /// Where the socket should listen.
        address: Address,
    },
    /// The owner of the socket is unknown.
    #[error("{address}: no {kind} \"{name}\" on this host")]
    UnknownOwner {
        /// Where the socket should listen.
        address: Address,
        /// `user` or `group`.
        kind: &'static str,
        /// As the unit has it.
        name: String,
    },
    /// A stored descriptor is not the socket that the unit describes now.
    #[error("{address}: the stored descriptor is {found}")]
    Mismatch {
        /// Where the socket should listen.
        address: Address,
        /// What it is instead.
        found: String,
    },
    /// Connections could not be counted.
    #[error("{address}: cannot list connections: {source}")]
    Count {
        /// The socket.
        address: Address,
        /// Why.
        source: io::Error,
    },
}

/// An address as units write it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address(pub Listen);

impl fmt::Display for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Listen::Tcp(address) => address.fmt(formatter),
            Listen::Unix(path) => path.display().fmt(formatter),
            Listen::Abstract(name) => write!(formatter, "@{name}"),
        }
    }
}

/// The process that has an address, where it can be found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder(pub Option<(String, u32)>);

impl fmt::Display for Holder {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some((name, pid)) => write!(formatter, "another process ({name}, PID {pid})"),
            None => formatter.write_str("another process"),
        }
    }
}
