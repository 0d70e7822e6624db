//! Our objects: what a path stands for, and what is below it. None is kept: an object is what it stands for.

use super::error::BusError;
use super::interface::Interface;
use super::wire::{MANAGER_PATH, decoded, unit_path};
use super::{job, manager, transfer, unit};
use crate::manager::driver::Manager;
use crate::unit::name::UnitName;

/// What an object path stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Object {
    /// `/org/sampan1`
    Manager,
    /// `/org/sampan1/unit/NAME`
    Unit(UnitName),
    /// `/org/sampan1/job/N`
    Job(u32),
    /// `/org/sampan1/transfer/N`
    Transfer(u32),
}

/// The interfaces of all kinds of objects.
pub(super) struct Interfaces {
    pub(super) manager: Interface<()>,
    pub(super) unit: Interface<UnitName>,
    pub(super) job: Interface<u32>,
    pub(super) transfer: Interface<u32>,
}

impl Interfaces {
    pub(super) fn new() -> Self {
        Self {
            manager: manager::interface(),
            unit: unit::interface(),
            job: job::interface(),
            transfer: transfer::interface(),
        }
    }
}

impl Object {
    /// The object at a path.
    pub(super) fn find(path: &str) -> Result<Self, BusError> {
        let unknown = || BusError::UnknownObject(format!("Unknown object {path}."));
        let rest = path.strip_prefix(MANAGER_PATH).ok_or_else(unknown)?;
        if rest.is_empty() {
            return Ok(Self::Manager);
        }
        let below = rest.strip_prefix('/').and_then(|below| below.split_once('/'));
        let (kind, name) = below.ok_or_else(unknown)?;
        let number = || name.parse().map_err(|_| unknown());
        match kind {
            "unit" => {
                let name = decoded(name).ok_or_else(unknown)?;
                Ok(Self::Unit(UnitName::parse(&name).map_err(|_| unknown())?))
            }
            "job" => Ok(Self::Job(number()?)),
            "transfer" => Ok(Self::Transfer(number()?)),
            _ => Err(unknown()),
        }
    }

    /// The interface of the object.
    pub(super) fn describe(&self, interfaces: &Interfaces, xml: &mut String) {
        match self {
            Self::Manager => interfaces.manager.describe(xml),
            Self::Unit(_) => interfaces.unit.describe(xml),
            Self::Job(_) => interfaces.job.describe(xml),
            Self::Transfer(_) => interfaces.transfer.describe(xml),
        }
    }
}

/// Which objects are below a path; none of them is described there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Folder {
    Root,
    Org,
    Sampan,
    Units,
    Jobs,
    Transfers,
}

impl Folder {
    /// The folder at a path.
    pub(super) fn find(path: &str) -> Option<Self> {
        Some(match path {
            "/" => Self::Root,
            "/org" => Self::Org,
            MANAGER_PATH => Self::Sampan,
            "/org/sampan1/unit" => Self::Units,
            "/org/sampan1/job" => Self::Jobs,
            "/org/sampan1/transfer" => Self::Transfers,
            _ => return None,
        })
    }

    /// The names of what is in it.
    pub(super) fn children(self, manager: &Manager) -> Vec<String> {
        let words = |words: &[&str]| words.iter().map(ToString::to_string).collect();
        match self {
            Self::Root => words(&["org"]),
            Self::Org => words(&["sampan1"]),
            Self::Sampan => words(&["unit", "job", "transfer"]),
            Self::Units => {
                let name = |name: &UnitName| {
                    unit_path(name.as_str()).rsplit('/').next().unwrap_or_default().to_owned()
                };
                manager.machine().units().keys().map(name).collect()
            }
            Self::Jobs => manager.machine().jobs().keys().map(|id| id.0.to_string()).collect(),
            Self::Transfers => manager.transfers().all().map(|transfer| transfer.id.to_string()).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_stand_for_objects() {
        let find = |path: &str| Object::find(path).ok();
        let unit = UnitName::parse("web@blue.container").unwrap();
        assert_eq!(find(unit_path("web@blue.container").as_str()), Some(Object::Unit(unit)));
        assert_eq!(find("/org/sampan1"), Some(Object::Manager));
        assert_eq!(find("/org/sampan1/job/12"), Some(Object::Job(12)));
        for path in [
            "/",
            "/org/sampan1x",
            "/org/sampan1xjob/12",
            "/org/sampan1/job/x",
            "/org/sampan1/unit/_zz",
            "/org/sampan1/unit",
        ] {
            assert_eq!(find(path), None, "{path}");
        }
    }
}
