//! The import itself: from a source to images in the store.

use serde::{Deserialize, Serialize};
use std::os::fd::OwnedFd;

use super::stream::{Blob, read_layer};
use super::{Source, TransferError, docker, layout, signatures};
use crate::image::digest::Digest;
use crate::image::document;
use crate::image::fold::{FoldedEntry, fold};
use crate::image::limits::Limits;
use crate::image::manifest::Platform;
use crate::image::origin::Policy;
use crate::image::reference::Reference;
use crate::store::{ImageId, NewImage, Origin, Outcome, Store, UnpackedLayer, Writer};

/// Which names the images get.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Naming {
    /// None.
    Nameless,
    /// This one, for the only image of the source.
    Name(Reference),
    /// Those that the source claims.
    Claimed,
}

/// What the host asks of an image.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Terms {
    /// What it may cost.
    pub limits: Limits,
    /// Where it may come from.
    pub policy: Policy,
}

/// What an import did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// The images of the source.
    pub images: Vec<Imported>,
    /// Damaged objects of the store that were made whole.
    pub healed: u64,
}

/// One imported image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Imported {
    /// Its id.
    pub id: Digest,
    /// Names it was given.
    pub names: Vec<Reference>,
    /// Whether it was in the store before, whole.
    pub present: bool,
    /// What was left out, a sentence each.
    pub notices: Vec<String>,
}

/// An image of a source, its documents checked and its layers not yet read.
#[derive(Debug)]
pub(super) struct Candidate {
    pub(super) id: Digest,
    pub(super) manifest: Option<(Digest, Vec<u8>)>,
    /// Of its manifest and of the index that led there: what may be signed.
    pub(super) digests: Vec<Digest>,
    pub(super) config: Vec<u8>,
    pub(super) layers: Vec<PackedLayer>,
    pub(super) names: Vec<Reference>,
}

/// A layer's place in a source.
#[derive(Debug)]
pub(super) struct PackedLayer {
    pub(super) path: String,
    pub(super) promised: Option<(u64, Digest)>,
}

/// Brings the images of a source into the store.
///
/// # Errors
/// When a part of the source is refused, or the store cannot be written. Images that were complete before the
/// refused one stay.
pub fn import(
    store: &Store,
    input: OwnedFd,
    naming: &Naming,
    terms: &Terms,
) -> Result<Report, TransferError> {
    let mut writer = Writer::new(store)?;
    let source = Source::open(input, &terms.limits, || Ok(writer.spool()?))?;
    let candidates = if source.has("oci-layout") {
        layout::candidates(&source, &Platform::host())?
    } else if source.has("manifest.json") {
        docker::candidates(&source)?
    } else {
        return Err(TransferError::Format);
    };
    if let (Naming::Name(_), 2..) = (naming, candidates.len()) {
        return Err(TransferError::Several(candidates.len()));
    }
    let images = candidates
        .into_iter()
        .map(|candidate| import_one(&mut writer, &source, candidate, naming, terms))
        .collect::<Result<_, _>>()?;
    Ok(Report { images, healed: writer.healed() })
}

fn import_one(
    writer: &mut Writer<'_>,
    source: &Source,
    candidate: Candidate,
    naming: &Naming,
    terms: &Terms,
) -> Result<Imported, TransferError> {
    let limits = &terms.limits;
    let Candidate { id, manifest, digests, config, layers: packed, names: claimed } = candidate;
    let names = match naming {
        Naming::Nameless => Vec::new(),
        Naming::Name(name) => vec![name.clone()],
        Naming::Claimed => claimed,
    };
    // Before a layer is read, and long before the commit.
    signatures::check(&terms.policy, source, &names, &digests)?;
    let document = document::parse(&config, &format!("configuration {id}"))?;
    if document.diff_ids.len() != packed.len() {
        let (diff_ids, layers) = (document.diff_ids.len(), packed.len());
        return Err(TransferError::LayerCount { diff_ids, layers });
    }
    if packed.len() > limits.layers {
        return Err(TransferError::Layers { found: packed.len(), limit: limits.layers });
    }
    let mut layers = Vec::new();
    let mut left = limits.clone();
    for (packed, diff_id) in packed.iter().zip(&document.diff_ids) {
        let layer = match writer.known_layer(diff_id) {
            Some(entries) => known(packed, diff_id, entries),
            None => unpack(writer, source, packed, diff_id, &left)?,
        };
        left.entries = left.entries.saturating_sub(layer.entries.len() as u64);
        layers.push(layer);
    }
    let entries = fold_layers(&layers)?;
    for position in writer.unsound_layers(&entries, &layers)? {
        layers[position] = unpack(writer, source, &packed[position], &document.diff_ids[position], limits)?;
    }
    let notices = notices(&layers, &document.platform);
    let image = NewImage { id: ImageId::new(id.clone())?, manifest, config, document, layers, entries };
    let present = writer.commit(image, &names)? == Outcome::Present;
    Ok(Imported { id, names, present, notices })
}

fn known(
    packed: &PackedLayer,
    diff_id: &Digest,
    entries: Vec<crate::image::entry::LayerEntry>,
) -> UnpackedLayer {
    let digest = packed.promised.as_ref().map(|(_, digest)| digest.clone());
    UnpackedLayer { digest, diff_id: diff_id.clone(), entries, notices: Vec::new(), origin: Origin::Index }
}

fn unpack(
    writer: &mut Writer<'_>,
    source: &Source,
    packed: &PackedLayer,
    diff_id: &Digest,
    limits: &Limits,
) -> Result<UnpackedLayer, TransferError> {
    let digest = packed.promised.as_ref().map(|(_, digest)| digest.clone());
    let what = format!("layer {}", digest.as_ref().unwrap_or(diff_id));
    let (bytes, size) = source.stream(&packed.path, &what)?;
    let blob = Blob { what, bytes, size, promised: packed.promised.clone(), diff_id: diff_id.clone() };
    let layer = read_layer(blob, limits, writer)?;
    let (diff_id, origin) = (diff_id.clone(), Origin::Stream);
    Ok(UnpackedLayer { digest, diff_id, entries: layer.entries, notices: layer.notices, origin })
}

fn fold_layers(layers: &[UnpackedLayer]) -> Result<Vec<FoldedEntry>, TransferError> {
    let layers = layers.iter().map(|layer| (&layer.diff_id, layer.entries.as_slice()));
    Ok(fold(layers)?.entries())
}

fn notices(layers: &[UnpackedLayer], platform: &Platform) -> Vec<String> {
    let mut notices: Vec<String> = layers.iter().flat_map(|layer| layer.notices.clone()).collect();
    let host = Platform::host();
    if *platform != host {
        let Platform { os, architecture } = platform;
        let what =
            format!("the image is for {os}/{architecture}, this host is {}/{}", host.os, host.architecture);
        notices.push(crate::image::text::printable(what.as_bytes()));
    }
    notices
}
