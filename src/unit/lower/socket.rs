//! `[socket.*]` as meant.

use crate::unit::model::{
    KeepAlive, Listen, Pass, ProxyProtocol, Socket, SocketNode, SocketOptions, UnixName, UnixType,
};
use crate::unit::report::Report;
use crate::unit::schema::SocketTable;
use crate::unit::value::{Bytes, Text, TimeSpan};
use std::collections::BTreeMap;
use std::mem::discriminant;
use std::time::Duration;

/// One message can pass 253 descriptors, unix(7) `SCM_RIGHTS`.
const SOCKETS_MAX: usize = 128;
/// The kernel's `MAX_TCP_KEEPIDLE` and `MAX_TCP_KEEPINTVL`.
const SECONDS_MAX: u64 = 32767;
/// The kernel's `MAX_TCP_KEEPCNT`.
const PROBES_MAX: u32 = 127;
/// The kernel doubles what setsockopt(2) is given, in an `int`.
const BUFFER_MAX: u64 = (i32::MAX / 2) as u64;

/// The sockets that are whole; what is wrong with the others is reported.
pub fn lower(tables: &BTreeMap<String, SocketTable>, report: &mut Report<'_>) -> BTreeMap<String, Socket> {
    let mut sockets: BTreeMap<String, Socket> = BTreeMap::new();
    if tables.len() > SOCKETS_MAX {
        let message = format!("a unit cannot have more than {SOCKETS_MAX} sockets");
        report.error(&["socket"], message, "spread them over several units");
        return sockets;
    }
    for (name, table) in tables {
        check_name(name, report);
        report.missing(&["socket", name], "listen", "write listen = \"[::]:80\"");
        let Some(socket) = Reader { name, report }.socket(table) else { continue };
        if let Some((other, there)) = sockets.iter().find(|(_, other)| other.collides(&socket)) {
            let message = format!("[socket.{other}] listens on this address already");
            let help = if there.listen != socket.listen && there.listen.path().is_none() {
                "\"[::]:PORT\" takes v4 connections too"
            } else {
                "leave one out"
            };
            report.error(&["socket", name, "listen"], message, help);
        }
        sockets.insert(name.clone(), socket);
    }
    sockets
}

fn check_name(name: &str, report: &mut Report<'_>) {
    let named = !name.is_empty()
        && name.len() <= 255
        && name.bytes().all(|byte| byte.is_ascii_graphic() && byte != b':');
    if !named {
        let help = "LISTEN_FDNAMES takes printable characters but \":\", at most 255";
        report.error(&["socket", name], format!("\"{name}\" cannot name a socket"), help);
    }
}

/// What an option is for.
struct Purpose {
    /// Whether a socket is of this kind.
    fits: fn(&Listen) -> bool,
    /// The end of `"KEY" is for …`.
    words: &'static str,
}

const FILE_SYSTEM: Purpose =
    Purpose { fits: |listen| listen.path().is_some(), words: "a socket in the file system" };
const QUEUE: Purpose = Purpose { fits: Listen::connects, words: "a socket that takes connections" };
const INTERNET: Purpose =
    Purpose { fits: |listen| matches!(listen, Listen::Tcp(_) | Listen::Udp(_)), words: "TCP and UDP" };
const VERSION_6: Purpose = Purpose {
    fits: |listen| matches!(listen, Listen::Tcp(address) | Listen::Udp(address) if address.is_ipv6()),
    words: "an address of IPv6",
};
const TCP: Purpose = Purpose { fits: |listen| matches!(listen, Listen::Tcp(_)), words: "TCP" };
const SOCKETS: Purpose =
    Purpose { fits: |listen| !matches!(listen, Listen::Fifo(_)), words: "sockets, and a FIFO is none" };

/// The options that a table has, and what they are for.
fn purposes(table: &SocketTable) -> [(&'static str, bool, Purpose); 19] {
    [
        ("mode", table.mode.is_some(), FILE_SYSTEM),
        ("user", table.user.is_some(), FILE_SYSTEM),
        ("group", table.group.is_some(), FILE_SYSTEM),
        ("directory_mode", table.directory_mode.is_some(), FILE_SYSTEM),
        ("symlinks", !table.symlinks.is_empty(), FILE_SYSTEM),
        ("backlog", table.backlog.is_some(), QUEUE),
        ("free_bind", table.free_bind.is_some(), INTERNET),
        ("bind_to_device", table.bind_to_device.is_some(), INTERNET),
        ("reuse_port", table.reuse_port.is_some(), INTERNET),
        ("mark", table.mark.is_some(), INTERNET),
        ("v6only", table.v6only.is_some(), VERSION_6),
        ("keepalive", table.keepalive.is_some(), TCP),
        ("keepalive_time", table.keepalive_time.is_some(), TCP),
        ("keepalive_interval", table.keepalive_interval.is_some(), TCP),
        ("keepalive_probes", table.keepalive_probes.is_some(), TCP),
        ("nodelay", table.nodelay.is_some(), TCP),
        ("defer_accept", table.defer_accept.is_some(), TCP),
        ("receive_buffer", table.receive_buffer.is_some(), SOCKETS),
        ("send_buffer", table.send_buffer.is_some(), SOCKETS),
    ]
}

/// Reads one table.
struct Reader<'a, 'r> {
    name: &'a str,
    report: &'a mut Report<'r>,
}

impl Reader<'_, '_> {
    fn socket(&mut self, table: &SocketTable) -> Option<Socket> {
        self.check_accounts(table);
        if table.backlog == Some(0) {
            self.error("backlog", "a backlog of 0 would refuse every connection", "leave it out for 4096");
        }
        let options = self.options(table);
        let Text(listen) = table.listen.clone()?;
        for (key, given, purpose) in purposes(table) {
            if given && !(purpose.fits)(&listen) {
                self.error(key, format!("\"{key}\" is for {}", purpose.words), "leave it out");
            }
        }
        let pass = self.pass(table, &listen);
        let target = table.target.clone().map(|Text(target)| target);
        match pass {
            Pass::Proxy => self.check_proxy_target(&listen, target.as_ref()),
            Pass::Fd | Pass::Swap | Pass::Accept => self.check_target(&listen, pass, target.as_ref()),
        }
        self.check_of_proxy(table, &listen, pass);
        let node = self.node(table, &listen);
        let backlog = table.backlog.unwrap_or(Socket::BACKLOG);
        Some(Socket {
            target,
            proxy_protocol: table.proxy_protocol.clone().map(|Text(version)| version),
            max_connections: table.max_connections,
            max_connections_per_source: table.max_connections_per_source,
            backlog,
            node: node.into(),
            options: options.into(),
            ..Socket::new(listen, pass)
        })
    }

    /// Nobody binds a FIFO, and the filter of system calls lets no container make a socket of vsock(7).
    fn pass(&mut self, table: &SocketTable, listen: &Listen) -> Pass {
        let without = match listen {
            Listen::Fifo(_) => Some("no server binds a FIFO"),
            Listen::Vsock(_) => Some("no container can bind an address of vsock(7) by itself"),
            Listen::Tcp(_) | Listen::Udp(_) | Listen::Unix(..) => None,
        };
        let written = table.pass.clone().map(|Text(pass)| pass);
        match (written, without) {
            (Some(Pass::Swap | Pass::Proxy), Some(why)) => {
                self.error("pass", why, "use \"fd\", for LISTEN_FDS");
                Pass::Fd
            }
            (Some(pass), _) => pass,
            (None, Some(_)) => Pass::Fd,
            (None, None) => Pass::Swap,
        }
    }

    fn check_target(&mut self, listen: &Listen, pass: Pass, target: Option<&Listen>) {
        let Some(target) = target else { return };
        let same = match (listen, target) {
            (Listen::Unix(one, _), Listen::Unix(other, _)) => one == other,
            _ => discriminant(listen) == discriminant(target),
        };
        if matches!(pass, Pass::Fd | Pass::Accept) {
            let pass = if pass == Pass::Fd { "fd" } else { "accept" };
            let message = format!("\"target\" has no meaning with pass = \"{pass}\"");
            self.error("target", message, "leave it out, or use pass = \"swap\"");
        } else if !same {
            let message = format!("a server that binds \"{target}\" cannot get the socket of \"{listen}\"");
            let help = match listen.to_string().split_once(':') {
                Some((word @ ("udp" | "datagram" | "seqpacket"), _)) => {
                    format!("did you mean \"{word}:{target}\"?")
                }
                _ => "both must be of one kind".to_owned(),
            };
            self.error("target", message, help);
        }
    }

    /// A proxy reaches its server over the container's network, and turns no stream into datagrams.
    fn check_proxy_target(&mut self, listen: &Listen, target: Option<&Listen>) {
        let Some(target) = target else {
            if let Listen::Unix(..) = listen {
                let message = "where the server of this socket listens is not known";
                self.report.error(&["socket", self.name], message, "write target = \"127.0.0.1:PORT\"");
            }
            return;
        };
        match target {
            Listen::Vsock(_) | Listen::Fifo(_) => {
                self.error(
                    "target",
                    format!("no server of a container listens at \"{target}\""),
                    "write target = \"127.0.0.1:PORT\"",
                );
            }
            Listen::Unix(_, UnixName::Path(_)) => {
                let message = "a proxy does not see the container's files";
                self.error("target", message, "use pass = \"swap\" for a socket in its file system");
            }
            _ if listen.kind() != target.kind() => {
                let message = format!("what comes over \"{listen}\" cannot go to \"{target}\"");
                self.error("target", message, "both must be streams, datagrams, or sequential packets");
            }
            _ => {}
        }
    }

    fn check_of_proxy(&mut self, table: &SocketTable, listen: &Listen, pass: Pass) {
        if table.proxy_protocol.is_some() && pass != Pass::Proxy {
            let message = "\"proxy_protocol\" is for sockets with pass = \"proxy\"";
            self.error("proxy_protocol", message, "leave it out: the server itself knows its clients");
        }
        for (key, number) in [
            ("max_connections", table.max_connections),
            ("max_connections_per_source", table.max_connections_per_source),
        ] {
            if number.is_some() && matches!(pass, Pass::Fd | Pass::Swap) {
                let message = format!("\"{key}\" is for sockets with pass = \"proxy\" or \"accept\"");
                self.error(key, message, "leave it out: the server itself accepts its clients");
            }
        }
        let is_v1 = matches!(table.proxy_protocol, Some(Text(ProxyProtocol::V1)));
        if is_v1 && listen.kind() == UnixType::Datagram {
            self.error("proxy_protocol", "a line of text cannot be told from a datagram", "use \"v2\"");
        }
        for (key, number) in [
            ("max_connections", table.max_connections),
            ("max_connections_per_source", table.max_connections_per_source),
        ] {
            let is_unlimited = pass == Pass::Accept && key == "max_connections_per_source";
            if number == Some(0) && !is_unlimited {
                self.error(key, "nobody could connect", "leave it out");
            }
        }
    }

    fn check_accounts(&mut self, table: &SocketTable) {
        for (key, account) in [("user", &table.user), ("group", &table.group)] {
            if account.as_ref().is_some_and(|Text(account)| account.0.contains(':')) {
                self.error(
                    key,
                    format!("\"{key}\" takes one name or number"),
                    "write the group in \"group\"",
                );
            }
        }
    }

    fn node(&mut self, table: &SocketTable, listen: &Listen) -> SocketNode {
        let default = SocketNode::default();
        let symlinks: Vec<_> = table.symlinks.iter().map(|Text(path)| path.0.clone()).collect();
        if let Some(index) = symlinks.iter().position(|link| listen.path() == Some(link)) {
            let way = ["socket", self.name, "symlinks"];
            self.report.item_error(&way, index, "this is the path of the socket itself", "leave it out");
        }
        SocketNode {
            mode: table.mode.as_ref().map_or(default.mode, |Text(mode)| mode.0),
            user: table.user.clone().map(|Text(user)| user.0),
            group: table.group.clone().map(|Text(group)| group.0),
            directory_mode: table.directory_mode.as_ref().map_or(default.directory_mode, |Text(mode)| mode.0),
            symlinks,
        }
    }

    fn options(&mut self, table: &SocketTable) -> SocketOptions {
        SocketOptions {
            free_bind: table.free_bind.unwrap_or_default(),
            bind_to_device: table.bind_to_device.clone().map(|Text(device)| device.0),
            reuse_port: table.reuse_port.unwrap_or_default(),
            v6only: table.v6only,
            keep_alive: KeepAlive {
                on: table.keepalive.unwrap_or_default(),
                time: self.seconds("keepalive_time", table.keepalive_time.as_ref()),
                interval: self.seconds("keepalive_interval", table.keepalive_interval.as_ref()),
                probes: self.probes(table.keepalive_probes),
            },
            no_delay: table.nodelay.unwrap_or_default(),
            defer_accept: self.seconds("defer_accept", table.defer_accept.as_ref()),
            mark: table.mark,
            receive_buffer: self.buffer("receive_buffer", table.receive_buffer.as_ref()),
            send_buffer: self.buffer("send_buffer", table.send_buffer.as_ref()),
        }
    }

    /// The kernel counts these in whole seconds.
    fn seconds(&mut self, key: &str, written: Option<&Text<TimeSpan>>) -> Option<Duration> {
        let Text(TimeSpan(span)) = written?;
        let whole =
            span.filter(|span| span.subsec_nanos() == 0 && (1..=SECONDS_MAX).contains(&span.as_secs()));
        if whole.is_none() {
            let help = "write a whole number of seconds, from 1 to 32767";
            self.error(key, format!("\"{key}\" is a time that the kernel cannot count"), help);
        }
        whole
    }

    fn probes(&mut self, written: Option<u32>) -> Option<u32> {
        let bound = written?;
        if !(1..=PROBES_MAX).contains(&bound) {
            self.error("keepalive_probes", "tcp(7) sends from 1 to 127 probes", "leave it out for 9");
        }
        Some(bound)
    }

    fn buffer(&mut self, key: &str, written: Option<&Text<Bytes>>) -> Option<u32> {
        let Text(Bytes(bytes)) = written?;
        let size = u32::try_from(*bytes).ok().filter(|_| (1..=BUFFER_MAX).contains(bytes));
        if size.is_none() {
            self.error(key, "no socket has a buffer of this size", "write one below 1G, such as \"1M\"");
        }
        size
    }

    fn error(&mut self, key: &str, message: impl AsRef<str>, help: impl AsRef<str>) {
        self.report.error(&["socket", self.name, key], message, help);
    }
}
