//! Folders as `skopeo copy IMAGE dir:FOLDER` and `podman save --format=docker-dir` write them: the manifest of one
//! image, `manifest.json`, and beside it the blobs, which have the digits of their digests for names.

use super::import::Candidate;
use super::source::Source;
use super::{TransferError, layout};
use crate::image::ImageError;
use crate::image::digest::Digest;
use crate::image::manifest::{self, Document};

/// Whether a `manifest.json` is such a manifest: that of `docker save` is a list.
pub(super) fn is_one(bytes: &[u8]) -> bool {
    bytes.trim_ascii_start().starts_with(b"{")
}

/// The one image.
pub(super) fn candidates(source: &Source, bytes: Vec<u8>) -> Result<Vec<Candidate>, TransferError> {
    let Document::Manifest(manifest) = manifest::parse(&bytes, "", "manifest.json")? else {
        let reason = "is an index of several images: copy one of them, without --all";
        return Err(ImageError::document("manifest.json", reason).into());
    };
    let place = |digest: &Digest| digest.hex().to_owned();
    Ok(vec![layout::candidate(source, &place, Digest::of(&bytes), bytes, manifest, Vec::new())?])
}
