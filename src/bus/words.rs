//! How many words one call can give, and how long each may be.

use super::error::BusError;
use crate::image::limits::Limits;

/// What the words of a call are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Words {
    /// Of units, or patterns for these.
    Names,
    /// Of files.
    Paths,
    /// Names and ids of images, or patterns for these.
    Images,
}

/// Words of one call.
const COUNT_MAX: usize = 1024;

/// Bytes of all of them.
const BYTES_MAX: usize = 64 << 10;

impl Words {
    /// The longest one that is looked at, in bytes.
    pub(super) fn longest(self) -> usize {
        match self {
            Self::Names => 256,
            Self::Paths => Limits::KERNEL_PATH,
            Self::Images => 1024,
        }
    }

    fn called(self) -> &'static str {
        match self {
            Self::Names => "names, states or patterns",
            Self::Paths => "paths",
            Self::Images => "names, ids or patterns",
        }
    }

    /// Goes on where there are not too many of them, and none is too long.
    pub(super) fn check(self, words: &[String]) -> Result<(), BusError> {
        let bytes: usize = words.iter().map(String::len).sum();
        let is_long = |word: &String| word.len() > self.longest();
        if words.len() > COUNT_MAX || bytes > BYTES_MAX || words.iter().any(is_long) {
            return Err(BusError::LimitsExceeded(format!(
                "At most {COUNT_MAX} {} of {} bytes, and {} KiB in all.",
                self.called(),
                self.longest(),
                BYTES_MAX >> 10
            )));
        }
        Ok(())
    }
}
