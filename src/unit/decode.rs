//! Reads a tree into the types of the schema with serde, and finds every fault, not just the first: a value
//! that cannot be read is taken out of the tree, and the rest is read again.

use super::diagnostic::{Diagnostic, Severity};
use super::habit;
use super::schema;
use super::suggest;
use super::tree::{Entry, FAULTS_MAX, Node, Step, Table, Value};
use serde::de::value::{BorrowedStrDeserializer, StrDeserializer};
use serde::de::{
    self, DeserializeOwned, DeserializeSeed, Deserializer, EnumAccess, MapAccess, SeqAccess, VariantAccess,
    Visitor,
};
use std::fmt::{self, Display};
use std::slice;

/// A table by the way to it, and the name that was meant.
pub type Renaming = (Vec<Step>, &'static str);

/// Reads `tree` as a `T`, which must be able to do without any of its keys. What is wrong goes to `faults` and
/// is taken out of the tree.
pub fn read<T: DeserializeOwned + Default>(tree: &mut Node, faults: &mut Vec<Diagnostic>) -> T {
    read_as_meant(tree, faults, &mut Vec::new())
}

/// The same; a table whose name was meant to be another gets that, so that its keys are read too.
pub fn read_as_meant<T: DeserializeOwned + Default>(
    tree: &mut Node,
    faults: &mut Vec<Diagnostic>,
    renamed: &mut Vec<Renaming>,
) -> T {
    for _ in 0..FAULTS_MAX {
        let fault = match T::deserialize(Decoder(tree)) {
            Ok(value) => return value,
            Err(fault) => fault.placed(&tree.mark),
        };
        let way: Vec<Step> = fault.way.into_iter().rev().collect();
        faults.extend(fault.diagnostic.map(|diagnostic| discreet(*diagnostic, &way)));
        if let Some(meant) = fault.meant.filter(|meant| tree.rename(&way, meant)) {
            renamed.push((way, meant));
        } else if !tree.remove(&way) {
            break;
        }
    }
    T::default()
}

/// What is found where a secret belongs is not repeated.
fn discreet(mut diagnostic: Diagnostic, way: &[Step]) -> Diagnostic {
    let is_of_credentials = matches!(way.first(), Some(Step::Key(table)) if table == "credentials");
    if is_of_credentials && let Some(at) = diagnostic.message.find(", found ") {
        diagnostic.message.truncate(at);
        diagnostic.help = Some(match way.len() {
            3 => "write it as a string, in quotes".to_owned(),
            _ => "write { path = \"/PATH\" } or { value = \"SECRET\" }".to_owned(),
        });
    }
    diagnostic
}

/// Why a value cannot be read, and the way to it, last step first.
#[derive(Debug)]
struct Fault {
    message: String,
    diagnostic: Option<Box<Diagnostic>>,
    way: Vec<Step>,
    /// What a key was meant to be.
    meant: Option<&'static str>,
}

impl Fault {
    fn at(node: &Node, message: impl AsRef<str>) -> Self {
        Self::of(node.mark.diagnostic(Severity::Error, message))
    }

    fn of(diagnostic: Diagnostic) -> Self {
        Self { message: String::new(), diagnostic: Some(Box::new(diagnostic)), way: Vec::new(), meant: None }
    }

    /// Gives the place to an error that serde or a type made, which do not know it.
    fn placed(self, mark: &super::tree::Mark) -> Self {
        if self.diagnostic.is_some() {
            return self;
        }
        let (message, help) = match self.message.split_once('\n') {
            Some((message, help)) => (message, Some(help)),
            None => (self.message.as_str(), None),
        };
        let diagnostic = mark.diagnostic(Severity::Error, message).with_help(help);
        Self { diagnostic: Some(Box::new(diagnostic)), ..self }
    }

    /// An array such as `["NAME=VALUE"]`, as other programs have it, where a table is expected.
    fn with_pairs(mut self, array: &[Node]) -> Self {
        let words = array.iter().filter_map(|node| match &node.value {
            Value::String(word) if word.contains(['=', ':']) => Some(word.as_str()),
            _ => None,
        });
        let mut words = words.peekable();
        if let Some(message) = self.message.strip_suffix(NAME_AND_VALUE)
            && words.peek().is_some()
        {
            self.message = format!("{message}write {}", pairs(words));
        }
        self
    }

    fn within(mut self, step: Step) -> Self {
        self.way.push(step);
        self
    }
}

impl Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)
    }
}

impl std::error::Error for Fault {}

impl de::Error for Fault {
    /// A second line of the message becomes its help.
    fn custom<T: Display>(message: T) -> Self {
        Self { message: message.to_string(), diagnostic: None, way: Vec::new(), meant: None }
    }

    fn invalid_type(found: de::Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        let expected = plain(expected);
        let quotes = match found {
            de::Unexpected::Bool(_)
            | de::Unexpected::Unsigned(_)
            | de::Unexpected::Signed(_)
            | de::Unexpected::Float(_)
                if expected == "a string" =>
            {
                "\nwrite it in quotes"
            }
            _ => "",
        };
        let help = if quotes.is_empty() { written_as(&expected, found) } else { quotes.to_owned() };
        Self::custom(format_args!("expected {expected}, found {}{help}", thing(found)))
    }

    fn invalid_value(found: de::Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Self::custom(format_args!("expected {}, found {}", plain(expected), thing(found)))
    }
}

/// What serde expects, in words that a person would use.
fn plain(expected: &dyn de::Expected) -> String {
    match expected.to_string().as_str() {
        "u16" => "a number from 0 to 65535".to_owned(),
        "u32" => "a number from 0 to 4294967295".to_owned(),
        "a boolean" => "true or false".to_owned(),
        "a map" => "a table".to_owned(),
        "a sequence" => "an array".to_owned(),
        "struct SocketTable" => "a table such as [socket.http]".to_owned(),
        "struct MountTable" => "a table such as [mount.\"/data\"]".to_owned(),
        text if text.starts_with("struct ") => "a table".to_owned(),
        text => text.to_owned(),
    }
}

/// How a value of another type is written as the one that is expected; the second line of a message.
fn written_as(expected: &str, found: de::Unexpected<'_>) -> String {
    match (expected, found) {
        ("an array", de::Unexpected::Str(text)) => format!("\nwrite [{}]", items(text)),
        ("a table", de::Unexpected::Str(text)) => match text.split_once('=') {
            Some(_) => format!("\nwrite {}", pairs(suggest::words(text).iter().map(String::as_str))),
            None => String::new(),
        },
        ("a string", de::Unexpected::Map) => {
            "\nwrite a string; a name with dots in it is put in quotes: \"a.b\" = \"VALUE\"".to_owned()
        }
        ("a string", de::Unexpected::Seq) => "\nwrite one string, without brackets".to_owned(),
        (text, de::Unexpected::Str(_)) if text.starts_with("a table such as [mount.") => {
            "\nwrite \"type\", \"source\" and \"options\" in it".to_owned()
        }
        (text, de::Unexpected::Unsigned(number)) if text.starts_with("an access mode") => {
            format!("\nwrite \"{number:04}\"")
        }
        (text, de::Unexpected::Map) if text.starts_with("a limit") => "\nwrite \"SOFT:HARD\"".to_owned(),
        ("an array", de::Unexpected::Signed(number)) => format!("\nwrite [{number}]"),
        ("an array", de::Unexpected::Unsigned(number)) => format!("\nwrite [{number}]"),
        ("true or false", de::Unexpected::Str("yes" | "on" | "true" | "1") | de::Unexpected::Unsigned(1)) => {
            "\nwrite true".to_owned()
        }
        (
            "true or false",
            de::Unexpected::Str("no" | "off" | "false" | "0") | de::Unexpected::Unsigned(0),
        ) => "\nwrite false".to_owned(),
        (text, de::Unexpected::Seq) if text.starts_with("an address such as") => {
            "\neach address is a table of its own: [socket.NAME]".to_owned()
        }
        (text, de::Unexpected::Str(word)) if text.starts_with("a number from") => {
            word.trim().parse::<u32>().map_or_else(|_| String::new(), |number| format!("\nwrite {number}"))
        }
        (text, de::Unexpected::Unsigned(number)) if text.starts_with("a share of one CPU") => {
            format!("\nwrite \"{number}%\"")
        }
        (text, de::Unexpected::Float(number)) if text.starts_with("a share of one CPU") => {
            format!("\nwrite \"{}%\"", number * 100.0)
        }
        ("an array", de::Unexpected::Map) => "\nput it in brackets: [{ ... }]".to_owned(),
        ("a table", de::Unexpected::Seq) => format!("\n{NAME_AND_VALUE}"),
        _ => String::new(),
    }
}

/// What is said where there is nothing that can be said better.
const NAME_AND_VALUE: &str = "write { NAME = \"VALUE\" }";

/// The items that a string stands for: a line of the shell, words, or words with commas between.
fn items(text: &str) -> String {
    if is_for_a_shell(text) {
        return format!("\"sh\", \"-c\", {}", quoted(text));
    }
    let words = match text.contains(char::is_whitespace) {
        true => suggest::words(text),
        false => text.split(',').map(str::to_owned).collect(),
    };
    words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(", ")
}

/// Whether a line has signs outside of quotes that mean something to a shell.
fn is_for_a_shell(line: &str) -> bool {
    let mut quote: Option<char> = None;
    line.chars().any(|letter| {
        quote = match (quote, letter) {
            (Some(open), letter) => Some(open).filter(|open| *open != letter),
            (None, '"' | '\'') => Some(letter),
            (None, _) => None,
        };
        quote.is_none() && matches!(letter, '|' | '&' | ';' | '<' | '>' | '`')
    })
}

/// A string as TOML has it, in one line.
fn quoted(word: &str) -> String {
    toml::Value::from(word).to_string().replace('\n', "\\n")
}

/// The table that words such as `NAME=VALUE` stand for.
fn pairs<'w>(words: impl Iterator<Item = &'w str>) -> String {
    let is_bare = |letter: char| letter.is_ascii_alphanumeric() || letter == '_' || letter == '-';
    let pair = |word: &str| {
        let (name, value) = word.split_once('=').or_else(|| word.split_once(':'))?;
        Some(match !name.is_empty() && name.chars().all(is_bare) {
            true => format!("{name} = {}", quoted(value)),
            false => format!("{} = {}", quoted(name), quoted(value)),
        })
    };
    let pairs: Vec<String> = words.filter_map(pair).collect();
    format!("{{ {} }}", pairs.join(", "))
}

fn thing(found: de::Unexpected<'_>) -> String {
    match found {
        de::Unexpected::Bool(value) => format!("{value}"),
        de::Unexpected::Unsigned(value) => format!("the number {value}"),
        de::Unexpected::Signed(value) => format!("the number {value}"),
        de::Unexpected::Float(value) => format!("the number {value}"),
        de::Unexpected::Str(value) => format!("the string \"{value}\""),
        de::Unexpected::Map => "a table".to_owned(),
        de::Unexpected::Seq => "an array".to_owned(),
        de::Unexpected::Other(what) => what.to_owned(),
        other => other.to_string(),
    }
}

/// A node to be read.
#[derive(Clone, Copy)]
struct Decoder<'de>(&'de Node);

impl<'de> Deserializer<'de> for Decoder<'de> {
    type Error = Fault;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match &self.0.value {
            Value::String(text) => visitor.visit_borrowed_str(text),
            Value::Integer(value) => match u64::try_from(*value) {
                Ok(value) => visitor.visit_u64(value),
                Err(_) => visitor.visit_i64(*value),
            },
            Value::Float(value) => visitor.visit_f64(*value),
            Value::Boolean(value) => visitor.visit_bool(*value),
            Value::Datetime => {
                Err(de::Error::invalid_type(de::Unexpected::Other("a date or time"), &visitor))
            }
            Value::Array(array) => visitor
                .visit_seq(Items { rest: array.iter(), next: 0 })
                .map_err(|fault| fault.with_pairs(array)),
            Value::Table(table) => visitor.visit_map(Entries { rest: table.iter(), current: None }),
        }
        .map_err(|fault| fault.placed(&self.0.mark))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        visitor.visit_newtype_struct(self)
    }

    /// A struct's keys are known: another one is a fault before anything is read.
    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        match &self.0.value {
            Value::Table(table) => refuse_unknown(table, fields)?,
            // serde would read its items as the fields.
            Value::Array(_) => return Err(Fault::at(self.0, "expected a table, found an array")),
            _ => {}
        }
        self.deserialize_any(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        match &self.0.value {
            Value::String(word) if variants.contains(&word.as_str()) => {
                visitor.visit_enum(Word(word)).map_err(|fault| fault.placed(&self.0.mark))
            }
            Value::String(word) => {
                let diagnostic = self.0.mark.diagnostic(Severity::Error, format!("unknown value \"{word}\""));
                let help = habit::of_value(word, variants).unwrap_or_else(|| suggest::help(word, variants));
                Err(Fault::of(diagnostic.with_help(Some(help))))
            }
            _ => Err(Fault::at(self.0, format!("expected {}", suggest::list(variants)))),
        }
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple
        tuple_struct map identifier ignored_any
    }
}

fn refuse_unknown(table: &Table, fields: &'static [&'static str]) -> Result<(), Fault> {
    let unknown = |(key, _): &(&String, &Entry)| !fields.contains(&key.as_str());
    let Some((key, entry)) = table.iter().filter(unknown).min_by_key(|(_, entry)| entry.key.span.start)
    else {
        return Ok(());
    };
    let what = if entry.node.table().is_some() {
        format!("unknown table [{key}]")
    } else {
        format!("unknown key \"{key}\"")
    };
    let (help, meant) = match entry.node.table() {
        Some(_) => unknown_table_help(key, fields),
        None => (unknown_help(key, fields), None),
    };
    let diagnostic = entry.key.diagnostic(Severity::Error, what).with_help(Some(help));
    let fault = Fault { meant, ..Fault::of(diagnostic) };
    Err(fault.within(Step::Key(key.clone())))
}

/// More keys than these are not listed.
const LISTED_MAX: usize = 14;

/// A key of this table that is spelt otherwise, what the key of another program is called here, the nearest key of
/// this table, the table that has a key of this name, or all keys if they are few.
fn unknown_help(key: &str, fields: &[&str]) -> String {
    let same = |field: &&&str| habit::plain(field) == habit::plain(key);
    if let Some(field) = fields.iter().find(same) {
        return format!("did you mean \"{field}\"?");
    }
    if let Some(help) = habit::of_key(key, fields) {
        return help;
    }
    if let Some(near) = suggest::nearest(key, fields.iter().copied()) {
        return format!("did you mean \"{near}\"?");
    }
    match schema::tables_with(key).as_slice() {
        [] => known(fields),
        found => {
            let tables: Vec<String> = found.iter().map(|one| format!("[{}]", one.table)).collect();
            format!("\"{}\" belongs in {}", found[0].key, tables.join(" or "))
        }
    }
}

/// What to say of a table, and the name that was meant.
fn unknown_table_help(table: &str, fields: &'static [&'static str]) -> (String, Option<&'static str>) {
    let same = fields.iter().find(|field| habit::plain(field) == habit::plain(table)).copied();
    let near = || suggest::nearest(table, fields.iter().copied());
    let meant = |field| (format!("did you mean \"{field}\"?"), Some(field));
    if let Some(field) = same {
        return meant(field);
    }
    if let Some(help) = habit::of_table(table).map(str::to_owned).or_else(|| habit::of_key(table, fields)) {
        return (help, None);
    }
    match near() {
        Some(field) => meant(field),
        None if schema::is_table_of_containers(table) => {
            let help = match fields.contains(&"install") {
                true => format!("[{table}] is for the files of containers, NAME.container.toml"),
                false => format!("[{table}] is a table of its own, beside [container]"),
            };
            (help, None)
        }
        None => (known(fields), None),
    }
}

fn known(fields: &[&str]) -> String {
    match fields.len() > LISTED_MAX {
        true if is_of_unit(fields) => "sampan.unit(5) lists what is known here".to_owned(),
        true => "sampan.container(5) lists what is known here".to_owned(),
        false => format!("known here: {}", fields.join(", ")),
    }
}

/// Whether keys are those of `[unit]` or its conditions, which all kinds of units have.
fn is_of_unit(fields: &[&str]) -> bool {
    ["unit", "unit.condition"].iter().any(|table| schema::is_table(table, fields))
}

/// Tables of tables, each of which has a name.
const NAMED: &[(&str, &str)] = &[
    ("socket", "[socket.http]"),
    ("mount", "[mount.\"/data\"]"),
    ("credentials", "[credentials.db-password]"),
];

struct Items<'de> {
    rest: slice::Iter<'de, Node>,
    next: usize,
}

impl<'de> SeqAccess<'de> for Items<'de> {
    type Error = Fault;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Fault> {
        let Some(node) = self.rest.next() else { return Ok(None) };
        let index = self.next;
        self.next += 1;
        seed.deserialize(Decoder(node))
            .map(Some)
            .map_err(|fault| fault.placed(&node.mark).within(Step::Index(index)))
    }
}

struct Entries<'de> {
    rest: std::collections::btree_map::Iter<'de, String, Entry>,
    current: Option<(&'de String, &'de Entry)>,
}

impl<'de> MapAccess<'de> for Entries<'de> {
    type Error = Fault;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Fault> {
        self.current = self.rest.next();
        let Some((key, entry)) = self.current else { return Ok(None) };
        let result = seed.deserialize(BorrowedStrDeserializer::new(key)).map(Some);
        result.map_err(|fault: Fault| fault.placed(&entry.key).within(Step::Key(key.clone())))
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Fault> {
        let Some((key, entry)) = self.current else {
            return Err(de::Error::custom("a value was asked for before its key"));
        };
        let placed = |fault: Fault| fault.placed(&entry.node.mark).within(Step::Key(key.clone()));
        if entry.node.table().is_none()
            && let Some((_, example)) = NAMED.iter().find(|(table, _)| table == key)
        {
            let diagnostic =
                entry.node.mark.diagnostic(Severity::Error, format!("\"{key}\" holds tables with names"));
            return Err(placed(Fault::of(diagnostic.with_help(Some(format!("write {example}"))))));
        }
        seed.deserialize(Decoder(&entry.node)).map_err(placed)
    }
}

/// A string as the name of a variant.
struct Word<'de>(&'de str);

impl<'de> EnumAccess<'de> for Word<'de> {
    type Error = Fault;
    type Variant = Self;

    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Self), Fault> {
        let variant = seed.deserialize(StrDeserializer::<Fault>::new(self.0))?;
        Ok((variant, self))
    }
}

impl<'de> VariantAccess<'de> for Word<'de> {
    type Error = Fault;

    fn unit_variant(self) -> Result<(), Fault> {
        Ok(())
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, _: S) -> Result<S::Value, Fault> {
        Err(de::Error::custom("a word has no content"))
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, _: V) -> Result<V::Value, Fault> {
        Err(de::Error::custom("a word has no content"))
    }

    fn struct_variant<V: Visitor<'de>>(self, _: &'static [&'static str], _: V) -> Result<V::Value, Fault> {
        Err(de::Error::custom("a word has no content"))
    }
}
