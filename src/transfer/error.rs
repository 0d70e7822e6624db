//! Why a transfer failed, with the document, layer or blob that it is about.

use std::io;

use crate::image::ImageError;
use crate::image::digest::Digest;
use crate::image::origin::OriginError;
use crate::image::reference::Reference;
use crate::store::StoreError;

/// Why an image was not imported.
#[derive(Debug, thiserror::Error)]
pub enum TransferError {
    /// The source is nothing that holds an image.
    #[error(
        "no form of an image that is known: it has neither manifest.json nor repositories (\"docker save\") nor \
         oci-layout (OCI image layout), and is no tree, which has bin, etc, lib, sbin, usr or var at its top; \
         --format=tree imports it as one"
    )]
    Format,
    /// The image is for another platform than was asked for.
    #[error("the image is for {found}, not for {wanted}")]
    Platform {
        /// What its configuration says.
        found: String,
        /// What was asked for.
        wanted: String,
    },
    /// Only a tree has no configuration of its own.
    #[error("the image has a configuration of its own: --change is for a tree only")]
    Changes,
    /// A layer that must not be distributed with its image, and is not there.
    #[error(
        "layer {layer} is a foreign layer, which its image does not bring along, and Sampan fetches from no \
         other place{place}: get an image that was saved or pushed with its foreign layers"
    )]
    Foreign {
        /// The layer.
        layer: Digest,
        /// Where it is said to be, in brackets.
        place: String,
    },
    /// The outer archive is broken.
    #[error("archive: {0}")]
    Archive(ImageError),
    /// The source cannot be read.
    #[error("cannot read {what}: {source}")]
    Read {
        /// Which part of it.
        what: String,
        /// The cause.
        source: io::Error,
    },
    /// The output cannot be written.
    #[error("cannot write {what}: {source}")]
    Write {
        /// Which part of it.
        what: String,
        /// The cause.
        source: io::Error,
    },
    /// The fetcher of a registry gave nothing; it tells why.
    #[error("cannot fetch {0}")]
    Fetcher(String),
    /// The registry's image is not the one that was asked for.
    #[error("the registry leads to {found} instead of {expected}")]
    Pinned {
        /// What the name pins.
        expected: Digest,
        /// What came.
        found: Digest,
    },
    /// A source gives its image the name of another.
    #[error("claims the name {0}, whose digest is not its image's: leave out --keep-names, or use --name")]
    Claim(Reference),
    /// A document or name is refused.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// Something that the image's documents promise is not there.
    #[error("{what}: there is no \"{name}\" in the source")]
    Missing {
        /// What needs it.
        what: String,
        /// Its name in the source.
        name: String,
    },
    /// A blob is not what its digest says.
    #[error("{what}: the digest is wrong: {found} instead of {expected}")]
    Digest {
        /// Which blob.
        what: String,
        /// As promised.
        expected: Digest,
        /// As computed.
        found: Digest,
    },
    /// A blob is longer or shorter than promised.
    #[error("{what}: the size is wrong: {found} bytes instead of {expected}")]
    Size {
        /// Which blob.
        what: String,
        /// As promised.
        expected: u64,
        /// As it is.
        found: u64,
    },
    /// A layer is refused.
    #[error("layer {layer}: {source}")]
    Layer {
        /// The digest of the layer, plain.
        layer: Digest,
        /// Its entry and the rule.
        source: ImageError,
    },
    /// The configuration and the manifest disagree.
    #[error("the configuration lists {diff_ids} layers, the manifest {layers}")]
    LayerCount {
        /// In the configuration.
        diff_ids: usize,
        /// In the manifest.
        layers: usize,
    },
    /// Each layer has fewer entries than it may, all together have more.
    #[error("the layers have more than {0} entries together, the limit \"entries\" of sampan.toml(5)")]
    Entries(u64),
    /// The same of the holes in files.
    #[error("the layers have more than {0} bytes of holes together, the limit \"holes\" of sampan.toml(5)")]
    Holes(u64),
    /// More layers than an image may have.
    #[error("has {found} layers, {limit} is the limit \"layers\" of sampan.toml(5)")]
    Layers {
        /// In the manifest.
        found: usize,
        /// As set.
        limit: usize,
    },
    /// The policy of the host is against it.
    #[error(transparent)]
    Origin(#[from] OriginError),
    /// One name for several images.
    #[error("holds {0} images; --name can name one only: leave it out, or use --keep-names")]
    Several(usize),
    /// The store refused.
    #[error(transparent)]
    Store(#[from] StoreError),
}
