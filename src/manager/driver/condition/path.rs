//! What is at a path of the host.

use crate::unit::model::PathTest;
use rustix::fs::{AtFlags, CWD, StatVfsMountFlags, StatxAttributes, StatxFlags};
use std::fs;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::path::Path;

/// Whether there is what a condition looks for. What cannot be looked at is not there.
pub(super) fn holds(test: PathTest, path: &Path) -> bool {
    let metadata = || fs::metadata(path).ok();
    let is_file = |metadata: &fs::Metadata| metadata.is_file();
    match test {
        PathTest::Exists => metadata().is_some(),
        PathTest::IsDirectory => metadata().is_some_and(|metadata| metadata.is_dir()),
        PathTest::IsSymbolicLink => path.is_symlink(),
        PathTest::IsMountPoint => is_mount_point(path),
        PathTest::IsReadWrite => {
            rustix::fs::statvfs(path).is_ok_and(|disk| !disk.f_flag.contains(StatVfsMountFlags::RDONLY))
        }
        PathTest::IsSocket => metadata().is_some_and(|metadata| metadata.file_type().is_socket()),
        PathTest::DirectoryNotEmpty => fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_some()),
        PathTest::FileNotEmpty => metadata().filter(is_file).is_some_and(|metadata| metadata.len() > 0),
        PathTest::FileIsExecutable => {
            metadata().filter(is_file).is_some_and(|metadata| metadata.permissions().mode() & 0o111 != 0)
        }
    }
}

fn is_mount_point(path: &Path) -> bool {
    let status = rustix::fs::statx(CWD, path, AtFlags::empty(), StatxFlags::empty());
    status.is_ok_and(|status| status.stx_attributes.contains(StatxAttributes::MOUNT_ROOT))
}

/// Whether a pattern has a path.
pub(super) fn matches(pattern: &str) -> bool {
    glob::glob(pattern).is_ok_and(|mut paths| paths.any(|path| path.is_ok()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    #[test]
    fn paths_are_what_they_are() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        fs::create_dir(at("empty")).unwrap();
        fs::write(at("file"), "").unwrap();
        fs::write(at("program"), "x").unwrap();
        fs::set_permissions(at("program"), fs::Permissions::from_mode(0o744)).unwrap();
        std::os::unix::fs::symlink("program", at("link")).unwrap();
        std::os::unix::fs::symlink("nowhere", at("broken")).unwrap();
        let _listener = std::os::unix::net::UnixListener::bind(at("socket")).unwrap();
        let names = ["empty", "file", "program", "link", "broken", "socket", "none"];
        let found =
            |test: PathTest| names.into_iter().filter(|name| holds(test, &at(name))).collect::<Vec<_>>();
        assert_eq!(found(PathTest::Exists), ["empty", "file", "program", "link", "socket"]);
        assert_eq!(found(PathTest::IsDirectory), ["empty"]);
        assert_eq!(found(PathTest::IsSymbolicLink), ["link", "broken"]);
        assert_eq!(found(PathTest::IsSocket), ["socket"]);
        assert_eq!(found(PathTest::FileNotEmpty), ["program", "link"]);
        assert_eq!(found(PathTest::FileIsExecutable), ["program", "link"]);
        assert_eq!(found(PathTest::DirectoryNotEmpty), [""; 0]);
        assert!(holds(PathTest::DirectoryNotEmpty, directory.path()));
        assert!(holds(PathTest::IsReadWrite, directory.path()) && !holds(PathTest::IsReadWrite, &at("none")));
        assert!(
            holds(PathTest::IsMountPoint, &PathBuf::from("/proc"))
                && found(PathTest::IsMountPoint).is_empty()
        );
        assert!(matches(&format!("{}/pro*m", directory.path().display())));
        assert!(!matches(&format!("{}/x*", directory.path().display())));
    }
}
