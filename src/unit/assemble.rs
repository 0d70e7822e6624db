//! One unit out of its file, its drop-ins and the links beside it.

use super::decode;
use super::diagnostic::{Diagnostic, Severity};
use super::lower::{self, Files};
use super::model::Unit;
use super::name::{UnitKind, UnitName};
use super::report::Report;
use super::source::Source;
use super::specifier::{self, Host};
use super::tree::{Mark, Node, Table, Value};
use std::path::Path;
use std::sync::Arc;

/// A unit with the warnings about it, or everything that is wrong, errors and warnings.
pub type Assembled = Result<(Unit, Vec<Diagnostic>), Vec<Diagnostic>>;

/// Reads the files and makes the unit.
///
/// # Errors
/// Everything that is wrong with any of the files.
pub fn assemble(name: &UnitName, files: Files, host: &Host) -> Assembled {
    assemble_with(name, files, host, None)
}

/// The same, as if one of the files had another text.
///
/// # Errors
/// As [`assemble`].
pub fn assemble_with(name: &UnitName, files: Files, host: &Host, other: Option<&Arc<Source>>) -> Assembled {
    let Merged { mut tree, mut faults, misspelt } = merged(name, &files, host, other);
    let is_whole = faults.is_empty();
    faults.extend(misspelt);
    let mut clean = tree.clone();
    let fragment = files.fragment.clone();
    let mut renamed = Vec::new();
    let (unit, found) = match name.kind() {
        UnitKind::Container => {
            let file = decode::read_as_meant(&mut clean, &mut faults, &mut renamed);
            rename(&mut tree, &renamed);
            let mut report = Report::new(&tree, &clean);
            (lower::container(name, files, file, &mut report), report.finish())
        }
        // Units of systemd's have no files of ours.
        UnitKind::Target | UnitKind::Native => {
            let file = decode::read_as_meant(&mut clean, &mut faults, &mut renamed);
            rename(&mut tree, &renamed);
            let mut report = Report::new(&tree, &clean);
            (Some(lower::target(name, files, file, &mut report)), report.finish())
        }
    };
    // Where a part is missing nobody knows what would be missing or contradict itself with it.
    faults.extend(found.into_iter().filter(|_| is_whole));
    sort(&mut faults, fragment.as_deref());
    let fatal = faults.iter().any(|fault| fault.severity == Severity::Error);
    match unit {
        Some(unit) if !fatal => Ok((unit, faults)),
        _ => Err(faults),
    }
}

/// What is said of a table is looked for under the name that it was meant to have.
fn rename(tree: &mut Node, renamed: &[decode::Renaming]) {
    for (way, name) in renamed {
        tree.rename(way, name);
    }
}

/// The place where a loaded unit says the value at `way`, or the item of it that reads `item`; `None` where its
/// files do not say it, or no longer.
pub fn find(unit: &Unit, way: &[&str], item: Option<&str>) -> Option<Mark> {
    let files = Files { fragment: unit.fragment.clone(), drop_ins: unit.drop_ins.clone() };
    let Merged { tree, .. } = merged(&unit.name, &files, &Host::default(), None);
    let value = &tree.find(way)?.node;
    let reads = |node: &&Node| matches!(&node.value, Value::String(text) if Some(text.as_str()) == item);
    match (&value.value, item) {
        (Value::Array(items), Some(_)) => items.iter().find(reads).map(|node| node.mark.clone()),
        _ => Some(value.mark.clone()),
    }
}

/// A file with its drop-ins.
struct Merged {
    tree: Node,
    /// Why some of the files cannot be read. What is read of the others has its own faults.
    faults: Vec<Diagnostic>,
    /// Specifiers that there are not.
    misspelt: Vec<Diagnostic>,
}

/// Merges what the files say of one unit: keys that its name makes the same are the same.
fn merged(name: &UnitName, files: &Files, host: &Host, other: Option<&Arc<Source>>) -> Merged {
    let nothing = Source::from_text(Path::new(&name.file_name()), "");
    let mut tree: Option<Node> = None;
    let (mut faults, mut misspelt) = (Vec::new(), Vec::new());
    for path in files.fragment.iter().chain(&files.drop_ins) {
        let source = match other.filter(|other| other.path == *path) {
            Some(other) => Ok(Arc::clone(other)),
            None => Source::read(path).map_err(|error| vec![error.into()]),
        };
        let parsed = source.and_then(|source| Node::parse(&source)).map(|mut node| {
            specifier::expand_tree(&mut node, name, host, &mut misspelt);
            node
        });
        match (parsed, &mut tree) {
            (Ok(node), Some(tree)) => tree.merge(node),
            (Ok(node), None) => tree = Some(node),
            (Err(found), _) => faults.extend(found),
        }
    }
    let empty = Node { mark: Mark { source: nothing, span: 0..0 }, value: Value::Table(Table::new()) };
    Merged { tree: tree.unwrap_or(empty), faults, misspelt }
}

/// The unit's own file first, then drop-ins by name; in each from top to bottom.
fn sort(faults: &mut [Diagnostic], fragment: Option<&Path>) {
    faults.sort_by(|one, other| {
        let key = |fault: &Diagnostic| {
            (Some(fault.path.as_path()) != fragment, fault.path.clone(), fault.line(), fault.column())
        };
        key(one).cmp(&key(other))
    });
}
