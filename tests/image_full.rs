//! Stores on file systems that are full or read-only, and writers at the same time. Quotas are injected: see
//! `image_faults.rs`.

mod fault_rig {
    pub mod snapshot;
}
#[path = "support/layout.rs"]
mod layout;

use fault_rig::snapshot::{Snapshot, difference, snapshot};
use layout::{Blob, Lab, Layout, Tar, gzip, plain};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A file system in a file, mounted until dropped.
struct Disk {
    place: PathBuf,
}

fn run(program: &str, arguments: &[&str]) {
    let output = Command::new(program).args(arguments).output().unwrap();
    assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

impl Disk {
    /// Makes one in the lab where its store is to be.
    fn new(lab: &Lab, make: &[&str], size: u64, options: &str) -> Self {
        let file = lab.path("disk");
        std::fs::File::create(&file).unwrap().set_len(size).unwrap();
        let file = file.to_str().unwrap().to_owned();
        run(make[0], &[&make[1..], &[&file]].concat());
        std::fs::create_dir(lab.path("mount")).unwrap();
        let disk = Self { place: lab.path("mount") };
        run("mount", &["-o", &format!("loop{options}"), &file, disk.place.to_str().unwrap()]);
        disk
    }

    fn store(&self) -> PathBuf {
        self.place.join("store")
    }

    fn remount(&self, options: &str) {
        run("mount", &["-o", &format!("remount,{options}"), self.place.to_str().unwrap()]);
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.place).status();
    }
}

fn layer(name: &str, files: usize, size: usize) -> Blob {
    let mut rng = 1u64;
    let mut content = || {
        rng = rng.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        format!("{rng:020}").repeat(size / 20)
    };
    gzip(
        &(0..files)
            .fold(Tar::default(), |tar, number| tar.file(&format!("{name}{number}"), &content()))
            .end(),
    )
}

/// The store after a collection, without the shards of objects, which stay.
fn collected(lab: &Lab) -> Snapshot {
    lab.succeeds(&["gc"]);
    let mut found = snapshot(&lab.store());
    found.retain(|path, _| path.parent() != Some(Path::new("objects")));
    found
}

/// An import that cannot be: refused on one line, and the store is as before, with nothing left over.
fn refused(lab: &Lab, source: &Path, reason: &str) {
    let before = collected(lab);
    let error = lab.fails(&["import", source.to_str().unwrap(), "--name", "big"]);
    assert!(error.contains(reason), "{error}");
    lab.assert_sound();
    let after = collected(lab);
    assert!(before == after, "{error}\n{}", difference(&before, &after));
}

fn lab_on(make: &[&str], size: u64, options: &str) -> (Lab, Disk) {
    let lab = Lab::new();
    let disk = Disk::new(&lab, make, size, options);
    std::os::unix::fs::symlink(disk.store(), lab.store()).unwrap();
    std::fs::create_dir(disk.store()).unwrap();
    lab.import(&Layout::write(&lab.path("small"), &[layer("s", 20, 400)]).path, "small");
    (lab, disk)
}

const EXT4: &[&str] = &["mkfs.ext4", "-q", "-F", "-m", "0"];

#[test]
fn a_full_disk_loses_nothing_and_can_be_freed() {
    let (lab, _disk) = lab_on(EXT4, 24 << 20, "");
    let big = Layout::write(&lab.path("big"), &[layer("b", 60, 1 << 20)]).path;
    refused(&lab, &big, "No space left on device");
    // Not one byte is left, and what is there can still be listed, checked and removed.
    let filler = lab.path("mount/filler");
    let mut file = std::fs::File::create(&filler).unwrap();
    while std::io::Write::write_all(&mut file, &[1; 4096]).is_ok() {}
    let other = Layout::write(&lab.path("other"), &[layer("o", 20, 400)]).path;
    assert!(lab.fails(&["import", other.to_str().unwrap(), "--name", "o"]).contains("No space left"));
    lab.assert_sound();
    lab.succeeds(&["images"]);
    lab.succeeds(&["remove", "small"]);
    lab.succeeds(&["gc"]);
    drop(file);
    std::fs::remove_file(filler).unwrap();
    lab.import(&other, "o");
    lab.assert_sound();
}

#[test]
fn a_copy_that_does_not_fit_is_no_fault_of_what_is_copied() {
    let (lab, _disk) = lab_on(EXT4, 24 << 20, "");
    let folder = lab.path("tree");
    std::fs::create_dir_all(folder.join("usr")).unwrap();
    let mut random = std::fs::File::open("/dev/urandom").unwrap();
    let mut large = std::fs::File::create(folder.join("usr/large")).unwrap();
    std::io::copy(&mut random.by_ref().take(40 << 20), &mut large).unwrap();
    refused(&lab, &folder, "cannot write a copy of \"/usr/large\" into the store: No space left on device");
    let archive = lab.path("tree.tar.gz");
    run("tar", &["-czf", archive.to_str().unwrap(), "-C", folder.to_str().unwrap(), "usr"]);
    refused(&lab, &archive, "cannot write a copy of archive into the store: No space left on device");
}

#[test]
fn a_disk_without_inodes_loses_nothing() {
    let (lab, _disk) = lab_on(&["mkfs.ext4", "-q", "-F", "-m", "0", "-N", "256"], 32 << 20, "");
    refused(&lab, &Layout::write(&lab.path("many"), &[layer("m", 600, 40)]).path, "No space left on device");
}

#[test]
fn attributes_that_the_file_system_does_not_keep_are_named() {
    let (lab, _disk) = lab_on(EXT4, 24 << 20, "");
    let value = [b'x'; 3000];
    let many = [("SCHILY.xattr.user.a", value.as_slice()), ("SCHILY.xattr.user.b", &value)];
    let layers = [
        Tar::default().pax(&many).file("labelled", "x"),
        Tar::default().pax(&many).file("labelled", ""),
        Tar::default().pax(&many).directory("labelled"),
    ];
    for (number, tar) in layers.into_iter().enumerate() {
        let source = Layout::write(&lab.path(&format!("l{number}")), &[gzip(&tar.end())]).path;
        let error = lab.fails(&["import", source.to_str().unwrap(), "--name", "big"]);
        assert!(
            error.contains("labelled") && error.contains("extended attributes are 6012 bytes"),
            "{error}"
        );
        assert!(!error.contains("No space left"), "{error}");
    }
    lab.assert_sound();
}

#[test]
fn a_store_that_is_read_only_is_read_and_not_written() {
    let (lab, disk) = lab_on(EXT4, 24 << 20, "");
    let other = Layout::write(&lab.path("other"), &[layer("o", 5, 400)]).path;
    disk.remount("ro");
    let before = snapshot(&lab.store());
    for command in [&["import", other.to_str().unwrap(), "--name", "o"][..], &["remove", "small"], &["gc"]] {
        assert!(lab.fails(command).contains("Read-only file system"), "{command:?}");
    }
    assert_eq!(lab.succeeds(&["fsck"]), "");
    lab.succeeds(&["inspect", "small"]);
    assert!(snapshot(&lab.store()) == before);
    disk.remount("rw");
    lab.import(&other, "o");
    lab.assert_sound();
}

#[test]
fn a_store_on_tmpfs_is_limited_by_memory() {
    let lab = Lab::new();
    std::fs::create_dir(lab.path("mount")).unwrap();
    let disk = Disk { place: lab.path("mount") };
    run("mount", &["-t", "tmpfs", "-o", "size=8M", "tmpfs", disk.place.to_str().unwrap()]);
    std::os::unix::fs::symlink(disk.store(), lab.store()).unwrap();
    std::fs::create_dir(disk.store()).unwrap();
    lab.import(&Layout::write(&lab.path("small"), &[layer("s", 20, 400)]).path, "small");
    refused(
        &lab,
        &Layout::write(&lab.path("big"), &[layer("b", 20, 1 << 20)]).path,
        "No space left on device",
    );
}

#[test]
fn writers_at_the_same_time_wait_for_each_other_and_lose_nothing() {
    let lab = Lab::new();
    let shared = || layer("shared", 40, 2000);
    let sources: Vec<PathBuf> = (0..3)
        .map(|number| {
            Layout::write(
                &lab.path(&format!("l{number}")),
                &[shared(), layer(&format!("{number}-"), 20, 400)],
            )
            .path
        })
        .collect();
    std::thread::scope(|scope| {
        for (number, source) in sources.iter().enumerate() {
            let lab = &lab;
            let name = format!("web{number}");
            scope.spawn(move || {
                for _ in 0..4 {
                    lab.import(source, &name);
                    lab.succeeds(&["remove", &name]);
                }
                lab.import(source, &name);
            });
        }
        scope.spawn(|| (0..12).for_each(|_| drop(lab.sampanctl(&["gc"]))));
        // A check takes no lock: what it sees going is no damage.
        scope.spawn(|| {
            while !lab.store().join("format").exists() {
                std::thread::yield_now();
            }
            (0..12).for_each(|_| assert_eq!(lab.succeeds(&["fsck"]), ""));
        });
    });
    for number in 0..3 {
        assert_eq!(lab.json(&["files", &format!("web{number}")]).as_array().unwrap().len(), 61);
    }
    lab.assert_sound();
    lab.succeeds(&["gc"]);
    lab.assert_sound();
}

#[test]
fn more_equal_files_than_an_inode_has_names() {
    let lab = Lab::new();
    // One file under 64,100 names of one image is no image that a file system could hold.
    let tar = (0..64_100)
        .fold(Tar::default().file("a", "x"), |tar, number| tar.hard_link(&format!("l{number}"), "a"));
    let layout = Layout::write(&lab.path("links"), &[plain(tar.end())]);
    let error = lab.fails(&["import", layout.path.to_str().unwrap(), "--name", "links"]);
    assert!(error.contains("names"), "{error}");
    assert_eq!(lab.succeeds(&["fsck"]), "");
}
