//! Maps of which most have one entry or two: a B-tree would give each of them room for eleven.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::BTreeMap;

/// A map by name, in the order of the names, that takes as much memory as it has entries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Few<V>(Box<[(String, V)]>);

impl<V> Few<V> {
    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The value of a name.
    pub fn get(&self, name: &str) -> Option<&V> {
        self.place(name).ok().map(|place| &self.0[place].1)
    }

    /// All entries.
    pub fn iter(&self) -> impl Iterator<Item = (&String, &V)> {
        self.0.iter().map(|(name, value)| (name, value))
    }

    /// All names.
    pub fn keys(&self) -> impl Iterator<Item = &String> {
        self.0.iter().map(|(name, _)| name)
    }

    /// All values.
    pub fn values(&self) -> impl Iterator<Item = &V> {
        self.0.iter().map(|(_, value)| value)
    }

    /// All values, to be changed.
    pub fn values_mut(&mut self) -> impl Iterator<Item = &mut V> {
        self.0.iter_mut().map(|(_, value)| value)
    }

    /// Enters a value, in place of the one that the name had.
    pub fn insert(&mut self, name: String, value: V) {
        let mut entries = std::mem::take(&mut self.0).into_vec();
        match entries.binary_search_by(|(other, _)| other.cmp(&name)) {
            Ok(place) => entries[place].1 = value,
            Err(place) => entries.insert(place, (name, value)),
        }
        self.0 = entries.into();
    }

    fn place(&self, name: &str) -> Result<usize, usize> {
        self.0.binary_search_by(|(other, _)| other.as_str().cmp(name))
    }
}

impl<V> Default for Few<V> {
    fn default() -> Self {
        Self(Box::default())
    }
}

impl<V> FromIterator<(String, V)> for Few<V> {
    fn from_iter<I: IntoIterator<Item = (String, V)>>(entries: I) -> Self {
        Self(entries.into_iter().collect::<BTreeMap<_, _>>().into_iter().collect())
    }
}

impl<V> IntoIterator for Few<V> {
    type Item = (String, V);
    type IntoIter = std::vec::IntoIter<(String, V)>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_vec().into_iter()
    }
}

impl<V: Serialize> Serialize for Few<V> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

impl<'de, V: Deserialize<'de>> Deserialize<'de> for Few<V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        BTreeMap::deserialize(deserializer).map(Self::from_iter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_a_map() {
        let entries =
            [("web", 1), ("admin", 2), ("web", 3), ("log", 4)].map(|(name, value)| (name.to_owned(), value));
        let map: BTreeMap<String, i32> = entries.clone().into_iter().collect();
        let few: Few<i32> = entries.clone().into_iter().collect();
        assert!(few.iter().eq(&map) && few.keys().eq(map.keys()) && few.values().eq(map.values()));
        assert_eq!(
            (few.len(), few.get("admin"), few.get("x"), few.get("log")),
            (3, Some(&2), None, Some(&4))
        );
        let mut inserted = Few::default();
        assert!(inserted.is_empty());
        entries.into_iter().for_each(|(name, value)| inserted.insert(name, value));
        assert_eq!(inserted, few);
        let text = serde_json::to_string(&few).unwrap();
        assert_eq!(text, serde_json::to_string(&map).unwrap());
        assert_eq!(serde_json::from_str::<Few<i32>>(&text).unwrap(), few);
        assert!(few.into_iter().eq(map));
    }
}
