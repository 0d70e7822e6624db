//! `sampanctl import`: the source is opened here, and read by a confined worker.

use anyhow::Context as _;
use std::fs::File;
use std::io::IsTerminal as _;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::PathBuf;

use super::progress::{Display, ProgressArgs, Words};
use super::{Common, Output, show};
use crate::image::ImageError;
use crate::image::change::Change;
use crate::image::manifest::Platform;
use crate::image::reference::Reference;
use crate::paths::Paths;
use crate::settings::{self, Settings};
use crate::store::{ImageId, Scrutiny, Store};
use crate::transfer::worker::{Claims, Worker};
use crate::transfer::{Format, Naming, Report, Terms};

/// Arguments of `import`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// An archive, packed or not, a folder, or "-" for standard input
    #[arg(value_name = "FILE")]
    source: PathBuf,
    /// Name the image; a short name is below localhost/
    #[arg(long, value_name = "REF", conflicts_with = "keep_names")]
    name: Option<String>,
    /// Take the names that the source claims
    #[arg(long)]
    keep_names: bool,
    /// Import the images for this platform, such as linux/arm64, instead of this host's
    #[arg(long, value_name = "PLATFORM", value_parser = platform)]
    platform: Option<Platform>,
    /// The form of the source: oci, docker or tree; without it, it is told from the source
    #[arg(long, value_name = "FORMAT")]
    format: Option<Format>,
    /// Configure the image of a tree by an instruction of a Dockerfile, such as 'CMD ["/bin/sh"]'
    #[arg(long, short, value_name = "INSTRUCTION", value_parser = change)]
    change: Vec<String>,
    /// Read what the store has of the image already, and heal it where a disk has changed it
    #[arg(long)]
    verify: bool,
    #[command(flatten)]
    progress: ProgressArgs,
    #[command(flatten)]
    common: Common,
}

const WORDS: Words =
    Words { doing: "Reading", done: "Read", before: "Waiting for the store", after: "Writing the image" };

fn platform(text: &str) -> Result<Platform, ImageError> {
    Platform::parse(text)
}

fn change(text: &str) -> Result<String, ImageError> {
    Change::parse(text).map(|_| text.to_owned())
}

/// Imports, and prints the ids.
///
/// # Errors
/// When the source or the store is refused.
pub fn run(args: Args, paths: &Paths) -> anyhow::Result<u8> {
    if !rustix::process::geteuid().is_root() {
        anyhow::bail!("import writes files of foreign owners and must be run as root");
    }
    let input = match args.source.as_os_str().as_encoded_bytes() {
        b"-" if std::io::stdin().is_terminal() => {
            anyhow::bail!("standard input is a terminal, no archive comes from it")
        }
        b"-" => std::io::stdin().as_fd().try_clone_to_owned()?,
        _ => File::open(&args.source).with_context(|| args.source.display().to_string())?.into(),
    };
    let report = run_worker(&args, input, paths).with_context(|| args.source.display().to_string())?;
    note(&report, &args.common.paths(paths));
    match args.common.output {
        Output::Json => show::print(&format!("{}\n", serde_json::to_string_pretty(&report)?))?,
        Output::Text => print(&report)?,
    }
    Ok(0)
}

/// What the settings of the host ask of an image.
pub(super) fn terms(paths: &Paths, verify: bool) -> anyhow::Result<Terms> {
    let scrutiny = if verify { Scrutiny::Content } else { Scrutiny::Status };
    Ok(Terms { limits: Settings::load(paths)?.import, policy: settings::load_policy(paths)?, scrutiny })
}

fn run_worker(args: &Args, input: OwnedFd, paths: &Paths) -> anyhow::Result<Report> {
    let (program, terms) = (paths.helper("sampan-import"), terms(paths, args.verify)?);
    let store = std::path::absolute(args.common.paths(paths).store())?;
    let mut display = Display::new(&args.progress, WORDS);
    let worker = Worker::start(&program, &store, &args.claims()?, &terms, input)?;
    let report = worker.wait(|step| display.step(step));
    display.finish();
    Ok(report?)
}

impl Args {
    fn claims(&self) -> Result<Claims, ImageError> {
        let naming = match &self.name {
            Some(name) => Naming::Name(Reference::for_import(name)?),
            None if self.keep_names => Naming::Claimed,
            None => Naming::Nameless,
        };
        let (platform, changes) = (self.platform.clone(), self.change.clone());
        Ok(Claims { naming, format: self.format, platform, changes })
    }
}

/// What images cost is asked later, when their trees may be in memory no more.
pub(super) fn note(report: &Report, paths: &Paths) {
    let Ok(store) = Store::open(paths) else { return };
    let new = report.images.iter().filter(|image| !image.present);
    new.filter_map(|image| ImageId::new(image.id.clone()).ok()).for_each(|id| store.note_files(&id));
}

/// Prints what an import did: ids and names, and what people should know.
pub(super) fn print(report: &Report) -> anyhow::Result<()> {
    for image in &report.images {
        for notice in &image.notices {
            eprintln!("Notice: {notice}");
        }
        let names: Vec<String> = image.names.iter().map(ToString::to_string).collect();
        show::print(&format!("{}\n", [vec![image.id.to_string()], names].concat().join(" ")))?;
    }
    if report.healed > 0 {
        eprintln!("Healed {} damaged files of the store.", report.healed);
    }
    Ok(())
}
