//! Lists of commands as written: an array of commands, each an array of words or a table; or the words of one.

use crate::unit::value::{Account, Text};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use std::borrow::Cow;
use std::fmt;

/// `container.exec_start_pre` and the like.
#[derive(Debug, Clone, Default)]
pub struct CommandList(pub Vec<CommandEntry>);

/// One command.
#[derive(Debug, Clone, Default)]
pub struct CommandEntry {
    /// The words; `-` before the first one passes failure over.
    pub command: Vec<String>,
    /// Whether it runs on the host.
    pub host: bool,
    /// As whom it runs.
    pub user: Option<String>,
}

/// `container.command`: the words of one command, or several commands, each an array of words.
#[derive(Debug, Clone, Default)]
pub struct CommandLines(pub Vec<Vec<String>>);

impl<'de> Deserialize<'de> for CommandLines {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(LinesVisitor)
    }
}

struct LinesVisitor;

impl<'de> Visitor<'de> for LinesVisitor {
    type Value = CommandLines;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<CommandLines, A::Error> {
        let (mut words, mut lines) = (Vec::new(), Vec::new());
        while let Some(item) = items.next_element()? {
            match item {
                Line::Word(word) => words.push(word),
                Line::Words(line) => lines.push(line),
            }
        }
        match (words.is_empty(), lines.is_empty()) {
            (_, true) => Ok(CommandLines(vec![words])),
            (true, false) => Ok(CommandLines(lines)),
            (false, false) => Err(de::Error::custom(BESIDE)),
        }
    }
}

const BESIDE: &str =
    "words stand beside commands\nwrite each command as an array of its own: [[\"one\"], [\"two\"]]";

/// What an array of such can hold.
enum Line {
    Word(String),
    Words(Vec<String>),
}

impl<'de> Deserialize<'de> for Line {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(LineVisitor)
    }
}

struct LineVisitor;

impl<'de> Visitor<'de> for LineVisitor {
    type Value = Line;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a string")
    }

    fn visit_str<E: de::Error>(self, word: &str) -> Result<Line, E> {
        Ok(Line::Word(word.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut words: A) -> Result<Line, A::Error> {
        let mut line = Vec::new();
        while let Some(word) = words.next_element()? {
            line.push(word);
        }
        Ok(Line::Words(line))
    }
}

impl JsonSchema for CommandLines {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        Cow::Borrowed("command lines")
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let words = || json_schema!({ "type": "array", "items": { "type": "string" } });
        json_schema!({
            "title": "the words of a command or an array of commands",
            "anyOf": [words(), { "type": "array", "items": words(), "minItems": 1 }],
        })
    }
}

/// What an array of commands can hold.
enum Item {
    Word(String),
    Command(CommandEntry),
}

impl<'de> Deserialize<'de> for CommandList {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ListVisitor)
    }
}

struct ListVisitor;

impl<'de> Visitor<'de> for ListVisitor {
    type Value = CommandList;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<CommandList, A::Error> {
        let (mut words, mut commands) = (Vec::new(), Vec::new());
        while let Some(item) = items.next_element()? {
            match item {
                Item::Word(word) => words.push(word),
                Item::Command(command) => commands.push(command),
            }
        }
        match (words.is_empty(), commands.is_empty()) {
            (true, _) => Ok(CommandList(commands)),
            (false, true) => {
                Ok(CommandList(vec![CommandEntry { command: words, ..CommandEntry::default() }]))
            }
            (false, false) => Err(de::Error::custom(BESIDE)),
        }
    }
}

impl<'de> Deserialize<'de> for Item {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ItemVisitor)
    }
}

struct ItemVisitor;

impl<'de> Visitor<'de> for ItemVisitor {
    type Value = Item;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a command as an array of words, or { command = [...], host = true }")
    }

    fn visit_str<E: de::Error>(self, word: &str) -> Result<Item, E> {
        Ok(Item::Word(word.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut words: A) -> Result<Item, A::Error> {
        let mut command = Vec::new();
        while let Some(word) = words.next_element()? {
            command.push(word);
        }
        Ok(Item::Command(CommandEntry { command, ..CommandEntry::default() }))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut table: A) -> Result<Item, A::Error> {
        let mut entry = CommandEntry::default();
        while let Some(key) = table.next_key::<String>()? {
            match key.as_str() {
                "command" => entry.command = table.next_value()?,
                "host" => entry.host = table.next_value()?,
                "user" => entry.user = table.next_value::<Option<Text<Account>>>()?.map(|Text(user)| user.0),
                _ => {
                    let message = format!("unknown key \"{key}\"\nknown here: command, host, user");
                    return Err(de::Error::custom(message));
                }
            }
        }
        Ok(Item::Command(entry))
    }
}

impl JsonSchema for CommandList {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        Cow::Borrowed("commands")
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let words = || json_schema!({ "type": "array", "items": { "type": "string" }, "minItems": 1 });
        let table = json_schema!({
            "type": "object",
            "additionalProperties": false,
            "required": ["command"],
            "properties": {
                "command": words(),
                "host": { "type": "boolean" },
                "user": { "type": "string" },
            },
        });
        json_schema!({
            "title": "one command or an array of them",
            "oneOf": [words(), { "type": "array", "items": { "oneOf": [words(), table] } }],
        })
    }
}
