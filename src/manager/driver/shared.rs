//! Directories of the host that containers can write. A link there may be of any of them, and is not followed on the
//! way to what another one has bound: it would be followed as the host.

use super::Manager;
use crate::unit::model::{Body, MountAccess, MountSource, Unit};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

impl Manager {
    /// By the sources of a unit's binds: the topmost such directory above each.
    pub(super) fn shared_above(&self, unit: &Unit) -> BTreeMap<PathBuf, PathBuf> {
        let mut above: BTreeMap<PathBuf, PathBuf> = BTreeMap::new();
        let mut note = |source: &Path, top: &Path| {
            // Who has all of the host needs no link.
            if source == top || !source.starts_with(top) || top.parent().is_none() {
                return;
            }
            let known = above.entry(source.to_owned()).or_insert_with(|| top.to_owned());
            if known.starts_with(top) {
                *known = top.to_owned();
            }
        };
        for (source, _) in binds(unit) {
            // Volumes, and roots that last.
            note(source, self.store.root());
            let units = self.machine.units().values().filter_map(|managed| managed.unit());
            for (top, access) in units.flat_map(|other| binds(other)) {
                if access == MountAccess::ReadWrite {
                    note(source, top);
                }
            }
        }
        above
    }
}

fn binds(unit: &Unit) -> impl Iterator<Item = (&Path, MountAccess)> {
    let mounts = match &unit.body {
        Body::Container(container) => Some(container.mounts.values()),
        _ => None,
    };
    mounts.into_iter().flatten().filter_map(|mount| match &mount.source {
        MountSource::Bind(bind) => Some((bind.path.as_path(), mount.access)),
        _ => None,
    })
}
