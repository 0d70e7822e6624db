//! What of systemd's descriptor store is used: it has a limit, and does not tell what it did not take.

use super::fdstore::StoredDescriptor;
use std::collections::BTreeSet;

/// The names in the store.
#[derive(Debug)]
pub(super) struct Account {
    limit: usize,
    names: BTreeSet<StoredDescriptor>,
    before: Before,
}

/// What was in the store before this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Before {
    /// Nobody has said.
    Unknown,
    /// It is among the names.
    Counted,
}

/// Whether one more finds room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Room {
    /// It does.
    Free,
    /// In the place of this one.
    InPlaceOf(StoredDescriptor),
    /// It does not.
    Full,
}

impl Default for Account {
    fn default() -> Self {
        Self { limit: usize::MAX, names: BTreeSet::new(), before: Before::Unknown }
    }
}

impl Account {
    /// A store that has these already, and a limit where one is known.
    pub(super) fn open(limit: Option<usize>, names: impl Iterator<Item = StoredDescriptor>) -> Self {
        let limit = limit.unwrap_or(usize::MAX);
        Self { limit, names: names.collect(), before: Before::Counted }
    }

    pub(super) fn limit(&self) -> usize {
        self.limit
    }

    /// Enters a descriptor. A process can be found by its number and the time of its start, so that all others go
    /// before its pidfd.
    pub(super) fn enter(&mut self, name: &StoredDescriptor) -> Room {
        if self.names.contains(name) {
            return Room::Free;
        }
        let mut room = Room::Free;
        if self.names.len() >= self.limit {
            let is_process = |name: &&StoredDescriptor| matches!(name, StoredDescriptor::Process { .. });
            let process = self.names.iter().find(is_process).filter(|_| !is_process(&name)).cloned();
            let Some(process) = process else { return Room::Full };
            self.names.remove(&process);
            room = Room::InPlaceOf(process);
        }
        self.names.insert(name.clone());
        room
    }

    /// Whether it may be there.
    pub(super) fn may_have(&self, name: &StoredDescriptor) -> bool {
        self.before == Before::Unknown || self.names.contains(name)
    }

    /// Whether it may have been there.
    pub(super) fn leave(&mut self, name: &StoredDescriptor) -> bool {
        let may_have = self.may_have(name);
        self.names.remove(name);
        may_have
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::unit::name::UnitName;

    #[test]
    fn a_pidfd_gives_way_to_what_cannot_be_found_again() {
        let unit = |name: &str| UnitName::parse(name).unwrap();
        let process = |name: &str| StoredDescriptor::Process { unit: unit(name) };
        let output = |name: &str| StoredDescriptor::Output { unit: unit(name) };
        let mut account = Account::open(Some(3), std::iter::once(StoredDescriptor::Received));
        let (one, two) = ("one.container", "two.container");
        assert_eq!(account.enter(&process(one)), Room::Free);
        assert_eq!(account.enter(&output(one)), Room::Free);
        assert_eq!(account.enter(&process(one)), Room::Free, "the same is kept once");
        assert_eq!(account.enter(&process(two)), Room::Full);
        assert_eq!(account.enter(&output(two)), Room::InPlaceOf(process(one)));
        assert_eq!(account.enter(&StoredDescriptor::Booted), Room::Full);
        account.leave(&output(one));
        assert_eq!(account.enter(&process(two)), Room::Free);
    }
}
