//! `unit.condition` and `unit.assert` as meant.

use crate::unit::model::{Condition, Otherwise, Test};
use crate::unit::report::Report;
use crate::unit::schema::{ConditionTable, UnitTable};
use crate::unit::value::{AbsolutePath, Written};
use std::path::PathBuf;

/// All conditions of a unit; those that assert come last, as in systemd.unit(5).
pub fn lower(table: &UnitTable, report: &mut Report<'_>) -> Vec<Condition> {
    let mut conditions = Vec::new();
    for (key, table, otherwise) in
        [("condition", &table.condition, Otherwise::Skip), ("assert", &table.asserted, Otherwise::Fail)]
    {
        if let Some(table) = table {
            conditions.extend(tests(key, table, otherwise, report));
        }
    }
    conditions
}

/// A key, its value, and the test that it makes.
type PathTest<'a> = (&'a str, &'a Option<String>, fn(PathBuf) -> Test);

fn tests(key: &str, table: &ConditionTable, otherwise: Otherwise, report: &mut Report<'_>) -> Vec<Condition> {
    let paths: [PathTest<'_>; 4] = [
        ("path_exists", &table.path_exists, Test::PathExists),
        ("path_is_directory", &table.path_is_directory, Test::PathIsDirectory),
        ("directory_not_empty", &table.directory_not_empty, Test::DirectoryNotEmpty),
        ("file_not_empty", &table.file_not_empty, Test::FileNotEmpty),
    ];
    let mut conditions = Vec::new();
    for (name, value, test) in paths {
        let Some((expected, path)) = value.as_deref().map(negation) else { continue };
        match AbsolutePath::read(path) {
            Ok(path) => conditions.push(Condition { test: test(path.0), expected, otherwise }),
            Err(error) => report.value_error(&["unit", key, name], &error),
        }
    }
    if let Some((expected, host)) = table.host.as_deref().map(negation) {
        conditions.push(Condition { test: Test::Host(host.to_owned()), expected, otherwise });
    }
    conditions
}

/// Whether the rest must hold, and the rest: a `!` before it turns it round.
fn negation(text: &str) -> (bool, &str) {
    match text.strip_prefix('!') {
        Some(rest) => (false, rest.trim_start()),
        None => (true, text),
    }
}
