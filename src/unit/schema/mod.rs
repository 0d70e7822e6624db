//! A unit file as it is written: every table and key, with the sentence that the manual says about it.
//!
//! Every key may be missing, so that drop-ins can be merged and every fault be found; what must be there is
//! checked by [`super::lower`].

mod commands;
mod condition;
mod container;
mod health;
mod parts;
mod socket;
mod timer;

pub use commands::{CommandEntry, CommandLines, CommandList};
pub use condition::{ConditionTable, Many};
pub use container::{
    ActivationTable, ContainerTable, MountKind, MountTable, StartLimitTable, TriggerLimitTable,
};
pub use health::{HealthTable, StartupTable};
pub use parts::{
    Credential, IdleAction, LimitsTable, NetworkTable, ResourcesTable, SecurityTable, UpdatePolicy,
    UpdateTable,
};
pub use socket::SocketTable;
pub use timer::{Several, TimerTable};

use super::address::{Dependency, InstallName, InstallTarget};
use super::habit;
use super::model::CollectMode;
use super::value::{AbsolutePath, Text};
use schemars::{JsonSchema, Schema};
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::LazyLock;

/// A file `NAME.container.toml`.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ContainerFile {
    /// What the unit is and what it depends on.
    pub unit: UnitTable,
    /// What runs.
    pub container: ContainerTable,
    /// Sockets by name; the name goes to `LISTEN_FDNAMES`.
    pub socket: BTreeMap<String, SocketTable>,
    /// When the container runs.
    pub activation: ActivationTable,
    /// Mounts by their absolute path in the container.
    pub mount: BTreeMap<String, MountTable>,
    /// Limits, set on the scope as in systemd.resource-control(5).
    pub resources: ResourcesTable,
    /// Isolation.
    pub security: SecurityTable,
    /// Which network the container sees.
    pub network: NetworkTable,
    /// Secrets by name, as files below `$CREDENTIALS_DIRECTORY`.
    pub credentials: BTreeMap<String, Credential>,
    /// A check that the container is well.
    pub health: Option<HealthTable>,
    /// Starts the unit on time as well, as in systemd.timer(5).
    pub timer: TimerTable,
    /// Newer images.
    pub update: UpdateTable,
    /// What `sampanctl enable` does.
    pub install: InstallTable,
}

/// A file `NAME.target.toml`.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TargetFile {
    /// What the unit is and what it depends on.
    pub unit: UnitTable,
    /// What `sampanctl enable` does.
    pub install: InstallTable,
}

/// `[unit]`.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct UnitTable {
    /// What the unit is, in a few words.
    pub description: Option<String>,
    /// Addresses of documentation.
    pub documentation: Vec<String>,
    /// Units that are started with this one and whose failure fails it.
    pub requires: Vec<Text<Dependency>>,
    /// Units that must be up already when this one starts; otherwise its start fails.
    pub requisite: Vec<Text<Dependency>>,
    /// Units that are started with this one and whose failure is no matter.
    pub wants: Vec<Text<Dependency>>,
    /// As requires, and this unit stops when one of those stops for whatever reason.
    pub binds_to: Vec<Text<Dependency>>,
    /// Units whose stops and restarts are done to this one too.
    pub part_of: Vec<Text<Dependency>>,
    /// Units that are never active together with this one.
    pub conflicts: Vec<Text<Dependency>>,
    /// As wants, and those are started again whenever they are found stopped.
    pub upholds: Vec<Text<Dependency>>,
    /// Units that are started when this one fails.
    pub on_failure: Vec<Text<Dependency>>,
    /// Units that are started when this one ends with success.
    pub on_success: Vec<Text<Dependency>>,
    /// Units that must have started before this one starts, if they start at all.
    pub after: Vec<Text<Dependency>>,
    /// Units that start when this one has started.
    pub before: Vec<Text<Dependency>>,
    /// Paths whose mounts are required and waited for.
    pub requires_mounts_for: Vec<Text<AbsolutePath>>,
    /// Paths whose mounts are wanted and waited for.
    pub wants_mounts_for: Vec<Text<AbsolutePath>>,
    /// Units that are stopped with this one.
    pub propagates_stop_to: Vec<Text<Dependency>>,
    /// Units whose stops stop this one too.
    pub stop_propagated_from: Vec<Text<Dependency>>,
    /// Units that are reloaded with this one.
    pub propagates_reload_to: Vec<Text<Dependency>>,
    /// Units whose reloads reload this one too.
    pub reload_propagated_from: Vec<Text<Dependency>>,
    /// Whether the unit is stopped once no other that is up depends on it.
    pub stop_when_unneeded: Option<bool>,
    /// Whether only other units can start this one.
    pub refuse_manual_start: Option<bool>,
    /// Whether only other units can stop this one.
    pub refuse_manual_stop: Option<bool>,
    /// Whether "isolate" takes this unit.
    pub allow_isolate: Option<bool>,
    /// Whether "isolate" of another unit leaves this one alone.
    pub ignore_on_isolate: Option<bool>,
    /// When an instance or a unit of "run" that is not used is forgotten: "inactive", or "inactive-or-failed".
    pub collect_mode: Option<CollectMode>,
    /// What must hold for the unit to start; otherwise the start is skipped.
    pub condition: Option<ConditionTable>,
    /// What must hold for the unit to start; otherwise the start fails.
    #[serde(rename = "assert")]
    pub asserted: Option<ConditionTable>,
}

/// `[install]`.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct InstallTable {
    /// Units that want this one once it is enabled.
    pub wanted_by: Vec<Text<InstallTarget>>,
    /// Units that require this one once it is enabled.
    pub required_by: Vec<Text<InstallTarget>>,
    /// Units that uphold this one once it is enabled.
    pub upheld_by: Vec<Text<InstallTarget>>,
    /// Other names of this unit.
    pub alias: Vec<Text<InstallName>>,
    /// Units that are enabled and disabled with this one.
    pub also: Vec<Text<InstallName>>,
    /// The instance that enable takes when it is given a bare template.
    pub default_instance: Option<String>,
}

/// The JSON schema of the files of containers.
pub fn of_containers() -> Schema {
    schemars::schema_for!(ContainerFile)
}

/// The JSON schema of the files of targets.
pub fn of_targets() -> Schema {
    schemars::schema_for!(TargetFile)
}

/// One key of the schema: `["container", "image"]`; a name that the user gives is `*`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// The way to it.
    pub way: Vec<String>,
    /// What the manual says about it.
    pub sentence: String,
}

/// Every key of a container's file that holds a value. Found once: each fault of a file may ask.
pub fn keys() -> &'static [Key] {
    static KEYS: LazyLock<Vec<Key>> = LazyLock::new(|| {
        let schema = of_containers().to_value();
        let mut keys = Vec::new();
        collect(&schema, &schema, &mut Vec::new(), &mut keys);
        keys
    });
    &KEYS
}

/// A key of some table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Home {
    /// The table as a header has it: `resources`, `socket.NAME`.
    pub table: String,
    /// The key as it is spelt.
    pub key: String,
}

/// The tables that have a key of this name, however it is spelt.
pub fn tables_with(key: &str) -> Vec<Home> {
    let wanted = habit::plain(key);
    let homes = keys().iter().filter_map(|found| {
        let (last, table) = found.way.split_last()?;
        let table = table.join(".").replace('*', "NAME");
        (!table.is_empty() && habit::plain(last) == wanted).then(|| Home { table, key: last.clone() })
    });
    homes.collect()
}

/// Whether a table, as `container.start_limit`, has these keys and no others.
pub fn is_table(table: &str, fields: &[&str]) -> bool {
    let way: Vec<&str> = table.split('.').collect();
    let mut own = keys()
        .iter()
        .filter(|key| key.way.len() > way.len() && key.way.iter().zip(&way).all(|(one, other)| one == other));
    own.all(|key| fields.contains(&key.way[way.len()].as_str()))
}

/// Whether the files of containers have a table of this name.
pub fn is_table_of_containers(table: &str) -> bool {
    keys().iter().any(|key| key.way.len() > 1 && key.way[0] == table)
}

/// Walks the properties below `schema`; `root` holds the definitions.
fn collect(root: &Value, schema: &Value, way: &mut Vec<String>, keys: &mut Vec<Key>) {
    let resolved = resolve(root, schema);
    let named = resolved.get("properties").and_then(Value::as_object);
    let open = resolved.get("additionalProperties").filter(|value| is_table_schema(root, value));
    let below = named.into_iter().flatten().map(|(name, schema)| (name.as_str(), schema));
    for (name, schema) in below.chain(open.map(|schema| ("*", schema))) {
        way.push(name.to_owned());
        if is_table_schema(root, schema) {
            collect(root, schema, way, keys);
        } else {
            let sentence = schema.get("description").and_then(Value::as_str).unwrap_or_default();
            keys.push(Key { way: way.clone(), sentence: sentence.replace('\n', " ") });
        }
        way.pop();
    }
}

fn is_table_schema(root: &Value, schema: &Value) -> bool {
    let resolved = resolve(root, schema);
    let open = resolved.get("additionalProperties").is_some_and(|value| is_table_schema(root, value));
    resolved.get("properties").is_some() || open
}

/// Follows `$ref`, and takes the part of an optional value that is not null.
fn resolve<'s>(root: &'s Value, schema: &'s Value) -> &'s Value {
    if let Some(reference) = schema.get("$ref").and_then(Value::as_str) {
        return root.pointer(reference.trim_start_matches('#')).unwrap_or(schema);
    }
    match schema.get("anyOf").and_then(Value::as_array) {
        Some(choices) if !choices.is_empty() => resolve(root, &choices[0]),
        _ => schema,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_found_in_every_table() {
        let keys: Vec<String> = keys().iter().map(|key| key.way.join(".")).collect();
        for key in [
            "unit.condition.path_exists",
            "container.image",
            "socket.*.listen",
            "mount.*.type",
            "install.alias",
        ] {
            assert!(keys.iter().any(|known| known == key), "{key} is not among {keys:?}");
        }
        assert!(keys.iter().any(|key| key == "container.environment"));
        let home = Home { table: "resources".to_owned(), key: "memory_max".to_owned() };
        assert_eq!(tables_with("MemoryMax"), [home]);
        assert!(super::keys().iter().all(|key| !key.sentence.is_empty()));
    }
}
