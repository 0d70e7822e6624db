//! `[socket.*]` as written.

use crate::unit::model::{Listen, Pass, ProxyProtocol};
use crate::unit::value::{AbsolutePath, Account, Bytes, InterfaceName, Mode, Text, TimeSpan};
use schemars::JsonSchema;
use serde::Deserialize;

/// `[socket.NAME]`.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SocketTable {
    /// The address on the host: "0.0.0.0:80", "80" for every address of v6 and v4, "/run/web.sock", "@name", or one
    /// after "udp:", "datagram:", "seqpacket:", "vsock:" or "fifo:".
    pub listen: Option<Text<Listen>>,
    /// How the container gets the socket: "swap", "fd", "proxy" or "accept".
    pub pass: Option<Text<Pass>>,
    /// The address that the server binds, where it is not that of listen; with "swap" and "proxy" only.
    pub target: Option<Text<Listen>>,
    /// How a server behind a proxy is told who its client is: "v1" or "v2" of the PROXY protocol.
    pub proxy_protocol: Option<Text<ProxyProtocol>>,
    /// How many connections there are at one time; with "proxy" and "accept" only.
    pub max_connections: Option<u32>,
    /// How many of them one source has; with "proxy" and "accept" only.
    pub max_connections_per_source: Option<u32>,
    /// The access mode of a socket in the file system.
    pub mode: Option<Text<Mode>>,
    /// The owner of a socket in the file system.
    pub user: Option<Text<Account>>,
    /// The group of a socket in the file system.
    pub group: Option<Text<Account>>,
    /// The access mode of the directories that are made for a socket in the file system.
    pub directory_mode: Option<Text<Mode>>,
    /// Symbolic links to a socket in the file system.
    pub symlinks: Vec<Text<AbsolutePath>>,
    /// How many connections may wait to be accepted, as in listen(2).
    pub backlog: Option<u32>,
    /// Whether the address may be one that the host does not have yet.
    pub free_bind: Option<bool>,
    /// The one network interface whose traffic the socket gets.
    pub bind_to_device: Option<Text<InterfaceName>>,
    /// Whether others can listen at the address as well.
    pub reuse_port: Option<bool>,
    /// Whether a socket of IPv6 takes no traffic by IPv4.
    pub v6only: Option<bool>,
    /// Whether silent connections are probed.
    pub keepalive: Option<bool>,
    /// How long a connection is silent before it is probed.
    pub keepalive_time: Option<Text<TimeSpan>>,
    /// The time between two probes of a connection.
    pub keepalive_interval: Option<Text<TimeSpan>>,
    /// How many probes without an answer end a connection.
    pub keepalive_probes: Option<u32>,
    /// Whether small pieces of data are sent at once.
    pub nodelay: Option<bool>,
    /// How long a connection may wait for its first data before the server learns of it.
    pub defer_accept: Option<Text<TimeSpan>>,
    /// The mark of the packets that the socket sends.
    pub mark: Option<u32>,
    /// How much may wait to be received.
    pub receive_buffer: Option<Text<Bytes>>,
    /// How much may wait to be sent.
    pub send_buffer: Option<Text<Bytes>>,
}
