//! The fold by its rules, and against a model that keeps nothing but a map of paths.

use super::*;
use crate::image::digest::ContentHash;
use crate::image::entry::{Bytes, EntryPath};
use proptest::prelude::*;
use std::collections::BTreeMap;

fn path(text: &str) -> EntryPath {
    EntryPath::parse(text.as_bytes(), &Limits::default()).unwrap()
}

fn put(text: &str, node: Node) -> LayerEntry {
    LayerEntry { path: path(text), change: Change::Put { node, metadata: Metadata::implied_directory() } }
}

fn file(text: &str, content: &str) -> LayerEntry {
    put(text, Node::File { size: content.len() as u64, sha256: ContentHash::of(content.as_bytes()) })
}

fn link(text: &str, target: &str) -> LayerEntry {
    LayerEntry { path: path(text), change: Change::HardLink { target: path(target) } }
}

fn symlink(text: &str, target: &str) -> LayerEntry {
    put(text, Node::Symlink { target: Bytes(target.into()) })
}

fn directory(text: &str) -> LayerEntry {
    put(text, Node::Directory)
}

fn change(text: &str, change: Change) -> LayerEntry {
    LayerEntry { path: path(text), change }
}

fn folded(layers: &[Vec<LayerEntry>]) -> Result<Vec<FoldedEntry>, FoldError> {
    let digest = Digest::of(b"layer");
    let layers: Vec<_> = layers.iter().map(|entries| (digest.clone(), entries.clone())).collect();
    fold(&layers, &Limits::default())
}

fn names(layers: &[Vec<LayerEntry>]) -> Vec<String> {
    let entries = folded(layers).unwrap();
    entries.iter().map(|e| String::from_utf8(e.entry.path.as_bytes().to_vec()).unwrap()).collect()
}

#[test]
fn whiteouts_act_on_lower_layers_only() {
    let lower = vec![file("a/x", "1"), file("a/y", "1"), file("b", "1")];
    let upper = vec![file("a/z", "2"), change("a", Change::Opaque), change("b", Change::Whiteout)];
    assert_eq!(names(&[lower.clone(), upper]), ["", "a", "a/z"]);
    let replaced = vec![file("b", "2"), change("b", Change::Whiteout)];
    assert_eq!(names(&[lower.clone(), replaced]), ["", "a", "a/x", "a/y", "b"]);
    let all = vec![change("", Change::Opaque), change("no/where", Change::Whiteout)];
    assert_eq!(names(&[lower, all]), [""]);
}

#[test]
fn what_no_tree_has_hides_what_was_there() {
    let lower = vec![file("x", "1"), file("d/f", "1")];
    let upper = vec![change("x", Change::Nothing), change("d", Change::Nothing), link("l", "x")];
    assert_eq!(names(&[lower.clone(), upper.clone()]), [""]);
    assert_eq!(
        names(&[lower, upper, vec![file("x", "2"), directory("l"), file("l/y", "2")]]),
        ["", "l", "l/y", "x"]
    );
}

#[test]
fn link_sources_are_in_no_tree() {
    let source = ".wh..wh.plnk/1.2";
    let tree = folded(&[vec![file(source, "1"), link("a", source), link("b", source)]]).unwrap();
    assert_eq!(tree.len(), 3);
    assert!(tree[1..].iter().all(|it| it.names == 2 && it.entry.hard_link == Some(path("a"))));
    let once = folded(&[vec![file(source, "1"), link("a", source)]]).unwrap();
    assert_eq!((once[1].names, &once[1].entry.hard_link), (1, &None));
}

#[test]
fn types_change_and_directories_merge() {
    let lower = vec![directory("d"), file("d/x", "1"), symlink("s", "d"), file("f", "1")];
    let upper = vec![directory("d"), directory("s"), file("s/y", "2"), directory("f")];
    assert_eq!(names(&[lower.clone(), upper]), ["", "d", "d/x", "f", "s", "s/y"]);
    assert_eq!(names(&[lower, vec![file("d", "2")]]), ["", "d", "f", "s"]);
}

#[test]
fn an_upper_layer_breaks_a_hard_link() {
    let lower = vec![file("a", "1"), link("b", "a"), link("c", "b")];
    let entries = folded(&[lower, vec![file("a", "2")]]).unwrap();
    let groups: Vec<_> = entries.iter().map(|e| e.entry.hard_link.clone()).collect();
    assert_eq!(groups, [None, None, Some(path("b")), Some(path("b"))]);
    assert_eq!(
        entries.iter().map(|e| (e.layer, e.names)).collect::<Vec<_>>(),
        [(0, 1), (1, 1), (0, 2), (0, 2)]
    );
}

#[test]
fn names_are_bounded() {
    let layers = [(Digest::of(b""), vec![file("a/bcd", "1"), file("a/efg", "1")])];
    let limits = |names| Limits { names, ..Limits::default() };
    assert_eq!(fold(&layers, &limits(100)).unwrap().len(), 4);
    let error = fold(&layers, &limits(10)).unwrap_err().to_string();
    assert!(error.contains("\"a/efg\"") && error.contains("limit \"names\""), "{error}");
}

#[test]
fn entries_that_would_leave_the_tree_are_refused() {
    for (layer, reason) in [
        (vec![symlink("s", "/etc"), file("s/x", "1")], "symbolic link"),
        (vec![file("f", "1"), file("f/x", "1")], "not a directory"),
        (vec![link("l", "etc/shadow")], "not in the image"),
        (vec![directory("d"), link("l", "d")], "directory"),
        (vec![symlink("s", "/etc"), link("l", "s/shadow")], "not in the image"),
        (vec![file("a", "1"), link("a", "a")], "itself"),
        (vec![file("", "1")], "root"),
    ] {
        let error = folded(&[layer]).unwrap_err().to_string();
        assert!(error.contains(reason) && error.contains("layer sha256:"), "{error}");
    }
}

/// What a fold must give, told without a tree: every path with its file's content, `None` for a directory.
fn model(layers: &[Vec<LayerEntry>]) -> BTreeMap<String, Option<ContentHash>> {
    let mut paths: BTreeMap<String, Option<ContentHash>> = BTreeMap::new();
    let text = |path: &EntryPath| String::from_utf8(path.as_bytes().to_vec()).unwrap();
    let below = |path: &str, other: &str| other.starts_with(&format!("{path}/"));
    for layer in layers {
        for entry in layer {
            let path = text(&entry.path);
            match entry.change {
                Change::Whiteout => paths.retain(|other, _| *other != path && !below(&path, other)),
                Change::Opaque => paths.retain(|other, _| !below(&path, other)),
                _ => {}
            }
        }
        for entry in layer {
            let path = text(&entry.path);
            if let Change::Put { node, .. } = &entry.change {
                let content = match node {
                    Node::File { sha256, .. } => Some(*sha256),
                    _ => None,
                };
                if content.is_some() {
                    paths.retain(|other, _| !below(&path, other));
                }
                for (slash, _) in path.match_indices('/') {
                    paths.entry(path[..slash].to_owned()).or_insert(None);
                }
                paths.insert(path, content);
            }
        }
    }
    paths
}

/// Files are named `f*` and directories `d*`, so that no file stands where a directory must be.
fn any_entry() -> impl Strategy<Value = LayerEntry> {
    let directory_path = "d[ab](/d[ab]){0,2}";
    let file_path = (directory_path, "f[ab]").prop_map(|(directory, name)| format!("{directory}/{name}"));
    prop_oneof![
        (file_path.clone(), "[xyz]").prop_map(|(path, content)| file(&path, &content)),
        directory_path.prop_map(|path| directory(&path)),
        file_path.prop_map(|path| change(&path, Change::Whiteout)),
        directory_path.prop_map(|path| change(&path, Change::Whiteout)),
        directory_path.prop_map(|path| change(&path, Change::Opaque)),
    ]
}

proptest! {
    #[test]
    fn a_fold_is_what_the_model_says(layers in prop::collection::vec(prop::collection::vec(any_entry(), 0..12), 1..5)) {
        let entries = folded(&layers).unwrap();
        let got: BTreeMap<String, Option<ContentHash>> = entries
            .iter()
            .filter(|folded| !folded.entry.path.is_root())
            .map(|folded| {
                let content = match folded.entry.node {
                    Node::File { sha256, .. } => Some(sha256),
                    _ => None,
                };
                (String::from_utf8(folded.entry.path.as_bytes().to_vec()).unwrap(), content)
            })
            .collect();
        prop_assert_eq!(got, model(&layers));
    }
}
