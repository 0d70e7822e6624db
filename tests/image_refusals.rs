//! What bad images get: one line that names the layer and the entry, and a store that is as before, to the byte.

mod fault_rig {
    pub mod snapshot;
}
#[path = "support/layout.rs"]
mod layout;

use fault_rig::snapshot::{difference, snapshot};

use layout::{Blob, Entry, Lab, Layout, Tar, digest, gzip, plain, zstd};
use serde_json::json;
use std::path::Path;

/// Imports what must be refused into a store that has an image, which must be all that is left.
fn refused(lab: &Lab, source: &Path) -> String {
    lab.import(
        &Layout::write(&lab.path("before"), &[plain(Tar::default().file("a", "x").end())]).path,
        "before",
    );
    let before = snapshot(&lab.store());
    let error = lab.fails(&["import", source.to_str().unwrap(), "--name", "evil"]);
    let after = snapshot(&lab.store());
    assert!(before == after, "{error}\n{}", difference(&before, &after));
    lab.assert_sound();
    error
}

/// The error of an image of one layer, which must name that layer and `entry`.
fn refused_layer(tar: Tar, entry: &str) -> String {
    let lab = Lab::new();
    let layer = gzip(&tar.end());
    let diff_id = layer.diff_id.clone();
    let error = refused(&lab, &Layout::write(&lab.path("evil"), &[layer]).path);
    assert!(error.contains(&diff_id) && error.contains(&format!("entry \"{entry}\"")), "{error}");
    error
}

#[test]
fn layers_that_leave_their_root() {
    let tar = Tar::default;
    for (layer, entry, reason) in [
        (tar().file("../x", "x"), "../x", "\"..\""),
        (tar().file("a/../../x", "x"), "a/../../x", "\"..\""),
        (tar().file("/../etc/passwd", "x"), "/../etc/passwd", "\"..\""),
        (tar().symlink("s", "/etc").file("s/passwd", "x"), "s/passwd", "symbolic link"),
        (tar().symlink("s", "/etc").file("/s/passwd", "x"), "s/passwd", "symbolic link"),
        (tar().symlink("s", "../..").directory("s/d"), "s/d", "symbolic link"),
        (tar().hard_link("l", "/etc/shadow"), "l", "not in the image"),
        (tar().symlink("s", "/etc").hard_link("l", "/s/shadow"), "l", "not in the image"),
        (tar().hard_link("l", "../../etc/shadow"), "l", "\"..\""),
        (tar().hard_link("l", "etc/shadow"), "l", "not in the image"),
        (tar().symlink("s", "/etc").hard_link("l", "s/shadow"), "l", "not in the image"),
        (tar().file(".wh.", ""), ".wh.", "whiteout"),
        (tar().file("a/.wh...", ""), "a/.wh...", "whiteout"),
        (tar().file(".wh.d/x", ""), ".wh.d/x", "whiteout"),
        (tar().pax(&[("path", b"../pax")]).file("a", "x"), "../pax", "\"..\""),
    ] {
        let error = refused_layer(layer, entry);
        assert!(error.contains(reason), "{error} is not about {reason}");
    }
    assert!(!Path::new("/etc/sampan-was-here").exists());
}

/// More than a pipe holds: who reports a name must not wait for a reader, nor a reader be flooded.
#[test]
fn names_as_long_as_their_authors_like() {
    let long = format!("../{}", "x".repeat(70 << 10));
    let shown = format!("{}…", &long[..256]);
    let named = || Tar::default().pax(&[("path", long.as_bytes())]).file("a", "x");
    let linked = || Tar::default().pax(&[("linkpath", long.as_bytes())]).hard_link("l", "x");
    let missing = || Tar::default().pax(&[("linkpath", &long.as_bytes()[3..])]).hard_link("l", "x");
    for (layer, entry) in [(named(), shown.as_str()), (linked(), "l"), (missing(), "l")] {
        let error = refused_layer(layer, entry);
        assert!(error.len() < 1024, "{} bytes", error.len());
    }
    let lab = Lab::new();
    let evil = |it: &mut layout::Documents| it.manifest["layers"][0]["mediaType"] = json!(long);
    let error = refused(&lab, &Layout::write_with(&lab.path("evil"), &[layer()], &mut { evil }).path);
    assert!(error.contains(&shown) && error.len() < 1024, "{error}");
    let layout = Layout::write(&lab.path("index"), &[layer()]);
    let index = json!({ "schemaVersion": 2, "mediaType": long, "manifests": [] });
    std::fs::write(layout.path.join("index.json"), index.to_string()).unwrap();
    let error = refused(&lab, &layout.path);
    assert!(error.contains("../xxx") && error.len() < 2048, "{error}");
}

#[test]
fn bodies_and_owners_that_readers_disagree_on() {
    let hidden = Tar::default().file("hidden", "").0;
    for typeflag in *b"1235" {
        let entry = Entry { name: "e", link: "x", typeflag, body: &hidden, ..Entry::default() };
        assert!(refused_layer(Tar::default().entry(&entry), "e").contains("body"));
    }
    for (tar, reason) in [
        (Tar::default().entry(&Entry { name: "e", owner: &[0xff; 8], ..Entry::default() }), "32 bits"),
        (Tar::default().pax(&[("uid", b"4294967295")]).file("e", ""), "32 bits"),
        (Tar::default().pax(&[("gid", b"4294967296")]).file("e", ""), "32 bits"),
        (Tar::default().pax(&[("size", b"1x")]).file("e", ""), "size"),
        (Tar::default().pax(&[("GNU.sparse.major", b"1")]).file("e", ""), "sparse"),
        (Tar::default().pax(&[("GNU.sparse.size", b"99999999999999")]).file("e", ""), "limit \"layer_size\""),
        (Tar::default().pax(&[("GNU.sparse.size", b"99999999999")]).file("e", ""), "limit \"holes\""),
    ] {
        let lab = Lab::new();
        let error = refused(&lab, &Layout::write(&lab.path("evil"), &[plain(tar.end())]).path);
        assert!(error.contains("layer sha256:") && error.contains(reason), "{error}");
    }
}

#[test]
fn a_pax_size_hides_nothing() {
    let lab = Lab::new();
    let mut inner = Tar::default().file("hidden", "x").0;
    let length = inner.len().to_string();
    let mut tar = Tar::default()
        .pax(&[("size", length.as_bytes())])
        .entry(&Entry { name: "outer", ..Entry::default() });
    tar.0.append(&mut inner);
    lab.import(&Layout::write(&lab.path("l"), &[plain(tar.end())]).path, "web");
    let files = lab.json(&["files", "web"]);
    let paths: Vec<_> = files.as_array().unwrap().iter().map(|file| file["path"].as_str().unwrap()).collect();
    assert_eq!(paths, ["/", "/outer"]);
}

fn layer() -> Blob {
    gzip(&Tar::default().file("a", "content").end())
}

#[test]
fn every_promise_is_checked() {
    type Change = fn(&mut layout::Documents);
    let changes: [(Change, &str); 8] = [
        (|it| it.config["rootfs"]["diff_ids"][0] = json!(digest(b"")), "unpacked: the digest is wrong"),
        (|it| it.config["rootfs"]["diff_ids"] = json!([]), "lists 0 layers, the manifest 1"),
        (|it| it.manifest["layers"][0]["size"] = json!(1), "size is wrong"),
        (|it| it.manifest["layers"][0]["digest"] = json!(digest(b"")), "there is no"),
        (|it| it.manifest["layers"][0]["digest"] = json!("sha256:../../x"), "not a digest"),
        (|it| it.manifest["layers"][0]["mediaType"] = json!("text/plain"), "media type"),
        (|it| it.manifest["manifests"] = json!([]), "both layers and manifests"),
        (|it| it.config["config"]["Cmd"] = json!(["a\0b"]), "NUL"),
    ];
    for (mut change, reason) in changes {
        let lab = Lab::new();
        let layout = Layout::write_with(&lab.path("evil"), &[layer()], &mut change);
        let error = refused(&lab, &layout.path);
        assert!(error.contains(reason), "{error} is not about {reason}");
    }
}

#[test]
fn a_flipped_byte_anywhere_is_found() {
    for name in ["layer", "config", "manifest"] {
        let lab = Lab::new();
        let layer = layer();
        let layer_digest = digest(&layer.bytes);
        let layout = Layout::write(&lab.path("evil"), &[layer]);
        let index: serde_json::Value =
            serde_json::from_slice(&std::fs::read(layout.path.join("index.json")).unwrap()).unwrap();
        let manifest_digest = index["manifests"][0]["digest"].as_str().unwrap();
        let manifest = layout.blob_path(manifest_digest);
        let manifest: serde_json::Value = serde_json::from_slice(&std::fs::read(manifest).unwrap()).unwrap();
        let flipped = match name {
            "layer" => layer_digest.as_str(),
            "config" => manifest["config"]["digest"].as_str().unwrap(),
            _ => manifest_digest,
        };
        let path = layout.blob_path(flipped);
        let mut bytes = std::fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(&path, bytes).unwrap();
        let error = refused(&lab, &layout.path);
        assert!(error.contains("digest is wrong") && error.contains(flipped), "{error}");
    }
}

#[test]
fn documents_that_parsers_disagree_on() {
    let lab = Lab::new();
    let layout = Layout::write(&lab.path("evil"), &[layer()]);
    layout.index(br#"{"schemaVersion":2,"layers":[],"layers":[]}"#);
    assert!(refused(&lab, &layout.path).contains("\"layers\" stands twice"));
    layout.index(&[b"[".repeat(100_000), b"]".repeat(100_000)].concat());
    assert!(refused(&lab, &layout.path).contains("recursion limit"));
    std::fs::write(layout.path.join("index.json"), b" ".repeat(5 << 20)).unwrap();
    assert!(refused(&lab, &layout.path).contains("4 MiB"));
}

#[test]
fn truncated_archives() {
    let lab = Lab::new();
    let layout = Layout::write(&lab.path("good"), &[layer()]);
    let archive = lab.path("archive.tar");
    layout.archive(&archive);
    let bytes = std::fs::read(&archive).unwrap();
    let cut = lab.path("cut.tar");
    for length in [700, 3000, 5000] {
        std::fs::write(&cut, &bytes[..length]).unwrap();
        let error = refused(&lab, &cut);
        assert!(error.contains("truncated") || error.contains("there is no"), "{error}");
    }
    std::fs::write(&cut, b"no archive at all").unwrap();
    assert!(refused(&lab, &cut).contains("truncated"));
    std::fs::write(&cut, &gzip(&bytes).bytes[..900]).unwrap();
    assert!(refused(&lab, &cut).contains("archive"));
}

#[test]
fn truncated_layers() {
    let tar = Tar::default().file("a", &"content ".repeat(10_000)).0;
    let packings: [fn(&[u8]) -> Blob; 2] = [gzip, zstd];
    for pack in packings {
        let lab = Lab::new();
        let mut layer = pack(&tar);
        layer.bytes.truncate(layer.bytes.len() / 2);
        let error = refused(&lab, &Layout::write(&lab.path("evil"), &[layer]).path);
        assert!(error.contains(&format!("layer {}", digest(&tar))), "{error}");
    }
    let lab = Lab::new();
    let error = refused(&lab, &Layout::write(&lab.path("evil"), &[plain(tar[..5000].to_vec())]).path);
    assert!(error.contains("entry \"a\"") && error.contains("truncated"), "{error}");
}

#[test]
fn outer_archives_that_would_write_through_links() {
    let lab = Lab::new();
    let canary = lab.path("canary");
    std::fs::create_dir(&canary).unwrap();
    let target = canary.to_str().unwrap();
    let archive = lab.path("evil.tar");
    for (tar, reason) in [
        (Tar::default().symlink("blobs/evil", target).file("blobs/evil/x", "x"), "lies below"),
        (Tar::default().file("../canary/x", "x"), "\"..\""),
        (Tar::default().symlink("manifest.json", "/etc/hostname"), "neither manifest.json nor"),
        (Tar::default().hard_link("manifest.json", "../../etc/hostname"), "\"..\""),
        (Tar::default().symlink("manifest.json", "manifest.json"), "neither manifest.json nor"),
    ] {
        std::fs::write(&archive, tar.end()).unwrap();
        let error = refused(&lab, &archive);
        assert!(error.contains(reason), "{error} is not about {reason}");
    }
    assert_eq!(std::fs::read_dir(&canary).unwrap().count(), 0);
}

#[test]
fn a_bomb_is_stopped() {
    let lab = Lab::new();
    let zeros = vec![0; 400 << 20];
    let header =
        Tar::default().pax(&[("size", b"419430400")]).entry(&Entry { name: "zeros", ..Entry::default() });
    let bomb = zstd(&[header.0, zeros].concat());
    let error = refused(&lab, &Layout::write(&lab.path("evil"), &[bomb]).path);
    assert!(error.contains("entry \"zeros\"") && error.contains("far more"), "{error}");
}

#[test]
fn stores_and_sources_that_are_none() {
    let lab = Lab::new();
    assert!(lab.fails(&["import", "/nowhere"]).contains("/nowhere"));
    std::fs::create_dir(lab.path("empty")).unwrap();
    assert!(refused(&lab, &lab.path("empty")).contains("neither"));
    let other = Lab::new();
    std::fs::create_dir(other.store()).unwrap();
    std::fs::write(other.store().join("thesis.txt"), "x").unwrap();
    let layout = Layout::write(&other.path("l"), &[layer()]);
    assert!(other.fails(&["import", layout.path.to_str().unwrap()]).contains("is not an image store"));
}

#[test]
fn the_worker_has_given_up_its_powers_before_it_reads() {
    let lab = Lab::new();
    let mut worker = std::process::Command::new(env!("CARGO_BIN_EXE_sampan-import"))
        .arg("--store")
        .arg(lab.store())
        .stdin(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    // The lock is the first thing that it does when it is confined; then it waits for us.
    while !lab.store().join("lock").exists() {
        assert!(worker.try_wait().unwrap().is_none());
    }
    let proc = |name: &str| std::fs::read_to_string(format!("/proc/{}/{name}", worker.id())).unwrap();
    let (status, network) = (proc("status"), proc("net/dev"));
    let field = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().to_owned()
    };
    // CHOWN, DAC_OVERRIDE, DAC_READ_SEARCH, FOWNER, FSETID, SETFCAP: bits 0 to 4 and 31, capability.h.
    for set in ["CapBnd", "CapPrm", "CapEff"] {
        assert_eq!(field(set), "000000008000001f", "{set}");
    }
    assert_eq!(field("NoNewPrivs"), "1");
    assert_eq!(
        network.lines().skip(2).filter(|line| !line.trim_start().starts_with("lo:")).count(),
        0,
        "{network}"
    );
    drop(worker.stdin.take());
    assert_eq!(worker.wait().unwrap().code(), Some(1));
}
