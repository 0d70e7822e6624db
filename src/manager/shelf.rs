//! Where records are kept: one JSON file for each unit in `/run/sampan/state`, replaced by rename, so that a reader
//! sees the old or the new one. A record that finds no space there goes to systemd's descriptor store.

use super::record::{FORMAT, Record};
use crate::paths::Paths;
use crate::systemd::fdstore::StoredDescriptor;
use crate::systemd::notify::ServiceManager;
use crate::unit::name::UnitName;
use rustix::fs::{MemfdFlags, memfd_create};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, Permissions};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::SystemTime;

/// The records of all units, as this process keeps them.
#[derive(Debug)]
pub struct Shelf {
    directory: PathBuf,
    service: Rc<ServiceManager>,
    /// What each record says that was written last, as a hash: the same is not written again.
    written: BTreeMap<UnitName, u64>,
    /// Units whose records are in systemd's store.
    stored: BTreeSet<UnitName>,
}

impl Shelf {
    /// A shelf on which nothing has been put yet.
    pub fn new(paths: &Paths, service: Rc<ServiceManager>) -> Self {
        Self { directory: paths.state(), service, written: BTreeMap::new(), stored: BTreeSet::new() }
    }

    /// The store of systemd has a record of this unit.
    pub fn found_stored(&mut self, unit: UnitName) {
        self.stored.insert(unit);
    }

    /// Keeps the record of a unit, where it says something new, or removes it. What cannot be kept is told.
    pub fn keep(&mut self, unit: &UnitName, record: Option<&Record>) {
        if let Err(error) = self.try_keep(unit, record) {
            tracing::warn!(
                SAMPAN_UNIT = %unit,
                "{}: cannot keep the record of {unit}: {error}",
                self.directory.display()
            );
        }
    }

    fn try_keep(&mut self, unit: &UnitName, record: Option<&Record>) -> io::Result<()> {
        let Some(record) = record else {
            self.written.remove(unit);
            self.unstore(unit);
            return remove(&self.path(unit));
        };
        let bytes = serde_json::to_vec(record)?;
        let mut hasher = DefaultHasher::new();
        bytes.hash(&mut hasher);
        if self.written.get(unit) == Some(&hasher.finish()) {
            return Ok(());
        }
        match self.write(unit, &bytes) {
            Ok(()) => self.unstore(unit),
            Err(error) => self.store(unit, &bytes, &error)?,
        }
        self.written.insert(unit.clone(), hasher.finish());
        Ok(())
    }

    fn path(&self, unit: &UnitName) -> PathBuf {
        self.directory.join(format!("{unit}.json"))
    }

    fn write(&self, unit: &UnitName, bytes: &[u8]) -> io::Result<()> {
        let new = self.directory.join(format!(".{unit}.json.new"));
        let written = std::fs::write(&new, bytes);
        written.and_then(|()| std::fs::rename(&new, self.path(unit))).inspect_err(|_| {
            // Half a record is of no use to anybody.
            let _ = std::fs::remove_file(&new);
        })
    }

    /// Memory of a memfd is limited by no file system.
    fn store(&mut self, unit: &UnitName, bytes: &[u8], why: &io::Error) -> io::Result<()> {
        if self.stored.is_empty() {
            tracing::warn!(
                SAMPAN_UNIT = %unit,
                "{}: {why}, keeping the record of {unit}, and others that change, in systemd's descriptor store",
                self.directory.display()
            );
        }
        let mut memory = File::from(memfd_create("record", MemfdFlags::CLOEXEC)?);
        memory.write_all(bytes)?;
        let name = StoredDescriptor::Record { unit: unit.clone() };
        self.service.store(&name, memory.as_fd()).map_err(io::Error::other)?;
        self.stored.insert(unit.clone());
        Ok(())
    }

    fn unstore(&mut self, unit: &UnitName) {
        if self.stored.remove(unit)
            && let Err(error) = self.service.remove(&StoredDescriptor::Record { unit: unit.clone() })
        {
            tracing::warn!("{error}, continuing");
        }
    }
}

/// Makes the directory. Records hold the units' environments, which are not for everybody.
///
/// # Errors
/// When `/run` cannot be written.
pub fn make(paths: &Paths) -> io::Result<()> {
    std::fs::create_dir_all(paths.state())?;
    std::fs::set_permissions(paths.state(), Permissions::from_mode(0o700))
}

fn remove(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// All records in files that can be read; the others are reported and passed over.
pub fn all(paths: &Paths) -> Vec<Record> {
    files(paths).into_iter().filter_map(|path| read(&path, &File::open(&path).ok()?)).collect()
}

/// The newest record of each unit, in files and in what systemd's store has kept; `None` where it says nothing.
pub fn newest(paths: &Paths, stored: Vec<(UnitName, OwnedFd)>) -> BTreeMap<UnitName, Option<Record>> {
    let stored =
        stored.into_iter().map(|(unit, memory)| (paths.state().join(format!("{unit}.json")), memory.into()));
    let files = files(paths).into_iter().filter_map(|path| Some((path.clone(), File::open(path).ok()?)));
    let mut records: BTreeMap<UnitName, (SystemTime, Option<Record>)> = BTreeMap::new();
    for (path, file) in stored.chain(files) {
        let record = read(&path, &file);
        let named = || UnitName::parse(path.file_stem()?.to_str()?).ok();
        let Some(unit) = record.as_ref().map(|record| record.unit.clone()).or_else(named) else { continue };
        let written = modified(&file);
        let is_better = |(time, other): &(SystemTime, Option<Record>)| {
            record.is_some() && (other.is_none() || *time <= written)
        };
        if records.get(&unit).is_none_or(is_better) {
            records.insert(unit, (written, record));
        }
    }
    records.into_iter().map(|(unit, (_, record))| (unit, record)).collect()
}

fn files(paths: &Paths) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(paths.state()) else { return Vec::new() };
    let names = entries.filter_map(|entry| Some(entry.ok()?.path()));
    names.filter(|path| path.extension().is_some_and(|extension| extension == "json")).collect()
}

fn modified(file: &File) -> SystemTime {
    file.metadata().and_then(|metadata| metadata.modified()).unwrap_or(SystemTime::UNIX_EPOCH)
}

/// From its beginning: where a memfd was written to its end, it stands there.
fn read(path: &Path, file: &File) -> Option<Record> {
    let mut bytes = vec![0; usize::try_from(file.metadata().ok()?.len()).ok()?];
    file.read_exact_at(&mut bytes, 0).ok()?;
    match serde_json::from_slice::<Record>(&bytes) {
        Ok(record) => {
            if record.format > FORMAT {
                let (format, path) = (record.format, path.display());
                tracing::info!("{path}: written by a newer sampand (format {format}), reading what is known");
            }
            Some(record)
        }
        Err(error) => {
            let salvaged = Record::salvage(&bytes);
            let rest = if salvaged.is_some() { "going on with the rest of" } else { "ignoring" };
            tracing::warn!("{}: {error}, {rest} this record", path.display());
            salvaged
        }
    }
}
