//! Methods that find and list units. Reading is free, and leaves nothing behind: a name without a unit is not kept.

use super::call::Call;
use super::error::BusError;
use super::wire::{SocketRow, UnitRow, unit_path};
use crate::manager::accounting;
use crate::manager::driver::{Manager, SocketLine};
use crate::manager::machine::Managed;
use crate::sys::{pidfd, process};
use crate::unit::name::UnitName;
use crate::unit::pattern::matches_any;
use zbus::OwnedObjectPath;

/// Names and patterns that one call can give, and bytes of all of them.
const WORDS_MAX: (usize, usize) = (1024, 64 << 10);

/// A pattern longer than this matches no name.
const PATTERN_MAX: usize = 256;

pub(super) fn check_words(words: &[String]) -> Result<(), BusError> {
    let bytes: usize = words.iter().map(String::len).sum();
    if words.len() > WORDS_MAX.0 || bytes > WORDS_MAX.1 || words.iter().any(|word| word.len() > PATTERN_MAX) {
        return Err(BusError::LimitsExceeded(format!(
            "At most {} names or patterns of {PATTERN_MAX} bytes, and {} KiB in all.",
            WORDS_MAX.0,
            WORDS_MAX.1 >> 10
        )));
    }
    Ok(())
}

type Path = Result<(OwnedObjectPath,), BusError>;

fn path(unit: &UnitName) -> (OwnedObjectPath,) {
    (unit_path(unit.as_str()),)
}

pub(super) async fn get(call: Call, name: String) -> Path {
    let asked = UnitName::parse(&name)?;
    let found = call.with(move |manager| manager.loaded_name(&asked)).await?;
    found.map(|unit| path(&unit)).ok_or_else(|| BusError::NoSuchUnit(format!("Unit {name} not loaded.")))
}

/// The object of a unit, also of one that has no file: its `LoadState` says so.
pub(super) async fn load(call: Call, name: String) -> Path {
    let asked = UnitName::parse(&name)?;
    let unit = call.with(move |manager| manager.ensure_loaded(&asked)).await?;
    Ok(path(&unit))
}

pub(super) async fn by_pid(call: Call, pid: u32) -> Path {
    let unit = of_process(&call, pid).await?;
    unit.map(|(unit, _)| path(&unit)).ok_or_else(|| without_unit(pid))
}

/// The unit of a process that cannot be another one meanwhile: its object, its name, and the id of its run.
pub(super) async fn by_pidfd(
    call: Call,
    process: zbus::OwnedFd,
) -> Result<(OwnedObjectPath, String, Vec<u8>), BusError> {
    let gone =
        |error| BusError::NoUnitForPid(format!("The process of the descriptor cannot be found: {error}."));
    let pid = pidfd::number(&process).map_err(gone)?;
    let unit = of_process(&call, pid).await?;
    // Until it has been reaped nobody else has its number.
    pidfd::number(&process).map_err(gone)?;
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
async fn of_process(call: &Call, pid: u32) -> Result<Option<(UnitName, String)>, BusError> {
    let group = process::control_group(pid).unwrap_or_default();
    call.with(move |manager| {
        let unit = group.split('/').find_map(UnitName::of_scope)?;
        let managed = manager.machine().unit(&unit)?;
        let invocation = managed.run.as_ref().map(|run| run.invocation.clone()).unwrap_or_default();
        Some((unit, invocation))
    })
    .await
}

/// The processes of a unit, each with its control group and its command line.
pub(super) async fn processes(call: Call, name: String) -> Result<(Vec<(String, u32, String)>,), BusError> {
    let asked = UnitName::parse(&name)?;
    let rows = call.with(move |manager| {
        let unit = manager.loaded_name(&asked)?;
        let first = manager.machine().unit(&unit)?.main_pid();
        let pids = first.map(|first| accounting::processes(manager.paths(), first)).unwrap_or_default();
        // One that has ended meanwhile is left out.
        let row = |pid| Some((process::control_group(pid).ok()?, pid, process::command_line(pid).ok()?));
        Some(pids.into_iter().filter_map(row).collect())
    });
    let rows = rows.await?.ok_or_else(|| BusError::NoSuchUnit(format!("Unit {name} not loaded.")))?;
    Ok((rows,))
}

pub(super) async fn by_invocation(call: Call, id: Vec<u8>) -> Path {
    let id: String = id.iter().map(|byte| format!("{byte:02x}")).collect();
    let unknown = BusError::NoUnitForInvocationId(format!("No unit with the invocation ID {id} known."));
    let unit = call.with(move |manager| {
        let is = |managed: &Managed| managed.run.as_ref().is_some_and(|run| run.invocation == id);
        let mut units = manager.machine().units().iter();
        units.find(|(_, managed)| is(managed)).map(|(name, _)| name.clone())
    });
    unit.await?.map(|unit| path(&unit)).ok_or(unknown)
}

/// Units in memory in one of these states and with a name like one of these; all where none is given.
pub(super) async fn units(
    call: Call,
    states: Vec<String>,
    patterns: Vec<String>,
) -> Result<(Vec<UnitRow>,), BusError> {
    check_words(&patterns)?;
    let rows = call.with(move |manager| {
        let units = manager.machine().units().iter();
        let units =
            units.filter(|(name, managed)| matches_any(&patterns, name.as_str()) && is_in(managed, &states));
        units.map(|(name, managed)| row(manager, name, managed)).collect()
    });
    Ok((rows.await?,))
}

fn is_in(managed: &Managed, states: &[String]) -> bool {
    let words = [managed.loaded.state.as_str(), managed.active_state().as_str(), managed.phase.as_str()];
    states.is_empty() || states.iter().any(|state| words.contains(&state.as_str()))
}

/// Units that are in memory, or have a file, by their names.
pub(super) async fn named(call: Call, names: Vec<String>) -> Result<(Vec<UnitRow>,), BusError> {
    check_words(&names)?;
    let asked: Vec<UnitName> = names.iter().map(|name| UnitName::parse(name)).collect::<Result<_, _>>()?;
    let rows = call.with(move |manager| {
        let names: Vec<UnitName> = asked.iter().map(|name| manager.ensure_loaded(name)).collect();
        let found = names.iter().filter_map(|name| Some((name, manager.machine().unit(name)?)));
        found.map(|(name, managed)| row(manager, name, managed)).collect()
    });
    Ok((rows.await?,))
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

pub(super) async fn sockets(call: Call) -> Result<(Vec<SocketRow>,), BusError> {
    let lines = call.with(|manager| manager.socket_lines()).await?;
    let row = |line: SocketLine| SocketRow {
        listen: line.listen,
        name: line.name,
        unit: line.unit.to_string(),
        pass: line.pass.to_owned(),
        state: line.state.to_owned(),
        connections: line.connections,
        activations: line.activations,
        last_activation_usec: u64::try_from(line.latency.as_micros()).unwrap_or(u64::MAX),
    };
    Ok((lines.into_iter().map(row).collect(),))
}
