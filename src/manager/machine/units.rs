//! All units in memory, by name.

use super::unit::Managed;
use crate::unit::name::UnitName;
use std::collections::BTreeMap;

/// A map of units. Each is a block of its own: in a node of a B-tree, which has room for eleven values and is half
/// empty, it would take almost twice its size.
#[derive(Debug, Default, Clone)]
pub struct Units(BTreeMap<UnitName, Box<Managed>>);

impl Units {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether there is one of this name.
    pub fn contains_key(&self, name: &UnitName) -> bool {
        self.0.contains_key(name)
    }

    /// The one of this name.
    pub fn get(&self, name: &UnitName) -> Option<&Managed> {
        self.0.get(name).map(Box::as_ref)
    }

    /// All of them, in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&UnitName, &Managed)> {
        self.0.iter().map(|(name, managed)| (name, &**managed))
    }

    /// Their names.
    pub fn keys(&self) -> impl Iterator<Item = &UnitName> {
        self.0.keys()
    }

    /// What is known of them.
    pub fn values(&self) -> impl Iterator<Item = &Managed> {
        self.0.values().map(Box::as_ref)
    }

    pub(super) fn get_mut(&mut self, name: &UnitName) -> Option<&mut Managed> {
        self.0.get_mut(name).map(Box::as_mut)
    }

    pub(super) fn insert(&mut self, name: UnitName, managed: Managed) {
        self.0.insert(name, Box::new(managed));
    }

    pub(super) fn remove(&mut self, name: &UnitName) -> Option<Managed> {
        self.0.remove(name).map(|managed| *managed)
    }
}
