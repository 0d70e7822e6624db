//! The trees of images, compared: which files are in one of them only.

use std::collections::{BTreeMap, HashMap};

use super::{Usage, files};
use crate::store::{ImageId, Store, parts};

/// A file that some of the trees have.
struct Known {
    size: u64,
    /// One of them, by its position.
    image: usize,
    is_shared: bool,
}

/// The files of some of the images, by inode number.
#[derive(Default)]
struct Census {
    files: HashMap<u64, Known>,
    /// Bytes of the files of each image; an image whose tree cannot be read is not among them.
    sizes: BTreeMap<usize, u64>,
}

/// What each of these images costs, as far as their trees can be read.
pub(super) fn compare(store: &Store, ids: &[ImageId]) -> BTreeMap<ImageId, Usage> {
    let numbered: Vec<(usize, &ImageId)> = ids.iter().enumerate().collect();
    let census = |part: &[(usize, &ImageId)]| {
        let mut census = Census::default();
        part.iter().for_each(|(image, id)| census.add(store, *image, id));
        census
    };
    let census =
        parts::each(parts::of(&numbered), census).into_iter().reduce(Census::merge).unwrap_or_default();
    let mut own = vec![0; ids.len()];
    for file in census.files.values().filter(|file| !file.is_shared) {
        own[file.image] += file.size;
    }
    let usage = |(image, size): (usize, u64)| {
        let own = own[image];
        (ids[image].clone(), Usage { size, shared: size - own, own })
    };
    census.sizes.into_iter().map(usage).collect()
}

impl Census {
    fn add(&mut self, store: &Store, image: usize, id: &ImageId) {
        let Some(files) = files::of(store, id) else { return };
        let mut sum = 0;
        for (inode, size) in files {
            sum += size;
            let known = self.files.entry(inode).and_modify(|known| known.is_shared = true);
            known.or_insert(Known { size, image, is_shared: false });
        }
        self.sizes.insert(image, sum);
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
