//! `sampanctl tag`: another name for an image.

use clap_complete::engine::ArgValueCandidates;

use super::Common;
use super::access::images;
use crate::cli::candidates::image_names;
use crate::image::reference::Reference;
use crate::paths::Paths;

/// Arguments of `tag`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A name or an id
    #[arg(value_name = "IMAGE", add = ArgValueCandidates::new(image_names))]
    image: String,
    /// The new names; a short name is below localhost/
    #[arg(value_name = "NAME", required = true)]
    names: Vec<String>,
    #[command(flatten)]
    common: Common,
}

/// Gives an image names.
///
/// # Errors
/// When there is no such image, or a name is none; then no name is given.
pub fn run(args: Args, paths: &Paths) -> anyhow::Result<u8> {
    let names: Vec<Reference> =
        args.names.iter().map(|name| Reference::for_import(name)).collect::<Result<_, _>>()?;
    let id = images(&args.common, paths).tag(&args.image, &names)?;
    let tagged = serde_json::json!({ "id": id, "names": names });
    args.common.output.show(&tagged, || names.iter().map(|name| format!("{name} is {id}.\n")).collect())?;
    Ok(0)
}
