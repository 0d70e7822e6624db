//! `sampanctl images`: the images of the store, one line for each name.

use serde::Serialize;

use super::{Common, Output, show};
use crate::paths::Paths;
use crate::store::Store;

/// Arguments of `images`.
#[derive(Debug, clap::Args)]
pub struct Args {
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
    size: u64,
}

/// Lists images.
///
/// # Errors
/// When the store cannot be read.
pub fn run(args: Args, paths: &Paths) -> anyhow::Result<u8> {
    let images = match args.common.open(paths)? {
        Some(store) => list(&store)?,
        None => Vec::new(),
    };
    match args.common.output {
        Output::Json => show::print(&format!("{}\n", serde_json::to_string_pretty(&images)?))?,
        Output::Text => show::print(&show::table(&rows(&images)))?,
    }
    Ok(0)
}

/// An image whose record is damaged is listed with what is known: fsck says more.
fn list(store: &Store) -> anyhow::Result<Vec<Listed>> {
    let names = store.names()?;
    let listed = |id: &crate::store::ImageId| {
        let record = store.record(id).ok();
        Listed {
            id: id.to_string(),
            names: names.iter().filter(|(_, other)| other == id).map(|(name, _)| name.to_string()).collect(),
            digest: record.as_ref().and_then(|record| record.digest.as_ref()).map(ToString::to_string),
            created: record.as_ref().map(|record| record.created.clone()).unwrap_or_default(),
            size: record.map(|record| record.size).unwrap_or_default(),
        }
    };
    Ok(store.images()?.iter().map(listed).collect())
}

fn rows(images: &[Listed]) -> Vec<Vec<String>> {
    let mut rows = vec![["NAME", "IMAGE", "SIZE", "CREATED"].map(str::to_owned).to_vec()];
    for image in images {
        let nameless = ["<none>".to_owned()];
        let names = if image.names.is_empty() { &nameless[..] } else { &image.names };
        for name in names {
            let created = crate::image::text::printable(image.created.as_bytes());
            rows.push(vec![name.clone(), image.id[7..19].to_owned(), show::size(image.size), created]);
        }
    }
    rows[1..].sort();
    rows
}
