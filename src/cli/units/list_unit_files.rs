//! `sampanctl list-unit-files`: a table of files and whether they are enabled.

use crate::paths::Paths;
use crate::unit::search::Search;
use crate::unit::state::{self, FileState};
use clap::Args;
use std::io::{self, Write};

/// Lists unit files and whether they are enabled.
#[derive(Debug, Clone, Args)]
pub struct ListUnitFilesArgs {
    /// Only names that match; "*" and "?" stand for any characters and any one.
    #[arg(value_name = "PATTERN")]
    pub patterns: Vec<String>,
    /// Only files in one of these states, with commas between.
    #[arg(long, value_delimiter = ',')]
    pub state: Vec<String>,
    /// Prints no header and no count.
    #[arg(long)]
    pub no_legend: bool,
}

/// Runs `list-unit-files`.
///
/// # Errors
/// When the output cannot be written.
pub fn run(args: &ListUnitFilesArgs, paths: &Paths) -> anyhow::Result<u8> {
    io::stdout().write_all(table(args, paths).as_bytes())?;
    Ok(0)
}

fn table(args: &ListUnitFilesArgs, paths: &Paths) -> String {
    let named =
        |name: &str| args.patterns.is_empty() || args.patterns.iter().any(|pattern| matches(pattern, name));
    let in_state =
        |state: FileState| args.state.is_empty() || args.state.iter().any(|word| word == state.word());
    let rows: Vec<(String, FileState)> = Search::new(paths)
        .names(&mut Vec::new())
        .iter()
        .filter(|name| named(name.as_str()))
        .filter_map(|name| Some((name.to_string(), state::of(paths, name)?)))
        .filter(|(_, state)| in_state(*state))
        .collect();
    let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or_default().max("UNIT FILE".len());
    let lines = rows.iter().map(|(name, state)| format!("{name:<width$} {state}\n"));
    if args.no_legend {
        return lines.collect();
    }
    format!(
        "{:<width$} STATE\n{}\n{} unit files listed.\n",
        "UNIT FILE",
        lines.collect::<String>(),
        rows.len()
    )
}

/// A match of the whole name; a pattern without a type means a container.
fn matches(pattern: &str, name: &str) -> bool {
    glob(pattern.as_bytes(), name.as_bytes())
        || name.strip_suffix(".container").is_some_and(|stem| stem == pattern)
}

fn glob(pattern: &[u8], text: &[u8]) -> bool {
    let (mut at, mut from) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while from < text.len() {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at, from));
                at += 1;
            }
            Some(byte) if *byte == b'?' || *byte == text[from] => {
                at += 1;
                from += 1;
            }
            _ => match &mut star {
                Some((star_at, star_from)) => {
                    *star_from += 1;
                    (at, from) = (*star_at + 1, *star_from);
                }
                None => return false,
            },
        }
    }
    pattern[at..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_a_row_for_each_file() {
        let root = tempfile::tempdir().unwrap();
        let units = root.path().join("etc/sampan/units");
        std::fs::create_dir_all(&units).unwrap();
        std::fs::write(units.join("web.container.toml"), "[container]\nimage = \"a\"\n").unwrap();
        std::fs::write(units.join("worker@.container.toml"), "[container]\nimagee = \"a\"\n").unwrap();
        std::os::unix::fs::symlink("/dev/null", units.join("old.container.toml")).unwrap();
        let list = |args: &ListUnitFilesArgs| table(args, &Paths::new(root.path()));
        let args = ListUnitFilesArgs { patterns: Vec::new(), state: Vec::new(), no_legend: false };
        assert_eq!(
            list(&args),
            "UNIT FILE         STATE\n\
             old.container     masked\n\
             web.container     static\n\
             worker@.container bad\n\n\
             3 unit files listed.\n"
        );
        let few =
            ListUnitFilesArgs { patterns: vec!["web".into()], state: vec!["static".into()], no_legend: true };
        assert_eq!(list(&few), "web.container static\n");
    }

    #[test]
    fn patterns_match_whole_names() {
        assert!(
            matches("web", "web.container")
                && matches("w*.container", "web.container")
                && matches("*", "a.target")
        );
        assert!(!matches("we", "web.container") && !matches("w?.container", "web.container"));
    }
}
