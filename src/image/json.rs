//! JSON that strangers wrote, read strictly: bounded size and depth, no duplicate keys, nothing after the end.

use serde::de::{DeserializeOwned, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::fmt;

use super::ImageError;

/// Largest document, as the OCI distribution specification suggests for manifests.
pub const SIZE_MAX: u64 = 4 << 20;

/// Reads a document; `name` is what errors call it.
///
/// # Errors
/// When the text is not strictly JSON, or not what `T` wants.
pub fn parse<T: DeserializeOwned>(bytes: &[u8], name: &str) -> Result<T, ImageError> {
    if bytes.len() as u64 > SIZE_MAX {
        return Err(ImageError::document(name, "is larger than 4 MiB"));
    }
    // serde_json itself stops at a depth of 128.
    let Strict(value) =
        serde_json::from_slice(bytes).map_err(|error| ImageError::document(name, error.to_string()))?;
    serde_json::from_value(value).map_err(|error| ImageError::document(name, error.to_string()))
}

/// A value in which no object names a key twice.
#[derive(Debug, Serialize)]
struct Strict(Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(StrictVisitor).map(Self)
    }
}

struct StrictVisitor;

impl<'de> Visitor<'de> for StrictVisitor {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(Strict(value)) = access.next_element()? {
            values.push(value);
        }
        Ok(values.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut object = serde_json::Map::new();
        while let Some((key, Strict(value))) = access.next_entry::<String, Strict>()? {
            if object.contains_key(&key) {
                return Err(A::Error::custom(format_args!("the key \"{key}\" stands twice")));
            }
            object.insert(key, value);
        }
        Ok(object.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
    }
}
