//! Sockets of units: held by the manager before, between and after the runs of their container.
//! `listen` holds and adopts them, `open` opens them, with their `options` and their `node` in the file system;
//! `swap` puts them in place of those that a server binds by itself, with the options that it `carry`s over,
//! `elsewhere` replaces them where the server has them besides, `queue` tells who waits in vain,
//! `connections` counts who is connected, `incoming` takes connections for `pass = "accept"`.
#![forbid(unsafe_code)]

mod accepted;
mod carry;
pub mod connections;
pub mod defer;
mod elsewhere;
pub mod incoming;
pub mod listen;
mod node;
mod open;
mod options;
pub mod queue;
mod stand_in;
pub mod swap;
mod unix_node;

use crate::unit::model::Listen;
use std::fmt;
use std::io;
use std::path::PathBuf;

/// Why a socket does not work.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// A call failed.
    #[error("{address}: cannot {action}: {source}")]
    Call {
        /// Where the socket should listen.
        address: Listen,
        /// What could not be done: `listen`, `set its owner`.
        action: &'static str,
        /// Why.
        source: io::Error,
    },
    /// Somebody else listens there.
    #[error("{address}: Address already in use: {holder} listens there")]
    InUse {
        /// Where the socket should listen.
        address: Listen,
        /// Who does.
        holder: Holder,
    },
    /// There is a file of another kind.
    #[error("{address}: {} exists and is not {expected}; remove it first", path.display())]
    OtherKind {
        /// Where the socket should listen.
        address: Listen,
        /// The path.
        path: PathBuf,
        /// `a socket` or `a FIFO`.
        expected: &'static str,
    },
    /// A link to the socket cannot be made.
    #[error("{address}: cannot make the link {}: {source}", link.display())]
    Link {
        /// Where the socket listens.
        address: Listen,
        /// The link.
        link: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// An option cannot be set.
    #[error("{address}: cannot set {option}: {source}")]
    Option {
        /// Where the socket should listen.
        address: Listen,
        /// `SO_MARK`.
        option: &'static str,
        /// Why.
        source: io::Error,
    },
    /// The owner of the socket is unknown.
    #[error("{address}: no {kind} \"{name}\" on this host")]
    UnknownOwner {
        /// Where the socket should listen.
        address: Listen,
        /// `user` or `group`.
        kind: &'static str,
        /// As the unit has it.
        name: String,
    },
    /// A stored descriptor is not the socket that the unit describes now.
    #[error("{address}: the stored descriptor is {found}")]
    Mismatch {
        /// Where the socket should listen.
        address: Listen,
        /// What it is instead.
        found: String,
    },
    /// Connections could not be counted.
    #[error("{address}: cannot list connections: {source}")]
    Count {
        /// The socket.
        address: Listen,
        /// Why.
        source: io::Error,
    },
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
