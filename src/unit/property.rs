//! Keys of `[resources]` that can be set while a unit runs, as `systemctl set-property` does: kept in drop-ins.

use super::links::Lasting;
use super::model::Resources;
use super::name::UnitName;
use super::value::{Bytes, Percentage, TaskLimit, ValueError, Weight, Written};
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
    /// Bytes of memory, without which nothing could run; the largest number is infinity.
    Memory,
    /// Bytes of swap; the largest number is infinity.
    Swap,
    /// Tasks; the largest number is infinity.
    Tasks,
    /// Microseconds of CPU time in each second.
    CpuTime,
    /// 1 to 10000.
    Weight,
}

impl Measure {
    /// A number as unit files write it.
    ///
    /// # Errors
    /// When it is none: as the unit file's own error.
    pub fn read(self, text: &str) -> Result<u64, ValueError> {
        match self {
            Self::Memory => match Bytes::read(text)? {
                Bytes(0) => Err(ValueError::new("memory cannot be 0").with_help("nothing could run")),
                Bytes(number) => Ok(number),
            },
            Self::Swap => Bytes::read(text).map(|Bytes(number)| number),
            Self::Tasks => TaskLimit::read(text).map(|TaskLimit(number)| number),
            Self::CpuTime => Percentage::read(text).map(|Percentage(number)| number),
            Self::Weight => Weight::read(text).map(|Weight(number)| number),
        }
    }

    /// The other way round.
    fn write(self, number: u64) -> String {
        match (self, number) {
            (Self::Memory | Self::Swap | Self::Tasks, u64::MAX) => "infinity".to_owned(),
            (Self::CpuTime, time) if time.is_multiple_of(PERCENT) => format!("{}%", time / PERCENT),
            (Self::CpuTime, time) => format!("{}.{:04}%", time / PERCENT, time % PERCENT),
            (_, number) => number.to_string(),
        }
    }
}

/// All of them.
pub const KEYS: [Key; 7] = [
    Key { property: "MemoryMax", key: "memory_max", measure: Measure::Memory },
    Key { property: "MemoryHigh", key: "memory_high", measure: Measure::Memory },
    Key { property: "MemorySwapMax", key: "memory_swap_max", measure: Measure::Swap },
    Key { property: "TasksMax", key: "tasks_max", measure: Measure::Tasks },
    Key { property: "CPUQuotaPerSecUSec", key: "cpu_quota", measure: Measure::CpuTime },
    Key { property: "CPUWeight", key: "cpu_weight", measure: Measure::Weight },
    Key { property: "IOWeight", key: "io_weight", measure: Measure::Weight },
];

/// One per cent of CPU time, in microseconds of each second.
const PERCENT: u64 = 10_000;

impl Assignment {
    /// A value for a property of `org.sampan1.Unit`; `None` where it is not one that can be set, or not to this.
    pub fn new(property: &str, value: u64) -> Option<Self> {
        let key = KEYS.iter().find(|key| key.property == property)?;
        // What a drop-in could not say would make the unit bad.
        let is_read = key.measure.read(&key.measure.write(value)).is_ok_and(|read| read == value);
        is_read.then_some(Self { key, value })
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
        let value = self.key.measure.write(self.value);
        format!("# Set with \"sampanctl set-property\".\n[resources]\n{} = \"{value}\"\n", self.key.key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::unit::load::{Loaded, load_one};
    use proptest::prelude::*;

    /// Numbers of which each has a reason to be taken or not.
    fn numbers() -> impl Strategy<Value = u64> {
        let near = [0, 1, 9_999, 10_000, 10_001, 4_194_304, 4_194_305, 1 << 40, u64::MAX - 1, u64::MAX];
        prop_oneof![proptest::sample::select(near.to_vec()), 0_u64..5_000_000, any::<u64>()]
    }

    proptest! {
        #[test]
        fn what_is_kept_is_what_is_read(values in proptest::array::uniform7(numbers())) {
            let root = tempfile::tempdir().unwrap();
            let paths = Paths::new(root.path());
            fs::create_dir_all(paths.enablement()).unwrap();
            let text = "[container]\nimage = \"localhost/web\"\n";
            fs::write(paths.enablement().join("web.container.toml"), text).unwrap();
            let unit = UnitName::parse("web.container").unwrap();
            let mut expected = Resources::default();
            for (key, value) in KEYS.iter().zip(values) {
                if let Some(assignment) = Assignment::new(key.property, value) {
                    assignment.apply(&mut expected);
                    assignment.keep(&paths, &unit, Lasting::Always).unwrap();
                }
            }
            let loaded = load_one(&paths, &unit).loaded;
            let Some(Loaded::Good(read)) = loaded else { panic!("the unit is bad: {loaded:?}") };
            prop_assert_eq!(&read.body.container().unwrap().resources, &expected);
        }
    }

    #[test]
    fn only_what_a_unit_file_can_say_is_taken() {
        let is_taken = |property, value| Assignment::new(property, value).is_some();
        for (property, value) in [
            ("Memory", 1),
            ("MemoryMax", 0),
            ("CPUWeight", 0),
            ("CPUWeight", 10_001),
            ("CPUQuotaPerSecUSec", 0),
            ("TasksMax", 0),
            ("TasksMax", 4_194_305),
        ] {
            assert!(!is_taken(property, value), "{property}={value}");
        }
        for (property, value) in [
            ("MemoryMax", 1),
            ("MemorySwapMax", 0),
            ("CPUQuotaPerSecUSec", 1),
            ("TasksMax", 4_194_304),
            ("TasksMax", u64::MAX),
        ] {
            assert!(is_taken(property, value), "{property}={value}");
        }
    }
}
