//! Ranges of ids for the units' user namespaces: allocated once, kept for good, but for units of one start.
//!
//! The file `ids` has a line `UNIT BASE` for each. A range is on disk before it is used and is never given to
//! another unit, so that files a container wrote never belong to a different one. Only what was made for one start
//! gives its range back, with all that it wrote in the store.

use rustix::fs::FlockOperation;
use std::fs::File;
use std::path::Path;

use super::Store;
use super::error::{Context, StoreError};

/// The first and last id that systemd leaves to containers (its `UIDS-GIDS` document).
const FIRST: u32 = 524_288;
const LAST: u32 = 1_879_048_191;
/// Ids in one range.
const LENGTH: u32 = 65_536;

/// A range of user and group ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IdRange {
    /// The first id.
    pub base: u32,
    /// How many there are.
    pub length: u32,
}

impl Store {
    /// The range of a unit; allocated when it has none yet.
    ///
    /// # Errors
    /// When the file cannot be read or written, or no range is left.
    pub fn id_range(&self, unit: &str) -> Result<IdRange, StoreError> {
        if unit.is_empty() || unit.contains(char::is_whitespace) {
            return Err(StoreError::Name(unit.to_owned()));
        }
        if let Some(range) = find(&self.read_ids()?, unit) {
            return Ok(range);
        }
        let _lock = self.take_lock("ids.lock", FlockOperation::LockExclusive)?;
        let ids = self.read_ids()?;
        match find(&ids, unit) {
            Some(range) => Ok(range),
            None => self.allocate(&ids, unit),
        }
    }

    /// Gives back the range of a unit that leaves no files behind.
    ///
    /// # Errors
    /// When the file cannot be read or written.
    pub fn release_id_range(&self, unit: &str) -> Result<(), StoreError> {
        let _lock = self.take_lock("ids.lock", FlockOperation::LockExclusive)?;
        let ids = self.read_ids()?;
        let is_other = |line: &&str| line.split_once(' ').is_none_or(|(name, _)| name != unit);
        let left: String = ids.lines().filter(is_other).map(|line| format!("{line}\n")).collect();
        if left == ids {
            return Ok(());
        }
        replace(&self.path("ids"), &self.path("ids.new"), left.as_bytes())
    }

    fn read_ids(&self) -> Result<String, StoreError> {
        let path = self.path("ids");
        match std::fs::read_to_string(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(String::new()),
            result => result.context("read", &path),
        }
    }

    fn allocate(&self, ids: &str, unit: &str) -> Result<IdRange, StoreError> {
        let path = self.path("ids");
        let highest = lines(ids).map(|(_, base)| base).max();
        let base = highest.map_or(Some(FIRST), |base| base.checked_add(LENGTH));
        let base = base
            .filter(|base| *base <= LAST - (LENGTH - 1))
            .ok_or_else(|| StoreError::NoRange(unit.to_owned(), path.clone()))?;
        let new = self.path("ids.new");
        replace(&path, &new, format!("{ids}{unit} {base}\n").as_bytes())?;
        self.sync_directory(&self.root)?;
        Ok(IdRange { base, length: LENGTH })
    }
}

fn find(ids: &str, unit: &str) -> Option<IdRange> {
    lines(ids).find(|(name, _)| *name == unit).map(|(_, base)| IdRange { base, length: LENGTH })
}

fn lines(ids: &str) -> impl Iterator<Item = (&str, u32)> {
    ids.lines()
        .filter_map(|line| line.split_once(' '))
        .filter_map(|(unit, base)| Some((unit, base.parse().ok()?)))
}

/// Puts new content in a file's place, whole or not at all.
pub(super) fn replace(path: &Path, new: &Path, content: &[u8]) -> Result<(), StoreError> {
    use std::io::Write as _;
    let mut file = File::create(new).context("create", new)?;
    file.write_all(content).context("write", new)?;
    file.sync_all().context("sync", new)?;
    std::fs::rename(new, path).context("replace", path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::paths::Paths;

    #[test]
    fn a_unit_keeps_its_range() {
        let directory = tempfile::tempdir().unwrap();
        let paths = Paths::default().with_store(&directory.path().join("store"));
        let store = Store::create(&paths).unwrap();
        let web = store.id_range("web.container").unwrap();
        let db = store.id_range("db.container").unwrap();
        assert_eq!((web.base, db.base), (524_288, 524_288 + 65_536));
        assert_eq!(Store::open(&paths).unwrap().id_range("web.container").unwrap(), web);
        assert!(store.id_range("a b").is_err());
    }

    #[test]
    fn a_range_that_is_given_back_is_free() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::create(&Paths::default().with_store(&directory.path().join("store"))).unwrap();
        let web = store.id_range("web.container").unwrap();
        let once = store.id_range("once.container").unwrap();
        store.release_id_range("once.container").unwrap();
        store.release_id_range("nobody.container").unwrap();
        assert_eq!(store.id_range("web.container").unwrap(), web);
        assert_eq!(store.id_range("again.container").unwrap(), once);
    }

    #[test]
    fn ranges_end_where_systemd_says() {
        let directory = tempfile::tempdir().unwrap();
        let paths = Paths::default().with_store(&directory.path().join("store"));
        let store = Store::create(&paths).unwrap();
        std::fs::write(store.path("ids"), format!("last {}\n", LAST + 1 - LENGTH)).unwrap();
        assert!(matches!(store.id_range("web"), Err(StoreError::NoRange(..))));
    }
}
