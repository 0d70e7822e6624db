//! How values of images are written for people and in JSON.

use crate::cli::output::{JsonLayout, print_json};
use serde_json::Value;
use std::io::Write as _;

/// Writes lines or a document to standard output. A reader that went away, as of a pipe, is no error.
pub(in crate::cli) fn print(text: &str) -> anyhow::Result<()> {
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        result => Ok(result?),
    }
}

/// The same of JSON, indented.
pub(in crate::cli) fn print_indented(json: &str) -> anyhow::Result<()> {
    let value: Value = serde_json::from_str(json)?;
    print_json(&value, JsonLayout::Indented)
}

/// Bytes as people read them: `3.2M`.
pub(in crate::cli) fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "K", "M", "G", "T"];
    let mut scaled = bytes as f64;
    let mut unit = 0;
    while scaled >= 1024.0 && unit + 1 < UNITS.len() {
        scaled /= 1024.0;
        unit += 1;
    }
    match unit {
        0 => format!("{bytes}B"),
        _ => format!("{scaled:.1}{}", UNITS[unit]),
    }
}

/// Columns with a gap of one space, as systemctl prints them.
pub(in crate::cli) fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or_default();
    let width = |column: usize| {
        rows.iter()
            .filter_map(|row| row.get(column))
            .map(|cell| cell.chars().count())
            .max()
            .unwrap_or_default()
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells: Vec<String> =
            row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        format!("{}\n", cells.join(" ").trim_end())
    };
    rows.iter().map(line).collect()
}

/// Bytes in JSON, as `journalctl --output=json` has them: a string, or, where they are not UTF-8, an array of numbers.
pub(in crate::cli) fn json_bytes(bytes: &[u8]) -> Value {
    std::str::from_utf8(bytes).map_or_else(|_| Value::from(bytes), Value::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_written_exactly() {
        assert_eq!(json_bytes(b"a\"\n").to_string(), r#""a\"\n""#);
        assert_eq!(json_bytes(b"a\xff").to_string(), "[97,255]");
        assert_eq!((size(10), size(3 << 20)), ("10B".to_owned(), "3.0M".to_owned()));
    }
}
