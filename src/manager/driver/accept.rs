//! Units with `pass = "accept"`: their connections are taken here, and each gets an instance of its own, as
//! systemd.socket(5) `Accept=`.
//!
//! A connection is in systemd's store before anything else is done with it, and until the payload has it: a successor
//! of this process goes on with what it was about to be launched for.

use super::{Manager, Note, Notice};
use crate::manager::machine::{Event, JobMode, Loaded, Phase, Request, Verb};
use crate::manager::record::{ConnectionCounts, Record};
use crate::socket::incoming::Incoming;
use crate::sys::readiness::{self, SHORTAGE_INTERVAL, is_shortage};
use crate::systemd::fdstore::StoredDescriptor;
use crate::unit::accepted;
use crate::unit::model::{Accepted, ConnectionLimits, Pass, Peer, Source, Unit};
use crate::unit::name::UnitName;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::Arc;
use std::time::SystemTime;
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::oneshot;

/// Connections that are taken before others have their turn.
const BATCH: usize = 16;

/// Connections of all units with `pass = "accept"`.
#[derive(Debug, Default)]
pub(super) struct Connections {
    /// Those that no payload has yet, by what was made for them, with the names of the sockets that they came by.
    waiting: BTreeMap<UnitName, (String, OwnedFd)>,
    counts: BTreeMap<UnitName, ConnectionCounts>,
    /// Why connections to a socket are closed, as far as the journal has it; until one is taken again.
    told: BTreeMap<(UnitName, String), BTreeSet<Refusal>>,
}

/// Why a connection is one too many.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Refusal {
    Total,
    Source(Source),
    /// accept(2) fails for want of descriptors or memory.
    Shortage,
}

/// How somebody who waits for connections goes on.
#[derive(Debug)]
pub(super) enum Pace {
    /// There may be more.
    More,
    /// There are no more.
    Drained,
    /// There is nothing to take one with.
    Pause,
}

impl Connections {
    pub(super) fn counts(&self, unit: &UnitName) -> ConnectionCounts {
        self.counts.get(unit).copied().unwrap_or_default()
    }

    /// Goes on counting where a predecessor ended.
    pub(super) fn count_on(&mut self, unit: &UnitName, counts: ConnectionCounts) {
        if counts != ConnectionCounts::default() {
            self.counts.insert(unit.clone(), counts);
        }
    }

    /// Nothing is left of a unit.
    pub(super) fn forget(&mut self, unit: &UnitName) {
        self.counts.remove(unit);
        self.told.retain(|(listener, _), _| listener != unit);
    }

    /// What a container was made for.
    pub(super) fn of(&self, unit: &UnitName) -> io::Result<OwnedFd> {
        let (_, connection) =
            self.waiting.get(unit).ok_or_else(|| io::Error::other("the connection has gone"))?;
        connection.try_clone()
    }

    /// Whether this is news.
    fn is_news(&mut self, unit: &UnitName, socket: &str, refusal: Refusal, most: u32) -> bool {
        let told = self.told.entry((unit.clone(), socket.to_owned())).or_default();
        // As many sources as this have connections at a time.
        if told.len() > most as usize {
            told.clear();
        }
        told.insert(refusal)
    }

    fn taken(&mut self, unit: &UnitName, socket: &str, source: Option<Source>) {
        if let Some(told) = self.told.get_mut(&(unit.clone(), socket.to_owned())) {
            told.remove(&Refusal::Total);
            told.remove(&Refusal::Shortage);
            source.map(|source| told.remove(&Refusal::Source(source)));
        }
        let counts = self.counts.entry(unit.clone()).or_default();
        counts.accepted = counts.accepted.wrapping_add(1);
    }
}

/// Tells of connections that wait, until nobody wants to hear it.
pub(super) async fn attend(
    descriptor: Arc<OwnedFd>,
    unit: UnitName,
    socket: String,
    notes: UnboundedSender<Note>,
) {
    let Ok(readiness) = readiness::watch_in_time(&descriptor).await else { return };
    while let Ok(mut ready) = readiness.readable().await {
        let (reply, pace) = oneshot::channel();
        // The receiver lives as long as the loop.
        let _ = notes.send(Note::Incoming(unit.clone(), socket.clone(), reply));
        match pace.await {
            Ok(Pace::More) => {}
            Ok(Pace::Drained) => ready.clear_ready(),
            Ok(Pace::Pause) => tokio::time::sleep(SHORTAGE_INTERVAL).await,
            Err(_) => return,
        }
    }
}

impl Manager {
    /// How many instances a unit with `pass = "accept"` has, those of all its sockets or of one.
    pub fn connections_of(&self, unit: &UnitName, socket: Option<&str>) -> usize {
        self.instances_of(unit).filter(|accepted| socket.is_none_or(|name| accepted.socket == name)).count()
    }

    /// What has become of the connections to a unit.
    pub fn connection_counts(&self, unit: &UnitName) -> ConnectionCounts {
        self.connections.counts(unit)
    }

    fn instances_of(&self, unit: &UnitName) -> impl Iterator<Item = &Accepted> {
        let parts = self.machine.dependents(unit).part_of.iter();
        let accepted = parts.filter_map(|name| self.machine.unit(name)?.accepted());
        accepted.filter(move |accepted| accepted.by == *unit)
    }

    /// Takes connections to a socket that listens. Without an answer nobody watches it any more.
    pub(super) fn incoming(&mut self, unit: &UnitName, socket: &str, reply: oneshot::Sender<Pace>) {
        for _ in 0..BATCH {
            let listens = self.machine.unit(unit).is_some_and(|managed| managed.phase == Phase::Listening);
            if !listens {
                return;
            }
            let Some(limits) = self.limits_of(unit, socket) else { return self.watch_sockets(unit) };
            let Some(open) = self.sockets.of(unit).iter().find(|open| open.held.name() == socket) else {
                return;
            };
            let pace = match open.held.accept() {
                Ok(Some(incoming)) => {
                    self.take_connection(unit, socket, limits, incoming);
                    continue;
                }
                Ok(None) => Pace::Drained,
                Err(error) => {
                    if !is_shortage(&error) || self.connections.is_news(unit, socket, Refusal::Shortage, 1) {
                        tracing::warn!(SAMPAN_UNIT = %unit, "{unit}: socket.{socket}: cannot accept connections: {error}");
                    }
                    Pace::Pause
                }
            };
            return drop(reply.send(pace));
        }
        drop(reply.send(Pace::More));
    }

    /// `None` where the unit does not accept by this socket any more.
    fn limits_of(&self, unit: &UnitName, socket: &str) -> Option<ConnectionLimits> {
        let container = self.machine.unit(unit)?.container()?;
        let socket = container.sockets.get(socket).filter(|socket| socket.pass == Pass::Accept)?;
        Some(ConnectionLimits::of(socket))
    }

    fn take_connection(
        &mut self,
        unit: &UnitName,
        socket: &str,
        limits: ConnectionLimits,
        incoming: Incoming,
    ) {
        self.event(Event::Connection { unit: unit.clone(), socket: socket.to_owned() });
        let Some(managed) = self.machine.unit(unit).filter(|managed| managed.phase == Phase::Listening)
        else {
            return tracing::warn!(SAMPAN_UNIT = %unit, "{unit}: Trigger limit hit, refusing further activation.");
        };
        let Some(listener) = managed.unit().cloned() else { return };
        let source = incoming.peer.source();
        if self.refuses(unit, socket, limits, source) {
            return;
        }
        let Some(name) = self.next_instance(unit, &incoming) else { return };
        let stored = StoredDescriptor::Connection { unit: name.clone(), socket: socket.to_owned() };
        self.store_descriptor(&stored, incoming.connection.as_fd());
        self.connections.taken(unit, socket, source);
        self.sockets.accepted(unit, socket, &name);
        self.changed.insert(unit.clone());
        let accepted = Accepted { by: unit.clone(), socket: socket.to_owned(), peer: incoming.peer };
        let Some(instance) = accepted::instance(&listener, name.clone(), accepted) else { return };
        self.connections.waiting.insert(name.clone(), (socket.to_owned(), incoming.connection));
        self.load_instance(instance);
        let request = Request { unit: name.clone(), verb: Verb::Start, mode: JobMode::Replace };
        if let Err(error) = self.request(&request) {
            tracing::warn!(SAMPAN_UNIT = %unit, "{unit}: {name} cannot be started, closing its connection: {error}");
        }
    }

    /// Whether there are too many already; the journal has it once for each time that it comes to this.
    fn refuses(
        &mut self,
        unit: &UnitName,
        socket: &str,
        limits: ConnectionLimits,
        source: Option<Source>,
    ) -> bool {
        let own = |accepted: &&Accepted| accepted.socket == socket;
        let total = self.instances_of(unit).filter(own).count();
        let of_source = |source| {
            let same = |accepted: &&Accepted| own(accepted) && accepted.peer.source() == Some(source);
            (source, self.instances_of(unit).filter(same).count())
        };
        let limited = source.filter(|_| limits.per_source > 0).map(of_source);
        let (refusal, whose, number) = if total >= limits.total as usize {
            (Refusal::Total, String::new(), total)
        } else if let Some((source, number)) = limited
            && number >= limits.per_source as usize
        {
            (Refusal::Source(source), format!(" from source {source}"), number)
        } else {
            return false;
        };
        let counts = self.connections.counts.entry(unit.clone()).or_default();
        counts.refused = counts.refused.wrapping_add(1);
        self.changed.insert(unit.clone());
        if self.connections.is_news(unit, socket, refusal, limits.total) {
            tracing::warn!(SAMPAN_UNIT = %unit, "{unit}: Too many incoming connections ({number}){whose}, dropping connection.");
        }
        true
    }

    /// A name that nobody has. Numbers begin anew where nothing is remembered of a unit that is down, and instances of
    /// before may still be about to stop.
    fn next_instance(&mut self, unit: &UnitName, incoming: &Incoming) -> Option<UnitName> {
        loop {
            let name = unit.of_connection(&incoming.instance(self.connections.counts(unit).accepted))?;
            if self.machine.unit(&name).is_none() {
                return Some(name);
            }
            let counts = self.connections.counts.entry(unit.clone()).or_default();
            counts.accepted = counts.accepted.wrapping_add(1);
        }
    }

    fn load_instance(&mut self, instance: Unit) {
        let name = instance.name.clone();
        let units = BTreeMap::from([(name.clone(), Loaded::good(Arc::new(instance)))]);
        self.event(Event::LoadedMore(units));
        self.tell(Notice::New(name));
    }

    /// The payload has the connection that it was made for, where it was: closing it is the payload's.
    pub(super) fn handed_over(&mut self, unit: &UnitName) {
        if let Some((socket, _)) = self.connections.waiting.remove(unit) {
            self.unstore_descriptor(&StoredDescriptor::Connection { unit: unit.clone(), socket });
        }
    }

    /// An instance is about to be forgotten: all that it had goes.
    pub(super) fn discard_instance(&mut self, unit: &UnitName, listener: UnitName) {
        self.handed_over(unit);
        self.sockets.forget_activation(unit);
        let own = format!("{unit}@");
        let has_volumes = self.facts.get(unit).is_some_and(|facts| {
            // The image has them made for the unit.
            facts.volumes.iter().any(|volume| volume.starts_with(&own))
        });
        self.discard_all_of(unit, has_volumes.then_some(SystemTime::UNIX_EPOCH));
        self.changed.insert(listener);
    }

    /// Makes an instance anew of which nothing but its container or its connection is known.
    pub fn ensure_instance(&mut self, unit: &UnitName, connection: Option<&(String, OwnedFd)>) {
        if self.machine.unit(unit).is_some_and(|managed| managed.unit().is_some())
            || unit.instance().is_none()
        {
            return;
        }
        let Ok(by) = UnitName::parse(&format!("{}.{}", unit.prefix(), unit.suffix())) else { return };
        self.ensure_loaded(&by);
        let Some(listener) = self.machine.unit(&by).filter(|managed| managed.accepts()) else { return };
        let Some((listener, first)) =
            listener.unit().cloned().zip(listener.container()).map(|(unit, container)| {
                (unit, container.sockets.keys().next().cloned().unwrap_or_default())
            })
        else {
            return;
        };
        let peer = connection.and_then(|(_, descriptor)| Incoming::of(descriptor.try_clone().ok()?).ok());
        let peer = peer.map_or(Peer::Unknown, |incoming| incoming.peer);
        let socket = connection.map_or(first, |(socket, _)| socket.clone());
        if let Some(instance) = accepted::instance(&listener, unit.clone(), Accepted { by, socket, peer }) {
            self.load_instance(instance);
        }
    }

    /// Takes over what a container was made for, unless its payload has it.
    pub fn adopt_connection(
        &mut self,
        unit: &UnitName,
        socket: String,
        connection: OwnedFd,
        record: &Record,
    ) {
        self.connections.waiting.insert(unit.clone(), (socket, connection));
        if record.facts.executed {
            self.handed_over(unit);
        }
    }
}
