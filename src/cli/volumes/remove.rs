//! `sampanctl volumes remove`: volumes that nobody uses.

use clap_complete::engine::ArgValueCandidates;

use super::StoreArgs;
use super::users::{User, Users};
use crate::cli::candidates::volume_names;
use crate::cli::images::show;
use crate::paths::Paths;

/// Arguments of `volumes remove`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Names
    #[arg(value_name = "VOLUME", required = true, add = ArgValueCandidates::new(volume_names))]
    names: Vec<String>,
    /// Remove what a unit file names, too; never what a container runs with
    #[arg(long, short)]
    force: bool,
    #[command(flatten)]
    store: StoreArgs,
}

/// Removes volumes.
///
/// # Errors
/// When one is not there, is in use, or cannot be removed; those before it are gone.
pub(super) fn run(args: &Args, paths: &Paths) -> anyhow::Result<u8> {
    let volumes = args.store.existing(paths)?;
    for name in &args.names {
        // Looked at while nobody can begin to use it.
        volumes.remove(name, || check(&Users::look(paths), name, args.force))?;
        show::print(&format!("Removed {name}.\n"))?;
    }
    Ok(0)
}

fn check(users: &Users, name: &str, force: bool) -> anyhow::Result<()> {
    let users = users.of(name);
    let running: Vec<_> = users.iter().filter(|user| matches!(user, User::Running(_))).collect();
    let told = |users: &[&User]| users.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    if !running.is_empty() {
        let units: Vec<String> = running
            .iter()
            .filter_map(|user| if let User::Running(unit) = user { Some(unit.to_string()) } else { None })
            .collect();
        let (told, units) = (told(&running), units.join(" "));
        anyhow::bail!("volume \"{name}\": {told}; stop first with \"sampanctl stop {units}\"");
    }
    if !users.is_empty() && !force {
        let told = told(&users.iter().collect::<Vec<_>>());
        anyhow::bail!("volume \"{name}\": {told}; --force removes it all the same");
    }
    Ok(())
}
