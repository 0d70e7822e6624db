//! `sampanctl volumes inspect`: what is known of volumes.

use clap_complete::engine::ArgValueCandidates;
use serde::Serialize;
use std::path::PathBuf;

use super::StoreArgs;
use super::users::Users;
use crate::cli::candidates::volume_names;
use crate::cli::display::OutputFormat;
use crate::cli::images::show;
use crate::image::text::printable;
use crate::paths::Paths;
use crate::store::volumes::{self, Volumes, metadata_of};
use std::os::fd::AsFd as _;

/// Arguments of `volumes inspect`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Names
    #[arg(value_name = "VOLUME", required = true, add = ArgValueCandidates::new(volume_names))]
    names: Vec<String>,
    /// How to print
    #[arg(long, short, value_enum, default_value_t, value_name = "FORMAT")]
    output: OutputFormat,
    #[command(flatten)]
    store: StoreArgs,
}

#[derive(Debug, Serialize)]
struct Inspected {
    name: String,
    path: PathBuf,
    created: Option<String>,
    /// Of its root directory, as a container sees it.
    owner: String,
    mode: String,
    #[serde(flatten)]
    usage: volumes::VolumeUsage,
    used_by: Vec<String>,
}

/// Shows volumes.
///
/// # Errors
/// When there is none of a name.
pub(super) fn run(args: &Args, paths: &Paths) -> anyhow::Result<u8> {
    let volumes = args.store.existing(paths)?;
    let users = Users::look(paths);
    let inspected: anyhow::Result<Vec<_>> =
        args.names.iter().map(|name| inspect(&volumes, &users, name)).collect();
    let inspected = inspected?;
    args.output.show(&inspected, || inspected.iter().map(text).collect::<Vec<_>>().join("\n"))?;
    Ok(0)
}

fn inspect(volumes: &Volumes, users: &Users, name: &str) -> anyhow::Result<Inspected> {
    let open = volumes.open(name)?;
    let metadata = metadata_of(open.as_fd())?;
    let created = std::fs::File::from(open.try_clone()?).metadata()?.created().ok();
    Ok(Inspected {
        name: name.to_owned(),
        path: volumes.path(name)?,
        created: created.and_then(|created| Some(jiff::Timestamp::try_from(created).ok()?.to_string())),
        owner: format!("{}:{}", metadata.uid, metadata.gid),
        mode: format!("{:04o}", metadata.mode),
        usage: volumes::usage(&open)?,
        used_by: users.of(name).iter().map(ToString::to_string).collect(),
    })
}

/// Lines as `systemctl status` has them: the name to the right, a colon, the value.
fn text(volume: &Inspected) -> String {
    let mut lines = vec![
        ("Volume", volume.name.clone()),
        ("Path", volume.path.display().to_string()),
        ("Created", volume.created.clone().unwrap_or_default()),
        ("Owner", format!("{}, mode {}", volume.owner, volume.mode)),
        ("Files", format!("{} entries, {} on disk", volume.usage.entries, show::size(volume.usage.bytes))),
    ];
    lines.extend(volume.used_by.iter().map(|user| ("Used by", user.clone())));
    lines
        .iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| format!("{name:>12}: {}\n", printable(value.as_bytes())))
        .collect()
}
