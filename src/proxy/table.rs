//! Things by number. A place is used again, and a key of what was there before finds nothing.

/// Names one thing in a table as long as it is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Key {
    place: u32,
    generation: u32,
}

impl Key {
    /// Generations that keys tell apart: they fit in a number with the place and a few bits more.
    const GENERATIONS: u32 = 1 << 24;

    /// As a number below 2⁵⁶.
    pub(super) fn number(self) -> u64 {
        u64::from(self.generation) << 32 | u64::from(self.place)
    }

    /// What [`Self::number`] has given.
    pub(super) fn of_number(number: u64) -> Self {
        let half = |bits: u64| u32::try_from(bits & u64::from(u32::MAX)).unwrap_or_default();
        Self { place: half(number), generation: half(number >> 32) % Self::GENERATIONS }
    }
}

#[derive(Debug)]
struct Place<T> {
    generation: u32,
    thing: Option<T>,
}

/// Things, and places that are free.
#[derive(Debug)]
pub(super) struct Table<T> {
    places: Vec<Place<T>>,
    free: Vec<u32>,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self { places: Vec::new(), free: Vec::new() }
    }
}

impl<T> Table<T> {
    /// Puts one in.
    pub(super) fn insert(&mut self, thing: T) -> Key {
        let free = self.free.pop().and_then(|place| Some((place, self.places.get_mut(place as usize)?)));
        if let Some((place, free)) = free {
            free.thing = Some(thing);
            return Key { place, generation: free.generation };
        }
        // There are never more things than descriptors, which have an `int`.
        let place = u32::try_from(self.places.len()).unwrap_or(u32::MAX);
        self.places.push(Place { generation: 0, thing: Some(thing) });
        Key { place, generation: 0 }
    }

    /// Gives one, if it is there.
    pub(super) fn get_mut(&mut self, key: Key) -> Option<&mut T> {
        let place = self.places.get_mut(key.place as usize)?;
        place.thing.as_mut().filter(|_| place.generation == key.generation)
    }

    /// Takes one out.
    pub(super) fn remove(&mut self, key: Key) -> Option<T> {
        let place = self.places.get_mut(key.place as usize)?;
        if place.generation != key.generation {
            return None;
        }
        let thing = place.thing.take()?;
        place.generation = (place.generation + 1) % Key::GENERATIONS;
        self.free.push(key.place);
        Some(thing)
    }

    /// What is in it.
    pub(super) fn keys(&self) -> Vec<Key> {
        let places = (0..).zip(&self.places).filter(|(_, place)| place.thing.is_some());
        places.map(|(number, place)| Key { place: number, generation: place.generation }).collect()
    }

    /// Whether nothing is in it.
    pub(super) fn is_empty(&self) -> bool {
        self.free.len() == self.places.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_finds_its_own_thing_only() {
        let mut table = Table::default();
        let (first, second) = (table.insert("first"), table.insert("second"));
        assert_eq!(table.remove(first), Some("first"));
        let third = table.insert("third");
        assert_eq!(table.get_mut(first), None);
        assert_eq!(table.remove(first), None);
        assert_eq!(table.get_mut(third), Some(&mut "third"));
        assert_eq!(table.keys(), [third, second]);
        assert_eq!(Key::of_number(third.number()), third);
        assert!(third.number() < 1 << 56 && !table.is_empty());
        assert_eq!(
            (table.remove(second), table.remove(third), table.is_empty()),
            (Some("second"), Some("third"), true)
        );
    }
}
