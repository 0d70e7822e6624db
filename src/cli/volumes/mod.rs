//! The verbs of volumes. They work on the store itself, as root, and need no manager.

mod export;
mod import;
mod inspect;
mod list;
mod remove;
mod users;

use clap::Subcommand;
use std::path::PathBuf;

use crate::paths::Paths;
use crate::store::Store;
use crate::store::volumes::Volumes;

/// `volumes`.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct VolumesArgs {
    #[command(subcommand)]
    verb: Option<VolumeVerb>,
    #[command(flatten)]
    list: list::Args,
}

/// What can be done with volumes.
#[derive(Debug, Subcommand)]
enum VolumeVerb {
    /// List volumes
    List(list::Args),
    /// Show what is known of volumes
    Inspect(inspect::Args),
    /// Remove volumes that nobody uses
    Remove(remove::Args),
    /// Write the files of a volume as a tar archive
    Export(export::Args),
    /// Make a volume of a tar archive
    Import(import::Args),
}

/// Where the store is.
#[derive(Debug, clap::Args)]
struct StoreArgs {
    /// The image store [default: /var/lib/sampan]
    #[arg(long, value_name = "DIR")]
    store: Option<PathBuf>,
}

/// Performs a verb and returns the exit status.
///
/// # Errors
/// When it cannot be performed.
pub fn run(args: VolumesArgs, paths: &Paths) -> anyhow::Result<u8> {
    match args.verb {
        None => list::run(&args.list, paths),
        Some(VolumeVerb::List(args)) => list::run(&args, paths),
        Some(VolumeVerb::Inspect(args)) => inspect::run(&args, paths),
        Some(VolumeVerb::Remove(args)) => remove::run(&args, paths),
        Some(VolumeVerb::Export(args)) => export::run(&args, paths),
        Some(VolumeVerb::Import(args)) => import::run(&args, paths),
    }
}

impl StoreArgs {
    fn paths(&self, paths: &Paths) -> Paths {
        match &self.store {
            Some(store) => paths.clone().with_store(store),
            None => paths.clone(),
        }
    }

    /// The volumes; none where no store was made yet.
    fn volumes(&self, paths: &Paths) -> anyhow::Result<Option<Volumes>> {
        Ok(Store::find(&self.paths(paths))?.map(|store| store.volumes()))
    }

    /// The volumes of a store that must be there.
    fn existing(&self, paths: &Paths) -> anyhow::Result<Volumes> {
        let volumes = self.volumes(paths)?;
        let store = self.paths(paths);
        volumes.ok_or_else(|| {
            let path = store.store().display();
            anyhow::anyhow!("there is no store at {path} yet: the first import, pull or start makes it")
        })
    }
}
