//! Devices that have limits of their own, by paths of devices or of files on them, as systemd looks for them. Where it
//! finds none it tells its own journal and sets no limit, which nobody who looks at the unit would see.

use super::diagnostic::Diagnostic;
use super::model::{Resources, Unit};
use super::place::Place;
use rustix::fs::{FileType, major, stat, statfs};
use rustix::io::Errno;
use std::path::Path;

/// The magic number of btrfs, statfs(2): its files have no number of a device, and systemd asks it for one.
const BTRFS: u64 = 0x9123_683e;

/// What is wrong with the paths of limits, with the key and the path that it is about. To look at a path may take as
/// long as its file system takes to answer.
pub fn faults(resources: &Resources) -> Vec<(&'static str, &Path, String)> {
    let paths = resources.of_devices().into_iter().flat_map(|(key, limits)| {
        // What is lifted needs no device.
        let set = limits.iter().filter(|(_, limit)| **limit != u64::MAX);
        set.map(move |(path, _)| (key, path.as_path()))
    });
    paths.filter_map(|(key, path)| Some((key, path, fault(path)?))).collect()
}

/// A warning for each limit that a unit would not get on this host.
pub fn check(unit: &Unit) -> Vec<Diagnostic> {
    let Some(container) = unit.body.container() else { return Vec::new() };
    let warning = |(key, path, fault): (&str, &Path, String)| {
        let name = path.to_string_lossy();
        let place = Place::of(unit, &["resources", key, &name], None);
        place
            .warning(format!("{name} {fault}: this limit would have no effect"))
            .with_help(Some("name a block device, or a file or directory on one"))
    };
    faults(&container.resources).into_iter().map(warning).collect()
}

/// Why a path leads to no device, to follow it in a sentence.
fn fault(path: &Path) -> Option<String> {
    let found = match stat(path) {
        Ok(found) => found,
        Err(Errno::NOENT | Errno::NOTDIR) => return Some("does not exist".to_owned()),
        Err(error) => return Some(format!("cannot be looked at: {}", std::io::Error::from(error))),
    };
    let is_of_btrfs = || statfs(path).is_ok_and(|found| u64::try_from(found.f_type) == Ok(BTRFS));
    match FileType::from_raw_mode(found.st_mode) {
        FileType::BlockDevice => None,
        FileType::CharacterDevice => Some("is a character device, not a block device".to_owned()),
        // Anonymous devices have the major number 0: tmpfs, overlays, network file systems.
        _ if major(found.st_dev) != 0 || is_of_btrfs() => None,
        _ => Some("is on a file system without a block device".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_leads_to_a_device_or_it_is_said_why_not() {
        let fault = |path: &str| fault(Path::new(path)).unwrap_or_default();
        assert_eq!(fault("/dev/no-such-disk"), "does not exist");
        assert_eq!(fault("/dev/null/below"), "does not exist");
        assert_eq!(fault("/dev/null"), "is a character device, not a block device");
        assert_eq!(fault("/proc"), "is on a file system without a block device");
    }

    #[test]
    fn what_is_lifted_needs_no_device() {
        let limits = [("/nowhere".into(), u64::MAX), ("/elsewhere".into(), 5)];
        let resources = Resources { io_read_iops_max: limits.into(), ..Resources::default() };
        let faults = faults(&resources);
        let [(key, path, _)] = &faults[..] else { panic!("{faults:?}") };
        assert_eq!((*key, *path), ("io_read_iops_max", Path::new("/elsewhere")));
    }
}
