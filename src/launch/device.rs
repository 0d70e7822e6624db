//! Device nodes of the host in a container.

use super::failure::During;
use super::host;
use super::idmap::Maps;
use super::protocol::StepError;
use super::step::DeviceNode;
use crate::sys::mount::{self, Change, Propagation};
use crate::unit::model::IfMissing;
use rustix::fs::{
    AtFlags, CWD, FileType, Gid, Mode, OFlags, Stat, Uid, chmodat, chownat, fstat, mkdirat, mknodat, openat,
    unlinkat,
};
use rustix::io::Errno;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

/// A mount of a node; `None` where the device is missing and may be.
///
/// The host's node belongs to an id that a user namespace does not have, and most let nobody else open them: such a
/// container gets a node of its own, of the same device, that belongs to its root.
pub fn node(device: &DeviceNode, maps: &Maps) -> Result<Option<OwnedFd>, StepError> {
    let subject = device.path.display();
    let found = match openat(CWD, &device.path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()) {
        Err(Errno::NOENT) if device.missing == IfMissing::Ignore => return Ok(None),
        result => result.during("open device", &subject)?,
    };
    let stat = fstat(&found).during("open device", &subject)?;
    let kind = FileType::from_raw_mode(stat.st_mode);
    if !matches!(kind, FileType::CharacterDevice | FileType::BlockDevice) {
        return Err(Errno::NODEV).during("open device", subject);
    }
    let root = maps.outside(0, 0);
    let opened = match root {
        0 => found,
        root => match own(&device.own, &stat, root).during("make device", &subject)? {
            Some(own) => own,
            // Where nobody may make nodes, that of the host is as good as it gets.
            None => found,
        },
    };
    let tree = host::clone_of(opened).during("mount device", &subject)?;
    let change = Change {
        set: mount::NO_SETUID | mount::NO_EXECUTE,
        clear: mount::NO_DEVICES,
        propagation: Propagation::Private,
        ..Change::default()
    };
    mount::change(&tree, &change).during("mount device", subject)?;
    Ok(Some(tree))
}

/// Makes a node anew, of the same device and mode.
fn own(path: &Path, of: &Stat, root: u32) -> io::Result<Option<OwnedFd>> {
    let (Some(above), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(Errno::INVAL.into());
    };
    match mkdirat(CWD, above, Mode::from_raw_mode(0o700)) {
        Err(Errno::EXIST) => {}
        result => result?,
    }
    let directory = openat(CWD, above, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    match unlinkat(&directory, name, AtFlags::empty()) {
        Err(Errno::NOENT) => {}
        result => result?,
    }
    let mode = Mode::from_raw_mode(of.st_mode);
    match mknodat(&directory, name, FileType::from_raw_mode(of.st_mode), mode, of.st_rdev) {
        Err(Errno::PERM) => return Ok(None),
        Err(error) => {
            // It stays where it has others.
            let _ = unlinkat(CWD, above, AtFlags::REMOVEDIR);
            return Err(error.into());
        }
        Ok(()) => {}
    }
    chownat(
        &directory,
        name,
        Some(Uid::from_raw(root)),
        Some(Gid::from_raw(root)),
        AtFlags::SYMLINK_NOFOLLOW,
    )?;
    // Whatever the umask is.
    chmodat(&directory, name, mode, AtFlags::empty())?;
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(Some(openat(&directory, name, flags, Mode::empty())?))
}
