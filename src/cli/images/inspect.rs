//! `sampanctl inspect`: what is known of one image.

use serde::Serialize;
use std::path::PathBuf;

use super::{Common, Output, show};
use crate::image::text::printable;
use crate::paths::Paths;
use crate::store::{ImageRecord, Store};

/// Arguments of `inspect`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A name or an id
    #[arg(value_name = "IMAGE")]
    image: String,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Serialize)]
struct Inspected {
    names: Vec<String>,
    rootfs: PathBuf,
    #[serde(flatten)]
    record: ImageRecord,
}

/// Shows an image.
///
/// # Errors
/// When there is none of this name.
pub fn run(args: Args, paths: &Paths) -> anyhow::Result<u8> {
    let store = Store::open(&args.common.paths(paths))?;
    let id = store.resolve(&args.image)?;
    let names = store.names()?;
    let inspected = Inspected {
        names: names.iter().filter(|(_, other)| *other == id).map(|(name, _)| name.to_string()).collect(),
        rootfs: std::path::absolute(store.rootfs(&id))?,
        record: store.record(&id)?,
    };
    match args.common.output {
        Output::Json => show::print(&format!("{}\n", serde_json::to_string_pretty(&inspected)?))?,
        Output::Text => show::print(&text(&inspected))?,
    }
    Ok(0)
}

/// Lines as `systemctl status` has them: the name to the right, a colon, the value.
fn text(inspected: &Inspected) -> String {
    let record = &inspected.record;
    let config = &record.config;
    let words = |words: &[String]| words.join(" ");
    let mut lines: Vec<(&str, String)> = vec![("Image", record.id.to_string())];
    lines.extend(inspected.names.iter().map(|name| ("Name", name.clone())));
    lines.extend(record.digest.iter().map(|digest| ("Digest", digest.to_string())));
    lines.push(("Created", record.created.clone()));
    lines.push(("Platform", format!("linux/{}", record.architecture)));
    lines.push(("Files", format!("{} entries, {}", record.entries, show::size(record.size))));
    lines.push(("Tree", inspected.rootfs.display().to_string()));
    lines.extend(record.layers.iter().map(|layer| ("Layer", layer.diff_id.to_string())));
    lines.push(("Entrypoint", words(&config.entrypoint)));
    lines.push(("Command", words(&config.command)));
    lines.extend(config.environment.iter().map(|variable| ("Environment", variable.clone())));
    lines.push(("User", config.user.clone()));
    lines.push(("Directory", config.working_directory.clone()));
    lines.push(("Stop signal", config.stop_signal.clone()));
    lines.extend(config.exposed_ports.iter().map(|port| ("Port", port.clone())));
    lines.extend(config.volumes.iter().map(|volume| ("Volume", volume.clone())));
    lines.extend(record.notices.iter().map(|notice| ("Notice", notice.clone())));
    lines
        .iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| format!("{name:>12}: {}\n", printable(value.as_bytes())))
        .collect()
}
