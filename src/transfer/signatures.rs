//! Signatures that come with an image: cosign's, as manifests in the same layout, tagged `sha256-HEX.sig`.

use base64::Engine as _;

use super::TransferError;
use super::layout::blob;
use super::source::Source;
use crate::image::digest::Digest;
use crate::image::manifest::{self, Descriptor, Document};
use crate::image::origin::{Policy, Signature, is_signature_tag, signature_tag};
use crate::image::reference::Reference;

const TAG: &str = "org.opencontainers.image.ref.name";
const SIGNATURE: &str = "dev.cosignproject.cosign/signature";
const PAYLOAD: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
/// Signatures of one image that are looked at.
const SIGNATURES_MAX: usize = 64;

/// Checks that the policy lets an image of these digests have these names.
pub(super) fn check(
    policy: &Policy,
    source: &Source,
    names: &[Reference],
    digests: &[Digest],
) -> Result<(), TransferError> {
    let wanted = names.iter().any(|name| policy.wants_signature(name));
    let signatures = if wanted { find(source, digests)? } else { Vec::new() };
    for name in names {
        policy.check(name, digests, &signatures)?;
    }
    Ok(())
}

/// Whether a descriptor of a layout leads to signatures and not to an image.
pub(super) fn is_signature(descriptor: &Descriptor) -> bool {
    tag(descriptor).is_some_and(is_signature_tag)
}

/// The tag alone, of a whole name too.
fn tag(descriptor: &Descriptor) -> Option<&str> {
    let name = descriptor.annotations.as_ref()?.get(TAG)?;
    name.rsplit(':').next()
}

fn find(source: &Source, digests: &[Digest]) -> Result<Vec<Signature>, TransferError> {
    if digests.is_empty() {
        return Ok(Vec::new());
    }
    let tags: Vec<String> = digests.iter().map(signature_tag).collect();
    let index = source.document("index.json", "index.json")?;
    let Document::Index(descriptors) = manifest::parse(&index, "", "index.json")? else {
        return Ok(Vec::new());
    };
    let mut signatures = Vec::new();
    let fits = |descriptor: &&Descriptor| tag(descriptor).is_some_and(|tag| tags.iter().any(|it| it == tag));
    for descriptor in descriptors.iter().filter(fits) {
        let bytes = blob(source, descriptor, "manifest")?;
        let name = format!("manifest {}", descriptor.digest);
        let Document::Manifest(manifest) = manifest::parse(&bytes, &descriptor.media_type, &name)? else {
            continue;
        };
        let layers = manifest.layers.iter().filter(|layer| layer.media_type == PAYLOAD);
        for layer in layers.take(SIGNATURES_MAX - signatures.len()) {
            let text = layer.annotations.as_ref().and_then(|annotations| annotations.get(SIGNATURE));
            let decoded = text.and_then(|text| base64::engine::general_purpose::STANDARD.decode(text).ok());
            if let Some(bytes) = decoded {
                signatures.push(Signature { payload: blob(source, layer, "signature")?, bytes });
            }
        }
    }
    Ok(signatures)
}
