//! The file `usage`: what the images of one set cost, kept for as long as the set is this one.
//!
//! An image's directory is never changed in place: an import, a repair or a removal renames, which changes an inode
//! number or the time of the last change of an inode, which nobody can set. So the stamps tell whether what was
//! computed still holds. Whatever is wrong with the file, it is as if there were none.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;

use super::Usage;
use crate::image::digest::Digest;
use crate::store::error::StoreError;
use crate::store::{ImageId, Store};

const FILE: &str = "usage";
const NEW: &str = "usage.new";

/// The state of an image's directory: inode number, seconds and nanoseconds of its last change.
type Stamp = (u64, i64, i64);

/// The file's second line; the first is the digest of it.
#[derive(Serialize, Deserialize)]
struct Kept {
    images: Vec<(Digest, Stamp, Usage)>,
}

/// The images that there are, as they are now.
pub(super) fn stamps(store: &Store) -> Result<BTreeMap<ImageId, Stamp>, StoreError> {
    let stamp = |id: ImageId| {
        let metadata = store.image_directory(&id).symlink_metadata().ok()?;
        Some((id, (metadata.ino(), metadata.ctime(), metadata.ctime_nsec())))
    };
    // One that is gone meanwhile is none.
    Ok(store.images()?.into_iter().filter_map(stamp).collect())
}

/// What was kept for exactly these images.
pub(super) fn read(store: &Store, stamps: &BTreeMap<ImageId, Stamp>) -> Option<BTreeMap<ImageId, Usage>> {
    let text = std::fs::read_to_string(store.path(FILE)).ok()?;
    let (digest, rest) = text.split_once('\n')?;
    if !Digest::parse(digest).ok()?.matches(rest.as_bytes()) {
        return None;
    }
    let Kept { images } = serde_json::from_str(rest).ok()?;
    let known = |(digest, stamp, usage): (Digest, Stamp, Usage)| {
        let id = ImageId::new(digest).ok()?;
        (stamps.get(&id) == Some(&stamp)).then_some((id, usage))
    };
    let usages: BTreeMap<ImageId, Usage> = images.into_iter().map(known).collect::<Option<_>>()?;
    (usages.len() == stamps.len()).then_some(usages)
}

/// Keeps it. A store that cannot be written, or two that write at once, cost the next reader some time only.
pub(super) fn write(store: &Store, stamps: &BTreeMap<ImageId, Stamp>, usages: &BTreeMap<ImageId, Usage>) {
    let image = |(id, stamp): (&ImageId, &Stamp)| Some((id.digest().clone(), *stamp, *usages.get(id)?));
    let Some(images) = stamps.iter().map(image).collect::<Option<Vec<_>>>() else { return };
    let Ok(text) = serde_json::to_string(&Kept { images }) else { return };
    let (new, digest) = (store.path(NEW), Digest::of(text.as_bytes()));
    let _ = std::fs::write(&new, format!("{digest}\n{text}"))
        .and_then(|()| std::fs::rename(&new, store.path(FILE)));
}
