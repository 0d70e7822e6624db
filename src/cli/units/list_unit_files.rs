//! `sampanctl list-unit-files`: a table of files and whether they are enabled.

use crate::cli::display::{DisplayArgs, Layout};
use crate::cli::list_units::asks_for_help;
use crate::cli::output::{Paging, print};
use crate::cli::text::{Column, Table, Tone};
use crate::paths::Paths;
use crate::unit::load::Loader;
use crate::unit::pattern::matches_any;
use crate::unit::state::{self, FileState};
use clap::Args;
use serde::Serialize;

/// Lists unit files and whether they are enabled.
#[derive(Debug, Clone, Default, Args)]
pub struct ListUnitFilesArgs {
    /// Only names that match; "*" and "?" stand for any characters and any one
    #[arg(value_name = "PATTERN")]
    pub patterns: Vec<String>,
    /// Only files in one of these states, with commas between
    #[arg(long, value_delimiter = ',')]
    pub state: Vec<String>,
    /// How it is printed
    #[command(flatten)]
    pub display: DisplayArgs,
}

/// One file as JSON, with the names that systemctl gives.
#[derive(Serialize)]
struct Row {
    unit_file: String,
    state: &'static str,
}

/// Runs `list-unit-files`.
///
/// # Errors
/// When the output cannot be written.
pub fn run(args: &ListUnitFilesArgs, paths: &Paths) -> anyhow::Result<u8> {
    if asks_for_help(&args.state) {
        let states: String = FileState::ALL.iter().map(|state| format!("{}\n", state.word())).collect();
        print(&states, Paging::Never)?;
        return Ok(0);
    }
    let rows = rows(args, paths);
    args.display.show(&rows, |layout| table(&rows, layout))?;
    Ok(0)
}

fn rows(args: &ListUnitFilesArgs, paths: &Paths) -> Vec<Row> {
    let in_state =
        |state: FileState| args.state.is_empty() || args.state.iter().any(|word| word == state.word());
    let loader = Loader::new(paths);
    let names = loader.search().names();
    names
        .iter()
        .filter(|name| matches_any(&args.patterns, name.as_str()))
        .filter_map(|name| Some((name.to_string(), state::of_with(&loader, name)?)))
        .filter(|(_, state)| in_state(*state))
        .map(|(name, state)| Row { unit_file: name, state: state.word() })
        .collect()
}

fn table(rows: &[Row], layout: &Layout) -> String {
    let mut table = Table::new(&[Column::new("UNIT FILE"), Column::new("STATE")]);
    for row in rows {
        let tone = match row.state {
            "enabled" | "enabled-runtime" => Tone::Good,
            "masked" | "masked-runtime" | "bad" => Tone::Bad,
            _ => Tone::Normal,
        };
        table.row([(row.unit_file.clone(), Tone::Normal), (row.state.to_owned(), tone)]);
    }
    layout.list(&table, "unit files", None)
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
        let list = |args: &ListUnitFilesArgs| {
            let layout = Layout { heading: args.display.layout().heading, ..Layout::PLAIN };
            table(&rows(args, &Paths::new(root.path())), &layout)
        };
        let args = ListUnitFilesArgs::default();
        assert_eq!(
            list(&args),
            "UNIT FILE         STATE\n\
             old.container     masked\n\
             web.container     static\n\
             worker@.container bad\n\n\
             3 unit files listed.\n"
        );
        let display = DisplayArgs { no_legend: true, ..DisplayArgs::default() };
        let few = ListUnitFilesArgs { patterns: vec!["web".into()], state: vec!["static".into()], display };
        assert_eq!(list(&few), "web.container static\n");
    }
}
