//! Keys of `[resources]` that can be set while a unit runs, as `systemctl set-property` does: kept in drop-ins.

use super::links::Lasting;
use super::model::Resources;
use super::name::UnitName;
use crate::paths::Paths;
use std::fs;
use std::io;
use std::path::PathBuf;

/// One property and its new value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Assignment {
    key: &'static Key,
    value: u64,
}

/// A key that can be set.
#[derive(Debug, PartialEq, Eq)]
pub struct Key {
    /// Its name on the bus.
    pub property: &'static str,
    /// Its name in unit files.
    pub key: &'static str,
    /// What its numbers are.
    pub measure: Measure,
}

/// What a number counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Measure {
    /// Bytes; the largest number is infinity.
    Bytes,
    /// Tasks; the largest number is infinity.
    Tasks,
    /// Microseconds of CPU time in each second.
    CpuTime,
    /// 1 to 10000.
    Weight,
}

/// All of them.
pub const KEYS: [Key; 7] = [
    Key { property: "MemoryMax", key: "memory_max", measure: Measure::Bytes },
    Key { property: "MemoryHigh", key: "memory_high", measure: Measure::Bytes },
    Key { property: "MemorySwapMax", key: "memory_swap_max", measure: Measure::Bytes },
    Key { property: "TasksMax", key: "tasks_max", measure: Measure::Tasks },
    Key { property: "CPUQuotaPerSecUSec", key: "cpu_quota", measure: Measure::CpuTime },
    Key { property: "CPUWeight", key: "cpu_weight", measure: Measure::Weight },
    Key { property: "IOWeight", key: "io_weight", measure: Measure::Weight },
];

/// The finest share of CPU time that a unit file can say, in microseconds of each second: one per cent.
pub const PERCENT: u64 = 10_000;

impl Assignment {
    /// A value for a property of `org.sampan1.Unit`; `None` where it is not one that can be set, or not to this.
    pub fn new(property: &str, value: u64) -> Option<Self> {
        let key = KEYS.iter().find(|key| key.property == property)?;
        let fits = match key.measure {
            Measure::Bytes | Measure::Tasks => value > 0,
            Measure::CpuTime => value >= PERCENT && value.is_multiple_of(PERCENT),
            Measure::Weight => (1..=10_000).contains(&value),
        };
        fits.then_some(Self { key, value })
    }

    /// Sets it in the limits of a unit.
    pub fn apply(&self, limits: &mut Resources) {
        let place = match self.key.key {
            "memory_max" => &mut limits.memory_max,
            "memory_high" => &mut limits.memory_high,
            "memory_swap_max" => &mut limits.memory_swap_max,
            "tasks_max" => &mut limits.tasks_max,
            "cpu_quota" => &mut limits.cpu_quota_per_sec_usec,
            "cpu_weight" => &mut limits.cpu_weight,
            _ => &mut limits.io_weight,
        };
        *place = Some(self.value);
    }

    /// Keeps it in a drop-in of its own.
    ///
    /// # Errors
    /// When the drop-in cannot be written; with its path.
    pub fn keep(&self, paths: &Paths, unit: &UnitName, lasting: Lasting) -> Result<(), (PathBuf, io::Error)> {
        let directory = lasting.directory(paths).join(format!("{}.d", unit.file_name()));
        let path = directory.join(format!("50-{}.toml", self.key.key));
        let new = directory.join(format!(".50-{}.toml.new", self.key.key));
        let write = fs::create_dir_all(&directory)
            .and_then(|()| fs::write(&new, self.text()))
            .and_then(|()| fs::rename(&new, &path));
        write.map_err(|error| (path, error))
    }

    fn text(&self) -> String {
        let value = match (self.key.measure, self.value) {
            (Measure::Bytes | Measure::Tasks, u64::MAX) => "\"infinity\"".to_owned(),
            (Measure::CpuTime, time) => format!("\"{}%\"", time / PERCENT),
            (_, number) => format!("\"{number}\""),
        };
        format!("# Set with \"sampanctl set-property\".\n[resources]\n{} = {value}\n", self.key.key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::unit::load::{Loaded, load_one};

    #[test]
    fn what_is_kept_is_what_is_read() {
        let root = tempfile::tempdir().unwrap();
        let paths = Paths::new(root.path());
        fs::create_dir_all(paths.enablement()).unwrap();
        fs::write(paths.enablement().join("web.container.toml"), "[container]\nimage = \"localhost/web\"\n")
            .unwrap();
        let unit = UnitName::parse("web.container").unwrap();
        let mut expected = Resources::default();
        for (property, value) in [
            ("MemoryMax", 1 << 20),
            ("MemoryHigh", u64::MAX),
            ("TasksMax", 12),
            ("CPUQuotaPerSecUSec", 500_000),
            ("CPUWeight", 7),
            ("IOWeight", 10_000),
        ] {
            let assignment = Assignment::new(property, value).unwrap();
            assignment.apply(&mut expected);
            assignment.keep(&paths, &unit, Lasting::Always).unwrap();
        }
        let Some(Loaded::Good(read)) = load_one(&paths, &unit).loaded else { panic!("the unit is valid") };
        assert_eq!(read.body.container().unwrap().resources, expected);
    }

    #[test]
    fn only_what_a_unit_file_can_say_is_taken() {
        for (property, value) in
            [("Memory", 1), ("CPUWeight", 0), ("CPUWeight", 10_001), ("CPUQuotaPerSecUSec", 1)]
        {
            assert_eq!(Assignment::new(property, value), None, "{property}={value}");
        }
    }
}
