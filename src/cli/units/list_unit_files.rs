//! `sampanctl list-unit-files`: a table of files and whether they are enabled.

use crate::cli::pattern::matches_any;
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
    let in_state =
        |state: FileState| args.state.is_empty() || args.state.iter().any(|word| word == state.word());
    let rows: Vec<(String, FileState)> = Search::new(paths)
        .names(&mut Vec::new())
        .iter()
        .filter_map(|name| Some((name.to_string(), state::of(paths, name)?)))
        .filter(|(name, state)| matches_any(&args.patterns, name) && in_state(*state))
        .collect();
    let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or_default().max("UNIT FILE".len());
    let mut output = io::stdout().lock();
    if !args.no_legend {
        writeln!(output, "{:<width$} STATE", "UNIT FILE")?;
    }
    for (name, state) in &rows {
        writeln!(output, "{name:<width$} {state}")?;
    }
    if !args.no_legend {
        writeln!(output, "\n{} unit files listed.", rows.len())?;
    }
    Ok(0)
}
