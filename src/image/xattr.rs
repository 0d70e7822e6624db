//! Which extended attributes of an image are kept, and their image form.
//!
//! Kept are `user.*`, file capabilities and POSIX ACLs. Never kept are `trusted.*` and `user.overlay.*`, with
//! which an image could steer overlayfs, and labels of security modules, which are this host's business.

use super::entry::{Attributes, Bytes, Metadata};
use super::tar::Type;
use super::text::shown;

/// The attribute that holds file capabilities, capabilities(7).
pub const CAPABILITY: &str = "security.capability";
/// The access ACL of an inode, acl(5).
pub const ACL_ACCESS: &str = "system.posix_acl_access";
/// The ACL that new files in a directory get.
pub const ACL_DEFAULT: &str = "system.posix_acl_default";

/// Size of `struct vfs_cap_data` (revision 2) and `vfs_ns_cap_data` (revision 3).
const CAPABILITY_V2: usize = 20;
const CAPABILITY_V3: usize = 24;
const REVISION_MASK: u32 = 0xff00_0000;
const REVISION_2: u32 = 0x0200_0000;
const REVISION_3: u32 = 0x0300_0000;

/// Keeps what may be kept of `metadata.xattrs`, and returns a sentence about each attribute that is not.
pub fn keep_allowed(kind: Type, metadata: &mut Metadata) -> Vec<String> {
    let mut notices = Vec::new();
    let mut kept = Attributes::new();
    for (name, value) in std::mem::take(&mut metadata.xattrs) {
        match allowed(&name, &value.0, kind, metadata.mode) {
            Ok(Some(value)) => drop(kept.insert(name, Bytes(value))),
            Ok(None) => {}
            Err(reason) => {
                notices.push(format!("extended attribute {}, which {reason}", shown(name.as_bytes())));
            }
        }
    }
    metadata.xattrs = kept;
    notices
}

fn allowed(name: &str, value: &[u8], kind: Type, mode: u32) -> Result<Option<Vec<u8>>, &'static str> {
    match name {
        CAPABILITY if kind == Type::File => capability(value).map(Some),
        CAPABILITY => Err("is for regular files only, ignoring"),
        ACL_ACCESS if matches!(kind, Type::File | Type::Directory) => access_acl(value, mode),
        ACL_DEFAULT if kind == Type::Directory => match read_acl(value) {
            Some(_) => Ok(Some(value.to_vec())),
            None => Err("is malformed, ignoring"),
        },
        _ if name.starts_with("user.overlay.") => Err("would steer overlayfs, ignoring"),
        _ if name.len() > 255 || name.len() == "user.".len() => Err("has no valid name, ignoring"),
        _ if name.starts_with("user.") => match kind {
            Type::File | Type::Directory => Ok(Some(value.to_vec())),
            _ => Err("is for files and directories only, ignoring"),
        },
        _ => Err("is not kept, ignoring"),
    }
}

/// The revision 2 form; revision 3 is taken for it when its root is the image's own.
fn capability(value: &[u8]) -> Result<Vec<u8>, &'static str> {
    let word = |at: usize| value.get(at..at + 4).map(|word| [word[0], word[1], word[2], word[3]]);
    let magic = word(0).map(u32::from_le_bytes).ok_or("is malformed, ignoring")?;
    match (magic & REVISION_MASK, value.len()) {
        (REVISION_2, CAPABILITY_V2) => Ok(value.to_vec()),
        (REVISION_3, CAPABILITY_V3) if word(CAPABILITY_V2) == Some([0; 4]) => {
            let mut plain = value[..CAPABILITY_V2].to_vec();
            plain[..4].copy_from_slice(&(magic & !REVISION_MASK | REVISION_2).to_le_bytes());
            Ok(plain)
        }
        (REVISION_3, CAPABILITY_V3) => Err("is for another user namespace, ignoring"),
        _ => Err("is malformed, ignoring"),
    }
}

/// The revision 3 form of a kept capability: valid below `root` only, capabilities(7).
pub fn capability_below(value: &[u8], root: u32) -> Vec<u8> {
    let mut shifted = value.to_vec();
    if let Some(revision) = shifted.get_mut(3) {
        *revision = 3;
    }
    shifted.extend_from_slice(&root.to_le_bytes());
    shifted
}

/// The revision 2 form of what [`capability_below`] made for the same `root`.
pub fn capability_from(value: &[u8], root: u32) -> Option<Vec<u8>> {
    let plain = value.strip_suffix(&root.to_le_bytes())?;
    let mut plain = plain.to_vec();
    *plain.get_mut(3)? = 2;
    Some(plain)
}

/// An entry of an ACL as its attribute stores it: `struct posix_acl_xattr_entry`.
#[derive(Debug, Clone, Copy)]
struct AclEntry {
    tag: u16,
    permissions: u16,
    id: u32,
}

const ACL_VERSION: [u8; 4] = 2u32.to_le_bytes();
const ACL_USER_OBJ: u16 = 0x01;
const ACL_USER: u16 = 0x02;
const ACL_GROUP_OBJ: u16 = 0x04;
const ACL_GROUP: u16 = 0x08;
const ACL_MASK: u16 = 0x10;
const ACL_OTHER: u16 = 0x20;

/// An access ACL is kept when it says more than the mode and does not contradict it: the kernel derives one
/// from the other, so the inode could not be what its entry says.
fn access_acl(value: &[u8], mode: u32) -> Result<Option<Vec<u8>>, &'static str> {
    let entries = read_acl(value).ok_or("is malformed, ignoring")?;
    if entries.len() == 3 {
        return Ok(None);
    }
    let agrees = |tag: u16, shift: u32| {
        entries
            .iter()
            .filter(|entry| entry.tag == tag)
            .all(|entry| u32::from(entry.permissions) == mode >> shift & 7)
    };
    match agrees(ACL_USER_OBJ, 6) && agrees(ACL_MASK, 3) && agrees(ACL_OTHER, 0) {
        true => Ok(Some(value.to_vec())),
        false => Err("contradicts the mode, ignoring"),
    }
}

/// The entries, when they are in the order and number that `posix_acl_valid` of the kernel asks for.
fn read_acl(value: &[u8]) -> Option<Vec<AclEntry>> {
    let body = value.strip_prefix(&ACL_VERSION)?;
    if body.len() % 8 != 0 {
        return None;
    }
    let entries: Vec<AclEntry> = body
        .chunks(8)
        .map(|chunk| AclEntry {
            tag: u16::from_le_bytes([chunk[0], chunk[1]]),
            permissions: u16::from_le_bytes([chunk[2], chunk[3]]),
            id: u32::from_le_bytes([chunk[4], chunk[5], chunk[6], chunk[7]]),
        })
        .collect();
    let count = |tag: u16| entries.iter().filter(|entry| entry.tag == tag).count();
    let ordered = entries
        .windows(2)
        .all(|pair| pair[0].tag < pair[1].tag || (pair[0].tag == pair[1].tag && pair[0].id < pair[1].id));
    let known = ACL_USER_OBJ | ACL_USER | ACL_GROUP_OBJ | ACL_GROUP | ACL_MASK | ACL_OTHER;
    let valid = |entry: &AclEntry| {
        entry.tag.count_ones() == 1
            && entry.tag & known != 0
            && entry.permissions <= 7
            && (entry.tag & (ACL_USER | ACL_GROUP) == 0 || entry.id != u32::MAX)
    };
    let named = count(ACL_USER) + count(ACL_GROUP) > 0;
    let complete = [ACL_USER_OBJ, ACL_GROUP_OBJ, ACL_OTHER].iter().all(|tag| count(*tag) == 1);
    (ordered
        && complete
        && count(ACL_MASK) <= 1
        && (!named || count(ACL_MASK) == 1)
        && entries.iter().all(valid))
    .then_some(entries)
}

/// An ACL with the ids of its named entries changed by `shift`; `None` when one of them cannot be.
pub fn shift_acl(value: &[u8], shift: impl Fn(u32) -> Option<u32>) -> Option<Vec<u8>> {
    let entries = read_acl(value)?;
    let mut shifted = ACL_VERSION.to_vec();
    for entry in entries {
        let named = entry.tag & (ACL_USER | ACL_GROUP) != 0;
        let id = if named { shift(entry.id)? } else { entry.id };
        shifted.extend_from_slice(&entry.tag.to_le_bytes());
        shifted.extend_from_slice(&entry.permissions.to_le_bytes());
        shifted.extend_from_slice(&id.to_le_bytes());
    }
    Some(shifted)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keep(name: &str, value: &[u8], kind: Type) -> (Attributes, Vec<String>) {
        let mut metadata = Metadata { mode: 0o640, ..Metadata::implied_directory() };
        metadata.xattrs.insert(name.to_owned(), Bytes(value.to_vec()));
        let notices = keep_allowed(kind, &mut metadata);
        (metadata.xattrs, notices)
    }

    #[test]
    fn what_could_steer_the_host_is_dropped_and_said() {
        for name in ["trusted.overlay.opaque", "user.overlay.redirect", "security.selinux", "system.nfs4_acl"]
        {
            let (kept, notices) = keep(name, b"y", Type::File);
            assert!(kept.is_empty() && notices[0].contains(name), "{name}");
        }
        assert_eq!(keep("user.comment", b"x", Type::File).0.len(), 1);
        assert!(keep("user.comment", b"x", Type::Fifo).0.is_empty());
    }

    #[test]
    fn capabilities_are_bound_to_a_root_and_back() {
        let plain = [&[1, 0, 0, 2][..], &[0; 16]].concat();
        assert_eq!(keep(CAPABILITY, &plain, Type::File).0[CAPABILITY].0, plain);
        let bound = capability_below(&plain, 2_147_352_576);
        assert_eq!(bound.len(), CAPABILITY_V3);
        assert_eq!(capability_from(&bound, 2_147_352_576).unwrap(), plain);
        assert_eq!(keep(CAPABILITY, &capability_below(&plain, 0), Type::File).0[CAPABILITY].0, plain);
        assert!(keep(CAPABILITY, &bound, Type::File).0.is_empty());
        assert!(keep(CAPABILITY, &plain[..19], Type::File).0.is_empty());
    }

    #[test]
    fn acls_are_checked_and_shifted() {
        let entry = |tag: u16, permissions: u16, id: u32| {
            [&tag.to_le_bytes()[..], &permissions.to_le_bytes(), &id.to_le_bytes()].concat()
        };
        let none = u32::MAX;
        let acl = [
            ACL_VERSION.to_vec(),
            entry(1, 6, none),
            entry(2, 4, 33),
            entry(4, 0, none),
            entry(16, 4, none),
            entry(32, 0, none),
        ]
        .concat();
        assert_eq!(keep(ACL_ACCESS, &acl, Type::File).0[ACL_ACCESS].0, acl);
        let there = shift_acl(&acl, |id| id.checked_add(1000)).unwrap();
        assert_ne!(there, acl);
        assert_eq!(shift_acl(&there, |id| id.checked_sub(1000)).unwrap(), acl);
        assert!(keep(ACL_ACCESS, &acl[..acl.len() - 8], Type::File).1[0].contains("malformed"));
        assert!(keep(ACL_ACCESS, b"", Type::File).1[0].contains("malformed"));
    }
}
