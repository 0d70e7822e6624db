//! A store as it stands on disk, to compare it with itself later.
#![allow(dead_code, reason = "each test program uses a part")]

use sha2::Digest as _;
use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// All that two equal stores have in common about a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    mode: u32,
    owner: (u32, u32),
    names: u64,
    size: u64,
    /// Of contents that the store keeps, not of its own bookkeeping.
    mtime: Option<(i64, i64)>,
    content: Option<String>,
}

pub type Snapshot = BTreeMap<PathBuf, Seen>;

/// Everything below a store but its locks, and what it computes again when it is missing; nothing when there is no
/// store.
pub fn snapshot(store: &Path) -> Snapshot {
    let mut found = Snapshot::new();
    let mut directories = vec![store.to_owned()];
    while let Some(directory) = directories.pop() {
        let Ok(names) = std::fs::read_dir(&directory) else { continue };
        for path in names.map(|name| name.unwrap().path()) {
            let metadata = std::fs::symlink_metadata(&path).unwrap();
            let name = path.strip_prefix(store).unwrap().to_owned();
            if metadata.is_dir() {
                directories.push(path.clone());
            }
            if !["lock", "names.lock", "usage"].iter().any(|own| name.starts_with(own)) {
                found.insert(name.clone(), seen(&path, &name, &metadata));
            }
        }
    }
    found
}

fn seen(path: &Path, name: &Path, metadata: &std::fs::Metadata) -> Seen {
    // A shard of the objects or a directory of the store's own is as large as it once had to be.
    let kept = name.starts_with("objects") || name.iter().any(|part| part == "rootfs");
    let is_directory = metadata.is_dir();
    // The last step of naming an image writes the name into its record, for a repair, and for the time when it is
    // another image's: readers find it in its own file until then.
    let is_record = name.starts_with("images") && name.ends_with("record");
    let bytes = || match is_record {
        true => without_names(&std::fs::read(path).unwrap()),
        false => std::fs::read(path).unwrap(),
    };
    Seen {
        mode: metadata.mode(),
        owner: (metadata.uid(), metadata.gid()),
        names: if is_directory { 0 } else { metadata.nlink() },
        size: if is_directory || is_record { 0 } else { metadata.size() },
        mtime: (kept && !(is_directory && name.starts_with("objects")))
            .then(|| (metadata.mtime(), metadata.mtime_nsec())),
        content: metadata.is_file().then(|| {
            let hash = sha2::Sha256::digest(bytes());
            hash.iter().map(|byte| format!("{byte:02x}")).collect()
        }),
    }
}

fn without_names(record: &[u8]) -> Vec<u8> {
    let Ok(mut record) = serde_json::from_slice::<serde_json::Value>(record) else { return record.to_vec() };
    record["imported_as"] = serde_json::Value::Null;
    record["came_as"] = serde_json::Value::Null;
    record.to_string().into_bytes()
}

/// The paths at which two stores differ, for the message of a failed test.
pub fn difference(one: &Snapshot, other: &Snapshot) -> String {
    let paths: std::collections::BTreeSet<&PathBuf> = one.keys().chain(other.keys()).collect();
    let differing = paths.into_iter().filter(|path| one.get(*path) != other.get(*path)).take(10);
    let lines = differing
        .map(|path| format!("  {}: {:?}\n      or {:?}\n", path.display(), one.get(path), other.get(path)));
    lines.collect()
}
