//! `freeze`, `thaw` and `set-property`: what is changed about containers while they run.

use super::args::{SetPropertyArgs, UnitsArgs};
use super::client::talk;
use super::error::CliError;
use super::output::complain;
use super::select;
use zbus::Variant;

/// What is done to the processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Motion {
    /// `freeze`.
    Freeze,
    /// `thaw`.
    Thaw,
}

/// Runs `freeze` or `thaw`.
///
/// # Errors
/// When a word is no name or the manager cannot be reached.
pub fn run(motion: Motion, args: &UnitsArgs) -> anyhow::Result<u8> {
    let (method, verb) = match motion {
        Motion::Freeze => ("FreezeUnit", "freeze"),
        Motion::Thaw => ("ThawUnit", "thaw"),
    };
    talk(async |client| {
        let mut status = 0;
        for unit in select::units(client, &args.units).await? {
            let done: zbus::Result<()> = client.call(method, &(&unit,)).await;
            match done.map_err(|error| CliError::of_call(&format!("{verb} unit {unit}"), error)) {
                Ok(()) => {}
                Err(error @ CliError::Unreachable { .. }) => return Err(error.into()),
                Err(error) => {
                    complain(&error.to_string());
                    status = error.status();
                }
            }
        }
        Ok(status)
    })
}

/// Runs `set-property`.
///
/// # Errors
/// When a key or a value is none, or the manager cannot be reached or refuses.
pub fn set_property(args: &SetPropertyArgs) -> anyhow::Result<u8> {
    let values = args.assignments.iter().map(|words| property(words)).collect::<anyhow::Result<Vec<_>>>()?;
    talk(async |client| {
        let mut status = 0;
        for unit in select::units(client, std::slice::from_ref(&args.unit)).await? {
            let values: Vec<(&str, Variant<'_>)> =
                values.iter().map(|(name, value)| (*name, Variant::from(*value))).collect();
            let done: zbus::Result<()> =
                client.call("SetUnitProperties", &(&unit, args.runtime, values)).await;
            if let Err(error) = done {
                let error = CliError::of_call(&format!("set unit properties on {unit}"), error);
                status = error.status();
                complain(&error.to_string());
            }
        }
        Ok(status)
    })
}

/// What can be set: as in unit files, as on the bus, and how its values are written.
const KEYS: [(&str, &str, Measure); 7] = [
    ("memory_max", "MemoryMax", Measure::Bytes),
    ("memory_high", "MemoryHigh", Measure::Bytes),
    ("memory_swap_max", "MemorySwapMax", Measure::Bytes),
    ("tasks_max", "TasksMax", Measure::Number),
    ("cpu_quota", "CPUQuotaPerSecUSec", Measure::Share),
    ("cpu_weight", "CPUWeight", Measure::Number),
    ("io_weight", "IOWeight", Measure::Number),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Measure {
    Bytes,
    Number,
    Share,
}

/// `memory_max=256M`, or `MemoryMax=256M` as systemctl takes it.
fn property(words: &str) -> anyhow::Result<(&'static str, u64)> {
    let (key, text) = words.split_once('=').unwrap_or((words, ""));
    let known = KEYS.iter().find(|(written, property, _)| {
        key == *written || key == *property || (*written == "cpu_quota" && key == "CPUQuota")
    });
    let Some((_, property, measure)) = known else {
        let keys = KEYS.map(|(written, ..)| written);
        anyhow::bail!("Unknown property {key}: {}.", crate::unit::suggest::help(key, &keys));
    };
    match number(text, *measure) {
        Some(number) => Ok((property, number)),
        None => anyhow::bail!("Failed to parse {words}: see [resources] in sampan.container(5)."),
    }
}

fn number(text: &str, measure: Measure) -> Option<u64> {
    /// Microseconds of each second in one per cent.
    const PERCENT: u64 = 10_000;
    match (measure, text) {
        (_, "infinity") => Some(u64::MAX),
        (Measure::Share, text) => text.strip_suffix('%')?.parse::<u64>().ok()?.checked_mul(PERCENT),
        (Measure::Number, text) => text.parse().ok(),
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
