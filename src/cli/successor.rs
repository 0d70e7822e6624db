//! What has become of jobs when `sampand` was restarted while they were waited for: its successor goes on with
//! them under other numbers, and the states of their units tell how they ended.

use super::changes::Changes;
use super::client::Client;
use super::error::CliError;
use super::jobs::Finished;
use super::lifecycle::Operation;
use super::unit_properties::{ActiveState, UnitProperties};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Waits until the successor has nothing more to do for the units, and tells what became of each.
///
/// # Errors
/// When there is no successor.
pub async fn resolve(
    client: &Client,
    operation: Operation,
    units: Vec<String>,
    begun: SystemTime,
) -> Result<Vec<Finished>, CliError> {
    let mut changes = Changes::new(client).await?;
    let mut finished = Vec::new();
    for name in units {
        let result = loop {
            let unit = client.unit(&name).await?;
            match outcome(operation, &unit, begun) {
                Some(result) => break result.to_owned(),
                None => changes.next(client).await?,
            }
        };
        finished.push(Finished { unit: name, result });
    }
    Ok(finished)
}

/// The result that the job has had; `None` while it is not over.
fn outcome(operation: Operation, unit: &UnitProperties, begun: SystemTime) -> Option<&'static str> {
    if unit.job != 0 {
        return None;
    }
    let is_stop = operation == Operation::Stop;
    // What had failed before has not been tried.
    let tries = matches!(operation, Operation::TryRestart | Operation::TryReloadOrRestart);
    let was_down = UNIX_EPOCH + Duration::from_micros(unit.inactive_enter) < begun;
    Some(match unit.active_state {
        ActiveState::Inactive if is_stop || unit.result == "success" => "done",
        ActiveState::Failed if is_stop || tries && was_down => "done",
        ActiveState::Activating if unit.sub_state == "auto-restart" => "failed",
        ActiveState::Activating | ActiveState::Deactivating => return None,
        ActiveState::Inactive | ActiveState::Failed => "failed",
        _ if is_stop => "canceled",
        _ => "done",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_tell_how_jobs_ended() {
        let unit = |active_state, result: &str, job| UnitProperties {
            active_state,
            result: result.to_owned(),
            job,
            ..UnitProperties::default()
        };
        for (operation, state, result, expected) in [
            (Operation::Start, ActiveState::Active, "success", Some("done")),
            (Operation::Start, ActiveState::Activating, "success", None),
            (Operation::Start, ActiveState::Failed, "exit-code", Some("failed")),
            (Operation::TryRestart, ActiveState::Failed, "exit-code", Some("failed")),
            (Operation::Restart, ActiveState::Deactivating, "success", None),
            (Operation::Stop, ActiveState::Inactive, "success", Some("done")),
            (Operation::Stop, ActiveState::Failed, "timeout", Some("done")),
            (Operation::Stop, ActiveState::Active, "success", Some("canceled")),
        ] {
            assert_eq!(
                outcome(operation, &unit(state, result, 0), UNIX_EPOCH),
                expected,
                "{operation:?} {state:?}"
            );
        }
        let failed = unit(ActiveState::Failed, "signal", 0);
        let later = UNIX_EPOCH + Duration::from_secs(1);
        assert_eq!(outcome(Operation::TryRestart, &failed, later), Some("done"), "it had failed before");
        assert_eq!(outcome(Operation::Start, &unit(ActiveState::Active, "success", 7), UNIX_EPOCH), None);
    }
}
