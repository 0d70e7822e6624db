//! Keys that are understood but not in effect yet. Most are passed over with a warning; those that promise
//! safety, or without which the unit would do another thing than it says, are errors.

use super::report::Report;
use super::tree::{Entry, Node, Value};

/// What becomes of a key that is not in effect yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The unit is loaded without it.
    PassedOver,
    /// The unit is not loaded; the text says what to do.
    Refused(&'static str),
}

/// A key or a whole table that is not in effect yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Later {
    /// The way to it; `*` is any name.
    pub way: &'static [&'static str],
    /// Values that say what happens anyway, as written in TOML.
    pub harmless: &'static [&'static str],
    /// What becomes of another value.
    pub verdict: Verdict,
}

const fn warn(way: &'static [&'static str], harmless: &'static [&'static str]) -> Later {
    Later { way, harmless, verdict: Verdict::PassedOver }
}

const fn refuse(
    way: &'static [&'static str],
    harmless: &'static [&'static str],
    help: &'static str,
) -> Later {
    Later { way, harmless, verdict: Verdict::Refused(help) }
}

/// All of them.
pub const LATER: &[Later] = &[
    refuse(&["container", "share"], &["true"], "images always share equal files: leave the key out"),
    warn(&["unit", "requires_mounts_for"], &["[]"]),
    warn(&["unit", "wants_mounts_for"], &["[]"]),
    warn(&["activation", "idle_timeout"], &["infinity"]),
    warn(&["activation", "idle_action"], &["stop"]),
    refuse(&["security", "apparmor_profile"], &[""], "the payload would run unconfined: leave the key out"),
    refuse(&["security", "selinux_label"], &[""], "the payload would run unconfined: leave the key out"),
    warn(&["network", "publish"], &["{}"]),
    warn(&["network", "dns"], &["[]"]),
    warn(&["network", "dns_search"], &["[]"]),
    warn(&["network", "dns_options"], &["[]"]),
    warn(&["network", "extra_hosts"], &["{}"]),
    warn(&["network", "addresses"], &["[]"]),
    warn(&["network", "aliases"], &["[]"]),
    warn(&["network", "interfaces"], &["[]"]),
    warn(&["network", "macvlan"], &["[]"]),
    warn(&["network", "ipvlan"], &["[]"]),
    warn(&["update"], &["{policy=none}", "{}"]),
];

/// Reports each key of the tree that is not in effect yet.
pub fn report(report: &mut Report<'_>) {
    for later in LATER {
        let Some(entry) = report.read().find(later.way) else { continue };
        if later.harmless.contains(&plain(&entry.node).as_str()) {
            continue;
        }
        let name = written(later.way, entry);
        match later.verdict {
            Verdict::PassedOver => report.warning(later.way, format!("{name} is not in effect yet"), ""),
            Verdict::Refused(help) => report.error(later.way, format!("{name} is not supported yet"), help),
        }
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
