//! The object of one job, `/org/sampan1/job/ID`: interface `org.sampan1.Job`. It is there for as long as the job.

use super::call::Call;
use super::error::BusError;
use super::interface::{Interface, Which};
use super::jobs;
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

async fn properties(id: u32, call: Call, which: Which) -> Result<Vec<(&'static str, Value)>, BusError> {
    let values = call.with(move |manager| manager.job(id).map(values)).await?;
    let mut values = values.ok_or_else(|| BusError::UnknownObject(format!("Job {id} is over.")))?;
    values.retain(|(name, _)| which.wants(name));
    Ok(values)
}

fn values(job: &Job) -> Vec<(&'static str, Value)> {
    vec![
        ("Id", Value::Unsigned(job.id.0)),
        ("Unit", Value::Text(job.unit.to_string())),
        ("JobType", Value::Text(job.kind.as_str().to_owned())),
        ("State", Value::Text(jobs::state(job).to_owned())),
    ]
}
