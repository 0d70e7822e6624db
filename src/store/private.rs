//! Copies of images' trees for units that share no file with others: `containers/UNIT/private/IMAGE/rootfs`. Each comes
//! to be whole: it is made in `staging/` and renamed into place, and stays for later starts.
//!
//! As with volumes, who is about to run from one holds a shared flock(2) on its directory until the run is written
//! down; who removes one wants that lock alone, and looks for users while it has it.

use rustix::fs::{FlockOperation, Mode};
use std::collections::BTreeMap;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use super::error::{Context, StoreError};
use super::staging::{self, Staging, open_directory};
use super::volumes::{self, SourceIds};
use super::{ImageId, Store};
use crate::image::digest::Digest;

/// A copy of an image's tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PrivateCopy {
    /// The unit that has it.
    pub unit: String,
    /// What it is a copy of; the store may have that no more.
    pub image: ImageId,
    /// The tree.
    pub tree: PathBuf,
}

impl PrivateCopy {
    /// Bytes that it takes on disk.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn bytes(&self) -> Result<u64, StoreError> {
        let usage = open_directory(&self.tree).and_then(volumes::usage);
        Ok(usage.context("read", &self.tree)?.bytes)
    }
}

/// Where the copies are that a unit with this directory has.
pub fn directory(unit: &Path) -> PathBuf {
    unit.join("private")
}

/// Where the copy of the tree of an image is.
pub fn tree(unit: &Path, image: &str) -> PathBuf {
    directory(unit).join(image).join("rootfs")
}

/// Makes the copies of trees that are missing, by the names of images, and removes those of all other images. While
/// what this gives is open, nobody else removes them.
///
/// # Errors
/// When one cannot be made.
pub fn keep(
    store: &Path,
    unit: &Path,
    trees: &BTreeMap<String, PathBuf>,
) -> Result<Vec<OwnedFd>, StoreError> {
    let directory = directory(unit);
    staging::clear_abandoned(store)?;
    let mut held = Vec::with_capacity(trees.len());
    for (image, source) in trees {
        let place = directory.join(image);
        held.push(loop {
            match staging::hold(&place)? {
                Some(copy) => break copy,
                None => {
                    if let Some(copy) = make(store, source, &place)? {
                        break copy;
                    }
                }
            }
        });
    }
    // One that has an image of no store needs none.
    if !directory.exists() {
        return Ok(held);
    }
    for image in super::list(&directory)?.iter().filter(|image| !trees.contains_key(*image)) {
        remove(store, &directory.join(image))?;
    }
    Ok(held)
}

fn make_directory(directory: &Path) -> Result<(), StoreError> {
    DirBuilder::new().recursive(true).mode(0o700).create(directory).context("create", directory)
}

/// Makes a copy that is held from the moment at which others see it; `None` where it has to be made again.
fn make(store: &Path, source: &Path, place: &Path) -> Result<Option<OwnedFd>, StoreError> {
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
    let held = open_directory(&made).context("open", &made)?;
    rustix::fs::flock(&held, FlockOperation::LockShared).context("lock", &made)?;
    // Whoever removes the last copy of a unit removes this.
    place.parent().map_or(Ok(()), make_directory)?;
    match fs::rename(&made, place) {
        // As has just happened.
        Err(error) if error.kind() == io::ErrorKind::NotFound && made.exists() => Ok(None),
        renamed => renamed.context("create", place).map(|()| Some(held)),
    }
}

/// What is being removed is never taken for a copy.
fn remove(store: &Path, path: &Path) -> Result<(), StoreError> {
    let staging = Staging::new(store)?;
    fs::rename(path, staging.path("private")).context("remove", path)
}

impl Store {
    /// All copies, by unit and image.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn private_copies(&self) -> Result<Vec<PrivateCopy>, StoreError> {
        let mut copies = Vec::new();
        for (unit, directory) in self.private_directories()? {
            for name in super::list(&directory)? {
                let Some(image) = image_of(&name) else { continue };
                copies.push(PrivateCopy {
                    unit: unit.clone(),
                    image,
                    tree: directory.join(name).join("rootfs"),
                });
            }
        }
        Ok(copies)
    }

    /// The directories of copies, with the names of their units.
    pub(super) fn private_directories(&self) -> Result<Vec<(String, PathBuf)>, StoreError> {
        let all = self.all_containers_dir();
        let of = |unit: String| {
            let directory = directory(&all.join(&unit));
            (unit, directory)
        };
        let directories = super::list(&all)?.into_iter().map(of);
        Ok(directories.filter(|(_, directory)| directory.is_dir()).collect())
    }

    /// Removes the copies that nobody wants, and gives what they were and the bytes that they took. Of each that goes
    /// `wants` is asked again when nobody can begin to use it any more.
    ///
    /// # Errors
    /// When one cannot be removed.
    pub fn remove_private<Wanted: Fn(&PrivateCopy) -> bool>(
        &self,
        wants: impl Fn() -> Result<Wanted, StoreError>,
    ) -> Result<Vec<(PrivateCopy, u64)>, StoreError> {
        let wanted = wants()?;
        let mut removed = Vec::new();
        for copy in self.private_copies()?.into_iter().filter(|copy| !wanted(copy)) {
            let place = copy.tree.parent().unwrap_or(&copy.tree);
            // What cannot be read is removed all the same.
            let opened = open_directory(place).ok();
            let alone = |held| rustix::fs::flock(held, FlockOperation::NonBlockingLockExclusive).is_ok();
            if !opened.as_ref().is_none_or(alone) || wants()?(&copy) {
                continue;
            }
            let bytes = copy.bytes().unwrap_or_default();
            remove(self.root(), place)?;
            // The directory stays while it has others.
            let _ = place.parent().map(fs::remove_dir);
            removed.push((copy, bytes));
        }
        Ok(removed)
    }
}

/// The image whose copy has this name.
pub(super) fn image_of(name: &str) -> Option<ImageId> {
    ImageId::new(Digest::parse(&format!("sha256:{name}")).ok()?).ok()
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
        let hex = "e".repeat(64);
        keep(store.root(), &unit, &trees(&[&hex])).unwrap();
        let of_web = |copy: &PrivateCopy| copy.unit == "web.container";
        assert!(store.remove_private(|| Ok(of_web)).unwrap().is_empty());
        let removed = store.remove_private(|| Ok(|_: &PrivateCopy| false)).unwrap();
        let [(copy, bytes)] = &removed[..] else { panic!("{removed:?}") };
        assert_eq!((copy.unit.as_str(), copy.image.digest().hex()), ("web.container", hex.as_str()));
        assert!(*bytes > 0);
        assert!(!super::directory(&unit).exists());
    }

    /// A unit that wants a copy of one image.
    struct One {
        directory: tempfile::TempDir,
        store: Store,
        unit: PathBuf,
        hex: String,
        trees: BTreeMap<String, PathBuf>,
    }

    fn one() -> One {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::create(&Paths::default().with_store(&directory.path().join("store"))).unwrap();
        let unit = store.containers_dir("web.container").unwrap();
        let source = directory.path().join("image");
        fs::create_dir(&source).unwrap();
        std::os::unix::fs::chown(&source, Some(FOREIGN_BASE), Some(FOREIGN_BASE)).unwrap();
        let hex = "e".repeat(64);
        let trees = BTreeMap::from([(hex.clone(), source)]);
        One { directory, store, unit, hex, trees }
    }

    #[test]
    fn a_copy_that_somebody_is_about_to_use_stays() {
        let One { directory: _directory, store, unit, hex, trees } = one();
        let remove = || store.remove_private(|| Ok(|_: &PrivateCopy| false)).unwrap().len();
        let held = keep(store.root(), &unit, &trees).unwrap();
        assert_eq!((remove(), tree(&unit, &hex).exists()), (0, true));
        drop(held);
        // Somebody has begun to run from it after it was looked for users first.
        let asked = std::cell::Cell::new(0);
        let wants = || {
            let later = asked.replace(asked.get() + 1) > 0;
            Ok(move |_: &PrivateCopy| later)
        };
        assert!(store.remove_private(wants).unwrap().is_empty());
        assert_eq!((asked.get(), tree(&unit, &hex).exists()), (2, true));
        assert_eq!((remove(), tree(&unit, &hex).exists()), (1, false));
    }

    #[test]
    fn a_start_gets_its_copy_whatever_is_removed_meanwhile() {
        let One { directory: _directory, store, unit, hex, trees } = one();
        let ended = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let store = Store::create(&Paths::default().with_store(store.root())).unwrap();
                while !ended.load(std::sync::atomic::Ordering::Relaxed) {
                    store.remove_private(|| Ok(|_: &PrivateCopy| false)).unwrap();
                }
            });
            for _ in 0..10 {
                let held = keep(store.root(), &unit, &trees).unwrap();
                assert!(tree(&unit, &hex).is_dir());
                drop(held);
            }
            ended.store(true, std::sync::atomic::Ordering::Relaxed);
        });
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
