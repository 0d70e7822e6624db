//! A socket of datagrams: a flow for each client, with a socket of its own to the server, so that the server's answers
//! find their way back.

use super::configuration::{ProxyProtocol, Socket};
use super::header::{Endpoint, header};
use super::notice::Notice;
use super::shared::Shared;
use super::sources::{Source, Sources};
use super::table::{Key, Table};
use super::target::{Presence, Target, is_internet};
use super::watch::{Gate, Subject};
use crate::sys::packet_info::{self, Local};
use rustix::io::{Errno, ioctl_fionbio};
use rustix::net::sockopt::{socket_domain, socket_type};
use rustix::net::{
    AddressFamily, RecvFlags, SendAncillaryBuffer, SendFlags, SocketAddrAny, SocketAddrUnix, SocketType,
    getsockname, recv, recvfrom, sendmsg, sendto,
};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::time::Instant;

/// Datagrams that are moved before others have their turn.
const BATCH: usize = 64;
/// The longest one of UDP, and one byte.
const BUFFER: usize = 64 * 1024;

/// Who sends datagrams.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Client {
    /// Of UDP, and where to: an answer comes from there.
    Internet(SocketAddr, Option<Local>),
    /// Of a unix socket with a name.
    Unix(SocketAddrUnix),
    /// Of one without: nobody can answer it.
    Nameless,
}

/// One client's datagrams.
#[derive(Debug)]
pub(super) struct Flow {
    /// The number of the socket that it came on.
    pub(super) receiver: usize,
    /// Whether it is in the queue of those that have more to do.
    pub(super) queued: bool,
    client: Client,
    source: Option<Source>,
    socket: OwnedFd,
    header: Vec<u8>,
    last: Instant,
}

impl Flow {
    fn send(&self, bytes: &[u8]) -> Result<(), Errno> {
        let parts = [IoSlice::new(&self.header), IoSlice::new(bytes)];
        sendmsg(&self.socket, &parts, &mut SendAncillaryBuffer::default(), SendFlags::NOSIGNAL).map(drop)
    }
}

/// One such socket.
#[derive(Debug)]
pub(super) struct Receiver {
    index: usize,
    socket: OwnedFd,
    local: Option<SocketAddrAny>,
    family: AddressFamily,
    settings: Socket,
    pub(super) presence: Presence,
    sources: Sources,
    gate: Gate,
    buffer: Vec<u8>,
    flows: HashMap<Client, Key>,
    /// When to see which flow has been idle for too long.
    idle: BinaryHeap<Reverse<(Instant, Key)>>,
    /// A datagram that the server did not take yet; no other one is read meanwhile.
    held: Option<(Key, Vec<u8>)>,
}

impl Receiver {
    /// # Errors
    /// When it is no such socket, or its target none for it.
    pub(super) fn new(index: usize, socket: OwnedFd, settings: Socket, now: Instant) -> io::Result<Self> {
        if settings.proxy_protocol == Some(ProxyProtocol::V1) {
            return Err(Errno::INVAL.into());
        }
        let target = Target::new(&settings.target, socket_type(&socket)?)?;
        ioctl_fionbio(&socket, true)?;
        let family = socket_domain(&socket)?;
        if is_internet(family) {
            packet_info::enable(&socket, family)?;
        }
        Ok(Self {
            index,
            local: getsockname(&socket).ok(),
            socket,
            family,
            presence: Presence::of(target, now),
            sources: Sources::new(settings.max_connections, settings.max_connections_per_source),
            settings,
            gate: Gate::default(),
            buffer: vec![0; BUFFER],
            flows: HashMap::new(),
            idle: BinaryHeap::new(),
            held: None,
        })
    }

    /// Takes datagrams of clients.
    pub(super) fn receive(&mut self, flows: &mut Table<Flow>, shared: &mut Shared) {
        for _ in 0..BATCH {
            if self.held.is_some() {
                return;
            }
            match self.next() {
                Ok((length, client)) => self.received(length, client, flows, shared),
                Err(Errno::AGAIN) => return,
                // Of an answer that did not arrive.
                Err(Errno::INTR | Errno::CONNREFUSED | Errno::HOSTUNREACH | Errno::NETUNREACH) => {}
                Err(error) => return shared.short_of(error),
            }
        }
    }

    fn next(&mut self) -> Result<(usize, Client), Errno> {
        if is_internet(self.family) {
            let datagram = packet_info::receive(&self.socket, &mut self.buffer)?;
            return Ok((datagram.length, Client::Internet(datagram.from, datagram.to)));
        }
        let (_, length) = recv(&self.socket, &mut [0; 0], RecvFlags::PEEK | RecvFlags::TRUNC)?;
        if length > self.buffer.len() {
            self.buffer.resize(length, 0);
        }
        let (_, length, client) = recvfrom(&self.socket, &mut self.buffer[..], RecvFlags::empty())?;
        let client = client.and_then(|client| SocketAddrUnix::try_from(client).ok());
        let client = client.filter(|client| !client.is_unnamed());
        Ok((length, client.map_or(Client::Nameless, Client::Unix)))
    }

    fn received(&mut self, length: usize, client: Client, flows: &mut Table<Flow>, shared: &mut Shared) {
        let key = match self.flows.get(&client) {
            Some(key) => Some(*key),
            None => self.begin(client, flows, shared),
        };
        // A datagram of a client for whom there is no place is lost, as others are.
        let Some((key, flow)) = key.and_then(|key| Some((key, flows.get_mut(key)?))) else { return };
        flow.last = shared.now;
        match flow.send(&self.buffer[..length]) {
            Err(Errno::AGAIN) => self.held = Some((key, self.buffer[..length].to_vec())),
            Err(error) if is_refusal(error) => {
                self.held = Some((key, self.buffer[..length].to_vec()));
                self.lost(shared);
            }
            _ => self.presence.served(),
        }
    }

    fn begin(&mut self, client: Client, flows: &mut Table<Flow>, shared: &mut Shared) -> Option<Key> {
        let source = match &client {
            Client::Internet(address, _) => Some(Source::Address(address.ip().to_canonical())),
            Client::Unix(_) | Client::Nameless => None,
        };
        if self.sources.is_full() {
            let (socket, connections) = (self.settings.name.clone(), self.settings.max_connections);
            shared.notices.tell(shared.now, Notice::Full { socket, connections });
            return None;
        }
        let target = self.presence.target();
        let socket = target.socket();
        let socket =
            socket.inspect_err(|error| shared.notices.tell(shared.now, Notice::Shortage(*error))).ok()?;
        // Should it fail, so does the first send(2), and then it is connected again.
        let _ = target.connect(&socket);
        if !self.sources.add(source) {
            let source = source.map(|source| source.to_string()).unwrap_or_default();
            let notice = Notice::SourceFull { socket: self.settings.name.clone(), source };
            shared.notices.tell(shared.now, notice);
            return None;
        }
        let header = self.header(&client);
        let (receiver, last) = (self.index, shared.now);
        let flow = Flow { receiver, queued: false, client: client.clone(), source, socket, header, last };
        let key = flows.insert(flow);
        self.flows.insert(client, key);
        self.idle.push(Reverse((last + self.settings.idle_timeout, key)));
        let watched = flows.get_mut(key).map(|flow| shared.watch.changes(&flow.socket, Subject::Flow(key)));
        if let Some(Err(error)) = watched {
            shared.notices.tell(shared.now, Notice::Shortage(error));
            self.end(key, flows);
            return None;
        }
        Some(key)
    }

    fn header(&self, client: &Client) -> Vec<u8> {
        let Some(version) = self.settings.proxy_protocol else { return Vec::new() };
        let own = Endpoint::of(self.local.clone());
        let (client, local) = match client {
            Client::Internet(address, to) => {
                let asked = to.zip(self.local.clone().and_then(|local| SocketAddr::try_from(local).ok()));
                let asked = asked.map(|(to, local)| SocketAddr::new(to.ip, local.port()).into());
                (Endpoint::of(Some((*address).into())), asked.map_or(own, |asked| Endpoint::of(Some(asked))))
            }
            Client::Unix(address) => (Endpoint::of(Some(address.clone().into())), own),
            Client::Nameless => (Endpoint::Unix(Vec::new()), own),
        };
        header(version, SocketType::DGRAM, &client, &local)
    }

    /// Sends the server's answers back. Whether there may be more.
    pub(super) fn answer(&mut self, key: Key, flows: &mut Table<Flow>, shared: &mut Shared) -> bool {
        if self.held.as_ref().is_some_and(|(held, _)| *held == key) {
            self.send_held(flows, shared);
        }
        let Some(flow) = flows.get_mut(key) else { return false };
        for _ in 0..BATCH {
            let length = match recv(&flow.socket, &mut self.buffer[..], RecvFlags::TRUNC) {
                Ok((_, length)) => length,
                Err(Errno::AGAIN) => return false,
                Err(Errno::INTR) => continue,
                Err(error) => {
                    if is_refusal(error) {
                        self.lost(shared);
                    }
                    continue;
                }
            };
            flow.last = shared.now;
            let Some(bytes) = self.buffer.get(..length) else {
                self.buffer.resize(length, 0);
                continue;
            };
            // As on any network, an answer for which there is no room is lost.
            let _ = match &flow.client {
                Client::Internet(address, Some(own)) => packet_info::send(&self.socket, bytes, address, own),
                Client::Internet(address, None) => sendto(&self.socket, bytes, SendFlags::NOSIGNAL, address),
                Client::Unix(address) => sendto(&self.socket, bytes, SendFlags::NOSIGNAL, address),
                Client::Nameless => Ok(0),
            };
        }
        true
    }

    fn lost(&mut self, shared: &mut Shared) {
        if self.presence.lost(shared.now) {
            let (socket, target) = (self.settings.name.clone(), self.settings.target.clone());
            shared.notices.tell(shared.now, Notice::Lost { socket, target });
        }
    }

    /// Tries what the server did not take once more; a unix socket's server may be another one by now.
    fn send_held(&mut self, flows: &mut Table<Flow>, shared: &mut Shared) {
        let Some((key, bytes)) = self.held.take() else { return };
        let Some(flow) = flows.get_mut(key) else { return };
        let _ = self.presence.target().connect(&flow.socket);
        match flow.send(&bytes) {
            Err(Errno::AGAIN) => self.held = Some((key, bytes)),
            Err(error) if is_refusal(error) => {
                self.held = Some((key, bytes));
                self.lost(shared);
            }
            _ => self.presence.served(),
        }
    }

    fn end(&mut self, key: Key, flows: &mut Table<Flow>) {
        if let Some(flow) = flows.remove(key) {
            self.flows.remove(&flow.client);
            self.sources.remove(flow.source);
        }
    }

    /// Looks for the server, and ends flows that have been idle.
    pub(super) fn on_time(&mut self, flows: &mut Table<Flow>, shared: &mut Shared) {
        if self.presence.look(&shared.diag, shared.now) {
            self.send_held(flows, shared);
        }
        while let Some(Reverse((time, key))) = self.idle.peek().copied().filter(|next| next.0.0 <= shared.now)
        {
            debug_assert!(time <= shared.now);
            self.idle.pop();
            let Some(flow) = flows.get_mut(key) else { continue };
            let end = flow.last + self.settings.idle_timeout;
            if end > shared.now {
                self.idle.push(Reverse((end, key)));
            } else {
                self.end(key, flows);
                shared.relieved();
            }
        }
    }

    /// When there is something to do without an event.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let idle = self.idle.peek().map(|next| next.0.0);
        [idle, self.presence.deadline()].into_iter().flatten().min()
    }

    /// Watches for datagrams, while one could be taken.
    pub(super) fn regulate(&mut self, shared: &mut Shared) {
        if self.presence.is_there() && self.held.is_none() && shared.is_open() {
            let opened = self.gate.open(&shared.watch, &self.socket, Subject::Listener(self.index));
            if let Err(error) = opened {
                shared.short_of(error);
            }
        } else {
            self.gate.close(&shared.watch, &self.socket);
        }
    }
}

/// Whether nobody is at the other end: also where the path of a unix socket is gone, or its reader.
fn is_refusal(error: Errno) -> bool {
    matches!(
        error,
        Errno::CONNREFUSED | Errno::NOENT | Errno::NOTCONN | Errno::DESTADDRREQ | Errno::CONNRESET
    )
}
