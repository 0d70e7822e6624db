//! The types that travel over the bus.

use crate::manager::view::{Property, Value};
use crate::unit::enable::{Change, EnableError};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use zbus::{OwnedObjectPath, Type, Variant};

/// Our name on the system bus.
pub const BUS_NAME: &str = "org.sampan1";
/// The manager's object.
pub const MANAGER_PATH: &str = "/org/sampan1";
/// Its interface.
pub const MANAGER_INTERFACE: &str = "org.sampan1.Manager";

/// One row of `ListUnits`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct UnitRow {
    /// The name, with its suffix.
    pub name: String,
    /// `unit.description`.
    pub description: String,
    /// `loaded`, `not-found`, `bad`, `masked`.
    pub load_state: String,
    /// `active`, `inactive`, `activating`, `deactivating`, `failed`.
    pub active_state: String,
    /// `running`, `listening`, `dead`, `exited`, `auto-restart`, ….
    pub sub_state: String,
    /// The object of the unit.
    pub path: OwnedObjectPath,
    /// The job under way, or 0.
    pub job_id: u32,
    /// `start`, `stop`, `restart`, or empty.
    pub job_type: String,
}

/// One row of `GetUnitDefinitions`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct DefinitionRow {
    /// The name, with its suffix.
    pub name: String,
    /// As in [`UnitRow`].
    pub load_state: String,
    /// As in [`UnitRow`].
    pub active_state: String,
    /// The version of its files that rules, as JSON; `null` where there is none.
    pub definition: String,
}

/// One row of `ListSockets`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct SocketRow {
    /// The address as in the unit: `[::]:80`, `/run/web.sock`.
    pub listen: String,
    /// The socket's name in the unit.
    pub name: String,
    /// The unit.
    pub unit: String,
    /// `fd`, `swap`, `proxy` or `accept`.
    pub pass: String,
    /// `listening`, `running` or `closed`.
    pub state: String,
    /// Connections established now.
    pub connections: u32,
    /// Times that this socket started the container or thawed it, or started one for a connection, since its unit was
    /// started.
    pub activations: u32,
    /// When it did so last, in microseconds since 1970; 0: it has not.
    pub last_usec: u64,
    /// From the connection to the payload's execution, or to the thaw, the last time, in microseconds; 0: none yet.
    pub latency_usec: u64,
}

/// One row of `ListTimers`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct TimerRow {
    /// The unit.
    pub unit: String,
    /// `dead`, `waiting`, `running` or `elapsed`.
    pub state: String,
    /// How the last run of the unit ended.
    pub result: String,
    /// When the timer elapses next, in microseconds since 1970; 0: never, or it runs.
    pub next_usec: u64,
    /// When it elapsed last, in microseconds since 1970; 0: it has not.
    pub last_usec: u64,
}

/// One row of `ListJobs`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct JobRow {
    /// The job's number.
    pub id: u32,
    /// Its unit.
    pub unit: String,
    /// `start`, `stop`, `restart`.
    pub job_type: String,
    /// `waiting` or `running`.
    pub state: String,
    /// The object that the call returned.
    pub path: OwnedObjectPath,
}

/// One change of unit files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct ChangeRow {
    /// `symlink`, `unlink`, or, of `PresetAllUnitFiles`, `error`.
    pub kind: String,
    /// The link; of an error, what is wrong.
    pub path: String,
    /// Where a new link leads.
    pub target: String,
}

impl From<&Change> for ChangeRow {
    fn from(change: &Change) -> Self {
        let (kind, target) = match change {
            Change::Linked { target, .. } => ("symlink", target.display().to_string()),
            Change::Removed(_) => ("unlink", String::new()),
        };
        Self { kind: kind.to_owned(), path: change.path().display().to_string(), target }
    }
}

impl ChangeRow {
    /// A unit that could not be changed.
    pub(super) fn of_failure(error: &EnableError) -> Self {
        Self { kind: "error".to_owned(), path: error.to_string(), target: String::new() }
    }

    /// The change, or what is wrong.
    ///
    /// # Errors
    /// When it is an error.
    pub fn read(self) -> Result<Change, String> {
        match self.kind.as_str() {
            "symlink" => Ok(Change::Linked { link: self.path.into(), target: self.target.into() }),
            "unlink" => Ok(Change::Removed(self.path.into())),
            _ => Err(self.path),
        }
    }
}

/// One row of `ListTransfers`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct TransferRow {
    /// The pull's number.
    pub id: u32,
    /// The image's full name.
    pub image: String,
    /// `waiting` or `running`.
    pub state: String,
    /// Bytes that have come.
    pub bytes_done: u64,
    /// Bytes of all layers that are known of.
    pub bytes_total: u64,
    /// The units that wait for it.
    pub units: Vec<String>,
    /// Its object.
    pub path: OwnedObjectPath,
}

/// One row of `ListImages`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct ImageRow {
    /// The id.
    pub id: String,
    /// Its names, sorted.
    pub names: Vec<String>,
    /// The digest of its manifest; empty where it came without one.
    pub digest: String,
    /// When it was built, as it says, RFC 3339; empty where it does not.
    pub created: String,
    /// Bytes of its files.
    pub size: u64,
    /// Of those that other images have, too.
    pub shared: u64,
    /// Of those that no other image has.
    pub own: u64,
    /// The copies that units have for themselves alone: the unit, and bytes of its files.
    pub copies: Vec<(String, u64)>,
}

/// The object path of a unit: every byte but letters and digits as `_xx`, as `sd_bus_path_encode(3)`.
pub fn unit_path(name: &str) -> OwnedObjectPath {
    labelled(&format!("{MANAGER_PATH}/unit"), name)
}

/// The path of an object that a name stands for below a directory, sd_bus_path_encode(3).
pub fn labelled(directory: &str, name: &str) -> OwnedObjectPath {
    let mut path = format!("{directory}/");
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() {
            path.push(char::from(byte));
        } else {
            path.push_str(&format!("_{byte:02x}"));
        }
    }
    OwnedObjectPath::try_from(path).unwrap_or_default()
}

/// The name that the last part of a unit's object path stands for.
pub(super) fn decoded(part: &str) -> Option<String> {
    let (mut bytes, mut rest) = (Vec::new(), part.bytes());
    while let Some(byte) = rest.next() {
        let digit = |byte: Option<u8>| u8::try_from(char::from(byte?).to_digit(16)?).ok();
        match byte {
            b'_' => bytes.push(digit(rest.next())? * 16 + digit(rest.next())?),
            _ => bytes.push(byte),
        }
    }
    String::from_utf8(bytes).ok()
}

/// A value as the bus carries it.
pub(super) fn variant(value: Value) -> Variant<'static> {
    match value {
        Value::Text(text) => text.into(),
        Value::List(list) => list.into(),
        Value::Unsigned(number) => number.into(),
        Value::Signed(number) => number.into(),
        Value::Large(number) => number.into(),
        Value::Flag(flag) => flag.into(),
        Value::Numbers(list) => list.into(),
        Value::Words(words) => words.into(),
        Value::Parts(list) => list.into(),
        Value::Moments(list) => list.into(),
    }
}

/// Properties as the bus carries them.
pub(super) fn dictionary(properties: Vec<Property>) -> HashMap<&'static str, Variant<'static>> {
    properties.into_iter().map(|(name, value)| (name, variant(value))).collect()
}

/// The object path of a pull.
pub fn transfer_path(id: u32) -> OwnedObjectPath {
    OwnedObjectPath::try_from(format!("{MANAGER_PATH}/transfer/{id}")).unwrap_or_default()
}

/// The object path of a job.
pub fn job_path(id: u32) -> OwnedObjectPath {
    OwnedObjectPath::try_from(format!("{MANAGER_PATH}/job/{id}")).unwrap_or_default()
}
