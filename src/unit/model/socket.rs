//! `[socket.*]`: what a unit listens at, and how.

pub use crate::proxy::configuration::ProxyProtocol;

use crate::unit::sparse::Sparse;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// One `[socket.NAME]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Socket {
    /// The host address.
    pub listen: Listen,
    /// How the container gets it.
    pub pass: Pass,
    /// For `swap` and `proxy`: the address that the server binds, where it is not `listen`.
    pub target: Option<Listen>,
    /// For `proxy`: how the server is told who its client is.
    #[serde(default)]
    pub proxy_protocol: Option<ProxyProtocol>,
    /// The most connections at one time.
    #[serde(default)]
    pub max_connections: Option<u32>,
    /// The same from one source.
    #[serde(default)]
    pub max_connections_per_source: Option<u32>,
    /// Length of the queue, listen(2).
    pub backlog: u32,
    /// What it is in the file system.
    #[serde(default)]
    pub node: Sparse<SocketNode>,
    /// Options of the socket itself.
    #[serde(default)]
    pub options: Sparse<SocketOptions>,
}

/// `socket.*.listen`. It is displayed as units write it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Listen {
    /// `0.0.0.0:80`, `[::]:80` (dual, takes v4 too), `[::1]:80`; a bare port is `[::]:PORT`.
    Tcp(SocketAddr),
    /// `udp:0.0.0.0:53`; a bare port is `[::]:PORT`.
    Udp(SocketAddr),
    /// `/run/web.sock`, `@name`; `datagram:/run/log.sock`, `seqpacket:@name`.
    Unix(UnixType, UnixName),
    /// `vsock:PORT`, `vsock:CID:PORT`.
    Vsock(VsockAddress),
    /// `fifo:/run/log.fifo`, a named pipe, fifo(7).
    Fifo(PathBuf),
}

/// How a unix socket carries messages, unix(7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum UnixType {
    /// `SOCK_STREAM`.
    Stream,
    /// `SOCK_DGRAM`.
    Datagram,
    /// `SOCK_SEQPACKET`.
    SequentialPacket,
}

/// The name of a unix socket, unix(7).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum UnixName {
    /// In the file system.
    Path(PathBuf),
    /// In the abstract name space.
    Abstract(String),
}

/// An address of a virtual machine, vsock(7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct VsockAddress {
    /// Context id; `None`: every one, `VMADDR_CID_ANY`.
    pub cid: Option<u32>,
    /// Port.
    pub port: u32,
}

/// `socket.*.pass`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Pass {
    /// By `LISTEN_FDS`, sd_listen_fds(3).
    Fd,
    /// In place of the socket that the server binds by itself.
    Swap,
    /// Not at all: bytes are moved between its clients and the server, which listens in a network of its own.
    Proxy,
    /// Each connection to a container of its own.
    Accept,
}

/// What a socket or FIFO is in the file system.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SocketNode {
    /// Its mode.
    pub mode: u32,
    /// Its owner, a name or a number of the host.
    pub user: Option<String>,
    /// Its group.
    pub group: Option<String>,
    /// Mode of the directories above it that are made.
    pub directory_mode: u32,
    /// Links to it, which are removed with it.
    pub symlinks: Vec<PathBuf>,
}

impl Default for SocketNode {
    /// As systemd.socket(5) `SocketMode=` and `DirectoryMode=`.
    fn default() -> Self {
        Self { mode: 0o666, user: None, group: None, directory_mode: 0o755, symlinks: Vec::new() }
    }
}

/// Options of a socket, socket(7), ip(7), ipv6(7), tcp(7); what is not set is the kernel's default.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SocketOptions {
    /// `IP_FREEBIND`: the address need not exist yet.
    pub free_bind: bool,
    /// `SO_BINDTODEVICE`: the one network interface.
    pub bind_to_device: Option<String>,
    /// `SO_REUSEPORT`: others can listen there, too.
    pub reuse_port: bool,
    /// `IPV6_V6ONLY`; without it, only `[::]` takes v4.
    pub v6only: Option<bool>,
    /// Probes of connections that are silent.
    pub keep_alive: KeepAlive,
    /// `TCP_NODELAY`.
    pub no_delay: bool,
    /// `TCP_DEFER_ACCEPT`: how long a connection without data waits, in whole seconds.
    pub defer_accept: Option<Duration>,
    /// `SO_MARK`.
    pub mark: Option<u32>,
    /// `SO_RCVBUF` in bytes, as written to setsockopt(2).
    pub receive_buffer: Option<u32>,
    /// `SO_SNDBUF` in bytes.
    pub send_buffer: Option<u32>,
}

/// `SO_KEEPALIVE` and what belongs to it, tcp(7).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct KeepAlive {
    /// Whether silent connections are probed.
    pub on: bool,
    /// `TCP_KEEPIDLE`: silence before the first probe, in whole seconds.
    pub time: Option<Duration>,
    /// `TCP_KEEPINTVL`: the time between two, in whole seconds.
    pub interval: Option<Duration>,
    /// `TCP_KEEPCNT`: unanswered ones that end a connection.
    pub probes: Option<u32>,
}

impl Socket {
    /// The length of the queue where a unit says nothing of it: the most that the kernel takes, listen(2).
    pub const BACKLOG: u32 = 4096;

    /// A socket of which a unit says no more.
    pub fn new(listen: Listen, pass: Pass) -> Self {
        Self {
            listen,
            pass,
            target: None,
            proxy_protocol: None,
            max_connections: None,
            max_connections_per_source: None,
            backlog: Self::BACKLOG,
            node: Sparse::default(),
            options: Sparse::default(),
        }
    }

    /// Connections that a proxy has at one time, where a unit says nothing of it.
    pub const PROXY_CONNECTIONS: u32 = 4096;

    /// Where a server waits for the clients of a proxy; `None` where the unit has to say it.
    pub fn proxy_target(&self) -> Option<Listen> {
        let own = |address: SocketAddr| SocketAddr::from((Ipv4Addr::LOCALHOST, address.port()));
        self.target.clone().or(match self.listen {
            Listen::Tcp(address) => Some(Listen::Tcp(own(address))),
            Listen::Udp(address) => Some(Listen::Udp(own(address))),
            Listen::Unix(..) | Listen::Vsock(_) | Listen::Fifo(_) => None,
        })
    }

    /// Whether it is of version 6 and takes no v4.
    pub fn is_v6_only(&self) -> bool {
        let own = match self.listen {
            Listen::Tcp(address) | Listen::Udp(address) => address,
            _ => return false,
        };
        own.is_ipv6() && self.options.v6only.unwrap_or(!own.ip().is_unspecified())
    }

    /// Whether opening one makes the same socket as opening the other.
    pub fn opens_as(&self, other: &Self) -> bool {
        self.listen == other.listen && self.node == other.node && self.options == other.options
    }

    /// Whether opening one would make opening the other fail: `[::]:80` takes v4 connections too.
    pub fn collides(&self, other: &Self) -> bool {
        let (one, two) = match (&self.listen, &other.listen) {
            (Listen::Tcp(one), Listen::Tcp(two)) | (Listen::Udp(one), Listen::Udp(two)) => (one, two),
            (Listen::Unix(_, one), Listen::Unix(_, two)) => return one == two,
            (one, two) => return one.path().map_or(one == two, |path| two.path() == Some(path)),
        };
        let devices = (&self.options.bind_to_device, &other.options.bind_to_device);
        let apart = matches!(devices, (Some(one), Some(other)) if one != other)
            || self.options.reuse_port && other.options.reuse_port
            || one.port() != two.port();
        let any = |address: &SocketAddr| address.ip().is_unspecified();
        let overlap = match (one.is_ipv6(), two.is_ipv6()) {
            (true, false) => any(one) && !self.is_v6_only(),
            (false, true) => any(two) && !other.is_v6_only(),
            _ => one == two || any(one) || any(two),
        };
        !apart && overlap
    }
}

impl Listen {
    /// Its name in the file system, where it has one.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Unix(_, UnixName::Path(path)) | Self::Fifo(path) => Some(path),
            Self::Unix(_, UnixName::Abstract(_)) | Self::Tcp(_) | Self::Udp(_) | Self::Vsock(_) => None,
        }
    }

    /// How it carries messages, socket(2); a FIFO is no socket, and a stream.
    pub fn kind(&self) -> UnixType {
        match self {
            Self::Tcp(_) | Self::Vsock(_) | Self::Fifo(_) => UnixType::Stream,
            Self::Udp(_) => UnixType::Datagram,
            Self::Unix(kind, _) => *kind,
        }
    }

    /// Whether it has connections, which wait in a queue.
    pub fn connects(&self) -> bool {
        match self {
            Self::Tcp(_) | Self::Vsock(_) => true,
            Self::Unix(kind, _) => *kind != UnixType::Datagram,
            Self::Udp(_) | Self::Fifo(_) => false,
        }
    }
}

impl UnixType {
    /// The word before an address; a stream has none.
    pub fn word(self) -> Option<&'static str> {
        match self {
            Self::Stream => None,
            Self::Datagram => Some("datagram"),
            Self::SequentialPacket => Some("seqpacket"),
        }
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(formatter),
            Self::Udp(address) => write!(formatter, "udp:{address}"),
            Self::Unix(kind, name) => {
                if let Some(word) = kind.word() {
                    write!(formatter, "{word}:")?;
                }
                match name {
                    UnixName::Path(path) => path.display().fmt(formatter),
                    UnixName::Abstract(name) => write!(formatter, "@{name}"),
                }
            }
            Self::Vsock(VsockAddress { cid: Some(cid), port }) => write!(formatter, "vsock:{cid}:{port}"),
            Self::Vsock(VsockAddress { cid: None, port }) => write!(formatter, "vsock:{port}"),
            Self::Fifo(path) => write!(formatter, "fifo:{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::unit::value::Written;

    fn socket(listen: &str, options: SocketOptions) -> Socket {
        Socket { options: options.into(), ..Socket::new(Listen::read(listen).unwrap(), Pass::Fd) }
    }

    fn collide(one: &str, other: &str) -> bool {
        let plain = |listen| socket(listen, SocketOptions::default());
        let found = plain(one).collides(&plain(other));
        assert_eq!(found, plain(other).collides(&plain(one)), "{one} and {other}");
        found
    }

    #[test]
    fn what_the_kernel_would_refuse_collides() {
        for (one, other) in [
            ("80", "0.0.0.0:80"),
            ("80", "127.0.0.1:80"),
            ("80", "[::1]:80"),
            ("0.0.0.0:80", "127.0.0.1:80"),
            ("udp:53", "udp:127.0.0.1:53"),
            ("/run/x", "datagram:/run/x"),
            ("fifo:/run/x", "/run/x"),
            ("seqpacket:@x", "@x"),
            ("vsock:1", "vsock:1"),
        ] {
            assert!(collide(one, other), "{one} and {other}");
        }
        for (one, other) in [
            ("80", "81"),
            ("80", "udp:80"),
            ("[::1]:80", "127.0.0.1:80"),
            ("/run/x", "@/run/x"),
            ("vsock:1", "vsock:2"),
        ] {
            assert!(!collide(one, other), "{one} and {other}");
        }
    }

    #[test]
    fn options_keep_sockets_apart() {
        let v6only = SocketOptions { v6only: Some(true), ..SocketOptions::default() };
        let v4 = socket("0.0.0.0:80", SocketOptions::default());
        assert!(!socket("80", v6only).collides(&v4) && !v4.is_v6_only());
        let shared = || socket("80", SocketOptions { reuse_port: true, ..SocketOptions::default() });
        assert!(!shared().collides(&shared()) && shared().collides(&v4));
        let on = |device: &str| {
            let bind_to_device = Some(device.to_owned());
            socket("80", SocketOptions { bind_to_device, ..SocketOptions::default() })
        };
        assert!(!on("eth0").collides(&on("eth1")) && on("eth0").collides(&on("eth0")));
    }
}
