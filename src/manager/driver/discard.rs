//! What a run leaves on disk that is of no use to anybody: out of the way at once, so that the next run has the place
//! and nobody meets it, and from the disk in the background, because it can be a lot.

use crate::launch::plan::PASSING;
use crate::store::volumes::Volumes;
use crate::store::{Store, StoreError};
use crate::sys::readiness::{SHORTAGE_INTERVAL, is_shortage};
use crate::sys::removal::remove_tree;
use crate::unit::model::Unit;
use crate::unit::name::UnitName;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;
use tokio::task::JoinHandle;

/// What it is called beside the directories of units, before a name of its own. No unit is called like this: its name
/// ends in its type.
const GONE: &str = "gone-";

/// How often something is tried to remove while there is no descriptor left for it. The manager's end waits for that.
const ATTEMPTS: u32 = 50;

/// Removes what a unit has in a directory below its own, and its own where that has nothing else.
pub(super) fn discard(directory: &Path) {
    if let Some(gone) = put_aside(directory) {
        drop(tokio::task::spawn_blocking(move || remove(&gone)));
    }
}

/// Removes all that a unit has which is forgotten: what is to be waited for, if it has something.
pub(super) fn discard_unit(directory: &Path) -> io::Result<Option<JoinHandle<()>>> {
    let Some(all) = directory.parent() else { return Ok(None) };
    let gone = gone_name(all);
    match fs::rename(directory, &gone) {
        Ok(()) => Ok(Some(tokio::task::spawn_blocking(move || remove(&gone)))),
        // It has never been started, or has left nothing.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Removes the volumes that an image wanted for a unit which is forgotten, and that have come with it: those that were
/// there before are somebody's.
pub(super) fn discard_volumes(volumes: &Volumes, unit: &UnitName, since: SystemTime) {
    let own = format!("{unit}@");
    let names = volumes.names().unwrap_or_default().into_iter().filter(|name| name.starts_with(&own));
    for name in names {
        let made = volumes.path(&name).ok().and_then(|path| path.metadata().ok()?.created().ok());
        if made.is_some_and(|made| made >= since)
            && let Err(error) = volumes.remove(&name, || Ok::<(), StoreError>(()))
        {
            tracing::warn!(SAMPAN_UNIT = %unit, "{unit}: cannot be forgotten whole: {error}");
        }
    }
}

/// Removes what runs have left that have not ended in order, below the directory of all units, and what a manager
/// before has put aside and did not get to. `is_used` tells of which units somebody uses it.
pub(super) fn discard_rest(containers: &Path, is_used: impl Fn(&OsStr) -> bool) {
    let mut gone = Vec::new();
    for entry in fs::read_dir(containers).into_iter().flatten().flatten() {
        let name = entry.file_name();
        if name.as_encoded_bytes().starts_with(GONE.as_bytes()) && !is_unit(&name) {
            gone.push(entry.path());
        } else if !is_used(&name) {
            gone.extend(PASSING.iter().filter_map(|passing| put_aside(&entry.path().join(passing))));
        }
    }
    if !gone.is_empty() {
        drop(tokio::task::spawn_blocking(move || gone.iter().for_each(|gone| remove(gone))));
    }
}

fn is_unit(name: &OsStr) -> bool {
    Path::new(name).extension().is_some()
}

/// Removes a unit's directory that was made for a launch which does not follow, unless it has something.
pub(super) fn unless_used(store: &Store, unit: &Unit) {
    let _ = fs::remove_dir(store.all_containers_dir().join(unit.name.as_str()));
}

fn gone_name(all: &Path) -> PathBuf {
    all.join(format!("{GONE}{}", uuid::Uuid::new_v4().simple()))
}

/// Where it has been put, if there was anything.
fn put_aside(directory: &Path) -> Option<PathBuf> {
    let unit = directory.parent()?;
    let gone = gone_name(unit.parent()?);
    let moved = fs::rename(directory, &gone);
    // What lasts is there as well, or somebody has put something there.
    let _ = fs::remove_dir(unit);
    moved.is_ok().then_some(gone)
}

fn remove(directory: &Path) {
    let mut attempts = 1..ATTEMPTS;
    let removed = loop {
        match remove_tree(directory) {
            Err(error) if is_shortage(&error) && attempts.next().is_some() => {
                std::thread::sleep(SHORTAGE_INTERVAL);
            }
            result => break result,
        }
    };
    if let Err(error) = removed {
        tracing::warn!("{}: cannot remove: {error}", directory.display());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(directory: &Path) -> Vec<String> {
        let entries = fs::read_dir(directory).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[tokio::test]
    async fn what_a_run_has_left_is_gone_at_once_and_what_lasts_stays() {
        let containers = tempfile::tempdir().unwrap();
        for name in ["web.container/ephemeral/work/work", "db.container/ephemeral", "db.container/persistent"]
        {
            fs::create_dir_all(containers.path().join(name)).unwrap();
        }
        discard(&containers.path().join("web.container/ephemeral"));
        discard(&containers.path().join("db.container/ephemeral"));
        discard(&containers.path().join("web.container/ephemeral"));
        let of_units = names(containers.path()).into_iter().filter(|name| !name.starts_with(GONE));
        assert_eq!(of_units.collect::<Vec<_>>(), ["db.container"]);
        assert_eq!(names(&containers.path().join("db.container")), ["persistent"]);
    }

    #[tokio::test]
    async fn what_a_forgotten_unit_had_is_out_of_the_way_before_it_is_removed() {
        let containers = tempfile::tempdir().unwrap();
        let unit = containers.path().join("run-1.container");
        for number in 0..1000 {
            fs::create_dir_all(unit.join(format!("persistent/upper/{number}"))).unwrap();
        }
        let removal = discard_unit(&unit).unwrap().unwrap();
        assert!(names(containers.path()).iter().all(|name| name.starts_with(GONE)));
        removal.await.unwrap();
        assert_eq!(names(containers.path()), Vec::<String>::new());
        assert!(discard_unit(&unit).unwrap().is_none());
    }

    #[test]
    fn what_a_crash_has_left_is_removed_and_nothing_else() {
        let containers = tempfile::tempdir().unwrap();
        let at = |name: &str| containers.path().join(name);
        for name in [
            "gone-1/work/work",
            "gone-x.container/persistent/upper",
            "web.container/ephemeral/upper",
            "old.container/ephemeral/upper",
            "old.container/persistent/upper",
            "ro.container/stand",
        ] {
            fs::create_dir_all(at(name)).unwrap();
        }
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async { discard_rest(containers.path(), |unit| unit == "web.container") });
        // What is removed in the background ends with it.
        drop(runtime);
        assert_eq!(names(containers.path()), ["gone-x.container", "old.container", "web.container"]);
        assert_eq!(names(&at("web.container")), ["ephemeral"]);
        assert_eq!(names(&at("old.container")), ["persistent"]);
    }
}
