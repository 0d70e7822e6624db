//! `sampanctl set-property`: changes limits of containers while they run.

use super::args::SetPropertyArgs;
use super::client::talk;
use super::error::CliError;
use super::outcome::Outcome;
use super::select;
use crate::unit::property::{Amount, KEYS};
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
        Amount::Word(word) => Variant::from(word.as_str()),
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
    match known.read(text) {
        Ok(amount) => Ok((known.property, amount)),
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
        assert_eq!(of("memory_max="), ("MemoryMax", u64::MAX));
        assert_eq!(of("CPUWeight="), ("CPUWeight", 100));
        assert_eq!(of("managed_oom_memory_pressure_limit=0%"), ("ManagedOOMMemoryPressureLimit", 0));
        assert_eq!(property("allowed_cpus=0-1").unwrap(), ("AllowedCPUs", Amount::Word("0-1".to_owned())));
        assert_eq!(property("ManagedOOMSwap=").unwrap(), ("ManagedOOMSwap", Amount::Word("auto".to_owned())));
        assert_eq!(
            property("io_read_bandwidth_max=").unwrap(),
            ("IOReadBandwidthMax", Amount::OfDevices([].into()))
        );
        assert!(property("managed_oom_swap=yes").unwrap_err().to_string().contains("auto, kill"));
        for words in ["io_read_bandwidth_max=5M", "io_read_bandwidth_max=/dev/vda", "io_write_iops_max=vda 5"]
        {
            assert!(property(words).unwrap_err().to_string().contains("/PATH NUMBER"), "{words}");
        }
    }
}
