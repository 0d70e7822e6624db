//! Containers that have a successor: what there is of one goes on under another name, in another scope, so that the name
//! and the scope of the unit are those of the next one. Where that does not come up, it gets both back.
//!
//! Its processes are moved when the next launch has found everything that it needs, and not before. Memory that they
//! have by then stays charged to the slice, as the kernel does not move charges, cgroup-v2 "Memory Ownership".

use super::control::{failure, io_failure};
use super::helper::leave_scope;
use super::launch::scope_request;
use super::live::{LiveRun, until_ended};
use super::sockets::{OpenSocket, SocketCopy};
use super::{Manager, Note, Notice, now};
use crate::launch::plan::PASSING;
use crate::manager::accounting;
use crate::manager::machine::{Event, Failure, Loaded};
use crate::manager::record::RunFacts;
use crate::paths::Paths;
use crate::sys::{pidfd, readiness};
use crate::systemd::SystemdError;
use crate::systemd::fdstore::StoredDescriptor;
use crate::systemd::manager::{Keeper, ScopeRequest, Systemd};
use crate::unit::model::{Listen, Unit};
use crate::unit::name::UnitName;
use crate::unit::overlap;
use crate::unit::value::TimeSpan;
use futures_util::future::join_all;
use std::collections::BTreeMap;
use std::fs;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::UnboundedSender;

/// How often processes are looked for that were born while the others were moved.
const ROUNDS: u32 = 100;

/// How long a socket may take to listen again, before it is looked at once more.
const DEAF_INTERVAL: Duration = Duration::from_millis(5);

/// What a run has on disk, when it is of this unit.
pub(super) fn directory_of(unit: &UnitName, directory: &Path) -> PathBuf {
    let all = directory.parent().and_then(Path::parent);
    match all.zip(directory.file_name()) {
        Some((all, name)) => all.join(unit.as_str()).join(name),
        None => directory.to_owned(),
    }
}

impl Manager {
    /// The container of a unit is that of `retired` from now on.
    pub(super) fn retire(&mut self, unit: &UnitName, retired: &UnitName, run: u64) {
        self.checks.end(unit);
        self.expect_none(unit);
        self.tell(Notice::New(retired.clone()));
        self.rename(unit, retired, run);
        // A successor of this process must know of it before it is told that the unit has another container.
        self.keep_record(retired);
        self.move_directory(unit, retired);
        self.guard_sockets(retired);
    }

    /// The container that had been retired is that of the unit again.
    pub(super) fn recall(&mut self, unit: &UnitName, retired: &UnitName, run: u64) {
        let why = self.machine.unit(unit).and_then(|managed| managed.failure.as_ref());
        let why = why.map_or_else(String::new, |failure| format!(" ({})", failure.message));
        tracing::warn!(SAMPAN_UNIT = %unit, "{unit}: The next container has not come up{why}, the one before goes on.");
        self.rename(retired, unit, run);
        self.move_directory(retired, unit);
        let Some(live) = self.run_of(unit, run) else { return };
        if let Some(notifier) = live.notifier.get().and_then(|notifier| notifier.try_clone().ok()) {
            self.answer_binds(unit, notifier);
        }
        self.start_proxy(unit);
        self.begin_checks(unit);
        self.changed.insert(unit.clone());
        if let Some(migration) = self.migration(unit) {
            let unit = unit.clone();
            drop(tokio::task::spawn_local(async move {
                if let Err(failure) = migration.perform().await {
                    tracing::warn!(SAMPAN_UNIT = %unit, "{unit}: {}, continuing", failure.message);
                }
            }));
        }
    }

    /// The next container of a unit is up.
    pub(super) fn overlapped(&self, unit: &UnitName, since: Duration) {
        let took = TimeSpan(Some(now().boottime.saturating_sub(since)));
        tracing::info!(SAMPAN_UNIT = %unit, "{unit}: Overlapped: the next container is up after {took}, stopping the one before.");
    }

    /// A predecessor died while it gave the container of a unit to `retired`, or took it back: it is the unit's, with
    /// what it has on disk.
    pub fn take_back(&mut self, unit: &UnitName, retired: &UnitName) {
        self.shelf.keep(retired, None);
        self.forget_descriptors(retired, std::iter::empty());
        let all = self.store.all_containers_dir();
        for name in PASSING {
            let (from, to) = (all.join(retired.as_str()).join(name), all.join(unit.as_str()).join(name));
            if let Err(error) = fs::rename(&from, &to)
                && from.exists()
            {
                tracing::warn!(SAMPAN_UNIT = %unit, "{unit}: {}: {error}, continuing", from.display());
            }
        }
        let _ = fs::remove_dir(all.join(retired.as_str()));
    }

    /// Makes anew what a container is that has a successor, and of which nothing but its scope is known.
    pub fn ensure_retired(&mut self, retired: &UnitName) {
        let Some(unit) = retired.successor() else { return };
        self.ensure_loaded(&unit);
        let specification = self.machine.unit(&unit).and_then(|managed| managed.unit());
        if let Some(made) = specification.and_then(|unit| overlap::retired(unit)) {
            let loaded = Loaded::good(Arc::new(made));
            self.event(Event::LoadedMore(BTreeMap::from([(retired.clone(), loaded)])));
        }
    }

    /// A server can end the listening of its socket when it stops, and its successor has the same one. That of a unix
    /// socket cannot be begun again, which is told in the end.
    pub(super) fn guard_sockets(&self, retired: &UnitName) {
        let Some((live, unit)) = self.runs.get(retired).cloned().zip(retired.successor()) else { return };
        let listens = |open: &&OpenSocket| matches!(open.held.socket().listen, Listen::Tcp(_));
        let sockets = self.sockets.of(&unit).iter().filter(listens);
        let sockets: Vec<SocketCopy> = sockets.map(OpenSocket::copy).collect();
        let notes = self.notes.clone();
        drop(tokio::task::spawn_local(async move {
            let Some(process) = live.process.get() else { return };
            // The receiver lives as long as the loop.
            let tell = || drop(notes.send(Note::Deaf(unit.clone())));
            tokio::select! {
                () = until_ended(process.pidfd.as_fd()) => {}
                () = guard(&sockets, &tell) => {}
            }
            tell();
        }));
    }

    /// Has the sockets of a unit listen whose server that was stopped may have ended it.
    pub(super) fn listen_on(&self, unit: &UnitName) {
        for open in self.sockets.of(unit).iter().filter(|open| open.held.socket().listen.connects()) {
            if let Err(error) = open.held.ensure_listening() {
                tracing::error!(
                    SAMPAN_UNIT = %unit,
                    "{unit}: socket.{}: {error}: the server that was stopped has shut it down; restart the unit \
                     without --overlap",
                    open.held.name()
                );
            }
        }
    }

    /// Gives all that there is of a run to another unit, which has none but one that hangs in the kernel.
    fn rename(&mut self, unit: &UnitName, other: &UnitName, run: u64) {
        let Some(live) = self.run_of(unit, run) else { return };
        if let Some(hung) = self.runs.get(other) {
            *hung.renamed.borrow_mut() = Some(unit.clone());
        }
        *live.renamed.borrow_mut() = Some(other.clone());
        self.rename_stored(&live, unit, other);
        exchange(&mut self.runs, unit, other);
        exchange(&mut self.facts, unit, other);
        exchange(&mut self.sockets.notifiers, unit, other);
        exchange(&mut self.outputs.flowing, unit, other);
        self.changed.insert(other.clone());
    }

    /// The same of what systemd's store has of it.
    fn rename_stored(&self, live: &LiveRun, unit: &UnitName, other: &UnitName) {
        let rename = |name: fn(UnitName) -> StoredDescriptor, descriptor: Option<BorrowedFd<'_>>| {
            if let Some(descriptor) = descriptor {
                self.store_descriptor(&name(other.clone()), descriptor);
                self.unstore_descriptor(&name(unit.clone()));
            }
        };
        let process = live.process.get().map(|process| process.pidfd.as_fd());
        rename(|unit| StoredDescriptor::Process { unit }, process);
        rename(|unit| StoredDescriptor::Notifier { unit }, live.notifier.get().map(AsFd::as_fd));
        rename(|unit| StoredDescriptor::Notify { unit }, live.notify.get().map(AsFd::as_fd));
        let proxy = live.proxy.borrow();
        rename(|unit| StoredDescriptor::Proxy { unit }, proxy.as_ref().map(|proxy| proxy.as_fd()));
        let (fifo, journal) = live.outlet.get().map(|outlet| outlet.descriptors()).unzip();
        rename(|unit| StoredDescriptor::Output { unit }, fifo);
        rename(|unit| StoredDescriptor::Journal { unit }, journal.flatten());
    }

    /// Moves what the root of a container has on disk out of the way of the next one. What is mounted stays so.
    fn move_directory(&mut self, unit: &UnitName, other: &UnitName) {
        let facts = self.facts.get_mut(other);
        let Some(directory) = facts.and_then(|facts| facts.ephemeral.as_mut()) else { return };
        let from = directory_of(unit, directory);
        let moved = self.store.containers_dir(other.as_str()).map_err(|error| error.to_string());
        *directory = directory_of(other, directory);
        let moved = moved.and_then(|_| {
            fs::rename(&from, &*directory).map_err(|error| format!("{}: {error}", from.display()))
        });
        if let Err(error) = moved.as_ref().map(drop)
            && from.exists()
        {
            tracing::warn!(SAMPAN_UNIT = %unit, "{unit}: {error}, continuing");
        }
        // Where that was all that it had.
        let _ = from.parent().map(fs::remove_dir);
        self.keep_record(&other.clone());
    }

    /// What the next launch of a unit has to do with the container that serves for it.
    pub(super) fn older(&self, unit: &UnitName) -> Option<Migration> {
        self.migration(&self.machine.on_standby(unit)?)
    }

    fn migration(&self, unit: &UnitName) -> Option<Migration> {
        Some(Migration {
            unit: self.machine.unit(unit)?.unit()?.clone(),
            live: self.runs.get(unit)?.clone(),
            facts: self.facts.get(unit)?.clone(),
            paths: self.paths.clone(),
            systemd: self.systemd.clone(),
            notes: self.notes.clone(),
        })
    }

    /// The unit whose container a run is now. What is told of it may have been on its way while that became another.
    fn owner(&self, unit: &UnitName, run: u64) -> UnitName {
        let has = |name: &UnitName| {
            let own = self.machine.unit(name).and_then(|managed| managed.run.as_ref());
            own.is_some_and(|own| own.number == run)
        };
        let other = unit.successor().or_else(|| unit.retired());
        other.filter(|other| !has(unit) && has(other)).unwrap_or_else(|| unit.clone())
    }

    pub(super) fn readdress(&self, mut note: Note) -> Note {
        let about = match &mut note {
            Note::Event(event) => event.run_mut(),
            Note::Facts(unit, run, _, event) => {
                if let Some((unit, run)) = event.run_mut() {
                    *unit = self.owner(unit, run);
                }
                Some((unit, *run))
            }
            Note::Bound(unit, run, _)
            | Note::Unserved(unit, run, _)
            | Note::Notifier(unit, run, _)
            | Note::ProxyEnded(unit, run)
            | Note::ProxyDue(unit, run)
            | Note::Output(unit, run, _)
            | Note::RunOver(unit, run)
            | Note::Unstarted(unit, run)
            | Note::Moved(unit, run)
            | Note::Deactivating(unit, run, _) => Some((unit, *run)),
            Note::Progress(unit, progress) => Some((unit, progress.run)),
            _ => None,
        };
        if let Some((unit, run)) = about {
            *unit = self.owner(unit, run);
        }
        note
    }
}

fn exchange<T>(of_units: &mut BTreeMap<UnitName, T>, one: &UnitName, other: &UnitName) {
    let (first, second) = (of_units.remove(one), of_units.remove(other));
    of_units.extend(first.map(|first| (other.clone(), first)));
    of_units.extend(second.map(|second| (one.clone(), second)));
}

/// Never ends: where a socket cannot be watched, it is looked at when its server has ended.
async fn guard(sockets: &[SocketCopy], tell: &impl Fn()) {
    join_all(sockets.iter().map(|socket| tell_closed(&socket.fd, tell))).await;
    std::future::pending().await
}

/// Tells each time that a socket has been shut down.
async fn tell_closed(socket: &OwnedFd, tell: impl Fn()) -> std::io::Result<()> {
    loop {
        until_closed(socket).await?;
        tell();
        tokio::time::sleep(DEAF_INTERVAL).await;
    }
}

/// A watch that has seen it sees it for ever.
async fn until_closed(socket: &OwnedFd) -> std::io::Result<()> {
    let watch = readiness::watch_in_time(socket).await?;
    loop {
        let mut ready = watch.readable().await?;
        if ready.ready().is_read_closed() {
            return Ok(());
        }
        // Clients that wait are the server's.
        ready.clear_ready();
    }
}

/// Moves the container of a unit into the scope that has the unit's name.
pub(super) struct Migration {
    unit: Arc<Unit>,
    live: Rc<LiveRun>,
    facts: RunFacts,
    paths: Paths,
    systemd: Systemd,
    notes: UnboundedSender<Note>,
}

impl Migration {
    /// A container that has ended has left its scope, which is as good.
    pub(super) async fn perform(&self) -> Result<(), Failure> {
        let _turn = self.live.moving.lock().await;
        let Some(process) = self.live.process.get() else { return Ok(()) };
        let scope = self.unit.name.scope();
        let Some(group) = accounting::directory(&self.paths, process.pid) else { return Ok(()) };
        if group.ends_with(&scope) {
            return Ok(());
        }
        let moved = match accounting::is_divided(&group) {
            true => Err(failure("the container has divided its control group".to_owned(), libc::EBUSY)),
            false => self.move_all(&group, &scope).await,
        };
        if let Err(failure) = moved {
            let message = format!("overlap: cannot move the container that runs: {}", failure.message);
            let ended = pidfd::has_ended(process.pidfd.as_fd());
            return if ended { Ok(()) } else { Err(Failure { message, ..failure }) };
        }
        if let Some(empty) = group.file_name().and_then(|name| name.to_str()) {
            leave_scope(&self.systemd, empty).await;
        }
        if let Some(group) = accounting::scope(&self.paths, process.pid, &scope) {
            self.live.set_group(group);
        }
        // The receiver lives as long as the loop.
        let _ = self.notes.send(Note::Moved(self.unit.name.clone(), self.live.number()));
        Ok(())
    }

    /// The first process begins the scope, and the others follow: as long as any is left, it can have children.
    async fn move_all(&self, group: &Path, scope: &str) -> Result<(), Failure> {
        let told = |error: SystemdError| failure(error.to_string(), 0);
        // Some can be there, where a manager before has not got further.
        if self.systemd.processes(scope).await.map_err(told)?.is_empty() {
            self.begin_scope().await?;
        }
        let mut rounds = 0..ROUNDS;
        loop {
            let left = accounting::processes_below(group);
            if left.is_empty() {
                return Ok(());
            }
            match self.systemd.attach(scope, &left).await {
                Ok(()) => {}
                // One of them has ended meanwhile.
                Err(_) if rounds.next().is_some() => tokio::task::yield_now().await,
                Err(error) => return Err(told(error)),
            }
        }
    }

    async fn begin_scope(&self) -> Result<(), Failure> {
        let (Some(process), Some(container)) = (self.live.process.get(), self.unit.body.container()) else {
            return Ok(());
        };
        let pidfd = process.pidfd.try_clone().map_err(|error| io_failure("pidfd", &error))?;
        let slice = self.live.slice.get().cloned().unwrap_or_default();
        let keeper = if self.live.is_controlled() { Keeper::Manager } else { Keeper::Systemd };
        let request = scope_request(&self.unit, container, &self.facts, slice, (process.pid, pidfd));
        let begun = self.systemd.start_scope(&ScopeRequest { keeper, ..request }).await;
        begun.map_err(|error| failure(error.to_string(), 0))
    }
}
