//! Limits of units, changed while they run: for the scope at once, and for later starts by a drop-in.

use super::call::Call;
use super::error::BusError;
use super::jobs::allowed;
use super::process::failed;
use crate::unit::links::Lasting;
use crate::unit::property::Assignment;
use zbus::{OwnedVariant, Variant};

/// Sets properties of `[resources]`, as `systemctl set-property` does.
pub(super) async fn set(
    call: Call,
    (name, runtime, values): (String, bool, Vec<(String, OwnedVariant)>),
) -> Result<(), BusError> {
    let lasting = Lasting::of_runtime(runtime);
    let assignments: Vec<Assignment> =
        values.iter().map(|(name, value)| assignment(name, value)).collect::<Result<_, _>>()?;
    let unit = allowed(&call, &name, "set-property").await?;
    let (asked, written) = (unit.clone(), assignments.clone());
    let scope = call.with(move |manager| manager.set_properties(&asked, &written, lasting)).await?;
    let Some((systemd, limits)) = scope.map_err(BusError::Failed)? else { return Ok(()) };
    systemd.set_limits(&unit.scope(), &limits).await.map_err(failed)
}

fn assignment(name: &str, value: &OwnedVariant) -> Result<Assignment, BusError> {
    let number = match &**value {
        Variant::U64(number) => *number,
        other => {
            return Err(BusError::InvalidArgs(format!(
                "{name}: a number of type t is needed, not {}.",
                other.value_signature()
            )));
        }
    };
    Assignment::new(name, number).ok_or_else(|| {
        BusError::InvalidArgs(format!("Cannot set property {name}, or not to {number}: see org.sampan1(5)."))
    })
}
