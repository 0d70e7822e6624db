//! `sampanctl set-property`: changes limits of containers while they run.

use super::args::SetPropertyArgs;
use super::client::talk;
use super::error::CliError;
use super::outcome::Outcome;
use super::select;
use crate::unit::property::{About, Amount, KEYS};
use std::path::PathBuf;
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
                values.iter().map(|(name, amount)| (*name, variant(amount))).collect();
            let done: zbus::Result<()> =
                client.call("SetUnitProperties", &(&unit, args.runtime, values)).await;
            let failed = |error| CliError::of_call(&format!("set unit properties on {unit}"), error);
            outcome.note(done.map_err(failed))?;
        }
        Ok(outcome.status)
    })
}

fn variant(amount: &Amount) -> Variant<'_> {
    match amount {
        Amount::Whole(number) => Variant::from(*number),
        Amount::OfDevices(numbers) => {
            let row = |(path, number): (&PathBuf, &u64)| (path.to_string_lossy().into_owned(), *number);
            Variant::from(numbers.iter().map(row).collect::<Vec<_>>())
        }
    }
}

/// `memory_max=256M` or `io_read_bandwidth_max=/dev/sda 5M`, or by the names that systemctl takes.
fn property(words: &str) -> anyhow::Result<(&'static str, Amount)> {
    let (key, text) = words.split_once('=').unwrap_or((words, ""));
    let known = KEYS.iter().find(|known| {
        key == known.key || key == known.property || (known.key == "cpu_quota" && key == "CPUQuota")
    });
    let Some(known) = known else {
        let keys = KEYS.map(|known| known.key);
        anyhow::bail!("Unknown property {key}: {}", crate::unit::suggest::help(key, &keys));
    };
    let (device, number) = match (known.about, text.rsplit_once(' ')) {
        (About::Container, _) => ("", text),
        (About::Device, Some((device, number))) if device.starts_with('/') => (device, number),
        (About::Device, _) => anyhow::bail!("Failed to parse {words}: write it as \"{key}=/PATH NUMBER\"."),
    };
    match known.measure.read(number) {
        Ok(number) if device.is_empty() => Ok((known.property, Amount::Whole(number))),
        Ok(number) => Ok((known.property, Amount::OfDevices([(device.into(), number)].into()))),
        Err(error) => anyhow::bail!("Failed to parse {words}: {}: {}.", error.message(), error.help()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn properties_are_written_as_in_unit_files_or_as_for_systemctl() {
        let of = |words: &str| match property(words).unwrap() {
            (name, Amount::Whole(number)) => (name, number),
            other => panic!("{other:?}"),
        };
        assert_eq!(of("memory_max=256M"), ("MemoryMax", 256 << 20));
        assert_eq!(of("MemoryHigh=infinity"), ("MemoryHigh", u64::MAX));
        assert_eq!(of("CPUQuota=50%"), ("CPUQuotaPerSecUSec", 500_000));
        assert_eq!(of("tasks_max=512"), ("TasksMax", 512));
        assert_eq!(of("memory_high=1.5G"), ("MemoryHigh", 3 << 29));
        assert_eq!(of("cpu_quota=12.5%"), ("CPUQuotaPerSecUSec", 125_000));
        let refused = property("tasks_max=4194305").unwrap_err().to_string();
        assert!(refused.starts_with("Failed to parse tasks_max=4194305:"), "{refused}");
        assert!(refused.contains("1 to 4194304"), "{refused}");
        assert!(property("memry_max=1").unwrap_err().to_string().contains("memory_max"));
        assert!(property("memory_max=much").is_err());
        let of_device = Amount::OfDevices([("/dev/vda".into(), 5_000_000)].into());
        for words in ["io_read_bandwidth_max=/dev/vda 5M", "IOReadBandwidthMax=/dev/vda 5M"] {
            assert_eq!(property(words).unwrap(), ("IOReadBandwidthMax", of_device.clone()));
        }
        for words in ["io_read_bandwidth_max=5M", "io_read_bandwidth_max=/dev/vda", "io_write_iops_max=vda 5"]
        {
            assert!(property(words).unwrap_err().to_string().contains("/PATH NUMBER"), "{words}");
        }
    }
}
