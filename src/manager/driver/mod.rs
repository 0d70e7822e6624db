//! The driver: one loop that turns what happens into events for the core, and carries the core's actions out.
//! All of it runs on one thread; what takes time is a task that reports back by a [`Note`].

mod accept;
mod actions;
mod adopt;
mod before;
mod boot;
mod cache;
mod clean;
mod clock;
mod commands;
mod condition;
mod control;
mod devices;
mod discard;
mod errand;
mod exec;
mod freezer;
mod handle;
mod health;
mod helper;
mod idle;
mod keeper;
mod launch;
mod limits;
mod listening;
mod live;
mod loading;
mod memory;
mod native;
mod native_job;
mod notify;
mod output;
mod overlap;
mod prepare;
mod proxy;
mod pull;
mod ranges;
mod reload;
mod request;
mod service;
mod shared;
mod sleepers;
mod slice;
mod sockets;
mod stop;
mod swapping;
mod timer;
mod transient;
mod turns;
mod unserved;

pub use adopt::Adoption;
pub use clean::{CleanError, Leftover};
pub use exec::ExecError;
pub use handle::{ExecRequest, ManagerHandle, Notice};
pub use health::Checked;
pub use idle::{Drowsiness, Use};
pub use keeper::{Meant, ask_store};
pub use output::Outlet;
pub use pull::TransferNotice;
pub use sockets::SocketLine;
pub use stop::Whom;
pub use transient::{TransientError, TransientRequest};

use super::machine::{Event, JobId, Machine, Request, RequestError, Stamp};
use super::record::{Progress, RunFacts};
use super::shelf::Shelf;
use crate::launch::spawn::Launcher;
use crate::paths::Paths;
use crate::store::Store;
use crate::sys::seccomp_notify::Received;
use crate::systemd::manager::{Signaller, Systemd};
use crate::systemd::notify::ServiceManager;
use crate::systemd::signals::{Loss, QueuedJob, SystemdEvent};
use crate::unit::model::Resources;
use crate::unit::name::UnitName;
use accept::{Connections, Pace};
use clock::Wakers;
use commands::Stages;
use errand::Told;
use futures_util::StreamExt;
use handle::Command;
use health::Checks;
use idle::Sleepers;
use listening::Binds;
use live::LiveRun;
use memory::MemoryWatch;
use native::Natives;
use output::Outputs;
use pull::Pulls;
use ranges::Ranges;
use rustix::time::{ClockId, clock_gettime};
use service::Services;
use sockets::Sockets;
use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::Interval;
use transient::{Transients, Tug};

/// How many launches are under way at a time. More would only wait for each other, and for systemd.
const LAUNCHES_MAX: usize = 32;

/// What a task of the driver reports.
#[derive(Debug)]
enum Note {
    /// For the core.
    Event(Event),
    /// For the core, with the facts of a run by then: no record has the one without the other.
    Facts(UnitName, u64, Box<RunFacts>, Event),
    /// The server of a container has got the held socket of this name.
    Bound(UnitName, u64, String),
    /// A client of the held socket of this name waits, whom the server of a run does not accept.
    Unserved(UnitName, u64, String),
    /// The descriptor over which a container's bind(2) calls come.
    Notifier(UnitName, u64, OwnedFd),
    /// What moves bytes for a container has ended.
    ProxyEnded(UnitName, u64),
    /// Another one is to be started.
    ProxyDue(UnitName, u64),
    /// Connections wait at a socket with `pass = "accept"`.
    Incoming(UnitName, String, oneshot::Sender<Pace>),
    /// A command of a stage is over.
    Progress(UnitName, Progress),
    /// Where the programs of a container write by name.
    Output(UnitName, u64, Outlet),
    /// A pull, by its number, has something to tell.
    Transfer(u32, Told),
    /// All of a run is over.
    RunOver(UnitName, u64),
    /// A launch has ended with the manager that it belonged to, before there was a payload.
    Unstarted(UnitName, u64),
    /// Who has made a unit for one start wants something of it.
    Leash(UnitName, Tug),
    /// systemd has new limits of a unit that runs.
    LimitsSet(UnitName),
    /// Nothing is left of what a forgotten unit had.
    Discarded(UnitName),
    /// A run has been moved to another scope.
    Moved(UnitName, u64),
    /// The sockets of a unit may listen no more, which its container needs.
    Deaf(UnitName),
    /// systemd is stopping the scope of a run.
    Deactivating(UnitName, u64, Signaller),
    /// Wants to know when everything noted before is in the records.
    Written(oneshot::Sender<()>),
}

/// The manager: the core and its hands.
#[derive(Debug)]
pub struct Manager {
    machine: Machine,
    paths: Paths,
    store: Rc<Store>,
    systemd: Systemd,
    service: Rc<ServiceManager>,
    launcher: Rc<Launcher>,
    /// Turns of launches.
    launches: Rc<Semaphore>,
    sockets: Sockets,
    connections: Connections,
    binds: Binds,
    checks: Checks,
    sleepers: Sleepers,
    outputs: Outputs,
    pulls: Pulls,
    natives: Natives,
    stages: Stages,
    ranges: Ranges,
    services: Services,
    transients: Transients,
    memory: Rc<MemoryWatch>,
    runs: BTreeMap<UnitName, Rc<LiveRun>>,
    facts: BTreeMap<UnitName, RunFacts>,
    shelf: Shelf,
    /// Limits of containers whose unit names none.
    defaults: Resources,
    /// Other names of units.
    aliases: BTreeMap<UnitName, UnitName>,
    /// Units whose record and listeners are to be told, once for each turn of the loop.
    changed: BTreeSet<UnitName>,
    notes: mpsc::UnboundedSender<Note>,
    notices: mpsc::UnboundedSender<Notice>,
    leaving: Leaving,
}

/// When the manager ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Leaving {
    /// At SIGTERM; containers stay.
    AtOnce,
    /// The host goes down: once every unit is down.
    WhenAllAreDown,
}

/// What the loop listens to.
#[derive(Debug)]
pub struct Inbox {
    notes: mpsc::UnboundedReceiver<Note>,
    commands: mpsc::UnboundedReceiver<Command>,
}

/// What a manager is made of.
#[derive(Debug)]
pub struct Parts {
    /// The host's directories.
    pub paths: Paths,
    /// The image store.
    pub store: Store,
    /// The connection to systemd.
    pub systemd: Systemd,
    /// systemd as the manager of our own service.
    pub service: Rc<ServiceManager>,
    /// The launcher's program.
    pub launcher: Launcher,
    /// Where changes are told.
    pub notices: mpsc::UnboundedSender<Notice>,
    /// The bind(2) that was received last.
    pub received: Received,
}

impl Manager {
    /// A manager without units, and the handle by which others reach it.
    pub fn new(parts: Parts) -> std::io::Result<(Self, Inbox, ManagerHandle)> {
        let (notes, note_receiver) = mpsc::unbounded_channel();
        let (commands, command_receiver) = mpsc::unbounded_channel();
        let mut manager = Self {
            machine: Machine::default(),
            shelf: Shelf::new(&parts.paths, parts.service.clone()),
            paths: parts.paths,
            store: Rc::new(parts.store),
            services: Services::new(parts.systemd.clone()),
            systemd: parts.systemd,
            service: parts.service,
            launcher: Rc::new(parts.launcher),
            launches: Rc::new(Semaphore::new(LAUNCHES_MAX)),
            sockets: Sockets::new(parts.received)?,
            connections: Connections::default(),
            binds: Binds::default(),
            checks: Checks::default(),
            sleepers: Sleepers::default(),
            outputs: Outputs::default(),
            pulls: Pulls::default(),
            natives: Natives::default(),
            stages: Stages::default(),
            ranges: Ranges::default(),
            transients: Transients::default(),
            memory: Rc::new(MemoryWatch::new()?),
            runs: BTreeMap::new(),
            facts: BTreeMap::new(),
            defaults: Resources::default(),
            aliases: BTreeMap::new(),
            changed: BTreeSet::new(),
            notes,
            notices: parts.notices,
            leaving: Leaving::AtOnce,
        };
        let clocks = clock::clocks(&manager.paths);
        manager.event(Event::Clocks(clocks));
        let inbox = Inbox { notes: note_receiver, commands: command_receiver };
        Ok((manager, inbox, ManagerHandle::new(commands)))
    }

    /// The core, to look at.
    pub fn machine(&self) -> &Machine {
        &self.machine
    }

    /// The host's directories.
    pub fn paths(&self) -> &Paths {
        &self.paths
    }

    /// The connection to systemd.
    pub fn systemd(&self) -> &Systemd {
        &self.systemd
    }

    /// What the present or last run of a unit was launched with.
    pub fn run_facts(&self, unit: &UnitName) -> Option<&RunFacts> {
        self.facts.get(unit)
    }

    /// Works until SIGTERM. Containers and sockets stay for the successor.
    ///
    /// # Errors
    /// When the timer or the signal handler cannot be made.
    pub async fn run(mut self, mut inbox: Inbox) -> anyhow::Result<()> {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut hangup = signal(SignalKind::hangup())?;
        let mut systemd_events = self.systemd.events();
        let mut wakers = Wakers::new(&self.paths)?;
        let (memory, sleepers) = (self.memory.clone(), self.sockets.sleepers.clone());
        let mut pulse = self.service.watchdog().map(|time| tokio::time::interval(time / 2));
        self.look_at_services();
        self.launcher.keep_spares();
        loop {
            wakers.set(&self.machine, &self.paths)?;
            tokio::select! {
                Some(note) = inbox.notes.recv() => self.take_note(note),
                Some(command) = inbox.commands.recv() => self.take_command(command),
                Some(event) = systemd_events.next() => self.take_systemd_event(event),
                woken = sleepers.woken() => woken.into_iter().for_each(|event| self.take_event(event)),
                changed = memory.changed() => changed.into_iter().for_each(|run| self.memory_changed(run)),
                event = wakers.next() => {
                    if matches!(event, Event::TimersDue) {
                        self.excuse_the_frozen();
                    }
                    self.event(event);
                }
                () = beat(&mut pulse) => self.say(self.service.alive()),
                _ = hangup.recv() => self.reload(),
                _ = terminate.recv() => if !self.begin_shutdown().await { break },
                _ = interrupt.recv() => break,
            }
            self.tell_changes();
            if self.is_done() {
                break;
            }
        }
        tracing::info!("Leaving; containers and sockets stay.");
        Ok(())
    }

    /// Asks the core for a job, after everything that it may touch has been loaded.
    ///
    /// # Errors
    /// As [`Machine::request`].
    pub fn request(&mut self, request: &Request) -> Result<JobId, RequestError> {
        let unit = self.ensure_loaded(&request.unit);
        let request = Request { unit, ..request.clone() };
        let (answer, actions) = self.machine.request(now(), &request);
        self.carry_out(actions);
        answer
    }

    /// Gives an event to the core and carries out what it asks for.
    pub(super) fn event(&mut self, event: Event) {
        let actions = self.machine.handle(now(), event);
        self.carry_out(actions);
    }

    fn take_note(&mut self, note: Note) {
        match self.readdress(note) {
            Note::Event(event) => self.take_event(event),
            Note::Facts(unit, run, facts, event) => {
                if self.is_current(&unit, run) {
                    self.facts.insert(unit.clone(), *facts);
                    self.changed.insert(unit);
                }
                self.take_event(event);
            }
            Note::Incoming(unit, socket, reply) => self.incoming(&unit, &socket, reply),
            Note::Progress(unit, progress) => self.keep_progress(unit, progress),
            Note::Bound(unit, run, socket) if self.is_current(&unit, run) => self.bound(&unit, &socket),
            Note::Bound(..) => {}
            Note::Deaf(unit) => self.listen_on(&unit),
            Note::Moved(unit, run) => self.follow_group(&unit, run),
            Note::ProxyEnded(unit, run) => self.proxy_ended(&unit, run),
            Note::ProxyDue(unit, run) if self.is_current(&unit, run) => self.start_proxy(&unit),
            Note::ProxyDue(..) => {}
            Note::Unserved(unit, run, socket) => self.tell_unserved(&unit, run, &socket),
            Note::Notifier(unit, run, notifier) => {
                if self.is_current(&unit, run) {
                    self.answer_binds(&unit, notifier);
                }
            }
            Note::Output(unit, run, outlet) => {
                if self.is_current(&unit, run) {
                    self.forward_output(&unit, outlet);
                }
            }
            Note::Transfer(id, told) => self.take_transfer(id, told),
            Note::RunOver(unit, run) => self.forget_run(&unit, run),
            Note::Unstarted(unit, run) => self.launch_anew(&unit, run),
            Note::Leash(unit, tug) => self.tugged(unit, tug),
            Note::Deactivating(unit, run, signaller) => self.stopped_by_systemd(unit, run, signaller),
            Note::LimitsSet(unit) => self.limits_changed(&unit),
            Note::Discarded(unit) => self.release_ids(&unit),
            // Records are written at the end of each turn, and each note has its own.
            Note::Written(reply) => drop(reply.send(())),
        }
    }

    fn take_event(&mut self, event: Event) {
        match event {
            // Its files say something else than when it began to listen.
            Event::Connection { ref unit, .. } if self.accepts(unit) => return self.watch_sockets(unit),
            Event::Connection { ref unit, ref socket } => self.connection_noted(unit, socket),
            Event::Executed { ref unit, .. } => {
                self.note_executed(unit);
                self.start_proxy(unit);
                self.handed_over(unit);
                self.look_for_listeners(unit);
                self.begin_checks(unit);
                self.watch_memory(unit);
            }
            Event::Health { ref unit, run, ref health } => self.keep_health(unit, run, health),
            _ => {}
        }
        self.event(event);
    }

    fn run_in(&self, scope: &str) -> Option<(UnitName, Rc<LiveRun>)> {
        // A stop of what is left of a run that is over is our own wish, and no stop of the unit.
        let run = self.runs.iter().find(|(unit, live)| unit.scope() == scope && !live.over.get());
        run.map(|(unit, live)| (unit.clone(), live.clone()))
    }

    fn is_current(&self, unit: &UnitName, run: u64) -> bool {
        self.runs.get(unit).is_some_and(|live| live.number() == run)
    }

    fn take_systemd_event(&mut self, event: SystemdEvent) {
        match event {
            SystemdEvent::RequestStop { scope } => {
                if let Some((unit, _)) = self.run_in(&scope) {
                    self.event(Event::StopRequested { unit });
                }
            }
            // systemd may have sent the stop signal itself; then what is left to us is a payload that is deaf to it.
            SystemdEvent::JobQueued { scope, job } => {
                if let Some((unit, live)) = self.run_in(&scope).filter(|(_, live)| !live.is_controlled()) {
                    self.look_at_scope(unit, &live, Some(job));
                }
            }
            SystemdEvent::Lost(loss) => self.systemd_lost(loss),
            SystemdEvent::Regained(_) => {
                self.look_at_scopes();
                self.look_at_services();
            }
            // Each of systemd's units is watched by a task of its own.
            SystemdEvent::Reloaded | SystemdEvent::Unit { .. } => {}
            SystemdEvent::ScopeRemoved { .. } | SystemdEvent::Result { .. } => {}
        }
    }

    /// With the bus, systemd loses who controls its scopes. A bus that ends in order loses systemd first.
    fn systemd_lost(&mut self, loss: Loss) {
        if loss == Loss::Bus {
            tracing::warn!("The system bus has gone; containers run on, starts wait for it.");
        }
        self.runs.values().for_each(|live| live.controlled.set(false));
    }

    /// Asks which scopes systemd has begun to stop while it could not tell us.
    fn look_at_scopes(&self) {
        for (unit, live) in self.runs.iter().filter(|(_, live)| live.executed.get() && !live.over.get()) {
            self.look_at_scope(unit.clone(), live, None);
        }
    }

    fn look_at_scope(&self, unit: UnitName, live: &LiveRun, job: Option<QueuedJob>) {
        let (run, systemd, notes) = (live.number(), self.systemd.clone(), self.notes.clone());
        drop(tokio::task::spawn_local(async move {
            match systemd.stop_signaller(&unit.scope(), job).await {
                // The receiver lives as long as the loop.
                Ok(Some(signaller)) => drop(notes.send(Note::Deactivating(unit, run, signaller))),
                Ok(None) => {}
                Err(error) => tracing::warn!(SAMPAN_UNIT = %unit, "{error}"),
            }
        }));
    }

    fn stopped_by_systemd(&mut self, unit: UnitName, run: u64, signaller: Signaller) {
        if let Some(live) = self.runs.get(&unit).filter(|live| live.number() == run && !live.over.get()) {
            live.signalled.set(signaller == Signaller::Systemd);
            self.event(Event::StopRequested { unit });
        }
    }
}

/// Waits until systemd is to hear that this loop works; for ever, where it does not want to.
async fn beat(pulse: &mut Option<Interval>) {
    match pulse {
        Some(pulse) => drop(pulse.tick().await),
        None => std::future::pending().await,
    }
}

/// The clocks, now.
pub fn now() -> Stamp {
    let realtime = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let clock = |id| {
        let time = clock_gettime(id);
        let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
        Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or_default())
    };
    Stamp { realtime, boottime: clock(ClockId::Boottime), monotonic: clock(ClockId::Monotonic) }
}
