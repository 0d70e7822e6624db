//! What units leave behind, removed when somebody asks for it, as `systemctl clean` does.

use super::Manager;
use super::discard::discard;
use crate::manager::machine::{Managed, TimerStage};
use crate::store::private;
use crate::unit::name::UnitName;
use std::fs;
use std::io;

/// What is removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Leftover {
    /// What can be made again: copies of images.
    Cache,
    /// What cannot: a persistent root, and when a persistent timer elapsed last.
    State,
}

impl Leftover {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Cache, Self::State];

    /// systemd's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cache => "cache",
            Self::State => "state",
        }
    }
}

/// Why nothing is removed.
#[derive(Debug, thiserror::Error)]
pub enum CleanError {
    /// Somebody may be about to use it.
    #[error("Unit {0} is active or has a job: stop it first.")]
    Busy(UnitName),
    /// There is nothing.
    #[error("Unit {0} has left nothing of this behind.")]
    Nothing(UnitName),
    /// A file cannot be removed.
    #[error("{0}: {1}.")]
    Io(String, io::Error),
}

impl Manager {
    /// Removes what a unit that is down has left.
    ///
    /// # Errors
    /// When it is not down, has left nothing, or that cannot be removed.
    pub fn clean(&self, unit: &UnitName, what: &[Leftover]) -> Result<(), CleanError> {
        let is_up =
            |managed: &Managed| !managed.phase.is_down() || managed.schedule.stage != TimerStage::Dead;
        let busy = self.machine.unit(unit).is_some_and(is_up);
        if busy || self.machine.jobs().values().any(|job| job.unit == *unit) {
            return Err(CleanError::Busy(unit.clone()));
        }
        let directory = self.store.all_containers_dir().join(unit.as_str());
        let mut found = false;
        for what in what {
            let place = match what {
                Leftover::Cache => private::directory(&directory),
                Leftover::State => directory.join("persistent"),
            };
            if place.symlink_metadata().is_ok() {
                found = true;
                // Another thread removes it.
                discard(&place);
            }
            if *what == Leftover::State {
                found |= self.remove_stamp(unit)?;
            }
        }
        if found { Ok(()) } else { Err(CleanError::Nothing(unit.clone())) }
    }

    fn remove_stamp(&self, unit: &UnitName) -> Result<bool, CleanError> {
        let stamp = self.paths.timer_stamp(unit.as_str());
        match fs::remove_file(&stamp) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(CleanError::Io(stamp.display().to_string(), error)),
        }
    }
}
