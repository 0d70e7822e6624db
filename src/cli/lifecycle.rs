//! `start`, `stop`, `restart`, `reload` and the like: one job for each unit, waited for.

use super::args::{IsolateArgs, JobArgs};
use super::changes::Changes;
use super::client::{Client, again, talk};
use super::error::{CliError, FAILURE};
use super::jobs::{JobWatch, explain};
use super::output::{Telling, complain};
use super::select;
use super::suggestion;
use super::unit_properties::{ActiveState, UnitProperties};
use crate::manager::machine::JobMode;
// `Verb` alone is one of the command line.
pub use crate::manager::machine::Verb as Operation;
use crate::paths::Paths;
use crate::unit::pattern::is_pattern;
use std::collections::BTreeSet;
use zbus::{OwnedObjectPath, Variant};

/// The method of the manager.
fn method(operation: Operation) -> &'static str {
    match operation {
        Operation::Start => "StartUnit",
        Operation::Stop => "StopUnit",
        Operation::Restart => "RestartUnit",
        Operation::RestartOverlapping => "RestartUnitOverlapping",
        Operation::TryRestart => "TryRestartUnit",
        Operation::Reload => "ReloadUnit",
        Operation::ReloadOrRestart => "ReloadOrRestartUnit",
        Operation::TryReloadOrRestart => "ReloadOrTryRestartUnit",
    }
}

/// Until when a verb waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// Jobs are queued.
    Queued,
    /// Jobs are over.
    Done,
    /// Units have ended again.
    Ended,
}

/// Jobs that are asked for together.
#[derive(Debug, Clone, Copy)]
struct Order {
    operation: Operation,
    mode: JobMode,
    until: Until,
    telling: Telling,
    show_transaction: bool,
}

/// Runs the verb.
///
/// # Errors
/// When a word is no name or the manager cannot be reached.
pub fn run(operation: Operation, args: &JobArgs, paths: &Paths) -> anyhow::Result<u8> {
    let until = match (args.no_block, args.wait) {
        (true, _) => Until::Queued,
        (_, true) => Until::Ended,
        _ => Until::Done,
    };
    let telling = Telling::of_quiet(args.quiet);
    let show_transaction = args.show_transaction;
    let order = Order { operation, mode: args.job_mode, until, telling, show_transaction };
    talk(async |client| {
        let units = select::units(client, &args.units).await?;
        if units.is_empty() && telling == Telling::Hints {
            complain(&format!(
                "Warning: {} is called with a pattern, and patterns mean units in memory: none matches.",
                operation.as_str()
            ));
        }
        perform(client, order, &units, paths).await
    })
}

/// Runs `isolate`.
///
/// # Errors
/// When the word is no name or the manager cannot be reached.
pub fn isolate(args: &IsolateArgs, paths: &Paths) -> anyhow::Result<u8> {
    if is_pattern(&args.unit) {
        anyhow::bail!("Failed to isolate {}: one unit is isolated, and no pattern.", args.unit);
    }
    let until = if args.no_block { Until::Queued } else { Until::Done };
    let telling = Telling::of_quiet(args.quiet);
    let show_transaction = args.show_transaction;
    let order =
        Order { operation: Operation::Start, mode: JobMode::Isolate, until, telling, show_transaction };
    talk(async |client| {
        let units = select::units(client, std::slice::from_ref(&args.unit)).await?;
        perform(client, order, &units, paths).await
    })
}

/// Starts or stops units after their files have been changed, as `--now` asks for.
///
/// # Errors
/// When the manager cannot be reached.
pub async fn follow(
    client: &Client,
    operation: Operation,
    units: &[String],
    until: Until,
    paths: &Paths,
) -> anyhow::Result<u8> {
    let (mode, telling) = (JobMode::Replace, Telling::Hints);
    let order = Order { operation, mode, until, telling, show_transaction: false };
    perform(client, order, units, paths).await
}

async fn perform(client: &Client, order: Order, units: &[String], paths: &Paths) -> anyhow::Result<u8> {
    let mut watch = match order.until {
        Until::Queued => None,
        Until::Done | Until::Ended => Some(JobWatch::new(client).await?),
    };
    let changes = if order.until == Until::Ended { Some(Changes::new(client).await?) } else { None };
    let (mut status, mut queued) = (0, Vec::new());
    for unit in units {
        let call = again(async || enqueue(client, order, unit).await);
        let answer = match &mut watch {
            Some(watch) => watch.during(call).await,
            None => call.await,
        };
        match answer {
            Ok(job) => {
                if let Some(watch) = &mut watch {
                    watch.add(job, unit);
                }
                queued.push(unit.clone());
            }
            Err(error) if error.is_unreachable() => return Err(error.into()),
            Err(error) => {
                let near =
                    if error.is_unknown_unit() { suggestion::of_unit(unit, paths) } else { String::new() };
                complain(&format!("{error}{near}"));
                status = error.status();
            }
        }
    }
    if let Some(watch) = watch {
        for job in watch.wait(client, order.operation).await?.iter().filter(|job| !job.is_success()) {
            explain(client, job).await;
            status = FAILURE;
        }
    }
    if let Some(changes) = changes {
        status = status.max(ended(client, &queued, changes).await?);
    }
    if order.telling == Telling::Hints {
        warn_of_changed_files(client, units).await;
    }
    Ok(status)
}

async fn enqueue(client: &Client, order: Order, unit: &str) -> Result<OwnedObjectPath, CliError> {
    let operation = order.operation;
    let verb = if order.mode == JobMode::Isolate { "isolate" } else { operation.as_str() };
    let failed = |error| CliError::of_call(&format!("{verb} {unit}"), error);
    let before = if order.show_transaction { jobs(client).await? } else { BTreeSet::new() };
    let job = client.call(method(operation), &(unit, order.mode.as_str())).await.map_err(failed)?;
    if order.show_transaction {
        tell_transaction(client, &job, unit, operation, &before).await?;
    }
    Ok(job)
}

/// Prints the jobs that came of a call, in systemctl's words. What was over before it could be asked for is told all
/// the same when it is what was asked for.
async fn tell_transaction(
    client: &Client,
    anchor: &OwnedObjectPath,
    unit: &str,
    operation: Operation,
    before: &BTreeSet<u32>,
) -> Result<(), CliError> {
    let number = anchor.as_str().rsplit('/').next().unwrap_or_default();
    complain(&format!("Enqueued anchor job {number} {unit}/{}.", operation.as_str()));
    let rows = client.list_jobs().await?;
    for row in rows.iter().filter(|row| row.path != *anchor && !before.contains(&row.id)) {
        complain(&format!("Enqueued auxiliary job {} {}/{}.", row.id, row.unit, row.job_type));
    }
    Ok(())
}

async fn jobs(client: &Client) -> Result<BTreeSet<u32>, CliError> {
    let rows = client.list_jobs().await?;
    Ok(rows.into_iter().map(|row| row.id).collect())
}

/// Waits until units have ended; fails when one of them failed.
async fn ended(client: &Client, units: &[String], mut changes: Changes) -> Result<u8, CliError> {
    let (mut status, mut left) = (0, units.to_vec());
    loop {
        let mut still = Vec::new();
        for name in left {
            let unit = client.unit(&name).await?;
            match unit {
                UnitProperties { active_state: ActiveState::Failed, job: 0, .. } => status = FAILURE,
                UnitProperties { active_state: ActiveState::Inactive, job: 0, .. } => {}
                _ => still.push(name),
            }
        }
        if still.is_empty() {
            return Ok(status);
        }
        left = still;
        changes.next(client).await?;
    }
}

/// Asked after the jobs, so that it delays no start.
async fn warn_of_changed_files(client: &Client, units: &[String]) {
    for unit in units {
        let path = crate::bus::wire::unit_path(unit);
        let changed = client.unit_property(path, "NeedDaemonReload").await;
        if changed.is_ok_and(|changed| matches!(*changed, Variant::Bool(true))) {
            complain(&format!(
                "Warning: The unit file or drop-ins of {unit} changed on disk. Run \"sampanctl daemon-reload\" to \
                 reload units."
            ));
        }
    }
}
