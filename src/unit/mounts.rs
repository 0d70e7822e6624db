//! Mounts of the host that a unit needs: of paths that it names, of what it binds, of a tree that is its image. As
//! systemd does it for `RequiresMountsFor=`, systemd.unit(5), a unit depends on the mount unit of each directory on the
//! way to such a path that there is a file of.

use super::model::{Body, Dependencies, IfMissing, ImageSource, MountSource, Unit};
use super::name::UnitName;
use crate::paths::Paths;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Mounts that systemd has units of.
#[derive(Debug)]
pub struct MountUnits(BTreeSet<String>);

impl MountUnits {
    /// Those that there are now. The first directory wins, and what is masked there is none.
    pub fn new(paths: &Paths) -> Self {
        let (mut units, mut seen) = (BTreeSet::new(), BTreeSet::new());
        for directory in paths.native_mount_path() {
            for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
                let Ok(name) = entry.file_name().into_string() else { continue };
                if !name.ends_with(".mount") || !seen.insert(name.clone()) {
                    continue;
                }
                // Masked, or dangling.
                if std::fs::metadata(entry.path()).is_ok_and(|found| found.is_file() && found.len() > 0) {
                    units.insert(name);
                }
            }
        }
        Self(units)
    }

    /// Those on the way to a path. The root is there in any case.
    fn of(&self, path: &Path) -> impl Iterator<Item = UnitName> {
        let above = path.ancestors().filter(|above| above.parent().is_some());
        let names = above.map(|above| format!("{}.mount", escaped(above)));
        names.filter(|name| self.0.contains(name)).filter_map(|name| UnitName::of_dependency(&name).ok())
    }
}

/// Adds the mounts that a unit needs to its dependencies. They are looked up where it needs any.
pub fn depend<'m>(unit: &mut Unit, units: impl FnOnce() -> &'m MountUnits) {
    let (required, wanted) = paths(unit);
    if required.is_empty() && wanted.is_empty() {
        return;
    }
    let units = units();
    let Dependencies { requires, wants, after, .. } = &mut *unit.dependencies;
    for (paths, names) in [(required, requires), (wanted, wants)] {
        for name in paths.iter().flat_map(|path| units.of(path)) {
            after.insert(name.clone());
            names.insert(name);
        }
    }
}

/// Paths that must be there, and paths that may be missing.
fn paths(unit: &Unit) -> (BTreeSet<PathBuf>, BTreeSet<PathBuf>) {
    let mut required = unit.dependencies.requires_mounts_for.clone();
    let mut wanted = unit.dependencies.wants_mounts_for.clone();
    let Body::Container(container) = &unit.body else { return (required, wanted) };
    let trees = container.mounts.values().filter_map(|mount| match &mount.source {
        MountSource::Image(image) => Some(image),
        _ => None,
    });
    for image in trees.chain([&container.image]) {
        if let ImageSource::Directory(path) = image {
            required.insert(path.clone());
        }
    }
    for mount in container.mounts.values() {
        let MountSource::Bind(bind) = &mount.source else { continue };
        match bind.missing {
            IfMissing::Fail => required.insert(bind.path.clone()),
            IfMissing::Ignore => wanted.insert(bind.path.clone()),
        };
    }
    (required, wanted)
}

/// A path as part of a file name, systemd.unit(5): `/dev/my-disk` is `dev-my\\x2ddisk`.
pub fn escaped(path: &Path) -> String {
    let text = path.to_string_lossy();
    let byte = |(place, byte): (usize, u8)| match byte {
        b'/' => "-".to_owned(),
        b'.' if place == 0 => "\\x2e".to_owned(),
        b'_' | b'.' | b':' => char::from(byte).to_string(),
        byte if byte.is_ascii_alphanumeric() => char::from(byte).to_string(),
        byte => format!("\\x{byte:02x}"),
    };
    text.trim_start_matches('/').bytes().enumerate().map(byte).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::unit::load::{Loaded, load_one};
    use std::fs;

    #[test]
    fn paths_are_escaped_as_systemd_does_it() {
        // systemd-escape --path
        for (path, name) in [
            ("/srv/data", "srv-data"),
            ("/srv/my-data", "srv-my\\x2ddata"),
            ("/.snapshots/a.b", "\\x2esnapshots-a.b"),
            ("/mnt/a b", "mnt-a\\x20b"),
            ("/mnt/ä", "mnt-\\xc3\\xa4"),
        ] {
            assert_eq!(escaped(Path::new(path)), name, "{path}");
        }
    }

    #[test]
    fn a_unit_depends_on_the_mounts_of_what_it_names() {
        let root = tempfile::tempdir().unwrap();
        let paths = Paths::new(root.path());
        let write = |path: &str, text: &str| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write(
            "etc/sampan/units/web.container.toml",
            "[unit]\nwants_mounts_for = [\"/var/spool/web\"]\n[container]\nimage = \"localhost/web\"\n\
             [mount.\"/a\"]\ntype = \"bind\"\nsource = \"/srv/my-data/web\"\n\
             [mount.\"/b\"]\ntype = \"bind\"\nsource = \"-/opt/web\"\n\
             [mount.\"/c\"]\ntype = \"bind\"\nsource = \"/masked/web\"\n",
        );
        for unit in ["srv.mount", "srv-my\\x2ddata.mount", "-.mount", "var-spool.mount", "srv-my.mount"] {
            write(&format!("run/systemd/generator/{unit}"), "[Mount]\n");
        }
        for unit in ["opt.mount", "masked.mount"] {
            write(&format!("usr/lib/systemd/system/{unit}"), "[Mount]\n");
        }
        std::os::unix::fs::symlink("/dev/null", root.path().join("run/systemd/generator/masked.mount"))
            .unwrap();
        let loaded = load_one(&paths, &UnitName::parse("web.container").unwrap()).loaded;
        let Some(Loaded::Good(unit)) = loaded else { panic!("{loaded:?}") };
        let names = |names: &BTreeSet<UnitName>| names.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(names(&unit.dependencies.requires), ["srv-my\\x2ddata.mount", "srv.mount"]);
        assert_eq!(names(&unit.dependencies.wants), ["opt.mount", "var-spool.mount"]);
        assert_eq!(unit.dependencies.after.len(), 4);
    }
}
