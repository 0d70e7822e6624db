//! `sampanctl set-property`: changes limits of containers while they run.

use super::args::SetPropertyArgs;
use super::client::talk;
use super::error::CliError;
use super::outcome::Outcome;
use super::select;
use crate::unit::property::{KEYS, Measure, PERCENT};
use zbus::Variant;

/// Runs the verb.
///
/// # Errors
/// When a key or a value is none, or the manager cannot be reached or refuses.
pub fn run(args: &SetPropertyArgs) -> anyhow::Result<u8> {
    let values = args.assignments.iter().map(|words| property(words)).collect::<anyhow::Result<Vec<_>>>()?;
    talk(async |client| {
        let mut outcome = Outcome::default();
        for unit in select::units(client, std::slice::from_ref(&args.unit)).await? {
            let values: Vec<(&str, Variant<'_>)> =
                values.iter().map(|(name, value)| (*name, Variant::from(*value))).collect();
            let done: zbus::Result<()> =
                client.call("SetUnitProperties", &(&unit, args.runtime, values)).await;
            let failed = |error| CliError::of_call(&format!("set unit properties on {unit}"), error);
            outcome.note(done.map_err(failed))?;
        }
        Ok(outcome.status)
    })
}

/// `memory_max=256M`, or `MemoryMax=256M` as systemctl takes it.
fn property(words: &str) -> anyhow::Result<(&'static str, u64)> {
    let (key, text) = words.split_once('=').unwrap_or((words, ""));
    let known = KEYS.iter().find(|known| {
        key == known.key || key == known.property || (known.key == "cpu_quota" && key == "CPUQuota")
    });
    let Some(known) = known else {
        let keys = KEYS.map(|known| known.key);
        anyhow::bail!("Unknown property {key}: {}.", crate::unit::suggest::help(key, &keys));
    };
    match number(text, known.measure) {
        Some(number) => Ok((known.property, number)),
        None => anyhow::bail!("Failed to parse {words}: see [resources] in sampan.container(5)."),
    }
}

fn number(text: &str, measure: Measure) -> Option<u64> {
    match (measure, text) {
        (_, "infinity") => Some(u64::MAX),
        (Measure::CpuTime, text) => text.strip_suffix('%')?.parse::<u64>().ok()?.checked_mul(PERCENT),
        (Measure::Tasks | Measure::Weight, text) => text.parse().ok(),
        (Measure::Bytes, text) => {
            let shifts = [('K', 10), ('M', 20), ('G', 30), ('T', 40)];
            let unit = shifts.into_iter().find_map(|(unit, shift)| Some((text.strip_suffix(unit)?, shift)));
            let (digits, shift) = unit.unwrap_or((text, 0));
            digits.parse::<u64>().ok()?.checked_mul(1 << shift)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn properties_are_written_as_in_unit_files_or_as_for_systemctl() {
        let of = |words: &str| property(words).unwrap();
        assert_eq!(of("memory_max=256M"), ("MemoryMax", 256 << 20));
        assert_eq!(of("MemoryHigh=infinity"), ("MemoryHigh", u64::MAX));
        assert_eq!(of("CPUQuota=50%"), ("CPUQuotaPerSecUSec", 500_000));
        assert_eq!(of("tasks_max=512"), ("TasksMax", 512));
        assert!(property("memry_max=1").unwrap_err().to_string().contains("memory_max"));
        assert!(property("memory_max=much").is_err());
    }
}
