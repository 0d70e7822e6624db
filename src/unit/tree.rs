//! A unit file as a tree that remembers where each value was written, and the merging of drop-ins into it.

use super::diagnostic::{Diagnostic, Severity};
use super::source::Source;
use super::syntax;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use toml::de::{DeTable, DeValue};

/// More errors of one unit than this are not shown: nobody reads them, and each costs a pass over the text.
pub const FAULTS_MAX: usize = 50;

/// Where something was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// The file.
    pub source: Arc<Source>,
    /// Bytes of its text.
    pub span: Range<usize>,
}

/// One value.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// Where the value was written.
    pub mark: Mark,
    /// What it is.
    pub value: Value,
}

/// One key of a table.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Where the key was written.
    pub key: Mark,
    /// Its value.
    pub node: Node,
}

/// What a value is, in TOML's types.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// A string.
    String(String),
    /// An integer that fits.
    Integer(i64),
    /// A float.
    Float(f64),
    /// A truth value.
    Boolean(bool),
    /// A date or a time, which no key of ours takes.
    Datetime,
    /// An array.
    Array(Vec<Node>),
    /// A table.
    Table(Table),
}

/// The keys of a table.
pub type Table = BTreeMap<String, Entry>;

/// One step of the way from the root to a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Into a table.
    Key(String),
    /// Into an array.
    Index(usize),
}

impl Mark {
    /// A diagnostic about this place.
    pub fn diagnostic(&self, severity: Severity, message: impl AsRef<str>) -> Diagnostic {
        Diagnostic::at(severity, &self.source, self.span.clone(), message)
    }
}

impl Node {
    /// Parses a file.
    ///
    /// # Errors
    /// A diagnostic for each line with an error of syntax.
    pub fn parse(source: &Arc<Source>) -> Result<Self, Vec<Diagnostic>> {
        let (table, errors) = DeTable::parse_recoverable(&source.text);
        let mut faults = syntax::diagnostics(source, &errors);
        let builder = Builder { source };
        let mark = builder.mark(0..0);
        let value = Value::Table(builder.table(table.get_ref()));
        // What follows in the same line is mostly a consequence.
        faults.sort_by_key(|fault| (fault.line(), fault.column()));
        faults.dedup_by_key(|fault| fault.line());
        if faults.is_empty() { Ok(Self { mark, value }) } else { Err(faults) }
    }

    /// Lays `over` on this tree: tables merge by key, everything else is replaced.
    pub fn merge(&mut self, over: Self) {
        match (&mut self.value, over.value) {
            (Value::Table(table), Value::Table(over)) => {
                for (key, entry) in over {
                    match table.get_mut(&key) {
                        Some(below) => below.merge(entry),
                        None => {
                            table.insert(key, entry);
                        }
                    }
                }
            }
            (_, value) => *self = Self { mark: over.mark, value },
        }
    }

    /// The table, if it is one.
    pub fn table(&self) -> Option<&Table> {
        match &self.value {
            Value::Table(table) => Some(table),
            _ => None,
        }
    }

    /// The same, to be changed.
    pub fn table_mut(&mut self) -> Option<&mut Table> {
        match &mut self.value {
            Value::Table(table) => Some(table),
            _ => None,
        }
    }

    /// The entry at a way of keys such as `["container", "image"]`.
    pub fn find(&self, keys: &[&str]) -> Option<&Entry> {
        let (first, rest) = keys.split_first()?;
        let entry = self.table()?.get(*first)?;
        if rest.is_empty() { Some(entry) } else { entry.node.find(rest) }
    }

    /// Takes a value out, so that the rest can be read without it.
    pub fn remove(&mut self, way: &[Step]) -> bool {
        match (&mut self.value, way) {
            (Value::Table(table), [Step::Key(key)]) => table.remove(key).is_some(),
            (Value::Array(array), [Step::Index(index)]) if *index < array.len() => {
                array.remove(*index);
                true
            }
            (Value::Table(table), [Step::Key(key), rest @ ..]) if !rest.is_empty() => {
                table.get_mut(key).is_some_and(|entry| entry.node.remove(rest))
            }
            (Value::Array(array), [Step::Index(index), rest @ ..]) if !rest.is_empty() => {
                array.get_mut(*index).is_some_and(|node| node.remove(rest))
            }
            _ => false,
        }
    }

    /// Gives a key another name, unless that is there already.
    pub fn rename(&mut self, way: &[Step], name: &str) -> bool {
        match (&mut self.value, way) {
            (Value::Table(table), [Step::Key(key)]) if !table.contains_key(name) => {
                let entry = table.remove(key);
                entry.map(|entry| table.insert(name.to_owned(), entry)).is_some()
            }
            (Value::Table(table), [Step::Key(key), rest @ ..]) if !rest.is_empty() => {
                table.get_mut(key).is_some_and(|entry| entry.node.rename(rest, name))
            }
            (Value::Array(array), [Step::Index(index), rest @ ..]) => {
                array.get_mut(*index).is_some_and(|node| node.rename(rest, name))
            }
            _ => false,
        }
    }

    /// Calls `change` with each string of the tree and its place.
    pub fn for_each_string(&mut self, change: &mut impl FnMut(&mut String, &Mark)) {
        match &mut self.value {
            Value::String(text) => change(text, &self.mark),
            Value::Array(array) => array.iter_mut().for_each(|node| node.for_each_string(change)),
            Value::Table(table) => table.values_mut().for_each(|entry| entry.node.for_each_string(change)),
            Value::Integer(_) | Value::Float(_) | Value::Boolean(_) | Value::Datetime => {}
        }
    }
}

impl Entry {
    /// As [`Node::merge`]; where the value is replaced, so is the place of its key.
    fn merge(&mut self, over: Self) {
        if self.node.table().is_none() || over.node.table().is_none() {
            *self = over;
        } else {
            self.node.merge(over.node);
        }
    }
}

/// Makes our tree of the parser's.
struct Builder<'s> {
    source: &'s Arc<Source>,
}

impl Builder<'_> {
    fn mark(&self, span: Range<usize>) -> Mark {
        Mark { source: Arc::clone(self.source), span }
    }

    fn table(&self, table: &DeTable<'_>) -> Table {
        table
            .iter()
            .map(|(key, value)| {
                let node = self.node(value.span(), value.get_ref());
                (key.get_ref().to_string(), Entry { key: self.mark(key.span()), node })
            })
            .collect()
    }

    fn node(&self, span: Range<usize>, value: &DeValue<'_>) -> Node {
        let mark = self.mark(span);
        let value = match value {
            DeValue::String(text) => Value::String(text.to_string()),
            DeValue::Boolean(value) => Value::Boolean(*value),
            DeValue::Datetime(_) => Value::Datetime,
            DeValue::Float(float) => Value::Float(float.as_str().parse().unwrap_or(f64::NAN)),
            DeValue::Integer(integer) => match i64::from_str_radix(integer.as_str(), integer.radix()) {
                Ok(integer) => Value::Integer(integer),
                // No key takes a number as large as this: it is told with what is expected.
                Err(_) => Value::Float(integer.as_str().parse().unwrap_or(f64::INFINITY)),
            },
            DeValue::Array(array) => {
                Value::Array(array.iter().map(|item| self.node(item.span(), item.get_ref())).collect())
            }
            DeValue::Table(table) => Value::Table(self.table(table)),
        };
        Node { mark, value }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn parse(path: &str, text: &str) -> Node {
        Node::parse(&Source::from_text(Path::new(path), text)).unwrap()
    }

    #[test]
    fn tables_merge_by_key_and_everything_else_is_replaced() {
        let mut tree = parse("a", "[c]\nx = [1, 2]\ny = 1\n[c.e]\nA = \"1\"\n");
        tree.merge(parse("b", "[c]\nx = [3]\n[c.e]\nB = \"2\"\n"));
        let x = tree.find(&["c", "x"]).unwrap();
        assert_eq!(x.key.source.path, Path::new("b"));
        assert!(matches!(&x.node.value, Value::Array(array) if array.len() == 1));
        assert_eq!(tree.find(&["c", "y"]).unwrap().key.source.path, Path::new("a"));
        assert!(tree.find(&["c", "e", "A"]).is_some() && tree.find(&["c", "e", "B"]).is_some());
    }

    #[test]
    fn every_error_of_syntax_is_reported() {
        let source = Source::from_text(Path::new("a"), "[c]\nx = \ny = [1,\n[d]\nx = 1\nx = 2\n");
        let faults = Node::parse(&source).unwrap_err();
        assert!(faults.len() >= 2, "{faults:?}");
        assert_eq!(faults[0].line(), Some(2));
    }
}
