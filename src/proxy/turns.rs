//! The loop: waits for events and has each socket take its own.

use super::configuration::{Configuration, Lifetime};
use super::confine::confine;
use super::connection::{Connection, Outcome};
use super::listener::Listener;
use super::notice::{Notice, Notices};
use super::receiver::{Flow, Receiver};
use super::shared::Shared;
use super::table::{Key, Table};
use super::target::Presence;
use super::watch::{End, Subject, Watch};
use crate::sys::signal_descriptor;
use crate::sys::sock_diag::SockDiag;
use rustix::event::epoll::{Event, EventFlags};
use rustix::net::SocketType;
use rustix::net::sockopt::socket_type;
use std::io;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

/// How long it may take with what clients have not read yet, once there is no container.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// What is written once all targets listen.
const LISTENING: &[u8] = b"listening\n";

/// Why the proxy does not run.
#[derive(Debug, thiserror::Error)]
pub enum ProxyError {
    /// There are more or fewer descriptors than sockets in the configuration.
    #[error("{passed} sockets were passed, and {configured} are configured")]
    Count {
        /// Those passed.
        passed: usize,
        /// Those configured.
        configured: usize,
    },
    /// A socket cannot be served.
    #[error("socket.{name}: cannot be proxied to {target}: {source}")]
    Socket {
        /// Its name.
        name: String,
        /// Where it should go.
        target: String,
        /// Why.
        source: io::Error,
    },
    /// The proxy cannot give up what it does not need.
    #[error("cannot give up privileges: {0}")]
    Confine(#[source] io::Error),
    /// Events cannot be waited for.
    #[error("cannot wait for events: {0}")]
    Watch(#[source] io::Error),
}

/// Moves bytes until SIGTERM has come and all clients have left. Once the servers of all sockets have been seen to
/// listen, `report` gets a line, and is closed.
///
/// # Errors
/// When it cannot begin, or the kernel tells of no events any more.
pub fn run(
    configuration: Configuration,
    mut sockets: Vec<OwnedFd>,
    report: OwnedFd,
    tell: Box<dyn FnMut(&Notice)>,
) -> Result<(), ProxyError> {
    let now = Instant::now();
    let container = match configuration.lifetime {
        Lifetime::Own => None,
        Lifetime::Container => sockets.pop(),
    };
    let entries = entries(configuration, sockets, now)?;
    let watch = Watch::new().map_err(ProxyError::Watch)?;
    let termination = signal_descriptor::termination().map_err(ProxyError::Watch)?;
    let watched = watch.readable(&termination, Subject::Termination);
    watched.map_err(|error| ProxyError::Watch(error.into()))?;
    if let Some(container) = &container {
        let watched = watch.readable(container, Subject::Container);
        watched.map_err(|error| ProxyError::Watch(error.into()))?;
    }
    let diag = SockDiag::here().map_err(ProxyError::Watch)?;
    confine().map_err(ProxyError::Confine)?;
    let mut proxy = Proxy {
        entries,
        connections: Table::default(),
        flows: Table::default(),
        shared: Shared::new(watch, diag, Notices::new(tell)),
        report: Some(report),
        termination,
        container,
        end: None,
    };
    proxy.run().map_err(ProxyError::Watch)
}

fn entries(
    configuration: Configuration,
    sockets: Vec<OwnedFd>,
    now: Instant,
) -> Result<Vec<Entry>, ProxyError> {
    let (passed, configured) = (sockets.len(), configuration.sockets.len());
    if passed != configured {
        return Err(ProxyError::Count { passed, configured });
    }
    let pairs = sockets.into_iter().zip(configuration.sockets).enumerate();
    let entry = |(index, (socket, settings))| Entry::new(index, socket, settings, now);
    pairs.map(entry).collect()
}

/// One socket.
#[derive(Debug)]
enum Entry {
    Connections(Listener),
    Datagrams(Receiver),
}

impl Entry {
    fn new(
        index: usize,
        socket: OwnedFd,
        settings: super::configuration::Socket,
        now: Instant,
    ) -> Result<Self, ProxyError> {
        let (name, target) = (settings.name.clone(), settings.target.to_string());
        let entry = match socket_type(&socket) {
            Ok(SocketType::DGRAM) => Receiver::new(index, socket, settings, now).map(Self::Datagrams),
            Ok(_) => Listener::new(index, socket, settings, now).map(Self::Connections),
            Err(error) => Err(error.into()),
        };
        entry.map_err(|source| ProxyError::Socket { name, target, source })
    }

    fn presence(&self) -> &Presence {
        match self {
            Self::Connections(listener) => &listener.presence,
            Self::Datagrams(receiver) => &receiver.presence,
        }
    }

    fn deadline(&self) -> Option<Instant> {
        match self {
            Self::Connections(listener) => listener.deadline(),
            Self::Datagrams(receiver) => receiver.deadline(),
        }
    }
}

/// All of it.
struct Proxy {
    entries: Vec<Entry>,
    connections: Table<Connection>,
    flows: Table<Flow>,
    shared: Shared,
    report: Option<OwnedFd>,
    termination: OwnedFd,
    /// The first process of the container, while it is there.
    container: Option<OwnedFd>,
    /// When it is over, whoever is still connected.
    end: Option<Instant>,
}

impl Proxy {
    fn run(&mut self) -> io::Result<()> {
        let mut events: Vec<Event> = Vec::new();
        let mut again = Vec::new();
        loop {
            self.on_time();
            let is_empty = self.connections.is_empty() && self.flows.is_empty();
            if self.shared.is_draining() && is_empty || self.end.is_some_and(|end| end <= Instant::now()) {
                return Ok(());
            }
            self.shared.watch.wait(self.patience(), &mut events)?;
            self.shared.now = Instant::now();
            // Who is to accept nobody any more does not accept who has come at the same time.
            if events.iter().any(|event| Subject::of(event.data) == Subject::Termination) {
                self.terminate();
            }
            for event in &events {
                self.event(Subject::of(event.data), event.flags);
            }
            std::mem::swap(&mut again, &mut self.shared.again);
            for subject in again.drain(..) {
                self.resume(subject);
            }
        }
    }

    /// How long nothing is to be done without an event; `None` for ever.
    fn patience(&self) -> Option<Duration> {
        if !self.shared.again.is_empty() {
            return Some(Duration::ZERO);
        }
        let deadlines =
            self.entries.iter().filter_map(Entry::deadline).chain(self.shared.deadline()).chain(self.end);
        deadlines.min().map(|deadline| deadline.saturating_duration_since(Instant::now()))
    }

    fn on_time(&mut self) {
        let Self { entries, connections, flows, shared, report, .. } = self;
        shared.on_time();
        for entry in entries.iter_mut() {
            match entry {
                Entry::Connections(listener) => listener.on_time(connections, shared),
                Entry::Datagrams(receiver) => receiver.on_time(flows, shared),
            }
        }
        for entry in entries.iter_mut() {
            match entry {
                Entry::Connections(listener) => listener.regulate(shared),
                Entry::Datagrams(receiver) => receiver.regulate(shared),
            }
        }
        if report.is_some() && entries.iter().all(|entry| entry.presence().is_seen()) {
            // Who asked for it may be gone, and clients are served all the same.
            let _ = report.take().map(|report| rustix::io::write(report, LISTENING));
        }
    }

    fn event(&mut self, subject: Subject, flags: EventFlags) {
        match subject {
            // It was heard before all others.
            Subject::Termination => {}
            Subject::Container => self.outlive(),
            Subject::Listener(_) if self.shared.is_draining() => {}
            Subject::Listener(index) => match self.entries.get_mut(index) {
                Some(Entry::Connections(listener)) => {
                    listener.accept(&mut self.connections, &mut self.shared);
                }
                Some(Entry::Datagrams(receiver)) => receiver.receive(&mut self.flows, &mut self.shared),
                None => {}
            },
            Subject::Connection(key, end) => self.connection(key, end, flags),
            Subject::Flow(key) => self.flow(key),
        }
    }

    /// Takes the signal, so that it is not told again.
    fn terminate(&mut self) {
        let _ = rustix::io::read(&self.termination, &mut [0; 1024]);
        if self.shared.is_draining() {
            // Clients of datagrams never say that they leave.
            self.flows = Table::default();
        }
        self.shared.drain();
    }

    /// There is no container any more, and no server that could take anybody.
    fn outlive(&mut self) {
        let Some(container) = self.container.take() else { return };
        // Closing it is not enough: who has started this process holds it as well.
        let _ = self.shared.watch.forget(&container);
        self.end = Some(self.shared.now + LAST_WORDS);
        self.shared.drain();
        self.flows = Table::default();
        for key in self.connections.keys() {
            let Some(connection) = self.connections.get_mut(key).filter(|one| one.is_waiting()) else {
                continue;
            };
            if let Some(Entry::Connections(listener)) = self.entries.get_mut(connection.listener) {
                listener.close(key, &mut self.connections);
            }
        }
    }

    /// Gives another turn to what had more to do.
    fn resume(&mut self, subject: Subject) {
        match subject {
            Subject::Connection(key, _) => {
                if let Some(connection) = self.connections.get_mut(key) {
                    connection.queued = false;
                }
            }
            Subject::Flow(key) => {
                if let Some(flow) = self.flows.get_mut(key) {
                    flow.queued = false;
                }
            }
            Subject::Termination | Subject::Container | Subject::Listener(_) => {}
        }
        self.event(subject, EventFlags::empty());
    }

    fn connection(&mut self, key: Key, end: End, flags: EventFlags) {
        let Self { connections, shared, entries, .. } = self;
        let Some(connection) = connections.get_mut(key) else { return };
        let Some(Entry::Connections(listener)) = entries.get_mut(connection.listener) else { return };
        let outcome = match connection.event(end, flags) {
            Outcome::Connected => {
                listener.presence.served();
                connection.advance(&mut shared.space)
            }
            Outcome::Ready => connection.advance(&mut shared.space),
            outcome => outcome,
        };
        match outcome {
            Outcome::Over => {
                listener.close(key, connections);
                shared.relieved();
            }
            Outcome::Refused => {
                connection.refused();
                listener.refused(key, shared);
            }
            Outcome::More if !connection.queued => {
                connection.queued = true;
                shared.again.push(Subject::Connection(key, End::Client));
            }
            Outcome::More | Outcome::Wait | Outcome::Connected | Outcome::Ready => {}
        }
    }

    fn flow(&mut self, key: Key) {
        let Some(index) = self.flows.get_mut(key).map(|flow| flow.receiver) else { return };
        let Some(Entry::Datagrams(receiver)) = self.entries.get_mut(index) else { return };
        let more = receiver.answer(key, &mut self.flows, &mut self.shared);
        if let Some(flow) = self.flows.get_mut(key).filter(|flow| more && !flow.queued) {
            flow.queued = true;
            self.shared.again.push(Subject::Flow(key));
        }
    }
}
