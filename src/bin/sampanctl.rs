//! The command line: arguments, one call, an exit status.
#![forbid(unsafe_code)]

use clap::Parser;
use sampan::cli::images::{ImageVerb, run};
use sampan::paths::Paths;
use std::process::ExitCode;

/// Controls containers and images.
#[derive(Parser)]
#[command(version)]
struct Args {
    #[command(subcommand)]
    verb: ImageVerb,
}

fn main() -> ExitCode {
    match run(Args::parse().verb, &Paths::default()) {
        Ok(status) => status.into(),
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}
