//! `sampanctl volumes list`: the volumes of the store, a line each.

use clap_complete::engine::ArgValueCandidates;
use serde::Serialize;
use std::time::SystemTime;

use super::StoreArgs;
use super::users::Users;
use crate::cli::candidates::volume_names;
use crate::cli::display::OutputFormat;
use crate::cli::images::show;
use crate::cli::pattern;
use crate::cli::text::time;
use crate::paths::Paths;
use crate::store::volumes::{self, Volumes};

/// Arguments of `volumes list`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Names or patterns; all volumes when there are none
    #[arg(value_name = "VOLUME", add = ArgValueCandidates::new(volume_names))]
    names: Vec<String>,
    /// Only those that no unit uses
    #[arg(long)]
    unused: bool,
    /// Only names, a line each
    #[arg(long, short)]
    quiet: bool,
    /// No heading
    #[arg(long)]
    no_legend: bool,
    /// How to print
    #[arg(long, short, value_enum, default_value_t, value_name = "FORMAT")]
    output: OutputFormat,
    #[command(flatten)]
    store: StoreArgs,
}

#[derive(Debug, Serialize)]
struct Listed {
    name: String,
    #[serde(flatten)]
    usage: volumes::VolumeUsage,
    created: Option<String>,
    #[serde(skip)]
    age: Option<u64>,
    used_by: Vec<String>,
}

/// Lists volumes.
///
/// # Errors
/// When the store cannot be read.
pub(super) fn run(args: &Args, paths: &Paths) -> anyhow::Result<u8> {
    let listed = match args.store.volumes(paths)? {
        Some(volumes) => list(&volumes, args, paths)?,
        None => Vec::new(),
    };
    match args.quiet {
        true => show::print(&listed.iter().map(|volume| format!("{}\n", volume.name)).collect::<String>())?,
        false => args.output.show(&listed, || show::table(&rows(&listed, args.no_legend)))?,
    }
    Ok(0)
}

fn list(volumes: &Volumes, args: &Args, paths: &Paths) -> anyhow::Result<Vec<Listed>> {
    let users = Users::look(paths);
    let wanted =
        |name: &String| args.names.is_empty() || args.names.iter().any(|word| pattern::matches(word, name));
    let mut listed = Vec::new();
    for name in volumes.names()?.into_iter().filter(wanted) {
        let used_by: Vec<String> = users.of(&name).iter().map(unit).collect();
        if args.unused && !used_by.is_empty() {
            continue;
        }
        // One that goes away meanwhile is not listed.
        let Ok(open) = volumes.open(&name) else { continue };
        let created = std::fs::File::from(open.try_clone()?).metadata()?.created().ok();
        listed.push(Listed {
            usage: volumes::usage(&open).unwrap_or_default(),
            created: created.and_then(|created| Some(jiff::Timestamp::try_from(created).ok()?.to_string())),
            age: created
                .and_then(|created| SystemTime::now().duration_since(created).ok())
                .and_then(|age| u64::try_from(age.as_micros()).ok()),
            name,
            used_by,
        });
    }
    Ok(listed)
}

fn unit(user: &super::users::User) -> String {
    match user {
        super::users::User::Running(unit) | super::users::User::File { unit, .. } => unit.to_string(),
    }
}

fn rows(listed: &[Listed], no_legend: bool) -> Vec<Vec<String>> {
    let heading =
        (!no_legend).then(|| ["VOLUME", "CREATED", "FILES", "SIZE", "USED BY"].map(str::to_owned).to_vec());
    let row = |volume: &Listed| {
        let mut units = volume.used_by.clone();
        units.dedup();
        let age = volume.age.map_or_else(|| "-".to_owned(), time::ago);
        let units = if units.is_empty() { "-".to_owned() } else { units.join(", ") };
        vec![
            volume.name.clone(),
            age,
            volume.usage.entries.to_string(),
            show::size(volume.usage.bytes),
            units,
        ]
    };
    heading.into_iter().chain(listed.iter().map(row)).collect()
}
