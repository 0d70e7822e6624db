//! `sampanctl run`: a container that no file describes. It is made for one start, and gone when it has ended.

mod attached;
mod definition;
pub mod missing;

use super::args::RunArgs;
use super::client::{Client, talk};
use super::error::{CliError, NO_PROGRAM, NOT_EXECUTABLE};
use super::exec::{Leash, Wanted, of_terminal};
use super::jobs::{JobWatch, explain};
use super::lifecycle::Operation;
use super::output::{Paging, complain, print};
use super::unit_properties::{Ending, UnitProperties};
use crate::launch::protocol::UNSTARTED;
use crate::unit::name::UnitName;
use std::os::fd::AsFd;
use zbus::{Fd, OwnedObjectPath};

/// A container that could not be started, for any reason but its program.
const NOT_STARTED: u8 = 125;

/// Runs the verb.
///
/// # Errors
/// When an option makes no sense, the container cannot be started, or the manager cannot be reached.
pub fn run(args: &RunArgs) -> anyhow::Result<u8> {
    let unit = match &args.name {
        Some(name) => UnitName::from_command_line(name)?.to_string(),
        None => made_up(),
    };
    let wanted = if args.detach { Wanted::Streams } else { Wanted::of(args.tty, args.no_tty) };
    let environment = if wanted == Wanted::Terminal { of_terminal() } else { Vec::new() };
    let definition = definition::text(args, &environment, &std::env::current_dir()?)?;
    talk(async |client| match args.detach {
        true => detached(client, &unit, &definition).await,
        false => {
            let session = attached::Session { client, unit: &unit, quiet: args.quiet };
            Ok(session.run(&definition, wanted).await?)
        }
    })
}

/// A name that nobody has: as systemd-run(1) makes one up.
fn made_up() -> String {
    let id = uuid::Uuid::new_v4().simple().to_string();
    format!("run-{}.container", &id[..8])
}

async fn detached(client: &Client, unit: &str, definition: &str) -> anyhow::Result<u8> {
    let mut watch = JobWatch::new(client).await?;
    // Held until it is known what has become of it, however short its life is.
    let leash = Leash::new()?;
    leash.release();
    let held = vec![Fd::from(leash.theirs.as_fd())];
    let job = watch.during(transient(client, unit, definition, held)).await?;
    watch.add(job, unit);
    let started = watch.wait(client, Operation::Start).await?;
    if let Some(job) = started.iter().find(|job| !job.is_success()) {
        return Ok(unstarted(&explain(client, job).await));
    }
    print(&format!("{unit}\n"), Paging::Never)?;
    Ok(0)
}

/// Has the manager make the unit and start it; the answer is the job. `stdio` is as org.sampan1(5) says.
async fn transient(
    client: &Client,
    unit: &str,
    definition: &str,
    stdio: Vec<Fd<'_>>,
) -> Result<OwnedObjectPath, CliError> {
    let made = client.call("StartTransientUnit", &(unit, "fail", definition, stdio)).await;
    made.map_err(|error| CliError::of_call(&format!("run {unit}"), error))
}

/// The exit status of a container that did not start, as Docker and Podman have it: so it is none of its own.
fn unstarted(unit: &UnitProperties) -> u8 {
    let is_execution = unit.exec_main == Some(Ending::Exited(UNSTARTED.into()));
    match i32::try_from(unit.status_errno) {
        Ok(libc::ENOENT | libc::ENOTDIR) if is_execution => NO_PROGRAM,
        _ if is_execution => NOT_EXECUTABLE,
        _ => NOT_STARTED,
    }
}

/// Tells the name of the unit, for other verbs.
fn introduce(unit: &str, wanted: Wanted) {
    let escape = match wanted {
        Wanted::Terminal => " Press ^] three times within 1s to exit the session.",
        Wanted::Streams => "",
    };
    complain(&format!("Running as unit {unit}.{escape}"));
}
