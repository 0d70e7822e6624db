//! `sampanctl volumes export`: the files of a volume as a tar archive.

use clap_complete::engine::ArgValueCandidates;
use std::io::{BufWriter, Write as _};
use std::path::PathBuf;

use super::StoreArgs;
use crate::cli::candidates::volume_names;
use crate::cli::images::place;
use crate::paths::Paths;
use crate::transfer::volume;

/// Arguments of `volumes export`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A name
    #[arg(value_name = "VOLUME", add = ArgValueCandidates::new(volume_names))]
    name: String,
    /// The file; "-" is standard output
    #[arg(long, short, value_name = "FILE")]
    output: PathBuf,
    #[command(flatten)]
    store: StoreArgs,
}

const BUFFER: usize = 256 << 10;

/// Exports a volume.
///
/// # Errors
/// When there is none of this name, or the archive cannot be written.
pub(super) fn run(args: &Args, paths: &Paths) -> anyhow::Result<u8> {
    let open = args.store.existing(paths)?.open(&args.name)?;
    place::write(&args.output, |output| {
        let mut output = BufWriter::with_capacity(BUFFER, output);
        volume::export(&open, &mut output)?;
        Ok(output.flush()?)
    })?;
    Ok(0)
}
