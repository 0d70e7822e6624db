//! What a predecessor left: its records, the descriptors in systemd's store, the scopes. Records are
//! believed only where the kernel agrees.

use super::driver::{self, Adoption, Manager, Outlet};
use super::machine::{Phase, Run};
use super::orphan::Orphan;
use super::record::{self, Record};
use crate::paths::Paths;
use crate::sys::pidfd;
use crate::sys::seccomp_notify::Received;
use crate::systemd::fdstore::StoredDescriptor;
use crate::systemd::notify::ServiceManager;
use crate::unit::name::UnitName;
use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;

/// Descriptors of one unit.
#[derive(Debug, Default)]
struct Kept {
    pidfd: Option<OwnedFd>,
    notifier: Option<OwnedFd>,
    output: Option<OwnedFd>,
    journal: Option<OwnedFd>,
    sockets: Vec<(String, OwnedFd)>,
}

/// Adopts everything that is still there: what has a record, then containers that have none. Answers whether there
/// was a predecessor since boot.
pub fn adopt(
    manager: &mut Manager,
    descriptors: Vec<(String, OwnedFd)>,
    containers: &[Orphan],
) -> Predecessor {
    let mut kept = sort(descriptors);
    let records = record::all(manager.paths());
    let recorded: BTreeSet<UnitName> = records.iter().map(|record| record.unit.clone()).collect();
    for mut record in records {
        let own = kept.remove(&record.unit).unwrap_or_default();
        if let Some(container) = containers.iter().find(|container| container.unit == record.unit) {
            container.correct(&mut record, driver::now());
        }
        adopt_unit(manager, record, own);
    }
    for orphan in containers.iter().filter(|orphan| !recorded.contains(&orphan.unit)) {
        let own = kept.remove(&orphan.unit).unwrap_or_default();
        tracing::warn!(SAMPAN_UNIT = %orphan.unit, "{}: its record is lost, but its container runs", orphan.unit);
        adopt_orphan(manager, orphan, own);
    }
    for (unit, lost) in kept {
        tracing::warn!("{unit}: descriptors without a record ({}), closing them", lost.sockets.len());
        manager.forget_descriptors(&unit, lost.sockets.iter().map(|(name, _)| name.as_str()));
    }
    manager.adopted_all();
    if marker(manager.paths()).exists() { Predecessor::SinceBoot } else { Predecessor::None }
}

fn adopt_orphan(manager: &mut Manager, orphan: &Orphan, kept: Kept) {
    manager.ensure_loaded(&orphan.unit);
    let container = manager.machine().unit(&orphan.unit).and_then(|managed| managed.container());
    let stop_signal = container.and_then(|container| container.stop_signal).unwrap_or(libc::SIGTERM);
    adopt_unit(manager, orphan.record(driver::now(), stop_signal), kept);
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
pub fn mark_booted(paths: &Paths) {
    let marker = marker(paths);
    if let Err(error) = std::fs::write(&marker, "") {
        tracing::error!("{}: {error}; the next start of sampand starts all enabled units", marker.display());
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

fn sort(descriptors: Vec<(String, OwnedFd)>) -> BTreeMap<UnitName, Kept> {
    let mut kept: BTreeMap<UnitName, Kept> = BTreeMap::new();
    for (name, descriptor) in descriptors {
        match name.parse::<StoredDescriptor>() {
            Ok(StoredDescriptor::Process { unit }) => kept.entry(unit).or_default().pidfd = Some(descriptor),
            Ok(StoredDescriptor::Notifier { unit }) => {
                kept.entry(unit).or_default().notifier = Some(descriptor);
            }
            Ok(StoredDescriptor::Output { unit }) => kept.entry(unit).or_default().output = Some(descriptor),
            Ok(StoredDescriptor::Journal { unit }) => {
                kept.entry(unit).or_default().journal = Some(descriptor)
            }
            Ok(StoredDescriptor::Listen { unit, socket }) => {
                kept.entry(unit).or_default().sockets.push((socket, descriptor));
            }
            // Taken before, this is one too many.
            Ok(StoredDescriptor::Received) => {}
            Err(error) => tracing::warn!("{name}: {error}, closing this descriptor"),
        }
    }
    kept
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
    let outlet = kept.output.map(|fifo| Outlet::kept(fifo, kept.journal));
    // One that was given up may hang in the kernel still.
    let run = record.run.clone().filter(|run| run.ended.is_none());
    match (record.phase, run) {
        (_, Some(run)) if run.pid != 0 => match process(&run, record.facts.start_time, kept.pidfd) {
            Some(pidfd) => {
                let adoption = Adoption::Run { pidfd, notifier: kept.notifier, outlet };
                manager.adopt(&unit, adoption, &record);
            }
            None => manager.adopt(&unit, Adoption::Lost { outlet }, &record),
        },
        // The predecessor died before there was a process: the start is made anew.
        (Phase::Start, _) => manager.adopt(&unit, Adoption::Phase(Phase::Pull), &record),
        (phase, _) => manager.adopt(&unit, Adoption::Phase(phase), &record),
    }
}

/// The process of a run: by its pidfd, or by number and start time where the store has lost that.
fn process(run: &Run, start_time: u64, stored: Option<OwnedFd>) -> Option<OwnedFd> {
    if stored.is_some() {
        return stored;
    }
    let pidfd = pidfd::open(run.pid).ok()?;
    // Looked at after the pidfd is open, so that the number cannot change hands in between.
    (pidfd::start_time(run.pid).ok() == Some(start_time)).then_some(pidfd)
}
