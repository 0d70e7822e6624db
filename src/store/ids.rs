//! Ranges of ids for the units' user namespaces: allocated once, kept for good, but for units of one start.
//!
//! The file `ids` has a line `UNIT BASE` for each, and `UNIT BASE LENGTH` for one that a unit names itself. A range is on
//! disk before it is used and is never given to another unit, so that files a container wrote never belong to a
//! different one. Only what was made for one start gives its range back, with all that it wrote in the store.

use rustix::fs::FlockOperation;
use std::fmt;
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

impl IdRange {
    fn end(self) -> u64 {
        u64::from(self.base) + u64::from(self.length)
    }

    /// Whether an id is in both.
    pub fn overlaps(self, other: Self) -> bool {
        u64::from(self.base) < other.end() && u64::from(other.base) < self.end()
    }
}

impl fmt::Display for IdRange {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}", self.base, self.length)
    }
}

/// A line of the file.
struct Line<'f> {
    unit: &'f str,
    range: IdRange,
    by: By,
}

/// Who has chosen a range.
#[derive(Clone, Copy, PartialEq, Eq)]
enum By {
    Store,
    Unit,
}

impl Store {
    /// The range of a unit; allocated when it has none yet, out of reach of those that are reserved.
    ///
    /// # Errors
    /// When the file cannot be read or written, or no range is left.
    pub fn id_range(
        &self,
        unit: &str,
        reserved: impl FnOnce() -> Vec<IdRange>,
    ) -> Result<IdRange, StoreError> {
        valid(unit)?;
        if let Some(range) = find(&self.read_ids()?, unit, By::Store) {
            return Ok(range);
        }
        let _lock = self.take_lock("ids.lock", FlockOperation::LockExclusive)?;
        let ids = self.read_ids()?;
        match find(&ids, unit, By::Store) {
            Some(range) => Ok(range),
            None => self.allocate(&ids, unit, &reserved()),
        }
    }

    /// Keeps a range that a unit names from being given to others.
    ///
    /// # Errors
    /// When another unit has been given some of it, or the file cannot be read or written.
    pub fn claim_id_range(&self, unit: &str, range: IdRange) -> Result<(), StoreError> {
        valid(unit)?;
        if find(&self.read_ids()?, unit, By::Unit) == Some(range) {
            return Ok(());
        }
        let _lock = self.take_lock("ids.lock", FlockOperation::LockExclusive)?;
        let ids = self.read_ids()?;
        taken(&ids, unit, range)?;
        let is_other = |line: &&str| read(line).is_none_or(|line| line.unit != unit || line.by != By::Unit);
        let mut left: String = ids.lines().filter(is_other).map(|line| format!("{line}\n")).collect();
        left.push_str(&format!("{unit} {} {}\n", range.base, range.length));
        self.replace_ids(&left)
    }

    /// Whether nobody else has been given ids of a range that a unit names.
    ///
    /// # Errors
    /// When another unit has been given some of it, or the file cannot be read.
    pub fn check_id_range(&self, unit: &str, range: IdRange) -> Result<(), StoreError> {
        taken(&self.read_ids()?, unit, range)
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

    fn allocate(&self, ids: &str, unit: &str, reserved: &[IdRange]) -> Result<IdRange, StoreError> {
        let none = || StoreError::NoRange(unit.to_owned(), self.path("ids"));
        let highest = lines(ids).filter(|line| line.by == By::Store).map(|line| line.range.end()).max();
        let mut base = highest.unwrap_or(u64::from(FIRST));
        loop {
            let range = u32::try_from(base).ok().map(|base| IdRange { base, length: LENGTH });
            let range = range.filter(|range| range.end() <= u64::from(LAST) + 1).ok_or_else(none)?;
            let others = lines(ids).map(|line| line.range).chain(reserved.iter().copied());
            let Some(end) = others.filter(|other| other.overlaps(range)).map(IdRange::end).max() else {
                self.replace_ids(&format!("{ids}{unit} {}\n", range.base))?;
                return Ok(range);
            };
            base = end.next_multiple_of(u64::from(LENGTH));
        }
    }

    fn replace_ids(&self, ids: &str) -> Result<(), StoreError> {
        replace(&self.path("ids"), &self.path("ids.new"), ids.as_bytes())?;
        self.sync_directory(&self.root)
    }
}

fn valid(unit: &str) -> Result<(), StoreError> {
    match unit.is_empty() || unit.contains(char::is_whitespace) {
        true => Err(StoreError::Name(unit.to_owned())),
        false => Ok(()),
    }
}

fn taken(ids: &str, unit: &str, range: IdRange) -> Result<(), StoreError> {
    let given = lines(ids).filter(|line| line.by == By::Store && line.unit != unit);
    match given.into_iter().find(|line| line.range.overlaps(range)) {
        Some(line) => Err(StoreError::RangeTaken {
            unit: unit.to_owned(),
            range,
            owner: line.unit.to_owned(),
            owned: line.range,
        }),
        None => Ok(()),
    }
}

fn find(ids: &str, unit: &str, by: By) -> Option<IdRange> {
    lines(ids).find(|line| line.unit == unit && line.by == by).map(|line| line.range)
}

fn lines(ids: &str) -> impl Iterator<Item = Line<'_>> {
    ids.lines().filter_map(read)
}

fn read(line: &str) -> Option<Line<'_>> {
    let mut words = line.split(' ');
    let (unit, base) = (words.next()?, words.next()?.parse().ok()?);
    let (length, by) = match words.next() {
        Some(length) => (length.parse().ok()?, By::Unit),
        None => (LENGTH, By::Store),
    };
    Some(Line { unit, range: IdRange { base, length }, by })
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
        let web = store.id_range("web.container", Vec::new).unwrap();
        let db = store.id_range("db.container", Vec::new).unwrap();
        assert_eq!((web.base, db.base), (524_288, 524_288 + 65_536));
        assert_eq!(Store::open(&paths).unwrap().id_range("web.container", Vec::new).unwrap(), web);
        assert!(store.id_range("a b", Vec::new).is_err());
    }

    #[test]
    fn a_range_that_is_given_back_is_free() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::create(&Paths::default().with_store(&directory.path().join("store"))).unwrap();
        let web = store.id_range("web.container", Vec::new).unwrap();
        let once = store.id_range("once.container", Vec::new).unwrap();
        store.release_id_range("once.container").unwrap();
        store.release_id_range("nobody.container").unwrap();
        assert_eq!(store.id_range("web.container", Vec::new).unwrap(), web);
        assert_eq!(store.id_range("again.container", Vec::new).unwrap(), once);
    }

    #[test]
    fn ranges_end_where_systemd_says() {
        let directory = tempfile::tempdir().unwrap();
        let paths = Paths::default().with_store(&directory.path().join("store"));
        let store = Store::create(&paths).unwrap();
        std::fs::write(store.path("ids"), format!("last {}\n", LAST + 1 - LENGTH)).unwrap();
        assert!(matches!(store.id_range("web", Vec::new), Err(StoreError::NoRange(..))));
    }

    #[test]
    fn no_range_is_given_that_others_have() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::create(&Paths::default().with_store(&directory.path().join("store"))).unwrap();
        let range = |base, length| IdRange { base, length };
        store.claim_id_range("db.container", range(FIRST + 10, 5)).unwrap();
        // Of a user in /etc/subuid, and of a unit that has not run yet.
        let reserved = || vec![range(FIRST + 2 * LENGTH - 1, 2), range(FIRST + 4 * LENGTH, LENGTH)];
        let web = store.id_range("web.container", reserved).unwrap();
        assert_eq!(web.base, FIRST + 3 * LENGTH);
        let shop = store.id_range("shop.container", reserved).unwrap();
        assert_eq!(shop.base, FIRST + 5 * LENGTH);
        assert_eq!(store.id_range("web.container", reserved).unwrap(), web);
    }

    #[test]
    fn a_unit_cannot_name_what_another_was_given() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::create(&Paths::default().with_store(&directory.path().join("store"))).unwrap();
        let web = store.id_range("web.container", Vec::new).unwrap();
        let range = |base, length| IdRange { base, length };
        for bad in [web, range(1, u32::MAX - 1), range(web.base - 1, 2), range(web.base + LENGTH - 1, 1)] {
            let error = store.claim_id_range("db.container", bad).unwrap_err().to_string();
            assert!(error.contains("web.container has 524288:65536"), "{error}");
            assert!(store.check_id_range("db.container", bad).is_err());
        }
        // Its own, and what is beside it.
        store.claim_id_range("web.container", web).unwrap();
        for good in [range(web.base - 1, 1), range(web.base + LENGTH, 1)] {
            store.claim_id_range("db.container", good).unwrap();
        }
        // The last counts alone.
        let ids = store.read_ids().unwrap();
        assert_eq!(ids.lines().filter(|line| line.starts_with("db.container ")).count(), 1, "{ids}");
        store.release_id_range("db.container").unwrap();
        assert!(!store.read_ids().unwrap().contains("db.container"));
    }
}
