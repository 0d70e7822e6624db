//! Takes over what a predecessor left; [`crate::manager::reconcile`] decides what that is.

use super::Manager;
use super::discard::discard_rest;
use super::live::{LiveRun, Parent, Process};
use super::memory::OomKills;
use super::notify::{adopt_notify, bind_notify};
use super::output::Outlet;
use crate::manager::accounting;
use crate::manager::machine::{Event, Exit, Left, Phase};
use crate::manager::record::Record;
use crate::socket::listen::Held;
use crate::systemd::fdstore::StoredDescriptor;
use crate::systemd::manager::DEFAULT_SLICE;
use crate::unit::model::Container;
use crate::unit::name::UnitName;
use std::collections::BTreeSet;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::rc::Rc;

/// What is left of a unit.
#[derive(Debug)]
pub enum Adoption {
    /// No container: sockets, or a target.
    Phase(Phase),
    /// A container that lives, or has ended without anybody noticing.
    Run {
        /// Its first process.
        pidfd: OwnedFd,
        /// Over which its bind(2) calls come.
        notifier: Option<OwnedFd>,
        /// What moves bytes for it.
        proxy: Option<OwnedFd>,
        /// Where its payload tells of itself.
        notify: Option<OwnedFd>,
        /// Where its programs write by name.
        outlet: Option<Outlet>,
    },
    /// A container that has ended and left no trace but what it wrote last.
    Lost {
        /// Where its programs wrote by name.
        outlet: Option<Outlet>,
    },
}

impl Manager {
    /// Brings a unit into the state that it was left in.
    pub fn adopt(&mut self, unit: &UnitName, adoption: Adoption, record: &Record) {
        self.facts.insert(unit.clone(), record.facts.clone());
        self.sockets.count_on(unit, record);
        self.connections.count_on(unit, record.connections);
        if let (true, Some(run)) = (record.phase.is_starting(), &record.run) {
            self.stages.abandoned.insert(unit.clone(), run.number);
        }
        match adoption {
            Adoption::Phase(phase) => self.adopt_phase(unit, phase, record),
            Adoption::Run { pidfd, notifier, proxy, notify, outlet } => {
                self.adopt_run(unit, (pidfd, notify), record);
                match notifier {
                    Some(notifier) => self.answer_binds(unit, notifier),
                    None => self.tell_unanswered(unit),
                }
                if let Some(outlet) = outlet {
                    self.forward_output(unit, outlet);
                }
                if let Some(proxy) = proxy {
                    self.adopt_proxy(unit, proxy);
                }
                self.find_bound(unit);
                if record.facts.executed {
                    self.start_proxy(unit);
                    self.look_for_listeners(unit);
                    self.begin_checks(unit);
                    self.watch_memory(unit);
                }
            }
            Adoption::Lost { outlet } => {
                if let Some(outlet) = outlet {
                    self.forward_output(unit, outlet);
                    self.end_output(unit);
                }
                self.adopt_phase(unit, record.phase, record);
                let run = record.run.as_ref().map_or(0, |run| run.number);
                self.event(Event::Ended { unit: unit.clone(), run, exit: Exit::Unknown });
            }
        }
    }

    fn adopt_phase(&mut self, unit: &UnitName, phase: Phase, record: &Record) {
        let left = Left {
            phase,
            run: record.run.clone(),
            stamps: record.stamps,
            result: record.result,
            failure: record.failure.clone(),
            restarts: record.restarts,
            starts: record.starts.clone(),
            schedule: record.schedule.clone(),
            job: record.job.map(|kind| (kind, record.asked)),
        };
        self.event(Event::Adopted { unit: unit.clone(), left: Box::new(left) });
        // Sockets that the store has lost are opened again.
        let phase = self.machine.unit(unit).map_or(Phase::Dead, |managed| managed.phase);
        if !phase.is_down() {
            self.open_sockets(unit);
        }
        if matches!(phase, Phase::Listening | Phase::Frozen) {
            self.watch_sockets(unit);
        }
    }

    fn adopt_run(&mut self, unit: &UnitName, (pidfd, notify): (OwnedFd, Option<OwnedFd>), record: &Record) {
        let Some(run) = &record.run else { return };
        let Some(specification) = self.machine.unit(unit).and_then(|managed| managed.unit()).cloned() else {
            return;
        };
        let live = Rc::new(LiveRun::new(run.number));
        live.executed.set(record.facts.executed);
        // 0 where an old record says nothing of it.
        match (record.facts.stop_signal, specification.body.container()) {
            (0, Some(container)) => live.stop_signal.set(container.stop_signal.unwrap_or(libc::SIGTERM)),
            (signal, _) => live.stop_signal.set(signal),
        }
        live.oom_kills.set(OomKills { count: record.facts.oom_kills, ..OomKills::default() });
        let slice = &record.facts.slice;
        // The run is new to this process, so the cells are empty.
        if let Some(group) = accounting::scope(&self.paths, run.pid, &unit.scope()) {
            live.set_group(group);
        }
        let _ = live.slice.set(if slice.is_empty() { DEFAULT_SLICE.to_owned() } else { slice.clone() });
        let _ = live.process.set(Process { pid: run.pid, pidfd, parent: Parent::Predecessor });
        self.runs.insert(unit.clone(), live.clone());
        self.adopt_phase(unit, record.phase, record);
        let waits = specification.body.container().is_some_and(Container::notifies);
        let server = waits.then(|| match notify {
            Some(socket) => adopt_notify(&self.paths, unit, socket).ok(),
            None => bind_notify(&self.paths, unit).ok(),
        });
        if let Some(server) = server.iter().flatten().next() {
            live.keep_notify(server);
        }
        let task = self.run_task(specification, live);
        tokio::task::spawn_local(task.resume(record.facts.clone(), server.flatten()));
    }

    /// Records that systemd's store has, until there is space for them.
    pub fn found_records(&mut self, units: impl Iterator<Item = UnitName>) {
        units.for_each(|unit| self.shelf.found_stored(unit));
    }

    /// Every unit has been adopted: what was under way goes on. `running` are the units whose containers run, also where
    /// nothing but that is known of one.
    pub fn adopted_all(&mut self, running: &BTreeSet<UnitName>) {
        let uses = |unit: &UnitName| running.contains(unit) || self.runs.contains_key(unit);
        discard_rest(&self.store.all_containers_dir(), |name| {
            name.to_str().and_then(|name| UnitName::parse(name).ok()).is_none_or(|unit| uses(&unit))
        });
        self.runs.keys().for_each(|unit| self.guard_sockets(unit));
        self.event(Event::AdoptionDone);
    }

    /// Takes sockets over that are still those which the unit names.
    pub fn adopt_sockets(&mut self, unit: &UnitName, kept: Vec<(String, OwnedFd)>) {
        for (name, descriptor) in kept {
            let container = self.machine.unit(unit).and_then(|managed| managed.container());
            let wanted = container.and_then(|container| container.sockets.get(&name)).cloned();
            match wanted.and_then(|socket| Held::adopt(&name, socket, descriptor).ok()) {
                Some(held) => self.hold(unit, held),
                None => self.forget_descriptors(unit, std::iter::once(name.as_str())),
            }
        }
    }

    /// Takes descriptors of sockets that nobody needs out of the store.
    pub fn forget_descriptors<'a>(&self, unit: &UnitName, sockets: impl Iterator<Item = &'a str>) {
        for socket in sockets {
            let socket = socket.to_owned();
            self.unstore_descriptor(&StoredDescriptor::Listen { unit: unit.clone(), socket });
        }
        self.unstore_descriptor(&StoredDescriptor::Process { unit: unit.clone() });
        self.unstore_descriptor(&StoredDescriptor::Notifier { unit: unit.clone() });
        self.unstore_descriptor(&StoredDescriptor::Proxy { unit: unit.clone() });
        self.unstore_descriptor(&StoredDescriptor::Notify { unit: unit.clone() });
        self.unstore_descriptor(&StoredDescriptor::Output { unit: unit.clone() });
        self.unstore_descriptor(&StoredDescriptor::Journal { unit: unit.clone() });
    }

    pub(super) fn store_descriptor(&self, name: &StoredDescriptor, descriptor: BorrowedFd<'_>) {
        self.say(self.service.store(name, descriptor));
    }

    pub(super) fn unstore_descriptor(&self, name: &StoredDescriptor) {
        self.say(self.service.remove(name));
    }
}
