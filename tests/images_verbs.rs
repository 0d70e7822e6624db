//! What the verbs over images say and refuse: sizes, differences, names, who uses what.

#[path = "support/layout.rs"]
mod layout;

use layout::{Blob, Entry, Lab, Layout, Tar, gzip, plain};
use serde_json::{Value, json};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

/// Bytes of what [`base`] brings.
const BASE: u64 = 4;

/// Runs a program that must succeed; returns its standard output.
fn run(program: &str, arguments: &[&str]) -> String {
    let output = std::process::Command::new(program).args(arguments).output().unwrap();
    assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn base() -> Blob {
    gzip(&Tar::default().directory("bin").file("bin/tool", "tool").end())
}

fn layer(name: &str) -> Blob {
    plain(Tar::default().directory("own").file(&format!("own/{name}"), &name.repeat(100)).end())
}

fn image(lab: &Lab, name: &str, created: &str) -> String {
    let layout = Layout::write_with(&lab.path(name), &[base(), layer(name)], &mut |documents| {
        documents.config["created"] = json!(created);
    });
    lab.import(&layout.path, name)
}

fn find<'a>(images: &'a Value, id: &str) -> &'a Value {
    images.as_array().unwrap().iter().find(|image| image["id"] == id).unwrap()
}

#[test]
fn images_tell_what_they_share_and_what_is_their_own() {
    let lab = Lab::new();
    let one = image(&lab, "a", "2024-01-01T00:00:00Z");
    let images = lab.json(&["images"]);
    assert_eq!(find(&images, &one)["shared"], 0);
    assert_eq!(find(&images, &one)["own"], BASE + 100);
    let two = image(&lab, "b", "2025-01-01T00:00:00Z");
    let images = lab.json(&["images"]);
    assert_eq!(images[0]["id"], two.as_str(), "the latest comes first");
    for id in [&one, &two] {
        let image = find(&images, id);
        assert_eq!((image["size"].as_u64(), image["shared"].as_u64()), (Some(BASE + 100), Some(BASE)));
    }
    let own = find(&images, &one)["own"].as_u64();
    lab.succeeds(&["remove", "a"]);
    assert_eq!(lab.json(&["gc"])["bytes"].as_u64(), own, "what was said is what is freed");
    let text = lab.succeeds(&["images"]);
    assert!(text.starts_with("NAME") && text.contains(&two[7..19]) && text.contains(" ago "), "{text}");
    assert_eq!(lab.succeeds(&["images", "--quiet"]), format!("{two}\n"));
    lab.assert_sound();
}

#[test]
fn images_are_chosen_by_names_patterns_and_ids() {
    let lab = Lab::new();
    assert_eq!(lab.json(&["images"]), json!([]));
    assert_eq!(lab.json(&["gc"])["images"], 0);
    assert!(lab.fails(&["inspect", "web"]).contains("there is no image store at"), "and what to do");
    let (one, two) =
        (image(&lab, "web", "2024-01-01T00:00:00Z"), image(&lab, "shop", "2024-01-01T00:00:00Z"));
    let ids = |words: &[&str]| lab.succeeds(&[&["images", "--quiet"], words].concat());
    for words in [&["web"][..], &["we*"], &["localhost/w?b:latest"], &[&one[7..15]], &["web", "none", "w*"]] {
        assert_eq!(ids(words), format!("{one}\n"), "{words:?}");
    }
    assert_eq!(ids(&["*"]).lines().count(), 2);
    assert_eq!(ids(&["none"]), "");
    let rows = lab.succeeds(&["images", "--no-legend", "shop"]);
    assert!(rows.starts_with("localhost/shop:latest ") && rows.contains(&two[7..19]), "{rows}");
    let error = lab.fails(&["export", "web", "--format=tar", "--compress=zstd", "-o", "/dev/null"]);
    assert!(error.contains("--compress is for --format=oci-archive"), "{error}");
}

#[test]
fn what_is_kept_of_sizes_never_lies() {
    let lab = Lab::new();
    let own = |id: &str| find(&lab.json(&["images"]), id)["own"].as_u64().unwrap();
    let one = image(&lab, "a", "2024-01-01T00:00:00Z");
    let kept = lab.store().join("usage").join(&one["sha256:".len()..]);
    assert_eq!(own(&one), BASE + 100);
    let first = std::fs::read(&kept).unwrap();
    assert_eq!(own(&one), BASE + 100);
    let two = image(&lab, "b", "2025-01-01T00:00:00Z");
    assert_eq!(own(&one), 100, "another image shares the base now");
    for position in 0..first.len() {
        let mut changed = first.clone();
        changed[position] ^= 1;
        std::fs::write(&kept, changed).unwrap();
        assert_eq!(own(&one), 100, "byte {position}");
    }
    assert_eq!(std::fs::read(&kept).unwrap(), first, "it is made again");
    std::fs::copy(kept.with_file_name(&two["sha256:".len()..]), &kept).unwrap();
    assert_eq!(own(&one), 100, "that was of another tree");
    lab.succeeds(&["remove", "b"]);
    assert_eq!(own(&one), BASE + 100, "and no other has it any more");
    assert_eq!(std::fs::read_dir(lab.store().join("usage")).unwrap().count(), 1);
    std::fs::remove_file(lab.rootfs("a").join("own/a")).unwrap();
    lab.succeeds(&["fsck", "--repair"]);
    assert_eq!(own(&one), BASE + 100);
    std::fs::remove_dir_all(lab.rootfs("a")).unwrap();
    assert_eq!(own(&one), 0, "a tree that cannot be read has no size");
    lab.import(&lab.path("a"), "a");
    assert_eq!(own(&one), BASE + 100);
    lab.assert_sound();
}

#[test]
fn inspect_explains_how_an_image_runs() {
    let lab = Lab::new();
    let layout = Layout::write_with(&lab.path("l"), &[base()], &mut |documents| {
        documents.config["config"] = json!({
            "Entrypoint": ["/entry"], "Cmd": ["-g", "daemon off;"], "User": "33:33", "Env": ["A=\u{1b}[2J"],
            "ExposedPorts": { "80/tcp": {} }, "Labels": { "vendor": "me" },
        });
    });
    lab.import(&layout.path, "web");
    let text = lab.succeeds(&["inspect", "web"]);
    for line in [
        "Runs: /entry -g 'daemon off;'",
        "User: 33:33",
        "Directory: /, as the image does not say",
        "Environment: A=\\x1b[2J",
        "Port: 80/tcp",
        "Label: vendor=me",
        "4B freed by its removal",
    ] {
        assert!(text.contains(line), "{text} has no {line}");
    }
    let all = lab.json(&["inspect", "web"]);
    assert_eq!(all["documents"]["config"]["config"]["Entrypoint"], json!(["/entry"]));
    assert_eq!(all["documents"]["manifest"]["schemaVersion"], 2);
    assert_eq!(all["usage"]["own"], 4);
}

#[test]
fn tags_are_names_like_others() {
    let lab = Lab::new();
    let id = image(&lab, "a", "2024-01-01T00:00:00Z");
    lab.succeeds(&["tag", "a", "b", "docker.io/x/c:1"]);
    assert_eq!(lab.json(&["inspect", "x/c:1"])["id"], id.as_str());
    let other = image(&lab, "other", "2024-01-01T00:00:00Z");
    lab.succeeds(&["tag", &other, "b"]);
    assert_eq!(lab.json(&["inspect", "b"])["id"], other.as_str(), "a name moves");
    assert!(lab.fails(&["tag", "none", "d"]).contains("no image \"none\""));
    assert!(lab.fails(&["tag", "a", "ok", "B@d"]).contains("is not"));
    assert!(lab.fails(&["inspect", "ok"]).contains("no image"), "all names or none");
    assert_eq!(lab.succeeds(&["remove", "a"]), "Removed localhost/a:latest.\n");
    assert!(lab.succeeds(&["remove", "x/c:1"]).contains(&format!("Removed {id}.\n")));
    lab.assert_sound();
}

#[test]
fn what_cannot_be_removed_does_not_keep_the_rest() {
    let lab = Lab::new();
    for name in ["a", "b"] {
        image(&lab, name, "2024-01-01T00:00:00Z");
    }
    let output = lab.sampanctl(&["remove", "a", "nosuch", "b", "neither"]);
    assert_eq!(output.status.code(), Some(1));
    let (told, errors) =
        (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert!(told.contains("localhost/a:latest") && told.contains("localhost/b:latest"), "{told}");
    let errors: Vec<&str> = errors.lines().collect();
    assert!(errors.len() == 2 && errors[0].contains("\"nosuch\"") && errors[1].contains("\"neither\""));
    lab.assert_sound();
}

#[test]
fn names_that_are_not_utf_8_are_bytes_in_json() {
    let lab = Lab::new();
    let folder = lab.path("folder");
    let name = std::ffi::OsStr::from_bytes(b"bad\xff");
    std::fs::create_dir_all(folder.join("etc")).unwrap();
    std::fs::write(folder.join("etc").join(name), "x").unwrap();
    std::os::unix::fs::symlink(name, folder.join("etc/link")).unwrap();
    lab.import(&folder, "web");
    let files = lab.json(&["files", "web"]);
    let path = json!(b"/etc/bad\xff");
    let files = files.as_array().unwrap();
    assert!(files.iter().any(|file| file["path"] == path), "{files:?}");
    let link = files.iter().find(|file| file["path"] == "/etc/link").unwrap();
    assert_eq!(link["link"], json!(b"bad\xff"));
    std::fs::remove_file(folder.join("etc").join(name)).unwrap();
    lab.import(&folder, "less");
    assert_eq!(lab.json(&["diff", "less", "web", "--ignore-mtime"])[0]["path"], path);
}

#[test]
fn a_diff_names_what_and_marks_new_privileges() {
    let lab = Lab::new();
    let capability = [&[1u8, 0, 0, 2, 0, 0x20, 0, 0][..], &[0; 12]].concat();
    let old = Tar::default()
        .directory("bin")
        .file("bin/kept", "k")
        .file("bin/gone", "g")
        .file("bin/edited", "old")
        .file("bin/su", "su")
        .file("bin/owned", "o")
        .file("bin/timed", "t");
    let new = Tar::default()
        .directory("bin")
        .file("bin/kept", "k")
        .file("bin/edited", "new")
        .entry(&Entry { name: "bin/su", mode: 0o4755, body: b"su", ..Entry::default() })
        .entry(&Entry { name: "bin/owned", owner: b"0000041", body: b"o", ..Entry::default() })
        .pax(&[("mtime", b"5")])
        .file("bin/timed", "t")
        .pax(&[("SCHILY.xattr.security.capability", &capability)])
        .file("bin/ping", "p");
    lab.import(&Layout::write(&lab.path("o"), &[plain(old.end())]).path, "old");
    lab.import(&Layout::write(&lab.path("n"), &[plain(new.end())]).path, "new");
    let text = lab.succeeds(&["diff", "old", "new"]);
    assert_eq!(
        text,
        "~ /bin/edited (content)\n- /bin/gone\n~ /bin/owned (owner 0:0 to 33:33)\n+ /bin/ping\n\
         ~ /bin/su (mode 0644 to 4755)\n~ /bin/timed (mtime)\n\
         New privileges:\n! /bin/ping cap_net_raw\n! /bin/su setuid 0\n"
    );
    let differences = lab.json(&["diff", "old", "new", "--ignore-mtime"]);
    assert_eq!(differences.as_array().unwrap().len(), 5);
    assert_eq!(
        differences[4],
        json!({ "path": "/bin/su", "change": "changed", "what": ["mode"], "gains": ["setuid 0"] })
    );
    assert_eq!(lab.json(&["diff", "old", "old"]), json!([]));
}

/// Writes a unit file below another root directory, and returns that.
fn unit(lab: &Lab, image: &str) -> String {
    let root = lab.path("root");
    let units = root.join("etc/sampan/units");
    std::fs::create_dir_all(&units).unwrap();
    let text = format!(
        "[container]\nimage = \"{image}\"\ncommand = [\"/bin/tool\"]\n[install]\nwanted_by = [\"default.target\"]\n"
    );
    std::fs::write(units.join("web.container.toml"), text).unwrap();
    root.to_str().unwrap().to_owned()
}

#[test]
fn units_keep_their_images() {
    let lab = Lab::new();
    let id = image(&lab, "a", "2024-01-01T00:00:00Z");
    let root = unit(&lab, "localhost/a");
    let error = lab.fails(&["--root", &root, "remove", "a"]);
    assert!(
        error.contains("web.container names it") && error.contains("web.container.toml, disabled"),
        "{error}"
    );
    assert!(error.contains("--force"), "{error}");
    lab.succeeds(&["tag", "a", "spare"]);
    lab.succeeds(&["--root", &root, "remove", "spare"]);
    let error = lab.fails(&["--root", &root, "remove", &id]);
    assert!(error.contains("web.container"), "{error}");
    run(env!("CARGO_BIN_EXE_sampanctl"), &["--root", &root, "enable", "--no-reload", "web"]);
    let reasons = lab.json(&["--root", &root, "gc", "--explain"])["images"][0]["reasons"].to_string();
    assert!(reasons.contains("its name is localhost/a:latest") && reasons.contains("enabled"), "{reasons}");
    assert!(lab.succeeds(&["--root", &root, "remove", "--force", "a"]).contains(&id));
    lab.assert_sound();
}

#[test]
fn a_unit_that_names_an_id_keeps_a_nameless_image() {
    let lab = Lab::new();
    let layout = Layout::write(&lab.path("l"), &[base()]);
    lab.succeeds(&["import", layout.path.to_str().unwrap()]);
    let id = lab.json(&["images"])[0]["id"].as_str().unwrap().to_owned();
    let root = unit(&lab, &format!("store:{id}"));
    let text = lab.succeeds(&["--root", &root, "gc", "--explain"]);
    assert!(text.contains(&format!("{id} stays")) && text.contains("web.container names it"), "{text}");
    assert_eq!(lab.json(&["--root", &root, "gc"])["images"], 0);
    let file = Path::new(&root).join("etc/sampan/units/web.container.toml");
    std::fs::write(&file, format!("[container]\nimage = \"{id}\"\ncommand = 5\n[oops\n")).unwrap();
    let text = lab.succeeds(&["--root", &root, "gc", "--explain"]);
    assert!(text.contains("web.container names it") && text.contains("bad"), "{text}");
    assert_eq!(lab.json(&["--root", &root, "gc"])["images"], 0, "a file with errors keeps its image");
    std::fs::remove_file(&file).unwrap();
    let text = lab.succeeds(&["--root", &root, "gc", "--explain"]);
    assert!(text.contains(&format!("{id} goes, nothing needs it: 4B freed")), "{text}");
    assert_eq!(lab.json(&["--root", &root, "gc"])["images"], 1);
    lab.assert_sound();
}

#[test]
fn what_a_container_runs_from_is_never_removed() {
    let lab = Lab::new();
    let id = image(&lab, "a", "2024-01-01T00:00:00Z");
    let root = lab.path("root");
    let state = root.join("run/sampan/state");
    std::fs::create_dir_all(&state).unwrap();
    let record =
        json!({ "unit": "web.container", "phase": "running", "run": null, "facts": { "image_id": id } });
    std::fs::write(state.join("web.container.json"), record.to_string()).unwrap();
    let root = root.to_str().unwrap();
    for arguments in [&["remove", "a"][..], &["remove", "--force", &id]] {
        let error = lab.fails(&[&["--root", root], arguments].concat());
        assert!(error.contains("web.container runs from this image"), "{error}");
    }
    lab.succeeds(&["tag", "a", "spare"]);
    lab.succeeds(&["--root", root, "remove", "a"]);
    let text = lab.succeeds(&["--root", root, "gc", "--explain"]);
    assert!(text.contains("web.container runs from it"), "{text}");
}

#[test]
fn completions_know_the_names_of_images() {
    let lab = Lab::new();
    image(&lab, "a", "2024-01-01T00:00:00Z");
    lab.succeeds(&["tag", "a", "docker.io/x/c:1"]);
    // The store that is completed from is this machine's: in a mount namespace, it is the lab's.
    let script = format!(
        "mount -t tmpfs tmpfs /var/lib && mkdir /var/lib/sampan && mount --bind {} /var/lib/sampan &&
         SAMPANCTL_COMPLETE=bash _CLAP_COMPLETE_INDEX=2 _CLAP_COMPLETE_COMP_TYPE=9 exec {} -- sampanctl inspect ''",
        lab.store().display(),
        env!("CARGO_BIN_EXE_sampanctl")
    );
    let words = run("unshare", &["--mount", "sh", "-c", &script]);
    assert!(words.contains("a:latest") && words.contains("docker.io/x/c:1"), "{words}");
}

#[test]
fn names_may_be_longer_than_those_of_files() {
    let lab = Lab::new();
    let id = image(&lab, "a", "2024-01-01T00:00:00Z");
    let part = "n".repeat(80);
    let long = format!("registry.example.com/{part}/{part}:{}", "t".repeat(100));
    assert_eq!(lab.succeeds(&["tag", "a", &long]), format!("{long} is {id}.\n"));
    assert!(lab.succeeds(&["images"]).contains(&long));
    assert_eq!(lab.json(&["inspect", &long])["id"], id.as_str());
    lab.assert_sound();
    let refs = lab.store().join("refs");
    let mut files = std::fs::read_dir(&refs).unwrap().map(|file| file.unwrap());
    let file = files.find(|file| file.file_name().to_str().unwrap().starts_with('%')).unwrap().path();
    std::fs::write(&file, "torn").unwrap();
    assert!(lab.fails(&["inspect", &long]).contains("no image"));
    lab.succeeds(&["fsck", "--repair"]);
    assert_eq!(lab.json(&["inspect", &long])["id"], id.as_str());
    std::fs::remove_file(&file).unwrap();
    lab.succeeds(&["fsck", "--repair"]);
    lab.succeeds(&["remove", "a"]);
    assert_eq!(lab.succeeds(&["remove", &long]), format!("Removed {long}.\nRemoved {id}.\n"));
    lab.assert_sound();
}

#[test]
fn what_was_left_out_of_a_base_is_told_of_each_image_on_it() {
    let lab = Lab::new();
    let device = Entry { name: "dev/null", typeflag: b'3', ..Default::default() };
    let base = || gzip(&Tar::default().directory("dev").entry(&device).end());
    let notices = |name: &str| {
        let layout = Layout::write(&lab.path(name), &[base(), layer(name)]);
        let source = layout.path.to_str().unwrap().to_owned();
        let report = lab.json(&["import", "--name", name, &source]);
        report["images"][0]["notices"].to_string()
    };
    let first = notices("first");
    assert!(first.contains("dev/null"), "{first}");
    assert_eq!(notices("second"), first);
    lab.assert_sound();
    let layers = lab.store().join("layers");
    let names = || std::fs::read_dir(&layers).unwrap().map(|name| name.unwrap().path());
    let file = names().find(|path| path.extension().is_some()).unwrap();
    std::fs::write(&file, "torn").unwrap();
    assert_eq!(lab.sampanctl(&["fsck"]).status.code(), Some(1));
    lab.succeeds(&["fsck", "--repair"]);
    assert_eq!(notices("third"), first, "the layer was read again");
    lab.succeeds(&["remove", "first"]);
    lab.succeeds(&["remove", "second"]);
    lab.succeeds(&["remove", "third"]);
    lab.succeeds(&["gc"]);
    assert_eq!(names().count(), 0);
    lab.assert_sound();
}
