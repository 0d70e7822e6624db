//! What a user would notice of the core, one story each.

mod accept;
mod files;
mod found;
mod image;
mod life;
mod overlap;
mod relations;
mod sleep;
mod sockets;
mod timers;

use super::simulation::{accepting, container, left, name, on_socket, unit};
use super::*;
use crate::systemd::notify_server::Notification;
use crate::unit::model::{Container, Dependencies, PullPolicy, ReadyOn, RestartPolicy, ServiceType, Unit};
use std::sync::Arc;

fn machine(units: &[Arc<Unit>]) -> Machine {
    let mut machine = Machine::default();
    let loaded = units.iter().map(|unit| (unit.name.clone(), Loaded::good(unit.clone()))).collect();
    machine.handle(at(1), Event::Loaded(loaded));
    machine
}

fn at(seconds: u64) -> Stamp {
    let time = Duration::from_secs(seconds);
    Stamp { realtime: time, boottime: time, monotonic: time }
}

fn plain(index: usize) -> Arc<Unit> {
    unit(name(index), container(), Dependencies::default())
}

fn with(index: usize, change: impl FnOnce(&mut Dependencies)) -> Arc<Unit> {
    let mut dependencies = Dependencies::default();
    change(&mut dependencies);
    unit(name(index), container(), dependencies)
}

fn of(index: usize, change: impl FnOnce(&mut Container)) -> Arc<Unit> {
    let mut own = container();
    change(&mut own);
    unit(name(index), own, Dependencies::default())
}

fn notifying(index: usize) -> Arc<Unit> {
    of(index, |container| {
        container.kind = ServiceType::Notify;
        container.ready = ReadyOn::Notify;
    })
}

fn ask(machine: &mut Machine, verb: Verb, index: usize) -> (Result<JobId, RequestError>, Vec<Action>) {
    machine.request(at(1), &Request { unit: name(index), verb, mode: JobMode::Replace })
}

fn launches(actions: &[Action]) -> Vec<&UnitName> {
    let launched = actions.iter().filter_map(|action| match action {
        Action::Launch { unit, .. } => Some(unit),
        _ => None,
    });
    launched.collect()
}

fn results(actions: &[Action]) -> Vec<(UnitName, JobResult)> {
    let removed = actions.iter().filter_map(|action| match action {
        Action::JobRemoved(_, unit, _, result) => Some((unit.clone(), *result)),
        _ => None,
    });
    removed.collect()
}

fn is_terminated(actions: &[Action], index: usize) -> bool {
    actions.iter().any(|action| matches!(action, Action::Terminate { unit, .. } if *unit == name(index)))
}

fn executed(machine: &mut Machine, index: usize) -> Vec<Action> {
    let run = machine.unit(&name(index)).unwrap().run.as_ref().unwrap().number;
    machine.handle(at(1), Event::Executed { unit: name(index), run })
}

fn ended(machine: &mut Machine, index: usize, exit: Exit) -> Vec<Action> {
    let run = machine.unit(&name(index)).unwrap().run.as_ref().unwrap().number;
    machine.handle(at(1), Event::Ended { unit: name(index), run, exit })
}

fn run(machine: &mut Machine, index: usize) {
    ask(machine, Verb::Start, index).0.unwrap();
    executed(machine, index);
    assert_eq!(phase(machine, index), Phase::Running);
}

fn phase(machine: &Machine, index: usize) -> Phase {
    machine.unit(&name(index)).unwrap().phase
}
