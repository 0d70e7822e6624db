//! `sampanctl gc`: removes what neither a name nor a unit needs, or says why each image stays.

use serde::Serialize;
use std::collections::BTreeSet;

use super::{Common, show};
use crate::cli::display::OutputFormat;
use crate::manager::images::roots::{self, Root, roots, wants_copy};
use crate::paths::Paths;
use crate::store::{Collected, ImageId, PrivateCopy, Store, Unused};

/// Arguments of `gc`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Remove nothing, and say why each image stays
    #[arg(long)]
    explain: bool,
    #[command(flatten)]
    common: Common,
}

/// Collects garbage.
///
/// # Errors
/// When the store cannot be read or written.
pub fn run(args: Args, paths: &Paths) -> anyhow::Result<u8> {
    // Where no store was made yet there is nothing to remove.
    let Some(store) = args.common.open(paths)? else {
        return told(Collected::default(), &[], args.common.output);
    };
    if args.explain {
        return explain(&store, paths, args.common.output);
    }
    let collected = store.gc(|| roots(paths).into_iter().map(|root| root.image).collect())?;
    let copies = store.remove_private(|| Ok(wants_copy(paths, store.images()?.into_iter().collect())))?;
    told(collected, &copies, args.common.output)
}

fn told(collected: Collected, copies: &[(PrivateCopy, u64)], output: OutputFormat) -> anyhow::Result<u8> {
    let Collected { images, layers, objects, bytes } = collected;
    let copied: u64 = copies.iter().map(|(_, bytes)| bytes).sum();
    let collected = serde_json::json!({
        "images": images, "layers": layers, "objects": objects, "bytes": bytes,
        "copies": copies.len(), "copied_bytes": copied,
    });
    output.show(&collected, || {
        let freed = show::size(bytes);
        let copied = show::size(copied);
        let copies = match copies.len() {
            0 => String::new(),
            1 => format!("Removed 1 private copy: {copied} freed.\n"),
            copies => format!("Removed {copies} private copies: {copied} freed.\n"),
        };
        format!(
            "Removed {images} images, {layers} layer indexes and {objects} files: {freed} freed.\n{copies}"
        )
    })?;
    Ok(0)
}

/// An image and what keeps it; without a reason, it goes.
#[derive(Debug, Serialize)]
struct Explained {
    id: String,
    reasons: Vec<String>,
    /// Bytes of files that no other image has.
    own: u64,
}

/// A unit's copy that goes.
#[derive(Debug, Serialize)]
struct Unwanted {
    unit: String,
    image: String,
    bytes: u64,
}

#[derive(Debug, Serialize)]
struct Explanation {
    images: Vec<Explained>,
    copies: Vec<Unwanted>,
    #[serde(flatten)]
    unused: Unused,
}

fn explain(store: &Store, paths: &Paths, output: OutputFormat) -> anyhow::Result<u8> {
    let roots: Vec<Root> = roots(paths);
    let (names, lost, usages) = (store.names()?, store.lost_names()?, store.usages()?);
    let roots = roots::resolved(&roots, store);
    let mut kept = BTreeSet::new();
    let mut images = Vec::new();
    for id in store.images()? {
        let named = names.iter().filter(|(_, other)| *other == id);
        let mut reasons: Vec<String> = named.map(|(name, _)| format!("its name is {name}")).collect();
        let lost = lost.iter().filter(|(_, other)| *other == id);
        reasons.extend(
            lost.map(|(name, _)| format!("its name {name} is lost, which \"fsck --repair\" restores")),
        );
        reasons.extend(roots.iter().filter(|(_, of)| *of == id).map(|(root, _)| root.user.to_string()));
        // A tree that cannot be read is for fsck to tell.
        let own = usages.get(&id).map(|usage| usage.own).unwrap_or_default();
        images.push(Explained { id: id.to_string(), reasons, own });
        if images.last().is_some_and(|image| !image.reasons.is_empty()) {
            kept.insert(id);
        }
    }
    let copies = unwanted(store, paths, &kept)?;
    let explanation = Explanation { images, copies, unused: store.unused(&kept)? };
    output.show(&explanation, || text(&explanation))?;
    Ok(0)
}

/// The copies that go: those that no unit wants, and those of images that go.
fn unwanted(store: &Store, paths: &Paths, kept: &BTreeSet<ImageId>) -> anyhow::Result<Vec<Unwanted>> {
    let wanted = wants_copy(paths, kept.clone());
    let copies = store.private_copies()?.into_iter().filter(|copy| !wanted(copy));
    // A tree that cannot be read goes, too.
    let bytes = |copy: &PrivateCopy| copy.bytes().unwrap_or_default();
    let unwanted =
        |copy: PrivateCopy| Unwanted { bytes: bytes(&copy), image: copy.image.to_string(), unit: copy.unit };
    Ok(copies.map(unwanted).collect())
}

fn text(explanation: &Explanation) -> String {
    let mut text = String::new();
    for image in &explanation.images {
        let size = show::size(image.own);
        match image.reasons.is_empty() {
            true => text.push_str(&format!("{} goes, nothing needs it: {size} freed\n", image.id)),
            false => text.push_str(&format!("{} stays, {size} are its own\n", image.id)),
        }
        text.extend(image.reasons.iter().map(|reason| format!("  {reason}\n")));
    }
    for Unwanted { unit, image, bytes } in &explanation.copies {
        let size = show::size(*bytes);
        text.push_str(&format!(
            "the private copy of {unit} of {image} goes, nothing needs it: {size} freed\n"
        ));
    }
    let Unused { layers, objects, bytes } = explanation.unused;
    let size = show::size(bytes);
    text.push_str(&format!("{objects} files that no image has go: {size} freed\n"));
    text.push_str(&format!("{layers} layer indexes that no image needs go\n"));
    text
}
