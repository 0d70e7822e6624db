//! Collects what is wrong with one unit, by the keys that it is about.

use super::diagnostic::{Diagnostic, Severity};
use super::suggest;
use super::tree::{FAULTS_MAX, Mark, Node, Value};
use super::value::ValueError;

/// The tree of a unit and what has been found in it.
#[derive(Debug)]
pub struct Report<'t> {
    tree: &'t Node,
    read: &'t Node,
    found: Vec<Diagnostic>,
}

impl<'t> Report<'t> {
    /// An empty report about a tree as written, and about what could be read of it.
    pub fn new(tree: &'t Node, read: &'t Node) -> Self {
        Self { tree, read, found: Vec::new() }
    }

    /// The tree as written, with keys whose values have been reported as faulty.
    pub fn tree(&self) -> &'t Node {
        self.tree
    }

    /// What could be read of it.
    pub fn read(&self) -> &'t Node {
        self.read
    }

    /// An error in the value at `way`.
    pub fn error(&mut self, way: &[&str], message: impl AsRef<str>, help: impl AsRef<str>) {
        let mark = self.mark(way);
        self.push(&mark, Severity::Error, message, help);
    }

    /// An error in the table at `way`, which lacks a key; not if there is another key that was probably meant
    /// to be it, or if the key is there and faulty, since that has been reported.
    pub fn missing(&mut self, way: &[&str], key: &str, help: impl AsRef<str>) {
        let Some(table) = self.tree.find(way).and_then(|entry| entry.node.table()) else { return };
        if table.keys().all(|other| suggest::nearest(other, [key]).is_none()) {
            self.error(way, format!("[{}] has no \"{key}\"", title(way)), help);
        }
    }

    /// An error that the grammar of the value at `way` found.
    pub fn value_error(&mut self, way: &[&str], error: &ValueError) {
        self.error(way, error.message(), error.help());
    }

    /// Something of the value at `way` that is passed over.
    pub fn warning(&mut self, way: &[&str], message: impl AsRef<str>, help: impl AsRef<str>) {
        let mark = self.mark(way);
        self.push(&mark, Severity::Warning, message, help);
    }

    /// An error in one item of the array at `way`.
    pub fn item_error(
        &mut self,
        way: &[&str],
        index: usize,
        message: impl AsRef<str>,
        help: impl AsRef<str>,
    ) {
        let mark = self.item(way, index);
        self.push(&mark, Severity::Error, message, help);
    }

    /// An item of the array at `way` that is passed over.
    pub fn item_warning(
        &mut self,
        way: &[&str],
        index: usize,
        message: impl AsRef<str>,
        help: impl AsRef<str>,
    ) {
        let mark = self.item(way, index);
        self.push(&mark, Severity::Warning, message, help);
    }

    /// Everything found.
    pub fn finish(self) -> Vec<Diagnostic> {
        self.found
    }

    /// An empty `help` is none.
    fn push(&mut self, mark: &Mark, severity: Severity, message: impl AsRef<str>, help: impl AsRef<str>) {
        if self.found.len() >= FAULTS_MAX {
            return;
        }
        let help = Some(help).filter(|help| !help.as_ref().is_empty());
        self.found.push(mark.diagnostic(severity, message).with_help(help));
    }

    /// The place of a value, or of the key of the innermost table on the way to it that is there. The place
    /// of a table is its key.
    fn mark(&self, way: &[&str]) -> Mark {
        for length in (1..=way.len()).rev() {
            if let Some(entry) = self.tree.find(&way[..length]) {
                return if entry.node.table().is_some() {
                    entry.key.clone()
                } else {
                    entry.node.mark.clone()
                };
            }
        }
        self.tree.mark.clone()
    }

    /// Items are counted without those that could not be read.
    fn item(&self, way: &[&str], index: usize) -> Mark {
        match self.read.find(way).map(|entry| &entry.node.value) {
            Some(Value::Array(items)) if index < items.len() => items[index].mark.clone(),
            _ => self.mark(way),
        }
    }
}

/// The name of a table as its header has it: `mount."/data"`.
fn title(way: &[&str]) -> String {
    let bare =
        |word: &str| word.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-');
    let words: Vec<String> =
        way.iter().map(|word| if bare(word) { (*word).to_owned() } else { format!("\"{word}\"") }).collect();
    words.join(".")
}
