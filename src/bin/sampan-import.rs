//! The import worker: one transfer from its standard input into the store, confined.
//!
//! It is started by other programs of Sampan, which open the source. It writes a report to standard output, or
//! one line to standard error and exits with 1.
#![forbid(unsafe_code)]

use clap::Parser;
use sampan::image::reference::Reference;
use sampan::paths::Paths;
use sampan::store::{Scrutiny, Store};
use sampan::transfer::{Naming, confine, import};
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::PathBuf;
use std::process::ExitCode;

/// Brings the image on standard input into the store.
#[derive(Parser)]
struct Args {
    /// The image store.
    #[arg(long)]
    store: PathBuf,
    /// A full name for the image.
    #[arg(long, conflicts_with = "keep_names")]
    name: Option<String>,
    /// Gives the images the names that the source claims.
    #[arg(long)]
    keep_names: bool,
    /// Reads what the store has of the images, and heals it.
    #[arg(long)]
    verify: bool,
    /// Writes to standard error how long each phase takes.
    #[arg(long)]
    trace: bool,
}

fn main() -> ExitCode {
    match run(Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: Args) -> anyhow::Result<()> {
    if args.trace {
        tracing_subscriber::fmt().with_writer(std::io::stderr).with_max_level(tracing::Level::DEBUG).init();
    }
    let naming = match args.name {
        Some(name) => Naming::Name(Reference::parse(&name)?),
        None if args.keep_names => Naming::Claimed,
        None => Naming::Nameless,
    };
    let store = Store::create(&Paths::default().with_store(&args.store))?;
    let input: OwnedFd = std::io::stdin().as_fd().try_clone_to_owned()?;
    confine::confine(store.root(), input.as_fd())?;
    let scrutiny = if args.verify { Scrutiny::Content } else { Scrutiny::Status };
    let report = import(&store, input, &naming, scrutiny)?;
    serde_json::to_writer(std::io::stdout(), &report)?;
    Ok(())
}
