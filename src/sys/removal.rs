//! Removal of trees that others have made. A container can make one that is deeper than any stack, and than there are
//! descriptors.

use rustix::fs::{
    AtFlags, CWD, Dir, FileType, Mode, OFlags, RenameFlags, openat, renameat_with, statat, unlinkat,
};
use rustix::path::Arg;
use std::collections::BTreeSet;
use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

/// Removes a directory with all that is in it, following nothing. Directories further down are moved up to it before
/// they are emptied: so two are open at once, however many there are.
///
/// # Errors
/// When something cannot be removed; what is left may have other names then.
pub fn remove_tree(path: &Path) -> io::Result<()> {
    let top = directory(CWD, path)?;
    let mut met = Vec::new();
    empty(&top, |name| {
        met.push(name.to_owned());
        Ok(())
    })?;
    let taken: BTreeSet<CString> = met.iter().cloned().collect();
    let mut number = 0_u64;
    while let Some(name) = met.pop() {
        let below = directory(&top, &name)?;
        empty(&below, |name| {
            let up = loop {
                number += 1;
                let up = CString::new(number.to_string())?;
                if !taken.contains(&up) {
                    break up;
                }
            };
            renameat_with(&below, name, &top, &up, RenameFlags::empty())?;
            met.push(up);
            Ok(())
        })?;
        unlinkat(&top, &name, AtFlags::REMOVEDIR)?;
    }
    Ok(unlinkat(CWD, path, AtFlags::REMOVEDIR)?)
}

fn directory(parent: impl AsFd, name: impl Arg) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(openat(parent, name, flags, Mode::empty())?)
}

/// Removes all but directories, which it tells of.
fn empty(directory: &OwnedFd, mut meet: impl FnMut(&CStr) -> io::Result<()>) -> io::Result<()> {
    for entry in Dir::read_from(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        let kind = match entry.file_type() {
            FileType::Unknown => {
                FileType::from_raw_mode(statat(directory, name, AtFlags::SYMLINK_NOFOLLOW)?.st_mode)
            }
            kind => kind,
        };
        if kind != FileType::Directory {
            unlinkat(directory, name, AtFlags::empty())?;
        } else if name != c"." && name != c".." {
            meet(name)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::{mkdirat, symlinkat};

    /// More than fit on the stack of the thread that removes them, and than it may have open.
    const DEPTH: usize = 5000;

    #[test]
    fn a_tree_of_any_depth_goes_and_what_it_points_to_stays() {
        let place = tempfile::tempdir().unwrap();
        let (tree, kept) = (place.path().join("tree"), place.path().join("kept"));
        for name in ["tree/1", "tree/2/1", "kept"] {
            std::fs::create_dir_all(place.path().join(name)).unwrap();
        }
        std::fs::write(kept.join("file"), "kept").unwrap();
        let mut current = directory(CWD, tree.join("1")).unwrap();
        for _ in 0..DEPTH {
            for name in ["2", "d"] {
                mkdirat(&current, name, Mode::from_raw_mode(0o700)).unwrap();
            }
            symlinkat(&kept, &current, "link").unwrap();
            current = directory(&current, "d").unwrap();
        }
        let remover = std::thread::Builder::new().stack_size(128 << 10);
        let removed = remover
            .spawn({
                let tree = tree.clone();
                move || remove_tree(&tree)
            })
            .unwrap();
        removed.join().unwrap().unwrap();
        assert!(!tree.exists() && kept.join("file").exists());
        assert_eq!(remove_tree(&tree).unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
