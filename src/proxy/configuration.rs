//! What the proxy is told about its sockets: JSON on its standard input.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// All sockets, in the order of the passed descriptors.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Configuration {
    /// One for each descriptor.
    pub sockets: Vec<Socket>,
    /// What ends the proxy beside SIGTERM.
    #[serde(default)]
    pub lifetime: Lifetime,
}

/// How long the proxy runs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Lifetime {
    /// Until it is told to end.
    #[default]
    Own,
    /// Until the process ends whose pidfd comes after the sockets.
    Container,
}

impl Configuration {
    /// How many descriptors come with it.
    pub fn descriptors(&self) -> usize {
        self.sockets.len() + usize::from(self.lifetime == Lifetime::Container)
    }
}

/// One socket on which clients come. Whether it is one of streams, of packets or of datagrams is asked of the kernel:
/// its target is of the same type.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Socket {
    /// Its name in the unit.
    pub name: String,
    /// Where the server waits for clients.
    pub target: Target,
    /// How the server is told who the client is, where it is told.
    #[serde(default)]
    pub proxy_protocol: Option<ProxyProtocol>,
    /// Connections, or flows of datagrams, at one time.
    pub max_connections: u32,
    /// The same from one address, or of one user of a unix socket.
    #[serde(default)]
    pub max_connections_per_source: Option<u32>,
    /// How long an accepted client waits for a server that does not take it.
    pub connect_timeout: Duration,
    /// How long a flow of datagrams lasts after its last one.
    pub idle_timeout: Duration,
}

/// An address in the proxy's own network and file system.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// Of TCP or UDP.
    Internet(SocketAddr),
    /// A path.
    Unix(PathBuf),
    /// A name of the abstract name space, without its zero byte.
    Abstract(String),
}

impl fmt::Display for Target {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Internet(address) => address.fmt(formatter),
            Self::Unix(path) => path.display().fmt(formatter),
            Self::Abstract(name) => write!(formatter, "@{name}"),
        }
    }
}

/// Versions of HAProxy's `proxy-protocol.txt`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProxyProtocol {
    /// A line of text; not for datagrams.
    V1,
    /// Binary: before the first byte of a connection, and before the bytes of each datagram.
    V2,
}
