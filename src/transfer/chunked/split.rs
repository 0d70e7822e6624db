//! The tar-split of a layer: lines of JSON, each a piece of the archive that is no content, or the place of one.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use std::io::{self, BufRead as _, BufReader, Cursor, Read as _, Take};

use super::WINDOW_LOG_MAX;

/// Plain bytes of the whole: headers of more files than a layer may have.
const PLAIN_MAX: u64 = 4 << 30;
/// Bytes of a line: one extension record of an archive in base64, and room.
const LINE_MAX: u64 = 2 << 20;

/// What comes next in the archive.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Segment {
    /// These bytes.
    Bytes(Vec<u8>),
    /// The content of a file, which has this size.
    Content(u64),
}

/// A line. Names and checksums of files are not needed: the digest of the whole covers them.
#[derive(Deserialize)]
struct Line {
    #[serde(rename = "type")]
    kind: u8,
    #[serde(default)]
    size: u64,
    #[serde(default)]
    payload: Option<String>,
}

const CONTENT: u8 = 1;
const BYTES: u8 = 2;

/// The pieces of a packed tar-split in their order.
pub(super) struct Split(BufReader<Take<zstd::stream::read::Decoder<'static, Cursor<Vec<u8>>>>>);

impl Split {
    pub(super) fn new(packed: Vec<u8>) -> io::Result<Self> {
        let mut plain = zstd::stream::read::Decoder::with_buffer(Cursor::new(packed))?;
        plain.window_log_max(WINDOW_LOG_MAX)?;
        Ok(Self(BufReader::new(plain.take(PLAIN_MAX))))
    }

    /// The next piece; `None` at the end.
    pub(super) fn next(&mut self) -> io::Result<Option<Segment>> {
        let mut text = Vec::new();
        loop {
            text.clear();
            if (&mut self.0).take(LINE_MAX).read_until(b'\n', &mut text)? == 0 {
                return Ok(None);
            }
            let line: Line = serde_json::from_slice(&text)?;
            match line.kind {
                CONTENT if line.size > 0 => return Ok(Some(Segment::Content(line.size))),
                // A file without content, or an entry that is no file.
                CONTENT => {}
                BYTES => {
                    let bytes =
                        STANDARD.decode(line.payload.unwrap_or_default()).map_err(io::Error::other)?;
                    return Ok(Some(Segment::Bytes(bytes)));
                }
                _ => return Err(io::Error::other("a line of the tar-split is of an unknown type")),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> io::Result<Vec<Segment>> {
        let mut split = Split::new(zstd::encode_all(text.as_bytes(), 0)?)?;
        let mut segments = Vec::new();
        while let Some(segment) = split.next()? {
            segments.push(segment);
        }
        Ok(segments)
    }

    #[test]
    fn lines_become_pieces() {
        let text = "{\"type\":2,\"payload\":\"YWI=\",\"position\":0}\n\
            {\"type\":1,\"name\":\"d/\",\"payload\":null,\"position\":1}\n\
            {\"type\":1,\"name\":\"f\",\"size\":7,\"payload\":\"AAAAAAAAAAA=\",\"position\":2}\n";
        assert_eq!(read(text).unwrap(), [Segment::Bytes(b"ab".to_vec()), Segment::Content(7)]);
    }

    #[test]
    fn what_is_no_line_is_an_error() {
        let long = format!("{{\"type\":2,\"payload\":\"{}\"}}\n", "A".repeat(LINE_MAX as usize));
        for text in ["{}\n", "{\"type\":3}\n", "{\"type\":2,\"payload\":\"?\"}\n", "x\n", "\n", &long] {
            assert!(read(text).is_err());
        }
    }
}
