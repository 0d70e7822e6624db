//! Entries of layers and of trees, in the image's own terms: what a container sees.

use serde::{Deserialize, Serialize};
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt;

use super::digest::ContentHash;
use super::limits::Limits;

/// Bytes that may be no UTF-8.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Bytes(pub Vec<u8>);

/// A path in an image: relative to its root, of plain names only; the root itself is empty.
///
/// Paths are ordered as a walk through the tree meets them: a directory, all that is in it, its next neighbour.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "Bytes", into = "Bytes")]
pub struct EntryPath(Vec<u8>);

impl Ord for EntryPath {
    fn cmp(&self, other: &Self) -> Ordering {
        // No name holds a NUL: it stands for the slash, which comes before all else.
        let below = |byte: &u8| if *byte == b'/' { 0 } else { *byte };
        self.0.iter().map(below).cmp(other.0.iter().map(below))
    }
}

impl PartialOrd for EntryPath {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl EntryPath {
    /// Reads a name as archives write them: slashes and `./` in front, doubled and closing slashes mean
    /// nothing. An absolute name is one from the image's root, as all readers of images have it.
    ///
    /// # Errors
    /// When the name leaves the root, holds a NUL, or exceeds a limit.
    pub fn parse(name: &[u8], limits: &Limits) -> Result<Self, &'static str> {
        let path = Self::read(name)?;
        path.check(limits)?;
        Ok(path)
    }

    /// Reads a name of any length.
    ///
    /// # Errors
    /// When the name leaves the root, or holds a NUL.
    pub(super) fn read(name: &[u8]) -> Result<Self, &'static str> {
        if name.contains(&0) {
            return Err("the name holds a NUL byte");
        }
        let names: Vec<&[u8]> =
            name.split(|byte| *byte == b'/').filter(|name| !matches!(*name, b"" | b".")).collect();
        if names.contains(&b"..".as_slice()) {
            return Err("the name contains \"..\", it could leave the image's root");
        }
        Ok(Self(names.join(&b'/')))
    }

    /// Checks that the path is one that may be kept.
    ///
    /// # Errors
    /// When it exceeds a limit.
    pub(super) fn check(&self, limits: &Limits) -> Result<(), &'static str> {
        if self.names().any(|name| name.len() > limits.name) {
            return Err("a name in the path is longer than the limit \"name\" of sampan.toml(5)");
        }
        if self.names().count() > limits.depth {
            return Err("the path is deeper than the limit \"depth\" of sampan.toml(5)");
        }
        if self.0.len() > limits.path {
            return Err("the path is longer than the limit \"path\" of sampan.toml(5)");
        }
        Ok(())
    }

    /// The path's bytes, without a slash in front.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether this is the root directory.
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// The names on the way from the root.
    pub fn names(&self) -> impl Iterator<Item = &[u8]> {
        self.0.split(|byte| *byte == b'/').filter(|name| !name.is_empty())
    }

    /// The directory and the name in it; `None` for the root.
    pub fn split(&self) -> Option<(Self, &[u8])> {
        if self.is_root() {
            return None;
        }
        Some(match self.0.iter().rposition(|byte| *byte == b'/') {
            Some(slash) => (Self(self.0[..slash].to_vec()), &self.0[slash + 1..]),
            None => (Self::default(), &self.0),
        })
    }

    /// The path of a name in this directory.
    #[must_use]
    pub fn join(&self, name: &[u8]) -> Self {
        if self.is_root() {
            return Self(name.to_vec());
        }
        Self([&self.0, name].join(&b'/'))
    }

    /// Whether this is `other` or lies below it.
    pub fn is_within(&self, other: &Self) -> bool {
        match self.0.strip_prefix(other.0.as_slice()) {
            Some(rest) => other.is_root() || rest.is_empty() || rest[0] == b'/',
            None => false,
        }
    }

    /// The path as the container sees it, from `/`.
    pub fn absolute(&self) -> Vec<u8> {
        [b"/", self.0.as_slice()].concat()
    }
}

impl From<EntryPath> for Bytes {
    fn from(path: EntryPath) -> Self {
        Self(path.0)
    }
}

impl TryFrom<Bytes> for EntryPath {
    type Error = &'static str;

    fn try_from(bytes: Bytes) -> Result<Self, Self::Error> {
        Self::parse(&bytes.0, &Limits::of_the_kernel())
    }
}

/// A time of last modification.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Mtime {
    /// Seconds since 1970, which may be negative.
    pub seconds: i64,
    /// Nanoseconds after them, below 10^9.
    pub nanoseconds: u32,
}

/// Seconds, with a fraction where there is one.
impl fmt::Display for Mtime {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seconds, nanoseconds } = *self;
        let (sign, whole, fraction) = match (seconds < 0, nanoseconds) {
            (_, 0) => return write!(formatter, "{seconds}"),
            (false, nanoseconds) => ("", seconds.unsigned_abs(), nanoseconds),
            (true, nanoseconds) => ("-", (seconds + 1).unsigned_abs(), 1_000_000_000 - nanoseconds),
        };
        let text = format!("{sign}{whole}.{fraction:09}");
        formatter.write_str(text.trim_end_matches('0'))
    }
}

/// Extended attributes in the image's own form.
pub type Attributes = BTreeMap<String, Bytes>;

/// Everything about an inode but its type and content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Metadata {
    /// Permission bits with set-id and sticky bits.
    pub mode: u32,
    /// Owner, in the image's ids.
    pub uid: u32,
    /// Group, in the image's ids.
    pub gid: u32,
    /// Time of last modification.
    pub mtime: Mtime,
    /// Extended attributes.
    pub xattrs: Attributes,
}

impl Metadata {
    /// Of a directory that no layer describes but that an entry needs.
    pub fn implied_directory() -> Self {
        Self { mode: 0o755, uid: 0, gid: 0, mtime: Mtime::default(), xattrs: Attributes::new() }
    }
}

/// What an inode of a tree is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Node {
    /// A directory.
    Directory,
    /// A regular file.
    File {
        /// Bytes.
        size: u64,
        /// Of the content.
        sha256: ContentHash,
    },
    /// A symbolic link.
    Symlink {
        /// As written, never followed.
        target: Bytes,
    },
    /// A named pipe.
    Fifo,
}

/// What an entry of a layer does to the tree below it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Change {
    /// Puts an inode at the path.
    Put {
        /// Its type and content.
        node: Node,
        /// All else.
        metadata: Metadata,
    },
    /// Gives an inode another name.
    HardLink {
        /// A name of it.
        target: EntryPath,
    },
    /// Removes what lower layers have at the path.
    Whiteout,
    /// Removes all that lower layers have in the directory.
    Opaque,
    /// Puts there what no tree has, a device node: what lower layers have at the path is hidden.
    Nothing,
}

/// One entry of a layer's index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayerEntry {
    /// Where.
    pub path: EntryPath,
    /// What happens there.
    pub change: Change,
}

/// One entry of a finished tree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TreeEntry {
    /// Where.
    pub path: EntryPath,
    /// What is there.
    pub node: Node,
    /// Its metadata.
    pub metadata: Metadata,
    /// The first path of the inode when it has several in this image.
    pub hard_link: Option<EntryPath>,
    /// Which of the store's equal objects this image uses; 0 for what is no object.
    pub slot: u32,
}

impl TreeEntry {
    /// Bytes of a regular file; those of an inode with several names belong to the first.
    pub fn size_of_inode(&self) -> u64 {
        match self.node {
            Node::File { size, .. } if self.hard_link.as_ref().is_none_or(|first| *first == self.path) => {
                size
            }
            _ => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_exactly() {
        for (seconds, nanoseconds, text) in
            [(5, 0, "5"), (5, 250_000_000, "5.25"), (-2, 750_000_000, "-1.25"), (-1, 500_000_000, "-0.5")]
        {
            assert_eq!(Mtime { seconds, nanoseconds }.to_string(), text);
        }
    }

    #[test]
    fn paths_are_ordered_as_a_walk_meets_them() {
        let sorted = [b"".as_slice(), b"a", b"a/b", b"a/b/c", b"a/b-", b"a-b", b"a.b/c", b"ab"];
        let mut paths: Vec<_> = sorted.iter().rev().map(|name| path(name).unwrap()).collect();
        paths.sort();
        assert!(paths.iter().map(EntryPath::as_bytes).eq(sorted));
    }

    fn path(name: &[u8]) -> Result<EntryPath, &'static str> {
        EntryPath::parse(name, &Limits::default())
    }

    #[test]
    fn names_are_read_as_archives_write_them() {
        assert_eq!(path(b"./usr//bin/./sh").unwrap().as_bytes(), b"usr/bin/sh");
        assert_eq!(path(b"//usr/bin/sh").unwrap(), path(b"usr/bin/sh").unwrap());
        assert!(path(b"./").unwrap().is_root() && path(b"/").unwrap().is_root());
        let (parent, name) = path(b"a/b/c").unwrap().split().map(|(p, n)| (p, n.to_vec())).unwrap();
        assert_eq!((parent.as_bytes(), name.as_slice()), (b"a/b".as_slice(), b"c".as_slice()));
        assert!(path(b"a/b").unwrap().is_within(&path(b"a").unwrap()));
        assert!(!path(b"ab").unwrap().is_within(&path(b"a").unwrap()));
    }

    #[test]
    fn names_that_leave_the_root_are_refused() {
        for name in [b"../x".as_slice(), b"a/../../x", b"..", b"/../x", b"a\0b"] {
            assert!(path(name).is_err());
        }
        assert!(path(&[b'a'; 256]).is_err());
        assert!(path(&b"a/".repeat(300)).is_err());
    }
}
