//! `sampanctl remove`: names, and with its last name the image.

use clap_complete::engine::ArgValueCandidates;

use super::Common;
use super::access::images;
use crate::cli::candidates::image_names;
use crate::cli::error::{CliError, FAILURE};
use crate::cli::output::complain;
use crate::manager::images::remove::Consent;
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
    let consent = if args.force { Consent::Named } else { Consent::Unnamed };
    let mut removed = Vec::new();
    let mut status = 0;
    for removal in images(&args.common, paths).remove(&args.images, consent)? {
        match removal {
            Ok(names) => removed.extend(names),
            Err(error) => {
                status = status.max(error.downcast_ref().map_or(FAILURE, CliError::status));
                complain(&error.to_string());
            }
        }
    }
    let lines = || removed.iter().map(|name| format!("Removed {name}.\n")).collect();
    args.common.output.show(&removed, lines)?;
    Ok(status)
}
