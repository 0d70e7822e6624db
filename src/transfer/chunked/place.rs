//! Where the tables of a layer are, as its descriptor's annotations say: part of the manifest, and as true as it.

use std::ops::Range;

use crate::image::digest::Digest;
use crate::image::manifest::Descriptor;

const CONTENTS: &str = "io.github.containers.zstd-chunked.manifest-position";
const CONTENTS_DIGEST: &str = "io.github.containers.zstd-chunked.manifest-checksum";
const SPLIT: &str = "io.github.containers.zstd-chunked.tarsplit-position";
/// Later writers put it into the table of contents.
const SPLIT_DIGEST: &str = "io.github.containers.zstd-chunked.tarsplit-checksum";
/// The one form of a table of contents that there is.
const FORM: u64 = 1;
/// Packed bytes of one table: that of 50,000 files. Both are held in memory, of several layers at a time.
const TABLE_MAX: u64 = 4 << 20;
/// A smaller blob is fetched sooner than thought about.
const BLOB_MIN: u64 = 256 << 10;

/// Where both tables of a layer are, and what promises them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::transfer) struct Tables {
    pub(super) contents: Range<u64>,
    pub(super) contents_digest: Digest,
    pub(super) split: Range<u64>,
    pub(super) split_digest: Option<Digest>,
}

impl Tables {
    /// What a layer's descriptor says; `None` of layers in another form, and of what no reader could follow.
    pub(in crate::transfer) fn of(layer: &Descriptor) -> Option<Self> {
        let note = |name: &str| layer.annotations.as_ref()?.get(name);
        let contents = numbers::<4>(note(CONTENTS)?)?;
        let split = numbers::<3>(note(SPLIT)?)?;
        let place = |start: u64, length: u64| {
            let end = start.checked_add(length)?;
            (end <= layer.size && (1..=TABLE_MAX).contains(&length)).then_some(start..end)
        };
        let split_digest = match note(SPLIT_DIGEST) {
            Some(text) => Some(Digest::parse(text).ok()?),
            None => None,
        };
        (contents[3] == FORM).then_some(())?;
        Some(Self {
            contents: place(contents[0], contents[1])?,
            contents_digest: Digest::parse(note(CONTENTS_DIGEST)?).ok()?,
            split: place(split[0], split[1])?,
            split_digest,
        })
    }

    /// Packed bytes of both.
    pub(super) fn size(&self) -> u64 {
        [&self.contents, &self.split].map(|range| range.end - range.start).into_iter().sum()
    }

    /// Whether looking into them may save something of a blob of this size.
    pub(super) fn are_worth_it(&self, blob: u64) -> bool {
        blob >= BLOB_MIN && self.size() <= blob / 4
    }
}

/// `OFFSET:LENGTH:...`, so many decimal numbers.
fn numbers<const N: usize>(text: &str) -> Option<[u64; N]> {
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let numbers = text.split(':').map(|text| text.parse().ok().filter(|_| digits(text)));
    numbers.collect::<Option<Vec<u64>>>()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn annotations_are_read_strictly() {
        let digest = Digest::of(b"x").to_string();
        let tables = |contents: &str, checksum: &str, split: &str| {
            let notes = [(CONTENTS, contents), (CONTENTS_DIGEST, checksum), (SPLIT, split)];
            Tables::of(&Descriptor {
                media_type: String::new(),
                digest: Digest::of(b"layer"),
                size: 1 << 20,
                platform: None,
                annotations: Some(notes.map(|(name, text)| (name.to_owned(), text.to_owned())).into()),
                artifact_type: None,
                urls: None,
            })
        };
        let found = tables("1000:50:400:1", &digest, "1058:20:90").unwrap();
        assert_eq!((found.contents.clone(), found.split.clone(), found.size()), (1000..1050, 1058..1078, 70));
        assert!(found.are_worth_it(1 << 20) && !found.are_worth_it(1000));
        for contents in ["", "1000:50:400", "1000:50:400:2", "1000:0:400:1", "1048570:50:400:1", "+1:50:4:1"]
        {
            assert_eq!(tables(contents, &digest, "1058:20:90"), None, "{contents}");
        }
        assert_eq!(tables("1000:50:400:1", "x", "1058:20:90"), None);
        assert_eq!(tables("1000:50:400:1", &digest, "18446744073709551615:20:90"), None);
    }
}
