//! JSON that strangers wrote, read strictly: bounded size and depth, no duplicate keys, nothing after the end.

use serde::de::{DeserializeOwned, DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use std::cell::Cell;
use std::collections::HashSet;
use std::fmt;

use super::ImageError;

/// Largest document, as the OCI distribution specification suggests for manifests.
pub const SIZE_MAX: u64 = 4 << 20;
/// Values in a document: those of an index of thousands of images. Each takes far more memory than text, `{"":0}` a
/// hundred times as much.
const VALUES_MAX: usize = 1 << 17;

/// Reads a document; `name` is what errors call it.
///
/// # Errors
/// When the text is not strictly JSON, or not what `T` wants.
pub fn parse<T: DeserializeOwned>(bytes: &[u8], name: &str) -> Result<T, ImageError> {
    if bytes.len() as u64 > SIZE_MAX {
        return Err(ImageError::document(name, "is larger than 4 MiB"));
    }
    let refuse = |error: serde_json::Error| ImageError::document(name, error.to_string());
    check(bytes).map_err(refuse)?;
    serde_json::from_slice(bytes).map_err(refuse)
}

/// Checks what a type would not see, and keeps nothing of it. serde_json itself stops at a depth of 128.
///
/// # Errors
/// When the text is not strictly JSON.
pub fn check(bytes: &[u8]) -> serde_json::Result<()> {
    let mut json = serde_json::Deserializer::from_slice(bytes);
    Strict(&Cell::new(VALUES_MAX)).deserialize(&mut json)?;
    json.end()
}

/// A value of so many at most, in which no object names a key twice.
#[derive(Clone, Copy)]
struct Strict<'a>(&'a Cell<usize>);

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        let left = self.0.get().checked_sub(1);
        self.0.set(left.ok_or_else(|| D::Error::custom(format_args!("has more than {VALUES_MAX} values")))?);
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, _value: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _value: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _value: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _value: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _value: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<(), A::Error> {
        while access.next_element_seed(self)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<(), A::Error> {
        let mut keys = HashSet::new();
        while let Some(key) = access.next_key::<String>()? {
            if keys.contains(&key) {
                return Err(A::Error::custom(format_args!("the key \"{key}\" stands twice")));
            }
            keys.insert(key);
            access.next_value_seed(self)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    fn reason(text: &str) -> String {
        parse::<Value>(text.as_bytes(), "manifest").unwrap_err().to_string()
    }

    #[test]
    fn what_parsers_disagree_on_is_refused() {
        assert!(reason(r#"{"layers":[],"layers":[]}"#).contains("\"layers\" stands twice"));
        assert!(reason(r#"{"a":{"b":1,"b":2}}"#).contains("\"b\" stands twice"));
        for text in ["{} {}", "\u{feff}{}", "{\"a\":01}", "{'a':1}", "", "{\"a\":1,}"] {
            assert!(reason(text).starts_with("manifest: "), "{text}");
        }
        assert!(reason(&"[".repeat(200_000)).contains("recursion limit"));
        assert!(reason(&" ".repeat(SIZE_MAX as usize + 1)).contains("4 MiB"));
        let many = format!("[{}0]", "{\"\":0},".repeat(VALUES_MAX / 2));
        assert!(reason(&many).contains("more than 131072 values"));
    }
}
