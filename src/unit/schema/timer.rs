//! `[timer]`: when a unit starts by itself.

use crate::unit::value::{Calendar, Text, TimeSpan, Written};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::value::SeqAccessDeserializer;
use serde::de::{self, Deserializer, IntoDeserializer, Visitor};
use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

/// `[timer]`.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TimerTable {
    /// Times of the calendar, as in systemd.time(7): one or several.
    pub on_calendar: Several<Calendar>,
    /// Times after the timer was armed: one or several.
    pub on_active: Several<TimeSpan>,
    /// Times after the host was booted: one or several.
    pub on_boot: Several<TimeSpan>,
    /// Times after the manager was first started since: one or several.
    pub on_startup: Several<TimeSpan>,
    /// Times after the container was last started: one or several.
    pub on_unit_active: Several<TimeSpan>,
    /// Times after the container last ended: one or several.
    pub on_unit_inactive: Several<TimeSpan>,
    /// Whether the container is also started when the clock of the host is set.
    pub on_clock_change: Option<bool>,
    /// Whether the container is also started when the time zone of the host is changed.
    pub on_timezone_change: Option<bool>,
    /// How much later than it should the timer may elapse, so that several elapse at once.
    pub accuracy: Option<Text<TimeSpan>>,
    /// The longest delay that is added by chance.
    pub randomized_delay: Option<Text<TimeSpan>>,
    /// Whether that delay is the same each time, on each host another one.
    pub fixed_random_delay: Option<bool>,
    /// Whether a time of the calendar that passed while the timer was not armed is made up for.
    pub persistent: Option<bool>,
    /// Whether a host that is suspended wakes for the timer.
    pub wake_system: Option<bool>,
    /// Whether the unit stays active when its timer has nothing left to elapse on.
    pub remain_after_elapse: Option<bool>,
    /// Whether times of the calendar that pass while the container runs are left out.
    pub defer_reactivation: Option<bool>,
}

/// One value, or a list of them.
#[derive(Debug, Clone)]
pub struct Several<T>(pub Vec<Text<T>>);

impl<T> Default for Several<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, T: Written> Deserialize<'de> for Several<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SeveralVisitor(PhantomData))
    }
}

struct SeveralVisitor<T>(PhantomData<T>);

impl<T: Written> SeveralVisitor<T> {
    fn one<'de, D: Deserializer<'de>>(value: D) -> Result<Several<T>, D::Error> {
        Ok(Several(vec![Text::deserialize(value)?]))
    }
}

impl<'de, T: Written> Visitor<'de> for SeveralVisitor<T> {
    type Value = Several<T>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}, or a list of such", T::EXPECTED)
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Several<T>, E> {
        Self::one(value.into_deserializer())
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Several<T>, E> {
        Self::one(value.into_deserializer())
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Several<T>, E> {
        Self::one(value.into_deserializer())
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Several<T>, E> {
        Self::one(value.into_deserializer())
    }

    fn visit_seq<A: de::SeqAccess<'de>>(self, items: A) -> Result<Several<T>, A::Error> {
        Vec::deserialize(SeqAccessDeserializer::new(items)).map(Several)
    }
}

impl<T: Written> JsonSchema for Several<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        Cow::Borrowed(T::EXPECTED)
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let one = Text::<T>::json_schema(generator);
        json_schema!({ "anyOf": [one, { "type": "array", "items": one }] })
    }
}
