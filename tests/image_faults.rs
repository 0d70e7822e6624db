//! Every system call that touches the store, failed and killed in turn: the store is as before or as after.
//!
//! It has a `main` of its own, since the program starts itself again below a filter. `SAMPAN_FAULTS=all` injects
//! every fault at every call (`tests/soak faults`); otherwise some calls of each change are chosen.

mod fault_rig;
#[path = "support/layout.rs"]
mod layout;

use fault_rig::become_program_if_asked;
use fault_rig::scenario::Kind::{AllOrNothing, Heals, Once};
use fault_rig::scenario::Scenario;
use layout::{Blob, Entry, Lab, Layout, Tar, gzip, plain, zstd};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

const TEST: &str = "a_fault_at_any_call_leaves_the_store_as_before_or_as_after";

fn main() {
    become_program_if_asked();
    let arguments: Vec<String> = std::env::args().collect();
    let has = |word: &str| arguments.iter().any(|argument| argument == word);
    match () {
        () if has("--list") && has("--ignored") => {}
        () if has("--list") => println!("{TEST}: test"),
        () => a_fault_at_any_call_leaves_the_store_as_before_or_as_after(),
    }
}

fn a_fault_at_any_call_leaves_the_store_as_before_or_as_after() {
    let lab = Lab::new();
    let all = std::env::var("SAMPAN_FAULTS").is_ok_and(|faults| faults == "all");
    let only = std::env::var("SAMPAN_FAULTS_IN").unwrap_or_default();
    let mut broken = Vec::new();
    for (scenario, step) in scenarios(&lab).into_iter().filter(|(scenario, _)| scenario.name.contains(&only))
    {
        let tally = scenario.play(lab.directory.path(), if all { 1 } else { step });
        println!("{}: {tally}", scenario.name);
        if all {
            println!("  {:?}", tally.hits);
        }
        broken.extend(tally.broken);
    }
    assert!(broken.is_empty(), "{} faults\n{}", broken.len(), broken.join("\n"));
}

/// A layer with every kind of inode, a file that is too large for memory, and equal files.
fn base() -> Blob {
    let large = "large ".repeat(400_000);
    let tar = Tar::default()
        .directory("bin")
        .file("bin/tool", "tool")
        .hard_link("bin/same", "bin/tool")
        .symlink("bin/link", "tool")
        .file("bin/twin", "twin")
        .file("bin/zwin", "twin")
        .file("large", &large)
        .file("empty", "")
        .entry(&Entry { name: "pipe", typeflag: b'6', mode: 0o620, ..Entry::default() });
    let capability = [&[1u8, 0, 0, 2, 0, 4, 0, 0][..], &[0; 12]].concat();
    let attributes =
        [("SCHILY.xattr.security.capability", capability.as_slice()), ("SCHILY.xattr.user.a", b"b")];
    gzip(&tar.pax(&attributes).file("bin/ping", "ping").end())
}

fn layers(other: &str) -> Vec<Blob> {
    let middle = Tar::default().directory("etc").file("etc/name", other).file("etc/.wh.none", "");
    let top = Tar::default().directory("bin").file("bin/.wh.tool", "").file("bin/new", &other.repeat(3));
    vec![base(), zstd(&middle.end()), plain(top.end())]
}

fn importer() -> Vec<OsString> {
    [env!("CARGO_BIN_EXE_sampan-import"), "--name", "localhost/web:latest", "--store"]
        .map(OsString::from)
        .to_vec()
}

fn sampanctl(words: &[&str]) -> Vec<OsString> {
    [&[env!("CARGO_BIN_EXE_sampanctl")], words, &["--store"]]
        .concat()
        .into_iter()
        .map(OsString::from)
        .collect()
}

/// A store with these images, by name.
fn store_with(lab: &Lab, store: &str, images: &[(&str, &Path)]) -> PathBuf {
    let path = lab.path(store);
    for (name, source) in images {
        succeeds(&["import", source.to_str().unwrap(), "--name", name], &path);
    }
    path
}

fn succeeds(words: &[&str], store: &Path) {
    let command = sampanctl(words);
    let output = Command::new(&command[0]).args(&command[1..]).arg(store).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Damage to objects, a tree, an index and a record, all of which can be restored.
fn damage(store: &Path) {
    let images = children(&store.join("images"));
    for object in children(&store.join("objects")).iter().flat_map(|shard| children(shard)) {
        std::os::unix::fs::chown(object, Some(0), None).unwrap();
    }
    std::fs::remove_dir_all(images[0].join("rootfs/bin")).unwrap();
    std::fs::write(images[0].join("record"), "{").unwrap();
    std::fs::remove_file(images.last().unwrap().join("index")).unwrap();
}

fn children(directory: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).unwrap();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

/// Each change, with how many of its calls are passed over in a short run.
fn scenarios(lab: &Lab) -> Vec<(Scenario, usize)> {
    let one = Layout::write(&lab.path("one"), &layers("one")).path;
    let two = Layout::write(&lab.path("two"), &layers("two")).path;
    let with_one = store_with(lab, "with-one", &[("other", &one)]);
    let with_both = store_with(lab, "with-both", &[("other", &one), ("web", &two)]);
    let archive = lab.path("two.tar");
    Layout { path: two.clone() }.archive(&archive);
    let scenario = |name, before: &Path, command, input: Option<&Path>, kind| Scenario {
        name,
        before: before.to_owned(),
        command,
        input: input.map(Path::to_owned),
        kind,
    };
    let nowhere = lab.path("nowhere");
    let with_garbage = store_with(lab, "with-garbage", &[("other", &one), ("web", &two)]);
    succeeds(&["remove", "web"], &with_garbage);
    let damaged = store_with(lab, "damaged", &[("other", &one), ("web", &two)]);
    damage(&damaged);
    let damaged_web = store_with(lab, "damaged-web", &[("web", &two)]);
    damage(&damaged_web);
    vec![
        (scenario("import beside an image", &with_one, importer(), Some(&two), AllOrNothing), 17),
        (scenario("import into no store", &nowhere, importer(), Some(&archive), AllOrNothing), 31),
        (scenario("import again", &with_both, importer(), Some(&two), AllOrNothing), 13),
        (scenario("remove", &with_both, sampanctl(&["remove", "web"]), None, Once), 7),
        (scenario("gc", &with_garbage, sampanctl(&["gc"]), None, AllOrNothing), 11),
        (scenario("repair", &damaged, sampanctl(&["fsck", "--repair"]), None, Heals), 37),
        (scenario("import over damage", &damaged_web, importer(), Some(&two), Heals), 41),
    ]
}
