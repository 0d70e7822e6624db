//! One 512-byte header block: checksum, numbers, names.

use super::Header;
use crate::image::entry::{Attributes, Mtime};

/// Size of a block.
pub(super) const BLOCK: usize = 512;

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Type {
    /// A regular file.
    File,
    /// Another name of an earlier file.
    HardLink,
    /// A symbolic link.
    Symlink,
    /// A character or block device.
    Device,
    /// A directory.
    Directory,
    /// A named pipe.
    Fifo,
}

/// A header block whose checksum is right.
#[derive(Debug)]
pub(super) struct Block(pub(super) [u8; BLOCK]);

impl Block {
    pub(super) fn check(block: [u8; BLOCK]) -> Result<Self, &'static str> {
        let wanted = number(&block[148..156]).ok_or("a header's checksum is no number")?;
        let sum: i64 = block
            .iter()
            .enumerate()
            .map(|(index, byte)| if (148..156).contains(&index) { 32 } else { i64::from(*byte) })
            .sum();
        if sum != wanted {
            return Err("a header's checksum is wrong: this is no tar archive, or it is damaged");
        }
        Ok(Self(block))
    }

    pub(super) fn typeflag(&self) -> u8 {
        self.0[156]
    }

    /// Whether its flag is that of regular files.
    pub(super) fn is_of_file(&self) -> bool {
        matches!(self.typeflag(), b'0' | 0)
    }

    /// The body's size as the block has it; a PAX record may say otherwise.
    pub(super) fn size(&self) -> Result<u64, &'static str> {
        number(&self.0[124..136])
            .and_then(|size| u64::try_from(size).ok())
            .ok_or("an entry's size is not a valid number")
    }

    /// The entry, with names from GNU extensions if there were any.
    pub(super) fn entry(
        &self,
        size: u64,
        name: Option<Vec<u8>>,
        link: Option<Vec<u8>>,
    ) -> Result<Header, &'static str> {
        let own = self.name()?;
        let name = name.unwrap_or(own);
        let kind = match self.typeflag() {
            // Before POSIX, a slash at the end was what made a directory.
            b'0' | 0 if name.ends_with(b"/") => Type::Directory,
            b'0' | 0 | b'7' | b'S' => Type::File,
            b'1' => Type::HardLink,
            b'2' => Type::Symlink,
            b'3' | b'4' => Type::Device,
            b'5' => Type::Directory,
            b'6' => Type::Fifo,
            _ => return Err("an entry is of an unknown type"),
        };
        let mode = number(&self.0[100..108]).ok_or("an entry's mode is not a valid number")?;
        let seconds = number(&self.0[136..148]).ok_or("an entry's time is not a valid number")?;
        Ok(Header {
            name,
            link: link.unwrap_or_else(|| text(&self.0[157..257]).to_vec()),
            kind,
            mode: u32::try_from(mode & 0o7777).unwrap_or(0),
            uid: id(number(&self.0[108..116]))?,
            gid: id(number(&self.0[116..124]))?,
            size,
            mtime: Mtime { seconds, nanoseconds: 0 }.clamped(),
            xattrs: Attributes::new(),
            sparse: None,
        })
    }

    /// The name, with the prefix that POSIX archives have. GNU's have other fields there, those before both have
    /// nothing; in any other header some readers see a prefix and some do not.
    fn name(&self) -> Result<Vec<u8>, &'static str> {
        let (name, prefix) = (text(&self.0[..100]), text(&self.0[345..500]));
        match &self.0[257..263] {
            _ if prefix.is_empty() => Ok(name.to_vec()),
            b"ustar\0" => Ok([prefix, name].join(&b'/')),
            b"ustar " => Ok(name.to_vec()),
            _ => Err("an entry's header has a prefix, but is not marked as one of POSIX"),
        }
    }
}

impl Mtime {
    /// The nearest time that every file system of ours can keep: ext4 with its 34 bits of seconds.
    pub(super) fn clamped(self) -> Self {
        const LAST: i64 = (1 << 34) - (1 << 31) - 1;
        let first = -(1i64 << 31);
        match self.seconds {
            seconds if seconds < first => Self { seconds: first, nanoseconds: 0 },
            seconds if seconds > LAST => Self { seconds: LAST, nanoseconds: 0 },
            _ => self,
        }
    }
}

/// An owner that a file can have: 2^32-1 means "unchanged" to chown(2).
pub(super) fn id(number: Option<i64>) -> Result<u32, &'static str> {
    match number.and_then(|number| u32::try_from(number).ok()) {
        Some(id) if id != u32::MAX => Ok(id),
        _ => Err("an owner or group is not an id of 32 bits"),
    }
}

fn text(field: &[u8]) -> &[u8] {
    let end = field.iter().position(|byte| *byte == 0).unwrap_or(field.len());
    &field[..end]
}

/// A number field: octal digits, or base 256 (GNU) when the first bit is set.
pub(super) fn number(field: &[u8]) -> Option<i64> {
    match field.first()? {
        first if first & 0x80 != 0 => base_256(field),
        _ => octal(field),
    }
}

fn octal(field: &[u8]) -> Option<i64> {
    let digits = text(field).trim_ascii();
    digits.iter().try_fold(0i64, |value, digit| match digit {
        b'0'..=b'7' => value.checked_mul(8)?.checked_add(i64::from(digit - b'0')),
        _ => None,
    })
}

/// Two's complement, the first bit of which only marks the form.
fn base_256(field: &[u8]) -> Option<i64> {
    let negative = field[0] & 0x40 != 0;
    let first = if negative { field[0] | 0x80 } else { field[0] & 0x7f };
    let start = if negative { -1i128 } else { 0 };
    let value =
        std::iter::once(&first).chain(&field[1..]).fold(start, |value, byte| value << 8 | i128::from(*byte));
    i64::try_from(value).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_octal_or_base_256() {
        assert_eq!(number(b"0000755\0"), Some(0o755));
        assert_eq!(number(b"   755 \0"), Some(0o755));
        assert_eq!(number(b"\0\0\0\0\0\0\0\0"), Some(0));
        assert_eq!(number(b"0000789\0"), None);
        assert_eq!(number(b"-000001\0"), None);
        assert_eq!(number(&[0x80, 0, 0, 0, 0, 0, 1, 0]), Some(256));
        assert_eq!(number(&[0xff; 12]), Some(-1));
        assert_eq!(number(&[0xbf; 12]), None);
    }

    #[test]
    fn owners_have_32_bits() {
        assert!(id(Some(0xffff_fffe)).is_ok());
        for number in [Some(0xffff_ffff), Some(1 << 32), Some(-1), None] {
            assert!(id(number).is_err());
        }
    }
}
