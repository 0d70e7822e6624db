//! The fuzz targets on a bounded number of changed seeds, the same at each run, and the tar reader against others.

#[path = "support/chunked.rs"]
mod chunked;
mod fuzz_rig;
#[path = "support/layout.rs"]
mod layout;
#[path = "../fuzz/targets.rs"]
mod targets;

use chunked::Chunked;
use fuzz_rig::{Rng, change, reseal};
use layout::{Entry, Layout, Tar, gzip};
use std::process::Command;

/// Changed seeds of each target; `SAMPAN_FUZZ` sets another number.
fn rounds() -> usize {
    std::env::var("SAMPAN_FUZZ").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(2000)
}

/// Runs a target on the seeds and on changes of them. A panic tells the seed's number and the round.
fn fuzz(seeds: &[Vec<u8>], target: fn(&[u8]), mend: fn(&mut [u8])) {
    seeds.iter().for_each(|seed| target(seed));
    let mut rng = Rng(0x5eed);
    for round in 0..rounds() {
        let seed = round % seeds.len();
        let mut bytes = seeds[seed].clone();
        change(&mut bytes, &seeds[rng.below(seeds.len())], &mut rng);
        mend(&mut bytes);
        let result = std::panic::catch_unwind(|| target(&bytes));
        assert!(result.is_ok(), "seed {seed}, round {round}: {:?}", bytes.escape_ascii().to_string());
    }
}

/// Archives of GNU tar, in all its forms, of files that the machine has, and of the tests' own kinds.
fn archives() -> Vec<Vec<u8>> {
    let of_tar = |format: &str| {
        let mut tar = Command::new("tar");
        tar.args(["-C", "/usr", "-c", &format!("--format={format}"), "share/doc/gzip", "lib/os-release"]);
        tar.output().unwrap().stdout
    };
    let mut archives: Vec<Vec<u8>> = ["v7", "ustar", "gnu", "oldgnu", "posix"].map(of_tar).to_vec();
    assert!(archives.iter().all(|archive| archive.len() > 4096));
    archives.push(
        Tar::default()
            .directory("d")
            .file("d/a", "x")
            .hard_link("d/b", "d/a")
            .symlink("d/s", "../x")
            .file("d/.wh.c", "")
            .file("d/.wh..wh..opq", "")
            .pax(&[("path", b"long"), ("SCHILY.xattr.user.x", b"y"), ("mtime", b"1.5"), ("size", b"1")])
            .file("e", "x")
            .entry(&Entry { name: "././@LongLink", typeflag: b'L', body: b"gnu/long\0", ..Entry::default() })
            .file("f", "x")
            .end(),
    );
    archives
}

#[test]
fn layers_of_any_bytes() {
    fuzz(&archives(), targets::layers, |_| {});
    fuzz(&archives(), targets::layers, reseal);
}

#[test]
fn documents_of_any_bytes() {
    let directory = tempfile::tempdir().unwrap();
    let layout = Layout::write(directory.path(), &[gzip(&Tar::default().file("a", "x").end())]);
    let blobs = std::fs::read_dir(layout.path.join("blobs/sha256")).unwrap();
    let mut seeds: Vec<Vec<u8>> = blobs.map(|blob| std::fs::read(blob.unwrap().path()).unwrap()).collect();
    seeds.retain(|seed| seed.starts_with(b"{"));
    seeds.push(std::fs::read(layout.path.join("index.json")).unwrap());
    fuzz(&seeds, targets::documents, |_| {});
}

/// A zstd:chunked layer as the target takes it: both tables, plain, and the blob.
fn tables(archive: &[u8]) -> Vec<u8> {
    let (mut contents, mut split) = (Default::default(), String::new());
    let layer = Chunked::pack_with(archive, &mut |table: &mut serde_json::Value, lines| {
        contents = table.clone();
        split = lines.iter().map(|line| format!("{line}\n")).collect();
    });
    [format!("{contents}\n{split}\n").as_bytes(), &layer.blob.bytes].concat()
}

#[test]
fn tables_of_any_bytes() {
    let large =
        Tar::default().directory("d").file("d/a", "x").symlink("d/s", "a").file("b", &"long ".repeat(30_000));
    let archives = [large.end(), Tar::default().file("a", "a").file("b", "b").end()];
    let seeds = archives.each_ref().map(|archive| tables(archive));
    for (seed, archive) in seeds.iter().zip(&archives) {
        assert!(targets::rebuilt(seed).is_some_and(|plain| plain == *archive), "they are true to begin with");
    }
    fuzz(&seeds, targets::tables, |_| {});
}

#[test]
fn references_of_any_bytes() {
    let seeds = [
        "docker.io/library/nginx:1.27",
        "localhost:5000/a/b__c-d.e:tag",
        "nginx",
        "sha256:abcd",
        "registry.example.com/web@sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    ];
    fuzz(&seeds.map(|seed| seed.as_bytes().to_vec()), targets::references, |_| {});
}

#[test]
fn indexes_of_any_bytes() {
    use sampan::image::layer::entries_of;
    let mut seeds = Vec::new();
    for archive in archives() {
        let entries = entries_of(archive.as_slice(), &Default::default()).unwrap();
        let entries = &entries[..entries.len().min(20)];
        let index = sampan::store::write_index(entries).unwrap();
        let body = index.iter().position(|byte| *byte == b'\n').unwrap() + 1;
        seeds.push(index[body..].to_vec());
    }
    fuzz(&seeds, targets::indexes, |_| {});
}
