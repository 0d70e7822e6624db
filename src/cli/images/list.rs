//! `sampanctl images`: the images of the store, one line for each name, and below one for each copy that a unit has.

use clap_complete::engine::ArgValueCandidates;
use jiff::Timestamp;

use super::access::images;
use super::{Common, show};
use crate::cli::candidates::image_names;
use crate::cli::text::time;
use crate::manager::images::list::Listed;
use crate::paths::Paths;
use crate::store::Usage;

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

/// Lists images.
///
/// # Errors
/// When the store cannot be read.
pub fn run(args: Args, paths: &Paths) -> anyhow::Result<u8> {
    let images = images(&args.common, paths);
    if args.quiet && args.images.is_empty() {
        return print_ids(images.ids()?.into_iter());
    }
    let images = images.list(&args.images)?;
    if args.quiet {
        return print_ids(images.into_iter().map(|image| image.id));
    }
    print(&args, &images)
}

fn print_ids(ids: impl Iterator<Item = String>) -> anyhow::Result<u8> {
    show::print(&ids.map(|id| id + "\n").collect::<String>())?;
    Ok(0)
}

fn print(args: &Args, images: &[Listed]) -> anyhow::Result<u8> {
    args.common.output.show(&images, || show::table(&rows(images)[usize::from(args.no_legend)..]))?;
    Ok(0)
}

fn rows(images: &[Listed]) -> Vec<Vec<String>> {
    let mut rows = vec![["NAME", "IMAGE", "CREATED", "SIZE", "SHARED", "OWN"].map(str::to_owned).to_vec()];
    let now = Timestamp::now();
    for image in images {
        let nameless = ["<none>".to_owned()];
        let names = if image.names.is_empty() { &nameless[..] } else { &image.names };
        let Usage { size, shared, own } = image.usage;
        let age = image.created().map(|created| now.duration_since(created).as_micros());
        let age = age.map(|age| time::ago(u64::try_from(age).unwrap_or_default()));
        for name in names {
            let id = image.id[7..19].to_owned();
            let age = age.clone().unwrap_or_else(|| "-".to_owned());
            let row = [name.clone(), id, age, show::size(size), show::size(shared), show::size(own)];
            rows.push(row.to_vec());
        }
        for copy in &image.copies {
            let (id, size) = (image.id[7..19].to_owned(), show::size(copy.size));
            let row =
                [format!("  copy of {}", copy.unit), id, "-".to_owned(), size.clone(), show::size(0), size];
            rows.push(row.to_vec());
        }
    }
    rows
}
