//! `sampanctl images`: the images of the store, one line for each name.

use jiff::Timestamp;
use serde::Serialize;
use std::cmp::Reverse;

use super::{Common, Output, show};
use crate::cli::text::time;
use crate::paths::Paths;
use crate::store::{ImageId, Store, Usage};

/// Arguments of `images`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Only ids, a line each
    #[arg(long, short)]
    quiet: bool,
    #[command(flatten)]
    common: Common,
}

/// An image as listed.
#[derive(Debug, Serialize)]
struct Listed {
    id: String,
    names: Vec<String>,
    digest: Option<String>,
    created: String,
    #[serde(flatten)]
    usage: Usage,
}

/// Lists images.
///
/// # Errors
/// When the store cannot be read.
pub fn run(args: Args, paths: &Paths) -> anyhow::Result<u8> {
    let Some(store) = args.common.open(paths)? else {
        return print(&args, &[]);
    };
    if args.quiet {
        let ids: String = store.images()?.iter().map(|id| format!("{id}\n")).collect();
        show::print(&ids)?;
        return Ok(0);
    }
    print(&args, &list(&store)?)
}

fn print(args: &Args, images: &[Listed]) -> anyhow::Result<u8> {
    match args.common.output {
        Output::Json => show::print(&format!("{}\n", serde_json::to_string_pretty(images)?))?,
        Output::Text => show::print(&show::table(&rows(images)))?,
    }
    Ok(0)
}

/// All images, the latest first. One whose record is damaged is listed with what is known: fsck says more.
fn list(store: &Store) -> anyhow::Result<Vec<Listed>> {
    let names = store.names()?;
    let usages = store.usages()?;
    let listed = |id: &ImageId| {
        let record = store.record(id).ok();
        Listed {
            id: id.to_string(),
            names: names.iter().filter(|(_, other)| other == id).map(|(name, _)| name.to_string()).collect(),
            digest: record.as_ref().and_then(|record| record.digest.as_ref()).map(ToString::to_string),
            created: record.as_ref().map(|record| record.created.clone()).unwrap_or_default(),
            usage: usages.get(id).copied().unwrap_or_default(),
        }
    };
    let mut images: Vec<Listed> = store.images()?.iter().map(listed).collect();
    images.sort_by_key(|image| (Reverse(created(image)), image.names.first().cloned()));
    Ok(images)
}

/// When an image was built, as it says.
fn created(image: &Listed) -> Option<Timestamp> {
    image.created.parse().ok()
}

fn rows(images: &[Listed]) -> Vec<Vec<String>> {
    let mut rows = vec![["NAME", "IMAGE", "CREATED", "SIZE", "SHARED", "OWN"].map(str::to_owned).to_vec()];
    let now = Timestamp::now();
    for image in images {
        let nameless = ["<none>".to_owned()];
        let names = if image.names.is_empty() { &nameless[..] } else { &image.names };
        let Usage { size, shared, own } = image.usage;
        let age = created(image).map(|created| now.duration_since(created).as_micros());
        let age = age.map(|age| time::ago(u64::try_from(age).unwrap_or_default()));
        for name in names {
            let id = image.id[7..19].to_owned();
            let age = age.clone().unwrap_or_else(|| "-".to_owned());
            let row = [name.clone(), id, age, show::size(size), show::size(shared), show::size(own)];
            rows.push(row.to_vec());
        }
    }
    rows
}
