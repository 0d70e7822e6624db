//! `sampanctl cat`: prints the files of units, each after its path.

use super::{FAILURE, names};
use crate::paths::Paths;
use crate::unit::name::UnitName;
use crate::unit::search::{Found, Search};
use clap::Args;
use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;

/// Prints the files of units, each after its path.
#[derive(Debug, Clone, Args)]
pub struct CatArgs {
    /// Names of units.
    #[arg(value_name = "UNIT", required = true)]
    pub units: Vec<String>,
}

/// Runs `cat`.
///
/// # Errors
/// When a name is none, a file cannot be read or the output cannot be written.
pub fn run(args: &CatArgs, paths: &Paths) -> anyhow::Result<u8> {
    let search = Search::new(paths);
    let mut output = io::stdout().lock();
    let mut status = 0;
    let mut printed = false;
    for name in names(&args.units)? {
        let Some(files) = files(&search, &name) else {
            writeln!(io::stderr(), "No files found for {name}.")?;
            status = FAILURE;
            continue;
        };
        for path in files {
            let text =
                fs::read_to_string(&path).map_err(|error| anyhow::anyhow!("{}: {error}", path.display()))?;
            let gap = if printed { "\n" } else { "" };
            let end = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
            write!(output, "{gap}# {}\n{text}{end}", path.display())?;
            printed = true;
        }
    }
    Ok(status)
}

/// The unit's file and its drop-ins; `None` if there are none.
fn files(search: &Search, name: &UnitName) -> Option<Vec<PathBuf>> {
    let (name, fragment) = match search.find(name) {
        Some(Found::Alias(other)) => {
            let file = match search.find(&other) {
                Some(Found::File(file) | Found::Linked { file, .. }) => Some(file),
                _ => None,
            };
            (other, file)
        }
        Some(Found::File(file) | Found::Linked { file, .. } | Found::Masked(file)) => {
            (name.clone(), Some(file))
        }
        Some(Found::Dangling { .. }) | None => (name.clone(), None),
    };
    let files: Vec<PathBuf> = fragment.into_iter().chain(search.drop_ins(&name)).collect();
    if files.is_empty() { None } else { Some(files) }
}
