//! Keys that are understood but not in effect yet: they are passed over with a warning.

use super::report::Report;
use super::tree::{Entry, Node, Value};

/// A key or a whole table that is not in effect yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Later {
    /// The way to it; `*` is any name.
    pub way: &'static [&'static str],
    /// Values that say what happens anyway, as written in TOML.
    pub harmless: &'static [&'static str],
}

const fn later(way: &'static [&'static str], harmless: &'static [&'static str]) -> Later {
    Later { way, harmless }
}

/// All of them.
pub const LATER: &[Later] = &[
    later(&["network", "publish"], &["{}"]),
    later(&["network", "dns"], &["[]"]),
    later(&["network", "dns_search"], &["[]"]),
    later(&["network", "dns_options"], &["[]"]),
    later(&["network", "extra_hosts"], &["{}"]),
    later(&["network", "addresses"], &["[]"]),
    later(&["network", "aliases"], &["[]"]),
    later(&["network", "interfaces"], &["[]"]),
    later(&["network", "macvlan"], &["[]"]),
    later(&["network", "ipvlan"], &["[]"]),
    later(&["update"], &["{policy=none}", "{}"]),
];

/// Reports each key of the tree that is not in effect yet.
pub fn report(report: &mut Report<'_>) {
    for later in LATER {
        let Some(entry) = report.read().find(later.way) else { continue };
        if later.harmless.contains(&plain(&entry.node).as_str()) {
            continue;
        }
        let name = written(later.way, entry);
        report.warning(later.way, format!("{name} is not in effect yet"), "");
    }
}

/// Whether a key of the schema is not in effect yet.
pub fn is_later(way: &[&str]) -> bool {
    LATER.iter().any(|later| way.starts_with(later.way))
}

fn written(way: &[&str], entry: &Entry) -> String {
    let last = way.last().copied().unwrap_or_default();
    if way.len() == 1 && entry.node.table().is_some() { format!("[{last}]") } else { format!("\"{last}\"") }
}

/// A value as text, to compare it with harmless ones.
fn plain(node: &Node) -> String {
    match &node.value {
        Value::String(text) => text.clone(),
        Value::Integer(value) => value.to_string(),
        Value::Float(value) => value.to_string(),
        Value::Boolean(value) => value.to_string(),
        Value::Datetime => String::new(),
        Value::Array(items) => format!("[{}]", items.iter().map(plain).collect::<Vec<_>>().join(",")),
        Value::Table(table) => {
            let entries: Vec<_> =
                table.iter().map(|(key, entry)| format!("{key}={}", plain(&entry.node))).collect();
            format!("{{{}}}", entries.join(","))
        }
    }
}
