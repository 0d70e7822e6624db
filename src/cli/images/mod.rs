//! The verbs of images. They work on the store itself, as root, and need no manager; some of them go over the bus for
//! those who may not open it.

mod access;
mod at_store;
mod create_store;
mod diff;
mod export;
mod files;
mod fsck;
mod gc;
mod import;
mod inspect;
mod list;
mod over_bus;
pub(in crate::cli) mod place;
mod progress;
mod pull;
mod remove;
pub(in crate::cli) mod show;
mod tag;
mod transfer;

use clap::Subcommand;
use std::path::{Path, PathBuf};

use crate::cli::display::OutputFormat;
use crate::cli::of::Of;
use crate::image::short_name::ShortNames;
use crate::paths::Paths;
use crate::store::Store;
use crate::transfer::registry::Settings;
use crate::unit::diagnostic::Style;

/// What can be done with images.
#[derive(Debug, Subcommand)]
pub enum ImageVerb {
    /// Bring an image into the store, from an archive, an OCI layout or a directory tree
    Import(Of<import::Args>),
    /// Bring an image of a registry into the store
    Pull(Of<pull::Args>),
    /// List images
    Images(Of<list::Args>),
    /// Show what is known of an image
    Inspect(Of<inspect::Args>),
    /// List the files of an image, as a container sees them
    Files(Of<files::Args>),
    /// Show what differs between two images
    Diff(Of<diff::Args>),
    /// Give an image another name
    Tag(Of<tag::Args>),
    /// Write an image as a directory or an archive
    Export(Of<export::Args>),
    /// Remove a name, and with its last name the image
    Remove(Of<remove::Args>),
    /// Remove what nothing uses
    Gc(Of<gc::Args>),
    /// Check the whole store
    Fsck(Of<fsck::Args>),
    /// Make a store; the first import makes one, too
    CreateStore(Of<create_store::Args>),
}

/// Options of all these verbs.
#[derive(Debug, clap::Args)]
struct Common {
    /// The image store [default: /var/lib/sampan]
    #[arg(long, value_name = "DIR")]
    store: Option<PathBuf>,
    /// How to print
    #[arg(long, short, value_enum, default_value_t, value_name = "FORMAT")]
    output: OutputFormat,
}

/// Performs a verb and returns the exit status.
///
/// # Errors
/// When it cannot be performed.
pub fn run(verb: ImageVerb, paths: &Paths) -> anyhow::Result<u8> {
    match verb {
        ImageVerb::Import(args) => import::run(args.0, paths),
        ImageVerb::Pull(args) => pull::run(args.0, paths),
        ImageVerb::Images(args) => list::run(args.0, paths),
        ImageVerb::Inspect(args) => inspect::run(args.0, paths),
        ImageVerb::Files(args) => files::run(args.0, paths),
        ImageVerb::Diff(args) => diff::run(args.0, paths),
        ImageVerb::Tag(args) => tag::run(args.0, paths),
        ImageVerb::Export(args) => export::run(args.0, paths),
        ImageVerb::Remove(args) => remove::run(args.0, paths),
        ImageVerb::Gc(args) => gc::run(args.0, paths),
        ImageVerb::Fsck(args) => fsck::run(args.0, paths),
        ImageVerb::CreateStore(args) => create_store::run(&args, paths),
    }
}

impl Common {
    fn paths(&self, paths: &Paths) -> Paths {
        Self::at(self.store.as_deref(), paths)
    }

    /// The directories, with the store where the command line says.
    fn at(store: Option<&Path>, paths: &Paths) -> Paths {
        match store {
            Some(store) => paths.clone().with_store(store),
            None => paths.clone(),
        }
    }

    /// The store; `None` where none was made yet, which is the same as an empty one.
    fn open(&self, paths: &Paths) -> anyhow::Result<Option<Store>> {
        Ok(Store::find(&self.paths(paths))?.map(|store| store.with_short_names(short_names(paths))))
    }
}

/// The store of these directories, where there must be one, which reads names by the rules of this host.
fn open_store(paths: &Paths) -> anyhow::Result<Store> {
    let path = paths.store().display();
    let store = Store::find(paths)?;
    let store = store.ok_or_else(|| {
        anyhow::anyhow!("there is no image store at {path} yet: the first import or pull makes it")
    })?;
    Ok(store.with_short_names(short_names(paths)))
}

/// What short names mean on this host. Verbs over the store work while the settings are wrong, too.
fn short_names(paths: &Paths) -> ShortNames {
    match Settings::load(paths) {
        Ok(settings) => settings.names,
        Err(faults) => {
            let faults: Vec<String> = faults.iter().map(|fault| fault.render(Style::Plain)).collect();
            eprintln!(
                "Warning: short names mean docker.io alone, until this is right:\n{}",
                faults.join("\n")
            );
            ShortNames::default()
        }
    }
}
