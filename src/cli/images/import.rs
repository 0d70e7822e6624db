//! `sampanctl import`: the source is opened here, and read by a confined worker of this process or of the manager.

use anyhow::Context as _;
use std::fs::File;
use std::io::IsTerminal as _;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::PathBuf;

use super::access::images;
use super::progress::{Display, ProgressArgs, Words};
use super::{Common, show};
use crate::cli::display::OutputFormat;
use crate::cli::error::CliError;
use crate::cli::output::print_json;
use crate::image::ImageError;
use crate::image::change::Change;
use crate::image::manifest::Platform;
use crate::image::reference::Reference;
use crate::paths::Paths;
use crate::store::Scrutiny;
use crate::transfer::order::ImportOrder;
use crate::transfer::worker::Claims;
use crate::transfer::{Format, Naming, Report};

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
    let about = || args.source.display().to_string();
    let input: OwnedFd = match args.source.as_os_str().as_encoded_bytes() {
        b"-" if std::io::stdin().is_terminal() => {
            anyhow::bail!("standard input is a terminal, no archive comes from it")
        }
        b"-" => std::io::stdin().as_fd().try_clone_to_owned()?,
        _ => File::open(&args.source).with_context(about)?.into(),
    };
    let order = args.order()?;
    let mut display = Display::new(&args.progress, WORDS);
    let report = images(&args.common, paths).import(input, &order, &mut display);
    display.finish();
    let report = match report {
        // It says itself what was asked for.
        Err(error) if error.is::<CliError>() => return Err(error),
        report => report.with_context(about)?,
    };
    print(&report, args.common.output)
}

impl Args {
    fn order(&self) -> Result<ImportOrder, ImageError> {
        let naming = match &self.name {
            Some(name) => Naming::Name(Reference::for_import(name)?),
            None if self.keep_names => Naming::Claimed,
            None => Naming::Nameless,
        };
        let (platform, changes) = (self.platform.clone(), self.change.clone());
        let claims = Claims { naming, format: self.format, platform, changes };
        Ok(ImportOrder { claims, scrutiny: Scrutiny::of_verify(self.verify) })
    }
}

/// Prints what an import or a pull did: ids and names, and what people should know.
pub(super) fn print(report: &Report, output: OutputFormat) -> anyhow::Result<u8> {
    if let Some(layout) = output.json() {
        print_json(report, layout)?;
        return Ok(0);
    }
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
    Ok(0)
}
