//! How a value with a grammar of its own is read as a field of a schema.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserialize, Deserializer, Visitor};
use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;
use std::ops::RangeInclusive;
use std::str::FromStr;

/// Something that is read from a word of a unit file.
pub trait Written: Sized {
    /// What a reader expects, with its article: `a time span such as "5min 20s"`.
    const EXPECTED: &'static str;
    /// Whether a bare number will do.
    const NUMBERS: Numbers = Numbers::Refused;

    /// Reads it.
    ///
    /// # Errors
    /// What is wrong, and perhaps what was meant.
    fn read(text: &str) -> Result<Self, ValueError>;

    /// What a boolean without quotes means, where it means something.
    fn of_boolean(_value: bool) -> Option<Self> {
        None
    }
}

/// Whether a value may be written as a number without quotes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Numbers {
    /// A whole one.
    Taken,
    /// Any.
    Decimal,
    /// It is a string or a boolean.
    Boolean,
    /// It is a string.
    Refused,
}

/// Reads a whole number that has bounds; otherwise says that the text is not it, and what to write.
pub(super) fn number_within<N: FromStr + PartialOrd>(
    text: &str,
    bounds: RangeInclusive<N>,
    kind: &str,
    help: &str,
) -> Result<N, ValueError> {
    let number = text.parse().ok().filter(|number| bounds.contains(number));
    number.ok_or_else(|| ValueError::new(format!("\"{text}\" is {kind}")).with_help(help))
}

/// Why a text is not the value that it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ValueError {
    message: String,
    help: Option<String>,
}

impl ValueError {
    /// What is wrong.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), help: None }
    }

    /// The same, with what to do.
    #[must_use]
    pub fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// What is wrong.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// What was meant or what to do; may be empty.
    pub fn help(&self) -> &str {
        self.help.as_deref().unwrap_or_default()
    }
}

impl fmt::Display for ValueError {
    /// The help is the second line, as [`crate::unit::decode`] reads it.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message.replace('\n', "\\n"))?;
        match &self.help {
            Some(help) => write!(formatter, "\n{}", help.replace('\n', "\\n")),
            None => Ok(()),
        }
    }
}

/// A value of a grammar, as a field of a schema.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Text<T>(pub T);

impl<'de, T: Written> Deserialize<'de> for Text<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TextVisitor(PhantomData)).map(Text)
    }
}

struct TextVisitor<T>(PhantomData<T>);

impl<T: Written> TextVisitor<T> {
    fn number<E: de::Error>(self, text: &str, found: de::Unexpected<'_>) -> Result<T, E> {
        match T::NUMBERS {
            Numbers::Taken | Numbers::Decimal => T::read(text).map_err(E::custom),
            Numbers::Refused | Numbers::Boolean => Err(E::invalid_type(found, &self)),
        }
    }
}

impl<T: Written> Visitor<'_> for TextVisitor<T> {
    type Value = T;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(T::EXPECTED)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        T::read(text).map_err(E::custom)
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<T, E> {
        T::of_boolean(value).ok_or_else(|| E::invalid_type(de::Unexpected::Bool(value), &self))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<T, E> {
        self.number(&value.to_string(), de::Unexpected::Unsigned(value))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<T, E> {
        self.number(&value.to_string(), de::Unexpected::Signed(value))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<T, E> {
        let found = de::Unexpected::Float(value);
        match T::NUMBERS {
            Numbers::Decimal if value.is_finite() => self.number(&value.to_string(), found),
            _ => Err(E::invalid_type(found, &self)),
        }
    }
}

impl<T: Written> JsonSchema for Text<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        Cow::Borrowed(T::EXPECTED)
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        match T::NUMBERS {
            Numbers::Taken => json_schema!({ "type": ["string", "integer"], "title": T::EXPECTED }),
            Numbers::Decimal => json_schema!({ "type": ["string", "number"], "title": T::EXPECTED }),
            Numbers::Boolean => json_schema!({ "type": ["string", "boolean"], "title": T::EXPECTED }),
            Numbers::Refused => json_schema!({ "type": "string", "title": T::EXPECTED }),
        }
    }
}
