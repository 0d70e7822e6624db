//! Images from every form in which they come, and choices among several.

#[path = "support/layout.rs"]
mod layout;
#[path = "support/tree.rs"]
mod trees;

use layout::{Blob, Lab, Layout, Tar, digest, gzip, plain, zstd};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use trees::{assert_same, packages, tree};

/// Runs a program that must succeed.
fn run(program: &str, arguments: &[&str]) {
    let output = Command::new(program).args(arguments).output().unwrap();
    assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Imports through a pipe; returns the image's id.
fn import_piped(lab: &Lab, file: &Path, arguments: &[&str]) -> String {
    let mut cat = Command::new("cat").arg(file).stdout(Stdio::piped()).spawn().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_sampanctl"));
    command.args(["import", "-"]).args(arguments).arg("--store").arg(lab.store());
    let output = command.stdin(cat.stdout.take().unwrap()).output().unwrap();
    assert!(cat.wait().unwrap().success());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().split_whitespace().next().unwrap().to_owned()
}

fn lower() -> Vec<u8> {
    Tar::default().directory("bin").file("bin/tool", "tool").file("bin/old", "old").end()
}

fn upper() -> Vec<u8> {
    Tar::default().directory("bin").file("bin/.wh.old", "").file("bin/new", "new").end()
}

/// A folder as Docker 1.9 saved it: a layer for each tar, the last of which is called `debian:8`.
fn legacy(path: &Path, layers: &[Vec<u8>]) {
    let mut parent: Option<String> = None;
    for (number, layer) in layers.iter().enumerate() {
        let id = digest(&[number as u8])[7..].to_owned();
        let folder = path.join(&id);
        std::fs::create_dir_all(&folder).unwrap();
        let mut about = json!({
            "id": id, "created": "2015-06-01T00:00:00Z", "architecture": "amd64", "os": "linux",
            "config": { "Cmd": ["/bin/tool"], "Env": null }, "Size": layer.len(),
        });
        if let Some(parent) = &parent {
            about["parent"] = json!(parent);
        }
        std::fs::write(folder.join("json"), about.to_string()).unwrap();
        std::fs::write(folder.join("VERSION"), "1.0").unwrap();
        std::fs::write(folder.join("layer.tar"), layer).unwrap();
        parent = Some(id);
    }
    let names = json!({ "debian": { "8": parent, "jessie": parent } });
    std::fs::write(path.join("repositories"), names.to_string()).unwrap();
}

#[test]
fn an_archive_of_old_docker_gives_the_tree_of_its_chain() {
    let lab = Lab::new();
    lab.import(&Layout::write(&lab.path("oci"), &[gzip(&lower()), gzip(&upper())]).path, "oci");
    let folder = lab.path("legacy");
    legacy(&folder, &[lower(), upper()]);
    let id = lab.import(&folder, "legacy");
    assert_eq!(lab.json(&["files", "legacy"]), lab.json(&["files", "oci"]));
    assert_eq!(lab.json(&["inspect", "legacy"])["config"]["command"], json!(["/bin/tool"]));
    let archive = lab.path("legacy.tar.gz");
    run("tar", &["-czf", text(&archive), "-C", text(&folder), "."]);
    assert_eq!(import_piped(&lab, &archive, &["--keep-names"]), id);
    let names = lab.json(&["inspect", "debian:8"])["names"].clone();
    let expected =
        ["docker.io/library/debian:8", "docker.io/library/debian:jessie", "localhost/legacy:latest"];
    assert_eq!(names, json!(expected));
    std::fs::remove_file(folder.join("repositories")).unwrap();
    assert_eq!(lab.import(&folder, "nameless"), id);
    lab.assert_sound();
}

#[test]
fn the_old_half_of_an_archive_of_skopeo_gives_the_same_tree() {
    let lab = Lab::new();
    let layout = Layout::write(&lab.path("oci"), &[gzip(&lower()), gzip(&upper())]);
    lab.import(&layout.path, "oci");
    let archive = lab.path("both.tar");
    let from = format!("oci:{}", text(&layout.path));
    run("skopeo", &["copy", "-q", &from, &format!("docker-archive:{}:debian:8", text(&archive))]);
    let folder = lab.path("both");
    std::fs::create_dir(&folder).unwrap();
    run("tar", &["-xf", text(&archive), "-C", text(&folder)]);
    std::fs::remove_file(folder.join("manifest.json")).unwrap();
    run("tar", &["-cf", text(&archive), "-C", text(&folder), "."]);
    lab.import(&folder, "folder");
    assert_eq!(lab.json(&["files", "folder"]), lab.json(&["files", "oci"]));
    lab.import(&archive, "old");
    assert_eq!(lab.json(&["files", "old"]), lab.json(&["files", "oci"]));
    lab.assert_sound();
}

/// An archive of `docker save` with this list of layers and a configuration to it.
fn saved(path: &Path, layers: &Value, layer: Option<&[u8]>) {
    let diff_ids: Vec<String> = layer.iter().map(|layer| digest(layer)).collect();
    let config = json!({ "architecture": "amd64", "os": "linux", "rootfs": { "type": "layers",
        "diff_ids": layer.map(|_| diff_ids) }, "config": { "Cmd": "sh", "Volumes": { "/data": null } } });
    let manifest = json!([{ "Config": "config.json", "RepoTags": null, "Layers": layers }]);
    let text = layer.map_or(String::new(), |layer| String::from_utf8(layer.to_vec()).unwrap());
    let tar = Tar::default().file("config.json", &config.to_string()).file("layer.tar", &text);
    std::fs::write(path, tar.file("manifest.json", &manifest.to_string()).end()).unwrap();
}

#[test]
fn nulls_of_docker_are_empty_and_an_archive_of_nothing_is_said_to_be() {
    let lab = Lab::new();
    let archive = lab.path("saved.tar");
    saved(&archive, &Value::Null, None);
    lab.import(&archive, "empty");
    assert_eq!(lab.json(&["files", "empty"]).as_array().unwrap().len(), 1, "the root alone");
    saved(&archive, &json!(["layer.tar"]), Some(&upper()));
    lab.import(&archive, "one");
    let config = lab.json(&["inspect", "one"])["config"].clone();
    assert_eq!((&config["command"], &config["volumes"]), (&json!(["sh"]), &json!(["/data"])));
    std::fs::write(&archive, Tar::default().file("manifest.json", "[]").end()).unwrap();
    assert!(lab.fails(&["import", text(&archive)]).contains("manifest.json: lists no image"));
    std::fs::write(&archive, Tar::default().file("repositories", "{}").end()).unwrap();
    assert!(lab.fails(&["import", text(&archive)]).contains("names no image"));
    lab.assert_sound();
}

#[test]
fn a_folder_of_skopeo_is_the_image_that_it_was_made_of() {
    let lab = Lab::new();
    let layout = Layout::write(&lab.path("oci"), &[gzip(&lower()), zstd(&upper())]);
    let id = lab.import(&layout.path, "oci");
    let folder = lab.path("dir");
    let from = format!("oci:{}", text(&layout.path));
    run("skopeo", &["copy", "-q", &from, &format!("dir:{}", text(&folder))]);
    assert_eq!(lab.import(&folder, "dir"), id);
    let blob = digest(&gzip(&lower()).bytes);
    std::fs::write(folder.join(&blob[7..]), "x").unwrap();
    let other = Lab::new();
    let error = other.fails(&["import", text(&folder)]);
    assert!(error.contains(&format!("layer {blob}: the size is wrong")), "{error}");
    std::fs::write(folder.join("manifest.json"), r#"{"schemaVersion":2,"manifests":[]}"#).unwrap();
    assert!(lab.fails(&["import", text(&folder)]).contains("is an index of several images"));
    lab.assert_sound();
}

/// The descriptor of a layout's one image.
fn entry(layout: &Layout) -> Value {
    let index: Value =
        serde_json::from_slice(&std::fs::read(layout.path.join("index.json")).unwrap()).unwrap();
    index["manifests"][0].clone()
}

fn write_index(layout: &Layout, manifests: &Value) {
    let index = json!({ "schemaVersion": 2, "manifests": manifests });
    std::fs::write(layout.path.join("index.json"), index.to_string()).unwrap();
}

#[test]
fn a_claimed_name_with_a_digest_is_for_that_image_only() {
    let lab = Lab::new();
    let layout = Layout::write(&lab.path("oci"), &[gzip(&lower())]);
    let mut image = entry(&layout);
    let pinned = format!("docker.io/library/web@{}", digest(b"another image"));
    image["annotations"] = json!({ "io.containerd.image.name": pinned });
    write_index(&layout, &json!([image]));
    let error = lab.fails(&["import", text(&layout.path), "--keep-names"]);
    assert!(error.contains(&format!("claims the name {pinned}, whose digest is not its image's")), "{error}");
    let own = format!("docker.io/library/web@{}", image["digest"].as_str().unwrap());
    image["annotations"] = json!({ "io.containerd.image.name": own });
    write_index(&layout, &json!([image]));
    lab.succeeds(&["import", text(&layout.path), "--keep-names"]);
    assert_eq!(lab.json(&["inspect", &own])["names"], json!([own]));
}

#[test]
fn what_goes_along_with_an_image_is_not_one() {
    let lab = Lab::new();
    let layout = Layout::write(&lab.path("oci"), &[gzip(&lower())]);
    let mut image = entry(&layout);
    image["artifactType"] = json!("application/vnd.oci.image.config.v1+json");
    let proof = json!({ "mediaType": image["mediaType"], "digest": digest(b"x"), "size": 1,
        "artifactType": "application/spdx+json" });
    write_index(&layout, &json!([proof, image]));
    lab.import(&layout.path, "web");
    write_index(&layout, &json!([proof]));
    assert!(lab.fails(&["import", text(&layout.path)]).contains("holds no image for"));
}

#[test]
fn a_configuration_of_another_digest_has_an_id_all_the_same() {
    let lab = Lab::new();
    let layout = Layout::write(&lab.path("oci"), &[gzip(&lower())]);
    let mut manifest: Value = serde_json::from_slice(
        &std::fs::read(layout.blob_path(entry(&layout)["digest"].as_str().unwrap())).unwrap(),
    )
    .unwrap();
    let id = manifest["config"]["digest"].as_str().unwrap().to_owned();
    let config = std::fs::read(layout.blob_path(&id)).unwrap();
    let long = sampan::image::digest::Algorithm::Sha512.digest(&config).to_string();
    std::fs::create_dir(layout.path.join("blobs/sha512")).unwrap();
    std::fs::write(layout.blob_path(&long), &config).unwrap();
    manifest["config"]["digest"] = json!(long);
    layout.index(manifest.to_string().as_bytes());
    assert_eq!(lab.import(&layout.path, "web"), id);
    lab.assert_sound();
}

#[test]
fn a_chain_that_never_ends_is_refused() {
    let lab = Lab::new();
    let folder = lab.path("legacy");
    legacy(&folder, &[lower(), upper()]);
    let first = folder.join(&digest(&[0])[7..]).join("json");
    let loops = json!({ "id": &digest(&[0])[7..], "parent": &digest(&[1])[7..] });
    std::fs::write(&first, loops.to_string()).unwrap();
    assert!(lab.fails(&["import", text(&folder)]).contains("a chain without an end"));
    std::fs::write(&first, json!({ "parent": "../../etc" }).to_string()).unwrap();
    assert!(lab.fails(&["import", text(&folder)]).contains("is not a digest"));
}

/// A tree of packages in an archive, and what GNU tar extracts of it.
fn extracted(lab: &Lab) -> (PathBuf, PathBuf) {
    let (archive, folder) = (lab.path("root.tar"), lab.path("root"));
    std::fs::write(&archive, packages(&["coreutils", "tar", "gzip"])).unwrap();
    std::fs::create_dir(&folder).unwrap();
    let arguments = ["-xpf", text(&archive), "--numeric-owner", "--xattrs", "--xattrs-include=*", "-C"];
    run("tar", &[&arguments[..], &[text(&folder)]].concat());
    run("ln", &[text(&folder.join("usr/bin/sort")), text(&folder.join("usr/bin/hard"))]);
    run("mkfifo", &[text(&folder.join("usr/pipe"))]);
    run("setcap", &["cap_net_raw+ep", text(&folder.join("usr/bin/tail"))]);
    let flags = rustix::fs::XattrFlags::empty();
    rustix::fs::setxattr(folder.join("usr/bin/wc"), "user.note", b"hello", flags).unwrap();
    run("chown", &["33:70000", text(&folder.join("usr/bin/id"))]);
    run("chmod", &["4755", text(&folder.join("usr/bin/id"))]);
    std::fs::remove_file(&archive).unwrap();
    let arguments = ["--format=pax", "--numeric-owner", "--xattrs", "--xattrs-include=*", "-cf"];
    run("tar", &[&arguments[..], &[text(&archive), "-C", text(&folder), "."]].concat());
    (archive, folder)
}

#[test]
fn a_tree_is_an_image_however_it_is_packed() {
    let lab = Lab::new();
    let (archive, folder) = extracted(&lab);
    let id = lab.import(&archive, "plain");
    for packer in ["gzip -1", "zstd", "xz -0", "bzip2 -1"] {
        let packed = lab.path("packed");
        let script = format!("{packer} -c {} > {}", text(&archive), text(&packed));
        run("sh", &["-c", &script]);
        assert_eq!(lab.import(&packed, "packed"), id, "{packer}");
        assert_eq!(import_piped(&lab, &packed, &[]), id, "{packer}");
    }
    assert_same(tree(&lab.rootfs("plain"), 2_147_352_576), &tree(&folder, 0), 0);
    lab.assert_sound();
}

#[test]
fn a_folder_is_an_image_with_an_id_of_its_content() {
    let lab = Lab::new();
    let (_, folder) = extracted(&lab);
    let socket = folder.join("usr/socket");
    let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let id = lab.import(&folder, "folder");
    assert_eq!(lab.import(&folder, "again"), id);
    // A socket is no file of an image.
    std::fs::remove_file(&socket).unwrap();
    let theirs = tree(&folder, 0);
    let mut ours = tree(&lab.rootfs("folder"), 2_147_352_576);
    ours.get_mut("/usr").unwrap().mtime = theirs["/usr"].mtime;
    assert_same(ours, &theirs, 0);
    run("chmod", &["600", text(&folder.join("usr/bin/id"))]);
    assert_ne!(lab.import(&folder, "changed"), id);
    lab.assert_sound();
}

#[test]
fn a_tree_is_configured_as_a_dockerfile_would() {
    let lab = Lab::new();
    let archive = lab.path("root.tar");
    std::fs::write(&archive, lower()).unwrap();
    let changes = ["-c", r#"CMD ["/bin/tool", "-x"]"#, "-c", "ENV A=b c", "-c", "USER 33", "-c", "EXPOSE 80"];
    let arguments = [&["import", text(&archive), "--name", "tree"], &changes[..]].concat();
    lab.succeeds(&arguments);
    let config = lab.json(&["inspect", "tree"])["config"].clone();
    assert_eq!(config["command"], json!(["/bin/tool", "-x"]));
    assert_eq!(config["environment"], json!(["A=b c"]));
    assert_eq!((config["user"].as_str(), &config["exposed_ports"]), (Some("33"), &json!(["80/tcp"])));
    let error = lab.sampanctl(&["import", text(&archive), "-c", "RUN make"]);
    assert!(String::from_utf8(error.stderr).unwrap().contains("the instructions are CMD"));
    let layout = Layout::write(&lab.path("oci"), &[plain(lower())]);
    assert!(
        lab.fails(&["import", text(&layout.path), "-c", "USER 33"]).contains("--change is for a tree only")
    );
    lab.assert_sound();
}

#[test]
fn a_folder_with_names_that_layers_read_otherwise_is_refused() {
    let lab = Lab::new();
    let folder = lab.path("root");
    std::fs::create_dir_all(folder.join("etc")).unwrap();
    std::fs::write(folder.join("etc/.wh.passwd"), "").unwrap();
    let error = lab.fails(&["import", text(&folder)]);
    assert!(error.contains("/etc/.wh.passwd") && error.contains("by which layers remove files"), "{error}");
}

#[test]
fn what_no_form_fits_is_told_what_was_looked_for() {
    let lab = Lab::new();
    let archive = lab.path("other.tar");
    std::fs::write(&archive, Tar::default().file("hello", "x").end()).unwrap();
    let error = lab.fails(&["import", text(&archive)]);
    for word in ["manifest.json", "repositories", "oci-layout", "usr", "--format=tree"] {
        assert!(error.contains(word), "{error}");
    }
    lab.succeeds(&["import", text(&archive), "--format=tree", "--name", "hello"]);
    assert_eq!(lab.json(&["files", "hello", "/hello"])[0]["size"], 1);
    lab.assert_sound();
}

#[test]
fn outer_packings_have_their_limits() {
    let lab = Lab::new();
    let script = |command: &str| {
        let path = lab.path("packed");
        run("sh", &["-c", &format!("{command} > {}", text(&path))]);
        lab.fails(&["import", text(&path)])
    };
    let bomb = "{ tar -c /etc/hostname; head -c 300M /dev/zero; } 2> /dev/null";
    let error = script(&format!("{bomb} | xz -0"));
    assert!(error.contains("far more than its packed size allows"), "{error}");
    let error = script(&format!("{bomb} | bzip2 -1"));
    assert!(error.contains("far more than its packed size allows"), "{error}");
    let error = script("head -c 1M /dev/urandom | xz --lzma2=dict=256MiB");
    assert!(error.contains("memory"), "{error}");
    let error = script("head -c 1M /dev/urandom | xz | head -c 500000");
    assert!(error.contains("cannot read archive"), "{error}");
    assert_eq!(std::fs::read_dir(lab.store().join("staging")).unwrap().count(), 0);
}

/// A layout whose index leads through an index of platforms to images.
fn platforms(lab: &Lab) -> PathBuf {
    let path = lab.path("platforms");
    let mut manifests = Vec::new();
    for (architecture, variant) in [("amd64", None), ("arm64", Some("v8")), ("arm", Some("v7"))] {
        let layer = plain(Tar::default().file("for", architecture).end());
        let layout = Layout::write_with(&path, &[layer], &mut |documents| {
            documents.config["architecture"] = json!(architecture);
            documents.config["variant"] = json!(variant);
        });
        let index: Value =
            serde_json::from_slice(&std::fs::read(layout.path.join("index.json")).unwrap()).unwrap();
        let mut manifest = index["manifests"][0].clone();
        manifest["platform"] = json!({ "os": "linux", "architecture": architecture, "variant": variant });
        manifests.push(manifest);
    }
    let mut attestation = manifests[0].clone();
    attestation["platform"] = json!({ "os": "unknown", "architecture": "unknown" });
    manifests.push(attestation);
    let media_type = "application/vnd.oci.image.index.v1+json";
    let nested = json!({ "schemaVersion": 2, "mediaType": media_type, "manifests": manifests }).to_string();
    let layout = Layout { path };
    layout.blob(nested.as_bytes());
    let descriptor =
        json!({ "mediaType": media_type, "digest": digest(nested.as_bytes()), "size": nested.len() });
    let index = json!({ "schemaVersion": 2, "manifests": [descriptor] });
    std::fs::write(layout.path.join("index.json"), index.to_string()).unwrap();
    layout.path
}

#[test]
fn variants_of_a_processor_are_one_image() {
    let lab = Lab::new();
    let path = lab.path("variants");
    let mut manifests = Vec::new();
    for variant in [None, Some("v2"), Some("v9")] {
        let layer = plain(Tar::default().file("for", variant.unwrap_or("any")).end());
        let layout = Layout::write(&path, &[layer]);
        let index: Value =
            serde_json::from_slice(&std::fs::read(layout.path.join("index.json")).unwrap()).unwrap();
        let mut manifest = index["manifests"][0].clone();
        let architecture = sampan::image::manifest::Platform::host().architecture;
        manifest["platform"] = json!({ "os": "linux", "architecture": architecture, "variant": variant });
        manifests.push(manifest);
    }
    let index = json!({ "schemaVersion": 2, "manifests": manifests });
    std::fs::write(path.join("index.json"), index.to_string()).unwrap();
    let report = lab.json(&["import", text(&path), "--name", "web"]);
    assert_eq!(report["images"].as_array().unwrap().len(), 1, "{report}");
    let best = if cfg!(target_arch = "x86_64") { 2 } else { 3 };
    assert_eq!(lab.json(&["files", "web", "/for"])[0]["size"], best, "the best that this processor runs");
    lab.succeeds(&["import", text(&path), "--name", "other", "--platform=linux/amd64/v9"]);
}

#[test]
fn what_never_ends_is_refused_at_its_beginning() {
    let lab = Lab::new();
    for (shell, reason) in [
        ("sampanctl import /dev/zero", "begins with zeros"),
        ("sampanctl import - < /dev/zero", "begins with zeros"),
        ("yes | sampanctl import -", "is no tar archive"),
        ("gzip -1 < /dev/zero | sampanctl import -", "begins with zeros"),
        ("sampanctl import /dev/urandom", "is no tar archive"),
    ] {
        let sampanctl = format!("{} --store {}", env!("CARGO_BIN_EXE_sampanctl"), text(&lab.store()));
        let script = shell.replace("sampanctl", &sampanctl);
        let output = Command::new("timeout").args(["60", "sh", "-c", &script]).output().unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(1) && error.contains(reason), "{shell}: {error}");
    }
    lab.assert_sound();
}

#[test]
fn one_image_of_many_platforms_is_chosen() {
    let lab = Lab::new();
    let path = platforms(&lab);
    let archive = lab.path("platforms.tar");
    Layout { path: path.clone() }.archive(&archive);
    for source in [&path, &archive] {
        for (platform, size) in [("linux/amd64", 5), ("arm64", 5), ("linux/arm64/v8", 5), ("linux/arm", 3)] {
            lab.succeeds(&["import", text(source), "--platform", platform, "--name", "x"]);
            assert_eq!(lab.json(&["files", "x", "/for"])[0]["size"], size, "{platform}");
        }
    }
    let error = lab.fails(&["import", text(&path), "--platform", "linux/s390x"]);
    assert!(error.contains("linux/s390x, only for linux/amd64, linux/arm64/v8, linux/arm/v7"), "{error}");
    assert!(lab.fails(&["import", text(&path), "--platform=linux/arm/v5"]).contains("no image for"));
    let single = Layout::write(&lab.path("single"), &[plain(lower())]);
    let error = lab.fails(&["import", text(&single.path), "--platform", "linux/s390x"]);
    assert!(error.contains("not for linux/s390x"), "{error}");
    lab.assert_sound();
}

#[test]
fn a_layout_of_several_images_brings_them_all() {
    let lab = Lab::new();
    let path = lab.path("several");
    let mut manifests = Vec::new();
    for name in ["localhost/one:1", "localhost/two:2"] {
        let layout = Layout::write(&path, &[plain(Tar::default().file("name", name).end())]);
        let index: Value =
            serde_json::from_slice(&std::fs::read(layout.path.join("index.json")).unwrap()).unwrap();
        let mut manifest = index["manifests"][0].clone();
        manifest["annotations"] = json!({ "org.opencontainers.image.ref.name": name });
        manifests.push(manifest);
    }
    let index = json!({ "schemaVersion": 2, "manifests": manifests });
    std::fs::write(path.join("index.json"), index.to_string()).unwrap();
    assert!(lab.fails(&["import", text(&path), "--name", "x"]).contains("holds 2 images"));
    lab.succeeds(&["import", text(&path), "--keep-names"]);
    assert_ne!(lab.json(&["inspect", "one:1"])["id"], lab.json(&["inspect", "two:2"])["id"]);
    lab.assert_sound();
}

#[test]
fn a_foreign_layer_is_refused_unless_it_is_there() {
    let lab = Lab::new();
    let media_type = "application/vnd.oci.image.layer.nondistributable.v1.tar";
    let layer = Blob { media_type, ..plain(lower()) };
    let layout = Layout::write_with(&lab.path("foreign"), &[layer], &mut |documents| {
        documents.manifest["layers"][0]["urls"] = json!(["https://example.org/layer"]);
    });
    lab.import(&layout.path, "there");
    let lab_without = Lab::new();
    std::fs::remove_file(layout.blob_path(&digest(&lower()))).unwrap();
    let error = lab_without.fails(&["import", text(&layout.path)]);
    assert!(error.contains("is a foreign layer") && error.contains("https://example.org/layer"), "{error}");
    lab.assert_sound();
}

#[test]
fn chunked_layers_are_read_as_plain_ones() {
    let lab = Lab::new();
    let mut layer = packages(&["tar", "gzip", "coreutils"]);
    // This writer of chunked layers leaves out what follows the two blocks at the end.
    layer.truncate(layer.iter().rposition(|byte| *byte != 0).unwrap().next_multiple_of(512) + 1024);
    let layout = Layout::write(&lab.path("oci"), &[gzip(&layer)]);
    lab.import(&layout.path, "plain");
    let chunked = lab.path("chunked");
    let (from, to) = (format!("oci:{}", text(&layout.path)), format!("oci:{}", text(&chunked)));
    run("skopeo", &["copy", "-q", "--dest-compress-format=zstd:chunked", "--dest-compress", &from, &to]);
    lab.import(&chunked, "chunked");
    assert_eq!(lab.json(&["files", "chunked"]), lab.json(&["files", "plain"]));
    let other = Lab::new();
    other.import(&chunked, "chunked");
    assert_eq!(other.json(&["files", "chunked"]), lab.json(&["files", "plain"]));
    other.assert_sound();
}

/// A layer of eStargz: a gzip member for each entry, one for the table, and a footer without content.
#[test]
fn stargz_layers_are_read_as_plain_ones() {
    let lab = Lab::new();
    let parts = [
        Tar::default().directory("bin").0,
        Tar::default().file("bin/tool", "tool").0,
        Tar::default().file("stargz.index.json", r#"{"version":1,"entries":[]}"#).end(),
    ];
    let members: Vec<u8> = parts.iter().flat_map(|part| gzip(part).bytes).collect();
    // The footer of the stargz specification: an empty member whose extra field tells where the table is.
    let extra = [b"SG\x16\0".as_slice(), b"0000000000000000STARGZ"].concat();
    let footer = flate2::GzBuilder::new().extra(extra).write(Vec::new(), flate2::Compression::none());
    let bytes = [members, footer.finish().unwrap()].concat();
    let layer = Blob { bytes, diff_id: digest(&parts.concat()), ..gzip(b"") };
    lab.import(&Layout::write(&lab.path("stargz"), &[layer]).path, "stargz");
    assert_eq!(lab.json(&["files", "stargz", "/bin/tool"])[0]["size"], 4);
    lab.assert_sound();
}
