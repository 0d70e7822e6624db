//! A request of the import worker, as one message: a file's name, and which parts of it.

use std::ops::Range;

/// Longest message: [`PARTS_MAX`] parts of a large blob.
pub(super) const MESSAGE_MAX: usize = 64 << 10;
/// Most parts of one request.
pub(super) const PARTS_MAX: usize = 1024;

/// What the worker asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Request {
    /// The name of a file in the layout.
    pub(super) name: String,
    /// How much of it.
    pub(super) wanted: Wanted,
}

/// How much of a file is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Wanted {
    /// All of it.
    Whole,
    /// Parts that only tell what to ask for, not worth a word to people.
    Tables(Parts),
    /// Parts of its content.
    Parts(Parts),
}

/// Parts of a blob: none is empty, and each begins behind the last.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Parts(Vec<Range<u64>>);

impl Parts {
    /// Takes ranges that keep the rule; `None` for others, and for more than a request may have.
    pub(super) fn new(ranges: Vec<Range<u64>>) -> Option<Self> {
        let ascend = ranges.windows(2).all(|pair| pair[0].end <= pair[1].start);
        let valid = ascend && ranges.iter().all(|range| range.start < range.end) && ranges.len() <= PARTS_MAX;
        valid.then_some(Self(ranges))
    }

    /// The ranges, in their order.
    pub(super) fn ranges(&self) -> &[Range<u64>] {
        &self.0
    }

    /// Bytes of all of them.
    pub(super) fn size(&self) -> u64 {
        self.0.iter().map(|range| range.end - range.start).sum()
    }

    fn parse(text: &str) -> Option<Self> {
        let range = |text: &str| {
            let (start, end) = text.split_once('-')?;
            Some(start.parse().ok()?..end.parse().ok()?)
        };
        Self::new(text.split(',').map(range).collect::<Option<_>>()?)
    }
}

impl std::fmt::Display for Parts {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (position, Range { start, end }) in self.0.iter().enumerate() {
            let comma = if position > 0 { "," } else { "" };
            write!(formatter, "{comma}{start}-{end}")?;
        }
        Ok(())
    }
}

impl Request {
    /// For a whole file.
    pub(super) fn whole(name: &str) -> Self {
        Self { name: name.to_owned(), wanted: Wanted::Whole }
    }

    /// Reads a message; `None` when it is no request.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (name, wanted) = match text.split(' ').collect::<Vec<_>>()[..] {
            [name] => (name, Wanted::Whole),
            [name, "tables", parts] => (name, Wanted::Tables(Parts::parse(parts)?)),
            [name, "parts", parts] => (name, Wanted::Parts(Parts::parse(parts)?)),
            _ => return None,
        };
        Some(Self { name: name.to_owned(), wanted })
    }
}

impl std::fmt::Display for Request {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { name, wanted } = self;
        match wanted {
            Wanted::Whole => write!(formatter, "{name}"),
            Wanted::Tables(parts) => write!(formatter, "{name} tables {parts}"),
            Wanted::Parts(parts) => write!(formatter, "{name} parts {parts}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_read_as_they_are_written() {
        let parts = Parts::new(vec![0..1, 5..9, 9..12]).unwrap();
        assert_eq!(parts.size(), 8);
        for wanted in [Wanted::Whole, Wanted::Tables(parts.clone()), Wanted::Parts(parts)] {
            let request = Request { name: "blobs/sha256/ab".to_owned(), wanted };
            assert_eq!(Request::parse(&request.to_string()), Some(request));
        }
    }

    #[test]
    fn parts_ascend_and_are_not_empty() {
        for text in ["", "5-5", "5-4", "1-3,2-4", "4-5,1-2", "1", "-1-2", "1-2,", "1-99999999999999999999"] {
            assert_eq!(Request::parse(&format!("name parts {text}")), None, "{text}");
        }
        assert_eq!(Request::parse("name all"), None);
        let most = |count: u64| Parts::new((0..count).map(|at| at * 2..at * 2 + 1).collect());
        assert!(most(PARTS_MAX as u64).is_some() && most(PARTS_MAX as u64 + 1).is_none());
        let far = u64::MAX - 2 * PARTS_MAX as u64;
        let longest = Parts::new((0..PARTS_MAX as u64).map(|at| far + at * 2..far + at * 2 + 1).collect());
        assert!(longest.unwrap().to_string().len() < MESSAGE_MAX - 512, "a message holds them");
    }
}
