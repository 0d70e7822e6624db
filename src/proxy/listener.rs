//! A socket of connections: takes clients, and sees to it that the server takes them.

use super::configuration::Socket;
use super::connection::Connection;
use super::direction::Framing;
use super::header::{Endpoint, header};
use super::notice::Notice;
use super::shared::Shared;
use super::sources::{Source, Sources};
use super::table::{Key, Table};
use super::target::{Presence, Target, is_internet};
use super::watch::{End, Gate, Subject};
use crate::sys::errno::is_of_connection;
use rustix::io::{Errno, ioctl_fionbio};
use rustix::net::sockopt::{
    set_socket_keepalive, set_socket_linger, set_tcp_nodelay, socket_domain, socket_type,
};
use rustix::net::{SocketAddrAny, SocketFlags, SocketType, acceptfrom_with, getsockname};
use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

/// Clients that are taken before those that are there have their turn.
const BATCH: usize = 32;

/// One such socket.
#[derive(Debug)]
pub(super) struct Listener {
    index: usize,
    socket: OwnedFd,
    settings: Socket,
    kind: SocketType,
    pub(super) presence: Presence,
    pub(super) sources: Sources,
    gate: Gate,
    /// For the next client: no client is accepted that could not be connected for want of a descriptor.
    spare: Option<OwnedFd>,
    /// Clients that the server did not take.
    waiting: Vec<Key>,
    /// Until when the server has to have taken clients, in the order in which they came.
    pending: VecDeque<(Instant, Key)>,
}

impl Listener {
    /// # Errors
    /// When it is no such socket, or its target none for it.
    pub(super) fn new(index: usize, socket: OwnedFd, settings: Socket, now: Instant) -> io::Result<Self> {
        let kind = socket_type(&socket)?;
        let target = Target::new(&settings.target, kind)?;
        ioctl_fionbio(&socket, true)?;
        if is_internet(socket_domain(&socket)?) {
            // Sockets that are accepted inherit both. A client that is gone without a word is found out.
            set_tcp_nodelay(&socket, true)?;
            set_socket_keepalive(&socket, true)?;
        }
        let sources = Sources::new(settings.max_connections, settings.max_connections_per_source);
        Ok(Self {
            index,
            socket,
            settings,
            kind,
            presence: Presence::of(target, now),
            sources,
            gate: Gate::default(),
            spare: None,
            waiting: Vec::new(),
            pending: VecDeque::new(),
        })
    }

    /// Takes clients that wait.
    pub(super) fn accept(&mut self, connections: &mut Table<Connection>, shared: &mut Shared) {
        for _ in 0..BATCH {
            if self.sources.is_full() {
                let (socket, connections) = (self.settings.name.clone(), self.settings.max_connections);
                shared.notices.tell(shared.now, Notice::Full { socket, connections });
                return;
            }
            if let Err(error) = self.prepare() {
                return shared.short_of(error);
            }
            match acceptfrom_with(&self.socket, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK) {
                Ok((client, address)) => self.accepted(client, address, connections, shared),
                Err(Errno::AGAIN) => return,
                Err(error) if is_of_connection(error) => {}
                Err(error) => return shared.short_of(error),
            }
        }
    }

    fn prepare(&mut self) -> Result<(), Errno> {
        if self.spare.is_none() {
            self.spare = Some(self.presence.target().socket()?);
        }
        Ok(())
    }

    fn accepted(
        &mut self,
        client: OwnedFd,
        address: Option<SocketAddrAny>,
        connections: &mut Table<Connection>,
        shared: &mut Shared,
    ) {
        let endpoint = Endpoint::of(address);
        let source = self.sources.are_counted().then(|| Source::of(&endpoint, &client)).flatten();
        if !self.sources.add(source) {
            let source = source.map(|source| source.to_string()).unwrap_or_default();
            let notice = Notice::SourceFull { socket: self.settings.name.clone(), source };
            shared.notices.tell(shared.now, notice);
            // A reset, which leaves nothing behind.
            let _ = set_socket_linger(&client, Some(Duration::ZERO));
            return;
        }
        let header = self.header(&endpoint, &client);
        let framing = if self.kind == SocketType::STREAM { Framing::Stream } else { Framing::Packets };
        let key = connections.insert(Connection::new(self.index, source, client, framing, header));
        self.pending.push_back((shared.now + self.settings.connect_timeout, key));
        let Some(connection) = connections.get_mut(key) else { return };
        match shared.watch.changes(connection.client(), Subject::Connection(key, End::Client)) {
            Ok(()) => self.connect(key, connection, shared),
            Err(error) => {
                shared.short_of(error);
                self.close(key, connections);
            }
        }
    }

    fn header(&self, client: &Endpoint, socket: &OwnedFd) -> Vec<u8> {
        let Some(version) = self.settings.proxy_protocol else { return Vec::new() };
        header(version, self.kind, client, &Endpoint::of(getsockname(socket).ok()))
    }

    /// Begins to connect a client to the server.
    fn connect(&mut self, key: Key, connection: &mut Connection, shared: &mut Shared) {
        let target = self.presence.target();
        let socket = self.spare.take().map_or_else(|| target.socket(), Ok);
        let connected = socket.and_then(|socket| {
            target.connect(&socket)?;
            shared.watch.changes(&socket, Subject::Connection(key, End::Server))?;
            Ok(socket)
        });
        match connected {
            Ok(socket) => connection.connecting(socket),
            Err(_) => self.refused(key, shared),
        }
    }

    /// The server has not taken a client: others wait in the kernel's queue until it listens again, and this one here.
    pub(super) fn refused(&mut self, key: Key, shared: &mut Shared) {
        self.waiting.push(key);
        if self.presence.lost(shared.now) {
            let (socket, target) = (self.settings.name.clone(), self.settings.target.clone());
            shared.notices.tell(shared.now, Notice::Lost { socket, target });
        }
    }

    /// Ends a connection.
    pub(super) fn close(&mut self, key: Key, connections: &mut Table<Connection>) {
        if let Some(connection) = connections.remove(key) {
            self.sources.remove(connection.source);
            connection.close();
        }
    }

    /// Looks for the server, and ends connections that it did not take in time.
    pub(super) fn on_time(&mut self, connections: &mut Table<Connection>, shared: &mut Shared) {
        if self.presence.look(&shared.diag, shared.now) {
            for key in std::mem::take(&mut self.waiting) {
                if let Some(connection) = connections.get_mut(key) {
                    self.connect(key, connection, shared);
                }
            }
        }
        while let Some((deadline, key)) = self.pending.front().copied() {
            let is_pending = connections.get_mut(key).is_some_and(|connection| connection.is_pending());
            if is_pending && deadline > shared.now {
                break;
            }
            self.pending.pop_front();
            if is_pending {
                self.close(key, connections);
                shared.relieved();
            }
        }
    }

    /// When there is something to do without an event.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let pending = self.pending.front().map(|(deadline, _)| *deadline);
        [pending, self.presence.deadline()].into_iter().flatten().min()
    }

    /// Watches for clients, while one could be taken.
    pub(super) fn regulate(&mut self, shared: &mut Shared) {
        if self.presence.is_there() && !self.sources.is_full() && shared.is_open() {
            let opened = self.gate.open(&shared.watch, self.socket.as_fd(), Subject::Listener(self.index));
            if let Err(error) = opened {
                shared.short_of(error);
            }
        } else {
            self.gate.close(&shared.watch, self.socket.as_fd());
        }
    }
}
