//! The import worker: one transfer from its standard input into the store, confined.
//!
//! It is started by other programs of Sampan, which open the source. It writes a report to standard output, or
//! one line to standard error and exits with 1.
#![forbid(unsafe_code)]

use clap::Parser;
use sampan::image::limits::Limits;
use sampan::image::origin::Policy;
use sampan::image::reference::Reference;
use sampan::paths::Paths;
use sampan::store::Store;
use sampan::transfer::{Naming, Terms, confine, import};
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
    /// What an image may cost, as the settings of the host have it.
    #[arg(long, value_parser = limits, default_value = "")]
    limits: Limits,
    /// Which names it may have.
    #[arg(long, value_parser = policy, default_value = "")]
    policy: Policy,
}

fn policy(text: &str) -> Result<Policy, serde_json::Error> {
    match text {
        "" => Ok(Policy::default()),
        text => serde_json::from_str(text),
    }
}

fn limits(text: &str) -> Result<Limits, serde_json::Error> {
    match text {
        "" => Ok(Limits::default()),
        text => serde_json::from_str(text),
    }
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
    let naming = match args.name {
        Some(name) => Naming::Name(Reference::parse(&name)?),
        None if args.keep_names => Naming::Claimed,
        None => Naming::Nameless,
    };
    let store = Store::create(&Paths::default().with_store(&args.store))?;
    let input: OwnedFd = std::io::stdin().as_fd().try_clone_to_owned()?;
    confine::confine(store.root(), input.as_fd())?;
    let report = import(&store, input, &naming, &Terms { limits: args.limits, policy: args.policy })?;
    serde_json::to_writer(std::io::stdout(), &report)?;
    Ok(())
}
