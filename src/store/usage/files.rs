//! The files of one tree: inode numbers and sizes, found once and kept in `usage/` beside the images.
//!
//! A tree is never changed in place: an import or a repair renames another to where it was. So a list holds for as long
//! as the root of the tree has the same inode number and the same time of its last change, which nobody can set. What
//! other images share is in no list. Whatever is wrong with one, it is as if there were none.

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags};
use rustix::io::Errno;
use std::collections::BTreeMap;
use std::fs;
use std::os::fd::{AsFd as _, OwnedFd};

use crate::image::digest::Digest;
use crate::store::{ImageId, Store};

/// The directory of lists.
pub(super) const DIRECTORY: &str = "usage";
/// Bytes of a number.
const NUMBER: usize = size_of::<u64>();

/// The files with content of an image's tree, each once; `None` when the tree cannot be read.
pub(super) fn of(store: &Store, id: &ImageId) -> Option<Vec<(u64, u64)>> {
    let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
    let root = rustix::fs::open(store.rootfs(id), flags, Mode::empty()).ok()?;
    let stamp = stamp(&root).ok()?;
    if let Some(files) = read(store, id, &stamp) {
        return Some(files);
    }
    let mut files = BTreeMap::new();
    walk(root, &mut files).ok()?;
    let files: Vec<(u64, u64)> = files.into_iter().collect();
    keep(store, id, &stamp, &files);
    Some(files)
}

/// Which tree it is.
fn stamp(root: &OwnedFd) -> Result<String, Errno> {
    let stat = rustix::fs::fstat(root)?;
    Ok(format!("{} {}.{:09}", stat.st_ino, stat.st_ctime, stat.st_ctime_nsec))
}

fn walk(directory: OwnedFd, files: &mut BTreeMap<u64, u64>) -> Result<(), Errno> {
    for entry in Dir::read_from(&directory)? {
        let entry = entry?;
        let name = entry.file_name();
        match entry.file_type() {
            FileType::Directory if name != c"." && name != c".." => {
                let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                walk(rustix::fs::openat(&directory, name, flags, Mode::empty())?, files)?;
            }
            FileType::RegularFile if !files.contains_key(&entry.ino()) => {
                let stat = rustix::fs::statat(directory.as_fd(), name, AtFlags::SYMLINK_NOFOLLOW)?;
                if stat.st_size > 0 {
                    files.insert(stat.st_ino, u64::try_from(stat.st_size).unwrap_or_default());
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// A list begins with the digest of the rest, of which the first line is the stamp.
fn read(store: &Store, id: &ImageId, stamp: &str) -> Option<Vec<(u64, u64)>> {
    let bytes = fs::read(store.path(DIRECTORY).join(id.digest().hex())).ok()?;
    let (digest, rest) = split_line(&bytes)?;
    let (found, numbers) = split_line(rest)?;
    let is_whole = || Some(Digest::parse(std::str::from_utf8(digest).ok()?).ok()?.matches(rest));
    if found != stamp.as_bytes() || !is_whole()? {
        return None;
    }
    let (numbers, []) = numbers.as_chunks::<NUMBER>() else { return None };
    let (pairs, []) = numbers.as_chunks::<2>() else { return None };
    Some(pairs.iter().map(|[inode, size]| (u64::from_le_bytes(*inode), u64::from_le_bytes(*size))).collect())
}

fn split_line(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.iter().position(|byte| *byte == b'\n')?;
    Some((&bytes[..end], &bytes[end + 1..]))
}

/// A store that cannot be written, or two that write at once, cost the next reader some time only.
fn keep(store: &Store, id: &ImageId, stamp: &str, files: &[(u64, u64)]) {
    let mut rest = format!("{stamp}\n").into_bytes();
    rest.extend(files.iter().flat_map(|(inode, size)| [inode.to_le_bytes(), size.to_le_bytes()]).flatten());
    let bytes = [format!("{}\n", Digest::of(&rest)).as_bytes(), &rest].concat();
    let (directory, name) = (store.path(DIRECTORY), id.digest().hex());
    let new = directory.join(format!("{name}.new"));
    let _ = fs::create_dir_all(&directory)
        .and_then(|()| fs::write(&new, bytes))
        .and_then(|()| fs::rename(&new, directory.join(name)));
}

/// Removes the lists of other images than these.
pub(super) fn forget_others(store: &Store, ids: &[ImageId]) {
    let lists = store.list(DIRECTORY).unwrap_or_default();
    for name in lists.iter().filter(|name| !ids.iter().any(|id| id.digest().hex() == name.as_str())) {
        // Another reader may do the same.
        let _ = fs::remove_file(store.path(DIRECTORY).join(name));
    }
}
