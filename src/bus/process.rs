//! Signals to the processes of units, and their freezer.

use super::call::Call;
use super::error::BusError;
use super::jobs::allowed;
use super::listing::not_loaded;
use crate::manager::driver::{CleanError, Leftover, Whom};
use crate::manager::machine::LoadState;
use crate::systemd::SystemdError;
use crate::systemd::manager::Systemd;
use crate::unit::name::UnitName;

pub(super) async fn kill(call: Call, (name, whom, signal): (String, String, i32)) -> Result<(), BusError> {
    let whom = match whom.as_str() {
        "main" => Whom::Main,
        "control" => Whom::Control,
        "all" | "" => Whom::All,
        _ => {
            return Err(BusError::InvalidArgs(format!("\"{whom}\" is not known: use main, control or all.")));
        }
    };
    let unit = allowed_known(&call, &name, "kill").await?;
    call.with(move |manager| manager.signal_unit(&unit, whom, signal)).await?.map_err(BusError::Failed)
}

pub(super) async fn freeze(call: Call, name: String) -> Result<(), BusError> {
    let unit = allowed_known(&call, &name, "freeze").await?;
    wake_up(&call, &unit).await?;
    let systemd = running(&call, &unit).await?;
    systemd.freeze_scope(&unit.scope()).await.map_err(failed)
}

pub(super) async fn thaw(call: Call, name: String) -> Result<(), BusError> {
    let unit = allowed_known(&call, &name, "thaw").await?;
    wake_up(&call, &unit).await?;
    let systemd = running(&call, &unit).await?;
    systemd.thaw_scope(&unit.scope()).await.map_err(failed)?;
    call.with(move |manager| manager.thawed(&unit)).await
}

/// What stands still as nobody uses it is not what systemd knows as frozen.
async fn wake_up(call: &Call, unit: &UnitName) -> Result<(), BusError> {
    let unit = unit.clone();
    call.with(move |manager| manager.wake_up(&unit)).await
}

/// Removes what a unit has left behind, as `CleanUnit` of systemd does.
pub(super) async fn clean(call: Call, (name, what): (String, Vec<String>)) -> Result<(), BusError> {
    let mut kinds = Vec::new();
    for word in &what {
        match Leftover::ALL.iter().find(|kind| kind.as_str() == word) {
            Some(kind) => kinds.push(*kind),
            None if word == "all" => kinds.extend(Leftover::ALL),
            None => {
                return Err(BusError::InvalidArgs(format!(
                    "\"{}\" is not known: use cache, state or all.",
                    word.escape_debug()
                )));
            }
        }
    }
    let unit = allowed(&call, &name, "clean").await?;
    let cleaned = call.with(move |manager| manager.clean(&unit, &kinds)).await?;
    cleaned.map_err(|error| match error {
        CleanError::Busy(_) => BusError::UnitBusy(error.to_string()),
        CleanError::Nothing(_) => BusError::NothingToClean(error.to_string()),
        CleanError::Io(..) => BusError::Failed(error.to_string()),
    })
}

/// As [`allowed`], of a unit that has a file or is up without one.
async fn allowed_known(call: &Call, name: &str, verb: &'static str) -> Result<UnitName, BusError> {
    let unit = allowed(call, name, verb).await?;
    let asked = unit.clone();
    let is_known = call.with(move |manager| {
        let managed = manager.machine().unit(&asked);
        managed.is_some_and(|managed| managed.loaded.state != LoadState::NotFound || !managed.phase.is_down())
    });
    match is_known.await? {
        true => Ok(unit),
        false => Err(not_loaded(unit.as_str())),
    }
}

/// systemd, for a unit whose scope is there.
async fn running(call: &Call, unit: &UnitName) -> Result<Systemd, BusError> {
    let name = unit.clone();
    let systemd = call.with(move |manager| {
        manager.machine().unit(&name)?.main_pid()?;
        Some(manager.systemd().clone())
    });
    systemd.await?.ok_or_else(|| BusError::UnitInactive(format!("Unit {unit} is not running.")))
}

pub(super) fn failed(error: SystemdError) -> BusError {
    BusError::Failed(error.to_string())
}
