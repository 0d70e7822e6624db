//! What differs between two trees, and which privileges of files are new.

use std::cmp::Ordering;

use super::entry::{EntryPath, Node, TreeEntry};
use super::xattr::CAPABILITY;

/// A path at which two trees differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Where.
    pub path: EntryPath,
    /// In what way.
    pub change: Change,
    /// What a program at this path may do that it could not before.
    pub gains: Vec<Privilege>,
}

/// How a path differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Only the second tree has it.
    Added,
    /// Only the first tree has it.
    Removed,
    /// Both have it, and these differ.
    Changed(Vec<Aspect>),
}

/// In what two inodes differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Aspect {
    /// One is a file and one a directory, or the like.
    Type,
    /// The bytes of a file.
    Content,
    /// Where a symbolic link leads.
    Target,
    /// The permission bits, before and after.
    Mode(u32, u32),
    /// Owner and group, before and after.
    Owner((u32, u32), (u32, u32)),
    /// Names of extended attributes.
    Attributes(Vec<String>),
    /// The time of last modification.
    Time,
    /// Which names are one inode.
    HardLink,
}

/// What a file gives to whoever runs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Privilege {
    /// It runs as this owner.
    SetUser(u32),
    /// It runs as this group.
    SetGroup(u32),
    /// It has capabilities: the bits of its permitted set.
    Capabilities(u64),
}

/// Whether times of last modification count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Times {
    /// They do.
    Compared,
    /// Two trees that differ in times only are the same.
    Ignored,
}

/// The differences of two trees, whose entries are sorted by path.
pub fn diff(old: &[TreeEntry], new: &[TreeEntry], times: Times) -> Vec<Difference> {
    let (mut old, mut new) = (old.iter().peekable(), new.iter().peekable());
    let mut differences = Vec::new();
    loop {
        let order = match (old.peek(), new.peek()) {
            (None, None) => return differences,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(old), Some(new)) => old.path.cmp(&new.path),
        };
        let before = if order.is_le() { old.next() } else { None };
        let after = if order.is_ge() { new.next() } else { None };
        differences.extend(compare(before, after, times));
    }
}

fn compare(before: Option<&TreeEntry>, after: Option<&TreeEntry>, times: Times) -> Option<Difference> {
    let path = before.or(after)?.path.clone();
    let change = match (before, after) {
        (Some(before), Some(after)) => {
            let aspects = aspects(before, after, times);
            (!aspects.is_empty()).then_some(Change::Changed(aspects))?
        }
        (None, _) => Change::Added,
        (_, None) => Change::Removed,
    };
    let had = before.map(privileges).unwrap_or_default();
    let mut gains = after.map(privileges).unwrap_or_default();
    gains.retain(|privilege| !had.contains(privilege));
    Some(Difference { path, change, gains })
}

fn aspects(before: &TreeEntry, after: &TreeEntry, times: Times) -> Vec<Aspect> {
    let (old, new) = (&before.metadata, &after.metadata);
    let mut aspects = Vec::new();
    match (&before.node, &after.node) {
        (Node::File { sha256: old, .. }, Node::File { sha256: new, .. }) if old != new => {
            aspects.push(Aspect::Content);
        }
        (Node::Symlink { target: old }, Node::Symlink { target: new }) if old != new => {
            aspects.push(Aspect::Target);
        }
        (old, new) if std::mem::discriminant(old) != std::mem::discriminant(new) => {
            aspects.push(Aspect::Type);
        }
        _ => {}
    }
    if old.mode != new.mode {
        aspects.push(Aspect::Mode(old.mode, new.mode));
    }
    if (old.uid, old.gid) != (new.uid, new.gid) {
        aspects.push(Aspect::Owner((old.uid, old.gid), (new.uid, new.gid)));
    }
    if old.xattrs != new.xattrs {
        let names = old.xattrs.keys().chain(new.xattrs.keys());
        let mut names: Vec<String> =
            names.filter(|name| old.xattrs.get(*name) != new.xattrs.get(*name)).cloned().collect();
        names.sort();
        names.dedup();
        aspects.push(Aspect::Attributes(names));
    }
    if times == Times::Compared && old.mtime != new.mtime {
        aspects.push(Aspect::Time);
    }
    if before.hard_link != after.hard_link {
        aspects.push(Aspect::HardLink);
    }
    aspects
}

/// What a file gives to whoever runs it.
fn privileges(entry: &TreeEntry) -> Vec<Privilege> {
    const SET_USER: u32 = 0o4000;
    const SET_GROUP: u32 = 0o2000;
    if !matches!(entry.node, Node::File { .. }) {
        return Vec::new();
    }
    let mut privileges = Vec::new();
    if entry.metadata.mode & SET_USER != 0 {
        privileges.push(Privilege::SetUser(entry.metadata.uid));
    }
    if entry.metadata.mode & SET_GROUP != 0 {
        privileges.push(Privilege::SetGroup(entry.metadata.gid));
    }
    if let Some(value) = entry.metadata.xattrs.get(CAPABILITY) {
        privileges.push(Privilege::Capabilities(permitted(&value.0)));
    }
    privileges
}

/// The permitted set of `struct vfs_cap_data`: a word of flags, then permitted and inheritable, low and high.
fn permitted(value: &[u8]) -> u64 {
    let word = |at: usize| {
        let bytes = value.get(at..at + 4).and_then(|bytes| bytes.try_into().ok());
        u64::from(bytes.map(u32::from_le_bytes).unwrap_or_default())
    };
    word(4) | word(12) << 32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::digest::ContentHash;
    use crate::image::entry::{Bytes, Metadata, Mtime};
    use crate::image::limits::Limits;

    fn file(path: &str, content: &str, mode: u32) -> TreeEntry {
        let node = Node::File { size: content.len() as u64, sha256: ContentHash::of(content.as_bytes()) };
        let path = EntryPath::parse(path.as_bytes(), &Limits::default()).unwrap();
        let metadata = Metadata { mode, ..Metadata::implied_directory() };
        TreeEntry { path, node, metadata, hard_link: None, slot: 0 }
    }

    #[test]
    fn differences_say_what_and_new_privileges() {
        let mut capable = file("d", "d", 0o755);
        let value = [&[1, 0, 0, 2, 0, 0x20, 0, 0][..], &[0; 12]].concat();
        capable.metadata.xattrs.insert(CAPABILITY.to_owned(), Bytes(value));
        let old =
            [file("a", "a", 0o644), file("b", "b", 0o4755), file("c", "c", 0o755), file("d", "d", 0o755)];
        let new = [file("b", "b", 0o4755), file("c", "C", 0o4755), capable, file("e", "e", 0o2755)];
        let found = diff(&old, &new, Times::Compared);
        let paths: Vec<_> = found.iter().map(|difference| difference.path.as_bytes()).collect();
        assert_eq!(paths, [b"a", b"c", b"d", b"e"]);
        assert_eq!(found[0].change, Change::Removed);
        assert_eq!(found[1].change, Change::Changed(vec![Aspect::Content, Aspect::Mode(0o755, 0o4755)]));
        assert_eq!(found[1].gains, [Privilege::SetUser(0)]);
        assert_eq!(found[2].gains, [Privilege::Capabilities(1 << 13)]);
        assert_eq!((&found[3].change, &found[3].gains[..]), (&Change::Added, &[Privilege::SetGroup(0)][..]));
    }

    #[test]
    fn times_count_when_asked_for() {
        let old = file("a", "a", 0o644);
        let mut new = old.clone();
        new.metadata.mtime = Mtime { seconds: 5, nanoseconds: 0 };
        let (old, new) = ([old], [new]);
        assert_eq!(diff(&old, &new, Times::Compared)[0].change, Change::Changed(vec![Aspect::Time]));
        assert!(diff(&old, &new, Times::Ignored).is_empty());
    }
}
