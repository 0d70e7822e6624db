//! What a volume takes on disk.

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags};
use rustix::io::Errno;
use std::collections::BTreeSet;
use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;

/// Files of a volume and what they take.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct VolumeUsage {
    /// Everything but the root directory.
    pub entries: u64,
    /// Bytes on disk, holes not counted, each file once.
    pub bytes: u64,
}

/// Adds up what an open volume holds. What goes away meanwhile does not count.
///
/// # Errors
/// When a directory cannot be read.
pub fn usage(volume: impl AsFd) -> Result<VolumeUsage, Errno> {
    let (mut sum, mut seen) = (VolumeUsage::default(), BTreeSet::new());
    // Directories that were met, each with the one above: a container can make more of them, one below the other, than
    // a stack holds.
    let mut met = Vec::new();
    add(&Rc::new(open(volume.as_fd(), c".")?), &mut sum, &mut seen, &mut met)?;
    while let Some((above, name)) = met.pop() {
        if let Ok(directory) = open(above.as_fd(), &name) {
            drop(above);
            add(&Rc::new(directory), &mut sum, &mut seen, &mut met)?;
        }
    }
    Ok(sum)
}

fn open(above: BorrowedFd<'_>, name: &CStr) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(above, name, flags, Mode::empty())
}

fn add(
    directory: &Rc<OwnedFd>,
    sum: &mut VolumeUsage,
    seen: &mut BTreeSet<u64>,
    met: &mut Vec<(Rc<OwnedFd>, CString)>,
) -> Result<(), Errno> {
    for entry in Dir::read_from(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        if name == c"." || name == c".." {
            continue;
        }
        let Ok(stat) = rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) else { continue };
        sum.entries += 1;
        if stat.st_nlink < 2 || seen.insert(stat.st_ino) {
            sum.bytes += u64::try_from(stat.st_blocks).unwrap_or_default() * 512;
        }
        if FileType::from_raw_mode(stat.st_mode).is_dir() {
            met.push((Rc::clone(directory), name.to_owned()));
        }
    }
    Ok(())
}
