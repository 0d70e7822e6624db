//! `sampanctl inspect`: what is known of one image, and how a container of it would run.

use clap_complete::engine::ArgValueCandidates;
use serde::Serialize;
use serde_json::Value;
use std::path::PathBuf;

use super::{Common, show};
use crate::cli::candidates::image_names;
use crate::image::config::ImageConfig;
use crate::image::text::printable;
use crate::manager::images::list::{CopyOf, copies_of};
use crate::manager::images::roots::{self, roots};
use crate::paths::Paths;
use crate::store::{ImageId, ImageRecord, Store, Usage};

/// Arguments of `inspect`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A name or an id
    #[arg(value_name = "IMAGE", add = ArgValueCandidates::new(image_names))]
    image: String,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Serialize)]
struct Inspected {
    names: Vec<String>,
    rootfs: PathBuf,
    used_by: Vec<String>,
    #[serde(flatten)]
    record: ImageRecord,
    usage: Option<Usage>,
    copies: Vec<CopyOf>,
    /// The documents as they came; nothing where one is damaged.
    documents: Documents,
}

#[derive(Debug, Serialize)]
struct Documents {
    config: Option<Value>,
    manifest: Option<Value>,
}

/// Shows an image.
///
/// # Errors
/// When there is none of this name.
pub fn run(args: Args, paths: &Paths) -> anyhow::Result<u8> {
    let store = super::open_store(&args.common.paths(paths))?;
    let id = store.resolve(&args.image)?;
    let names = store.names()?;
    let roots = roots(paths);
    let usage = store.usage(&id)?;
    let inspected = Inspected {
        names: names.iter().filter(|(_, other)| *other == id).map(|(name, _)| name.to_string()).collect(),
        rootfs: std::path::absolute(store.rootfs(&id))?,
        used_by: roots::of_image(&roots, &store, &id).map(|root| root.user.to_string()).collect(),
        record: store.record(&id)?,
        usage,
        copies: copies_of(&store.private_copies()?, &id, usage.unwrap_or_default()),
        documents: documents(&store, &id),
    };
    args.common.output.show(&inspected, || text(&inspected))?;
    Ok(0)
}

fn documents(store: &Store, id: &ImageId) -> Documents {
    let value = |bytes: Vec<u8>| serde_json::from_slice(&bytes).ok();
    Documents {
        config: store.config(id).ok().and_then(value),
        manifest: store.manifest(id).ok().flatten().and_then(value),
    }
}

/// Lines as `systemctl status` has them: the name to the right, a colon, the value.
fn text(inspected: &Inspected) -> String {
    let record = &inspected.record;
    let mut lines: Vec<(&str, String)> = vec![("Image", record.id.to_string())];
    lines.extend(inspected.names.iter().map(|name| ("Name", name.clone())));
    lines.extend(record.digest.iter().map(|digest| ("Digest", digest.to_string())));
    lines.push(("Created", record.created.clone()));
    lines.push(("Platform", format!("linux/{}", record.architecture)));
    lines.push(("Files", files(inspected)));
    lines.extend(inspected.used_by.iter().map(|user| ("Used by", user.clone())));
    let copy = |copy: &CopyOf| format!("{} has one of its own, {}", copy.unit, show::size(copy.size));
    lines.extend(inspected.copies.iter().map(|each| ("Copy", copy(each))));
    lines.push(("Tree", inspected.rootfs.display().to_string()));
    lines.extend(record.layers.iter().map(|layer| ("Layer", layer.diff_id.to_string())));
    lines.extend(start(&record.config));
    lines.extend(record.notices.iter().map(|notice| ("Notice", notice.clone())));
    lines
        .iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| format!("{name:>12}: {}\n", printable(value.as_bytes())))
        .collect()
}

fn files(inspected: &Inspected) -> String {
    let record = &inspected.record;
    let files = format!("{} entries, {}", record.entries, show::size(record.size));
    match inspected.usage {
        Some(Usage { shared, own, .. }) => format!(
            "{files}: {} shared with other images, {} freed by its removal",
            show::size(shared),
            show::size(own)
        ),
        None => files,
    }
}

/// How a container starts, with what holds where the image says nothing.
fn start(config: &ImageConfig) -> Vec<(&'static str, String)> {
    let or = |value: &str, default: &str| match value {
        "" => format!("{default}, as the image does not say"),
        value => value.to_owned(),
    };
    let command = [&config.entrypoint[..], &config.command].concat();
    let runs = match command.is_empty() {
        true => "nothing by itself: a unit must set command".to_owned(),
        false => command.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" "),
    };
    let words = |words: &[String]| words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" ");
    let mut lines = vec![
        ("Runs", runs),
        ("Entrypoint", words(&config.entrypoint)),
        ("Command", words(&config.command)),
        ("User", or(&config.user, "root")),
        ("Directory", or(&config.working_directory, "/")),
        ("Stop signal", or(&config.stop_signal, "SIGTERM")),
    ];
    lines.extend(config.environment.iter().map(|variable| ("Environment", variable.clone())));
    lines.extend(config.exposed_ports.iter().map(|port| ("Port", port.clone())));
    lines.extend(config.volumes.iter().map(|volume| ("Volume", volume.clone())));
    lines.extend(config.labels.iter().map(|(name, value)| ("Label", format!("{name}={value}"))));
    lines
}

/// A word as a shell would take it.
fn quoted(word: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-+=./:,@%".contains(&byte);
    match !word.is_empty() && word.bytes().all(plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_shown_as_a_shell_takes_them() {
        let words = ["nginx", "-g", "daemon off;", "it's", ""].map(quoted);
        assert_eq!(words.join(" "), r"nginx -g 'daemon off;' 'it'\''s' ''");
    }
}
