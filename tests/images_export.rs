//! Exported images against the programs that are to take them.

#[path = "support/layout.rs"]
mod layout;
#[path = "support/tree.rs"]
mod trees;

use layout::{Entry, Lab, Layout, Tar, gzip, plain};
use std::path::{Path, PathBuf};
use std::process::Command;
use trees::{Tree, assert_same, packages, tree};

/// Runs a program that must succeed; returns its standard output.
fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap();
    assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A layer with everything that metadata can be, on top of packages.
fn changes() -> Vec<u8> {
    let capability = [&[1u8, 0, 0, 2, 0, 4, 0, 0][..], &[0; 12]].concat();
    let long = format!("opt/{}/{}", "d".repeat(120), "f".repeat(120));
    Tar::default()
        .file("usr/bin/.wh.env", "")
        .directory("opt")
        .file("opt/a", "a")
        .hard_link("opt/b", "opt/a")
        .hard_link("opt/sort", "usr/bin/sort")
        .symlink("opt/link", "/nowhere")
        .hard_link("opt/link-too", "opt/link")
        .pax(&[("linkpath", "x/".repeat(80).as_bytes())])
        .symlink("opt/long-link", "")
        .entry(&Entry { name: "opt/pipe", typeflag: b'6', mode: 0o620, ..Entry::default() })
        .entry(&Entry { name: "opt/su", mode: 0o4755, owner: b"0000041", body: b"su", ..Entry::default() })
        .entry(&Entry { name: "tmp", typeflag: b'5', mode: 0o1777, ..Entry::default() })
        .pax(&[("SCHILY.xattr.security.capability", &capability), ("mtime", b"1600000000.5")])
        .file("opt/ping", "ping")
        .pax(&[("SCHILY.xattr.user.note", b"hello"), ("uid", b"70000000"), ("mtime", b"-5.25")])
        .file("opt/noted", "n")
        .pax(&[("path", long.as_bytes()), ("mtime", b"1600000000.123456789")])
        .file("long", "long")
        .pax(&[("path", b"opt/latin-\xe9")])
        .file("latin", "latin")
        .end()
}

/// A store with the image `web`, and its tree on disk.
fn lab_with_image() -> (Lab, Tree) {
    let lab = Lab::new();
    let layers = [gzip(&packages(&["coreutils", "tar", "gzip"])), plain(changes())];
    lab.import(&Layout::write(&lab.path("layout"), &layers).path, "web");
    let tree = tree(&lab.rootfs("web"), 2_147_352_576);
    (lab, tree)
}

fn export(lab: &Lab, format: &str, name: &str) -> PathBuf {
    let path = lab.path(name);
    lab.succeeds(&["export", "web", "--format", format, "-o", text(&path)]);
    path
}

#[test]
fn a_directory_is_the_tree_with_its_own_ids() {
    let (lab, stored) = lab_with_image();
    let directory = export(&lab, "dir", "root");
    assert_same(tree(&directory, 0), &stored, 0);
    let error = lab.fails(&["export", "web", "--format=dir", "-o", text(&directory)]);
    assert!(error.contains("not an empty directory"), "{error}");
    lab.import(&directory, "again");
    assert_same(tree(&lab.rootfs("again"), 2_147_352_576), &stored, 0);
}

#[test]
fn a_directory_runs_under_systemd_nspawn() {
    let lab = Lab::new();
    let root = lab.path("busybox");
    for name in ["bin", "dev", "etc", "proc", "run", "sys", "tmp", "usr"] {
        std::fs::create_dir_all(root.join(name)).unwrap();
    }
    std::fs::copy("/bin/busybox", root.join("bin/sh")).unwrap();
    lab.import(&root, "web");
    let directory = export(&lab, "dir", "root");
    let arguments =
        ["-q", "--register=no", "--keep-unit", "-D", text(&directory), "/bin/sh", "-c", "echo $$"];
    assert_eq!(run("systemd-nspawn", &arguments).trim(), "1");
}

#[test]
fn a_tar_archive_extracts_to_the_tree() {
    let (lab, stored) = lab_with_image();
    let archive = export(&lab, "tar", "web.tar");
    let directory = lab.path("root");
    std::fs::create_dir(&directory).unwrap();
    let arguments = ["-xpf", text(&archive), "--numeric-owner", "--xattrs", "--xattrs-include=*", "-C"];
    run("tar", &[&arguments[..], &[text(&directory)]].concat());
    assert_same(tree(&directory, 0), &stored, 0);
    let script = format!(
        "{0} export web --format=tar -o - --store {1} | cmp - {2}",
        env!("CARGO_BIN_EXE_sampanctl"),
        text(&lab.store()),
        text(&archive)
    );
    run("sh", &["-c", &script]);
    let pipe = lab.path("pipe");
    run("mkfifo", &[text(&pipe)]);
    let mut reader = Command::new("cmp").args([text(&pipe), text(&archive)]).spawn().unwrap();
    lab.succeeds(&["export", "web", "--format=tar", "-o", text(&pipe)]);
    assert!(reader.wait().unwrap().success(), "a pipe is written to, not replaced");
}

#[test]
fn an_oci_archive_is_what_other_programs_take() {
    let (lab, stored) = lab_with_image();
    for compress in ["none", "gzip"] {
        let archive = lab.path(&format!("{compress}.tar"));
        lab.succeeds(&["export", "web", "--compress", compress, "-o", text(&archive)]);
        let told = run("skopeo", &["inspect", &format!("oci-archive:{}", text(&archive))]);
        assert!(told.contains("\"Architecture\": \"amd64\""), "{told}");
        let (layout, bundle) = (lab.path(&format!("{compress}-l")), lab.path(&format!("{compress}-b")));
        std::fs::create_dir(&layout).unwrap();
        run("tar", &["-xf", text(&archive), "-C", text(&layout)]);
        let image = format!("{}:localhost/web:latest", text(&layout));
        run("umoci", &["unpack", "--image", &image, text(&bundle)]);
        assert_same(tree(&bundle.join("rootfs"), 0), &stored, 0);
    }
}

#[test]
fn an_export_is_taken_back_and_leaves_again_as_the_same_bytes() {
    let (lab, stored) = lab_with_image();
    let mut ids = Vec::new();
    for (format, name) in [("oci-archive", "oci"), ("docker-archive", "docker")] {
        let first = export(&lab, format, name);
        let other = Lab::new();
        other.succeeds(&["import", text(&first), "--keep-names"]);
        assert_eq!(other.json(&["images"])[0]["names"][0], "localhost/web:latest");
        assert_same(tree(&other.rootfs("web"), 2_147_352_576), &stored, 0);
        let second = export(&other, format, name);
        assert_eq!(std::fs::read(&first).unwrap(), std::fs::read(&second).unwrap(), "{format}");
        ids.push(other.json(&["inspect", "web"])["id"].clone());
        other.assert_sound();
    }
    assert_eq!(ids[0], ids[1], "all forms are the same image");
    let zstd = lab.path("zstd");
    let id = lab.succeeds(&["export", "web", "--compress=zstd", "-o", text(&zstd)]);
    assert_eq!(id.trim(), ids[0], "the id is told");
    assert_eq!(lab.import(&zstd, "packed"), id.trim());
}

#[test]
fn podman_loads_both_archives() {
    let (lab, _) = lab_with_image();
    let root = lab.path("podman");
    // Podman wants a short name for this one.
    let short = tempfile::tempdir().unwrap();
    let run_root = short.path();
    let podman = |arguments: &[&str]| {
        let place = ["--root", text(&root), "--runroot", text(run_root), "--storage-driver=vfs"];
        run("podman", &[&place[..], arguments].concat())
    };
    let mut ids = Vec::new();
    for format in ["oci-archive", "docker-archive"] {
        let archive = export(&lab, format, format);
        assert!(podman(&["load", "-q", "-i", text(&archive)]).contains("localhost/web:latest"));
        ids.push(podman(&["image", "inspect", "--format", "sha256:{{.Id}}", "localhost/web"]));
        let id = lab.import(&archive, "exported");
        assert_eq!(ids.last().unwrap().trim(), id, "{format}");
        podman(&["rmi", "localhost/web"]);
    }
    assert_eq!(ids[0], ids[1]);
}

#[test]
fn a_damaged_file_stops_an_export_without_a_trace() {
    let (lab, _) = lab_with_image();
    let file = lab.rootfs("web").join("opt/su");
    std::fs::write(&file, "us").unwrap();
    for format in ["tar", "oci-archive", "docker-archive"] {
        let place = lab.path("out");
        std::fs::create_dir(&place).unwrap();
        let error = lab.fails(&["export", "web", "--format", format, "-o", text(&place.join("web.tar"))]);
        assert!(error.contains("/opt/su") && error.contains("not what the image's index says"), "{error}");
        std::fs::remove_dir(&place).unwrap();
    }
    let place = lab.path("out");
    let mine = place.join("mine");
    std::fs::create_dir_all(&mine).unwrap();
    for (name, left) in [("root", None), ("mine", Some(0))] {
        let target = place.join(name);
        let error = lab.fails(&["export", "web", "--format=dir", "-o", text(&target)]);
        assert!(error.contains("/opt/su"), "{error}");
        assert_eq!(std::fs::read_dir(&target).ok().map(Iterator::count), left, "{name}");
    }
    assert_eq!(std::fs::read_dir(&place).unwrap().count(), 1);
}

#[test]
fn attributes_of_any_name_leave_and_come_back() {
    let lab = Lab::new();
    let folder = lab.path("folder");
    std::fs::create_dir_all(folder.join("etc")).unwrap();
    std::fs::write(folder.join("etc/file"), "content").unwrap();
    let names = ["user.a=b", "user.50%", "user.%3D", "user.plain"];
    for name in names {
        let flags = rustix::fs::XattrFlags::empty();
        rustix::fs::setxattr(folder.join("etc/file"), name, name.as_bytes(), flags).unwrap();
    }
    let wanted = tree(&folder, 0);
    lab.import(&folder, "web");
    assert_same(tree(&lab.rootfs("web"), 2_147_352_576), &wanted, 0);
    assert_eq!(lab.json(&["files", "web", "/etc/file"])[0]["xattrs"]["user.a=b"], "dXNlci5hPWI=");
    assert_same(tree(&export(&lab, "dir", "root"), 0), &wanted, 0);
    let archive = export(&lab, "tar", "web.tar");
    let directory = lab.path("extracted");
    std::fs::create_dir(&directory).unwrap();
    let arguments = ["-xpf", text(&archive), "--numeric-owner", "--xattrs", "--xattrs-include=*", "-C"];
    run("tar", &[&arguments[..], &[text(&directory)]].concat());
    assert_same(tree(&directory, 0), &wanted, 0);
}

#[test]
fn a_cause_is_told_once() {
    let (lab, _) = lab_with_image();
    for format in ["tar", "oci-archive", "docker-archive"] {
        let error = lab.fails(&["export", "web", "--format", format, "-o", "/dev/full"]);
        assert_eq!(error.matches("No space left on device").count(), 1, "{error}");
    }
}
