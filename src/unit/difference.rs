//! What two versions of a unit differ in, in the words of unit files: `container.image`, `socket.http.listen`.

use super::model::Unit;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// One key with other values. Where there is no value, nobody has given one, and none is the default.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Difference {
    /// `container.image`.
    pub key: String,
    /// Before.
    pub old: Option<String>,
    /// After.
    pub new: Option<String>,
}

/// Keys of a container that are looked at when they are needed: a change has its effect at once.
const LIVE: &[&str] = &[
    "restart",
    "restart_delay",
    "restart_delay_max",
    "restart_steps",
    "restart_prevent_exit_status",
    "restart_force_exit_status",
    "success_exit_status",
    "start_limit",
    "start_timeout",
    "pull",
    "reload",
];

impl Difference {
    /// Whether a container that runs has it only after a restart.
    pub fn needs_restart(&self) -> bool {
        match self.key.split_once('.') {
            Some(("unit" | "install", _)) | None => false,
            Some(("container", key)) => {
                !LIVE.iter().any(|live| key == *live || key.starts_with(&format!("{live}.")))
            }
            Some(_) => true,
        }
    }
}

/// All differences, by key.
pub fn between(old: &Unit, new: &Unit) -> Vec<Difference> {
    let (old, new) = (keys(old), keys(new));
    let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let difference = |key: &String| Difference {
        key: key.clone(),
        old: old.get(key).cloned(),
        new: new.get(key).cloned(),
    };
    names.into_iter().map(difference).filter(|difference| difference.old != difference.new).collect()
}

/// Every key that has a value.
fn keys(unit: &Unit) -> BTreeMap<String, String> {
    let mut keys = BTreeMap::new();
    // A unit is written to records in the same way.
    let Ok(Value::Object(unit)) = serde_json::to_value(unit) else { return keys };
    for (name, value) in &unit {
        match (name.as_str(), value) {
            ("name" | "fragment" | "drop_ins", _) => {}
            ("body", Value::Object(body)) => {
                let container = body.get("Container").and_then(Value::as_object);
                for (name, value) in container.into_iter().flatten() {
                    flatten(&table(name), value, &mut keys);
                }
            }
            ("dependencies" | "handling", value) => flatten("unit", value, &mut keys),
            ("install", value) => flatten("install", value, &mut keys),
            (name, value) => flatten(&format!("unit.{name}"), value, &mut keys),
        }
    }
    keys
}

/// The way of a field of the model in a file.
fn table(field: &str) -> String {
    match field {
        "sockets" => "socket".to_owned(),
        "mounts" => "mount".to_owned(),
        "start" => "activation.start".to_owned(),
        "idle" => "activation.idle".to_owned(),
        "hostname" => "network.hostname".to_owned(),
        "network" => "network.mode".to_owned(),
        "kind" => "container.type".to_owned(),
        "resources" | "security" | "health" | "credentials" | "timer" | "update" => field.to_owned(),
        _ => format!("container.{field}"),
    }
}

fn flatten(way: &str, value: &Value, keys: &mut BTreeMap<String, String>) {
    if let Some(text) = plain(value) {
        keys.insert(way.to_owned(), text);
        return;
    }
    // Neither null nor an empty list says anything.
    let Value::Object(table) = value else { return };
    for (name, value) in table {
        let bare = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte));
        let name = if bare { name.clone() } else { format!("\"{name}\"") };
        flatten(&format!("{way}.{name}"), value, keys);
    }
}

/// A value of one line; a choice with a value is that value, a span of time is written as such.
fn plain(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::Bool(value) => Some(value.to_string()),
        Value::Number(number) if number.as_u64() == Some(u64::MAX) => Some("infinity".to_owned()),
        Value::Number(number) => Some(number.to_string()),
        Value::String(text) => Some(format!("\"{text}\"")),
        Value::Array(items) if items.is_empty() => None,
        Value::Array(_) => Some(value.to_string()),
        Value::Object(table) => match (span(value), table.iter().next()) {
            (Some(span), _) => Some(span),
            (None, Some((variant, value)))
                if table.len() == 1 && variant.starts_with(|first: char| first.is_ascii_uppercase()) =>
            {
                plain(value)
            }
            _ => None,
        },
    }
}

fn span(value: &Value) -> Option<String> {
    let (seconds, nanoseconds) = (value.get("secs")?.as_u64()?, value.get("nanos")?.as_u64()?);
    let span = Duration::new(seconds, u32::try_from(nanoseconds).ok()?);
    Some(if span == Duration::MAX { "infinity".to_owned() } else { format!("{span:?}") })
}
