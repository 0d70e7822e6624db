//! The trees of images, compared: which inodes are in one of them only.
//!
//! Inode numbers stand in the directories themselves, so that a file is looked at once, whatever the number of images
//! that have it.

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags};
use rustix::io::Errno;
use std::collections::{BTreeMap, HashMap};
use std::ffi::CStr;
use std::os::fd::OwnedFd;

use super::Usage;
use crate::store::{ImageId, Store, parts};

/// A file that some of the trees have.
struct File {
    size: u64,
    /// The last of them, by its position.
    image: usize,
    is_shared: bool,
}

/// The files of some of the images, by inode number.
#[derive(Default)]
struct Census {
    files: HashMap<u64, File>,
    /// Bytes of the files of each image; `None` of a tree that cannot be read.
    sizes: Vec<(usize, Option<u64>)>,
}

/// What each of these images costs, as far as their trees can be read.
pub(super) fn compare(store: &Store, ids: &[ImageId]) -> BTreeMap<ImageId, Usage> {
    let numbered: Vec<(usize, &ImageId)> = ids.iter().enumerate().collect();
    let census = |part: &[(usize, &ImageId)]| {
        let mut census = Census::default();
        part.iter().for_each(|(image, id)| census.image(store, *image, id));
        census
    };
    let census = parts::each(&numbered, census).into_iter().reduce(Census::merge).unwrap_or_default();
    let mut own = vec![0; ids.len()];
    for file in census.files.values().filter(|file| !file.is_shared) {
        own[file.image] += file.size;
    }
    let usage = |(image, size): &(usize, Option<u64>)| {
        let (size, own) = ((*size)?, own[*image]);
        Some((ids[*image].clone(), Usage { size, shared: size - own, own }))
    };
    census.sizes.iter().filter_map(usage).collect()
}

impl Census {
    fn image(&mut self, store: &Store, image: usize, id: &ImageId) {
        let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
        let root = rustix::fs::open(store.rootfs(id), flags, Mode::empty());
        let size = root.and_then(|root| self.directory(root, image));
        self.sizes.push((image, size.ok()));
    }

    /// Bytes of the files below a directory that were not seen in this image before.
    fn directory(&mut self, directory: OwnedFd, image: usize) -> Result<u64, Errno> {
        let mut size = 0;
        for entry in Dir::read_from(&directory)? {
            let entry = entry?;
            let name = entry.file_name();
            match entry.file_type() {
                FileType::Directory if name != c"." && name != c".." => {
                    let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                    let below = rustix::fs::openat(&directory, name, flags, Mode::empty())?;
                    size += self.directory(below, image)?;
                }
                FileType::RegularFile => size += self.file(&directory, name, entry.ino(), image)?,
                _ => {}
            }
        }
        Ok(size)
    }

    fn file(&mut self, directory: &OwnedFd, name: &CStr, inode: u64, image: usize) -> Result<u64, Errno> {
        if let Some(file) = self.files.get_mut(&inode) {
            let is_new = file.image != image;
            file.is_shared |= is_new;
            file.image = image;
            return Ok(if is_new { file.size } else { 0 });
        }
        let stat = rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW)?;
        let size = u64::try_from(stat.st_size).unwrap_or_default();
        self.files.insert(inode, File { size, image, is_shared: false });
        Ok(size)
    }

    /// The files of this and of other images.
    fn merge(mut self, other: Self) -> Self {
        for (inode, file) in other.files {
            self.files.entry(inode).and_modify(|known| known.is_shared = true).or_insert(file);
        }
        self.sizes.extend(other.sizes);
        self
    }
}
