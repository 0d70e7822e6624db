//! Containers of which a predecessor left no record: their scopes say which they are, and the kernel which process
//! is the first of each.

use super::machine::{Phase, Run, Stamp, Stamps, TimerStage};
use super::record::{Record, RunFacts};
use crate::sys::{pidfd, process};
use crate::systemd::SystemdError;
use crate::systemd::manager::Systemd;
use crate::unit::name::UnitName;
use std::fs;

/// All scopes of ours.
const PATTERN: &str = "sampan-*.scope";

/// A container as its scope tells of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Orphan {
    /// Its unit.
    pub unit: UnitName,
    /// Its first process.
    pub pid: u32,
}

/// All containers that run.
///
/// # Errors
/// When systemd cannot be asked.
pub async fn find(systemd: &Systemd) -> Result<Vec<Orphan>, SystemdError> {
    let mut orphans = Vec::new();
    for (scope, _) in systemd.units_up(PATTERN).await? {
        let Some(unit) = UnitName::of_scope(&scope) else { continue };
        let processes = systemd.processes(&scope).await?;
        orphans.extend(processes.into_iter().find(|pid| is_first(*pid)).map(|pid| Orphan { unit, pid }));
    }
    Ok(orphans)
}

impl Orphan {
    /// What its record may have been.
    pub fn record(&self, now: Stamp, stop_signal: i32) -> Record {
        let stamps = Stamps { changed: now, active_enter: now, inactive_exit: now, ..Stamps::default() };
        let facts = RunFacts { stop_signal, ..RunFacts::default() };
        let mut record = Record { stamps, facts, ..Record::new(self.unit.clone(), Phase::Running) };
        self.correct(&mut record, now);
        record
    }

    /// Puts this container in the place of the one that a record tells of: an old record stays where there is no
    /// space for a new one.
    pub fn correct(&self, record: &mut Record, now: Stamp) {
        let ended = record.run.as_ref().is_some_and(|run| run.ended.is_some());
        if record.phase.is_final() || ended && record.phase == Phase::Stop {
            // Its commands had a container of their own, which ends with the manager that made it.
            return;
        }
        let run = record.run.as_ref();
        // That the process is in the scope says as much as when it began.
        if run.is_none_or(|run| run.pid != 0) {
            record.facts.start_time = pidfd::start_time(self.pid).unwrap_or_default();
        }
        if record.phase.has_run() && run.is_some_and(|run| run.pid == self.pid || run.pid == 0) {
            return;
        }
        record.run = Some(Run {
            main_pid: None,
            watchdog: None,
            terms: None,
            number: run.map_or(1, |run| run.number + 1),
            pid: self.pid,
            invocation: variable(self.pid, "INVOCATION_ID").unwrap_or_default(),
            began: now,
            started: now,
            ended: None,
            exit: None,
        });
        record.facts.executed = true;
        if record.schedule.stage == TimerStage::Waiting && !record.phase.has_run() {
            // Its timer has elapsed, and there was no time to write that down.
            record.schedule.stage = TimerStage::Running;
            record.schedule.last_trigger = Some(now);
        }
        if !record.phase.has_run() {
            record.phase = Phase::Running;
        }
    }
}

/// Whether a process is the first of a pid namespace. One of a namespace further inside has more numbers.
fn is_first(pid: u32) -> bool {
    matches!(process::numbers(pid)[..], [_, 1])
}

fn variable(pid: u32, name: &str) -> Option<String> {
    let environment = fs::read(format!("/proc/{pid}/environ")).ok()?;
    let values = environment.split(|byte| *byte == 0).filter_map(|entry| std::str::from_utf8(entry).ok());
    values
        .filter_map(|entry| entry.split_once('='))
        .find(|(key, _)| *key == name)
        .map(|(_, value)| value.to_owned())
}
