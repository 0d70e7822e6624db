//! What a predecessor left: its records, the descriptors in systemd's store, the scopes. Records are
//! believed only where the kernel agrees.

use super::driver::{self, Adoption, Manager, Outlet};
use super::machine::{Phase, Run, Stamps};
use super::orphan::Orphan;
use super::record::Record;
use super::shelf;
use crate::paths::Paths;
use crate::sys::pidfd;
use crate::sys::seccomp_notify::Received;
use crate::systemd::fdstore::StoredDescriptor;
use crate::systemd::notify::ServiceManager;
use crate::unit::model::Body;
use crate::unit::name::UnitName;
use rustix::fs::{MemfdFlags, memfd_create};
use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;

/// Descriptors of one unit.
#[derive(Debug, Default)]
struct Kept {
    pidfd: Option<OwnedFd>,
    notifier: Option<OwnedFd>,
    proxy: Option<OwnedFd>,
    notify: Option<OwnedFd>,
    output: Option<OwnedFd>,
    journal: Option<OwnedFd>,
    sockets: Vec<(String, OwnedFd)>,
    /// What it was made for, and the name of the socket that this came by.
    connection: Option<(String, OwnedFd)>,
}

/// All that systemd's store has kept.
#[derive(Debug, Default)]
struct Stored {
    units: BTreeMap<UnitName, Kept>,
    records: Vec<(UnitName, OwnedFd)>,
    predecessor: Option<Predecessor>,
}

/// Adopts everything that is still there: what has a record, then containers that have none. Answers whether there
/// was a predecessor since boot.
pub fn adopt(
    manager: &mut Manager,
    descriptors: Vec<(String, OwnedFd)>,
    containers: &[Orphan],
) -> Predecessor {
    let Stored { units: mut kept, records: stored, predecessor } = sort(descriptors);
    manager.found_records(stored.iter().map(|(unit, _)| unit.clone()));
    let records = shelf::newest(manager.paths(), stored);
    let recorded: BTreeSet<UnitName> = records.keys().cloned().collect();
    let records = in_order(manager, records, &mut kept);
    // A container that has been retired has the scope of its unit until the next one needs it.
    let is_retired = |(unit, _): &&(UnitName, Option<Record>)| unit.successor().is_some();
    let pid = |(_, record): &(UnitName, Option<Record>)| Some(record.as_ref()?.run.as_ref()?.pid);
    let given_away: BTreeSet<u32> = records.iter().filter(is_retired).filter_map(pid).collect();
    for (unit, record) in records {
        let own = kept.remove(&unit).unwrap_or_default();
        let is_its = |container: &&Orphan| container.unit == unit && !given_away.contains(&container.pid);
        let container = containers.iter().find(is_its);
        match (record, container) {
            (Some(mut record), container) => {
                if let Some(container) = container {
                    container.correct(&mut record, driver::now());
                }
                adopt_unit(manager, record, own);
            }
            (None, Some(orphan)) => adopt_orphan(manager, orphan, own),
            (None, None) => adopt_unrecorded(manager, &unit, own),
        }
    }
    for orphan in containers.iter().filter(|orphan| !recorded.contains(&orphan.unit)) {
        let own = kept.remove(&orphan.unit).unwrap_or_default();
        adopt_orphan(manager, orphan, own);
    }
    for (unit, lost) in kept {
        if lost.sockets.is_empty() && lost.connection.is_none() {
            manager.forget_descriptors(&unit, std::iter::empty());
        } else {
            adopt_unrecorded(manager, &unit, lost);
        }
    }
    manager.adopted_all(&containers.iter().map(|container| container.unit.clone()).collect());
    match predecessor {
        None if !marker(manager.paths()).exists() => Predecessor::None,
        _ => Predecessor::SinceBoot,
    }
}

/// What was retired comes first, since what becomes of the units hangs on it. A predecessor that died while it gave a
/// container to one of both has left it to the unit itself.
fn in_order(
    manager: &mut Manager,
    mut records: BTreeMap<UnitName, Option<Record>>,
    kept: &mut BTreeMap<UnitName, Kept>,
) -> Vec<(UnitName, Option<Record>)> {
    let run = |record: Option<&Option<Record>>| Some(record?.as_ref()?.run.as_ref()?.number);
    let is_of_both = |name: &&UnitName| {
        let successor = name.successor().and_then(|successor| run(records.get(&successor)));
        successor.is_some() && successor == run(records.get(*name))
    };
    for retired in records.keys().filter(is_of_both).cloned().collect::<Vec<_>>() {
        records.remove(&retired);
        if let Some(unit) = retired.successor() {
            manager.take_back(&unit, &retired);
            if let Some(own) = kept.remove(&retired) {
                kept.entry(unit).or_default().complete(own);
            }
        }
    }
    let mut records: Vec<_> = records.into_iter().collect();
    records.sort_by_key(|(unit, _)| unit.successor().is_none());
    records
}

impl Kept {
    /// Takes what this one lacks.
    fn complete(&mut self, other: Self) {
        fn lacking(own: &mut Option<OwnedFd>, other: Option<OwnedFd>) {
            *own = own.take().or(other);
        }
        lacking(&mut self.pidfd, other.pidfd);
        lacking(&mut self.notifier, other.notifier);
        lacking(&mut self.proxy, other.proxy);
        lacking(&mut self.notify, other.notify);
        lacking(&mut self.output, other.output);
        lacking(&mut self.journal, other.journal);
    }
}

fn adopt_orphan(manager: &mut Manager, orphan: &Orphan, kept: Kept) {
    tracing::warn!(SAMPAN_UNIT = %orphan.unit, "{}: its record is lost, but its container runs", orphan.unit);
    manager.ensure_loaded(&orphan.unit);
    manager.ensure_retired(&orphan.unit);
    manager.ensure_instance(&orphan.unit, kept.connection.as_ref());
    let container = manager.machine().unit(&orphan.unit).and_then(|managed| managed.container());
    let stop_signal = container.and_then(|container| container.stop_signal).unwrap_or(libc::SIGTERM);
    adopt_unit(manager, orphan.record(driver::now(), stop_signal), kept);
}

/// A unit without a container whose record says nothing. What must have been up stays so: others may depend on it.
fn adopt_unrecorded(manager: &mut Manager, unit: &UnitName, kept: Kept) {
    manager.ensure_loaded(unit);
    let connection = kept.connection.as_ref();
    if connection.is_some() {
        manager.ensure_instance(unit, connection);
    }
    let phase = manager.machine().unit(unit).and_then(|managed| match &managed.unit()?.body {
        Body::Target => Some(Phase::Active),
        // It was about to be launched for a connection that nobody has taken yet.
        Body::Container(container) if container.accepted.is_some() => connection.map(|_| Phase::Pull),
        Body::Container(container) if !container.sockets.is_empty() => Some(Phase::Listening),
        Body::Container(container) => container.remain_after_exit.then_some(Phase::Exited),
    });
    let Some(phase) = phase else {
        tracing::warn!(SAMPAN_UNIT = %unit, "{unit}: its record is lost, it counts as stopped");
        return manager.forget_descriptors(unit, kept.sockets.iter().map(|(name, _)| name.as_str()));
    };
    tracing::warn!(SAMPAN_UNIT = %unit, "{unit}: its record is lost, it counts as {}", phase.as_str());
    let now = driver::now();
    let stamps = Stamps { changed: now, active_enter: now, inactive_exit: now, ..Stamps::default() };
    adopt_unit(manager, Record { stamps, ..Record::new(unit.clone(), phase) }, kept);
}

/// The memory of the bind(2) that was received last: the predecessor's, or new and kept for the successor.
///
/// # Errors
/// When memory is short.
pub fn received(
    descriptors: &mut Vec<(String, OwnedFd)>,
    service: &ServiceManager,
) -> std::io::Result<Received> {
    let name = StoredDescriptor::Received;
    if let Some(position) = descriptors.iter().position(|(stored, _)| *stored == name.to_string()) {
        let (_, memory) = descriptors.swap_remove(position);
        match Received::adopt(memory) {
            Ok(received) => return Ok(received),
            Err(error) => tracing::warn!("{name}: {error}, forgetting this descriptor"),
        }
    }
    let received = Received::new()?;
    if let Err(error) = service.store(&name, received.as_fd()) {
        tracing::warn!("{error}, continuing");
    }
    Ok(received)
}

fn marker(paths: &Paths) -> PathBuf {
    paths.runtime().join("booted")
}

/// Notes that the enabled units have been started since the host was booted.
pub fn mark_booted(paths: &Paths, service: &ServiceManager) {
    let marker = marker(paths);
    let Err(error) = std::fs::write(&marker, "") else { return };
    let stored =
        memfd_create("booted", MemfdFlags::CLOEXEC).map_err(|error| error.to_string()).and_then(|memory| {
            service.store(&StoredDescriptor::Booted, memory.as_fd()).map_err(|error| error.to_string())
        });
    match stored {
        Ok(()) => tracing::warn!("{}: {error}, keeping this in systemd's descriptor store", marker.display()),
        Err(_) => tracing::error!(
            "{}: {error}; the next start of sampand starts all enabled units",
            marker.display()
        ),
    }
}

/// Whether a manager has run since the host was booted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Predecessor {
    /// None: the enabled units are to be started.
    None,
    /// One has: what is down was stopped on purpose or has failed.
    SinceBoot,
}

fn sort(descriptors: Vec<(String, OwnedFd)>) -> Stored {
    let mut stored = Stored::default();
    let kept = &mut stored.units;
    for (name, descriptor) in descriptors {
        match name.parse::<StoredDescriptor>() {
            Ok(StoredDescriptor::Process { unit }) => kept.entry(unit).or_default().pidfd = Some(descriptor),
            Ok(StoredDescriptor::Proxy { unit }) => {
                kept.entry(unit).or_default().proxy = Some(descriptor);
            }
            Ok(StoredDescriptor::Notifier { unit }) => {
                kept.entry(unit).or_default().notifier = Some(descriptor);
            }
            Ok(StoredDescriptor::Notify { unit }) => kept.entry(unit).or_default().notify = Some(descriptor),
            Ok(StoredDescriptor::Output { unit }) => kept.entry(unit).or_default().output = Some(descriptor),
            Ok(StoredDescriptor::Journal { unit }) => {
                kept.entry(unit).or_default().journal = Some(descriptor)
            }
            Ok(StoredDescriptor::Listen { unit, socket }) => {
                kept.entry(unit).or_default().sockets.push((socket, descriptor));
            }
            Ok(StoredDescriptor::Connection { unit, socket }) => {
                kept.entry(unit).or_default().connection = Some((socket, descriptor));
            }
            Ok(StoredDescriptor::Record { unit }) => stored.records.push((unit, descriptor)),
            Ok(StoredDescriptor::Booted) => stored.predecessor = Some(Predecessor::SinceBoot),
            // Taken before, this is one too many.
            Ok(StoredDescriptor::Received) => {}
            Err(error) => tracing::warn!("{name}: {error}, closing this descriptor"),
        }
    }
    stored
}

fn adopt_unit(manager: &mut Manager, record: Record, kept: Kept) {
    let unit = record.unit.clone();
    manager.ensure_loaded(&unit);
    manager.restore_definition(&record);
    if manager.machine().unit(&unit).is_none_or(|managed| managed.unit().is_none()) {
        tracing::warn!(
            "{unit}: runs, but its unit file is gone or bad: stop its scope {} by hand",
            unit.scope()
        );
        return;
    }
    manager.adopt_sockets(&unit, kept.sockets);
    if let Some((socket, connection)) = kept.connection {
        manager.adopt_connection(&unit, socket, connection, &record);
    }
    let outlet = kept.output.map(|fifo| Outlet::kept(fifo, kept.journal));
    // One that was given up may hang in the kernel still.
    let run = record.run.clone().filter(|run| run.ended.is_none());
    match (record.phase, run) {
        (_, Some(run)) if run.pid != 0 => match process(&run, record.facts.start_time, kept.pidfd) {
            Some(pidfd) => {
                let Kept { notifier, proxy, notify, .. } = kept;
                let adoption = Adoption::Run { pidfd, notifier, proxy, notify, outlet };
                manager.adopt(&unit, adoption, &record);
                // Files may have changed while there was no manager.
                if let Some(then) = record.definition.as_ref().and_then(|then| then.body.container()) {
                    manager.follow_limits(unit, (*then.resources).clone());
                }
            }
            None => manager.adopt(&unit, Adoption::Lost { outlet }, &record),
        },
        // The predecessor died before there was a process: the start is made anew.
        (Phase::Start, _) => manager.adopt(&unit, Adoption::Phase(Phase::Pull), &record),
        (phase, _) => manager.adopt(&unit, Adoption::Phase(phase), &record),
    }
}

/// The process of a run: by number and start time while it is there, or by its pidfd, which tells how it ended. What
/// the store has may be of a run before.
fn process(run: &Run, start_time: u64, stored: Option<OwnedFd>) -> Option<OwnedFd> {
    let lives = pidfd::open(run.pid).ok();
    // Looked at after the pidfd is open, so that the number cannot change hands in between.
    let lives = lives.filter(|_| pidfd::start_time(run.pid).ok() == Some(start_time));
    let is_other = |stored: &OwnedFd| pidfd::number(stored).is_ok_and(|number| number != run.pid);
    lives.or_else(|| stored.filter(|stored| !is_other(stored)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manager::machine::Stamp;
    use std::process::{Child, Command};

    fn sleeper() -> Child {
        Command::new("sleep").arg("1000").spawn().unwrap()
    }

    fn run(pid: u32) -> Run {
        Run {
            number: 2,
            pid,
            invocation: String::new(),
            began: Stamp::default(),
            started: Stamp::default(),
            ended: None,
            exit: None,
            main_pid: None,
            watchdog: None,
            terms: None,
        }
    }

    #[test]
    fn a_run_is_found_beside_the_descriptor_of_the_one_before() {
        let (mut before, mut own) = (sleeper(), sleeper());
        let start_time = pidfd::start_time(own.id()).unwrap();
        let found = |stored| process(&run(own.id()), start_time, stored);
        let number = |found: Option<OwnedFd>| pidfd::number(found.unwrap()).unwrap();
        assert_eq!(number(found(pidfd::open(before.id()).ok())), own.id());
        let ended = pidfd::open(before.id()).unwrap();
        before.kill().unwrap();
        before.wait().unwrap();
        assert_eq!(number(found(Some(ended.try_clone().unwrap()))), own.id());
        assert_eq!(number(found(None)), own.id());
        let own_descriptor = pidfd::open(own.id()).unwrap();
        own.kill().unwrap();
        own.wait().unwrap();
        assert!(process(&run(own.id()), start_time, None).is_none());
        assert!(
            process(&run(own.id()), start_time, Some(own_descriptor)).is_some(),
            "its exit is still known"
        );
    }
}
