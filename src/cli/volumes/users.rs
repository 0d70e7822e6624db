//! Who uses volumes: unit files, enabled or not, and containers that run.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use crate::manager::shelf;
use crate::paths::Paths;
use crate::unit::load::{self, Loaded};
use crate::unit::model::{Body, Container, MountSource};
use crate::unit::name::UnitName;
use crate::unit::search::{Found, Search};
use crate::unit::state;

/// Who uses a volume.
#[derive(Debug, Clone)]
pub(super) enum User {
    /// A container has it mounted.
    Running(UnitName),
    /// A unit file names it, or it is one that the unit's image wants.
    File {
        /// The unit.
        unit: UnitName,
        /// Its file.
        file: Option<PathBuf>,
    },
}

impl fmt::Display for User {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Running(unit) => write!(formatter, "{unit} runs with it"),
            Self::File { unit, file } => {
                let file = file.as_ref().map(|file| file.display().to_string()).unwrap_or_default();
                write!(formatter, "{unit} names it ({file})")
            }
        }
    }
}

/// What is known of the users of all volumes.
pub(super) struct Users {
    units: Vec<Use>,
    running: BTreeMap<String, Vec<UnitName>>,
}

/// A unit and the volumes that it names.
struct Use {
    unit: UnitName,
    file: Option<PathBuf>,
    names: Names,
}

enum Names {
    Listed(Vec<String>),
    /// The file cannot be read as a unit: whatever stands in it in quotes may be meant.
    Text(String),
}

impl Users {
    /// Looks at all unit files and at what runs now.
    pub(super) fn look(paths: &Paths) -> Self {
        let search = Search::new(paths);
        let templates = search.names().into_iter().filter(UnitName::is_template);
        let templates = templates
            .filter_map(|name| Some((name.clone(), load::load_one(paths, &state::sample(&name)).loaded?)));
        let units = load::load_all(paths).units.into_iter().chain(templates);
        let units = units.filter_map(|(unit, loaded)| of_unit(&search, unit, loaded)).collect();
        let mut running: BTreeMap<String, Vec<UnitName>> = BTreeMap::new();
        for record in shelf::all(paths) {
            for volume in record.facts.volumes {
                running.entry(volume).or_default().push(record.unit.clone());
            }
        }
        Self { units, running }
    }

    /// The users of one volume, those that run first.
    pub(super) fn of(&self, volume: &str) -> Vec<User> {
        let running = self.running.get(volume).into_iter().flatten().cloned().map(User::Running);
        let files = self.units.iter().filter(|user| user.names(volume));
        let files = files.map(|user| User::File { unit: user.unit.clone(), file: user.file.clone() });
        running.chain(files).collect()
    }
}

impl Use {
    fn names(&self, volume: &str) -> bool {
        let wanted_by_image = volume.rsplit_once('@').is_some_and(|(unit, _)| unit == self.unit.as_str());
        wanted_by_image
            || match &self.names {
                Names::Listed(names) => names.iter().any(|name| name == volume),
                Names::Text(text) => {
                    text.contains(&format!("\"{volume}\"")) || text.contains(&format!("'{volume}'"))
                }
            }
    }
}

fn of_unit(search: &Search, unit: UnitName, loaded: Loaded) -> Option<Use> {
    match loaded {
        Loaded::Good(good) => match &good.body {
            Body::Container(container) => {
                let names = Names::Listed(volumes(container).map(str::to_owned).collect());
                Some(Use { unit, file: good.fragment.clone(), names })
            }
            Body::Target => None,
        },
        Loaded::Bad(_) => match search.find(&unit)? {
            Found::File(file) | Found::Linked { file, .. } => {
                let names = Names::Text(text(&file)?);
                Some(Use { unit, file: Some(file), names })
            }
            _ => None,
        },
        Loaded::Masked => None,
    }
}

fn text(file: &Path) -> Option<String> {
    Some(String::from_utf8_lossy(&std::fs::read(file).ok()?).into_owned())
}

fn volumes(container: &Container) -> impl Iterator<Item = &str> {
    container.mounts.values().filter_map(|mount| match &mount.source {
        MountSource::Volume { name, .. } => Some(name.as_str()),
        _ => None,
    })
}
