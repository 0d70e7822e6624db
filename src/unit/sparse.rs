//! Parts that say nothing in most units: these take no memory then. A manager has thousands of units.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::ops::{Deref, DerefMut};

/// What has a default that everybody can look at.
pub trait Standard: Default + PartialEq + 'static {
    /// The default.
    fn standard() -> &'static Self;
}

/// Makes types [`Standard`] that have a [`Default`].
macro_rules! standard {
    ($($type:ty),+ $(,)?) => {$(
        impl $crate::unit::sparse::Standard for $type {
            fn standard() -> &'static Self {
                static STANDARD: std::sync::LazyLock<$type> = std::sync::LazyLock::new(Default::default);
                &STANDARD
            }
        }
    )+};
}
pub(crate) use standard;

/// A value that is the default in most places, and is read, written and compared as if it stood here itself. It has
/// memory of its own from when it is first borrowed to be changed.
#[derive(Clone, Default)]
pub struct Sparse<T>(Option<Box<T>>);

impl<T: Standard> Sparse<T> {
    /// Gives the memory back of what is the default after a change.
    pub fn settle(&mut self) {
        self.0.take_if(|value| **value == *T::standard());
    }

    /// The value by itself.
    pub fn into_inner(self) -> T {
        self.0.map_or_else(T::default, |value| *value)
    }
}

impl<T: Standard> From<T> for Sparse<T> {
    fn from(value: T) -> Self {
        Self((value != *T::standard()).then(|| Box::new(value)))
    }
}

impl<T: Standard> Deref for Sparse<T> {
    type Target = T;

    fn deref(&self) -> &T {
        match &self.0 {
            Some(value) => value,
            None => T::standard(),
        }
    }
}

impl<T: Standard> DerefMut for Sparse<T> {
    fn deref_mut(&mut self) -> &mut T {
        self.0.get_or_insert_default()
    }
}

impl<T: Standard> PartialEq for Sparse<T> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl<T: Standard + Eq> Eq for Sparse<T> {}

impl<T: Standard + fmt::Debug> fmt::Debug for Sparse<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(formatter)
    }
}

impl<T: Standard + Serialize> Serialize for Sparse<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (**self).serialize(serializer)
    }
}

impl<'de, T: Standard + Deserialize<'de>> Deserialize<'de> for Sparse<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        T::deserialize(deserializer).map(Self::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::unit::model::Resources;

    fn takes_memory(resources: &Sparse<Resources>) -> bool {
        resources.0.is_some()
    }

    #[test]
    fn only_what_is_not_the_default_takes_memory() {
        let mut resources = Sparse::from(Resources::default());
        assert!(!takes_memory(&resources));
        resources.memory_max = Some(1);
        assert!(takes_memory(&resources));
        assert_eq!(resources.clone().into_inner(), Resources { memory_max: Some(1), ..Resources::default() });
        resources.memory_max = None;
        assert_eq!(resources, Sparse::default(), "they say the same");
        resources.settle();
        assert!(!takes_memory(&resources));
    }

    #[test]
    fn a_record_has_the_value_as_if_it_stood_there_itself() {
        for resources in [Resources::default(), Resources { tasks_max: Some(7), ..Resources::default() }] {
            let sparse = Sparse::from(resources.clone());
            let text = serde_json::to_string(&sparse).unwrap();
            assert_eq!(text, serde_json::to_string(&resources).unwrap());
            let read: Sparse<Resources> = serde_json::from_str(&text).unwrap();
            assert_eq!(read, sparse);
            assert_eq!(takes_memory(&read), takes_memory(&sparse));
        }
    }
}
