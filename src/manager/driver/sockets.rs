//! The sockets of units: opened, watched for the first connection, handed to containers, closed.

use super::accept::attend;
use super::control::errno;
use super::sleepers::{Sleeper, Sleepers};
use super::unserved::Watch;
use super::{Manager, Note, now};
use crate::manager::machine::{Event, Failure, Managed, Phase};
use crate::manager::record::{LastActivation, Record};
use crate::manager::{accounting, view};
use crate::socket::connections;
use crate::socket::defer::{admit, defer};
use crate::socket::listen::Held;
use crate::sys::readiness;
use crate::sys::seccomp_notify::Received;
use crate::systemd::fdstore::StoredDescriptor;
use crate::unit::model::{Pass, Socket};
use crate::unit::name::UnitName;
use crate::unit::value::TimeSpan;
use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc::UnboundedSender;
use tokio::task::JoinHandle;

/// One socket that is held for a unit.
#[derive(Debug)]
pub(super) struct OpenSocket {
    pub(super) held: Held,
    /// Times that a connection to it launched the container or let it go on.
    pub(super) activations: u32,
    /// The last of them.
    pub(super) last: Option<LastActivation>,
    watch: Option<Watching>,
    /// Looks whether the server serves.
    pub(super) unserved: Option<Watch>,
}

/// What watches a socket, until it is dropped.
#[derive(Debug)]
enum Watching {
    /// For the first connection, with all others.
    Sleeper(#[expect(dead_code, reason = "it is watched for as long as it is there")] Sleeper),
    /// For every connection, or for the first while the kernel has nothing left to watch it with.
    Task(JoinHandle<()>),
}

impl Drop for Watching {
    fn drop(&mut self) {
        if let Self::Task(task) = self {
            task.abort();
        }
    }
}

/// What a task has of a socket, which may be closed meanwhile.
#[derive(Debug)]
pub(super) struct SocketCopy {
    pub(super) name: String,
    pub(super) socket: Arc<Socket>,
    pub(super) fd: Arc<OwnedFd>,
}

impl OpenSocket {
    pub(super) fn copy(&self) -> SocketCopy {
        let held = &self.held;
        SocketCopy { name: held.name().to_owned(), socket: held.socket().clone(), fd: held.descriptor() }
    }
}

/// For whom a container is being launched, or thawed.
#[derive(Debug)]
struct Connected {
    since: Instant,
    /// The unit that listens: of an instance for a connection, the one that has accepted it.
    listener: UnitName,
    /// The name of its socket.
    socket: String,
}

/// All sockets of all units.
#[derive(Debug)]
pub(super) struct Sockets {
    open: BTreeMap<UnitName, Vec<OpenSocket>>,
    connected: BTreeMap<UnitName, Connected>,
    /// Answers the bind(2) calls of a container.
    pub(super) notifiers: BTreeMap<UnitName, JoinHandle<()>>,
    pub(super) received: Rc<Received>,
    /// Those of units that sleep.
    pub(super) sleepers: Rc<Sleepers>,
}

impl Sockets {
    pub(super) fn new(received: Received) -> io::Result<Self> {
        Ok(Self {
            open: BTreeMap::new(),
            connected: BTreeMap::new(),
            notifiers: BTreeMap::new(),
            received: Rc::new(received),
            sleepers: Rc::new(Sleepers::new()?),
        })
    }

    pub(super) fn of(&self, unit: &UnitName) -> &[OpenSocket] {
        self.open.get(unit).map(Vec::as_slice).unwrap_or_default()
    }

    /// How often each socket of a unit has launched the container.
    pub(super) fn activations(&self, unit: &UnitName) -> BTreeMap<String, u32> {
        let open = self.of(unit).iter();
        let launched = open.filter(|open| open.activations > 0);
        launched.map(|open| (open.held.name().to_owned(), open.activations)).collect()
    }

    /// The last time for each socket of a unit.
    pub(super) fn last_activations(&self, unit: &UnitName) -> BTreeMap<String, LastActivation> {
        let open = self.of(unit).iter();
        open.filter_map(|open| Some((open.held.name().to_owned(), open.last?))).collect()
    }

    /// Goes on counting where a predecessor ended.
    pub(super) fn count_on(&mut self, unit: &UnitName, record: &Record) {
        for open in self.open.get_mut(unit).into_iter().flatten() {
            let name = open.held.name();
            open.activations = record.activations.get(name).copied().unwrap_or_default();
            open.last = record.last_activations.get(name).copied();
        }
    }

    /// Leaves connections to the payload.
    pub(super) fn unwatch(&mut self, unit: &UnitName) {
        for socket in self.open.get_mut(unit).into_iter().flatten() {
            socket.watch = None;
        }
    }

    /// Notes that the payload has been executed, where somebody at a socket had asked for it. `phases` is what that took.
    pub(super) fn executed(&mut self, unit: &UnitName, phases: &[(&'static str, Duration)]) {
        if let Some((socket, latency)) = self.reached(unit) {
            let took = milliseconds(latency);
            let phases: Vec<String> =
                phases.iter().map(|(name, time)| format!("{name} {}", milliseconds(*time))).collect();
            let phases = phases.join(", ");
            tracing::info!(SAMPAN_UNIT = %unit, "{unit}: Launched by socket {socket} in {took} ms ({phases}).");
        }
    }

    /// Whoever has connected has a container: the name of the socket, and how long that took.
    fn reached(&mut self, unit: &UnitName) -> Option<(String, Duration)> {
        let Connected { since, listener, socket } = self.connected.remove(unit)?;
        let latency = since.elapsed();
        if let Some(last) = self.find(&listener, &socket).and_then(|open| open.last.as_mut()) {
            last.latency = latency;
        }
        Some((socket, latency))
    }

    fn connected(&mut self, unit: &UnitName, name: &str) {
        let connected = Connected { since: Instant::now(), listener: unit.clone(), socket: name.to_owned() };
        self.connected.insert(unit.clone(), connected);
        if let Some(open) = self.find(unit, name) {
            open.activations = open.activations.saturating_add(1);
            let latency = open.last.map(|last| last.latency).unwrap_or_default();
            open.last = Some(LastActivation { at: now().realtime, latency });
        }
    }

    /// Notes that a unit has an instance for a connection from now on.
    pub(super) fn accepted(&mut self, unit: &UnitName, name: &str, instance: &UnitName) {
        self.connected(unit, name);
        if let Some(connected) = self.connected.remove(unit) {
            self.connected.insert(instance.clone(), connected);
        }
    }

    pub(super) fn forget_activation(&mut self, instance: &UnitName) {
        self.connected.remove(instance);
    }

    pub(super) fn find(&mut self, unit: &UnitName, name: &str) -> Option<&mut OpenSocket> {
        self.open.get_mut(unit)?.iter_mut().find(|open| open.held.name() == name)
    }

    /// Lets nobody new in for a while: they wait for the next run.
    pub(super) fn defer(&self, unit: &UnitName) {
        for open in self.of(unit) {
            if let Err(error) = defer(&open.held) {
                tracing::warn!(SAMPAN_UNIT = %unit, "{unit}: socket.{}: cannot defer connections: {error}", open.held.name());
            }
        }
    }

    /// Lets everybody in again.
    pub(super) fn admit(&self, unit: &UnitName) {
        for open in self.of(unit) {
            if let Err(error) = admit(&open.held) {
                tracing::error!(SAMPAN_UNIT = %unit, "{unit}: socket.{}: cannot admit connections: {error}", open.held.name());
            }
        }
    }

    /// Notes that a container goes on that has stood still, for how long where that is known.
    pub(super) fn woken(&mut self, unit: &UnitName, slept: Option<Duration>) {
        let slept = slept.map(|slept| format!(" after {}", TimeSpan(Some(slept)))).unwrap_or_default();
        match self.reached(unit) {
            Some((socket, latency)) => {
                let took = milliseconds(latency);
                tracing::info!(SAMPAN_UNIT = %unit, "{unit}: Thawed by socket {socket} in {took} ms{slept}.");
            }
            // Somebody came before it slept.
            None if slept.is_empty() => {}
            None => tracing::info!(SAMPAN_UNIT = %unit, "{unit}: Thawed{slept}."),
        }
    }

    /// Ends the answering of bind(2) calls, and the looking whether what was bound is served.
    pub(super) fn drop_notifier(&mut self, unit: &UnitName) {
        self.open.get_mut(unit).into_iter().flatten().for_each(|open| open.unserved = None);
        if let Some(task) = self.notifiers.remove(unit) {
            task.abort();
        }
    }
}

impl Manager {
    /// Opens what the unit names and is not open yet, closes what it no longer names, and reports.
    pub(super) fn open_sockets(&mut self, unit: &UnitName) {
        let managed = self.machine.unit(unit);
        let runs = managed.is_some_and(|managed| managed.phase.has_run());
        let wanted = managed.and_then(|managed| managed.container());
        let wanted = wanted.map(|container| container.sockets.clone()).unwrap_or_default();
        self.close_where(unit, |open| {
            wanted.get(open.held.name()).is_none_or(|socket| !socket.opens_as(open.held.socket()))
        });
        let mut result = Ok(());
        for (name, socket) in wanted {
            if let Some(open) = self.sockets.find(unit, &name) {
                if let Err(error) = open.held.renew(socket) {
                    tracing::warn!(SAMPAN_UNIT = %unit, "{unit}: socket.{name}: {error}");
                }
                continue;
            }
            match Held::open(&name, socket.clone(), &self.paths) {
                Ok(held) => self.hold(unit, held),
                Err(error) => {
                    let message = format!("listen: socket.{name}: {error}");
                    if runs {
                        tracing::warn!(SAMPAN_UNIT = %unit, "{unit}: {message}, trying again when the container has ended");
                    }
                    result = Err(Failure { message, errno: errno(&error), exit: None });
                    break;
                }
            }
        }
        self.later(Event::SocketsOpened { unit: unit.clone(), result });
    }

    /// Opens what systemd's store has lost and what a container kept open until now.
    pub(super) fn open_lost(&mut self, unit: &UnitName) {
        let Some(managed) = self.machine.unit(unit).filter(|managed| !managed.phase.is_down()) else {
            return;
        };
        let wanted = managed.container().map(|container| container.sockets.len()).unwrap_or_default();
        if self.sockets.of(unit).len() < wanted {
            self.open_sockets(unit);
        }
    }

    /// Tells of a container whose bind(2) calls nobody can answer any more: systemd has closed the descriptor over which
    /// they come, as it does when this service is stopped.
    pub(super) fn tell_unanswered(&self, unit: &UnitName) {
        let container = self.machine.unit(unit).and_then(|managed| managed.container());
        let mut sockets = container.iter().flat_map(|container| container.sockets.values());
        if sockets.any(|socket| socket.pass == Pass::Swap) {
            tracing::warn!(
                SAMPAN_UNIT = %unit,
                "{unit}: bind(2) fails in the container with ENOSYS since sampand.service was stopped: a server that binds \
                 again, when it reads its configuration for example, works when the unit has been restarted"
            );
        }
    }

    /// Takes a socket into care; the store of systemd keeps it over the death of this process.
    pub(super) fn hold(&mut self, unit: &UnitName, held: Held) {
        let stored = StoredDescriptor::Listen { unit: unit.clone(), socket: held.name().to_owned() };
        self.store_descriptor(&stored, held.as_fd());
        let open = OpenSocket { held, activations: 0, last: None, watch: None, unserved: None };
        let sockets = self.sockets.open.entry(unit.clone()).or_default();
        // Most units have one, and a vector that grows makes room for four.
        sockets.reserve_exact(1);
        sockets.push(open);
    }

    pub(super) fn close_sockets(&mut self, unit: &UnitName) {
        self.close_where(unit, |_| true);
        self.sockets.open.remove(unit);
        self.sockets.connected.remove(unit);
    }

    fn close_where(&mut self, unit: &UnitName, closes: impl Fn(&OpenSocket) -> bool) {
        let Some(sockets) = self.sockets.open.get_mut(unit) else { return };
        let close: Vec<OpenSocket> = sockets.extract_if(.., |open| closes(open)).collect();
        for open in close {
            drop(open.watch);
            self.unstore_descriptor(&StoredDescriptor::Listen {
                unit: unit.clone(),
                socket: open.held.name().to_owned(),
            });
            open.held.close();
        }
    }

    /// A server may have ended the listening of its socket, which is ours: begins it again after a run.
    pub(super) fn listen_again(&mut self, unit: &UnitName) {
        let sockets = self.sockets.open.remove(unit).unwrap_or_default();
        for open in sockets {
            if open.held.ensure_listening().is_ok() {
                self.sockets.open.entry(unit.clone()).or_default().push(open);
                continue;
            }
            // A unix socket cannot listen again, unix(7).
            let (name, socket) = (open.held.name().to_owned(), open.held.socket().clone());
            self.unstore_descriptor(&StoredDescriptor::Listen { unit: unit.clone(), socket: name.clone() });
            open.held.close();
            match Held::open(&name, socket.clone(), &self.paths) {
                Ok(held) => self.hold(unit, held),
                Err(error) => tracing::error!(SAMPAN_UNIT = %unit, "{unit}: socket.{name}: {error}"),
            }
        }
    }

    /// Has the next connection to any socket of the unit reported, once.
    pub(super) fn watch_sockets(&mut self, unit: &UnitName) {
        self.sockets.unwatch(unit);
        self.sockets.admit(unit);
        let accepts = self.accepts(unit);
        for open in self.sockets.open.get_mut(unit).into_iter().flatten() {
            let (descriptor, name) = (open.held.descriptor(), open.held.name().to_owned());
            let (own, notes) = (unit.clone(), self.notes.clone());
            open.watch = Some(if accepts {
                Watching::Task(tokio::task::spawn_local(attend(descriptor, own, name, notes)))
            } else if let Ok(sleeper) = self.sockets.sleepers.watch(descriptor.clone(), unit, &name) {
                Watching::Sleeper(sleeper)
            } else {
                Watching::Task(tokio::task::spawn_local(watch_in_time(descriptor, own, name, notes)))
            });
        }
    }

    /// Whether connections to a unit get instances.
    pub(super) fn accepts(&self, unit: &UnitName) -> bool {
        self.machine.unit(unit).is_some_and(Managed::accepts)
    }

    /// The payload of a unit has been executed, perhaps as somebody has asked for it at a socket.
    pub(super) fn note_executed(&mut self, unit: &UnitName) {
        let began =
            self.machine.unit(unit).and_then(|managed| managed.run.as_ref()).map(|run| run.began.boottime);
        let moments = self.facts.get(unit).map(|facts| facts.moments).unwrap_or_default();
        let phases = moments.phases(began.unwrap_or_default(), Duration::ZERO);
        self.sockets.executed(unit, &phases);
    }

    pub(super) fn connection_noted(&mut self, unit: &UnitName, socket: &str) {
        self.sockets.connected(unit, socket);
    }
}

/// Waits until there is something to watch a socket with, and then for its first connection.
async fn watch_in_time(
    descriptor: Arc<OwnedFd>,
    unit: UnitName,
    socket: String,
    notes: UnboundedSender<Note>,
) {
    let Ok(descriptor) = readiness::watch_in_time(&descriptor).await else { return };
    if descriptor.readable().await.is_ok() {
        // The receiver lives as long as the loop.
        let _ = notes.send(Note::Event(Event::Connection { unit, socket }));
    }
}

/// As people read them: `8.1`.
pub(super) fn milliseconds(time: Duration) -> String {
    format!("{:.1}", time.as_secs_f64() * 1e3)
}

/// What `list-sockets` shows of a socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SocketLine {
    /// The address as units write it.
    pub listen: String,
    /// The socket's name.
    pub name: String,
    /// Its unit.
    pub unit: UnitName,
    /// `fd`, `swap`, `proxy` or `accept`.
    pub pass: &'static str,
    /// `closed`, `listening` or `running`.
    pub state: &'static str,
    /// Connections that are open now.
    pub connections: u32,
    /// Times that it launched the container, or one of its own for a connection.
    pub activations: u32,
    /// The last of them.
    pub last: Option<LastActivation>,
}

impl Manager {
    /// All sockets of all units in memory, open or not.
    pub fn socket_lines(&self) -> Vec<SocketLine> {
        let units = self.machine.units().iter();
        let containers =
            units.filter_map(|(unit, managed)| Some((unit, managed.phase, managed.container()?)));
        let lines = containers.flat_map(|(unit, phase, container)| {
            container.sockets.iter().map(move |(name, socket)| self.socket_line(unit, phase, name, socket))
        });
        lines.collect()
    }

    /// The processes of a unit's container, where it runs.
    fn processes_of(&self, unit: &UnitName) -> Vec<u32> {
        let group = self.runs.get(unit).and_then(|live| self.frozen_group(live));
        group.as_deref().map(accounting::processes_below).unwrap_or_default()
    }

    /// The connections to a socket; an instance is one, whatever it makes of it.
    fn count(&self, unit: &UnitName, open: &OpenSocket) -> usize {
        if open.held.socket().pass == Pass::Accept {
            return self.connections_of(unit, Some(open.held.name()));
        }
        connections::count(&open.held.socket().listen, || self.processes_of(unit)).unwrap_or_default()
    }

    fn socket_line(&self, unit: &UnitName, phase: Phase, name: &str, socket: &Socket) -> SocketLine {
        let open = self.sockets.of(unit).iter().find(|open| open.held.name() == name);
        let state = match open {
            None => "closed",
            Some(_) if phase.has_run() => "running",
            Some(_) => "listening",
        };
        SocketLine {
            listen: socket.listen.to_string(),
            name: name.to_owned(),
            unit: unit.clone(),
            pass: view::pass(socket.pass),
            state,
            connections: u32::try_from(open.map_or(0, |open| self.count(unit, open))).unwrap_or(u32::MAX),
            activations: open.map_or(0, |open| open.activations),
            last: open.and_then(|open| open.last),
        }
    }
}
