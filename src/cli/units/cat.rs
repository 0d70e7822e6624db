//! `sampanctl cat`: prints the files of units, each after its path.

use super::{FAILURE, names};
use crate::cli::candidates::unit_names;
use crate::cli::display::TextArgs;
use crate::cli::output::print;
use crate::paths::Paths;
use crate::unit::diagnostic::Diagnostic;
use crate::unit::name::UnitName;
use crate::unit::search::{Found, Search};
use crate::unit::source::Source;
use clap::Args;
use clap_complete::engine::ArgValueCandidates;
use std::io::{self, Write};
use std::path::PathBuf;

/// Prints the files of units, each after its path.
#[derive(Debug, Clone, Args)]
pub struct CatArgs {
    /// Names of units
    #[arg(value_name = "UNIT", required = true, add = ArgValueCandidates::new(unit_names))]
    pub units: Vec<String>,
    /// How it is printed
    #[command(flatten)]
    pub text: TextArgs,
}

/// Runs `cat`.
///
/// # Errors
/// When a name is none, a file cannot be read or the output cannot be written.
pub fn run(args: &CatArgs, paths: &Paths) -> anyhow::Result<u8> {
    let search = Search::new(paths);
    let mut status = 0;
    let mut found = Vec::new();
    for name in names(&args.units)? {
        match files(&search, &name) {
            Some(files) => found.extend(files),
            None => {
                writeln!(io::stderr(), "No files found for {name}.")?;
                status = FAILURE;
            }
        }
    }
    print(&text(&found)?, args.text.paging())?;
    Ok(status)
}

/// The files with the path of each before it, and a blank line between.
fn text(files: &[PathBuf]) -> anyhow::Result<String> {
    let mut text = String::new();
    for path in files {
        let source = Source::read(path).map_err(Diagnostic::from)?;
        let gap = if text.is_empty() { "" } else { "\n" };
        let end = if source.text.is_empty() || source.text.ends_with('\n') { "" } else { "\n" };
        text.push_str(&format!("{gap}# {}\n{}{end}", path.display(), source.text));
    }
    Ok(text)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drop_ins_follow_the_file_of_an_alias() {
        let root = tempfile::tempdir().unwrap();
        let units = root.path().join("etc/sampan/units");
        std::fs::create_dir_all(units.join("web.container.toml.d")).unwrap();
        std::fs::write(units.join("web.container.toml"), "[container]\nimage = \"a\"").unwrap();
        std::fs::write(units.join("web.container.toml.d/10.toml"), "[container]\n").unwrap();
        std::os::unix::fs::symlink("web.container.toml", units.join("blog.container.toml")).unwrap();
        let search = Search::new(&Paths::new(root.path()));
        let text = |unit: &str| text(&files(&search, &UnitName::parse(unit).unwrap()).unwrap()).unwrap();
        let (file, drop_in) = (units.join("web.container.toml"), units.join("web.container.toml.d/10.toml"));
        let expected = format!(
            "# {}\n[container]\nimage = \"a\"\n\n# {}\n[container]\n",
            file.display(),
            drop_in.display()
        );
        assert_eq!(text("web.container"), expected);
        assert_eq!(text("blog.container"), expected);
        assert_eq!(files(&search, &UnitName::parse("none.container").unwrap()), None);
    }
}
