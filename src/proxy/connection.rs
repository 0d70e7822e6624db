//! A client, its server, and what goes between them.

use super::direction::{Direction, Framing, Progress, Side, Workspace};
use super::sources::Source;
use super::watch::End;
use rustix::event::epoll::EventFlags;
use rustix::net::sockopt::set_socket_linger;
use std::os::fd::OwnedFd;
use std::time::Duration;

/// The other end of a client's connection.
#[derive(Debug)]
enum Server {
    /// It did not take the client: it is tried again when it listens.
    Waiting,
    /// connect(2) is under way.
    Connecting(Side),
    /// It has taken the client.
    Connected(Side),
}

/// What follows from an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Nothing before the next one.
    Wait,
    /// The server has taken the client, and bytes can be moved.
    Connected,
    /// Bytes can be moved.
    Ready,
    /// There is more to do, in another turn.
    More,
    /// The server has not taken the client.
    Refused,
    /// All is over.
    Over,
}

/// One connection.
#[derive(Debug)]
pub(super) struct Connection {
    /// The number of the listener that it came on.
    pub(super) listener: usize,
    /// Who counts as its source, where that is counted.
    pub(super) source: Option<Source>,
    /// Whether it is in the queue of those that have more to do.
    pub(super) queued: bool,
    framing: Framing,
    client: Side,
    server: Server,
    upward: Direction,
    downward: Direction,
}

impl Connection {
    /// One of a client that has been accepted. The server gets `header` first.
    pub(super) fn new(
        listener: usize,
        source: Option<Source>,
        client: OwnedFd,
        framing: Framing,
        header: Vec<u8>,
    ) -> Self {
        Self {
            listener,
            source,
            queued: false,
            framing,
            client: Side::new(client),
            server: Server::Waiting,
            upward: Direction::beginning_with(header),
            downward: Direction::beginning_with(Vec::new()),
        }
    }

    /// The client's socket.
    pub(super) fn client(&self) -> &OwnedFd {
        &self.client.socket
    }

    /// Whether the server has not taken it.
    pub(super) fn is_pending(&self) -> bool {
        !matches!(self.server, Server::Connected(_))
    }

    /// Whether it waits for a server that listens.
    pub(super) fn is_waiting(&self) -> bool {
        matches!(self.server, Server::Waiting)
    }

    /// A socket that is being connected to the server.
    pub(super) fn connecting(&mut self, socket: OwnedFd) {
        self.server = Server::Connecting(Side::new(socket));
    }

    /// The server has not taken it.
    pub(super) fn refused(&mut self) {
        self.server = Server::Waiting;
    }

    /// Takes an event.
    pub(super) fn event(&mut self, end: End, flags: EventFlags) -> Outcome {
        let is_broken = flags.contains(EventFlags::ERR);
        match (end, &mut self.server) {
            (End::Client, _) => note(&mut self.client, flags),
            (End::Server, Server::Connecting(_)) if flags.intersects(EventFlags::ERR | EventFlags::HUP) => {
                return Outcome::Refused;
            }
            (End::Server, Server::Connecting(side) | Server::Connected(side)) => note(side, flags),
            (End::Server, Server::Waiting) => {}
        }
        match std::mem::replace(&mut self.server, Server::Waiting) {
            Server::Connecting(side) if side.writable => {
                self.server = Server::Connected(side);
                return Outcome::Connected;
            }
            server => self.server = server,
        }
        match self.server {
            Server::Connected(_) => Outcome::Ready,
            // The client has gone before the server knew of it.
            _ if end == End::Client && is_broken => Outcome::Over,
            _ => Outcome::Wait,
        }
    }

    /// Moves bytes in both directions.
    pub(super) fn advance(&mut self, space: &mut Workspace) -> Outcome {
        let Self { client, server: Server::Connected(server), upward, downward, framing, .. } = self else {
            return Outcome::Wait;
        };
        loop {
            let broken = (client.reset, server.reset);
            let up = upward.run(client, server, *framing, space);
            let down = downward.run(server, client, *framing, space);
            if upward.is_over() && downward.is_over() {
                return Outcome::Over;
            }
            // One direction can find that an end is broken from which the other one has still to read.
            if broken == (client.reset, server.reset) {
                let more = up == Progress::More || down == Progress::More;
                return if more { Outcome::More } else { Outcome::Wait };
            }
        }
    }

    /// Ends it. Where one end is broken, the other one is told so by a reset, tcp(7), as it is for a client whom no
    /// server took.
    pub(super) fn close(self) {
        let reset = |side: &Side| set_socket_linger(&side.socket, Some(Duration::ZERO));
        match &self.server {
            Server::Connected(server) => {
                // A unix socket has no reset, and the call does nothing there.
                let _ = self.client.reset.then(|| reset(server));
                let _ = server.reset.then(|| reset(&self.client));
            }
            // The server may have it in its queue already.
            Server::Connecting(server) => {
                let _ = (reset(&self.client), reset(server));
            }
            Server::Waiting => {
                let _ = reset(&self.client);
            }
        }
    }
}

fn note(side: &mut Side, flags: EventFlags) {
    if flags.contains(EventFlags::ERR) {
        side.broken();
    }
    let (end, urgent) = (EventFlags::RDHUP | EventFlags::HUP, EventFlags::PRI);
    side.readable |= flags.intersects(EventFlags::IN | end);
    side.writable |= flags.intersects(EventFlags::OUT | EventFlags::HUP);
    side.more |= flags.intersects(end | urgent);
    side.ended |= flags.intersects(end);
}
