//! Units that are made for one start: `sampanctl run`. Their files stand in `/run/sampan/transient`, so that reloads
//! and a successor of this process find them as they find all others. A file goes with its unit: once that is down
//! and nobody holds it any more.

use super::discard::{discard_unit, discard_volumes};
use super::exec::pulls;
use super::{Manager, Note};
use crate::manager::machine::{
    Event, JobId, JobMode, LoadState, Loaded, Managed, Request, RequestError, Verb,
};
use crate::sys::readiness;
use crate::unit::name::{UnitKind, UnitName};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;
use tokio::sync::mpsc::UnboundedSender;
use tokio::task::JoinHandle;

/// A unit that is to be made and started.
#[derive(Debug)]
pub struct TransientRequest {
    /// Its name, which nobody has yet.
    pub unit: UnitName,
    /// The text of its file.
    pub definition: String,
    /// What becomes of jobs in the way.
    pub mode: JobMode,
    /// Standard input, output and error of the first run, instead of the journal.
    pub stdio: Option<[OwnedFd; 3]>,
    /// A stream socket: each byte that comes is the number of a signal for the main process, and its end stops the
    /// unit. While it is open the unit is held in memory, so that its holder can learn how it ended.
    pub leash: Option<OwnedFd>,
}

/// Why such a unit was not started.
#[derive(Debug, thiserror::Error)]
pub enum TransientError {
    /// Only containers are made for one start.
    #[error("Unit {0} cannot be transient: only containers that are no templates can.")]
    Kind(UnitName),
    /// The name is taken.
    #[error("Unit {0} was already loaded or has a unit file.")]
    Exists(UnitName),
    /// The text is no valid unit.
    #[error("Unit {unit} is not valid:\n{text}")]
    Invalid {
        /// The unit.
        unit: UnitName,
        /// All that is wrong with it.
        text: String,
    },
    /// The file cannot be written.
    #[error("{}: {source}", path.display())]
    File {
        /// Its path.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// There is no job for it.
    #[error(transparent)]
    Request(#[from] RequestError),
}

/// What clients hold of units, and have given them.
#[derive(Debug, Default)]
pub(super) struct Transients {
    /// For the first run, until it begins.
    stdio: BTreeMap<UnitName, [OwnedFd; 3]>,
    /// Units whose client has not let go of the leash, and the number of the leash: of two the later one counts.
    held: BTreeMap<UnitName, u64>,
    /// Those of them that go on when their client goes.
    loose: BTreeSet<UnitName>,
    leashes: u64,
}

/// What comes over a leash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tug {
    /// A signal.
    Signal(i32),
    /// It holds, and pulls no more.
    Loose,
    /// The end of the one that has this number.
    End(u64),
}

impl Transients {
    /// The streams of the run that begins.
    pub(super) fn take_stdio(&mut self, unit: &UnitName) -> Option<[OwnedFd; 3]> {
        self.stdio.remove(unit)
    }
}

impl Manager {
    /// Makes a unit and a job that starts it.
    ///
    /// # Errors
    /// When there is such a unit already, its text is not valid, or it cannot be started. Nothing is left of it then.
    pub fn start_transient(&mut self, request: TransientRequest) -> Result<JobId, TransientError> {
        let TransientRequest { unit, definition, mode, stdio, leash } = request;
        if unit.kind() != UnitKind::Container || unit.is_template() {
            return Err(TransientError::Kind(unit));
        }
        let known = self.ensure_loaded(&unit);
        if self.machine.unit(&known).is_some() {
            return Err(TransientError::Exists(unit));
        }
        let path = self.paths.transient_units().join(unit.file_name());
        write(&path, &definition).map_err(|source| TransientError::File { path: path.clone(), source })?;
        self.transients.stdio.extend(stdio.map(|stdio| (unit.clone(), stdio)));
        let started = self.start_made(&unit, mode);
        match (&started, leash) {
            (Err(_), _) => self.unmake(&unit, &path),
            (Ok(_), Some(leash)) => drop(self.put_on_leash(&unit, leash)),
            (Ok(_), None) => {}
        }
        started
    }

    /// Holds a unit that was made for one start by a leash; false when it is another.
    pub fn put_on_leash(&mut self, unit: &UnitName, leash: OwnedFd) -> bool {
        let own = self.is_transient(unit);
        if own {
            self.transients.leashes += 1;
            let number = self.transients.leashes;
            self.transients.held.insert(unit.clone(), number);
            drop(tokio::task::spawn_local(obey(leash, number, unit.clone(), self.notes.clone())));
        }
        own
    }

    fn start_made(&mut self, unit: &UnitName, mode: JobMode) -> Result<JobId, TransientError> {
        self.ensure_loaded(unit);
        if let Some(LoadState::Bad(text)) = self.machine.unit(unit).map(|managed| &managed.loaded.state) {
            return Err(TransientError::Invalid { unit: unit.clone(), text: text.clone() });
        }
        let request = Request { unit: unit.clone(), verb: Verb::Start, mode };
        self.machine.permits(&request)?;
        Ok(self.request(&request)?)
    }

    /// What has come over the leash of a unit.
    pub(super) fn tugged(&mut self, unit: UnitName, tug: Tug) {
        match tug {
            Tug::Signal(signal) => self.hand_on(&unit, signal),
            Tug::Loose => {
                self.transients.loose.insert(unit);
            }
            Tug::End(number) if self.transients.held.get(&unit) != Some(&number) => {}
            Tug::End(_) => {
                self.transients.held.remove(&unit);
                let loose = self.transients.loose.remove(&unit);
                if !loose && self.machine.unit(&unit).is_some_and(|managed| !managed.phase.is_down()) {
                    self.event(Event::StopRequested { unit: unit.clone() });
                }
                // It may have been held by this alone.
                self.changed.insert(unit);
            }
        }
    }

    /// Takes a unit that was made for one start out of memory, once it is down and not held.
    pub(super) fn forget_transient(&mut self, unit: &UnitName) {
        let Some(path) = self.transient_file(unit).map(Path::to_owned) else { return };
        let idle = self.machine.unit(unit).is_some_and(Managed::is_forgettable);
        if idle && !self.transients.held.contains_key(unit) {
            self.unmake(unit, &path);
        }
    }

    /// Whether a unit was made for one start.
    pub fn is_transient(&self, unit: &UnitName) -> bool {
        self.transient_file(unit).is_some()
    }

    fn transient_file(&self, unit: &UnitName) -> Option<&Path> {
        // An instance for a connection has the file of the unit that listens.
        let managed = self.machine.unit(unit).filter(|managed| managed.accepted().is_none())?;
        let fragment = managed.unit()?.fragment.as_deref()?;
        fragment.starts_with(self.paths.transient_units()).then_some(fragment)
    }

    /// Nobody gets the ids of files that are still there.
    fn release_after(&self, unit: &UnitName, removal: Option<JoinHandle<()>>, made: Option<SystemTime>) {
        let (unit, notes, volumes) = (unit.clone(), self.notes.clone(), self.store.volumes());
        tokio::task::spawn_local(async move {
            // They say themselves what they cannot remove.
            if let Some(removal) = removal {
                let _ = removal.await;
            }
            if let Some(made) = made {
                let unit = unit.clone();
                let _ = tokio::task::spawn_blocking(move || discard_volumes(&volumes, &unit, made)).await;
            }
            // The receiver lives as long as the loop.
            let _ = notes.send(Note::Discarded(unit));
        });
    }

    /// All of a forgotten unit is gone, and there may be another of its name by now, which has its ids.
    pub(super) fn release_ids(&self, unit: &UnitName) {
        let again = self.machine.unit(unit).is_some_and(|managed| managed.unit().is_some());
        if again || self.store.all_containers_dir().join(unit.as_str()).exists() {
            return;
        }
        if let Err(error) = self.store.release_id_range(unit.as_str()) {
            tracing::warn!(SAMPAN_UNIT = %unit, "{unit}: cannot be forgotten whole: {error}");
        }
    }

    /// Removes what a unit has on disk that is forgotten, with the volumes that have come with it since it was made.
    pub(super) fn discard_all_of(&self, unit: &UnitName, made: Option<SystemTime>) {
        let directory = self.store.all_containers_dir().join(unit.as_str());
        match discard_unit(&directory) {
            Ok(removal) => self.release_after(unit, removal, made),
            Err(error) => {
                let directory = directory.display();
                tracing::warn!(SAMPAN_UNIT = %unit, "{unit}: cannot be forgotten whole: {directory}: {error}");
            }
        }
    }

    fn unmake(&mut self, unit: &UnitName, path: &Path) {
        self.transients.stdio.remove(unit);
        let made = fs::metadata(path).and_then(|file| file.modified()).ok();
        if let Err(error) = fs::remove_file(path) {
            let path = path.display();
            tracing::warn!(SAMPAN_UNIT = %unit, "{unit}: cannot be forgotten whole: {path}: {error}");
        }
        self.discard_all_of(unit, made);
        self.aliases.retain(|_, meant| meant != unit);
        let gone = Loaded::unusable(LoadState::NotFound);
        self.event(Event::LoadedMore(BTreeMap::from([(unit.clone(), gone)])));
    }
}

/// The text can hold secrets.
fn write(path: &Path, text: &str) -> io::Result<()> {
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory)?;
    }
    let new = path.with_extension("toml.new");
    let mut file = fs::File::options().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
    file.write_all(text.as_bytes()).and_then(|()| fs::rename(&new, path)).inspect_err(|_| {
        // Half a file is of no use to anybody.
        let _ = fs::remove_file(&new);
    })
}

async fn obey(leash: OwnedFd, number: u64, unit: UnitName, notes: UnboundedSender<Note>) {
    // The receiver lives as long as the loop.
    let tell = |tug| drop(notes.send(Note::Leash(unit.clone(), tug)));
    if let Ok(readable) = readiness::watch_in_time(&leash).await {
        pulls(&readable, |number| tell(if number == 0 { Tug::Loose } else { Tug::Signal(number) })).await;
    }
    tell(Tug::End(number));
}
