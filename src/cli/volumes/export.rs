//! `sampanctl volumes export`: the files of a volume as a tar archive.

use anyhow::Context as _;
use clap_complete::engine::ArgValueCandidates;
use std::io::{self, BufWriter, IsTerminal as _, Write as _};
use std::path::PathBuf;

use super::StoreArgs;
use crate::cli::candidates::volume_names;
use crate::cli::images::place::NewFile;
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
    if args.output.as_os_str() == "-" {
        anyhow::ensure!(!io::stdout().is_terminal(), "not writing an archive to a terminal");
        volume::export(&open, BufWriter::with_capacity(BUFFER, io::stdout().lock()))?;
    } else if std::fs::metadata(&args.output).is_ok_and(|metadata| !metadata.is_file()) {
        // A pipe or a device is written to: a rename would put a file in its place.
        let file = std::fs::File::options().write(true).open(&args.output);
        let file = file.with_context(|| args.output.display().to_string())?;
        volume::export(&open, BufWriter::with_capacity(BUFFER, file))?;
    } else {
        let partial = NewFile::create(&args.output)?;
        let mut output = BufWriter::with_capacity(BUFFER, &partial.file);
        volume::export(&open, &mut output)?;
        output.flush()?;
        drop(output);
        partial.finish(&args.output)?;
    }
    Ok(0)
}
