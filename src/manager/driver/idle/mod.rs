//! Containers that nobody uses: one task for each that runs looks after who is connected, without a word of the
//! server, and tells the core when its time is over. The core has it brought to a standstill then, and one more look
//! decides.

mod clock;
mod doorbell;
mod reclaim;
mod standstill;

use super::live::LiveRun;
use super::sockets::{OpenSocket, SocketCopy};
use super::{Manager, Note, now};
use crate::manager::accounting;
use crate::manager::machine::{Event, Phase};
use crate::socket::connections;
use crate::sys::arrivals::Arrivals;
use crate::sys::readiness;
use crate::unit::model::Idle;
use crate::unit::name::UnitName;
use clock::{IdleClock, Next, Seen};
use doorbell::Doorbell;
use standstill::Standstill;
use std::cell::{OnceCell, RefCell};
use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;
use tokio::sync::mpsc::UnboundedSender;
use tokio::task::JoinHandle;

/// All containers that may sleep.
#[derive(Debug, Default)]
pub(super) struct Sleepers {
    arrivals: OnceCell<Option<Rc<Arrivals>>>,
    awake: BTreeMap<UnitName, Awake>,
    standing: BTreeMap<UnitName, Standstill>,
}

/// One that runs, and whoever looks after it.
#[derive(Debug)]
struct Awake {
    idle: Idle,
    clock: Rc<RefCell<IdleClock>>,
    watched: Rc<Watched>,
    task: JoinHandle<()>,
}

impl Drop for Awake {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What is looked at.
#[derive(Debug)]
struct Watched {
    sockets: Vec<SocketCopy>,
    live: Rc<LiveRun>,
    group: Option<PathBuf>,
    arrivals: Option<Rc<Arrivals>>,
}

/// What somebody does with a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Use {
    /// Connections to a socket are open.
    Connections {
        /// The socket's name in the unit.
        socket: String,
        /// How many.
        count: usize,
    },
    /// Something has come over a socket, and the server has not taken it.
    Unread {
        /// The socket's name in the unit.
        socket: String,
    },
    /// Commands of `sampanctl exec` run.
    Commands(usize),
    /// It works more than `idle_cpu_floor` says, in microseconds per second.
    Work(u64),
}

impl fmt::Display for Use {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let several = |count: &usize| if *count == 1 { "" } else { "s" };
        match self {
            Self::Connections { socket, count } => {
                write!(formatter, "{count} connection{} to socket {socket}", several(count))
            }
            Self::Unread { socket } => write!(formatter, "something unread at socket {socket}"),
            Self::Commands(count) => {
                write!(formatter, "{count} command{} of sampanctl exec", several(count))
            }
            Self::Work(share) => {
                write!(formatter, "{}.{}% of a processor", share / 10_000, share / 1000 % 10)
            }
        }
    }
}

/// How near to sleep a container is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Drowsiness {
    /// What keeps it awake.
    pub uses: Vec<Use>,
    /// When it was in use last, on CLOCK_BOOTTIME; 0 while it is.
    pub idle_since: Duration,
    /// When it sleeps if nobody comes, on CLOCK_BOOTTIME; 0 while it is in use.
    pub sleeps: Duration,
}

impl Watched {
    /// Who uses it now.
    fn uses(&self) -> Vec<Use> {
        let mut uses: Vec<Use> = self.sockets.iter().filter_map(|socket| self.used(socket)).collect();
        uses.extend(Some(self.live.commands.get()).filter(|count| *count > 0).map(Use::Commands));
        uses
    }

    fn used(&self, socket: &SocketCopy) -> Option<Use> {
        let name = || socket.name.clone();
        match connections::count(&socket.socket.listen, || self.processes()) {
            Ok(count @ 1..) => Some(Use::Connections { socket: name(), count }),
            Ok(_) if !readiness::is_readable(&socket.fd).unwrap_or(true) => None,
            // What is not known is no reason to put anybody to sleep.
            Ok(_) | Err(_) => Some(Use::Unread { socket: name() }),
        }
    }

    fn processes(&self) -> Vec<u32> {
        let group = self.group.as_deref();
        group.map(accounting::processes_below).unwrap_or_default()
    }

    fn cpu_usec(&self) -> Option<u64> {
        accounting::cpu_usec(self.group.as_deref()?)
    }

    fn doorbell(&self) -> Doorbell<'_> {
        Doorbell::of(&self.sockets, self.arrivals.as_ref())
    }
}

impl Manager {
    /// A unit has entered a phase, or has other files: looks after its container where that may sleep.
    pub(super) fn follow_idleness(&mut self, unit: &UnitName) {
        let managed = self.machine.unit(unit);
        let idle = managed.filter(|managed| managed.phase == Phase::Running).and_then(|own| own.idle());
        let phase = managed.map_or(Phase::Dead, |managed| managed.phase);
        if phase == Phase::Freezing {
            self.checks.end(unit);
        }
        self.follow_standstill(unit);
        let known = self.sleepers.awake.get(unit).map(|awake| awake.idle);
        if known == idle {
            return;
        }
        self.sleepers.awake.remove(unit);
        if let Some(idle) = idle {
            self.look_after(unit, idle);
        }
    }

    fn look_after(&mut self, unit: &UnitName, idle: Idle) {
        let Some(watched) = self.watched(unit) else { return };
        let watched = Rc::new(watched);
        let clock = Rc::new(RefCell::new(IdleClock::new(idle, now().boottime)));
        let task = look_on(watched.clone(), clock.clone(), unit.clone(), self.notes.clone());
        let awake = Awake { idle, clock, watched, task: tokio::task::spawn_local(task) };
        self.sleepers.awake.insert(unit.clone(), awake);
    }

    fn watched(&self, unit: &UnitName) -> Option<Watched> {
        let live = self.runs.get(unit)?.clone();
        let group = self.frozen_group(&live);
        let sockets = self.sockets.of(unit).iter().map(OpenSocket::copy).collect();
        let arrivals = self.sleepers.arrivals.get_or_init(doorbell::arrivals).clone();
        Some(Watched { sockets, live, group, arrivals })
    }

    /// How near to sleep a container is that runs; `None` where it never sleeps.
    pub fn drowsiness(&self, unit: &UnitName) -> Option<Drowsiness> {
        let awake = self.sleepers.awake.get(unit)?;
        let mut uses = awake.watched.uses();
        let (clock, now) = (awake.clock.borrow(), now().boottime);
        let share = clock.cpu_per_sec_usec(awake.watched.cpu_usec(), now);
        let floor = awake.idle.cpu_floor_per_sec_usec;
        uses.extend(share.filter(|share| floor.is_some_and(|floor| *share >= floor)).map(Use::Work));
        if !uses.is_empty() {
            return Some(Drowsiness { uses, ..Drowsiness::default() });
        }
        let idle_since = clock.used();
        Some(Drowsiness { uses, idle_since, sleeps: idle_since.saturating_add(awake.idle.timeout) })
    }
}

async fn look_on(
    watched: Rc<Watched>,
    clock: Rc<RefCell<IdleClock>>,
    unit: UnitName,
    notes: UnboundedSender<Note>,
) {
    let mut doorbell = watched.doorbell();
    loop {
        doorbell.set();
        let seen = Seen { occupied: !watched.uses().is_empty(), cpu_usec: watched.cpu_usec() };
        let next = clock.borrow_mut().look(seen, now().boottime);
        match next {
            Next::Pause(pause) => tokio::time::sleep(pause).await,
            Next::Wait(left) => {
                if tokio::time::timeout(left, doorbell.ring()).await.is_ok() {
                    let pause = clock.borrow_mut().visited(now().boottime);
                    doorbell.has_rung();
                    doorbell.set();
                    tokio::time::sleep(pause).await;
                }
            }
            Next::Sleep => {
                // The receiver lives as long as the loop. Where a job is in the way, it is told again.
                let run = watched.live.number();
                drop(notes.send(Note::Event(Event::Idle { unit: unit.clone(), run })));
                tokio::time::sleep(AGAIN).await;
            }
        }
        if doorbell.has_rung() {
            clock.borrow_mut().visited(now().boottime);
        }
    }
}

/// Before the core is told again that a container is idle.
const AGAIN: Duration = Duration::from_secs(1);
