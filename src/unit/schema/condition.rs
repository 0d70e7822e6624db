//! `unit.condition` and `unit.assert` as written: each key has one value or an array of them.

use crate::unit::model::{Firmware, SecurityModule, Virtualization};
use crate::unit::value::{
    AbsolutePath, Account, Architecture, CapabilityName, CountTest, FileName, OsReleaseTests, PathPattern,
    SizeTest, Stated, Text, VersionTests, Word, Words, Written, YesNo,
};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{self, Deserialize, Deserializer, IntoDeserializer, Visitor};
use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

/// `unit.condition` and `unit.assert`.
#[derive(Debug, Clone, Default, serde::Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ConditionTable {
    /// Whether the host runs on mains power.
    pub ac_power: Many<YesNo>,
    /// The processor, such as "x86-64" or "arm64".
    pub architecture: Many<Architecture>,
    /// A capability that this host can give.
    pub capability: Many<CapabilityName>,
    /// Controllers of control groups that are there, such as "cpu memory".
    pub control_group_controller: Many<Words>,
    /// A feature of the processor, as in /proc/cpuinfo.
    pub cpu_feature: Many<Word>,
    /// How many processors there are, such as ">= 4".
    pub cpus: Many<CountTest>,
    /// A credential that was passed to this host.
    pub credential: Many<FileName>,
    /// A directory that has entries.
    pub directory_not_empty: Many<AbsolutePath>,
    /// A variable of systemd, or an assignment.
    pub environment: Many<Word>,
    /// A regular file that can be executed.
    pub file_is_executable: Many<AbsolutePath>,
    /// A file that is not empty.
    pub file_not_empty: Many<AbsolutePath>,
    /// The firmware: "uefi" or "device-tree".
    pub firmware: Many<Firmware>,
    /// Whether this is the first boot of this host.
    pub first_boot: Many<YesNo>,
    /// A group that the manager runs as.
    pub group: Many<Account>,
    /// The name of this host, a pattern of it, or its machine id.
    pub host: Many<Word>,
    /// A word of the kernel's command line, or an assignment.
    pub kernel_command_line: Many<Word>,
    /// A module that the kernel has.
    pub kernel_module_loaded: Many<FileName>,
    /// The version of the kernel, such as ">=6.1 <7" or "6.12.*".
    pub kernel_version: Many<VersionTests>,
    /// How much memory there is, such as ">= 1G".
    pub memory: Many<SizeTest>,
    /// Fields of os-release(5), such as "ID=debian VERSION_ID>=12".
    pub os_release: Many<OsReleaseTests>,
    /// A path that exists.
    pub path_exists: Many<AbsolutePath>,
    /// A pattern that some path has.
    pub path_exists_glob: Many<PathPattern>,
    /// A path that is a directory.
    pub path_is_directory: Many<AbsolutePath>,
    /// A path that is a mount point.
    pub path_is_mount_point: Many<AbsolutePath>,
    /// A path on a file system that can be written.
    pub path_is_read_write: Many<AbsolutePath>,
    /// A path that is a socket.
    pub path_is_socket: Many<AbsolutePath>,
    /// A path that is a symbolic link.
    pub path_is_symbolic_link: Many<AbsolutePath>,
    /// A security technology that is in use, such as "apparmor".
    pub security: Many<SecurityModule>,
    /// The user that the manager runs as.
    pub user: Many<Account>,
    /// Whether the host is virtual: true, false, "vm", "container", or a kind such as "kvm".
    pub virtualization: Many<Virtualization>,
}

/// One value or several.
#[derive(Debug, Clone)]
pub struct Many<T>(pub Vec<Stated<T>>);

impl<T> Default for Many<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, T: Written> Deserialize<'de> for Many<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ManyVisitor(PhantomData))
    }
}

struct ManyVisitor<T>(PhantomData<T>);

impl<T: Written> ManyVisitor<T> {
    fn one<'de, D: Deserializer<'de>>(value: D) -> Result<Many<T>, D::Error> {
        Text::deserialize(value).map(|Text(value)| Many(vec![value]))
    }
}

impl<'de, T: Written> Visitor<'de> for ManyVisitor<T> {
    type Value = Many<T>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(T::EXPECTED)
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Many<T>, E> {
        Self::one(value.into_deserializer())
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Many<T>, E> {
        Self::one(value.into_deserializer())
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Many<T>, E> {
        Self::one(value.into_deserializer())
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Many<T>, E> {
        Self::one(value.into_deserializer())
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Many<T>, E> {
        Self::one(value.into_deserializer())
    }

    fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<Many<T>, A::Error> {
        Self::one(MapAccessDeserializer::new(map))
    }

    fn visit_seq<A: de::SeqAccess<'de>>(self, items: A) -> Result<Many<T>, A::Error> {
        let items = Vec::<Text<Stated<T>>>::deserialize(SeqAccessDeserializer::new(items))?;
        Ok(Many(items.into_iter().map(|Text(value)| value).collect()))
    }
}

impl<T: Written> JsonSchema for Many<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        Cow::Borrowed(T::EXPECTED)
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mut one = Text::<Stated<T>>::json_schema(generator);
        if T::of_boolean(true).is_some() {
            one = json_schema!({ "type": ["string", "boolean"], "title": T::EXPECTED });
        }
        json_schema!({ "anyOf": [one, { "type": "array", "items": one }] })
    }
}
