//! Trees as they are on disk and as `sampanctl files` tells them, for comparison with other programs.
#![allow(dead_code, reason = "each test program uses a part")]

use base64::Engine as _;
use sha2::Digest as _;
use std::collections::BTreeMap;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::Path;
use std::process::Command;

/// All that a container can see of a file.
#[derive(Debug, Clone, PartialEq)]
pub struct Seen {
    pub kind: char,
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    pub content: String,
    pub link: Option<String>,
    /// Nanoseconds.
    pub mtime: i64,
    pub xattrs: BTreeMap<String, Vec<u8>>,
    pub hard_link: Option<String>,
}

pub type Tree = BTreeMap<String, Seen>;

/// Reads a tree from disk; `base` is what its ids are shifted by.
pub fn tree(root: &Path, base: u32) -> Tree {
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

pub fn seen(path: &Path, base: u32, group: &dyn Fn(u64) -> Option<String>) -> Seen {
    let metadata = std::fs::symlink_metadata(path).unwrap();
    let kind = metadata.file_type();
    let kind = match () {
        () if kind.is_dir() => 'd',
        () if kind.is_symlink() => 'l',
        () if kind.is_fifo() => 'p',
        () => 'f',
    };
    let content = match kind {
        'f' => digest(&std::fs::read(path).unwrap()),
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

pub fn attributes(path: &Path, base: u32) -> BTreeMap<String, Vec<u8>> {
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
pub fn told(files: &serde_json::Value) -> Tree {
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
pub fn packages(names: &[&str]) -> Vec<u8> {
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

/// `slack` is by how many nanoseconds times may differ: a JSON number has no room for all of them.
pub fn assert_same(mut ours: Tree, theirs: &Tree, slack: u64) {
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

fn digest(bytes: &[u8]) -> String {
    let hex: String = sha2::Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}
