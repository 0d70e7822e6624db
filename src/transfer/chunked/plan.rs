//! From the entries of a table of contents to what is taken from where: files of the store, parts of the blob.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::ops::Range;

use super::table::{Entry, Kind};
use crate::image::digest::{Algorithm, ContentHash, Digest};
use crate::image::entry::{Attributes, Bytes, Metadata, Mtime};
use crate::image::limits::Limits;
use crate::image::tar::Type;
use crate::image::xattr;
use crate::store::{KnownFile, Store};
use crate::transfer::request::{PARTS_MAX, Parts};

/// What a request costs, in bytes that come in the same time: nearer parts are fetched in one.
const REQUEST: u64 = 64 << 10;
/// Files of one layer: what is known of each is held.
const FILES_MAX: usize = 100_000;

/// A file's content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Content {
    /// As the store has it.
    Known(KnownFile),
    /// To be fetched.
    Packed(Packed),
}

/// A content in the blob.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Packed {
    /// Where its frames lie.
    pub(super) place: Range<u64>,
    /// Its plain size.
    pub(super) size: u64,
    pub(super) hash: ContentHash,
}

impl Content {
    /// Its plain size.
    pub(super) fn size(&self) -> u64 {
        match self {
            Self::Known(file) => file.size(),
            Self::Packed(packed) => packed.size,
        }
    }
}

/// What is known of a layer so far.
pub(super) struct Plan<'a> {
    store: &'a Store,
    blob: u64,
    plain_max: u64,
    plain: u64,
    contents: Vec<Content>,
    ranges: Vec<Range<u64>>,
    /// Where the last content in the blob ended.
    end: u64,
}

impl<'a> Plan<'a> {
    /// For a blob of this size.
    pub(super) fn new(store: &'a Store, blob: u64, limits: &Limits) -> Self {
        let plain_max = blob.saturating_mul(limits.ratio).max(limits.ratio_free).min(limits.layer_bytes);
        Self { store, blob, plain_max, plain: 0, contents: Vec::new(), ranges: Vec::new(), end: 0 }
    }

    /// Takes the next entry. Contents lie in the blob as their files do in the archive.
    pub(super) fn add(&mut self, entry: Entry) -> Result<(), &'static str> {
        if entry.kind != Kind::Reg || entry.size == 0 {
            return Ok(());
        }
        let place = entry.offset..entry.end_offset;
        if place.start < self.end || place.is_empty() || place.end > self.blob {
            return Err("a content does not lie behind the one before it");
        }
        self.end = place.end;
        self.plain = self.plain.saturating_add(entry.size);
        if self.plain > self.plain_max || self.contents.len() == FILES_MAX {
            return Err("it has too many files, or too large ones");
        }
        let hash = hash(&entry.digest).ok_or("a digest is not one of sha256")?;
        let size = entry.size;
        let metadata = metadata(entry).ok_or("metadata cannot be read")?;
        let content = match self.store.known_file(&hash, size, &metadata) {
            Some(file) => Content::Known(file),
            None => {
                self.fetch(&place);
                Content::Packed(Packed { place, size, hash })
            }
        };
        self.contents.push(content);
        Ok(())
    }

    fn fetch(&mut self, place: &Range<u64>) {
        match self.ranges.last_mut().filter(|last| place.start - last.end <= REQUEST) {
            Some(last) => last.end = place.end,
            None => self.ranges.push(place.clone()),
        }
    }

    /// The contents in their order, and what to fetch for them, if that is clearly less than the blob.
    pub(super) fn finish(self, tables: u64) -> Result<(Vec<Content>, Parts), &'static str> {
        if self.ranges.len() > PARTS_MAX {
            return Err("what is missing lies in too many places");
        }
        let requests = self.ranges.len() as u64 * REQUEST;
        let parts = Parts::new(self.ranges).ok_or("its contents overlap")?;
        let cost = parts.size().saturating_add(requests + tables);
        match cost <= self.blob / 4 * 3 {
            true => Ok((self.contents, parts)),
            false => Err("too little of it is known"),
        }
    }
}

fn hash(text: &str) -> Option<ContentHash> {
    let digest = Digest::parse(text).ok().filter(|digest| digest.algorithm() == Algorithm::Sha256)?;
    ContentHash::try_from(digest.hex()).ok()
}

/// As a reader of the archive would find it.
fn metadata(entry: Entry) -> Option<Metadata> {
    let mtime = match entry.modtime.as_deref() {
        Some(text) => time(text)?,
        None => Mtime::default(),
    };
    let decode = |(name, text): (String, String)| Some((name, Bytes(STANDARD.decode(text).ok()?)));
    let xattrs: Attributes = entry.xattrs.into_iter().map(decode).collect::<Option<_>>()?;
    let mut metadata = Metadata { mode: entry.mode & 0o7777, uid: entry.uid, gid: entry.gid, mtime, xattrs };
    // What is told of attributes that are left out comes of the archive itself.
    xattr::keep_allowed(Type::File, &mut metadata);
    Some(metadata)
}

/// Nanoseconds count forward from whole seconds, before 1970, too.
fn time(text: &str) -> Option<Mtime> {
    const SECOND: i128 = 1_000_000_000;
    let total = text.parse::<jiff::Timestamp>().ok()?.as_nanosecond();
    let seconds = i64::try_from(total.div_euclid(SECOND)).ok()?;
    Some(Mtime { seconds, nanoseconds: u32::try_from(total.rem_euclid(SECOND)).ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::paths::Paths;
    use crate::transfer::chunked::table::read;

    fn plan(entries: &[(u64, u64, u64)], blob: u64) -> Result<(usize, Parts), String> {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::create(&Paths::new(directory.path())).unwrap();
        let hash = ContentHash::of(b"x");
        let entries: Vec<_> = entries
            .iter()
            .map(|(offset, end, size)| {
                serde_json::json!({ "type": "reg", "name": "a", "size": size, "digest": format!("sha256:{hash}"),
                    "offset": offset, "endOffset": end, "modtime": "2020-01-01T00:00:00.5+01:00" })
            })
            .collect();
        let table = serde_json::json!({ "version": 1, "entries": entries }).to_string();
        let packed = zstd::encode_all(table.as_bytes(), 0).unwrap();
        let mut plan = Plan::new(&store, blob, &Limits::default());
        read(&packed, |entry| plan.add(entry)).map_err(|error| error.to_string())?;
        plan.finish(0).map(|(contents, parts)| (contents.len(), parts)).map_err(str::to_owned)
    }

    #[test]
    fn neighbours_come_in_one_request() {
        let blob = 10 << 20;
        let (files, parts) = plan(&[(0, 10, 5), (20, 40, 5), (1 << 20, (1 << 20) + 5, 5)], blob).unwrap();
        assert_eq!((files, parts.to_string()), (3, "0-40,1048576-1048581".to_owned()));
        assert!(plan(&[(0, blob / 4 * 3, 5)], blob).unwrap_err().contains("too little"));
    }

    #[test]
    fn places_that_lie_are_refused() {
        let blob = 10 << 20;
        for entries in [
            vec![(0, 10, 5), (9, 12, 5)],
            vec![(20, 30, 5), (0, 10, 5)],
            vec![(5, 5, 5)],
            vec![(9, 5, 5)],
            vec![(0, blob + 1, 5)],
            vec![(u64::MAX - 1, u64::MAX, 5)],
        ] {
            assert!(plan(&entries, blob).unwrap_err().contains("does not lie behind"), "{entries:?}");
        }
        assert!(plan(&[(0, 10, u64::MAX), (20, 30, 1)], blob).unwrap_err().contains("too large"));
    }

    #[test]
    fn times_count_forward() {
        assert_eq!(time("1970-01-01T00:00:00Z"), Some(Mtime::default()));
        assert_eq!(time("1969-12-31T23:59:59.5Z"), Some(Mtime { seconds: -1, nanoseconds: 500_000_000 }));
        assert_eq!(time("2001-09-09T03:46:40+02:00"), Some(Mtime { seconds: 1_000_000_000, nanoseconds: 0 }));
        assert_eq!(time("yesterday"), None);
    }
}
