//! Images through the command line: what is kept, what is shared, what survives.

#[path = "support/layout.rs"]
mod layout;

use layout::{Lab, Layout, Tar, gzip, plain, zstd};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

fn inode(path: &Path) -> u64 {
    std::fs::symlink_metadata(path).unwrap().ino()
}

fn lower() -> Vec<u8> {
    let tar = Tar::default().directory("bin").file("bin/tool", "tool").file("bin/twin", "twin");
    tar.file("bin/zwin", "twin").file("etc/empty", "").end()
}

#[test]
fn every_packing_and_form_gives_the_same_image() {
    let lab = Lab::new();
    let mut trees = Vec::new();
    for (name, blob) in [("plain", plain(lower())), ("gzip", gzip(&lower())), ("zstd", zstd(&lower()))] {
        let layout = Layout::write(&lab.path(name), &[blob]);
        let archive = lab.path(&format!("{name}.tar"));
        layout.archive(&archive);
        let id = lab.import(&layout.path, name);
        assert_eq!(lab.import(&archive, &format!("{name}-archive")), id);
        trees.push(lab.json(&["files", name]));
    }
    assert!(trees.windows(2).all(|pair| pair[0] == pair[1]));
    let images = lab.json(&["images"]);
    assert_eq!(images.as_array().unwrap().len(), 1);
    assert_eq!(images[0]["names"].as_array().unwrap().len(), 6);
    lab.assert_sound();
}

#[test]
fn an_archive_comes_through_a_pipe_packed() {
    let lab = Lab::new();
    let layout = Layout::write(&lab.path("layout"), &[gzip(&lower())]);
    let script = format!(
        "tar -C {} -czf - . | {} import - --name web --store {}",
        layout.path.display(),
        env!("CARGO_BIN_EXE_sampanctl"),
        lab.store().display()
    );
    assert!(std::process::Command::new("sh").args(["-c", &script]).status().unwrap().success());
    assert_eq!(lab.json(&["files", "web", "/bin/tool"])[0]["size"], 4);
    lab.assert_sound();
}

#[test]
fn equal_files_of_different_layers_are_one_inode() {
    let lab = Lab::new();
    let other = Tar::default().file("bin/tool", "tool").file("bin/more", "more").file("etc/empty", "").end();
    lab.import(&Layout::write(&lab.path("a"), &[gzip(&lower())]).path, "a");
    lab.import(&Layout::write(&lab.path("b"), &[zstd(&other)]).path, "b");
    let (a, b) = (lab.rootfs("a"), lab.rootfs("b"));
    assert_eq!(inode(&a.join("bin/tool")), inode(&b.join("bin/tool")));
    assert_ne!(inode(&a.join("etc/empty")), inode(&b.join("etc/empty")), "empty files are not shared");
    assert_ne!(inode(&a.join("bin/twin")), inode(&a.join("bin/zwin")), "an image's own copies stay apart");
    lab.assert_sound();
}

#[test]
fn an_image_keeps_its_hard_links_and_no_others() {
    let lab = Lab::new();
    let layer = Tar::default()
        .file("a", "x")
        .hard_link("b", "a")
        .file("c", "x")
        .symlink("s", "/a")
        .hard_link("t", "s");
    lab.import(&Layout::write(&lab.path("l"), &[plain(layer.end())]).path, "links");
    let rootfs = lab.rootfs("links");
    assert_eq!(inode(&rootfs.join("a")), inode(&rootfs.join("b")));
    assert_ne!(inode(&rootfs.join("a")), inode(&rootfs.join("c")));
    assert_eq!(inode(&rootfs.join("s")), inode(&rootfs.join("t")));
    let files = lab.json(&["files", "links"]);
    let groups: Vec<_> = files.as_array().unwrap().iter().map(|file| file["hl"].as_str()).collect();
    assert_eq!(groups, [None, Some("/a"), Some("/a"), None, Some("/s"), Some("/s")]);
    lab.assert_sound();
}

#[test]
fn a_full_object_gives_way_to_the_next_slot() {
    let lab = Lab::new();
    let one = Tar::default().file("a", "x").end();
    let two = Tar::default().file("a", "x").file("b", "y").end();
    lab.import(&Layout::write(&lab.path("1"), &[plain(one)]).path, "one");
    let object = lab.rootfs("one").join("a");
    let names = lab.path("names");
    std::fs::create_dir(&names).unwrap();
    while std::fs::metadata(&object).unwrap().nlink() < 64_000 {
        let count = std::fs::metadata(&object).unwrap().nlink();
        std::fs::hard_link(&object, names.join(count.to_string())).unwrap();
    }
    lab.import(&Layout::write(&lab.path("2"), &[plain(two)]).path, "two");
    assert_ne!(inode(&object), inode(&lab.rootfs("two").join("a")));
    lab.assert_sound();
}

#[test]
fn ids_attributes_and_capabilities_are_the_images_own() {
    let lab = Lab::new();
    let capability = [&[1u8, 0, 0, 2, 0, 4, 0, 0][..], &[0; 12]].concat();
    let layer = Tar::default()
        .pax(&[
            ("SCHILY.xattr.security.capability", &capability),
            ("SCHILY.xattr.user.note", b"kept"),
            ("SCHILY.xattr.trusted.overlay.opaque", b"y"),
            ("SCHILY.xattr.user.overlay.redirect", b"/etc"),
            ("SCHILY.acl.access", b"user::rw-,user:www-data:r--,group::r--,mask::r--,other::r--"),
            ("uid", b"33"),
            ("mtime", b"1700000000.25"),
        ])
        .file("bin/ping", "ping")
        .entry(&layout::Entry { name: "dev/sda", typeflag: b'4', ..layout::Entry::default() });
    let layout = Layout::write(&lab.path("l"), &[gzip(&layer.end())]);
    let report = lab.json(&["import", layout.path.to_str().unwrap(), "--name", "ping"]);
    let notices = report["images"][0]["notices"].to_string();
    for left_out in ["trusted.overlay.opaque", "user.overlay.redirect", "SCHILY.acl.access", "dev/sda"] {
        assert!(notices.contains(left_out), "{notices}");
    }
    let file = &lab.json(&["files", "ping", "/bin/ping"])[0];
    assert_eq!((file["uid"].as_u64(), file["mtime"].as_f64()), (Some(33), Some(1_700_000_000.25)));
    assert_eq!(file["xattrs"]["user.note"], "a2VwdA==");
    assert_eq!(file["xattrs"]["security.capability"], "AQAAAgAEAAAAAAAAAAAAAAAAAAA=");
    let path = lab.rootfs("ping").join("bin/ping");
    assert_eq!(std::fs::metadata(&path).unwrap().uid(), 2_147_352_576 + 33);
    let mut disk = [0; 64];
    let length = rustix::fs::getxattr(&path, "security.capability", &mut disk[..]).unwrap();
    assert_eq!(
        &disk[..length],
        &[&capability[..3], &[3], &capability[4..], &2_147_352_576u32.to_le_bytes()].concat()
    );
    lab.assert_sound();
}

#[test]
fn names_lead_to_images_and_are_removed() {
    let lab = Lab::new();
    let id = lab.import(&Layout::write(&lab.path("l"), &[plain(lower())]).path, "web");
    lab.import(&lab.path("l"), "docker.io/nginx:1");
    for name in ["web", "localhost/web", "localhost/web:latest", "nginx:1", &id, &id[7..19]] {
        assert_eq!(lab.json(&["inspect", name])["id"], id.as_str(), "{name}");
    }
    assert!(lab.fails(&["inspect", "nginx"]).contains("no image \"nginx\""));
    assert_eq!(lab.succeeds(&["remove", "web"]), "Removed localhost/web:latest.\n");
    assert!(lab.fails(&["remove", "web"]).contains("no image \"web\""));
    lab.succeeds(&["remove", "nginx:1"]);
    assert_eq!(lab.json(&["images"]).as_array().unwrap().len(), 0);
    let collected = lab.json(&["gc"]);
    assert_eq!((collected["objects"].as_u64(), collected["layers"].as_u64()), (Some(3), Some(1)));
    lab.assert_sound();
}

#[test]
fn names_of_an_archive_count_only_when_asked_for() {
    let lab = Lab::new();
    let layout = Layout::write(&lab.path("l"), &[plain(lower())]);
    let archive = lab.path("d.tar");
    let from = format!("oci:{}", layout.path.display());
    let to = format!("docker-archive:{}:debian:12", archive.display());
    assert!(
        std::process::Command::new("skopeo").args(["copy", "-q", &from, &to]).status().unwrap().success()
    );
    lab.succeeds(&["import", archive.to_str().unwrap()]);
    assert_eq!(lab.json(&["images"])[0]["names"].as_array().unwrap().len(), 0);
    lab.succeeds(&["import", archive.to_str().unwrap(), "--keep-names"]);
    assert_eq!(lab.json(&["images"])[0]["names"][0], "docker.io/library/debian:12");
    lab.assert_sound();
}

#[test]
fn damage_is_named_and_an_import_heals_it() {
    let lab = Lab::new();
    let layout = Layout::write(&lab.path("l"), &[gzip(&lower())]);
    let id = lab.import(&layout.path, "web");
    let rootfs = lab.rootfs("web");
    let image = rootfs.parent().unwrap();
    let layers = lab.store().join("layers");
    let index = std::fs::read_dir(&layers).unwrap().next().unwrap().unwrap().path();
    type Damage<'a> = (&'a str, Box<dyn Fn() + 'a>);
    let damages: [Damage<'_>; 7] = [
        ("objects/", Box::new(|| std::fs::write(rootfs.join("bin/tool"), "evil").unwrap())),
        ("bin/tool", Box::new(|| std::fs::remove_file(rootfs.join("bin/tool")).unwrap())),
        ("bin/more", Box::new(|| std::fs::write(rootfs.join("bin/more"), "").unwrap())),
        ("etc", Box::new(|| std::os::unix::fs::chown(rootfs.join("etc"), Some(0), None).unwrap())),
        ("index", Box::new(|| std::fs::write(image.join("index"), "").unwrap())),
        ("record", Box::new(|| std::fs::write(image.join("record"), "{").unwrap())),
        ("layers/", Box::new(|| std::fs::write(&index, "sampan-index-1 x\n").unwrap())),
    ];
    for (named, damage) in damages {
        damage();
        let output = lab.sampanctl(&["fsck"]);
        assert_eq!(output.status.code(), Some(1), "{named}");
        assert!(String::from_utf8(output.stdout).unwrap().contains(named), "{named}");
        assert_eq!(lab.import(&layout.path, "web"), id);
        lab.assert_sound();
    }
}

#[test]
fn what_is_broken_can_be_removed() {
    let lab = Lab::new();
    lab.import(&Layout::write(&lab.path("l"), &[gzip(&lower())]).path, "web");
    let image = lab.rootfs("web").parent().unwrap().to_owned();
    for name in ["record", "index", "config", "manifest"] {
        std::fs::remove_file(image.join(name)).unwrap();
    }
    std::fs::remove_dir_all(image.join("rootfs")).unwrap();
    lab.succeeds(&["images"]);
    lab.succeeds(&["remove", "web"]);
    lab.succeeds(&["gc"]);
    assert!(!image.exists());
    lab.assert_sound();
}
