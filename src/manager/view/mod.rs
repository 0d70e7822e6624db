//! What the bus shows of a unit: names and words as `org.freedesktop.systemd1` has them. Each property stands in
//! one table with its type, whether its changes are told, and how it is read.

mod checks;
mod container;
mod identity;
mod idle;
mod life;
mod processes;
mod relations;
mod security;
mod timer;
mod usage;
mod words;

pub use words::pass;

use super::accounting::Usage;
use super::driver::{Drowsiness, Manager};
use super::machine::{LoadState, Loaded, Managed};
use crate::systemd::manager::Traffic;
use crate::unit::model::{Container, Unit};
use crate::unit::name::UnitName;
use std::cell::OnceCell;
use std::collections::BTreeMap;

/// The value of one property.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Value {
    /// `s`
    Text(String),
    /// `as`
    List(Vec<String>),
    /// `u`
    Unsigned(u32),
    /// `i`
    Signed(i32),
    /// `t`
    Large(u64),
    /// `b`
    Flag(bool),
    /// `a(st)`
    Numbers(Vec<(String, u64)>),
    /// `a{ss}`
    Words(BTreeMap<String, String>),
    /// `a(stt)`
    Parts(Vec<(String, u64, u64)>),
    /// `a(sst)`
    Moments(Vec<(String, String, u64)>),
}

/// Whether a new value of a property is told by `PropertiesChanged`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// It is.
    Told,
    /// It has no other value as long as the object is there.
    Never,
    /// It is not: it changes all the time, or with the files.
    Untold,
}

/// Name and type of a property, and whether its changes are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// Its name.
    pub name: &'static str,
    /// Its type, as D-Bus writes it.
    pub signature: &'static str,
    /// Whether its changes are told.
    pub change: Change,
}

/// Who looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Viewer {
    /// Root, who may read every file anyway.
    Root,
    /// Anybody.
    Anybody,
}

/// What is known beside the manager.
#[derive(Debug, Clone, Copy)]
pub struct Beside {
    /// Who looks.
    pub viewer: Viewer,
    /// What systemd has counted for the unit's scope.
    pub traffic: Traffic,
    /// Bytes that are written to its root, where it has a size.
    pub root_used: Option<u64>,
}

/// One unit as it is looked at.
struct Look<'a> {
    manager: &'a Manager,
    name: &'a UnitName,
    managed: &'a Managed,
    beside: Beside,
    usage: OnceCell<Usage>,
    drowsiness: OnceCell<Drowsiness>,
}

impl<'a> Look<'a> {
    fn unit(&self) -> Option<&'a Unit> {
        self.managed.unit().map(AsRef::as_ref)
    }

    fn container(&self) -> Option<&'a Container> {
        self.managed.container()
    }

    /// Who uses its container, asked once for all properties of one look.
    fn drowsiness(&self) -> &Drowsiness {
        self.drowsiness.get_or_init(|| self.manager.drowsiness(self.name).unwrap_or_default())
    }

    /// What its processes use, read once for all properties of one look.
    fn usage(&self) -> &Usage {
        self.usage.get_or_init(|| {
            let pid = self.managed.main_pid();
            pid.and_then(|pid| Usage::of(self.manager.paths(), pid)).unwrap_or_default()
        })
    }
}

/// How a property is read, by its type.
#[derive(Clone, Copy)]
enum Read {
    Text(fn(&Look<'_>) -> String),
    List(fn(&Look<'_>) -> Vec<String>),
    Unsigned(fn(&Look<'_>) -> u32),
    Signed(fn(&Look<'_>) -> i32),
    Large(fn(&Look<'_>) -> u64),
    Flag(fn(&Look<'_>) -> bool),
    Numbers(fn(&Look<'_>) -> Vec<(String, u64)>),
    Words(fn(&Look<'_>) -> BTreeMap<String, String>),
    Parts(fn(&Look<'_>) -> Vec<(String, u64, u64)>),
    Moments(fn(&Look<'_>) -> Vec<(String, String, u64)>),
}

impl Read {
    fn value(self, look: &Look<'_>) -> Value {
        match self {
            Self::Text(read) => Value::Text(read(look)),
            Self::List(read) => Value::List(read(look)),
            Self::Unsigned(read) => Value::Unsigned(read(look)),
            Self::Signed(read) => Value::Signed(read(look)),
            Self::Large(read) => Value::Large(read(look)),
            Self::Flag(read) => Value::Flag(read(look)),
            Self::Numbers(read) => Value::Numbers(read(look)),
            Self::Words(read) => Value::Words(read(look)),
            Self::Parts(read) => Value::Parts(read(look)),
            Self::Moments(read) => Value::Moments(read(look)),
        }
    }

    const fn signature(self) -> &'static str {
        match self {
            Self::Text(_) => "s",
            Self::List(_) => "as",
            Self::Unsigned(_) => "u",
            Self::Signed(_) => "i",
            Self::Large(_) => "t",
            Self::Flag(_) => "b",
            Self::Numbers(_) => "a(st)",
            Self::Words(_) => "a{ss}",
            Self::Parts(_) => "a(stt)",
            Self::Moments(_) => "a(sst)",
        }
    }
}

/// One row of the table.
struct Entry {
    name: &'static str,
    change: Change,
    read: Read,
}

/// A property whose changes are told.
const fn told(name: &'static str, read: Read) -> Entry {
    Entry { name, change: Change::Told, read }
}

/// A property whose changes are not told.
const fn untold(name: &'static str, read: Read) -> Entry {
    Entry { name, change: Change::Untold, read }
}

const TABLES: [&[Entry]; 10] = [
    identity::TABLE,
    life::TABLE,
    checks::TABLE,
    timer::TABLE,
    idle::TABLE,
    relations::TABLE,
    container::TABLE,
    processes::TABLE,
    security::TABLE,
    usage::TABLE,
];

/// How many properties of a unit have changes that are told.
pub const TOLD: usize = {
    let (mut count, mut table) = (0, 0);
    while table < TABLES.len() {
        let mut row = 0;
        while row < TABLES[table].len() {
            if matches!(TABLES[table][row].change, Change::Told) {
                count += 1;
            }
            row += 1;
        }
        table += 1;
    }
    count
};

fn entries() -> impl Iterator<Item = &'static Entry> {
    TABLES.into_iter().flatten()
}

/// Names and types of all properties, in a fixed order.
pub fn shapes() -> impl Iterator<Item = Shape> {
    entries().map(|entry| Shape { name: entry.name, signature: entry.read.signature(), change: entry.change })
}

/// Name and value of one property.
pub type Property = (&'static str, Value);

/// The [`TOLD`] properties of a unit whose changes are told; none of a unit that is not in memory.
pub fn changing(manager: &Manager, name: &UnitName) -> Vec<Property> {
    let Some(managed) = manager.machine().unit(name) else { return Vec::new() };
    let beside = Beside { viewer: Viewer::Anybody, traffic: Traffic::default(), root_used: None };
    let look = Look { manager, name, managed, beside, usage: OnceCell::new(), drowsiness: OnceCell::new() };
    let told = entries().filter(|entry| entry.change == Change::Told);
    told.map(|entry| (entry.name, entry.read.value(&look))).collect()
}

/// The properties of a unit that `wanted` picks, also of one that does not exist.
pub fn properties(
    manager: &Manager,
    name: &UnitName,
    beside: Beside,
    wanted: impl Fn(&str) -> bool,
) -> Vec<Property> {
    let absent;
    let managed = match manager.machine().unit(name) {
        Some(managed) => managed,
        None => {
            absent = Managed::new(Loaded::unusable(LoadState::NotFound));
            &absent
        }
    };
    let look = Look { manager, name, managed, beside, usage: OnceCell::new(), drowsiness: OnceCell::new() };
    let entries = entries().filter(|entry| wanted(entry.name));
    entries.map(|entry| (entry.name, entry.read.value(&look))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn no_name_stands_in_the_table_twice() {
        let names: Vec<&str> = shapes().map(|shape| shape.name).collect();
        assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len());
    }
}
