//! The tree of a real image against the one that umoci unpacks.

#[path = "support/layout.rs"]
mod layout;
#[path = "support/tree.rs"]
mod trees;

use layout::{Lab, Layout, Tar, gzip, plain};
use std::path::PathBuf;
use std::process::Command;
use trees::{assert_same, packages, told, tree};

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

/// The mark of a whiteout makes its name longer than any that a file system keeps.
#[test]
fn whiteouts_of_long_names() {
    let names: Vec<String> = [251, 252, 255].map(|length| format!("d/{}", "n".repeat(length))).into();
    let lower = names.iter().fold(Tar::default().directory("d").file("d/kept", ""), |tar, name| {
        tar.pax(&[("path", name.as_bytes())]).file("long", "x")
    });
    let upper = names.iter().fold(Tar::default(), |tar, name| {
        tar.pax(&[("path", name.replace("d/", "d/.wh.").as_bytes())]).file("long", "")
    });
    assert_as_umoci(&[gzip(&lower.end()), plain(upper.end())]);
}

/// As ko, kaniko and the builders of Java images write their layers.
#[test]
fn names_from_the_root() {
    let base = Tar::default().directory("usr").file("usr/lib", "l").file("usr/old", "o").directory("/d");
    let upper = Tar::default()
        .directory("/")
        .directory("/ko-app")
        .file("/ko-app/name", "n")
        .file("//ko-app//other", "o")
        .hard_link("ko-app/name-too", "/ko-app/name")
        .hard_link("/usr/lib-too", "/usr/lib")
        .file("/usr/.wh.old", "")
        .file("/d/.wh..wh..opq", "")
        .file("./d/new", "")
        .symlink("/link", "/ko-app/name");
    assert_as_umoci(&[gzip(&base.file("/d/old", "x").end()), plain(upper.end())]);
}

#[test]
fn a_tree_whose_layers_hide_and_bring_back() {
    let base = packages(&["coreutils", "perl-base"]);
    assert_as_umoci(&[plain(base), gzip(&changes()), gzip(&again())]);
}
