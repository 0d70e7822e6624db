//! Which ids of the host a container has.

use crate::launch::step::IdRange;
use crate::manager::machine::Loaded;
use crate::paths::Paths;
use crate::store::{self, Store, StoreError};
use crate::unit::ids;
use crate::unit::model::{Container, Unit, UserNamespace};
use crate::unit::name::UnitName;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::Range;
use std::rc::Rc;

/// The ranges that units in memory name, which no other unit is given.
#[derive(Debug, Clone, Default)]
pub(super) struct Ranges(Rc<RefCell<BTreeMap<UnitName, store::IdRange>>>);

impl Ranges {
    /// Takes notice of units that were read.
    pub(super) fn note(&self, units: &BTreeMap<UnitName, Loaded>) {
        let mut known = self.0.borrow_mut();
        for (name, loaded) in units {
            match loaded.unit.as_deref().and_then(ids::named).and_then(range) {
                Some(range) => drop(known.insert(name.clone(), range)),
                None => drop(known.remove(name)),
            }
        }
    }

    /// Whoever names ids that others have is told so where the files are read, not only at the start.
    pub(super) fn warn(&self, store: &Store) {
        for (unit, range) in self.0.borrow().iter() {
            if let Err(error) = store.check_id_range(unit.as_str(), *range) {
                tracing::warn!(SAMPAN_UNIT = %unit, "{error}; it cannot start");
            }
        }
    }

    /// The ids of a container that starts, from now on its own.
    pub(super) fn of(
        &self,
        unit: &Unit,
        container: &Container,
        paths: &Paths,
        store: &Store,
    ) -> Result<IdRange, StoreError> {
        let range = match container.security.user_namespace {
            UserNamespace::Host => store::IdRange { base: 0, length: 0 },
            UserNamespace::Auto => store.id_range(unit.name.as_str(), || self.reserved(paths))?,
            UserNamespace::Range { base, length } => {
                let range = store::IdRange { base, length };
                store.claim_id_range(unit.name.as_str(), range)?;
                // Those of the unit that listens are meant for all of its instances.
                if container.accepted.is_none() {
                    self.tell_of_others(unit, range);
                }
                range
            }
        };
        Ok(IdRange { base: range.base, length: range.length })
    }

    fn reserved(&self, paths: &Paths) -> Vec<store::IdRange> {
        let users = ids::subordinates(paths).into_iter().filter_map(|users| range(users.ids));
        self.0.borrow().values().copied().chain(users).collect()
    }

    /// Both have said that they want it so: that can be meant.
    fn tell_of_others(&self, unit: &Unit, range: store::IdRange) {
        let known = self.0.borrow();
        let others = known.iter().filter(|(name, others)| **name != unit.name && others.overlaps(range));
        for (other, _) in others {
            let name = &unit.name;
            tracing::warn!(SAMPAN_UNIT = %name, "{name}: some of its ids ({range}) are those of {other}, too");
        }
    }
}

/// What reaches beyond the last id of the kernel ends there.
fn range(ids: Range<u64>) -> Option<store::IdRange> {
    let base = u32::try_from(ids.start).ok()?;
    let length = u32::try_from(ids.end.min(u64::from(u32::MAX)).checked_sub(ids.start)?).ok()?;
    (length > 0).then_some(store::IdRange { base, length })
}
