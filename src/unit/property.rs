//! Keys of `[resources]` that can be set while a unit runs, as `systemctl set-property` does: kept in drop-ins.

use super::links::Lasting;
use super::model::{OfDevices, OomManagement, OomPreference, Resources};
use super::mounts::escaped;
use super::name::UnitName;
use super::value::{
    AbsolutePath, Bytes, CpuSet, Percentage, PressureLimit, Rate, TaskLimit, ValueError, Weight, Written,
};
use crate::paths::Paths;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// One property and its new value.
#[derive(Debug, Clone)]
pub struct Assignment {
    key: &'static Key,
    amount: Amount,
}

/// What a property is set to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Amount {
    /// A number.
    Whole(u64),
    /// Numbers of single devices; what was set of others stays. None: what was set of all of them goes.
    OfDevices(OfDevices),
    /// A word, or several.
    Word(String),
}

/// A key that can be set.
#[derive(Debug)]
pub struct Key {
    /// Its name on the bus.
    pub property: &'static str,
    /// Its name in unit files.
    pub key: &'static str,
    /// What it is set to.
    pub about: About,
}

/// What a key is set to, and where that goes.
#[derive(Debug, Clone, Copy)]
pub enum About {
    /// One number.
    Container(Measure, fn(&mut Resources, u64)),
    /// A number for each device, named by a path.
    Device(Measure, fn(&mut Resources) -> &mut OfDevices),
    /// A word.
    Word(Vocabulary, fn(&mut Resources, &str)),
}

/// What words there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Vocabulary {
    /// Numbers of processors; none is all of them.
    Processors,
    /// Of [`OomManagement`].
    Management,
    /// Of [`OomPreference`].
    Preference,
}

impl Vocabulary {
    /// A word as unit files write it.
    ///
    /// # Errors
    /// When it is none: as the unit file's own error.
    fn read(self, text: &str) -> Result<String, ValueError> {
        let words: &[&str] = match self {
            Self::Processors => return CpuSet::read(text).map(|_| text.to_owned()),
            Self::Management => &OomManagement::ALL.map(OomManagement::word),
            Self::Preference => &OomPreference::ALL.map(OomPreference::word),
        };
        words.contains(&text).then(|| text.to_owned()).ok_or_else(|| {
            ValueError::new(format!("\"{text}\" is not known"))
                .with_help(format!("the words are {}", words.join(", ")))
        })
    }

    /// What it is where nobody has set it.
    fn initial(self) -> &'static str {
        match self {
            Self::Processors => "",
            Self::Management => OomManagement::default().word(),
            Self::Preference => OomPreference::default().word(),
        }
    }
}

/// What a number counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Measure {
    /// Bytes of memory, without which nothing could run; the largest number is infinity.
    Memory,
    /// Bytes of memory that are spared; the largest number is infinity.
    Protection,
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
    /// A part of `u32::MAX` of all time; 0: as oomd.conf(5) has it.
    Pressure,
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
            Self::Protection | Self::Swap => Bytes::read(text).map(|Bytes(number)| number),
            Self::Tasks => TaskLimit::read(text).map(|TaskLimit(number)| number),
            Self::CpuTime => Percentage::read(text).map(|Percentage(number)| number),
            Self::Weight => Weight::read(text).map(|Weight(number)| number),
            Self::Rate => Rate::read(text).map(|Rate(number)| number),
            Self::Pressure => PressureLimit::read(text).map(|PressureLimit(part)| part.into()),
        }
    }

    /// What a drop-in could not say would make the unit bad.
    fn takes(self, value: u64) -> bool {
        self.read(&self.write(value)).is_ok_and(|read| read == value)
    }

    /// What it is where nobody has set it, as far as a unit file can say that.
    fn initial(self) -> u64 {
        match self {
            Self::Memory | Self::Swap | Self::Tasks | Self::Rate | Self::CpuTime => u64::MAX,
            Self::Weight => 100,
            Self::Protection | Self::Pressure => 0,
        }
    }

    /// The other way round.
    fn write(self, number: u64) -> String {
        match (self, number) {
            (Self::Weight | Self::Pressure, u64::MAX) => number.to_string(),
            (_, u64::MAX) => "infinity".to_owned(),
            // The number of hundredths of a per cent that is read as this.
            (Self::Pressure, part) => {
                let whole = u128::from(u32::MAX);
                let hundredths = (u128::from(part) * 10_000 + whole / 2) / whole;
                format!("{}.{:02}%", hundredths / 100, hundredths % 100)
            }
            (Self::CpuTime, time) if time.is_multiple_of(PERCENT) => format!("{}%", time / PERCENT),
            (Self::CpuTime, time) => format!("{}.{:04}%", time / PERCENT, time % PERCENT),
            (_, number) => number.to_string(),
        }
    }
}

/// All of them.
pub const KEYS: [Key; 20] = [
    of_container("MemoryMax", "memory_max", Measure::Memory, |limits, value| limits.memory_max = Some(value)),
    of_container("MemoryHigh", "memory_high", Measure::Memory, |limits, value| {
        limits.memory_high = Some(value)
    }),
    of_container("MemoryLow", "memory_low", Measure::Protection, |limits, value| {
        limits.memory_low = Some(value)
    }),
    of_container("MemoryMin", "memory_min", Measure::Protection, |limits, value| {
        limits.memory_min = Some(value)
    }),
    of_container("MemorySwapMax", "memory_swap_max", Measure::Swap, |limits, value| {
        limits.memory_swap_max = Some(value)
    }),
    of_container("PageCacheHigh", "page_cache_high", Measure::Memory, |limits, value| {
        limits.page_cache_high = Some(value)
    }),
    of_container("TasksMax", "tasks_max", Measure::Tasks, |limits, value| limits.tasks_max = Some(value)),
    of_container("CPUQuotaPerSecUSec", "cpu_quota", Measure::CpuTime, |limits, value| {
        limits.cpu_quota_per_sec_usec = Some(value)
    }),
    of_container("CPUWeight", "cpu_weight", Measure::Weight, |limits, value| limits.cpu_weight = Some(value)),
    of_container("IOWeight", "io_weight", Measure::Weight, |limits, value| limits.io_weight = Some(value)),
    of_device("IODeviceWeight", "io_device_weight", Measure::Weight, |limits| &mut limits.io_device_weight),
    of_device("IOReadBandwidthMax", "io_read_bandwidth_max", Measure::Rate, |limits| {
        &mut limits.io_read_bandwidth_max
    }),
    of_device("IOWriteBandwidthMax", "io_write_bandwidth_max", Measure::Rate, |limits| {
        &mut limits.io_write_bandwidth_max
    }),
    of_device("IOReadIOPSMax", "io_read_iops_max", Measure::Rate, |limits| &mut limits.io_read_iops_max),
    of_device("IOWriteIOPSMax", "io_write_iops_max", Measure::Rate, |limits| &mut limits.io_write_iops_max),
    word("AllowedCPUs", "allowed_cpus", Vocabulary::Processors, |limits, word| {
        limits.allowed_cpus = CpuSet::read(word).map(|CpuSet(cpus)| cpus).unwrap_or_default();
    }),
    word("ManagedOOMSwap", "managed_oom_swap", Vocabulary::Management, |limits, word| {
        limits.managed_oom.swap = management(word);
    }),
    word(
        "ManagedOOMMemoryPressure",
        "managed_oom_memory_pressure",
        Vocabulary::Management,
        |limits, word| {
            limits.managed_oom.memory_pressure = management(word);
        },
    ),
    of_container(
        "ManagedOOMMemoryPressureLimit",
        "managed_oom_memory_pressure_limit",
        Measure::Pressure,
        |limits, value| limits.managed_oom.memory_pressure_limit = u32::try_from(value).ok(),
    ),
    word("ManagedOOMPreference", "managed_oom_preference", Vocabulary::Preference, |limits, word| {
        limits.managed_oom.preference = OomPreference::ALL.into_iter().find(|one| one.word() == word);
    }),
];

const fn of_container(
    property: &'static str,
    key: &'static str,
    measure: Measure,
    set: fn(&mut Resources, u64),
) -> Key {
    Key { property, key, about: About::Container(measure, set) }
}

const fn of_device(
    property: &'static str,
    key: &'static str,
    measure: Measure,
    table: fn(&mut Resources) -> &mut OfDevices,
) -> Key {
    Key { property, key, about: About::Device(measure, table) }
}

const fn word(
    property: &'static str,
    key: &'static str,
    words: Vocabulary,
    set: fn(&mut Resources, &str),
) -> Key {
    Key { property, key, about: About::Word(words, set) }
}

fn management(word: &str) -> Option<OomManagement> {
    OomManagement::ALL.into_iter().find(|one| one.word() == word)
}

impl Key {
    /// What it is to be set to in the words of unit files; nothing takes back what was set, as for systemctl(1).
    ///
    /// # Errors
    /// When it cannot be that: as the unit file's own error.
    pub fn read(&self, text: &str) -> Result<Amount, ValueError> {
        match (self.about, text) {
            (About::Container(measure, _), "") => Ok(Amount::Whole(measure.initial())),
            (About::Container(measure, _), text) => measure.read(text).map(Amount::Whole),
            (About::Device(..), "") => Ok(Amount::OfDevices(OfDevices::new())),
            (About::Device(measure, _), text) => {
                let row = text.rsplit_once(' ').filter(|(path, _)| path.starts_with('/'));
                let (path, number) = row.ok_or_else(|| {
                    ValueError::new("a path and a number are needed")
                        .with_help(format!("write it as \"{}=/PATH NUMBER\"", self.key))
                })?;
                Ok(Amount::OfDevices([(path.into(), measure.read(number)?)].into()))
            }
            (About::Word(words, _), "") => Ok(Amount::Word(words.initial().to_owned())),
            (About::Word(words, _), text) => words.read(text).map(Amount::Word),
        }
    }
}

/// One per cent of CPU time, in microseconds of each second.
const PERCENT: u64 = 10_000;

impl Assignment {
    /// A value for a property of `org.sampan1.Unit`; `None` where it is not one that can be set, or not to this.
    pub fn new(property: &str, amount: Amount) -> Option<Self> {
        let key = KEYS.iter().find(|key| key.property == property)?;
        let is_taken = match (&amount, key.about) {
            (Amount::Whole(value), About::Container(measure, _)) => measure.takes(*value),
            (Amount::OfDevices(values), About::Device(measure, _)) => {
                values.iter().all(|(path, value)| is_absolute(path) && measure.takes(*value))
            }
            (Amount::Word(word), About::Word(words, _)) => {
                *word == words.initial() || words.read(word).is_ok()
            }
            _ => false,
        };
        is_taken.then_some(Self { key, amount })
    }

    /// The same of a unit that has limits: what takes back numbers of devices names them.
    #[must_use]
    pub fn over(self, limits: &Resources) -> Self {
        let (Amount::OfDevices(values), About::Device(measure, table)) = (&self.amount, self.key.about)
        else {
            return self;
        };
        if !values.is_empty() {
            return self;
        }
        // A device without a weight of its own has that of the container.
        let initial = match measure {
            Measure::Weight => limits.io_weight.unwrap_or(measure.initial()),
            measure => measure.initial(),
        };
        let set = table(&mut limits.clone()).clone();
        Self { amount: Amount::OfDevices(set.into_keys().map(|path| (path, initial)).collect()), ..self }
    }

    /// Sets it in the limits of a unit.
    pub fn apply(&self, limits: &mut Resources) {
        match (&self.amount, self.key.about) {
            (Amount::Whole(value), About::Container(_, set)) => set(limits, *value),
            (Amount::OfDevices(values), About::Device(_, table)) => table(limits).extend(values.clone()),
            (Amount::Word(word), About::Word(_, set)) => set(limits, word),
            // There is no such assignment.
            _ => {}
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
        let Key { key, about, .. } = self.key;
        match (&self.amount, about) {
            (Amount::Whole(value), About::Container(measure, _)) => {
                vec![((*key).to_owned(), format!("[resources]\n{key} = \"{}\"", measure.write(*value)))]
            }
            (Amount::OfDevices(values), About::Device(measure, _)) => {
                let line = |(path, value): (&PathBuf, &u64)| {
                    let quoted = toml::Value::from(&*path.to_string_lossy());
                    let line = format!("[resources.{key}]\n{quoted} = \"{}\"", measure.write(*value));
                    (format!("{key}-{}", escaped(path)), line)
                };
                values.iter().map(line).collect()
            }
            (Amount::Word(word), About::Word(..)) => {
                let quoted = toml::Value::from(word.as_str());
                vec![((*key).to_owned(), format!("[resources]\n{key} = {quoted}"))]
            }
            // There is no such assignment.
            _ => Vec::new(),
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
        fn what_is_kept_is_what_is_read(values in proptest::array::uniform20(numbers())) {
            let root = tempfile::tempdir().unwrap();
            let paths = Paths::new(root.path());
            fs::create_dir_all(paths.enablement()).unwrap();
            let text = "[container]\nimage = \"localhost/web\"\n";
            fs::write(paths.enablement().join("web.container.toml"), text).unwrap();
            let unit = UnitName::parse("web.container").unwrap();
            let mut expected = Resources::default();
            for (key, value) in KEYS.iter().zip(values) {
                let amount = match key.about {
                    About::Container(..) => Amount::Whole(value),
                    About::Device(..) => Amount::OfDevices([("/dev/vda".into(), value), ("/srv/\"a b\"".into(), value)].into()),
                    About::Word(Vocabulary::Processors, _) => Amount::Word(["", "0-3,8", "0 1"][(value % 3) as usize].to_owned()),
                    // Without it the limit would be one of nothing.
                    About::Word(Vocabulary::Management, _) => Amount::Word("kill".to_owned()),
                    About::Word(Vocabulary::Preference, _) => Amount::Word(["none", "avoid", "omit"][(value % 3) as usize].to_owned()),
                };
                if let Some(assignment) = Assignment::new(key.property, amount) {
                    assignment.apply(&mut expected);
                    assignment.keep(&paths, &unit, Lasting::Always).unwrap();
                }
            }
            let loaded = load_one(&paths, &unit).loaded;
            let Some(Loaded::Good(read)) = loaded else { panic!("the unit is bad: {loaded:?}") };
            prop_assert_eq!(&*read.body.container().unwrap().resources, &expected);
        }
    }

    #[test]
    fn nothing_takes_back_what_was_set() {
        let mut limits = Resources {
            memory_max: Some(1 << 20),
            memory_low: Some(1),
            cpu_quota_per_sec_usec: Some(1),
            io_weight: Some(7),
            allowed_cpus: vec![1],
            io_device_weight: [("/dev/vda".into(), 5)].into(),
            io_read_bandwidth_max: [("/dev/vda".into(), 5)].into(),
            ..Resources::default()
        };
        for key in &KEYS {
            let assignment = Assignment::new(key.property, key.read("").unwrap()).expect(key.key);
            assignment.over(&limits.clone()).apply(&mut limits);
        }
        let nothing = (Some(u64::MAX), Some(0), Some(u64::MAX), Vec::new());
        assert_eq!(
            (limits.memory_max, limits.memory_low, limits.cpu_quota_per_sec_usec, limits.allowed_cpus),
            nothing
        );
        assert_eq!(limits.io_read_bandwidth_max, [("/dev/vda".into(), u64::MAX)].into());
        assert_eq!(limits.io_device_weight, [("/dev/vda".into(), 100)].into());
        assert_eq!(limits.managed_oom.preference, Some(OomPreference::None));
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
            ("AllowedCPUs", 1),
            ("ManagedOOMMemoryPressureLimit", 1 << 32),
        ] {
            assert!(!is_taken(property, value), "{property}={value}");
        }
        for (property, value) in [
            ("MemoryMax", 1),
            ("MemorySwapMax", 0),
            ("CPUQuotaPerSecUSec", 1),
            ("CPUQuotaPerSecUSec", u64::MAX),
            ("MemoryLow", 0),
            ("ManagedOOMMemoryPressureLimit", 0),
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
