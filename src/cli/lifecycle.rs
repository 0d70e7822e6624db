//! `start`, `stop`, `restart` and `try-restart`: one job for each unit, waited for.

use super::args::{JobArgs, JobMode};
use super::client::{Client, talk};
use super::error::{CliError, FAILURE};
use super::jobs::{JobWatch, explain};
use super::output::complain;
use super::select;
use zbus::{OwnedObjectPath, Variant};

/// What is done to a unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// `start`.
    Start,
    /// `stop`.
    Stop,
    /// `restart`.
    Restart,
    /// `try-restart`.
    TryRestart,
}

impl Operation {
    fn word(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Stop => "stop",
            Self::Restart => "restart",
            Self::TryRestart => "try-restart",
        }
    }
}

/// Whether a verb ends when its jobs do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Waiting {
    /// It does.
    ForJobs,
    /// It ends when they are queued.
    No,
}

/// Runs the verb.
///
/// # Errors
/// When a word is no name or the manager cannot be reached.
pub fn run(operation: Operation, args: &JobArgs) -> anyhow::Result<u8> {
    let waiting = if args.no_block { Waiting::No } else { Waiting::ForJobs };
    talk(async |client| {
        let units = select::units(client, &args.units).await?;
        perform(client, operation, &units, args.job_mode, waiting).await
    })
}

/// Starts or stops units after their files have been changed, as `--now` asks for.
///
/// # Errors
/// When the manager cannot be reached.
pub async fn follow(client: &Client, operation: Operation, units: &[String]) -> anyhow::Result<u8> {
    perform(client, operation, units, JobMode::Replace, Waiting::ForJobs).await
}

async fn perform(
    client: &Client,
    operation: Operation,
    units: &[String],
    mode: JobMode,
    waiting: Waiting,
) -> anyhow::Result<u8> {
    let mut watch = match waiting {
        Waiting::ForJobs => Some(JobWatch::new(client).await?),
        Waiting::No => None,
    };
    let mut status = 0;
    for unit in units {
        let call = enqueue(client, operation, unit, mode);
        let queued = match &mut watch {
            Some(watch) => watch.during(call).await,
            None => call.await,
        };
        match queued {
            Ok(job) => {
                if let Some(watch) = &mut watch {
                    watch.add(job, unit);
                }
            }
            Err(error @ CliError::Unreachable { .. }) => return Err(error.into()),
            Err(error) => {
                complain(&error.to_string());
                status = error.status();
            }
        }
    }
    if let Some(watch) = watch {
        for job in watch.wait().await?.iter().filter(|job| !job.is_success()) {
            explain(client, job).await;
            status = FAILURE;
        }
    }
    warn_of_changed_files(client, units).await;
    Ok(status)
}

async fn enqueue(
    client: &Client,
    operation: Operation,
    unit: &str,
    mode: JobMode,
) -> Result<OwnedObjectPath, CliError> {
    let (manager, mode) = (&client.manager, mode.word());
    let job = match operation {
        Operation::Start => manager.start_unit(unit, mode).await,
        Operation::Stop => manager.stop_unit(unit, mode).await,
        Operation::Restart => manager.restart_unit(unit, mode).await,
        Operation::TryRestart => manager.try_restart_unit(unit, mode).await,
    };
    job.map_err(|error| CliError::of_call(&format!("{} {unit}", operation.word()), error))
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
