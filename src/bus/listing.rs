//! Methods that find and list units. Reading is free, and leaves nothing behind: a name without a unit is not kept.

use super::error::BusError;
use super::wire::{SocketRow, TimerRow, UnitRow, unit_path};
use super::words::Words;
use crate::manager::accounting;
use crate::manager::driver::{self, Manager, SocketLine};
use crate::manager::machine::Managed;
use crate::sys::{pidfd, process};
use crate::unit::name::UnitName;
use crate::unit::pattern::matches_any;
use std::time::Duration;
use zbus::OwnedObjectPath;

type Path = Result<(OwnedObjectPath,), BusError>;

fn path(unit: &UnitName) -> (OwnedObjectPath,) {
    (unit_path(unit.as_str()),)
}

pub(super) fn get(manager: &Manager, name: &str) -> Path {
    let unit = manager.loaded_name(&UnitName::parse(name)?).ok_or_else(|| not_loaded(name))?;
    Ok(path(&unit))
}

/// The error of a name without a unit.
pub(super) fn not_loaded(name: &str) -> BusError {
    BusError::NoSuchUnit(format!("Unit {name} not loaded."))
}

/// The object of a unit, also of one that has no file: its `LoadState` says so.
pub(super) fn load(manager: &mut Manager, name: &str) -> Path {
    Ok(path(&manager.ensure_loaded(&UnitName::parse(name)?)))
}

pub(super) fn by_pid(manager: &Manager, pid: u32) -> Path {
    let unit = of_process(manager, pid);
    unit.map(|(unit, _)| path(&unit)).ok_or_else(|| without_unit(pid))
}

/// The unit of a process that cannot be another one meanwhile: its object, its name, and the id of its run.
pub(super) fn by_pidfd(
    manager: &Manager,
    process: &zbus::OwnedFd,
) -> Result<(OwnedObjectPath, String, Vec<u8>), BusError> {
    let gone =
        |error| BusError::NoUnitForPid(format!("The process of the descriptor cannot be found: {error}."));
    let pid = pidfd::number(process).map_err(gone)?;
    let unit = of_process(manager, pid);
    // Until it has been reaped nobody else has its number.
    pidfd::number(process).map_err(gone)?;
    let (unit, invocation) = unit.ok_or_else(|| without_unit(pid))?;
    let digit =
        |index: usize| invocation.get(index..index + 2).and_then(|byte| u8::from_str_radix(byte, 16).ok());
    let invocation = (0..invocation.len()).step_by(2).filter_map(digit).collect();
    Ok((unit_path(unit.as_str()), unit.to_string(), invocation))
}

fn without_unit(pid: u32) -> BusError {
    BusError::NoUnitForPid(format!("PID {pid} does not belong to any loaded unit."))
}

/// The unit in memory whose scope a process is in, however deep, and the id of its run.
fn of_process(manager: &Manager, pid: u32) -> Option<(UnitName, String)> {
    let group = process::control_group(pid).ok()?;
    let is_its = |unit: &UnitName| is_in_scope(manager, unit, &group).unwrap_or_default();
    let unit = group.split('/').filter_map(UnitName::of_scope).find(is_its)?;
    let managed = manager.machine().unit(&unit)?;
    let invocation = managed.run.as_ref().map(|run| run.invocation.clone()).unwrap_or_default();
    Some((unit, invocation))
}

/// Whether a control group is a unit's scope or below it. Anybody can give another one the name of a scope: the one
/// that the container is in counts.
fn is_in_scope(manager: &Manager, unit: &UnitName, group: &str) -> Option<bool> {
    let first = manager.machine().unit(unit)?.main_pid()?;
    let (scope, own) = (unit.scope(), process::control_group(first).ok()?);
    let above = own.split('/').take_while(|part| *part != scope);
    let own: Vec<&str> = above.chain([scope.as_str()]).collect();
    Some(group.split('/').take(own.len()).eq(own))
}

/// Control group, number and command line of a process.
type ProcessRow = (String, u32, String);

/// The processes of a unit, each with its control group and its command line.
pub(super) fn processes(manager: &Manager, name: &str) -> Result<(Vec<ProcessRow>,), BusError> {
    let unit = manager.loaded_name(&UnitName::parse(name)?);
    let managed = unit.and_then(|unit| manager.machine().unit(&unit)).ok_or_else(|| not_loaded(name))?;
    let first = managed.main_pid();
    let pids = first.map(|first| accounting::processes(manager.paths(), first)).unwrap_or_default();
    // One that has ended meanwhile is left out.
    let row = |pid| Some((process::control_group(pid).ok()?, pid, process::command_line(pid).ok()?));
    Ok((pids.into_iter().filter_map(row).collect(),))
}

pub(super) fn by_invocation(manager: &Manager, id: &[u8]) -> Path {
    let id: String = id.iter().map(|byte| format!("{byte:02x}")).collect();
    let is = |managed: &Managed| managed.run.as_ref().is_some_and(|run| run.invocation == id);
    let unit = manager.machine().units().iter().find(|(_, managed)| is(managed)).map(|(name, _)| path(name));
    unit.ok_or_else(|| BusError::NoUnitForInvocationId(format!("No unit with the invocation ID {id} known.")))
}

/// Units in memory in one of these states and with a name like one of these; all where none is given.
pub(super) fn units(
    manager: &Manager,
    states: &[String],
    patterns: &[String],
) -> Result<(Vec<UnitRow>,), BusError> {
    Words::Names.check(states)?;
    Words::Names.check(patterns)?;
    let units = manager.machine().units().iter();
    let units =
        units.filter(|(name, managed)| matches_any(patterns, name.as_str()) && is_in(managed, states));
    Ok((units.map(|(name, managed)| row(manager, name, managed)).collect(),))
}

fn is_in(managed: &Managed, states: &[String]) -> bool {
    let words = [managed.loaded.state.as_str(), managed.active_state().as_str(), managed.phase.as_str()];
    states.is_empty() || states.iter().any(|state| words.contains(&state.as_str()))
}

/// Units that are in memory, or have a file, by their names.
pub(super) fn named(manager: &mut Manager, names: &[String]) -> Result<(Vec<UnitRow>,), BusError> {
    Words::Names.check(names)?;
    let asked: Vec<UnitName> = names.iter().map(|name| UnitName::parse(name)).collect::<Result<_, _>>()?;
    manager.ensure_all_loaded(&asked);
    let names: Vec<UnitName> = asked.iter().filter_map(|name| manager.loaded_name(name)).collect();
    let found = names.iter().filter_map(|name| Some((name, manager.machine().unit(name)?)));
    Ok((found.map(|(name, managed)| row(manager, name, managed)).collect(),))
}

fn row(manager: &Manager, name: &UnitName, managed: &Managed) -> UnitRow {
    let job = managed.job.and_then(|id| manager.machine().jobs().get(&id));
    UnitRow {
        name: name.to_string(),
        description: managed.unit().map_or_else(|| name.to_string(), |unit| unit.description.clone()),
        load_state: managed.loaded.state.as_str().to_owned(),
        active_state: managed.active_state().as_str().to_owned(),
        sub_state: managed.phase.as_str().to_owned(),
        path: unit_path(name.as_str()),
        job_id: job.map_or(0, |job| job.id.0),
        job_type: job.map_or("", |job| job.kind.as_str()).to_owned(),
    }
}

pub(super) fn sockets(manager: &Manager) -> (Vec<SocketRow>,) {
    let row = |line: SocketLine| SocketRow {
        listen: line.listen,
        name: line.name,
        unit: line.unit.to_string(),
        pass: line.pass.to_owned(),
        state: line.state.to_owned(),
        connections: line.connections,
        activations: line.activations,
        last_usec: line.last.map_or(0, |last| micros(last.at)),
        latency_usec: line.last.map_or(0, |last| micros(last.latency)),
    };
    (manager.socket_lines().into_iter().map(row).collect(),)
}

/// Units in memory that have a timer, armed or not.
pub(super) fn timers(manager: &Manager) -> (Vec<TimerRow>,) {
    let now = driver::now();
    let row = |(name, managed): (&UnitName, &Managed)| {
        managed.timer()?;
        let schedule = &managed.schedule;
        Some(TimerRow {
            unit: name.to_string(),
            state: schedule.stage.as_str().to_owned(),
            result: managed.result.as_str().to_owned(),
            next_usec: schedule.next(now).map_or(0, micros),
            last_usec: schedule.last_trigger.map_or(0, |last| micros(last.realtime)),
        })
    };
    (manager.machine().units().iter().filter_map(row).collect(),)
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
