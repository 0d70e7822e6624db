//! Objects of the store: sparse files as GNU tar writes and reads them, stores that ignore times, silent damage.

#[path = "support/layout.rs"]
mod layout;

use layout::{Lab, Layout, Tar, digest, gzip, plain, zstd};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::Path;
use std::process::Command;

/// Forms of a sparse file, as options of tar.
const FORMS: [&[&str]; 4] = [
    &["--format=gnu"],
    &["--format=pax", "--sparse-version=0.0"],
    &["--format=pax", "--sparse-version=0.1"],
    &["--format=pax", "--sparse-version=1.0"],
];

/// Sparse files below `directory`: of many parts, of a hole alone, with a hole at the end and a long name.
fn write_files(directory: &Path) {
    std::fs::create_dir(directory).unwrap();
    let many = std::fs::File::create(directory.join("many")).unwrap();
    for part in 0..60u64 {
        many.write_all_at(format!("part {part}").repeat(100).as_bytes(), part << 20).unwrap();
    }
    std::fs::File::create(directory.join("hole")).unwrap().set_len(5 << 20).unwrap();
    let end = std::fs::File::create(directory.join("long".repeat(40))).unwrap();
    end.write_all_at(&vec![7; 2 << 20], 0).unwrap();
    end.set_len(9 << 20).unwrap();
    std::fs::write(directory.join("small"), "no hole").unwrap();
}

fn archive(directory: &Path, form: &[&str]) -> Vec<u8> {
    let mut tar = Command::new("tar");
    tar.args(["--sparse", "--numeric-owner", "--mtime=@1700000000", "-C"]).arg(directory).args(form);
    let output = tar.args(["-cf", "-", "."]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

#[test]
fn sparse_files_are_what_gnu_tar_makes_of_them_and_stay_sparse() {
    let source = Lab::new();
    let files = source.path("files");
    write_files(&files);
    for form in FORMS {
        let lab = Lab::new();
        let layer = archive(&files, form);
        assert!(layer.len() < 4 << 20, "GNU tar found no holes");
        let unpacked = lab.path("unpacked");
        std::fs::create_dir(&unpacked).unwrap();
        std::fs::write(lab.path("layer.tar"), &layer).unwrap();
        let tar = Command::new("tar").arg("-xf").arg(lab.path("layer.tar")).arg("-C").arg(&unpacked).status();
        assert!(tar.unwrap().success());
        lab.import(&Layout::write(&lab.path("l"), &[zstd(&layer)]).path, "web");
        let rootfs = lab.rootfs("web");
        for entry in std::fs::read_dir(&unpacked).unwrap() {
            let theirs = entry.unwrap().path();
            let ours = rootfs.join(theirs.file_name().unwrap());
            let read = |path: &Path| digest(&std::fs::read(path).unwrap());
            assert_eq!(read(&ours), read(&theirs), "{form:?} {}", ours.display());
            let blocks = |path: &Path| std::fs::metadata(path).unwrap().blocks();
            assert!(blocks(&ours) <= blocks(&theirs), "{form:?} {}", ours.display());
        }
        lab.assert_sound();
    }
}

#[test]
fn a_file_with_holes_and_one_without_are_one_object() {
    let lab = Lab::new();
    let pax: [(&str, &[u8]); 3] =
        [("GNU.sparse.name", b"a"), ("GNU.sparse.size", b"6"), ("GNU.sparse.map", b"0,1,5,1")];
    let sparse = Tar::default().pax(&pax).file("x", "ab");
    let whole = Tar::default().file("other", "a\0\0\0\0b");
    lab.import(&Layout::write(&lab.path("1"), &[plain(sparse.end())]).path, "sparse");
    lab.import(&Layout::write(&lab.path("2"), &[gzip(&whole.end())]).path, "whole");
    let inode = |name: &str, file: &str| std::fs::metadata(lab.rootfs(name).join(file)).unwrap().ino();
    assert_eq!(inode("sparse", "a"), inode("whole", "other"));
    lab.assert_sound();
}

#[test]
fn a_store_may_ignore_times() {
    let lab = Lab::new();
    lab.succeeds(&["create-store", "--ignore-mtime"]);
    let image = |name: &str, time: &[u8]| {
        let file =
            Tar::default().pax(&[("mtime", time)]).file("a", "x").pax(&[("mtime", b"9")]).file("b", "x");
        lab.import(&Layout::write(&lab.path(name), &[plain(file.end())]).path, name);
        lab.rootfs(name)
    };
    let (one, two) = (image("one", b"1700000001.5"), image("two", b"1700000002"));
    let inode = |path: &Path| std::fs::metadata(path).unwrap().ino();
    assert_eq!(inode(&one.join("a")), inode(&two.join("a")));
    assert_eq!(inode(&one.join("b")), inode(&two.join("b")));
    assert_ne!(inode(&one.join("a")), inode(&one.join("b")), "an image's own copies stay apart");
    assert_eq!(lab.json(&["files", "two", "/a"])[0]["mtime"], 1_700_000_002.0);
    lab.assert_sound();
    assert!(lab.fails(&["create-store"]).contains("cannot be changed"));
    std::fs::write(one.join("a"), "y").unwrap();
    assert!(lab.sampanctl(&["fsck"]).status.code() == Some(1));
    image("one", b"1700000001.5");
    lab.assert_sound();
}

#[test]
fn damage_that_only_the_content_shows_is_healed_on_demand() {
    let lab = Lab::new();
    let layout = Layout::write(&lab.path("l"), &[gzip(&Tar::default().file("a", "good").end())]);
    lab.import(&layout.path, "web");
    let object = lab.rootfs("web").join("a");
    let file = std::fs::File::options().write(true).open(&object).unwrap();
    let time = file.metadata().unwrap().modified().unwrap();
    file.write_all_at(b"evil", 0).unwrap();
    file.set_modified(time).unwrap();
    let arguments = ["import", layout.path.to_str().unwrap(), "--name", "web"];
    assert_eq!(lab.json(&arguments)["images"][0]["present"], true, "an image that is there is not read");
    assert_eq!(lab.sampanctl(&["fsck"]).status.code(), Some(1));
    assert_eq!(lab.json(&[&arguments[..], &["--verify"]].concat())["healed"], 1);
    assert_eq!(std::fs::read(&object).unwrap(), b"good");
    lab.assert_sound();
}

#[test]
fn layers_that_are_read_at_the_same_time_are_told_apart() {
    let lab = Lab::new();
    let good = |number: u32| gzip(&Tar::default().file(&number.to_string(), &"good".repeat(50_000)).end());
    let mut layers: Vec<layout::Blob> = (0..6).map(good).collect();
    layers[4] = gzip(&Tar::default().file("../out", "x").end());
    let error = lab.fails(&["import", Layout::write(&lab.path("l"), &layers).path.to_str().unwrap()]);
    assert!(error.contains(&layers[4].diff_id) && error.contains("entry \"../out\""), "{error}");
    lab.assert_sound();
}
