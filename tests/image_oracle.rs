//! The tree of a real image against the one that umoci unpacks.

#[path = "support/layout.rs"]
mod layout;

use base64::Engine as _;
use layout::{Lab, Layout, Tar, gzip, plain};
use std::collections::BTreeMap;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;

/// All that a container can see of a file.
#[derive(Debug, Clone, PartialEq)]
struct Seen {
    kind: char,
    mode: u32,
    uid: u32,
    gid: u32,
    content: String,
    link: Option<String>,
    /// Nanoseconds.
    mtime: i64,
    xattrs: BTreeMap<String, Vec<u8>>,
    hard_link: Option<String>,
}

type Tree = BTreeMap<String, Seen>;

/// Reads a tree from disk; `base` is what its ids are shifted by.
fn tree(root: &Path, base: u32) -> Tree {
    let mut found = Vec::new();
    let mut directories = vec![root.to_owned()];
    while let Some(path) = directories.pop() {
        found.push(path.clone());
        for entry in std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap()) {
            match entry.file_type().unwrap().is_dir() {
                true => directories.push(entry.path()),
                false => found.push(entry.path()),
            }
        }
    }
    found.sort_by(|one, other| one.as_os_str().as_bytes().cmp(other.as_os_str().as_bytes()));
    let mut firsts: BTreeMap<u64, Vec<String>> = BTreeMap::new();
    let name = |path: &Path| format!("/{}", path.strip_prefix(root).unwrap().display());
    for path in &found {
        let metadata = std::fs::symlink_metadata(path).unwrap();
        if !metadata.is_dir() {
            firsts.entry(metadata.ino()).or_default().push(name(path));
        }
    }
    let group = |ino: u64| firsts.get(&ino).filter(|names| names.len() > 1).map(|names| names[0].clone());
    found.iter().map(|path| (name(path), seen(path, base, &group))).collect()
}

fn seen(path: &Path, base: u32, group: &dyn Fn(u64) -> Option<String>) -> Seen {
    let metadata = std::fs::symlink_metadata(path).unwrap();
    let kind = metadata.file_type();
    let kind = match () {
        () if kind.is_dir() => 'd',
        () if kind.is_symlink() => 'l',
        () if kind.is_fifo() => 'p',
        () => 'f',
    };
    let content = match kind {
        'f' => layout::digest(&std::fs::read(path).unwrap()),
        _ => String::new(),
    };
    Seen {
        kind,
        mode: metadata.mode() & 0o7777,
        uid: metadata.uid() - base,
        gid: metadata.gid() - base,
        content,
        link: std::fs::read_link(path).ok().map(|link| link.display().to_string()),
        mtime: metadata.mtime() * 1_000_000_000 + metadata.mtime_nsec(),
        xattrs: attributes(path, base),
        hard_link: group(metadata.ino()),
    }
}

fn attributes(path: &Path, base: u32) -> BTreeMap<String, Vec<u8>> {
    let mut names = [0; 4096];
    let length = rustix::fs::llistxattr(path, &mut names[..]).unwrap();
    let names = names[..length].split(|byte| *byte == 0).filter(|name| !name.is_empty());
    let value = |name: &[u8]| {
        let mut value = [0; 4096];
        let name = std::str::from_utf8(name).unwrap();
        let length = rustix::fs::lgetxattr(path, name, &mut value[..]).unwrap();
        let mut value = value[..length].to_vec();
        if name == "security.capability" && base > 0 {
            assert_eq!(value.split_off(20), base.to_le_bytes());
            value[3] = 2;
        }
        (name.to_owned(), value)
    };
    names.map(value).collect()
}

/// Reads what `sampanctl files` says.
fn told(files: &serde_json::Value) -> Tree {
    let text = |value: &serde_json::Value| value.as_str().map(str::to_owned);
    let entry = |file: &serde_json::Value| {
        let xattrs = file["xattrs"].as_object().unwrap().iter();
        let decode = |value: &serde_json::Value| {
            base64::engine::general_purpose::STANDARD.decode(value.as_str().unwrap()).unwrap()
        };
        let seen = Seen {
            kind: file["type"].as_str().unwrap().chars().next().unwrap(),
            mode: u32::from_str_radix(file["mode"].as_str().unwrap(), 8).unwrap(),
            uid: file["uid"].as_u64().unwrap() as u32,
            gid: file["gid"].as_u64().unwrap() as u32,
            content: text(&file["sha256"]).map(|hex| format!("sha256:{hex}")).unwrap_or_default(),
            link: text(&file["link"]),
            mtime: (file["mtime"].as_f64().unwrap() * 1e9) as i64,
            xattrs: xattrs.map(|(name, value)| (name.clone(), decode(value))).collect(),
            hard_link: text(&file["hl"]),
        };
        (text(&file["path"]).unwrap(), seen)
    };
    files.as_array().unwrap().iter().map(entry).collect()
}

/// The files of installed Debian packages as a layer: everything below /usr, with directories.
fn packages(names: &[&str]) -> Vec<u8> {
    let list = Command::new("dpkg").arg("-L").args(names).output().unwrap();
    let list = String::from_utf8(list.stdout).unwrap();
    let paths: Vec<&str> = list
        .lines()
        .filter(|path| path.starts_with("/usr/") && Path::new(path).symlink_metadata().is_ok())
        .collect();
    let mut paths: Vec<&str> = paths.iter().map(|path| &path[1..]).collect();
    paths.sort_unstable();
    paths.dedup();
    assert!(paths.len() > 200, "the packages {names:?} are not installed");
    let mut tar = Command::new("tar");
    tar.args(["--format=pax", "--numeric-owner", "--no-recursion", "-C", "/", "-cf", "-"]);
    let output = tar.args(paths).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// A layer that changes what is below it in every way there is.
fn changes() -> Vec<u8> {
    let capability = [&[1u8, 0, 0, 2, 0, 4, 0, 0][..], &[0; 12]].concat();
    let pax =
        |tar: Tar| tar.pax(&[("SCHILY.xattr.security.capability", &capability), ("mtime", b"1600000000.5")]);
    let tar = Tar::default()
        .directory("./")
        .directory("usr")
        .file("usr/bin/.wh.env", "")
        .file("usr/bin/.wh.no-such-tool", "")
        .file("usr/share/doc/.wh.perl-base", "")
        .directory("opt")
        .file("opt/a", "a")
        .hard_link("opt/b", "opt/a")
        .file("opt/empty", "")
        .hard_link("opt/empty-too", "opt/empty")
        .symlink("opt/link", "/nowhere")
        .hard_link("opt/sort", "usr/bin/sort")
        .entry(&layout::Entry { name: "opt/pipe", typeflag: b'6', mode: 0o620, ..Default::default() })
        .entry(&layout::Entry {
            name: "opt/su",
            mode: 0o4755,
            owner: b"0000041",
            body: b"su",
            ..Default::default()
        })
        .entry(&layout::Entry { name: "tmp", typeflag: b'5', mode: 0o1777, ..Default::default() });
    pax(tar)
        .file("opt/ping", "ping")
        .pax(&[("SCHILY.xattr.user.note", b"hello")])
        .file("opt/noted", "n")
        .end()
}

fn again() -> Vec<u8> {
    let tar = Tar::default().directory("opt").file("opt/.wh..wh..opq", "").file("opt/new", "new");
    tar.directory("usr/share/doc/perl-base")
        .file("usr/share/doc/perl-base/new", "x")
        .directory("usr/bin")
        .end()
}

fn unpack(lab: &Lab, layout: &Layout) -> PathBuf {
    let bundle = lab.path("bundle");
    let image = format!("{}:x", layout.path.display());
    // umoci wants the image to have a name in the layout.
    let index = layout.path.join("index.json");
    let mut text: serde_json::Value = serde_json::from_slice(&std::fs::read(&index).unwrap()).unwrap();
    text["manifests"][0]["annotations"] = serde_json::json!({ "org.opencontainers.image.ref.name": "x" });
    std::fs::write(&index, text.to_string()).unwrap();
    let output = Command::new("umoci").args(["unpack", "--image", &image]).arg(&bundle).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    bundle.join("rootfs")
}

/// `slack` is by how many nanoseconds times may differ: a JSON number has no room for all of them.
fn assert_same(mut ours: Tree, theirs: &Tree, slack: u64) {
    for (path, seen) in &mut ours {
        if let Some(other) = theirs.get(path).filter(|other| other.mtime.abs_diff(seen.mtime) <= slack) {
            seen.mtime = other.mtime;
        }
    }
    let paths: std::collections::BTreeSet<&String> = ours.keys().chain(theirs.keys()).collect();
    for path in paths {
        assert_eq!(ours.get(path), theirs.get(path), "{path}");
    }
}

fn assert_as_umoci(layers: &[layout::Blob]) {
    let lab = Lab::new();
    let layout = Layout::write(&lab.path("layout"), layers);
    let theirs = tree(&unpack(&lab, &layout), 0);
    lab.import(&layout.path, "real");
    assert_same(told(&lab.json(&["files", "real"])), &theirs, 1000);
    assert_same(tree(&lab.rootfs("real"), 2_147_352_576), &theirs, 0);
    lab.assert_sound();
}

#[test]
fn a_tree_of_packages_changed_by_a_layer() {
    let base = packages(&["coreutils", "perl-base", "tar", "gzip", "libc-bin"]);
    assert_as_umoci(&[gzip(&base), plain(changes())]);
}

#[test]
fn a_tree_whose_layers_hide_and_bring_back() {
    let base = packages(&["coreutils", "perl-base"]);
    assert_as_umoci(&[plain(base), gzip(&changes()), gzip(&again())]);
}
