//! The import worker: one transfer from its standard input into the store, confined.
//!
//! It is started by other programs of Sampan, which open the source. It writes a report to standard output, or
//! one line to standard error and exits with 1.
#![forbid(unsafe_code)]

use clap::Parser;
use sampan::image::change::Change;
use sampan::image::manifest::Platform;
use sampan::image::reference::Reference;
use sampan::paths::Paths;
use sampan::store::Store;
use sampan::transfer::{Format, Naming, Selection, confine, import};
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
    /// The form of the source.
    #[arg(long)]
    format: Option<Format>,
    /// The platform whose images are wanted.
    #[arg(long)]
    platform: Option<String>,
    /// A change to the configuration that is made for a tree.
    #[arg(long, allow_hyphen_values = true)]
    change: Vec<String>,
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
    let selection = Selection {
        format: args.format,
        platform: args.platform.as_deref().map(Platform::parse).transpose()?,
        changes: args.change.iter().map(|text| Change::parse(text)).collect::<Result<_, _>>()?,
    };
    let store = Store::create(&Paths::default().with_store(&args.store))?;
    let input: OwnedFd = std::io::stdin().as_fd().try_clone_to_owned()?;
    confine::confine(store.root(), input.as_fd())?;
    let report = import(&store, input, &selection, &naming)?;
    serde_json::to_writer(std::io::stdout(), &report)?;
    Ok(())
}
