//! Limits of units, changed while they run: for the scope at once, and for later starts by a drop-in.

use super::call::Call;
use super::error::BusError;
use super::jobs::allowed;
use super::process::failed;
use crate::unit::links::Lasting;
use crate::unit::property::{Amount, Assignment};
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
    let Some((systemd, before, limits)) = scope.map_err(BusError::Failed)? else { return Ok(()) };
    systemd.change_limits(&unit.scope(), &before, limits).await.map_err(failed)?;
    call.with(move |manager| manager.limits_changed(&unit)).await
}

fn assignment(name: &str, value: &OwnedVariant) -> Result<Assignment, BusError> {
    let wrong = || {
        let signature = value.value_signature();
        BusError::InvalidArgs(format!(
            "{name}: a number of type t, a list of type a(st) or a text of type s is needed, not {signature}."
        ))
    };
    let amount = match &**value {
        Variant::U64(number) => Amount::Whole(*number),
        Variant::U32(number) => Amount::Whole((*number).into()),
        Variant::Str(text) => Amount::Word(text.as_str().to_owned()),
        Variant::Array(_) => {
            let list = value.try_clone().ok().and_then(|value| Vec::<(String, u64)>::try_from(value).ok());
            let numbers = list.ok_or_else(wrong)?.into_iter().map(|(path, number)| (path.into(), number));
            Amount::OfDevices(numbers.collect())
        }
        _ => return Err(wrong()),
    };
    Assignment::new(name, amount).ok_or_else(|| {
        BusError::InvalidArgs(format!("Cannot set property {name}, or not to this: see org.sampan1(5)."))
    })
}
