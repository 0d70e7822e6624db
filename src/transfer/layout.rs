//! OCI image layouts: from `index.json` to the images for this host.

use super::chunked::Tables;
use super::source::Source;
use super::{TransferError, import::Candidate, import::PackedLayer, signatures};
use crate::image::digest::Digest;
use crate::image::manifest::{self, Descriptor, Document, Manifest, Platform};
use crate::image::reference::Reference;
use crate::image::{ImageError, json};

/// Indexes below each other.
const DEPTH_MAX: usize = 4;
/// Annotations that hold a name: containerd's is whole, that of the image specification is often a tag only.
const NAMES: [&str; 2] = ["io.containerd.image.name", "org.opencontainers.image.ref.name"];

#[derive(serde::Deserialize)]
struct Layout {
    #[serde(rename = "imageLayoutVersion")]
    version: String,
}

/// The images of a layout that run on `host`, one for each entry of its index.
pub(super) fn candidates(source: &Source, host: &Platform) -> Result<Vec<Candidate>, TransferError> {
    let layout: Layout = json::parse(&source.document("oci-layout", "oci-layout")?, "oci-layout")?;
    if layout.version != "1.0.0" {
        let reason = format!("version {} is not supported, only 1.0.0 is", layout.version.escape_debug());
        return Err(ImageError::document("oci-layout", reason).into());
    }
    let index = source.document("index.json", "index.json")?;
    let Document::Index(descriptors) = manifest::parse(&index, "", "index.json")? else {
        return Err(ImageError::document("index.json", "is not an index").into());
    };
    let mut candidates: Vec<Candidate> = Vec::new();
    let images: Vec<Descriptor> =
        descriptors.into_iter().filter(|it| !signatures::is_signature(it)).collect();
    let chosen = manifest::choose(&images, host, "index.json")?;
    for (position, descriptor) in chosen.iter().enumerate() {
        if chosen[..position].iter().any(|better| is_variant(descriptor, better)) {
            continue;
        }
        let (found, bytes, manifest) = follow(source, descriptor, host)?;
        let names = names(descriptor);
        match candidates
            .iter_mut()
            .find(|other| other.manifest.as_ref().is_some_and(|(digest, _)| *digest == found))
        {
            Some(other) => {
                other.names.extend(names);
                other.digests.push(descriptor.digest.clone());
            }
            None => {
                let mut candidate = candidate(source, &path, found, bytes, manifest, names)?;
                candidate.digests.push(descriptor.digest.clone());
                candidates.push(candidate);
            }
        }
    }
    Ok(candidates)
}

/// Whether two descriptors lead to one image for variants of a processor: then they have the same names.
fn is_variant(descriptor: &Descriptor, other: &Descriptor) -> bool {
    let name = |descriptor: &Descriptor, key: &str| descriptor.annotations.as_ref()?.get(key).cloned();
    let (Some(one), Some(two)) = (&descriptor.platform, &other.platform) else { return false };
    one.is_variant_of(two) && NAMES.iter().all(|key| name(descriptor, key) == name(other, key))
}

/// Reads a blob that is a document, and checks its promises before anything is made of it.
pub(super) fn blob(source: &Source, descriptor: &Descriptor, what: &str) -> Result<Vec<u8>, TransferError> {
    blob_at(source, &path(&descriptor.digest), descriptor, what)
}

fn blob_at(
    source: &Source,
    path: &str,
    descriptor: &Descriptor,
    what: &str,
) -> Result<Vec<u8>, TransferError> {
    let what = format!("{what} {}", descriptor.digest);
    let bytes = source.document(path, &what)?;
    if bytes.len() as u64 != descriptor.size {
        return Err(TransferError::Size { what, expected: descriptor.size, found: bytes.len() as u64 });
    }
    check(&bytes, &descriptor.digest, what)?;
    Ok(bytes)
}

/// Compares bytes with the digest that promises them.
pub(super) fn check(bytes: &[u8], expected: &Digest, what: String) -> Result<(), TransferError> {
    let found = expected.algorithm().digest(bytes);
    if found == *expected {
        return Ok(());
    }
    Err(TransferError::Digest { what, expected: expected.clone(), found })
}

/// Where a blob lies in a layout.
pub(super) fn path(digest: &Digest) -> String {
    format!("blobs/{}", digest.to_string().replace(':', "/"))
}

/// From a descriptor to the manifest for this host, through nested indexes.
fn follow(
    source: &Source,
    descriptor: &Descriptor,
    host: &Platform,
) -> Result<(Digest, Vec<u8>, Manifest), TransferError> {
    let mut descriptor = descriptor.clone();
    for _ in 0..DEPTH_MAX {
        let name = format!("manifest {}", descriptor.digest);
        let bytes = blob(source, &descriptor, "manifest")?;
        match manifest::parse(&bytes, &descriptor.media_type, &name)? {
            Document::Manifest(manifest) => return Ok((descriptor.digest, bytes, manifest)),
            Document::Index(below) => descriptor = manifest::choose(&below, host, &name)?[0].clone(),
        }
    }
    Err(ImageError::document(format!("manifest {}", descriptor.digest), "lies too deep in indexes").into())
}

/// An image, its documents checked; `place` says where a blob lies.
pub(super) fn candidate(
    source: &Source,
    place: &dyn Fn(&Digest) -> String,
    digest: Digest,
    bytes: Vec<u8>,
    manifest: Manifest,
    names: Vec<Reference>,
) -> Result<Candidate, TransferError> {
    let config = blob_at(source, &place(&manifest.config.digest), &manifest.config, "configuration")?;
    // The same as in the descriptor, unless that is of another algorithm.
    let id = Digest::of(&config);
    let layers = manifest
        .layers
        .into_iter()
        .map(|layer| {
            check_type(&layer)?;
            let path = place(&layer.digest);
            if is_foreign(&layer) && !source.has(&path) {
                return Err(foreign(layer));
            }
            let tables = Tables::of(&layer);
            Ok(PackedLayer { path, promised: Some((layer.size, layer.digest)), tables })
        })
        .collect::<Result<_, TransferError>>()?;
    let digests = vec![digest.clone()];
    let manifest = (digest, bytes);
    Ok(Candidate { id, manifest: Some(manifest), digests, config, layers, names })
}

/// Layers are tar archives. How they are packed is seen from their first bytes: labels have been wrong.
fn check_type(layer: &Descriptor) -> Result<(), ImageError> {
    let plain = ["+gzip", "+zstd", ".gzip", ".zstd"]
        .iter()
        .find_map(|suffix| layer.media_type.strip_suffix(suffix))
        .unwrap_or(&layer.media_type);
    match plain {
        "application/vnd.oci.image.layer.v1.tar"
        | "application/vnd.oci.image.layer.nondistributable.v1.tar"
        | "application/vnd.docker.image.rootfs.diff.tar"
        | "application/vnd.docker.image.rootfs.foreign.diff.tar" => Ok(()),
        _ => {
            let shown = crate::image::text::shown(layer.media_type.as_bytes());
            let reason = format!("the media type \"{shown}\" is not that of a layer");
            Err(ImageError::document(format!("layer {}", layer.digest), reason))
        }
    }
}

/// Layers that registries do not hold: of Windows, in their day.
fn is_foreign(layer: &Descriptor) -> bool {
    layer.media_type.contains(".nondistributable.") || layer.media_type.contains(".foreign.")
}

fn foreign(layer: Descriptor) -> TransferError {
    let url = layer.urls.iter().flatten().next();
    let place = url.map(|url| format!(" ({})", crate::image::text::shown(url.as_bytes())));
    TransferError::Foreign { layer: layer.digest, place: place.unwrap_or_default() }
}

fn names(descriptor: &Descriptor) -> Vec<Reference> {
    let annotations = descriptor.annotations.iter().flatten();
    let text = NAMES.iter().find_map(|key| {
        annotations.clone().find(|(name, text)| name == key && text.contains('/')).map(|(_, text)| text)
    });
    text.and_then(|text| Reference::from_docker(text).ok()).into_iter().collect()
}
