//! Keys of `[resources]` that can be set while a unit runs, as `systemctl set-property` does: kept in drop-ins.

use super::links::Lasting;
use super::model::{OfDevices, Resources};
use super::mounts::escaped;
use super::name::UnitName;
use super::value::{AbsolutePath, Bytes, Percentage, Rate, TaskLimit, ValueError, Weight, Written};
use crate::paths::Paths;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// One property and its new value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assignment {
    key: &'static Key,
    amount: Amount,
}

/// What a property is set to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Amount {
    /// A number.
    Whole(u64),
    /// Numbers of single devices; what was set of others stays.
    OfDevices(OfDevices),
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
    /// What it is about.
    pub about: About,
}

/// Whether a key has one number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum About {
    /// It has.
    Container,
    /// It has one for each device, named by a path.
    Device,
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
    /// So much in a second; the largest number is infinity.
    Rate,
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
            Self::Rate => Rate::read(text).map(|Rate(number)| number),
        }
    }

    /// The other way round.
    fn write(self, number: u64) -> String {
        match (self, number) {
            (Self::Memory | Self::Swap | Self::Tasks | Self::Rate, u64::MAX) => "infinity".to_owned(),
            (Self::CpuTime, time) if time.is_multiple_of(PERCENT) => format!("{}%", time / PERCENT),
            (Self::CpuTime, time) => format!("{}.{:04}%", time / PERCENT, time % PERCENT),
            (_, number) => number.to_string(),
        }
    }
}

/// All of them.
pub const KEYS: [Key; 13] = [
    of_container("MemoryMax", "memory_max", Measure::Memory),
    of_container("MemoryHigh", "memory_high", Measure::Memory),
    of_container("MemorySwapMax", "memory_swap_max", Measure::Swap),
    of_container("PageCacheHigh", "page_cache_high", Measure::Memory),
    of_container("TasksMax", "tasks_max", Measure::Tasks),
    of_container("CPUQuotaPerSecUSec", "cpu_quota", Measure::CpuTime),
    of_container("CPUWeight", "cpu_weight", Measure::Weight),
    of_container("IOWeight", "io_weight", Measure::Weight),
    of_device("IODeviceWeight", "io_device_weight", Measure::Weight),
    of_device("IOReadBandwidthMax", "io_read_bandwidth_max", Measure::Rate),
    of_device("IOWriteBandwidthMax", "io_write_bandwidth_max", Measure::Rate),
    of_device("IOReadIOPSMax", "io_read_iops_max", Measure::Rate),
    of_device("IOWriteIOPSMax", "io_write_iops_max", Measure::Rate),
];

const fn of_container(property: &'static str, key: &'static str, measure: Measure) -> Key {
    Key { property, key, measure, about: About::Container }
}

const fn of_device(property: &'static str, key: &'static str, measure: Measure) -> Key {
    Key { property, key, measure, about: About::Device }
}

impl Key {
    /// What a drop-in could not say would make the unit bad.
    fn takes(&self, value: u64) -> bool {
        self.measure.read(&self.measure.write(value)).is_ok_and(|read| read == value)
    }
}

/// One per cent of CPU time, in microseconds of each second.
const PERCENT: u64 = 10_000;

impl Assignment {
    /// A value for a property of `org.sampan1.Unit`; `None` where it is not one that can be set, or not to this.
    pub fn new(property: &str, amount: Amount) -> Option<Self> {
        let key = KEYS.iter().find(|key| key.property == property)?;
        let is_taken = match (&amount, key.about) {
            (Amount::Whole(value), About::Container) => key.takes(*value),
            (Amount::OfDevices(values), About::Device) => {
                values.iter().all(|(path, value)| is_absolute(path) && key.takes(*value))
            }
            _ => false,
        };
        is_taken.then_some(Self { key, amount })
    }

    /// Sets it in the limits of a unit.
    pub fn apply(&self, limits: &mut Resources) {
        match &self.amount {
            Amount::Whole(value) => *self.number(limits) = Some(*value),
            Amount::OfDevices(values) => self.table(limits).extend(values.clone()),
        }
    }

    fn number<'l>(&self, limits: &'l mut Resources) -> &'l mut Option<u64> {
        match self.key.key {
            "memory_max" => &mut limits.memory_max,
            "memory_high" => &mut limits.memory_high,
            "memory_swap_max" => &mut limits.memory_swap_max,
            "page_cache_high" => &mut limits.page_cache_high,
            "tasks_max" => &mut limits.tasks_max,
            "cpu_quota" => &mut limits.cpu_quota_per_sec_usec,
            "cpu_weight" => &mut limits.cpu_weight,
            _ => &mut limits.io_weight,
        }
    }

    fn table<'l>(&self, limits: &'l mut Resources) -> &'l mut OfDevices {
        match self.key.key {
            "io_device_weight" => &mut limits.io_device_weight,
            "io_read_bandwidth_max" => &mut limits.io_read_bandwidth_max,
            "io_write_bandwidth_max" => &mut limits.io_write_bandwidth_max,
            "io_read_iops_max" => &mut limits.io_read_iops_max,
            _ => &mut limits.io_write_iops_max,
        }
    }

    /// Keeps it in drop-ins of its own, one for each number.
    ///
    /// # Errors
    /// When a drop-in cannot be written; with its path.
    pub fn keep(&self, paths: &Paths, unit: &UnitName, lasting: Lasting) -> Result<(), (PathBuf, io::Error)> {
        let directory = lasting.directory(paths).join(format!("{}.d", unit.file_name()));
        for (name, line) in self.lines() {
            let (path, new) =
                (directory.join(format!("50-{name}.toml")), directory.join(format!(".50-{name}.new")));
            let write = fs::create_dir_all(&directory)
                .and_then(|()| fs::write(&new, format!("# Set with \"sampanctl set-property\".\n{line}\n")))
                .and_then(|()| fs::rename(&new, &path));
            write.map_err(|error| (path, error))?;
        }
        Ok(())
    }

    /// Names of drop-ins, and what they say.
    fn lines(&self) -> Vec<(String, String)> {
        let Key { key, measure, .. } = self.key;
        match &self.amount {
            Amount::Whole(value) => {
                vec![((*key).to_owned(), format!("[resources]\n{key} = \"{}\"", measure.write(*value)))]
            }
            Amount::OfDevices(values) => {
                let line = |(path, value): (&PathBuf, &u64)| {
                    let quoted = toml::Value::from(&*path.to_string_lossy());
                    let line = format!("[resources.{key}]\n{quoted} = \"{}\"", measure.write(*value));
                    (format!("{key}-{}", escaped(path)), line)
                };
                values.iter().map(line).collect()
            }
        }
    }
}

fn is_absolute(path: &Path) -> bool {
    path.to_str().is_some_and(|path| AbsolutePath::read(path).is_ok())
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
        fn what_is_kept_is_what_is_read(values in proptest::array::uniform13(numbers())) {
            let root = tempfile::tempdir().unwrap();
            let paths = Paths::new(root.path());
            fs::create_dir_all(paths.enablement()).unwrap();
            let text = "[container]\nimage = \"localhost/web\"\n";
            fs::write(paths.enablement().join("web.container.toml"), text).unwrap();
            let unit = UnitName::parse("web.container").unwrap();
            let mut expected = Resources::default();
            for (key, value) in KEYS.iter().zip(values) {
                let amount = match key.about {
                    About::Container => Amount::Whole(value),
                    About::Device => Amount::OfDevices([("/dev/vda".into(), value), ("/srv/\"a b\"".into(), value)].into()),
                };
                if let Some(assignment) = Assignment::new(key.property, amount) {
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
        let is_taken = |property, value| Assignment::new(property, Amount::Whole(value)).is_some();
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
        let of_device = |property, path: &str, value| {
            Assignment::new(property, Amount::OfDevices([(path.into(), value)].into())).is_some()
        };
        assert!(of_device("IOReadBandwidthMax", "/dev/vda", 5_000_000));
        assert!(
            !of_device("IOReadBandwidthMax", "vda", 1) && !of_device("IOReadBandwidthMax", "/dev/vda", 0)
        );
        assert!(!of_device("IOWeight", "/dev/vda", 100) && !is_taken("IODeviceWeight", 100));
    }
}
