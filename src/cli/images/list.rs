//! `sampanctl images`: the images of the store, one line for each name.

use clap_complete::engine::ArgValueCandidates;
use jiff::Timestamp;
use serde::Serialize;
use std::cmp::Reverse;

use super::{Common, Output, show};
use crate::cli::candidates::image_names;
use crate::cli::text::time;
use crate::paths::Paths;
use crate::store::{ImageId, Store, Usage};
use crate::unit::pattern;

/// Arguments of `images`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Names or patterns of them, ids or their first digits; all images when there are none
    #[arg(value_name = "IMAGE", add = ArgValueCandidates::new(image_names))]
    images: Vec<String>,
    /// Only ids, a line each
    #[arg(long, short)]
    quiet: bool,
    /// No heading
    #[arg(long)]
    no_legend: bool,
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
    if args.quiet && args.images.is_empty() {
        return print_ids(store.images()?.iter().map(ToString::to_string));
    }
    let mut images = list(&store)?;
    images
        .retain(|image| args.images.is_empty() || args.images.iter().any(|word| means(&store, word, image)));
    if args.quiet {
        return print_ids(images.into_iter().map(|image| image.id));
    }
    print(&args, &images)
}

/// Whether a word of the command line means an image: as a pattern of its names, or as one image of the store.
fn means(store: &Store, word: &str, image: &Listed) -> bool {
    if !pattern::is_pattern(word) {
        return store.resolve(word).is_ok_and(|id| id.to_string() == image.id);
    }
    let fits = |name: &String| {
        let short = name.strip_prefix("localhost/").unwrap_or(name);
        pattern::matches(word, name) || pattern::matches(word, short)
    };
    image.names.iter().any(fits)
}

fn print_ids(ids: impl Iterator<Item = String>) -> anyhow::Result<u8> {
    show::print(&ids.map(|id| id + "\n").collect::<String>())?;
    Ok(0)
}

fn print(args: &Args, images: &[Listed]) -> anyhow::Result<u8> {
    match args.common.output {
        Output::Json => show::print(&format!("{}\n", serde_json::to_string_pretty(images)?))?,
        Output::Text => show::print(&show::table(&rows(images)[usize::from(args.no_legend)..]))?,
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
