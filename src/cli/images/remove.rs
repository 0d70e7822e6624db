//! `sampanctl remove`: names, and with its last name the image.

use clap_complete::engine::ArgValueCandidates;

use super::{Common, Output, show};
use crate::cli::candidates::image_names;
use crate::image::text::printable;
use crate::manager::images::remove::{Consent, remove};
use crate::manager::images::roots::roots;
use crate::paths::Paths;

/// Arguments of `remove`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Names or ids
    #[arg(value_name = "IMAGE", required = true, add = ArgValueCandidates::new(image_names))]
    images: Vec<String>,
    /// Remove what a unit file names, too; never what a container runs from
    #[arg(long, short)]
    force: bool,
    #[command(flatten)]
    common: Common,
}

/// Removes names and images.
///
/// # Errors
/// When the store cannot be opened. Images that cannot be removed are told one by one, as rm(1) does; the others go.
pub fn run(args: Args, paths: &Paths) -> anyhow::Result<u8> {
    let store = super::open_store(&args.common.paths(paths))?;
    let roots = roots(paths);
    let consent = if args.force { Consent::Named } else { Consent::Unnamed };
    let mut removed = Vec::new();
    let mut status = 0;
    for image in &args.images {
        match remove(&store, &roots, image, consent) {
            Ok(names) => removed.extend(names),
            Err(error) => {
                status = 1;
                eprintln!("Failed to remove {}: {error}", printable(image.as_bytes()));
            }
        }
    }
    match args.common.output {
        Output::Json => show::print(&format!("{}\n", serde_json::to_string(&removed)?))?,
        Output::Text => {
            let lines: String = removed.iter().map(|name| format!("Removed {name}.\n")).collect();
            show::print(&lines)?;
        }
    }
    Ok(status)
}
