//! What a volume takes on disk.

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags};
use rustix::io::Errno;
use std::collections::BTreeSet;
use std::os::fd::{AsFd, BorrowedFd};

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
    let mut sum = VolumeUsage::default();
    add(volume.as_fd(), &mut sum, &mut BTreeSet::new())?;
    Ok(sum)
}

fn add(directory: BorrowedFd<'_>, sum: &mut VolumeUsage, seen: &mut BTreeSet<u64>) -> Result<(), Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
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
        if FileType::from_raw_mode(stat.st_mode).is_dir()
            && let Ok(below) = rustix::fs::openat(directory, name, flags, Mode::empty())
        {
            add(below.as_fd(), sum, seen)?;
        }
    }
    Ok(())
}
