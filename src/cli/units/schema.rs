//! `sampanctl schema`: prints the JSON schema of unit files, for editors.

use crate::cli::output::{Paging, print};
use crate::paths::Paths;
use crate::unit::schema;
use clap::{Args, ValueEnum};

/// Prints the JSON schema of unit files, for editors.
#[derive(Debug, Clone, Args)]
pub struct SchemaArgs {
    /// The type of unit.
    #[arg(value_enum, default_value_t = Kind::Container)]
    pub kind: Kind,
}

/// A type of unit on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// `NAME.container.toml`.
    Container,
    /// `NAME.target.toml`.
    Target,
}

/// Runs `schema`.
///
/// # Errors
/// When the output cannot be written.
pub fn run(args: &SchemaArgs, _: &Paths) -> anyhow::Result<u8> {
    let schema = match args.kind {
        Kind::Container => schema::of_containers(),
        Kind::Target => schema::of_targets(),
    };
    let text = serde_json::to_string_pretty(&schema)?;
    print(&format!("{text}\n"), Paging::Never)?;
    Ok(0)
}
