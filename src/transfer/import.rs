//! The import itself: from a source to images in the store.

use serde::{Deserialize, Serialize};
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use super::chunked::Tables;
use super::contract;
use super::remote::Remote;
use super::stream::{Blob, read_layer};
use super::{Selection, Source, Step, TransferError, Watch, formats, lanes, signatures};
use crate::image::digest::Digest;
use crate::image::document::{self, ConfigDocument};
use crate::image::limits::Limits;
use crate::image::manifest::Platform;
use crate::image::notices::Notices;
use crate::image::origin::Policy;
use crate::image::reference::Reference;
use crate::store::{
    FoldedImage, ImageId, NewImage, Outcome, Purpose, Scrutiny, Store, UnpackedLayer, Writer,
};

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
    /// How closely what the store has of it is looked at.
    pub scrutiny: Scrutiny,
}

impl Terms {
    /// The same, as arguments of the import worker.
    ///
    /// # Errors
    /// When they cannot be written as JSON.
    pub fn arguments(&self) -> serde_json::Result<Vec<String>> {
        let mut arguments = vec!["--limits".to_owned(), serde_json::to_string(&self.limits)?];
        arguments.extend(["--policy".to_owned(), serde_json::to_string(&self.policy)?]);
        arguments.extend((self.scrutiny == Scrutiny::Content).then(|| "--verify".to_owned()));
        Ok(arguments)
    }
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
    /// Where its table of contents is, of a layer that may be had in parts.
    pub(super) tables: Option<Tables>,
}

impl PackedLayer {
    fn digest(&self) -> Option<&Digest> {
        self.promised.as_ref().map(|(_, digest)| digest)
    }
}

/// Brings the images of a file, a folder, a stream or the channel to a registry's fetcher into the store.
///
/// # Errors
/// When a part of the source is refused, or the store cannot be written. Images that were complete before the
/// refused one stay.
pub fn import(
    store: &Store,
    input: OwnedFd,
    selection: &Selection,
    naming: &Naming,
    terms: &Terms,
    watch: Watch,
) -> Result<Report, TransferError> {
    let writer = Writer::new(store, Purpose::Add, terms.scrutiny)?;
    let source = match contract::is_channel(input.as_fd()) {
        true => Source::remote(Remote::new(input, store), watch),
        false => Source::open(input, &terms.limits, &|| Ok(writer.spool()?), watch)?,
    };
    if let Naming::Name(name) = naming {
        source.check_pin(name)?;
    }
    import_from(&writer, source, selection, naming, terms)
}

/// Brings the images of a source that is open into the store.
///
/// # Errors
/// As [`import`].
pub fn import_from(
    writer: &Writer<'_>,
    source: Source,
    selection: &Selection,
    naming: &Naming,
    terms: &Terms,
) -> Result<Report, TransferError> {
    let (source, candidates) = formats::images(source, selection, &terms.limits, &|| Ok(writer.spool()?))?;
    if let (Naming::Name(_), 2..) = (naming, candidates.len()) {
        return Err(TransferError::Several(candidates.len()));
    }
    let images = candidates
        .into_iter()
        .map(|candidate| import_one(writer, &source, candidate, naming, terms))
        .collect::<Result<_, _>>()?;
    Ok(Report { images, healed: writer.healed() })
}

fn import_one(
    writer: &Writer<'_>,
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
        Naming::Claimed => {
            claimed.iter().try_for_each(|name| check_claim(name, &digests))?;
            claimed
        }
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
    let image = ImageId::new(id.clone())?;
    if writer.has(&image, &document.diff_ids)? && writer.name(&image, &names)? {
        let notices = notices(&[], &document);
        return Ok(Imported { id, names, present: true, notices });
    }
    let begin = Instant::now();
    let (layers, tree) = read_layers(writer, source, &packed, &document.diff_ids, limits)?;
    tracing::debug!("{image}: {} layers read after {:?}", layers.len(), begin.elapsed());
    source.watch.tell(&Step::Committing { entries: tree.entries() });
    let notices = notices(&layers, &document);
    let image = NewImage { id: image, manifest, config, document, layers, tree };
    let present = writer.commit(image, &names)? == Outcome::Present;
    tracing::debug!("{id}: committed after {:?}", begin.elapsed());
    Ok(Imported { id, names, present, notices })
}

/// A name that pins a digest is for the image of this digest alone, whatever a source says.
fn check_claim(name: &Reference, digests: &[Digest]) -> Result<(), TransferError> {
    match name.digest() {
        Some(digest) if !digests.contains(digest) => Err(TransferError::Claim(name.clone())),
        _ => Ok(()),
    }
}

/// The layers of an image and the fold of them. Those that the store knows are read only to heal it.
fn read_layers(
    writer: &Writer<'_>,
    source: &Source,
    packed: &[PackedLayer],
    diff_ids: &[Digest],
    limits: &Limits,
) -> Result<(Vec<UnpackedLayer>, FoldedImage), TransferError> {
    let layers: Vec<(&PackedLayer, &Digest)> = packed.iter().zip(diff_ids).collect();
    let (entries, holes) = (AtomicU64::new(0), AtomicU64::new(0));
    let mut unpacked = lanes::each(&layers, |(packed, diff_id)| {
        // Lanes do not know of what each other used until they are done.
        let left = |limit: u64, used: &AtomicU64| limit.saturating_sub(used.load(Ordering::Relaxed));
        let limits = &Limits {
            entries: left(limits.entries, &entries),
            holes: left(limits.holes, &holes),
            ..limits.clone()
        };
        let layer = match writer.known_layer(diff_id, packed.digest()) {
            Some(known) => known,
            None => unpack(writer, source, packed, diff_id, limits)?,
        };
        entries.fetch_add(layer.entries, Ordering::Relaxed);
        holes.fetch_add(layer.holes, Ordering::Relaxed);
        Ok::<_, TransferError>(layer)
    })?;
    if entries.into_inner() > limits.entries {
        return Err(TransferError::Entries(limits.entries));
    }
    if holes.into_inner() > limits.holes {
        return Err(TransferError::Holes(limits.holes));
    }
    let tree = writer.fold(&unpacked, limits)?;
    for position in tree.unsound_layers() {
        let (packed, diff_id) = layers[*position];
        unpacked[*position] = unpack(writer, source, packed, diff_id, limits)?;
    }
    Ok((unpacked, tree))
}

fn unpack(
    writer: &Writer<'_>,
    source: &Source,
    packed: &PackedLayer,
    diff_id: &Digest,
    limits: &Limits,
) -> Result<UnpackedLayer, TransferError> {
    let what = format!("layer {}", packed.digest().unwrap_or(diff_id));
    source.read(packed, &what, limits, |(bytes, size), promised| {
        let blob = Blob { what: what.clone(), bytes, size, promised, diff_id: diff_id.clone() };
        let mut sink = writer.layer(diff_id)?;
        let layer = read_layer(blob, limits, &mut sink)?;
        Ok(sink.finish(packed.digest().cloned(), diff_id.clone(), layer)?)
    })
}

fn notices(layers: &[UnpackedLayer], document: &ConfigDocument) -> Vec<String> {
    let notices: Notices = layers.iter().map(|layer| &layer.notices).collect();
    let mut notices = notices.into_sentences();
    let host = Platform::host();
    if !document.platform.fits(&host) {
        notices.push(format!("the image is for {}, this host is {host}", document.platform));
    }
    notices.extend(document.config.unknown_stop_signal());
    notices
}
