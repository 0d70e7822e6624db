//! What images have done to other importers: nothing outside of the store changes, and what is kept is exact.

mod fault_rig {
    pub mod snapshot;
}
#[path = "support/layout.rs"]
mod layout;

use fault_rig::snapshot::snapshot;
use layout::{Blob, Entry, Lab, Layout, Tar, digest, gzip, plain, zstd};
use serde_json::{Value, json};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

/// A directory that images try to reach, with a file in it.
struct Canary {
    path: PathBuf,
    before: fault_rig::snapshot::Snapshot,
    metadata: (u32, i64, i64),
}

impl Canary {
    fn new(lab: &Lab) -> Self {
        let path = lab.path("canary");
        std::fs::create_dir(&path).unwrap();
        std::fs::write(path.join("file"), "alive").unwrap();
        let before = snapshot(&path);
        let metadata = Self::metadata(&path);
        Self { path, before, metadata }
    }

    fn metadata(path: &Path) -> (u32, i64, i64) {
        let metadata = path.metadata().unwrap();
        (metadata.mode(), metadata.mtime(), metadata.mtime_nsec())
    }

    fn assert_alive(&self) {
        assert!(snapshot(&self.path) == self.before && Self::metadata(&self.path) == self.metadata);
    }
}

fn try_import(lab: &Lab, layers: &[Blob]) -> Result<Value, String> {
    let layout = Layout::write(
        &lab.path(&digest(&layers.iter().flat_map(|it| it.bytes.clone()).collect::<Vec<_>>())),
        layers,
    );
    let output = lab.sampanctl(&["import", layout.path.to_str().unwrap(), "--name", "evil", "--output=json"]);
    match output.status.success() {
        true => Ok(serde_json::from_slice(&output.stdout).unwrap()),
        false => Err(String::from_utf8(output.stderr).unwrap()),
    }
}

fn files(lab: &Lab) -> Vec<String> {
    let files = lab.json(&["files", "evil"]);
    files.as_array().unwrap().iter().map(|file| file["path"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn what_is_left_out_is_told_as_far_as_somebody_reads() {
    let lab = Lab::new();
    let key = format!("SCHILY.xattr.trusted.{}", "k".repeat(600 << 10));
    let layer = |number: usize| {
        let odd = |tar: Tar, entry: usize| {
            let tar = if entry == 0 {
                tar.pax(&[(&key, b"v")])
            } else {
                tar.pax(&[("SCHILY.xattr.trusted.k", b"v")])
            };
            tar.file(&format!("{number}/{entry}"), "")
        };
        gzip(&(0..100).fold(Tar::default(), odd).end())
    };
    let layers: Vec<Blob> = (0..4).map(layer).collect();
    let report = try_import(&lab, &layers).unwrap();
    let notices = report["images"][0]["notices"].as_array().unwrap();
    let last = notices.last().unwrap().as_str().unwrap();
    assert!(
        notices[0].as_str().unwrap().contains("trusted.kkk") && last.contains("more, which are not listed")
    );
    assert!(report.to_string().len() < 16 << 10, "{}", report.to_string().len());
    assert!(lab.succeeds(&["inspect", "evil"]).len() < 16 << 10);
}

/// Without device nodes, which a container gets in /dev only, and without the notes of AUFS.
#[test]
fn what_is_left_out_hides_what_was_there_and_is_linked_to() {
    let lab = Lab::new();
    let device = |tar: Tar, name: &str| tar.entry(&Entry { name, typeflag: b'3', ..Entry::default() });
    let lower = Tar::default().file("x", "1").directory("d").file("d/f", "1").directory("dev").file("y", "1");
    let upper = device(device(device(Tar::default(), "x"), "d"), "dev/null")
        .hard_link("dev/zero", "dev/null")
        .directory(".wh..wh.plnk")
        .file(".wh..wh.plnk/81.2", "linked")
        .file(".wh..wh.aufs", "")
        .hard_link("one", ".wh..wh.plnk/81.2")
        .hard_link("two", "/.wh..wh.plnk/81.2");
    let report = try_import(&lab, &[plain(lower.end()), plain(upper.end())]).unwrap();
    assert_eq!(files(&lab), ["/", "/dev", "/one", "/two", "/y"]);
    let notices = report["images"][0]["notices"].to_string();
    assert!(notices.contains("\\\"dev/null\\\" is a device node"), "{notices}");
    let metadata = |name: &str| lab.rootfs("evil").join(name).metadata().unwrap();
    assert_eq!((metadata("one").ino(), metadata("one").len()), (metadata("two").ino(), 6));
    lab.assert_sound();
}

#[test]
fn links_lead_nowhere_in_whatever_order_they_come() {
    let lab = Lab::new();
    let canary = Canary::new(&lab);
    let out = canary.path.to_str().unwrap().to_owned();
    let up = format!("../../../../../../../../../../../..{out}");
    let link = |tar: Tar, to: &str| tar.symlink("s", to);
    let relinked = Tar::default().symlink("a", &out).symlink("b", "a").symlink("c", "b");
    let attacks: Vec<Vec<Tar>> = vec![
        vec![link(Tar::default(), &out).file("s/file", "dead")],
        vec![link(Tar::default(), &up).file("s/file", "dead")],
        vec![link(Tar::default(), &out), Tar::default().file("s/file", "dead")],
        vec![link(Tar::default(), &out), Tar::default().directory("s/new")],
        vec![link(Tar::default(), &out), Tar::default().file("s/.wh.file", "")],
        vec![link(Tar::default(), &out), Tar::default().file("s/.wh..wh..opq", "")],
        vec![link(Tar::default(), &out).hard_link("l", "s/file")],
        vec![relinked.file("c/file", "dead")],
        vec![Tar::default().symlink("loop", "loop").file("loop/x", "dead")],
    ];
    for layers in attacks {
        let layers: Vec<Blob> = layers.into_iter().map(|tar| plain(tar.end())).collect();
        // A whiteout below a link hides nothing, since nothing is there; all else is refused.
        let _ = try_import(&lab, &layers);
        canary.assert_alive();
        if lab.store().exists() {
            lab.assert_sound();
        }
    }
}

#[test]
fn what_replaces_a_link_replaces_it_and_follows_nothing() {
    let lab = Lab::new();
    let canary = Canary::new(&lab);
    let out = canary.path.to_str().unwrap().to_owned();
    let directory = Entry { name: "s", typeflag: b'5', mode: 0o777, ..Entry::default() };
    let same_layer = Tar::default().symlink("s", &out).entry(&directory).file("s/x", "x");
    try_import(&lab, &[plain(same_layer.end())]).unwrap();
    assert_eq!(files(&lab), ["/", "/s", "/s/x"]);
    assert!(!lab.rootfs("evil").join("s").is_symlink());
    let lower = Tar::default().symlink("s", &out);
    let file = Entry { name: "s", mode: 0o777, body: b"dead", ..Entry::default() };
    try_import(&lab, &[plain(lower.end()), plain(Tar::default().entry(&file).end())]).unwrap();
    assert_eq!(std::fs::read(lab.rootfs("evil").join("s")).unwrap(), b"dead");
    canary.assert_alive();
    lab.assert_sound();
}

#[test]
fn a_changed_name_leaves_the_other_names_of_the_inode_alone() {
    let lab = Lab::new();
    let lower = || plain(Tar::default().file("a", "lower").hard_link("b", "a").hard_link("c", "a").end());
    let upper = Tar::default().file("a", "upper").file(".wh.c", "");
    try_import(&lab, &[lower(), plain(upper.end())]).unwrap();
    let rootfs = lab.rootfs("evil");
    assert_eq!(std::fs::read(rootfs.join("a")).unwrap(), b"upper");
    assert_eq!(std::fs::read(rootfs.join("b")).unwrap(), b"lower");
    assert!(!rootfs.join("c").exists());
    let chmod = Entry { name: "a", mode: 0o600, body: b"lower", ..Entry::default() };
    try_import(&lab, &[lower(), plain(Tar::default().entry(&chmod).end())]).unwrap();
    let mode = |name: &str| lab.rootfs("evil").join(name).metadata().unwrap().permissions().mode() & 0o7777;
    assert_eq!((mode("a"), mode("b")), (0o600, 0o644));
    lab.assert_sound();
}

#[test]
fn equal_bytes_with_other_metadata_are_other_files() {
    let lab = Lab::new();
    let body = b"same";
    let tar = Tar::default()
        .entry(&Entry { name: "plain", body, ..Entry::default() })
        .entry(&Entry { name: "setuid", mode: 0o4755, body, ..Entry::default() })
        .entry(&Entry { name: "owned", owner: b"0000041", body, ..Entry::default() })
        .pax(&[("SCHILY.xattr.user.x", b"y")])
        .entry(&Entry { name: "noted", body, ..Entry::default() });
    try_import(&lab, &[plain(tar.end())]).unwrap();
    let stat = |name: &str| {
        let metadata = lab.rootfs("evil").join(name).metadata().unwrap();
        (metadata.ino(), metadata.mode() & 0o7777, metadata.uid() - 2_147_352_576)
    };
    let stats = ["plain", "setuid", "owned", "noted"].map(stat);
    assert_eq!(stats.map(|(_, mode, uid)| (mode, uid)), [(0o644, 0), (0o4755, 0), (0o644, 33), (0o644, 0)]);
    let inodes: std::collections::BTreeSet<u64> = stats.iter().map(|stat| stat.0).collect();
    assert_eq!(inodes.len(), 4);
    lab.assert_sound();
}

#[test]
fn devices_are_left_out_and_said() {
    let lab = Lab::new();
    let tar = (0..5).fold(Tar::default(), |tar, number| {
        let typeflag = if number % 2 == 0 { b'3' } else { b'4' };
        tar.entry(&Entry { name: &format!("dev/{number}"), typeflag, ..Entry::default() })
    });
    let report = try_import(&lab, &[plain(tar.end())]).unwrap();
    assert_eq!(report["images"][0]["notices"].as_array().unwrap().len(), 5);
    assert!(!files(&lab).iter().any(|path| path.starts_with("/dev/")));
    lab.assert_sound();
}

#[test]
fn odd_files_in_a_folder_hold_nobody_up() {
    let lab = Lab::new();
    let folder = |name: &str| {
        let path = lab.path(name);
        std::fs::create_dir(&path).unwrap();
        std::fs::write(path.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
        path
    };
    let fifo = folder("fifo");
    rustix::fs::mkfifoat(rustix::fs::CWD, fifo.join("index.json"), rustix::fs::Mode::RUSR).unwrap();
    let zero = folder("zero");
    symlink("/dev/zero", zero.join("index.json")).unwrap();
    let out = folder("out");
    symlink("../canary.json", out.join("index.json")).unwrap();
    std::fs::write(lab.path("canary.json"), r#"{"schemaVersion":2,"manifests":[]}"#).unwrap();
    let hole = folder("hole");
    std::fs::File::create(hole.join("index.json")).unwrap().set_len(2 << 30).unwrap();
    for path in [fifo, zero, out, hole] {
        lab.fails(&["import", path.to_str().unwrap(), "--name", "evil"]);
    }
    assert_eq!(lab.json(&["images"]), json!([]));
}

#[test]
fn packed_streams_in_parts_are_read_to_their_end_and_checked() {
    let lab = Lab::new();
    let tar = Tar::default().file("a", &"content ".repeat(1000)).end();
    let (one, two) = tar.split_at(3000);
    let gzips = [gzip(one).bytes, gzip(two).bytes].concat();
    let skippable = [&[0x50, 0x2a, 0x4d, 0x18, 4, 0, 0, 0, 1, 2, 3, 4][..], &zstd(&tar).bytes].concat();
    let frames = [zstd(one).bytes, zstd(two).bytes].concat();
    let blob = |bytes: Vec<u8>, packing: &Blob| Blob {
        bytes,
        media_type: packing.media_type,
        diff_id: digest(&tar),
    };
    for bytes in [gzips.clone(), skippable, frames] {
        try_import(&lab, &[blob(bytes, &gzip(&tar))]).unwrap();
        assert_eq!(files(&lab), ["/", "/a"]);
    }
    let mut flipped = gzip(&tar).bytes;
    let crc = flipped.len() - 6;
    flipped[crc] ^= 1;
    let junk = [gzips, b"junk at the end".to_vec()].concat();
    let short_junk = [gzip(&tar).bytes, b"j".to_vec()].concat();
    let short = gzip(&tar).bytes[..gzip(&tar).bytes.len() - 4].to_vec();
    for (bytes, what) in
        [(flipped, ""), (junk, "gzip stream"), (short_junk, "gzip stream"), (short, "truncated")]
    {
        // A layer that is known is not read again.
        let lab = Lab::new();
        let error = try_import(&lab, &[blob(bytes, &gzip(&tar))]).expect_err(what);
        assert!(error.contains("layer sha256:") && error.contains(what), "{what}: {error}");
    }
    lab.assert_sound();
}

#[test]
fn sizes_and_order_are_promises_too() {
    let size = |documents: &mut layout::Documents, by: i64| {
        let size = documents.manifest["layers"][0]["size"].as_i64().unwrap();
        documents.manifest["layers"][0]["size"] = json!(size + by);
    };
    type Change<'a> = (&'static str, &'a dyn Fn(&mut layout::Documents));
    let changes: [Change<'_>; 5] = [
        ("one byte more", &|it| size(it, 1)),
        ("one byte less", &|it| size(it, -1)),
        ("a size below nothing", &|it| it.manifest["layers"][0]["size"] = json!(-1)),
        ("layers in another order", &|it| it.manifest["layers"].as_array_mut().unwrap().reverse()),
        ("diff ids in another order", &|it| {
            it.config["rootfs"]["diff_ids"].as_array_mut().unwrap().reverse()
        }),
    ];
    for (what, change) in changes {
        let lab = Lab::new();
        let layers = [plain(Tar::default().file("a", "1").end()), gzip(&Tar::default().file("b", "2").end())];
        let layout = Layout::write_with(&lab.path("evil"), &layers, &mut |documents| change(documents));
        lab.fails(&["import", layout.path.to_str().unwrap(), "--name", "evil"]);
        assert_eq!(lab.json(&["images"]), json!([]), "{what}");
    }
}

#[test]
fn what_a_configuration_says_beside_how_to_run_has_no_effect() {
    let lab = Lab::new();
    let layer = || [plain(Tar::default().file("a", "x").end())];
    let layout = Layout::write_with(&lab.path("l"), &layer(), &mut |it| {
        it.config["config"]["Labels"] = json!({ "sampan.privileged": "true", "io.systemd.exec": "/bin/sh" });
        it.config["config"]["HostConfig"] = json!({ "Privileged": true, "Binds": ["/:/host"] });
        it.manifest["layers"][0]["urls"] = json!(["file:///etc/shadow", "http://127.0.0.1:1/"]);
    });
    lab.import(&layout.path, "evil");
    let inspected = lab.json(&["inspect", "evil"]);
    let mut known: Vec<&str> = inspected["config"].as_object().unwrap().keys().map(String::as_str).collect();
    known.sort_unstable();
    let how_to_run = [
        "command",
        "entrypoint",
        "environment",
        "exposed_ports",
        "health_check",
        "labels",
        "stop_signal",
        "user",
        "volumes",
        "working_directory",
    ];
    assert_eq!(known, how_to_run);
    lab.assert_sound();
}

#[test]
fn names_that_are_paths_options_or_control_characters_are_refused() {
    let lab = Lab::new();
    let layout = Layout::write(&lab.path("l"), &[plain(Tar::default().file("a", "x").end())]);
    let long = "a".repeat(5000);
    for name in ["../../x", "/etc/passwd", "a\nb", "a\x1b[31m", "a b", "A", "a/../b", ".", "a%2fb", &long] {
        let error = lab.fails(&["import", layout.path.to_str().unwrap(), "--name", name]);
        assert!(!error.contains('\x1b') && error.len() < 1000, "{error}");
    }
    assert!(!lab.store().join("refs").exists() || lab.json(&["images"]) == json!([]));
    assert_eq!(lab.sampanctl(&["remove", "--", "--store"]).status.code(), Some(1));
}
