//! Copies of images' trees for units that share no file with others: `containers/UNIT/private/IMAGE/rootfs`. Each comes
//! to be whole: it is made in `staging/` and renamed into place, and stays for later starts.

use rustix::fs::Mode;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use super::Store;
use super::error::{Context, StoreError};
use super::staging::{self, Staging, open_directory};
use super::volumes::{self, SourceIds};

/// Where the copies are that a unit with this directory has.
pub fn directory(unit: &Path) -> PathBuf {
    unit.join("private")
}

/// Where the copy of the tree of an image is.
pub fn tree(unit: &Path, image: &str) -> PathBuf {
    directory(unit).join(image).join("rootfs")
}

/// Makes the copies of trees that are missing, by the names of images, and removes those of all other images.
///
/// # Errors
/// When one cannot be made.
pub fn keep(store: &Path, unit: &Path, trees: &BTreeMap<String, PathBuf>) -> Result<(), StoreError> {
    let directory = directory(unit);
    DirBuilder::new().recursive(true).mode(0o700).create(&directory).context("create", &directory)?;
    staging::clear_abandoned(store)?;
    for (image, source) in trees {
        let place = directory.join(image);
        if place.symlink_metadata().is_err() {
            make(store, source, &place)?;
        }
    }
    for image in super::list(&directory)?.iter().filter(|image| !trees.contains_key(*image)) {
        remove(store, &directory.join(image))?;
    }
    Ok(())
}

fn make(store: &Path, source: &Path, place: &Path) -> Result<(), StoreError> {
    let staging = Staging::new(store)?;
    let made = staging.path("private");
    let rootfs = made.join("rootfs");
    for directory in [&made, &rootfs] {
        rustix::fs::mkdir(directory, Mode::RWXU).context("create", directory)?;
    }
    let opened = open_directory(&rootfs).context("open", &rootfs)?;
    volumes::seed(&opened, source, Path::new("/"), SourceIds::Foreign).map_err(|error| match error {
        StoreError::Io { path, cause, .. } => StoreError::Io { action: "copy", path, cause },
        other => other,
    })?;
    rustix::fs::syncfs(&opened).context("sync", &made)?;
    fs::rename(&made, place).context("create", place)
}

/// What is being removed is never taken for a copy.
fn remove(store: &Path, path: &Path) -> Result<(), StoreError> {
    let staging = Staging::new(store)?;
    fs::rename(path, staging.path("private")).context("remove", path)
}

impl Store {
    /// Removes the copies of units that do not want any. Gives the names of those units.
    ///
    /// # Errors
    /// When one cannot be removed.
    pub fn remove_private(&self, wants: impl Fn(&str) -> bool) -> Result<BTreeSet<String>, StoreError> {
        let mut removed = BTreeSet::new();
        let all = self.all_containers_dir();
        for unit in super::list(&all)? {
            let directory = directory(&all.join(&unit));
            if directory.symlink_metadata().is_ok() && !wants(&unit) {
                remove(self.root(), &directory)?;
                removed.insert(unit);
            }
        }
        Ok(removed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::paths::Paths;
    use crate::store::inode::FOREIGN_BASE;
    use std::os::unix::fs::MetadataExt as _;

    #[test]
    fn copies_are_whole_and_only_those_that_are_wanted_stay() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::create(&Paths::default().with_store(&directory.path().join("store"))).unwrap();
        let unit = store.containers_dir("web.container").unwrap();
        let source = directory.path().join("image");
        fs::create_dir_all(source.join("bin")).unwrap();
        fs::write(source.join("bin/sh"), "shell").unwrap();
        fs::hard_link(source.join("bin/sh"), source.join("bin/ash")).unwrap();
        for path in ["", "bin", "bin/sh"] {
            std::os::unix::fs::chown(source.join(path), Some(FOREIGN_BASE), Some(FOREIGN_BASE)).unwrap();
        }
        let trees = |images: &[&str]| -> BTreeMap<String, PathBuf> {
            images.iter().map(|image| ((*image).to_owned(), source.clone())).collect()
        };
        // What a maker that was killed has left.
        fs::create_dir_all(store.root().join("staging/dead/private/rootfs/bin")).unwrap();
        keep(store.root(), &unit, &trees(&["a", "b"])).unwrap();
        let inode = |path: PathBuf| fs::metadata(path).unwrap().ino();
        let first = inode(tree(&unit, "a").join("bin/sh"));
        assert_ne!(first, inode(source.join("bin/sh")));
        assert_eq!(first, inode(tree(&unit, "a").join("bin/ash")));
        assert_ne!(first, inode(tree(&unit, "b").join("bin/sh")));
        keep(store.root(), &unit, &trees(&["a"])).unwrap();
        assert_eq!(first, inode(tree(&unit, "a").join("bin/sh")));
        assert!(!tree(&unit, "b").exists());
        assert_eq!(super::super::list(&store.root().join("staging")).unwrap(), Vec::<String>::new());
        assert!(store.remove_private(|unit| unit == "web.container").unwrap().is_empty());
        assert_eq!(store.remove_private(|_| false).unwrap(), ["web.container".to_owned()].into());
        assert!(!super::directory(&unit).exists());
    }

    #[test]
    fn a_copy_that_cannot_be_made_leaves_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::create(&Paths::default().with_store(&directory.path().join("store"))).unwrap();
        let unit = store.containers_dir("web.container").unwrap();
        let trees = BTreeMap::from([("a".to_owned(), directory.path().join("missing"))]);
        let error = keep(store.root(), &unit, &trees).unwrap_err().to_string();
        assert!(error.contains("missing"), "{error}");
        assert!(!tree(&unit, "a").exists());
        assert_eq!(super::super::list(&store.root().join("staging")).unwrap(), Vec::<String>::new());
    }
}
