//! sampanctl: the command line of Sampan.

use clap::{Parser, Subcommand};
use sampan::cli::units::{cat, enable, list_unit_files, schema, verify};
use sampan::paths::Paths;
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Debug, Parser)]
struct Command {
    /// The root directory.
    #[arg(long, default_value = "/")]
    root: PathBuf,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Verify(verify::VerifyArgs),
    Schema(schema::SchemaArgs),
    Cat(cat::CatArgs),
    Enable(enable::EnableArgs),
    Disable(enable::EnableArgs),
    Reenable(enable::EnableArgs),
    Mask(enable::EnableArgs),
    Unmask(enable::EnableArgs),
    IsEnabled(enable::EnableArgs),
    ListUnitFiles(list_unit_files::ListUnitFilesArgs),
    #[command(flatten)]
    Image(sampan::cli::images::ImageVerb),
}

fn main() -> ExitCode {
    let command = Command::parse();
    let paths = Paths::new(&command.root);
    let result = match &command.verb {
        Verb::Image(_) => { let Verb::Image(verb) = command.verb else { unreachable!() }; return match sampan::cli::images::run(verb, &paths) { Ok(s) => ExitCode::from(s), Err(e) => { eprintln!("{e:#}"); ExitCode::FAILURE } } }
        Verb::Verify(args) => verify::run(args, &paths),
        Verb::Schema(args) => schema::run(args, &paths),
        Verb::Cat(args) => cat::run(args, &paths),
        Verb::Enable(args) => enable::enable(args, &paths),
        Verb::Disable(args) => enable::disable(args, &paths),
        Verb::Reenable(args) => enable::reenable(args, &paths),
        Verb::Mask(args) => enable::mask(args, &paths),
        Verb::Unmask(args) => enable::unmask(args, &paths),
        Verb::IsEnabled(args) => enable::is_enabled(args, &paths),
        Verb::ListUnitFiles(args) => list_unit_files::run(args, &paths),
    };
    match result {
        Ok(status) => ExitCode::from(status),
        Err(error) => {
            eprintln!("sampanctl: {error:#}");
            ExitCode::FAILURE
        }
    }
}
