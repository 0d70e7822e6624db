//! Methods that make jobs and end them.

use super::access::{Action, Details};
use super::call::{Call, leaving};
use super::error::BusError;
use super::listing::not_loaded;
use super::wire::{JobRow, job_path};
use crate::manager::driver::Manager;
use crate::manager::machine::{Job, JobMode, JobPhase, Request, Verb};
use crate::unit::name::UnitName;
use zbus::OwnedObjectPath;

/// Makes a job.
pub(super) async fn enqueue(
    call: Call,
    (name, mode): (String, String),
    verb: Verb,
) -> Result<(OwnedObjectPath,), BusError> {
    let mode = parse_mode(&mode)?;
    let unit = allowed(&call, &name, verb.as_str()).await?;
    let answer = call.manager().request(Request { unit, verb, mode }).await.ok_or_else(leaving)?;
    Ok((job_path(answer?.0),))
}

/// The unit that a name stands for, once polkit has allowed a verb of it. It is asked about by its own name, so that
/// no alias goes around a rule.
pub(super) async fn allowed(call: &Call, name: &str, verb: &'static str) -> Result<UnitName, BusError> {
    allowed_to(call, Action::ManageUnits, name, verb).await
}

/// The same of another action.
pub(super) async fn allowed_to(
    call: &Call,
    action: Action,
    name: &str,
    verb: &'static str,
) -> Result<UnitName, BusError> {
    let asked = UnitName::parse(name)?;
    let unit = call.with(move |manager| manager.ensure_loaded(&asked)).await?;
    call.allow(action, Details::Unit { verb, unit: unit.as_str() }).await?;
    Ok(unit)
}

/// The job mode of a word; empty is `replace`.
pub(super) fn parse_mode(mode: &str) -> Result<JobMode, BusError> {
    if mode.is_empty() {
        return Ok(JobMode::Replace);
    }
    JobMode::parse(mode).ok_or_else(|| {
        let known = JobMode::ALL.map(JobMode::as_str).join(", ");
        BusError::InvalidArgs(format!("Job mode \"{mode}\" is not known: use one of {known}."))
    })
}

pub(super) async fn reset_failed_unit(call: Call, name: String) -> Result<(), BusError> {
    let unit = allowed(&call, &name, "reset-failed").await?;
    let known = call.with(move |manager| {
        let known = manager.machine().unit(&unit).is_some();
        manager.reset_failed(Some(unit));
        known
    });
    known.await?.then_some(()).ok_or_else(|| not_loaded(&name))
}

pub(super) async fn reset_failed(call: Call) -> Result<(), BusError> {
    call.allow(Action::ManageUnits, Details::Verb("reset-failed")).await?;
    call.with(|manager| manager.reset_failed(None)).await
}

pub(super) async fn reload(call: Call) -> Result<(), BusError> {
    call.allow(Action::ReloadDaemon, Details::Verb("daemon-reload")).await?;
    call.with(Manager::reload).await
}

pub(super) fn get(manager: &Manager, id: u32) -> Result<(OwnedObjectPath,), BusError> {
    manager.job(id).map(|_| (job_path(id),)).ok_or_else(|| unknown(id))
}

/// The error of a job that is over.
pub(super) fn unknown(id: u32) -> BusError {
    BusError::NoSuchJob(format!("Job {id} does not exist."))
}

pub(super) fn list(manager: &Manager) -> (Vec<JobRow>,) {
    (manager.machine().jobs().values().map(row).collect(),)
}

fn row(job: &Job) -> JobRow {
    JobRow {
        id: job.id.0,
        unit: job.unit.to_string(),
        job_type: job.kind.as_str().to_owned(),
        state: state(job).to_owned(),
        path: job_path(job.id.0),
    }
}

/// The word for how far a job is.
pub(super) fn state(job: &Job) -> &'static str {
    if job.phase == JobPhase::Running { "running" } else { "waiting" }
}

/// Cancels a job. What it has begun goes on: a unit that starts is stopped by a stop.
pub(super) async fn cancel(call: Call, id: u32) -> Result<(), BusError> {
    let unit = call.with(move |manager| manager.job(id).map(|job| job.unit.clone())).await?;
    let unit = unit.ok_or_else(|| unknown(id))?;
    call.allow(Action::ManageUnits, Details::Unit { verb: "cancel", unit: unit.as_str() }).await?;
    let known = call.with(move |manager| manager.cancel_job(id)).await?;
    known.then_some(()).ok_or_else(|| unknown(id))
}

pub(super) async fn clear(call: Call) -> Result<(), BusError> {
    call.allow(Action::ManageUnits, Details::Verb("cancel")).await?;
    call.with(|manager| {
        for id in manager.machine().jobs().keys().map(|id| id.0).collect::<Vec<_>>() {
            manager.cancel_job(id);
        }
    })
    .await
}
