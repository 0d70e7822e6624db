//! `pass = "accept"`: a container for each connection, as systemd.socket(5) `Accept=`.

use super::socket::Socket;
use crate::unit::name::UnitName;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::net::{IpAddr, SocketAddr};

/// How many connections a socket with `pass = "accept"` has at a time; what comes beyond is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConnectionLimits {
    /// All of them.
    pub total: u32,
    /// Those of one source; 0: any number.
    pub per_source: u32,
}

impl ConnectionLimits {
    /// What a unit does not say is as systemd.socket(5) `MaxConnections=` and `MaxConnectionsPerSource=`.
    pub fn of(socket: &Socket) -> Self {
        Self {
            total: socket.max_connections.unwrap_or(64),
            per_source: socket.max_connections_per_source.unwrap_or_default(),
        }
    }
}

/// `container.standard_input`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum StandardInput {
    /// There is nothing to read, and output goes to the journal.
    #[default]
    Null,
    /// The unit's one socket is standard input and output, as inetd(8) has it.
    Socket,
}

/// What a container is for that was made for one connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accepted {
    /// The unit that listens.
    pub by: UnitName,
    /// The name of its socket.
    pub socket: String,
    /// Who has connected.
    pub peer: Peer,
}

/// The other end of a connection. An address of IPv4 that IPv6 maps is one of IPv4.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Peer {
    /// By TCP.
    Internet(SocketAddr),
    /// A process of this host.
    Unix {
        /// Its number.
        process: i32,
        /// Its user.
        user: u32,
        /// The address of its socket, where that has one: a path, or a name after `@`.
        address: Option<String>,
    },
    /// A virtual machine, vsock(7).
    Vsock {
        /// Its context id.
        cid: u32,
        /// The port.
        port: u32,
    },
    /// It has gone already.
    Unknown,
}

/// What connections are counted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// An address of IP.
    Address(IpAddr),
    /// A user of this host.
    User(u32),
    /// A virtual machine.
    Guest(u32),
}

impl Peer {
    /// What its connections are counted by; nothing is known of one that has gone.
    pub fn source(&self) -> Option<Source> {
        match self {
            Self::Internet(address) => Some(Source::Address(address.ip())),
            Self::Unix { user, .. } => Some(Source::User(*user)),
            Self::Vsock { cid, .. } => Some(Source::Guest(*cid)),
            Self::Unknown => None,
        }
    }

    /// `REMOTE_ADDR` and `REMOTE_PORT`, systemd.socket(5).
    pub fn remote(&self) -> (Option<String>, Option<u32>) {
        match self {
            Self::Internet(address) => (Some(address.ip().to_string()), Some(address.port().into())),
            Self::Unix { address, .. } => (address.clone(), None),
            Self::Vsock { cid, port } => (Some(format!("vsock:{cid}")), Some(*port)),
            Self::Unknown => (None, None),
        }
    }
}

impl std::fmt::Display for Peer {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Internet(address) => address.fmt(formatter),
            Self::Unix { process, user, .. } => write!(formatter, "PID {process}/UID {user}"),
            Self::Vsock { cid, port } => write!(formatter, "vsock:{cid}:{port}"),
            Self::Unknown => formatter.write_str("unknown"),
        }
    }
}

impl std::fmt::Display for Source {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Address(address) => address.fmt(formatter),
            Self::User(user) => write!(formatter, "UID {user}"),
            Self::Guest(cid) => write!(formatter, "CID {cid}"),
        }
    }
}
