//! What must hold for any bytes whatever, of everything that strangers write: for libFuzzer here, and for a bounded
//! number of changed seeds in `tests/fuzz.rs`.
#![allow(dead_code, reason = "each target is a program of its own")]

use sampan::image::digest::Digest;
use sampan::image::document;
use sampan::image::entry::{Change, EntryPath, LayerEntry, TreeEntry};
use sampan::image::fold::fold;
use sampan::image::layer;
use sampan::image::limits::Limits;
use sampan::image::manifest::{self, Document, Platform};
use sampan::image::reference::Reference;
use sampan::image::short_name::ShortNames;
use sampan::paths::Paths;
use sampan::store::{Store, parse_index, write_index};
use sampan::transfer::rebuild_chunked;
use std::path::Path;
use std::sync::OnceLock;

/// A stream as the only layer of an image, and as the upper of two.
pub fn layers(bytes: &[u8]) {
    let limits = Limits { entries: 1000, ..Limits::default() };
    let Ok(entries) = layer::entries_of(bytes, &limits) else { return };
    for entry in &entries {
        check_path(&entry.path, &limits);
        if let Change::HardLink { target } = &entry.change {
            check_path(target, &limits);
        }
    }
    let (lower, upper) = (Digest::of(b"lower"), Digest::of(b"upper"));
    let halves = entries.split_at(entries.len() / 2);
    let (one, two) = (vec![(&lower, entries.as_slice())], vec![(&lower, halves.0), (&upper, halves.1)]);
    for layers in [one, two] {
        let layers: Vec<_> =
            layers.into_iter().map(|(digest, entries)| (digest.clone(), entries.to_vec())).collect();
        let Ok(tree) = fold(&layers, &limits) else { continue };
        let entries: Vec<TreeEntry> = tree.into_iter().map(|folded| folded.entry).collect();
        check_tree(&entries);
        round_trip(&entries);
    }
    round_trip(&entries);
}

/// Manifests, indexes and configurations.
pub fn documents(bytes: &[u8]) {
    if let Ok(Document::Index(descriptors)) = manifest::parse(bytes, "", "index") {
        if let Ok(chosen) = manifest::choose(&descriptors, &Platform::host(), "index") {
            assert!(!chosen.is_empty() && chosen.len() <= descriptors.len());
        }
        for descriptor in descriptors {
            assert_eq!(Digest::parse(&descriptor.digest.to_string()).unwrap(), descriptor.digest);
        }
    }
    if let Ok(document) = document::parse(bytes, "configuration") {
        let words = document.config.command.iter().chain(&document.config.entrypoint);
        assert!(words.chain(&document.config.environment).all(|word| !word.contains('\0')));
    }
}

/// The tables of a zstd:chunked layer and its blob: a line of JSON, lines of JSON, an empty line, bytes.
pub fn tables(bytes: &[u8]) {
    if let Some(plain) = rebuilt(bytes) {
        // What is no content stands in the tar-split, in base64; contents together are bounded.
        assert!(plain.len() <= 300 * (bytes.len() + (1 << 20)));
        layers(&plain);
    }
}

/// The archive that they make.
pub fn rebuilt(bytes: &[u8]) -> Option<Vec<u8>> {
    let end = |bytes: &[u8], mark: &[u8]| bytes.windows(mark.len()).position(|window| window == mark);
    let (contents, rest) = bytes.split_at(end(bytes, b"\n")?);
    let (split, blob) = rest.split_at(end(rest, b"\n\n")?);
    rebuild_chunked(no_store(), &blob[2..], contents, split.get(1..)?, &Limits::default()).ok()
}

/// A store that holds nothing, and is no more.
fn no_store() -> &'static Store {
    static STORE: OnceLock<Store> = OnceLock::new();
    STORE.get_or_init(|| {
        let path = std::env::temp_dir().join(format!("sampan-fuzz-{}", std::process::id()));
        let store = Store::create(&Paths::new(Path::new("/")).with_store(&path)).unwrap();
        std::fs::remove_dir_all(path).unwrap();
        store
    })
}

/// Names of images, as people, archives and files of the store write them.
pub fn references(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let readings = [Reference::parse(text), Reference::for_import(text), Reference::from_docker(text)];
    for found in readings.into_iter().flatten().chain(ShortNames::default().candidates(text)) {
        let written = found.to_string();
        assert_eq!(Reference::parse(&written).unwrap(), found, "{written}");
        // It becomes a file's name by turning slashes into percent signs.
        assert!(
            !written.contains(['%', '\0', '\n', '\\', ' ']) && !written.starts_with(['/', '.', '-']),
            "{written}"
        );
        assert!(written.split('/').all(|part| !part.is_empty() && part != ".." && part != "."), "{written}");
        assert_eq!(found.digest().is_some(), written.contains('@'));
    }
}

/// Records of an index below a first line that fits them, and the bytes as they are.
pub fn indexes(bytes: &[u8]) {
    let _ = parse_index::<LayerEntry>(bytes);
    let first = format!("sampan-index-2 {}\n", Digest::of(bytes));
    let whole = [first.as_bytes(), bytes].concat();
    if let Ok(entries) = parse_index::<TreeEntry>(&whole) {
        entries.iter().for_each(|entry| check_path(&entry.path, &Limits::of_the_kernel()));
        round_trip(&entries);
    }
    if let Ok(entries) = parse_index::<LayerEntry>(&whole) {
        round_trip(&entries);
    }
}

fn check_path(path: &EntryPath, limits: &Limits) {
    assert!(path.names().all(|name| name != b".." && name != b"." && name.len() <= limits.name), "{path:?}");
    assert!(!path.as_bytes().starts_with(b"/") && !path.as_bytes().contains(&0), "{path:?}");
    assert!(path.as_bytes().len() <= limits.path && path.names().count() <= limits.depth, "{path:?}");
}

/// Sorted, each path once, and below directories only.
fn check_tree(entries: &[TreeEntry]) {
    use sampan::image::entry::Node;
    assert!(entries.windows(2).all(|pair| pair[0].path < pair[1].path));
    let directories: std::collections::BTreeSet<&EntryPath> =
        entries.iter().filter(|entry| entry.node == Node::Directory).map(|entry| &entry.path).collect();
    for entry in entries {
        if let Some((parent, _)) = entry.path.split() {
            assert!(directories.contains(&parent), "{:?}", entry.path);
        }
    }
}

/// What is written is read as it was.
fn round_trip<T>(entries: &[T])
where
    T: serde::Serialize + serde::de::DeserializeOwned + PartialEq + std::fmt::Debug,
{
    let bytes = write_index(entries).unwrap();
    assert_eq!(parse_index::<T>(&bytes).unwrap(), entries);
}
