//! Units that are made for one start.

use super::access::{Action, Details};
use super::call::Call;
use super::error::BusError;
use super::exec::unleashed;
use super::jobs::{allowed, parse_mode};
use super::wire::job_path;
use crate::manager::driver::{TransientError, TransientRequest};
use crate::unit::name::UnitName;
use zbus::OwnedObjectPath;

/// Name, job mode, the text of the file, and descriptors: none or the three standard ones, then a leash or none.
type Asked = (String, String, String, Vec<zbus::OwnedFd>);

/// Makes a unit and starts it. Who may do this may do all that a unit file can.
pub(super) async fn start(
    call: Call,
    (name, mode, definition, stdio): Asked,
) -> Result<(OwnedObjectPath,), BusError> {
    let (unit, mode) = (UnitName::parse(&name)?, parse_mode(&mode)?);
    let (stdio, leash) = unleashed(stdio);
    let stdio = match stdio.len() {
        0 => None,
        _ => Some(stdio.try_into().map_err(|_| {
            BusError::InvalidArgs("stdio: no descriptors, three, and a leash with both.".into())
        })?),
    };
    call.allow(Action::ManageUnitFiles, Details::Unit { verb: "start-transient", unit: unit.as_str() })
        .await?;
    let request = TransientRequest { unit, definition, mode, stdio, leash };
    let started = call.with(move |manager| manager.start_transient(request)).await?;
    Ok((job_path(started?.0),))
}

/// Takes another leash for a unit, as of a client whose first one went with an earlier manager.
pub(super) async fn hold(call: Call, (name, leash): (String, zbus::OwnedFd)) -> Result<(), BusError> {
    let unit = allowed(&call, &name, "hold").await?;
    let held = call.with(move |manager| {
        let held = manager.put_on_leash(&unit, leash.into());
        if held {
            tracing::info!(SAMPAN_UNIT = %unit, "{unit}: held again by who started it.");
        }
        held
    });
    let held = held.await?;
    held.then_some(()).ok_or_else(|| BusError::NoSuchUnit(format!("Unit {name} was not made for one start.")))
}

impl From<TransientError> for BusError {
    fn from(error: TransientError) -> Self {
        let text = error.to_string();
        match error {
            TransientError::Kind(_) => Self::InvalidArgs(text),
            TransientError::Exists(_) => Self::UnitExists(text),
            TransientError::Invalid { .. } => Self::BadUnitSetting(text),
            TransientError::File { .. } => Self::Failed(text),
            TransientError::Request(error) => error.into(),
        }
    }
}
