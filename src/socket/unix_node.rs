//! The file that bind(2) would have left in the container, for servers that change owner or mode of their
//! socket afterwards. It is made with the ids of the server, so that it is allowed to exactly where the
//! server may write by itself.

use crate::sys::process::{self, Status, with_file_ids};
use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, ResolveFlags, chmod, fstat, mknodat, open, openat, openat2, statat,
};
use rustix::io::{Errno, Result};
use std::ffi::OsStr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;

/// Makes a socket file at an absolute path as the thread `tid` sees it. One that is there already stays.
pub(super) fn leave(tid: u32, path: &Path) -> Result<()> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { return Err(Errno::INVAL) };
    let status = process::status(tid).map_err(|_| Errno::SRCH)?;
    let directory = directory(tid, parent)?;
    with_file_ids(status.file_uid, status.file_gid, || make(&directory, name, &status))
}

/// Opens a directory below the thread's root; no link of the container can lead out of it.
fn directory(tid: u32, path: &Path) -> Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = open(process::root(tid), flags, Mode::empty())?;
    openat2(root, path, flags, Mode::empty(), ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS)
}

fn make(directory: &OwnedFd, name: &OsStr, status: &Status) -> Result<()> {
    let mode = Mode::from_raw_mode(0o777 & !status.umask);
    match mknodat(directory, name, FileType::Socket, mode, 0) {
        Ok(()) => set_mode(directory, name, mode),
        Err(Errno::EXIST) => {
            let found = statat(directory, name, AtFlags::SYMLINK_NOFOLLOW)?;
            match FileType::from_raw_mode(found.st_mode) {
                FileType::Socket => Ok(()),
                _ => Err(Errno::ADDRINUSE),
            }
        }
        Err(error) => Err(error),
    }
}

/// Our own umask(2) counted above; the server's shall. The file is held while its mode is set, since the
/// container may put a link in its place at any time.
fn set_mode(directory: &OwnedFd, name: &OsStr, mode: Mode) -> Result<()> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let node = openat(directory, name, flags, Mode::empty())?;
    match FileType::from_raw_mode(fstat(&node)?.st_mode) {
        FileType::Socket => chmod(format!("/proc/self/fd/{}", node.as_raw_fd()), mode),
        _ => Err(Errno::ADDRINUSE),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::FileTypeExt;

    #[test]
    fn a_socket_file_appears_once_and_nothing_else_is_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let pid = std::process::id();
        let path = directory.path().join("server.sock");
        leave(pid, &path).unwrap();
        leave(pid, &path).unwrap();
        assert!(path.symlink_metadata().unwrap().file_type().is_socket());
        let file = directory.path().join("file");
        std::fs::write(&file, "kept").unwrap();
        assert_eq!(leave(pid, &file), Err(Errno::ADDRINUSE));
        assert_eq!(leave(pid, &directory.path().join("none/server.sock")), Err(Errno::NOENT));
    }
}
