//! PAX extended headers: `LENGTH KEY=VALUE\n` records, pax(1).

use std::collections::BTreeMap;

use super::header::{Type, id};
use super::sparse::{Claim, SparseRecords};
use super::{Header, attribute};
use crate::image::entry::Mtime;
use crate::image::limits::Limits;

/// The records of one header; of a key that stands twice, the last.
#[derive(Debug, Default)]
pub(super) struct Records {
    values: BTreeMap<String, Vec<u8>>,
    sparse: SparseRecords,
}

impl Records {
    pub(super) fn parse(mut bytes: &[u8]) -> Result<Self, &'static str> {
        let mut records = Self::default();
        while !bytes.is_empty() {
            let (key, value, rest) = record(bytes).ok_or("a PAX record is malformed")?;
            match key.strip_prefix("GNU.sparse.") {
                Some(key) => records.sparse.take(key, value)?,
                None => drop(records.values.insert(key.to_owned(), value.to_vec())),
            }
            bytes = rest;
        }
        Ok(records)
    }

    /// Whether nothing here changes an entry: git archive writes its commit so.
    pub(super) fn is_only_comment(&self) -> bool {
        self.values.keys().all(|key| key == "comment") && !self.sparse.is_any()
    }

    /// Whether the name in the block is not the entry's.
    pub(super) fn name_it(&self) -> bool {
        self.values.get("path").is_some_and(|path| !path.is_empty())
    }

    /// The entry with the records in place of the block's fields, and what they say of its holes.
    pub(super) fn apply(
        self,
        mut header: Header,
        limits: &Limits,
    ) -> Result<(Header, Option<Claim>), &'static str> {
        for (key, value) in self.values {
            if let Some((name, value)) = attribute(&key, &value) {
                if value.0.len() > limits.attribute {
                    return Err(
                        "an extended attribute is larger than the limit \"attribute\" of sampan.toml(5)",
                    );
                }
                header.xattrs.insert(name, value);
                continue;
            }
            // An empty value takes an earlier record back; there is none.
            if !value.is_empty() {
                set(&mut header, &key, value)?;
            }
        }
        if header.kind == Type::File && header.name.ends_with(b"/") {
            return Err("a regular file's name ends in a slash");
        }
        let Some((name, claim)) = self.sparse.finish()? else { return Ok((header, None)) };
        // The name beside it is made up, for readers that know no sparse files.
        header.name = name.map_or(header.name, |name| name.0);
        Ok((header, Some(claim)))
    }
}

fn set(header: &mut Header, key: &str, value: Vec<u8>) -> Result<(), &'static str> {
    match key {
        "path" => header.name = value,
        "linkpath" => header.link = value,
        "size" => header.size = decimal(&value).ok_or("a PAX size is not a valid number")?,
        "uid" => header.uid = id(decimal(&value).and_then(|id| i64::try_from(id).ok()))?,
        "gid" => header.gid = id(decimal(&value).and_then(|id| i64::try_from(id).ok()))?,
        "mtime" => header.mtime = time(&value).ok_or("a PAX time is not a valid number")?.clamped(),
        _ => {}
    }
    Ok(())
}

/// The first record's key and value, and what follows it.
fn record(bytes: &[u8]) -> Option<(&str, &[u8], &[u8])> {
    let space = bytes.iter().take(20).position(|byte| *byte == b' ')?;
    let length = usize::try_from(decimal(&bytes[..space])?).ok()?;
    let record = bytes.get(space + 1..length)?.strip_suffix(b"\n")?;
    let equals = record.iter().position(|byte| *byte == b'=')?;
    let (key, value) = (&record[..equals], &record[equals + 1..]);
    let key = std::str::from_utf8(key).ok().filter(|key| !key.is_empty() && !key.contains('\0'))?;
    let names = matches!(key, "path" | "linkpath" | "uname" | "gname");
    (!names || !value.contains(&0)).then_some((key, value, &bytes[length..]))
}

pub(super) fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// `-12.75`: seconds with a decimal fraction, of which nine digits count.
fn time(text: &[u8]) -> Option<Mtime> {
    let (negative, text) = text.strip_prefix(b"-").map_or((false, text), |text| (true, text));
    let dot = text.iter().position(|byte| *byte == b'.');
    let (whole, fraction) = dot.map_or((text, &b""[..]), |dot| (&text[..dot], &text[dot + 1..]));
    let seconds = i64::try_from(decimal(whole)?).ok()?;
    if !fraction.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let digits = fraction.iter().copied().chain(std::iter::repeat(b'0')).take(9);
    let nanoseconds = digits.fold(0u32, |value, digit| value * 10 + u32::from(digit - b'0'));
    Some(match (negative, nanoseconds) {
        (false, _) => Mtime { seconds, nanoseconds },
        (true, 0) => Mtime { seconds: -seconds, nanoseconds },
        (true, _) => Mtime { seconds: -seconds - 1, nanoseconds: 1_000_000_000 - nanoseconds },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_read_and_the_last_wins() {
        let records = Records::parse(b"8 uid=1\n8 uid=2\n21 comment=a=b c d e\n").unwrap();
        assert_eq!(records.values["uid"], b"2");
        assert_eq!(records.values["comment"], b"a=b c d e");
    }

    #[test]
    fn malformed_records_are_refused() {
        for bytes in [
            b"8 uid=1".as_slice(),
            b"9 uid=1\n",
            b"7 uid=1\n",
            b"0 uid=1\n",
            b"-8 uid=1\n",
            b"+8 uid=1\n",
            b" 8 uid=1\n",
            b"5 =1\n",
            b"6 uid\n",
            b"8uid=11\n",
            b"99999999999999999999 uid=1\n",
            b"12 path=a\0b\n",
            b"\0",
            b"0x8 uid=1\n",
        ] {
            assert!(Records::parse(bytes).is_err(), "{:?}", bytes.escape_ascii().to_string());
        }
    }

    #[test]
    fn times_keep_nine_digits() {
        let time = |text: &str| super::time(text.as_bytes()).map(|time| (time.seconds, time.nanoseconds));
        assert_eq!(time("1.5"), Some((1, 500_000_000)));
        assert_eq!(time("-1.25"), Some((-2, 750_000_000)));
        assert_eq!(time("7.1234567899"), Some((7, 123_456_789)));
        assert_eq!(time("1e5"), None);
        assert_eq!(time(".5"), None);
    }
}
