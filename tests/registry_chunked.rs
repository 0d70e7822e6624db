//! Layers in the form zstd:chunked: of those only what the store has not is fetched, and nothing in them is believed.

mod fault_rig {
    pub mod snapshot;
}
#[path = "support/chunked.rs"]
mod chunked;
#[path = "support/layout.rs"]
mod layout;
#[path = "support/registry.rs"]
mod registry;

use chunked::{Chunked, unpack};
use fault_rig::snapshot::{difference, snapshot};
use layout::{Entry, Lab, Layout, Tar, digest, gzip};
use registry::{Front, Registry, Reply, Request, ask, fails, pulls, split};
use serde_json::{Value, json};
use std::io::Write as _;
use std::path::Path;
use zstd_chunked::MetadataReferences;

/// Bytes that do not pack.
fn noise(seed: usize, length: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64 ^ (seed as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    (0..length).map(|_| next()).collect()
}

const FILES: usize = 100;
/// The one file that the second image has instead of another content, of more than one chunk.
const CHANGED: usize = 40;

/// An archive of 100 files of 30 kB, of which `version` is in the 41st.
fn archive(version: usize) -> Vec<u8> {
    let mut tar = Tar::default().directory("srv/");
    for number in 0..FILES {
        let body = match number {
            CHANGED => noise(1000 + version, 150_000),
            number => noise(number, 30_000),
        };
        let name = format!("srv/{number}");
        let mode = if number % 7 == 0 { 0o755 } else { 0o644 };
        tar = tar.entry(&Entry { name: &name, mode, body: &body, ..Entry::default() });
    }
    tar.file("srv/empty", "").symlink("srv/link", "0").hard_link("srv/hard", "srv/1").end()
}

/// A registry with the image `web:1` in plain form, and a store that has it.
struct Host {
    lab: Lab,
    registry: Registry,
}

impl Host {
    fn new() -> Self {
        let lab = Lab::new();
        let registry = Registry::plain(&lab);
        let layout = Layout::write(&lab.path("first"), &[gzip(&archive(1))]);
        registry.push(&layout.path, "web:1", &[]);
        let name = format!("{}/web:1", registry.host());
        pulls(&lab, &[&name], &[]);
        Self { lab, registry }
    }

    /// Pushes a layer as the image `web:2`.
    fn push(&self, layer: Chunked) -> Layout {
        let notes = |documents: &mut layout::Documents| {
            documents.manifest["layers"][0]["annotations"] = layer.annotations.clone();
        };
        let path = self.lab.path("second");
        let layout = Layout::write_with(&path, std::slice::from_ref(&layer.blob), &mut { notes });
        self.registry.push(&layout.path, "web:2", &[]);
        layout
    }

    /// A front that hands everything on.
    fn front(&self) -> Front {
        Front::start(self.registry.port, |_| Reply::Forward)
    }

    /// The second image is what it is in a store of its own that never saw parts.
    fn assert_equal(&self, name: &str, layout: &Layout) {
        let other = Lab::new();
        other.import(&layout.path, "whole");
        assert_eq!(self.lab.json(&["files", name]), other.json(&["files", "whole"]));
        self.lab.assert_sound();
    }
}

/// Bytes of blobs that were asked for by ranges, and how often a layer was asked for as a whole.
fn fetched(front: &Front, layer: &str) -> (u64, usize) {
    let requests = front.requests();
    let of_layer: Vec<&Request> = requests.iter().filter(|request| request.path.contains(layer)).collect();
    let ranges = of_layer.iter().filter_map(|request| request.header("range"));
    let bytes = ranges.map(|range| {
        let (start, end) = range.trim_start_matches("bytes=").split_once('-').unwrap();
        end.parse::<u64>().unwrap() + 1 - start.parse::<u64>().unwrap()
    });
    let whole = of_layer.iter().filter(|request| request.header("range").is_none()).count();
    (bytes.sum(), whole)
}

/// The layers of these tests are in the form, as another reader of it sees them.
#[test]
fn another_reader_puts_the_same_archive_together() {
    let layer = Chunked::pack(&archive(2));
    let blob = &layer.blob.bytes;
    let frames = |references: MetadataReferences| {
        [references.manifest.range, references.tarsplit.range]
            .map(|range| blob[range.start as usize..range.end as usize].to_vec())
    };
    let notes = |name: &str| match &layer.annotations[name] {
        Value::String(text) => Some(text),
        _ => None,
    };
    let found = frames(MetadataReferences::from_footer(&blob[blob.len() - 72..]).unwrap());
    assert_eq!(found, frames(MetadataReferences::from_oci(notes).unwrap()));
    let mut plain = Vec::new();
    zstd_chunked::Stream::new_from_frames(&found[0], &found[1])
        .unwrap()
        .write_to(&mut plain, |content| {
            Ok(unpack(&blob[content.range.start as usize..content.range.end as usize]))
        })
        .unwrap();
    assert!(plain == archive(2));
}

#[test]
fn only_what_is_missing_is_fetched() {
    let host = Host::new();
    let layer = Chunked::pack(&archive(2));
    assert_eq!(unpack(&layer.blob.bytes), archive(2), "any reader of zstd sees the archive");
    let (name, size) = (digest(&layer.blob.bytes), layer.blob.bytes.len() as u64);
    let layout = host.push(layer);
    let front = host.front();
    let image = format!("{}/web:2", front.host());
    pulls(&host.lab, &[&image], &[]);
    let (bytes, whole) = fetched(&front, &name);
    assert_eq!(whole, 0, "the layer was not fetched whole");
    assert!(bytes > 150_000 && bytes < size / 10, "{bytes} of {size} bytes");
    host.assert_equal(&image, &layout);
}

#[test]
fn nothing_is_fetched_of_a_layer_of_known_files() {
    let host = Host::new();
    // The same files in another order make another layer.
    let moved = Tar::default().directory("new/").0;
    let layer = Chunked::pack(&[moved, archive(1)].concat());
    let name = digest(&layer.blob.bytes);
    let layout = host.push(layer);
    let front = host.front();
    let image = format!("{}/web:2", front.host());
    pulls(&host.lab, &[&image], &[]);
    let (bytes, whole) = fetched(&front, &name);
    assert!(whole == 0 && bytes < 20_000, "{bytes} bytes, {whole} times whole");
    host.assert_equal(&image, &layout);
}

#[test]
fn a_layer_of_which_little_is_known_is_fetched_whole() {
    let host = Host::new();
    let other: Tar = (0..FILES).fold(Tar::default(), |tar, number| {
        tar.entry(&Entry {
            name: &format!("srv/{number}"),
            body: &noise(5000 + number, 30_000),
            ..Entry::default()
        })
    });
    let layer = Chunked::pack(&other.end());
    let name = digest(&layer.blob.bytes);
    let layout = host.push(layer);
    let front = host.front();
    let image = format!("{}/web:2", front.host());
    pulls(&host.lab, &[&image], &[]);
    let (bytes, whole) = fetched(&front, &name);
    assert!(whole == 1 && bytes < 20_000, "{bytes} bytes in parts, {whole} times whole");
    host.assert_equal(&image, &layout);
    // An empty store has nothing to offer, and does not even look.
    let empty = Lab::new();
    let front = host.front();
    pulls(&empty, &[&format!("{}/web:2", front.host())], &[]);
    assert_eq!(fetched(&front, &name), (0, 1));
}

#[test]
fn a_registry_without_ranges_sends_the_whole() {
    let host = Host::new();
    let layer = Chunked::pack(&archive(2));
    let name = digest(&layer.blob.bytes);
    let layout = host.push(layer);
    let port = host.registry.port;
    let front = Front::start(port, move |request| {
        let mut whole = request.clone();
        whole.headers.remove("range");
        let answer = ask(port, &whole);
        Reply::Raw(Box::new(move |stream| {
            // The client may hang up when it sees that this is no part.
            let _ = stream.write_all(&answer);
        }))
    });
    let image = format!("{}/web:2", front.host());
    pulls(&host.lab, &[&image], &[]);
    assert_eq!(fetched(&front, &name).1, 1);
    host.assert_equal(&image, &layout);
}

#[test]
fn parts_that_break_off_go_on_where_they_were() {
    let host = Host::new();
    let layer = Chunked::pack(&archive(2));
    let name = digest(&layer.blob.bytes);
    let layout = host.push(layer);
    let port = host.registry.port;
    let front = Front::start(port, move |request| match request.header("range") {
        Some(_) => {
            let (head, body) = split(&ask(port, request));
            Reply::Raw(Box::new(move |stream| {
                stream.write_all(head.as_bytes()).unwrap();
                stream.write_all(&body[..body.len().min(100_000)]).unwrap();
            }))
        }
        None => Reply::Forward,
    });
    let image = format!("{}/web:2", front.host());
    pulls(&host.lab, &[&image], &[]);
    assert_eq!(fetched(&front, &name).1, 0, "the layer was not fetched whole");
    host.assert_equal(&image, &layout);
}

#[test]
fn a_damaged_file_of_the_store_is_not_believed() {
    let host = Host::new();
    let layout = host.push(Chunked::pack(&archive(2)));
    let first = format!("{}/web:1", host.registry.host());
    let victim = host.lab.rootfs(&first).join("srv/3");
    let whole = std::fs::read(&victim).unwrap();
    std::fs::write(&victim, noise(9, whole.len())).unwrap();
    let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(0o15000000000);
    std::fs::File::options().write(true).open(&victim).unwrap().set_modified(time).unwrap();
    let image = format!("{}/web:2", host.registry.host());
    pulls(&host.lab, &[&image], &[]);
    assert_eq!(std::fs::read(&victim).unwrap(), whole, "the layer was read whole, and healed the file");
    host.assert_equal(&image, &layout);
}

/// The entry of a file in a table of contents.
fn entry<'a>(contents: &'a mut Value, name: &str) -> &'a mut Value {
    let entries = contents["entries"].as_array_mut().unwrap();
    entries.iter_mut().find(|entry| entry["name"] == name && entry["type"] == "reg").unwrap()
}

type Change = dyn Fn(&mut Value, &mut Vec<Value>);

/// Ways in which tables lie.
fn lies() -> Vec<(&'static str, Box<Change>)> {
    let changed = format!("srv/{CHANGED}");
    let on = move |change: fn(&mut Value)| {
        let name = changed.clone();
        Box::new(move |contents: &mut Value, _: &mut Vec<Value>| change(entry(contents, &name)))
            as Box<Change>
    };
    vec![
        ("the digest of a file", on(|file| file["digest"] = json!(digest(b"other")))),
        ("a known file instead of one that is not", {
            // The content of another file that the store has, in its size and with its metadata.
            Box::new(|contents, _| entry(contents, "srv/2")["digest"] = json!(digest(&noise(3, 30_000))))
        }),
        ("no digest", on(|file| file["digest"] = json!(""))),
        ("a size", on(|file| file["size"] = json!(149_999))),
        ("a huge size", on(|file| file["size"] = json!(u64::MAX))),
        ("an offset of another file", on(|file| file["offset"] = json!(600))),
        ("an end before the offset", on(|file| file["endOffset"] = json!(1))),
        ("an end behind the blob", on(|file| file["endOffset"] = json!(1_u64 << 60))),
        ("an end too late", on(|file| file["endOffset"] = json!(file["endOffset"].as_u64().unwrap() + 30))),
        ("an end too early", on(|file| file["endOffset"] = json!(file["endOffset"].as_u64().unwrap() - 30))),
        ("a version", Box::new(|contents, _| contents["version"] = json!(2))),
        ("entries", Box::new(|contents, _| contents["entries"] = json!("none"))),
        ("fewer files", Box::new(|contents, _| drop(contents["entries"].as_array_mut().unwrap().pop()))),
        ("files that are not there", {
            Box::new(|contents, _| {
                let again = entry(contents, "srv/3").clone();
                contents["entries"].as_array_mut().unwrap().push(again);
            })
        }),
        ("a tar-split of other headers", {
            Box::new(|_, lines| {
                let payload = lines[2]["payload"].as_str().unwrap().replace('A', "B");
                lines[2]["payload"] = json!(payload);
            })
        }),
        ("a tar-split of other sizes", {
            Box::new(|_, lines| {
                let file = lines.iter_mut().find(|line| line["size"].as_u64().unwrap_or(0) > 0).unwrap();
                file["size"] = json!(1);
            })
        }),
        ("a tar-split without its end", Box::new(|_, lines| lines.truncate(50))),
        ("a tar-split of unknown lines", Box::new(|_, lines| lines[3] = json!({ "type": 9 }))),
    ]
}

#[test]
fn tables_that_lie_change_nothing() {
    let host = Host::new();
    let first = format!("{}/web:1", host.registry.host());
    let before = host.lab.json(&["files", &first]);
    for (what, change) in lies() {
        let layer = Chunked::pack_with(&archive(2), &mut |contents, lines| change(contents, lines));
        let layout = host.push(layer);
        let image = format!("{}/web:2", host.registry.host());
        pulls(&host.lab, &[&image], &[]);
        assert_eq!(host.lab.json(&["files", &first]), before, "{what}");
        host.assert_equal(&image, &layout);
        host.lab.succeeds(&["remove", &image]);
        host.lab.succeeds(&["gc"]);
        std::fs::remove_dir_all(layout.path).unwrap();
    }
}

#[test]
fn annotations_that_lie_change_nothing() {
    for (note, text) in [
        ("manifest-checksum", digest(b"other")),
        ("manifest-checksum", "sha256:x".to_owned()),
        ("manifest-position", "0:500:1000:1".to_owned()),
        ("manifest-position", "18446744073709551615:2:3:1".to_owned()),
        ("manifest-position", "1:2".to_owned()),
        ("tarsplit-position", "0:500:1000".to_owned()),
        ("tarsplit-checksum", digest(b"other")),
    ] {
        let host = Host::new();
        let mut layer = Chunked::pack(&archive(2));
        let name = digest(&layer.blob.bytes);
        layer.note(note, &text);
        let layout = host.push(layer);
        let front = host.front();
        let image = format!("{}/web:2", front.host());
        pulls(&host.lab, &[&image], &[]);
        assert_eq!(fetched(&front, &name).1, 1, "{note} {text}: it was fetched whole");
        host.assert_equal(&image, &layout);
    }
}

#[test]
fn tables_that_unpack_without_end_are_left() {
    let host = Host::new();
    let bomb = json!({ "type": "reg", "name": "0".repeat(200 << 20) });
    let layer = Chunked::pack_with(&archive(2), &mut |contents, _| {
        contents["entries"].as_array_mut().unwrap().insert(0, bomb.clone());
    });
    let layout = host.push(layer);
    let image = format!("{}/web:2", host.registry.host());
    pulls(&host.lab, &[&image], &[]);
    host.assert_equal(&image, &layout);
}

#[test]
fn a_layer_that_is_wrong_is_refused_as_a_whole_one_is() {
    let host = Host::new();
    let outside = Tar::default().file("../evil", "evil").0;
    let mut another = Chunked::pack(&archive(2));
    another.blob.diff_id = digest(b"other");
    for (layer, reason) in [
        (another, "unpacked: the digest is wrong"),
        (Chunked::pack(&[outside, archive(2)].concat()), "the name contains \"..\""),
    ] {
        let name = digest(&layer.blob.bytes);
        let layout = host.push(layer);
        let front = host.front();
        let before = snapshot(&host.lab.store());
        let error = fails(&host.lab, &[&format!("{}/web:2", front.host())], &[]);
        assert!(error.contains(reason), "{error}");
        let (bytes, whole) = fetched(&front, &name);
        assert!(bytes > 0 && whole > 0, "the whole layer decided");
        let after = snapshot(&host.lab.store());
        assert!(before == after, "{}", difference(&before, &after));
        std::fs::remove_dir_all(layout.path).unwrap();
    }
    host.lab.assert_sound();
}

/// Of eStargz each member is gzip, and its table is in a form of its own.
#[test]
fn estargz_is_read_as_the_gzip_that_it_is() {
    let host = Host::new();
    let tar = archive(2);
    let members: Vec<u8> = tar.chunks(64 << 10).flat_map(|part| gzip(part).bytes).collect();
    let blob = layout::Blob { bytes: members, diff_id: digest(&tar), ..gzip(b"") };
    let name = digest(&blob.bytes);
    let annotations = json!({ "containerd.io/snapshot/stargz/toc.digest": digest(b"table"),
        "io.containers.estargz.uncompressed-size": tar.len().to_string() });
    let layout = host.push(Chunked { blob, annotations });
    let front = host.front();
    let image = format!("{}/web:2", front.host());
    pulls(&host.lab, &[&image], &[]);
    assert_eq!(fetched(&front, &name), (0, 1));
    host.assert_equal(&image, &layout);
}

/// Real packages, and the figures of them.
#[test]
fn an_upgrade_of_one_package_costs_little_more_than_that_package() {
    let host = Host::new();
    let lower = tree(&host.lab, &["coreutils", "tar", "grep", "findutils"], "1");
    let upper = tree(&host.lab, &["coreutils", "tar", "grep", "findutils", "sed"], "2");
    let base = Layout::write(&host.lab.path("base"), &[gzip(&lower)]);
    host.lab.import(&base.path, "base");
    let layer = Chunked::pack(&upper);
    let (name, size) = (digest(&layer.blob.bytes), layer.blob.bytes.len() as u64);
    let layout = host.push(layer);
    let front = host.front();
    let image = format!("{}/web:2", front.host());
    pulls(&host.lab, &[&image], &[]);
    let (bytes, whole) = fetched(&front, &name);
    assert!(whole == 0 && bytes < size / 4, "{bytes} of {size} bytes, {whole} times whole");
    host.assert_equal(&image, &layout);
}

/// The files that packages have on this machine, as one archive.
fn tree(lab: &Lab, packages: &[&str], name: &str) -> Vec<u8> {
    let listed = std::process::Command::new("dpkg-query").arg("--listfiles").args(packages).output().unwrap();
    let text = String::from_utf8(listed.stdout).unwrap();
    let files: std::collections::BTreeSet<&str> =
        text.lines().filter(|line| Path::new(line).symlink_metadata().is_ok_and(|it| it.is_file())).collect();
    let files: String = files.iter().map(|file| format!("{}\n", file.trim_start_matches('/'))).collect();
    let (list, archive) = (lab.path(&format!("{name}.list")), lab.path(&format!("{name}.tar")));
    std::fs::write(&list, files).unwrap();
    let status = std::process::Command::new("tar")
        .args(["--format=ustar", "--sort=name", "-C", "/", "-cf"])
        .arg(&archive)
        .arg("-T")
        .arg(&list)
        .status()
        .unwrap();
    assert!(status.success());
    std::fs::read(archive).unwrap()
}
