//! `sampanctl remove`: names, and with its last name the image.

use clap_complete::engine::ArgValueCandidates;

use super::roots::{self, Root, User, roots};
use super::{Common, Output, show};
use crate::cli::candidates::image_names;
use crate::image::text::printable;
use crate::paths::Paths;
use crate::store::Store;

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
    let mut removed = Vec::new();
    let mut status = 0;
    for image in &args.images {
        match remove(&store, &roots, image, &args) {
            Ok(names) => removed.extend(names),
            Err(error) => {
                status = 1;
                eprintln!("Failed to remove {}: {error:#}", printable(image.as_bytes()));
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

fn remove(store: &Store, roots: &[Root], image: &str, args: &Args) -> anyhow::Result<Vec<String>> {
    match hindrance(store, roots, image)? {
        Some(User::Running(unit)) => {
            anyhow::bail!("{unit} runs from this image; stop it first with \"sampanctl stop {unit}\"")
        }
        Some(user) if !args.force => anyhow::bail!("{user}; --force removes it all the same"),
        _ => Ok(store.remove(image)?),
    }
}

/// Who needs what would be gone: this name, or, when it is the last one, the image. What runs comes first.
fn hindrance<'a>(store: &Store, roots: &'a [Root], image: &str) -> anyhow::Result<Option<&'a User>> {
    // What is too broken to be resolved is used by nobody.
    let Ok(id) = store.resolve(image) else { return Ok(None) };
    let name = store.name(image)?;
    let is_last = name.is_none() || store.names()?.iter().filter(|(_, other)| *other == id).count() <= 1;
    let mut users = Vec::new();
    for root in roots::of_image(roots, store, &id) {
        if is_last || (name.is_some() && store.name(&root.image)? == name) {
            users.push(&root.user);
        }
    }
    users.sort_by_key(|user| matches!(user, User::File { .. }));
    Ok(users.first().copied())
}
