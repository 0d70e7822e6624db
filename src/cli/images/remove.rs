//! `sampanctl remove`: names, and with its last name the image.

use super::{Common, Output, roots, show};
use crate::paths::Paths;
use crate::store::Store;

/// Arguments of `remove`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Names or ids
    #[arg(value_name = "IMAGE", required = true)]
    images: Vec<String>,
    #[command(flatten)]
    common: Common,
}

/// Removes names and images.
///
/// # Errors
/// When one is not there or cannot be removed; those before it are gone.
pub fn run(args: Args, paths: &Paths) -> anyhow::Result<u8> {
    let store = Store::open(&args.common.paths(paths))?;
    let mut removed = Vec::new();
    for image in &args.images {
        if let Some(unit) = roots::runs_from(paths, &store, image) {
            anyhow::bail!(
                "{image}: {unit} runs from this image; stop it first with \"sampanctl stop {unit}\""
            );
        }
        removed.extend(store.remove(image)?);
    }
    match args.common.output {
        Output::Json => show::print(&format!("{}\n", serde_json::to_string(&removed)?))?,
        Output::Text => {
            let lines: String = removed.iter().map(|name| format!("Removed {name}.\n")).collect();
            show::print(&lines)?;
        }
    }
    Ok(0)
}
