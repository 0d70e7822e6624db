//! Images made to cost: each is refused with the store as before, or taken, in little memory either way.

mod fault_rig {
    pub mod snapshot;
}
#[path = "support/layout.rs"]
mod layout;

use fault_rig::snapshot::{difference, snapshot};
use layout::{Blob, Entry, Lab, Layout, Tar, digest, gzip, plain};
use serde_json::json;
use std::io::{Read, Write};
use std::path::Path;
use std::process::Command;

/// The importer may need this much for any image, in KiB.
const PEAK: u64 = 64 << 10;

/// Runs the importer on a source; returns its exit status, its error and its peak of memory in KiB.
fn import(lab: &Lab, source: &Path, limits: &str) -> (u64, String, u64) {
    let measure = "import os, resource, subprocess, sys
status = subprocess.call(sys.argv[2:], stdin=os.open(sys.argv[1], os.O_RDONLY))
print()
print(status, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)";
    let output = Command::new("python3")
        .args(["-c", measure])
        .arg(source)
        .args([env!("CARGO_BIN_EXE_sampan-import"), "--limits", limits, "--store"])
        .arg(lab.store())
        .output()
        .unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    let told = String::from_utf8(output.stdout).unwrap();
    let numbers: Vec<u64> =
        told.lines().last().unwrap().split(' ').map(|word| word.parse().unwrap()).collect();
    (numbers[0], error, numbers[1])
}

/// Imports a source that must be refused; returns the error and the peak of memory in KiB.
fn refused(lab: &Lab, source: &Path, limits: &str) -> (String, u64) {
    lab.import(&Layout::write(&lab.path("good"), &[plain(Tar::default().file("a", "x").end())]).path, "good");
    let before = snapshot(&lab.store());
    let (status, error, peak) = import(lab, source, limits);
    assert_eq!((status, error.lines().count()), (1, 1), "{error}");
    let after = snapshot(&lab.store());
    assert!(after == before, "{error}\n{}", difference(&before, &after));
    (error, peak)
}

fn refused_layer(layer: Blob, limits: &str, reason: &str) {
    let lab = Lab::new();
    let diff_id = layer.diff_id.clone();
    let (error, peak) = refused(&lab, &Layout::write(&lab.path("evil"), &[layer]).path, limits);
    assert!(error.contains(reason) && error.contains(&diff_id), "{error} is not about {reason}");
    assert!(peak < PEAK, "{peak} KiB: {error}");
}

/// Bytes that go through a packer and a hash at the same time.
struct Bomb<W> {
    packer: W,
    hasher: sha2::Sha256,
}

impl<W: Write> Bomb<W> {
    fn write(&mut self, bytes: &[u8]) {
        use sha2::Digest as _;
        self.hasher.update(bytes);
        self.packer.write_all(bytes).unwrap();
    }

    fn diff_id(&self) -> String {
        use sha2::Digest as _;
        let hex: String = self.hasher.clone().finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        format!("sha256:{hex}")
    }
}

/// A file of `megabytes` of zeros, packed by `packer`.
fn zeros<W: Write>(packer: W, megabytes: usize) -> Bomb<W> {
    use sha2::Digest as _;
    let size = (megabytes << 20).to_string();
    let head = Tar::default().pax(&[("size", size.as_bytes())]);
    let head = head.entry(&Entry { name: "zeros", ..Entry::default() });
    let mut bomb = Bomb { packer, hasher: sha2::Sha256::new() };
    bomb.write(&head.0);
    let chunk = vec![0; 1 << 20];
    (0..megabytes).for_each(|_| bomb.write(&chunk));
    bomb
}

#[test]
fn a_gzip_bomb_ends_at_the_ratio() {
    let bomb = zeros(flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best()), 48);
    let diff_id = bomb.diff_id();
    let bytes = bomb.packer.finish().unwrap();
    assert!(bytes.len() < 64 << 10, "a thousand to one");
    let media_type = "application/vnd.oci.image.layer.v1.tar+gzip";
    refused_layer(Blob { bytes, media_type, diff_id }, &limits("ratio_free", 16 << 20), "limit \"ratio\"");
}

#[test]
fn a_zstd_bomb_ends_at_the_ratio() {
    let bomb = zeros(::zstd::Encoder::new(Vec::new(), 3).unwrap(), 512);
    let diff_id = bomb.diff_id();
    let bytes = bomb.packer.finish().unwrap();
    assert!(bytes.len() < 64 << 10, "ten thousand to one");
    let media_type = "application/vnd.oci.image.layer.v1.tar+zstd";
    refused_layer(Blob { bytes, media_type, diff_id }, "", "limit \"ratio\"");
}

/// Limits of the defaults with one changed, as the worker takes them.
fn limits(key: &str, value: u64) -> String {
    let mut limits = serde_json::to_value(sampan::image::limits::Limits::default()).unwrap();
    limits[key] = json!(value);
    limits.to_string()
}

fn many_entries(count: usize) -> Vec<u8> {
    (0..count).fold(Tar::default(), |tar, number| tar.file(&format!("d{}/{number}", number % 97), "")).end()
}

#[test]
fn a_layer_of_very_many_entries_ends_at_the_limit() {
    refused_layer(plain(many_entries(50_001)), &limits("entries", 50_000), "limit \"entries\"");
}

#[test]
fn an_image_of_very_many_entries_is_taken_in_little_memory() {
    let lab = Lab::new();
    let lower = (0..100_000).fold(Tar::default(), |tar, number| {
        tar.file(
            &format!("usr/lib/package-{}/file-{number}", number / 300),
            if number % 9 == 0 { "same" } else { "" },
        )
    });
    let upper = (0..50_000).fold(Tar::default(), |tar, number| match number % 3 {
        0 => tar.hard_link(
            &format!("links/{number}"),
            &format!("usr/lib/package-{}/file-{number}", number / 300),
        ),
        1 => tar.file(&format!("usr/lib/package-{}/.wh.file-{number}", number / 300), ""),
        _ => tar.file(&format!("more/{number}"), "more"),
    });
    let layout = Layout::write(&lab.path("many"), &[gzip(&lower.end()), gzip(&upper.end())]);
    let (status, error, peak) = import(&lab, &layout.path, "");
    assert_eq!((status, error.as_str()), (0, ""));
    assert!(peak < PEAK, "{peak} KiB");
}

#[test]
fn layers_share_one_limit_of_entries() {
    let lab = Lab::new();
    let layer =
        |name: &str| gzip(&(0..60).fold(Tar::default(), |tar, n| tar.file(&format!("{name}{n}"), "")).end());
    let layout = Layout::write(&lab.path("evil"), &[layer("a"), layer("b")]);
    let (error, _) = refused(&lab, &layout.path, &limits("entries", 100));
    assert!(error.contains("limit \"entries\""), "{error}");
}

#[test]
fn an_image_of_too_many_layers_is_not_begun() {
    let lab = Lab::new();
    let layers: Vec<Blob> = (0..5).map(|n| plain(Tar::default().file(&n.to_string(), "x").end())).collect();
    let layout = Layout::write(&lab.path("evil"), &layers);
    let (error, _) = refused(&lab, &layout.path, &limits("layers", 4));
    assert!(error.contains("has 5 layers, 4 is the limit"), "{error}");
}

#[test]
fn many_notices_are_told_in_few_words() {
    let lab = Lab::new();
    let device = |tar: Tar, number: usize| {
        tar.entry(&Entry { name: &format!("dev/{number}"), typeflag: b'3', ..Entry::default() })
    };
    let layout = Layout::write(&lab.path("l"), &[gzip(&(0..2_000).fold(Tar::default(), device).end())]);
    let report = lab.json(&["import", layout.path.to_str().unwrap(), "--name", "web"]);
    let notices = report["images"][0]["notices"].as_array().unwrap();
    assert_eq!((notices.len(), notices[50].as_str().unwrap()), (51, "and 1950 more, which are not listed"));
}

#[test]
fn deep_and_long_names_end_at_the_limit() {
    let deep = format!("{}x", "d/".repeat(300));
    let long = format!("{}x", "l".repeat(255));
    let path = format!("{}x", "0123456789/".repeat(400));
    for (name, reason) in [(&deep, "limit \"depth\""), (&long, "limit \"name\""), (&path, "\"depth\"")] {
        let tar = Tar::default().pax(&[("path", name.as_bytes())]).file("x", "");
        refused_layer(plain(tar.end()), "", reason);
    }
    let path = format!("{}/x", vec!["n".repeat(250); 17].join("/"));
    refused_layer(
        plain(Tar::default().pax(&[("path", path.as_bytes())]).file("x", "").end()),
        "",
        "limit \"path\"",
    );
}

#[test]
fn extensions_end_at_the_limit() {
    let value = vec![b'x'; 64 << 20];
    refused_layer(
        plain(Tar::default().pax(&[("comment", &value)]).file("x", "").end()),
        "",
        "limit \"extension\"",
    );
    let name = Entry { name: "././@LongLink", typeflag: b'L', body: &value, ..Entry::default() };
    refused_layer(plain(Tar::default().entry(&name).file("x", "").end()), "", "limit \"extension\"");
    let attribute = vec![b'x'; (64 << 10) + 1];
    let tar = Tar::default().pax(&[("SCHILY.xattr.user.x", &attribute)]).file("x", "");
    refused_layer(plain(tar.end()), "", "limit \"attribute\"");
}

#[test]
fn sizes_without_bytes_behind_them_cost_nothing() {
    for size in ["1099511627776", "9223372036854775807", "18446744073709551615"] {
        let lab = Lab::new();
        let tar = Tar::default().pax(&[("size", size.as_bytes())]).file("huge", "x");
        let (error, peak) = refused(&lab, &Layout::write(&lab.path("evil"), &[plain(tar.0)]).path, "");
        assert!(error.contains("entry \"huge\"") && peak < PEAK, "{peak} KiB: {error}");
    }
    let holes = [
        ("GNU.sparse.major", &b"1"[..]),
        ("GNU.sparse.minor", b"0"),
        ("GNU.sparse.realsize", b"1099511627776"),
    ];
    let lab = Lab::new();
    let tar = Tar::default().pax(&holes).file("hole", "1\n0\n512\n").end();
    let (error, peak) = refused(&lab, &Layout::write(&lab.path("evil"), &[plain(tar)]).path, "");
    assert!(error.contains("layer sha256:") && peak < PEAK, "{peak} KiB: {error}");
}

#[test]
fn layers_share_one_limit_of_holes() {
    let lab = Lab::new();
    let layer = |name: &str| {
        let records =
            [("GNU.sparse.major", &b"1"[..]), ("GNU.sparse.minor", b"0"), ("GNU.sparse.realsize", b"600000")];
        // No part has data, by the map in front of it.
        let map = format!("1\n600000\n0\n{}", "\0".repeat(501));
        plain(Tar::default().pax(&records).file(name, &map).end())
    };
    let one = Layout::write(&lab.path("one"), &[layer("a")]);
    assert_eq!(import(&lab, &one.path, &limits("holes", 1_000_000)).0, 0);
    let two = Layout::write(&lab.path("two"), &[layer("b"), layer("c")]);
    let (error, _) = refused(&lab, &two.path, &limits("holes", 1_000_000));
    assert!(error.contains("limit \"holes\""), "{error}");
}

#[test]
fn documents_that_nest_and_grow_are_refused_unread() {
    let lab = Lab::new();
    let layout = Layout::write(&lab.path("evil"), &[plain(Tar::default().file("a", "x").end())]);
    for (text, reason) in [
        ([b"[".repeat(200_000), b"]".repeat(200_000)].concat(), "recursion limit"),
        ([br#"{"a":"#.repeat(200_000), b"1".to_vec(), b"}".repeat(200_000)].concat(), "recursion limit"),
        (b" ".repeat(64 << 20), "4 MiB"),
    ] {
        layout.index(&text);
        let (error, peak) = refused(&lab, &layout.path, "");
        assert!(error.contains(reason) && peak < PEAK, "{peak} KiB: {error}");
    }
}

#[test]
fn documents_of_very_many_values_are_refused_in_little_memory() {
    let lab = Lab::new();
    let layout = Layout::write(&lab.path("evil"), &[plain(Tar::default().file("a", "x").end())]);
    for unit in ["0,", "[],", r#"{"":0},"#, r#""","#] {
        let text =
            format!(r#"{{"schemaVersion":2,"manifests":[],"x":[{}0]}}"#, unit.repeat((3 << 20) / unit.len()));
        layout.index(text.as_bytes());
        let (error, peak) = refused(&lab, &layout.path, "");
        assert!(error.contains("more than 131072 values") && peak < PEAK, "{peak} KiB: {error}");
    }
}

#[test]
fn many_images_of_large_documents_are_refused_in_little_memory() {
    let lab = Lab::new();
    let layout = Layout::write(&lab.path("evil"), &[plain(Tar::default().file("a", "x").end())]);
    let mut images = Vec::new();
    for number in 0..20 {
        let label = json!({ "note": number.to_string().repeat((3 << 20) / 2) });
        let layer = plain(Tar::default().file("a", "x").end());
        Layout::write_with(&layout.path, &[layer], &mut |documents| {
            documents.config["config"]["Labels"] = label.clone();
        });
        let index = std::fs::read(layout.path.join("index.json")).unwrap();
        images.push(serde_json::from_slice::<serde_json::Value>(&index).unwrap()["manifests"][0].clone());
    }
    let index = json!({ "schemaVersion": 2, "manifests": images }).to_string();
    std::fs::write(layout.path.join("index.json"), index).unwrap();
    let (error, peak) = refused(&lab, &layout.path, "");
    assert!(error.contains("larger than 24 MiB") && peak < PEAK, "{peak} KiB: {error}");
}

#[test]
fn an_archive_of_long_names_and_links_is_indexed_in_little_memory() {
    let lab = Lab::new();
    let long = |name: &str, typeflag: u8, text: &[u8]| {
        let long = Entry { name: "././@LongLink", typeflag: b'K', body: text, ..Entry::default() };
        Tar::default().entry(&long).entry(&Entry { name, typeflag, link: "x", ..Entry::default() }).0
    };
    for (name, text) in [("symlinks", vec![b'x'; 1 << 20]), ("hard links", b"name/".repeat(700))] {
        let archive = lab.path(name);
        let mut file = std::io::BufWriter::new(std::fs::File::create(&archive).unwrap());
        file.write_all(&Tar::default().directory("usr").0).unwrap();
        for number in 0..(128 << 20) / text.len() {
            let typeflag = if name == "symlinks" { b'2' } else { b'1' };
            file.write_all(&long(&format!("l{number}"), typeflag, &text)).unwrap();
        }
        file.write_all(&[0; 1024]).unwrap();
        drop(file);
        let (error, peak) = refused(&lab, &archive, "");
        assert!(error.contains("entry \"l0\"") && peak < PEAK, "{peak} KiB: {error}");
    }
}

const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// Writes an index as a blob, and returns a descriptor of it.
fn index(layout: &Layout, manifests: &serde_json::Value) -> serde_json::Value {
    let text = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": manifests }).to_string();
    layout.blob(text.as_bytes());
    json!({ "mediaType": INDEX, "digest": digest(text.as_bytes()), "size": text.len() })
}

fn root_index(layout: &Layout, descriptor: &serde_json::Value) {
    let text = json!({ "schemaVersion": 2, "manifests": [descriptor] }).to_string();
    std::fs::write(layout.path.join("index.json"), text).unwrap();
}

#[test]
fn indexes_that_are_deep_wide_or_lead_to_themselves() {
    let lab = Lab::new();
    let layout = Layout::write(&lab.path("evil"), &[plain(Tar::default().file("a", "x").end())]);
    let text = std::fs::read(layout.path.join("index.json")).unwrap();
    let image = serde_json::from_slice::<serde_json::Value>(&text).unwrap()["manifests"][0].clone();
    let deep = (0..1000).fold(image, |descriptor, _| index(&layout, &json!([descriptor])));
    root_index(&layout, &deep);
    assert!(refused(&lab, &layout.path, "").0.contains("too deep"));
    let other = json!({ "mediaType": INDEX, "digest": digest(b"none"), "size": 4,
        "platform": { "os": "plan9", "architecture": "none" } });
    root_index(&layout, &index(&layout, &json!(vec![other.clone(); 15_000])));
    let (error, peak) = refused(&lab, &layout.path, "");
    assert!(error.contains("holds no image for") && peak < PEAK, "{peak} KiB: {error}");
    root_index(&layout, &index(&layout, &json!(vec![other; 100_000])));
    assert!(refused(&lab, &layout.path, "").0.contains("4 MiB"));
    // A document cannot hold its own digest; one that is stored under a digest that it names is not what it says.
    let liar = digest(b"the same again");
    let round =
        json!({ "schemaVersion": 2, "manifests": [{ "mediaType": INDEX, "digest": liar, "size": 14 }] });
    std::fs::write(layout.blob_path(&liar), round.to_string()).unwrap();
    root_index(&layout, &json!({ "mediaType": INDEX, "digest": liar, "size": round.to_string().len() }));
    assert!(refused(&lab, &layout.path, "").0.contains("digest is wrong"));
}

#[test]
fn a_packed_archive_around_the_image_is_bounded_too() {
    let lab = Lab::new();
    let archive = lab.path("evil.tar.zst");
    let zeros = std::io::repeat(0).take(300 << 20);
    ::zstd::stream::copy_encode(zeros, std::fs::File::create(&archive).unwrap(), 3).unwrap();
    let (error, peak) = refused(&lab, &archive, "");
    assert!(peak < PEAK, "{peak} KiB: {error}");
}

#[test]
fn settings_of_the_host_hold_and_are_read_strictly() {
    let lab = Lab::new();
    let layout = Layout::write(&lab.path("l"), &[plain(Tar::default().file("a", "x").file("b", "x").end())]);
    let settings = lab.path("root/etc/sampan/sampan.toml");
    std::fs::create_dir_all(settings.parent().unwrap()).unwrap();
    let root = lab.path("root");
    let import = ["--root", root.to_str().unwrap(), "import", layout.path.to_str().unwrap(), "--name", "web"];
    std::fs::write(&settings, "[import]\nentries = 1\n").unwrap();
    assert!(lab.fails(&import).contains("limit \"entries\" of sampan.toml(5)"));
    std::fs::write(&settings, "[import]\nentires = 1\n").unwrap();
    let error = String::from_utf8(lab.sampanctl(&import).stderr).unwrap();
    assert!(error.contains("sampan.toml:2:1") && error.contains("did you mean \"entries\"?"), "{error}");
    std::fs::write(&settings, "[import]\nentries = 2\n").unwrap();
    lab.succeeds(&import);
}
