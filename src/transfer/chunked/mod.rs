//! zstd:chunked: a layer of which only those files are fetched that the store has not.
//!
//! Such a layer is zstd as any other, but each file's content is frames of its own, and two tables follow in
//! skippable frames: a *table of contents* (JSON: the metadata, digest and place of each file) and a *tar-split*
//! (JSON, a line each: all bytes of the archive that are no file's content). Annotations of the layer's
//! descriptor say where both are, and their digests.
//!
//! The tables are believed in nothing. From the tar-split and the contents of files, known or fetched, the plain
//! archive is put together again, byte by byte, and goes through the same pass as every layer, which compares
//! its digest with the one in the image's configuration. Whatever is strange, and whatever does not save much,
//! ends in the layer being read whole; so it does when that digest is wrong. What is refused is refused by the
//! whole layer alone.
//!
//! Entries of chunks in the table of contents are passed over: a file's frames are fetched together, and its
//! own digest covers them.

mod place;
mod plan;
mod rebuild;
mod split;
mod stream;
mod table;

use std::io::{self, Read};
use std::ops::Range;

use super::remote::Remote;
use super::request::{Parts, Request, Wanted};
use super::source::Opened;
use crate::image::digest::Digest;
use crate::image::limits::Limits;
use crate::store::Store;
use plan::Plan;
use rebuild::Rebuilt;
use stream::PartStream;

pub(super) use place::Tables;

/// Largest window of zstd that is taken in parts: what writers of this form use at most.
const WINDOW_LOG_MAX: u32 = 25;

/// Bytes of a blob that fuzzing takes for known.
const KNOWN: u64 = 1 << 20;

/// Why a layer is read whole.
#[derive(Debug, thiserror::Error)]
enum Reason {
    #[error("its tables are too large, or it is too small")]
    Size,
    #[error("the registry does not send parts")]
    NoParts,
    #[error("the digest of its {0} is wrong or missing")]
    Digest(&'static str),
    #[error("its table of contents is wrong: {0}")]
    Table(#[from] serde_json::Error),
    #[error("{0}")]
    Plan(&'static str),
    #[error("cannot read its tables: {0}")]
    Read(#[from] std::io::Error),
}

/// The plain archive of a layer, put together from what the store has and parts of the blob `name`, and the size
/// of that blob. `None` when it is better read whole.
pub(super) fn open(
    remote: &Remote,
    name: &str,
    size: u64,
    tables: &Tables,
    limits: &Limits,
) -> Option<Opened> {
    if !remote.store().has_images() {
        return None;
    }
    match rebuilt(remote, name, size, tables, limits) {
        Ok(plain) => Some((Box::new(plain), size)),
        Err(reason) => {
            tracing::debug!("reading {name} whole: {reason}");
            None
        }
    }
}

fn rebuilt(
    remote: &Remote,
    name: &str,
    size: u64,
    tables: &Tables,
    limits: &Limits,
) -> Result<Rebuilt, Reason> {
    if !tables.are_worth_it(size) {
        return Err(Reason::Size);
    }
    let (contents, split) = fetch_tables(remote, name, tables)?;
    let mut plan = Plan::new(remote.store(), size, limits);
    let promised = table::read(contents.as_slice(), |entry| plan.add(entry))?;
    drop(contents);
    check_split(&split, [tables.split_digest.as_ref(), promised.as_ref()])?;
    let (pieces, parts) = plan.finish(tables.size()).map_err(Reason::Plan)?;
    let bytes: Box<dyn Read + Send> = match parts.size() {
        0 => Box::new(std::io::empty()),
        size => parts_of(remote, name, Wanted::Parts(parts.clone()), size)?,
    };
    let packed = PartStream::new(bytes, &parts);
    Ok(Rebuilt::new(split, remote.store().clone(), pieces, packed)?)
}

/// The plain archive that tables of these plain bytes make of a blob of which all is missing: for fuzzing.
///
/// # Errors
/// When the layer would be read whole.
pub fn rebuild(
    store: &Store,
    blob: &[u8],
    contents: &[u8],
    split: &[u8],
    limits: &Limits,
) -> io::Result<Vec<u8>> {
    // As if much more of the blob were known: a small one is never taken in parts.
    let mut plan = Plan::new(store, (blob.len() as u64).saturating_add(KNOWN), limits);
    table::parse(contents, |entry| plan.add(entry)).map_err(io::Error::other)?;
    let (pieces, parts) = plan.finish(0).map_err(io::Error::other)?;
    let part = |range: &Range<u64>| {
        let at = |offset: u64| usize::try_from(offset).unwrap_or(usize::MAX).min(blob.len());
        blob[at(range.start)..at(range.end)].to_vec()
    };
    let bytes: Vec<u8> = parts.ranges().iter().flat_map(part).collect();
    let packed = PartStream::new(Box::new(io::Cursor::new(bytes)), &parts);
    let mut plain = Vec::new();
    Rebuilt::new(zstd::encode_all(split, 0)?, store.clone(), pieces, packed)?.read_to_end(&mut plain)?;
    Ok(plain)
}

/// Both tables, packed; the table of contents has the digest that the manifest promises.
fn fetch_tables(remote: &Remote, name: &str, tables: &Tables) -> Result<(Vec<u8>, Vec<u8>), Reason> {
    let places = [&tables.contents, &tables.split].map(|place| place.start..place.end);
    let mut ranges = places.to_vec();
    ranges.sort_by_key(|range| range.start);
    let parts = Parts::new(ranges).ok_or(Reason::Plan("its tables overlap"))?;
    let bytes = parts_of(remote, name, Wanted::Tables(parts.clone()), parts.size())?;
    let mut stream = PartStream::new(bytes, &parts);
    let mut found = [Vec::new(), Vec::new()];
    let mut order = [0, 1];
    order.sort_by_key(|index| places[*index].start);
    for index in order {
        stream.go_to(places[index].start)?;
        let length = places[index].end - places[index].start;
        stream.by_ref().take(length).read_to_end(&mut found[index])?;
    }
    let [contents, split] = found;
    match tables.contents_digest.matches(&contents) {
        true => Ok((contents, split)),
        false => Err(Reason::Digest("table of contents")),
    }
}

fn parts_of(remote: &Remote, name: &str, wanted: Wanted, size: u64) -> Result<Box<dyn Read + Send>, Reason> {
    match remote.ask(&Request { name: name.to_owned(), wanted }) {
        Ok(Some((bytes, found))) if found == size => Ok(bytes),
        _ => Err(Reason::NoParts),
    }
}

/// The manifest promises the tar-split's digest itself, or by the table of contents, or both.
fn check_split(split: &[u8], promised: [Option<&Digest>; 2]) -> Result<(), Reason> {
    let mut promised = promised.into_iter().flatten().peekable();
    match promised.peek().is_some() && promised.all(|digest| digest.matches(split)) {
        true => Ok(()),
        false => Err(Reason::Digest("tar-split")),
    }
}
