//! Sparse files: which parts of a file its archive holds, in the four forms of GNU tar's manual, "Storing
//! Sparse Files": the old one in header blocks (type `S`), and those of PAX records, 0.0, 0.1 and 1.0.

use super::header::{BLOCK, number};
use super::pax::decimal;
use crate::image::entry::Bytes;

/// Most parts that a map may have.
const PARTS_MAX: usize = 1 << 16;
/// Bytes of an offset and a length in a header block, and how many pairs a block has room for.
const PAIR: usize = 24;
const PAIRS_HEADER: usize = 4;
const PAIRS_BLOCK: usize = 21;
/// Where the old form has its fields in the header block, and in the blocks that follow it.
const FIELDS: usize = 386;
const IS_EXTENDED: usize = 482;
const REAL_SIZE: std::ops::Range<usize> = 483..495;
const IS_EXTENDED_BLOCK: usize = 504;

/// A part of a file that its archive holds; between the parts are holes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// Where it is in the file.
    pub offset: u64,
    /// Bytes.
    pub length: u64,
}

/// The parts of a sparse file in their order, which do not overlap and lie within its size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Map(Vec<Part>);

impl Map {
    /// Checks a map of a file of `size` bytes of which the archive holds `stored`.
    pub(super) fn check(parts: Vec<Part>, size: u64, stored: u64) -> Result<Self, &'static str> {
        let mut end = 0;
        let mut sum = 0;
        for part in &parts {
            let next = part.offset.checked_add(part.length).filter(|next| *next <= size);
            let next = next.ok_or("the map of a sparse file exceeds its size")?;
            if part.offset < end {
                return Err("the parts of a sparse file overlap");
            }
            (end, sum) = (next, sum + part.length);
        }
        if sum != stored {
            return Err("the map of a sparse file does not fit what the archive holds of it");
        }
        Ok(Self(parts))
    }

    /// The parts.
    pub fn parts(&self) -> &[Part] {
        &self.0
    }

    /// Bytes of all parts together.
    pub fn stored(&self) -> u64 {
        self.0.iter().map(|part| part.length).sum()
    }
}

/// What an archive says of a sparse file before its content.
#[derive(Debug)]
pub(super) struct Claim {
    /// The size of the file with its holes.
    pub(super) size: u64,
    /// The parts; `None` when they stand in front of the content (PAX 1.0).
    pub(super) parts: Option<Vec<Part>>,
}

/// Collects the parts of a map.
#[derive(Debug, Default)]
pub(super) struct Parts(Vec<Part>);

impl Parts {
    pub(super) fn push(&mut self, offset: u64, length: u64) -> Result<(), &'static str> {
        if self.0.len() == PARTS_MAX {
            return Err("the map of a sparse file has more than 65536 parts");
        }
        self.0.push(Part { offset, length });
        Ok(())
    }

    /// The fields of an old header: the size of the file, and whether a block with more parts follows.
    pub(super) fn push_header(&mut self, block: &[u8; BLOCK]) -> Result<(u64, bool), &'static str> {
        self.push_pairs(&block[FIELDS..], PAIRS_HEADER)?;
        let size = unsigned(&block[REAL_SIZE]).ok_or("a sparse file's size is not a valid number")?;
        Ok((size, block[IS_EXTENDED] != 0))
    }

    /// A block after an old header; whether one more follows.
    pub(super) fn push_block(&mut self, block: &[u8; BLOCK]) -> Result<bool, &'static str> {
        self.push_pairs(block, PAIRS_BLOCK)?;
        Ok(block[IS_EXTENDED_BLOCK] != 0)
    }

    pub(super) fn finish(self) -> Vec<Part> {
        self.0
    }

    /// A pair without a length ends the map.
    fn push_pairs(&mut self, fields: &[u8], count: usize) -> Result<(), &'static str> {
        for pair in fields.chunks_exact(PAIR).take(count).take_while(|pair| pair[PAIR / 2] != 0) {
            let numbers = unsigned(&pair[..PAIR / 2]).zip(unsigned(&pair[PAIR / 2..]));
            let (offset, length) = numbers.ok_or(NO_NUMBER)?;
            self.push(offset, length)?;
        }
        Ok(())
    }
}

const NO_NUMBER: &str = "the map of a sparse file holds what is no number";

fn unsigned(field: &[u8]) -> Option<u64> {
    number(field).and_then(|number| u64::try_from(number).ok())
}

/// The sparse records among those of a PAX header.
#[derive(Debug, Default)]
pub(super) struct SparseRecords {
    version: [Option<u64>; 2],
    size: Option<u64>,
    name: Option<Vec<u8>>,
    parts: Parts,
    /// The offset of form 0.0 whose length comes next.
    offset: Option<u64>,
    any: bool,
}

impl SparseRecords {
    /// Takes a record whose key is `GNU.sparse.` and this; of those that repeat, all count.
    pub(super) fn take(&mut self, key: &str, value: &[u8]) -> Result<(), &'static str> {
        self.any = true;
        let number = || decimal(value).ok_or(NO_NUMBER);
        match key {
            "major" => self.version[0] = Some(number()?),
            "minor" => self.version[1] = Some(number()?),
            "size" | "realsize" => self.size = Some(number()?),
            "name" => self.name = Some(value.to_vec()),
            "offset" if self.offset.is_none() => self.offset = Some(number()?),
            "numbytes" => {
                let offset = self.offset.take().ok_or("a part of a sparse file has no offset")?;
                self.parts.push(offset, number()?)?;
            }
            "map" => {
                let numbers = value.split(|byte| *byte == b',').filter(|number| !number.is_empty());
                let numbers: Option<Vec<u64>> = numbers.map(decimal).collect();
                for pair in numbers.ok_or(NO_NUMBER)?.chunks(2) {
                    let [offset, length] = pair else { return Err("the map of a sparse file ends early") };
                    self.parts.push(*offset, *length)?;
                }
            }
            "numblocks" => {}
            _ => return Err("a record of a sparse file is unknown"),
        }
        Ok(())
    }

    pub(super) fn is_any(&self) -> bool {
        self.any
    }

    /// The name and the claim that the records make, if there are any.
    pub(super) fn finish(self) -> Result<Option<(Option<Bytes>, Claim)>, &'static str> {
        if !self.any {
            return Ok(None);
        }
        let size = self.size.ok_or("a sparse file has no size")?;
        let parts = match self.version {
            [None, None] if self.offset.is_none() => Some(self.parts.finish()),
            [Some(0), Some(0 | 1)] if self.offset.is_none() => Some(self.parts.finish()),
            [Some(1), Some(0)] => None,
            _ => return Err("a sparse file is of an unknown form"),
        };
        Ok(Some((self.name.map(Bytes), Claim { size, parts })))
    }
}

/// Reads the map in front of a content, form 1.0: numbers with a newline each, how many pairs there are first.
#[derive(Debug, Default)]
pub(super) struct MapReader {
    line: Vec<u8>,
    count: Option<u64>,
    offset: Option<u64>,
    parts: Parts,
}

impl MapReader {
    /// Takes the next block; the parts when the map ends in it.
    pub(super) fn push_block(&mut self, block: &[u8; BLOCK]) -> Result<Option<Vec<Part>>, &'static str> {
        for byte in block {
            match byte {
                b'\n' => self.push_number()?,
                // The longest number has 20 digits.
                _ if self.line.len() < 20 => self.line.push(*byte),
                _ => return Err(NO_NUMBER),
            }
            if self.count == Some(self.parts.0.len() as u64) {
                return Ok(Some(std::mem::take(&mut self.parts).finish()));
            }
        }
        Ok(None)
    }

    fn push_number(&mut self) -> Result<(), &'static str> {
        let number = decimal(&self.line).ok_or(NO_NUMBER)?;
        self.line.clear();
        match (self.count, self.offset.take()) {
            (None, _) => self.count = Some(number),
            (Some(_), None) => self.offset = Some(number),
            (Some(_), Some(offset)) => self.parts.push(offset, number)?,
        }
        Ok(())
    }
}
