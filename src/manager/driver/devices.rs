//! The nodes of devices that a unit names by their driver, as `DeviceAllow=` of systemd.resource-control(5) does.

use super::control::failure;
use crate::manager::machine::Failure;
use crate::unit::model::{Container, DeviceSource, IfMissing, Unit};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The nodes of each group that a unit names.
pub(super) fn groups(unit: &Unit, container: &Container) -> Result<BTreeMap<String, Vec<PathBuf>>, Failure> {
    let mut groups = BTreeMap::new();
    for device in &container.security.devices {
        let DeviceSource::Group(name) = &device.source else { continue };
        let known = std::fs::read_to_string("/proc/devices").unwrap_or_default();
        let nodes = match (majors(&known, name), device.missing) {
            (majors, IfMissing::Fail) if majors.is_empty() => {
                let message = format!(
                    "{}: security.devices: the host has no devices \"{name}\", see /proc/devices; begin it with \"-\" to do without them",
                    unit.name
                );
                return Err(failure(message, libc::ENODEV));
            }
            (majors, _) => nodes(name, &majors),
        };
        groups.insert(name.clone(), nodes);
    }
    Ok(groups)
}

/// The numbers of a driver, proc_devices(5).
fn majors(known: &str, group: &str) -> Vec<u32> {
    let (heading, driver) = match group.split_once('-') {
        Some(("block", driver)) => ("Block devices:", driver),
        Some((_, driver)) => ("Character devices:", driver),
        None => return Vec::new(),
    };
    let section = known.lines().skip_while(|line| *line != heading).skip(1);
    let entries = section.take_while(|line| !line.is_empty()).filter_map(|line| line.trim().split_once(' '));
    entries.filter(|(_, name)| *name == driver).filter_map(|(number, _)| number.parse().ok()).collect()
}

/// What sysfs names for these numbers and `/dev` has.
fn nodes(group: &str, majors: &[u32]) -> Vec<PathBuf> {
    let kind = if group.starts_with("block-") { "block" } else { "char" };
    let Ok(entries) = std::fs::read_dir(Path::new("/sys/dev").join(kind)) else { return Vec::new() };
    let of_group = |path: &PathBuf| {
        let major = path.file_name()?.to_str()?.split_once(':')?.0.parse().ok()?;
        let facts = majors.contains(&major).then(|| std::fs::read_to_string(path.join("uevent")).ok())??;
        let name = facts.lines().find_map(|line| line.strip_prefix("DEVNAME="))?;
        Some(Path::new("/dev").join(name))
    };
    let mut nodes: Vec<PathBuf> =
        entries.flatten().filter_map(|entry| of_group(&entry.path())).filter(|node| node.exists()).collect();
    nodes.sort();
    nodes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drivers_are_found_among_their_kind() {
        let known =
            "Character devices:\n  1 mem\n 10 misc\n  7 loop\n\nBlock devices:\n  7 loop\n259 blkext\n";
        assert_eq!(majors(known, "char-misc"), [10]);
        assert_eq!(majors(known, "block-loop"), [7]);
        assert_eq!(majors(known, "block-misc"), [0; 0]);
    }
}
