//! The verbs of images. They work on the store itself, as root, and need no manager.

mod files;
mod fsck;
mod gc;
mod import;
mod inspect;
mod list;
mod remove;
mod roots;
mod show;

use clap::{Subcommand, ValueEnum};
use std::path::PathBuf;

use crate::paths::Paths;
use crate::store::Store;

/// What can be done with images.
#[derive(Debug, Subcommand)]
pub enum ImageVerb {
    /// Bring an image into the store, from a "docker save" archive or an OCI layout
    Import(import::Args),
    /// List images
    Images(list::Args),
    /// Show what is known of an image
    Inspect(inspect::Args),
    /// List the files of an image, as a container sees them
    Files(files::Args),
    /// Remove a name, and with its last name the image
    Remove(remove::Args),
    /// Remove what nothing uses
    Gc(gc::Args),
    /// Check the whole store
    Fsck(fsck::Args),
}

/// Options of all these verbs.
#[derive(Debug, clap::Args)]
struct Common {
    /// The image store [default: /var/lib/sampan]
    #[arg(long, value_name = "DIR")]
    store: Option<PathBuf>,
    /// How to print
    #[arg(long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    /// For people
    Text,
    /// For programs
    Json,
}

/// Performs a verb and returns the exit status.
///
/// # Errors
/// When it cannot be performed.
pub fn run(verb: ImageVerb, paths: &Paths) -> anyhow::Result<u8> {
    match verb {
        ImageVerb::Import(args) => import::run(args, paths),
        ImageVerb::Images(args) => list::run(args, paths),
        ImageVerb::Inspect(args) => inspect::run(args, paths),
        ImageVerb::Files(args) => files::run(args, paths),
        ImageVerb::Remove(args) => remove::run(args, paths),
        ImageVerb::Gc(args) => gc::run(args, paths),
        ImageVerb::Fsck(args) => fsck::run(args, paths),
    }
}

impl Common {
    fn paths(&self, paths: &Paths) -> Paths {
        match &self.store {
            Some(store) => paths.clone().with_store(store),
            None => paths.clone(),
        }
    }

    /// The store; `None` where none was made yet, which is the same as an empty one.
    fn open(&self, paths: &Paths) -> anyhow::Result<Option<Store>> {
        Ok(Store::find(&self.paths(paths))?)
    }
}
