//! The object of one job, `/org/sampan1/job/ID`: interface `org.sampan1.Job`. It is there for as long as the job.

use super::error::BusError;
use super::interface::{Found, Interface, Reader, Values};
use super::jobs;
use crate::manager::driver::Manager;
use crate::manager::machine::Job;
use crate::manager::view::{Change, Shape, Value};

const SHAPES: [Shape; 4] = [
    Shape { name: "Id", signature: "u", change: Change::Never },
    Shape { name: "Unit", signature: "s", change: Change::Never },
    Shape { name: "JobType", signature: "s", change: Change::Untold },
    Shape { name: "State", signature: "s", change: Change::Untold },
];

/// Its table.
pub(super) fn interface() -> Interface<u32> {
    Interface::new("org.sampan1.Job")
        .act("Cancel", &[], &[], |id, call, ()| jobs::cancel(call, id))
        .properties(SHAPES.into_iter(), properties)
}

fn properties(id: u32, manager: &mut Manager, reader: Reader) -> Result<Found, BusError> {
    let job = manager.job(id).ok_or_else(|| BusError::UnknownObject(format!("Job {id} is over.")))?;
    Ok(Found::All(reader.pick(values(job))))
}

fn values(job: &Job) -> Values {
    vec![
        ("Id", Value::Unsigned(job.id.0)),
        ("Unit", Value::Text(job.unit.to_string())),
        ("JobType", Value::Text(job.kind.as_str().to_owned())),
        ("State", Value::Text(jobs::state(job).to_owned())),
    ]
}
