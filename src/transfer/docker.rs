//! `docker save` archives without an OCI layout inside: from `manifest.json` to images.

use serde::Deserialize;

use super::import::{Candidate, PackedLayer};
use super::layout::check;
use super::source::Source;
use super::{TransferError, directory};
use crate::image::digest::Digest;
use crate::image::reference::Reference;
use crate::image::{ImageError, json};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Saved {
    config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    /// Docker writes `null` for those of an image without any.
    layers: Option<Vec<String>>,
}

/// The images of an archive.
pub(super) fn candidates(source: &Source) -> Result<Vec<Candidate>, TransferError> {
    let bytes = source.document("manifest.json", "manifest.json")?;
    if directory::is_one(&bytes) {
        return directory::candidates(source, bytes);
    }
    let saved: Vec<Saved> = json::parse(&bytes, "manifest.json")?;
    if saved.is_empty() {
        return Err(ImageError::document("manifest.json", "lists no image").into());
    }
    saved.into_iter().map(|saved| candidate(source, saved)).collect()
}

/// An archive promises digests by names only, `DIGITS.json`; its layers by the configuration's diff ids.
fn candidate(source: &Source, saved: Saved) -> Result<Candidate, TransferError> {
    let what = "configuration";
    let config = source.document(&saved.config, what)?;
    if let Some(promised) = named_digest(&saved.config) {
        check(&config, &promised, format!("{what} {promised}"))?;
    }
    let names = saved.repo_tags.unwrap_or_default();
    let names = names.iter().map(|name| Reference::from_docker(name)).collect::<Result<_, _>>()?;
    let layers = saved
        .layers
        .into_iter()
        .flatten()
        .map(|path| PackedLayer { path, promised: None, tables: None })
        .collect();
    let id = Digest::of(&config);
    Ok(Candidate { id, manifest: None, digests: Vec::new(), config, layers, names })
}

/// The digest in `DIGITS.json` or `blobs/sha256/DIGITS`.
fn named_digest(name: &str) -> Option<Digest> {
    let digits = name.strip_suffix(".json").or_else(|| name.strip_prefix("blobs/sha256/"))?;
    Digest::parse(&format!("sha256:{digits}")).ok()
}
