//! `sampanctl gc`: removes what neither a name nor a unit needs.

use super::roots::roots;
use super::{Common, Output, show};
use crate::paths::Paths;
use crate::store::{Collected, Store};

/// Arguments of `gc`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    common: Common,
}

/// Collects garbage.
///
/// # Errors
/// When the store cannot be read or written.
pub fn run(args: Args, paths: &Paths) -> anyhow::Result<u8> {
    let store = Store::open(&args.common.paths(paths))?;
    let Collected { images, layers, objects, bytes } = store.gc(&roots(paths))?;
    match args.common.output {
        Output::Json => {
            let collected =
                serde_json::json!({ "images": images, "layers": layers, "objects": objects, "bytes": bytes });
            show::print(&format!("{collected}\n"))?;
        }
        Output::Text => {
            let freed = show::size(bytes);
            show::print(&format!(
                "Removed {images} images, {layers} layer indexes and {objects} files: {freed} freed.\n"
            ))?;
        }
    }
    Ok(0)
}
