//! The table of contents, read as a stream: one entry at a time, none larger than it may be.

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, BufRead, BufReader, Read};

use super::{Reason, WINDOW_LOG_MAX};
use crate::image::digest::Digest;

/// Plain bytes of a table: they are passed through, not held.
const PLAIN_MAX: u64 = 256 << 20;
/// Bytes of one entry.
const ENTRY_MAX: usize = 256 << 10;
const VERSION: u64 = 1;

/// An entry, as far as it counts.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Entry {
    #[serde(rename = "type")]
    pub(super) kind: Kind,
    #[serde(default)]
    pub(super) mode: u32,
    #[serde(default)]
    pub(super) size: u64,
    #[serde(default)]
    pub(super) uid: u32,
    #[serde(default)]
    pub(super) gid: u32,
    #[serde(default)]
    pub(super) modtime: Option<String>,
    /// Their values in base64.
    #[serde(default)]
    pub(super) xattrs: BTreeMap<String, String>,
    #[serde(default)]
    pub(super) digest: String,
    #[serde(default)]
    pub(super) offset: u64,
    #[serde(default)]
    pub(super) end_offset: u64,
}

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Kind {
    /// A regular file, with its first chunk.
    Reg,
    /// Whatever has no content, and further chunks of a file.
    #[serde(other)]
    Other,
}

/// Calls `take` with each entry of a packed table, and returns the digest of the tar-split, if it stands there.
pub(super) fn read(
    packed: &[u8],
    take: impl FnMut(Entry) -> Result<(), &'static str>,
) -> Result<Option<Digest>, Reason> {
    let mut plain = zstd::stream::read::Decoder::with_buffer(packed)?;
    plain.window_log_max(WINDOW_LOG_MAX)?;
    parse(plain, take)
}

/// The same of a plain table.
pub(super) fn parse(
    plain: impl Read,
    take: impl FnMut(Entry) -> Result<(), &'static str>,
) -> Result<Option<Digest>, Reason> {
    let watched = BufReader::new(Watched::new(BufReader::new(plain.take(PLAIN_MAX))));
    let mut json = serde_json::Deserializer::from_reader(watched);
    let digest = Table(take).deserialize(&mut json)?;
    json.end()?;
    Ok(digest)
}

/// The object around the entries.
struct Table<F>(F);

impl<'de, F: FnMut(Entry) -> Result<(), &'static str>> DeserializeSeed<'de> for Table<F> {
    type Value = Option<Digest>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de, F: FnMut(Entry) -> Result<(), &'static str>> Visitor<'de> for Table<F> {
    type Value = Option<Digest>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a table of contents")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut access: A) -> Result<Self::Value, A::Error> {
        let (mut version, mut digest, mut tables) = (None, None, 0);
        while let Some(key) = access.next_key::<String>()? {
            match key.as_str() {
                "version" => version = Some(access.next_value::<u64>()?),
                "tarSplitDigest" => digest = Some(access.next_value::<Digest>()?),
                "entries" => {
                    tables += 1;
                    access.next_value_seed(Entries(&mut self.0))?;
                }
                _ => drop(access.next_value::<IgnoredAny>()?),
            }
        }
        match (version, tables) {
            (Some(VERSION), 1) => Ok(digest),
            _ => Err(A::Error::custom("it is not of version 1")),
        }
    }
}

/// The list of entries.
struct Entries<'a, F>(&'a mut F);

impl<'de, F: FnMut(Entry) -> Result<(), &'static str>> DeserializeSeed<'de> for Entries<'_, F> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de, F: FnMut(Entry) -> Result<(), &'static str>> Visitor<'de> for Entries<'_, F> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a list of entries")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<(), A::Error> {
        while let Some(entry) = access.next_element()? {
            (self.0)(entry).map_err(A::Error::custom)?;
        }
        Ok(())
    }
}

/// Fails before an entry, or anything else between two commas at the top, becomes too large to be held.
struct Watched<R> {
    inner: R,
    depth: usize,
    in_string: bool,
    is_escaped: bool,
    since: usize,
}

impl<R> Watched<R> {
    fn new(inner: R) -> Self {
        Self { inner, depth: 0, in_string: false, is_escaped: false, since: 0 }
    }

    fn pass(&mut self, byte: u8) -> io::Result<()> {
        self.since += 1;
        match byte {
            _ if self.is_escaped => self.is_escaped = false,
            b'\\' if self.in_string => self.is_escaped = true,
            b'"' => self.in_string = !self.in_string,
            _ if self.in_string => {}
            b'{' | b'[' => self.depth += 1,
            b'}' | b']' => self.depth = self.depth.saturating_sub(1),
            // The table is at 1, its list of entries at 2.
            b',' if self.depth <= 2 => self.since = 0,
            _ => {}
        }
        match self.since > ENTRY_MAX {
            true => Err(io::Error::other("an entry is larger than 256 KiB")),
            false => Ok(()),
        }
    }
}

impl<R: BufRead> Read for Watched<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        buffer[..count].iter().try_for_each(|byte| self.pass(*byte))?;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(text: &str) -> Result<(usize, Option<Digest>), Reason> {
        let mut count = 0;
        let digest = parse(text.as_bytes(), |_| {
            count += 1;
            Ok(())
        })?;
        Ok((count, digest))
    }

    #[test]
    fn entries_come_one_by_one() {
        let digest = Digest::of(b"split");
        let text = format!(
            r#"{{"version":1,"more":[{{}}],"entries":[{{"type":"dir","name":"a"}},
                {{"type":"reg","name":"b,\"]}}","size":3,"xattrs":null}}],"tarSplitDigest":"{digest}"}}"#
        );
        let text = text.replace(r#""xattrs":null"#, r#""xattrs":{}"#);
        assert_eq!(entries(&text).unwrap(), (2, Some(digest)));
    }

    #[test]
    fn what_is_no_table_is_refused() {
        for text in [
            "",
            "[]",
            r#"{"version":1}"#,
            r#"{"version":2,"entries":[]}"#,
            r#"{"version":1,"entries":[],"entries":[]}"#,
            r#"{"version":1,"entries":[{"type":"reg","size":-1}]}"#,
            r#"{"version":1,"entries":[{"type":"reg","size":1,"size":2}]}"#,
            r#"{"version":1,"entries":[]} {}"#,
        ] {
            assert!(entries(text).is_err(), "{text}");
        }
        assert!(parse(r#"{"version":1,"entries":[{"type":"reg"}]}"#.as_bytes(), |_| Err("no")).is_err());
    }

    #[test]
    fn no_entry_is_held_that_is_too_large() {
        let name = "}],".repeat(ENTRY_MAX);
        for text in [
            format!(r#"{{"version":1,"entries":[{{"type":"reg","name":"{name}"}}]}}"#),
            format!(r#"{{"{name}":1,"version":1,"entries":[]}}"#),
            format!(r#"{{"version":1,"entries":[{{"xattrs":{{{}}}}}]}}"#, r#""a":"","#.repeat(ENTRY_MAX)),
        ] {
            assert!(entries(&text).unwrap_err().to_string().contains("256 KiB"));
        }
        let many = vec![r#"{"type":"dir"}"#; ENTRY_MAX].join(",");
        assert_eq!(entries(&format!(r#"{{"version":1,"entries":[{many}]}}"#)).unwrap().0, ENTRY_MAX);
    }
}
