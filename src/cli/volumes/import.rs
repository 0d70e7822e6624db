//! `sampanctl volumes import`: a new volume of a tar archive.

use anyhow::Context as _;
use clap::ValueHint;
use std::fs::File;
use std::io::{self, IsTerminal as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::PathBuf;

use super::StoreArgs;
use crate::paths::Paths;
use crate::settings::Settings;
use crate::store::{Store, StoreError};
use crate::transfer::{confine, volume};

/// Arguments of `volumes import`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The name of the new volume
    #[arg(value_name = "VOLUME")]
    name: String,
    /// The archive, plain or packed with gzip or zstd; "-" is standard input
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    archive: PathBuf,
    #[command(flatten)]
    store: StoreArgs,
}

/// Imports a volume.
///
/// # Errors
/// When there is one of this name, or the archive is broken; no volume is made then.
pub(super) fn run(args: &Args, paths: &Paths) -> anyhow::Result<u8> {
    let limits = Settings::load(paths)?.import;
    let input: OwnedFd = match args.archive.as_os_str() == "-" {
        true if io::stdin().is_terminal() => anyhow::bail!("not reading an archive from a terminal"),
        true => io::stdin().as_fd().try_clone_to_owned()?,
        false => File::open(&args.archive).with_context(|| args.archive.display().to_string())?.into(),
    };
    let store = Store::create(&args.store.paths(paths))?;
    let volumes = store.volumes();
    // Before anything is read of what may come from anywhere.
    confine::confine(store.root(), input.as_fd())?;
    let mut notices = Vec::new();
    let input = File::from(input);
    let mut failure = None;
    let made = volumes.create(&args.name, |volume| {
        match volume::import(volume, &input, &limits) {
            Ok(found) => notices = found,
            Err(error) => {
                let text = error.to_string();
                failure = Some(error);
                return Err(StoreError::Entry { entry: String::new(), reason: text });
            }
        }
        Ok(())
    });
    match (failure, made) {
        (Some(error), _) => return Err(error).with_context(|| args.archive.display().to_string()),
        (None, made) => made?,
    }
    for notice in notices {
        eprintln!("Notice: {notice}");
    }
    Ok(0)
}
