//! The importer killed at each stage of its work, and beside others: the store has no image or a whole one.

#[path = "support/layout.rs"]
mod layout;

use layout::{Lab, Layout, Tar, gzip};
use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

fn count(directory: &Path) -> usize {
    std::fs::read_dir(directory).map(Iterator::count).unwrap_or_default()
}

/// The importer's directory of work in progress.
fn staging(store: &Path) -> PathBuf {
    let mut directories = std::fs::read_dir(store.join("staging")).into_iter().flatten().flatten();
    directories.next().map(|entry| entry.path()).unwrap_or_default()
}

/// Objects that it has made, which are in directories of their own.
fn new_objects(store: &Path) -> usize {
    let shards = std::fs::read_dir(staging(store).join("objects")).into_iter().flatten().flatten();
    shards.map(|shard| count(&shard.path())).sum()
}

fn layers() -> Vec<layout::Blob> {
    let layer = |from: usize| {
        let files = (from..from + 300).fold(Tar::default(), |tar, number| {
            let tar = if number % 50 == 0 { tar.directory(&format!("d{}", number / 50)) } else { tar };
            tar.file(&format!("d{}/{number}", number / 50), &format!("content of {number}\n").repeat(200))
        });
        gzip(&files.end())
    };
    vec![layer(0), layer(200), layer(600)]
}

/// Starts an import and kills it as soon as `reached` says so of the store.
fn kill_when(lab: &Lab, source: &Path, reached: &dyn Fn(&Path) -> bool) {
    let mut importer = Command::new(env!("CARGO_BIN_EXE_sampan-import"))
        .args(["--name", "localhost/web:latest", "--store"])
        .arg(lab.store())
        .stdin(std::fs::File::open(source).unwrap())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    while importer.try_wait().unwrap().is_none() {
        if reached(&lab.store()) {
            importer.kill().unwrap();
            importer.wait().unwrap();
            return;
        }
    }
}

#[test]
fn a_killed_import_leaves_no_image_or_a_whole_one() {
    let good = Lab::new();
    let layout = Layout::write(&good.path("layout"), &layers());
    let id = good.import(&layout.path, "web");
    let files = good.json(&["files", "web"]);
    let has_rootfs = |store: &Path| {
        std::fs::read_dir(staging(store))
            .into_iter()
            .flatten()
            .flatten()
            .any(|at| at.path().join("rootfs/d5").exists())
    };
    let stages: [&dyn Fn(&Path) -> bool; 7] = [
        &|store| store.join("lock").exists(),
        &|store| new_objects(store) > 10,
        &|store| new_objects(store) > 600,
        &has_rootfs,
        &|store| count(&store.join("objects")) > 10,
        &|store| count(&store.join("layers")) > 0,
        &|store| count(&store.join("images")) > 0,
    ];
    for (number, stage) in stages.iter().enumerate() {
        let lab = Lab::new();
        kill_when(&lab, &layout.path, *stage);
        assert_eq!(lab.succeeds(&["fsck"]), "", "stage {number}");
        for image in lab.json(&["images"]).as_array().unwrap() {
            assert_eq!(image["id"], id.as_str());
            assert_eq!(lab.json(&["files", &id]), files, "stage {number}");
        }
        assert_eq!(lab.import(&layout.path, "web"), id, "stage {number}");
        assert_eq!(lab.json(&["files", "web"]), files, "stage {number}");
        lab.assert_sound();
    }
}

/// Starts a command that goes on beside the test.
fn start(lab: &Lab, words: &[&str]) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sampanctl"));
    command.args(words).arg("--store").arg(lab.store()).stdin(Stdio::piped()).stdout(Stdio::null());
    command.spawn().unwrap()
}

/// Waits until a process waits for a lock, by /proc/locks.
fn wait_for_lock(process: &mut Child) {
    let waits = |line: &str| {
        line.contains("->") && line.split_whitespace().any(|word| word == process.id().to_string())
    };
    while !std::fs::read_to_string("/proc/locks").unwrap().lines().any(waits) {}
    assert!(process.try_wait().unwrap().is_none());
}

#[test]
fn a_slow_import_holds_up_nobody_but_a_collection() {
    let lab = Lab::new();
    let archive = |name: &str| {
        let path = lab.path(&format!("{name}.tar"));
        Layout::write(&lab.path(name), &[gzip(&Tar::default().file("a", name).end())]).archive(&path);
        path
    };
    lab.import(&archive("old"), "old");
    let bytes = std::fs::read(archive("slow")).unwrap();
    let mut slow = start(&lab, &["import", "-", "--name", "slow"]);
    let mut input = slow.stdin.take().unwrap();
    input.write_all(&bytes[..bytes.len() / 2]).unwrap();
    while count(&lab.store().join("staging")) == 0 {}
    lab.import(&archive("quick"), "quick");
    lab.succeeds(&["tag", "quick", "other"]);
    lab.succeeds(&["remove", "old"]);
    let mut collection = start(&lab, &["gc"]);
    wait_for_lock(&mut collection);
    input.write_all(&bytes[bytes.len() / 2..]).unwrap();
    drop(input);
    assert!(slow.wait().unwrap().success() && collection.wait().unwrap().success());
    let images = lab.json(&["images"]);
    let mut names: Vec<&str> = images
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|image| image["names"].as_array().unwrap())
        .map(|name| name.as_str().unwrap())
        .collect();
    names.sort_unstable();
    assert_eq!(names, ["localhost/other:latest", "localhost/quick:latest", "localhost/slow:latest"]);
    lab.assert_sound();
}

#[test]
fn one_image_comes_in_twice_at_the_same_time() {
    let lab = Lab::new();
    let layout = Layout::write(&lab.path("layout"), &layers());
    std::thread::scope(|scope| {
        for number in 0..4 {
            let (lab, layout) = (&lab, &layout);
            scope.spawn(move || lab.import(&layout.path, &format!("web{number}")));
        }
    });
    let images = lab.json(&["images"]);
    assert_eq!(images.as_array().unwrap().len(), 1);
    assert_eq!(images[0]["names"].as_array().unwrap().len(), 4);
    lab.assert_sound();
}

#[test]
fn imports_at_the_same_time_share_what_they_bring() {
    let lab = Lab::new();
    let sources: Vec<PathBuf> = (0..4)
        .map(|number| {
            let tar = Tar::default().file("shared", "shared").file("own", &number.to_string());
            Layout::write(&lab.path(&format!("l{number}")), &[gzip(&tar.end())]).path
        })
        .collect();
    std::thread::scope(|scope| {
        for (number, source) in sources.iter().enumerate() {
            let lab = &lab;
            scope.spawn(move || lab.import(source, &format!("web{number}")));
        }
    });
    assert_eq!(lab.json(&["images"]).as_array().unwrap().len(), 4);
    let inode = |number| std::fs::metadata(lab.rootfs(&format!("web{number}")).join("shared")).unwrap().ino();
    assert!((1..4).all(|number| inode(number) == inode(0)));
    lab.assert_sound();
}
