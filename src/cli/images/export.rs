//! `sampanctl export`: an image as a directory, a tar archive, an OCI archive or a Docker archive.

use anyhow::Context as _;
use clap::ValueEnum;
use clap_complete::engine::ArgValueCandidates;
use rustix::fs::{Mode, OFlags};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::place::{self, NewDirectory, Place};
use super::progress::{Display, ProgressArgs, Words};
use super::{Common, show};
use crate::cli::candidates::image_names;
use crate::image::digest::Digest;
use crate::paths::Paths;
use crate::transfer::Watch;
use crate::transfer::export::{Export, Form, Packing};

/// Arguments of `export`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A name or an id
    #[arg(value_name = "IMAGE", add = ArgValueCandidates::new(image_names))]
    image: String,
    /// What is written
    #[arg(long, value_enum, default_value_t = Format::OciArchive)]
    format: Format,
    /// The file or the new directory; "-" is standard output
    #[arg(long, short, value_name = "FILE")]
    output: PathBuf,
    /// How the layer of an OCI archive is packed [default: gzip]
    #[arg(long, value_enum)]
    compress: Option<Compress>,
    #[command(flatten)]
    progress: ProgressArgs,
    /// The image store [default: /var/lib/sampan]
    #[arg(long, value_name = "DIR")]
    store: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// A directory with the files
    Dir,
    /// A tar archive of the files
    Tar,
    /// A tar archive of an OCI image layout
    OciArchive,
    /// What "docker save" writes
    DockerArchive,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Compress {
    /// Not at all
    None,
    /// Read by every program
    Gzip,
    /// Faster and smaller
    Zstd,
}

const WORDS: Words =
    Words { doing: "Writing", done: "Wrote", before: "Reading the index", after: "Finishing" };

/// Exports an image.
///
/// # Errors
/// When there is none of this name, a file of it is damaged, or the output cannot be written.
pub fn run(args: Args, paths: &Paths) -> anyhow::Result<u8> {
    if args.compress.is_some() && args.format != Format::OciArchive {
        anyhow::bail!("--compress is for --format=oci-archive: pack the output of another form by a pipe");
    }
    let store = super::open_store(&Common::at(args.store.as_deref(), paths))?;
    let id = store.resolve(&args.image)?;
    let display = Arc::new(Mutex::new(Display::new(&args.progress, WORDS)));
    let shown = Arc::clone(&display);
    let watch = Watch::new(move |step| locked(&shown).step(step));
    let export = Export::open(&store, &id, store.name(&args.image)?, watch)?;
    let written = write(&export, &args, paths);
    locked(&display).finish();
    // What is in a file has an id that people may want; a stream's reader gets nothing but the stream.
    show::print(&written?.map(|id| format!("{id}\n")).unwrap_or_default())?;
    Ok(0)
}

fn locked(display: &Mutex<Display>) -> MutexGuard<'_, Display> {
    // A picture that was half drawn is drawn again.
    display.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Writes an export to where it belongs; returns the id of the image in a file.
fn write(export: &Export, args: &Args, paths: &Paths) -> anyhow::Result<Option<Digest>> {
    let path = &args.output;
    if args.format == Format::Dir {
        anyhow::ensure!(
            path.as_os_str() != "-",
            "a directory cannot be written to standard output; use --format=tar"
        );
        let directory = NewDirectory::create(path)?;
        export.to_directory(directory.open()?)?;
        directory.finish()?;
        return Ok(None);
    }
    let (id, place) = place::write(path, |output| archive(export, args, paths, output))?;
    Ok(id.filter(|_| place == Place::File))
}

/// Writes an archive, and returns the id of the image in it.
fn archive(
    export: &Export,
    args: &Args,
    paths: &Paths,
    output: &mut dyn Write,
) -> anyhow::Result<Option<Digest>> {
    let output = BufWriter::with_capacity(256 << 10, output);
    let packing = match args.compress {
        Some(Compress::None) => Packing::None,
        None | Some(Compress::Gzip) => Packing::Gzip,
        Some(Compress::Zstd) => Packing::Zstd,
    };
    let form = match args.format {
        Format::Dir | Format::Tar => {
            export.to_tar(output)?;
            return Ok(None);
        }
        Format::OciArchive => Form::Oci(packing),
        Format::DockerArchive => Form::Docker,
    };
    Ok(Some(export.to_archive(form, spool(paths)?, output)?))
}

/// A file without a name.
fn spool(paths: &Paths) -> anyhow::Result<File> {
    let directory = paths.temporary();
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    let file = rustix::fs::open(&directory, flags, Mode::RUSR | Mode::WUSR);
    Ok(File::from(file.with_context(|| format!("cannot make a file in {}", directory.display()))?))
}
