//! Damage of every kind, by hand, on a store of real images: named by the check, and repaired or taken out.

#[path = "support/layout.rs"]
mod layout;

use layout::{Lab, Layout, Tar, gzip};
use serde_json::Value;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, symlink};
use std::path::{Path, PathBuf};

/// A store with two images of this host and one of a registry. They share files; `twin` stands in the first
/// with two sets of metadata, `own` in one image only.
struct Patient {
    lab: Lab,
}

fn layer(own: &str) -> layout::Blob {
    let tar = Tar::default()
        .directory("bin")
        .file("bin/tool", "tool")
        .hard_link("bin/same", "bin/tool")
        .file("bin/twin", "twin")
        .pax(&[("mtime", b"1600000000")])
        .file("bin/zwin", "twin")
        .symlink("bin/link", "tool")
        .file("empty", "")
        .file("own", own);
    gzip(&tar.end())
}

impl Patient {
    fn new() -> Self {
        let lab = Lab::new();
        for (name, own) in [("one", "only one"), ("two", "only two"), ("docker.io/library/far:1", "far")] {
            let layout =
                Layout::write(&lab.path(own), &[layer("base"), gzip(&Tar::default().file("own", own).end())]);
            lab.import(&layout.path, name);
        }
        lab.assert_sound();
        Self { lab }
    }

    fn image(&self, name: &str) -> PathBuf {
        self.lab.rootfs(name).parent().unwrap().to_owned()
    }

    /// The object that a file of an image is.
    fn object(&self, image: &str, file: &str) -> PathBuf {
        let inode = fs::metadata(self.lab.rootfs(image).join(file)).unwrap().ino();
        let shards =
            fs::read_dir(self.lab.store().join("objects")).unwrap().map(|shard| shard.unwrap().path());
        let mut objects =
            shards.flat_map(|shard| fs::read_dir(shard).unwrap().map(|object| object.unwrap().path()));
        objects.find(|object| fs::metadata(object).unwrap().ino() == inode).unwrap()
    }

    /// What the check finds; its exit status must agree.
    fn findings(&self) -> String {
        let output = self.lab.sampanctl(&["fsck"]);
        let found = String::from_utf8(output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(i32::from(!found.is_empty())), "{found}");
        found
    }

    fn repair(&self) -> Value {
        let output = self.lab.sampanctl(&["fsck", "--repair", "--output=json"]);
        let error = String::from_utf8_lossy(&output.stderr);
        let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{error}"));
        let remains = report["remaining"].as_array().unwrap().len();
        assert_eq!(output.status.code(), Some(i32::from(remains > 0)), "{report}");
        report
    }

    fn trees(&self) -> Vec<Value> {
        ["one", "two", "far:1"].iter().map(|name| self.lab.json(&["files", name])).collect()
    }
}

fn flip(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    bytes[0] ^= 1;
    fs::write(path, bytes).unwrap();
}

type Damage = (&'static str, fn(&Patient) -> PathBuf);

/// Each damages the store and returns the file that the check must name.
const RESTORED: &[Damage] = &[
    ("an object whose content exists with other metadata", |it| {
        let object = it.object("one", "bin/twin");
        flip(&object);
        object
    }),
    ("an object with another owner", |it| {
        let object = it.object("one", "own");
        chown(&object, Some(0), Some(0)).unwrap();
        object
    }),
    ("an object with another mode", |it| {
        let object = it.object("one", "bin/tool");
        fs::set_permissions(&object, fs::Permissions::from_mode(0o4777)).unwrap();
        object
    }),
    ("an object with an attribute too many", |it| {
        let object = it.object("one", "bin/tool");
        rustix::fs::setxattr(&object, "user.evil", b"x", rustix::fs::XattrFlags::empty()).unwrap();
        object
    }),
    ("a missing object that trees still have", |it| {
        let object = it.object("one", "bin/tool");
        fs::remove_file(&object).unwrap();
        it.lab.rootfs("one").join("bin/tool")
    }),
    ("a directory in the place of an object", |it| {
        let object = it.object("one", "bin/tool");
        fs::remove_file(&object).unwrap();
        fs::create_dir(&object).unwrap();
        object
    }),
    ("a link in the place of an object", |it| {
        let object = it.object("one", "bin/tool");
        fs::remove_file(&object).unwrap();
        symlink("/etc/passwd", &object).unwrap();
        object
    }),
    ("a file missing in a tree", |it| {
        let path = it.lab.rootfs("one").join("bin/tool");
        fs::remove_file(&path).unwrap();
        path
    }),
    ("a file in a tree that is a copy", |it| {
        let path = it.lab.rootfs("one").join("own");
        fs::remove_file(&path).unwrap();
        fs::write(&path, "only one").unwrap();
        path
    }),
    ("a name of an inode that is another inode", |it| {
        let path = it.lab.rootfs("one").join("bin/same");
        fs::remove_file(&path).unwrap();
        fs::hard_link(it.lab.rootfs("one").join("own"), &path).unwrap();
        path
    }),
    ("a foreign file in a tree", |it| {
        let path = it.lab.rootfs("one").join("bin/evil");
        fs::write(&path, "evil").unwrap();
        path
    }),
    ("an empty file that is not", |it| {
        let path = it.lab.rootfs("one").join("empty");
        fs::write(&path, "evil").unwrap();
        path
    }),
    ("a link that leads elsewhere", |it| {
        let path = it.lab.rootfs("one").join("bin/link");
        fs::remove_file(&path).unwrap();
        symlink("/etc/shadow", &path).unwrap();
        path
    }),
    ("a directory of another owner", |it| {
        let path = it.lab.rootfs("one").join("bin");
        chown(&path, Some(0), None).unwrap();
        path
    }),
    ("a whole tree", |it| {
        let path = it.lab.rootfs("one");
        fs::remove_dir_all(&path).unwrap();
        path
    }),
    ("an image's index", |it| {
        let path = it.image("one").join("index");
        flip(&path);
        path
    }),
    ("an image's index, missing, with the indexes of its layers", |it| {
        let path = it.image("one").join("index");
        fs::remove_file(&path).unwrap();
        fs::remove_dir_all(it.lab.store().join("layers")).unwrap();
        fs::create_dir(it.lab.store().join("layers")).unwrap();
        path
    }),
    ("an image's index that is another's", |it| {
        let path = it.image("one").join("index");
        fs::copy(it.image("two").join("index"), &path).unwrap();
        path
    }),
    ("an image's record", |it| {
        let path = it.image("one").join("record");
        fs::write(&path, "{").unwrap();
        path
    }),
    ("an image's record, missing", |it| {
        let path = it.image("one").join("record");
        fs::remove_file(&path).unwrap();
        path
    }),
    ("an image's record that lies about how to run it", |it| {
        let path = it.image("one").join("record");
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains("/bin/true"));
        fs::write(&path, text.replace("/bin/true", "/bin/evil")).unwrap();
        path
    }),
    ("the index of a layer", |it| {
        let path = fs::read_dir(it.lab.store().join("layers")).unwrap().next().unwrap().unwrap().path();
        flip(&path);
        path
    }),
    ("a name's file, missing", |it| {
        let path = it.lab.store().join("refs/localhost%one:latest");
        fs::remove_file(&path).unwrap();
        path
    }),
    ("all names, with their directory", |it| {
        let path = it.lab.store().join("refs");
        fs::remove_dir_all(&path).unwrap();
        path
    }),
    ("all objects, with their directory", |it| {
        let path = it.lab.store().join("objects");
        fs::remove_dir_all(&path).unwrap();
        path
    }),
    ("a name's file", |it| {
        let path = it.lab.store().join("refs/localhost%one:latest");
        fs::write(&path, "\0\0\0").unwrap();
        path
    }),
];

#[test]
fn what_something_whole_can_restore_is_restored() {
    for (name, damage) in RESTORED {
        let patient = Patient::new();
        let before = patient.trees();
        let named = damage(&patient);
        let found = patient.findings();
        assert!(found.contains(named.to_str().unwrap()), "{name}: {found}");
        let report = patient.repair();
        assert_eq!(report["remaining"], serde_json::json!([]), "{name}: {report}");
        assert!(!report["repaired"].as_array().unwrap().is_empty(), "{name}");
        patient.lab.assert_sound();
        assert_eq!(patient.trees(), before, "{name}: {report}");
    }
}

#[test]
fn what_nothing_can_restore_is_taken_out_with_a_word() {
    let damages: [Damage; 3] = [
        ("the content of \"/own\"", |it| {
            let object = it.object("one", "own");
            flip(&object);
            object
        }),
        ("its configuration is damaged", |it| {
            let path = it.image("one").join("config");
            flip(&path);
            path
        }),
        ("its index is damaged", |it| {
            fs::remove_dir_all(it.lab.store().join("layers")).unwrap();
            fs::create_dir(it.lab.store().join("layers")).unwrap();
            let path = it.image("one").join("index");
            flip(&path);
            flip(&it.object("one", "own"));
            path
        }),
    ];
    for (reason, damage) in damages {
        let patient = Patient::new();
        let two = patient.lab.json(&["files", "two"]);
        let named = damage(&patient);
        assert!(patient.findings().contains(named.to_str().unwrap()), "{reason}");
        let report = patient.repair();
        assert_eq!(report["remaining"], serde_json::json!([]), "{report}");
        let told = report["repaired"].to_string().replace("\\\"", "\"");
        for part in [reason, "is taken out (localhost/one:latest)", "import it again"] {
            assert!(told.contains(part), "{told} does not say {part}");
        }
        assert!(patient.lab.fails(&["inspect", "one"]).contains("no image"));
        patient.lab.succeeds(&["gc"]);
        patient.lab.assert_sound();
        assert_eq!(patient.lab.json(&["files", "two"]), two);
        patient.lab.import(&patient.lab.path("only one"), "one");
        patient.lab.assert_sound();
    }
}

#[test]
fn an_image_of_a_registry_stays_and_the_repair_says_how_to_heal_it() {
    let patient = Patient::new();
    flip(&patient.object("far:1", "own"));
    let report = patient.repair();
    let told = report["remaining"].to_string();
    assert!(told.contains("sampanctl pull --verify docker.io/library/far:1"), "{told}");
    patient.lab.succeeds(&["inspect", "far:1"]);
    // A pull goes the way of an import.
    patient.lab.import(&patient.lab.path("far"), "docker.io/library/far:1");
    patient.lab.assert_sound();
}

#[test]
fn a_manifest_that_is_damaged_costs_the_digest_only() {
    let patient = Patient::new();
    let manifest = patient.image("one").join("manifest");
    flip(&manifest);
    assert!(patient.findings().contains(manifest.to_str().unwrap()));
    let report = patient.repair();
    assert_eq!(report["remaining"], serde_json::json!([]), "{report}");
    assert_eq!(patient.lab.json(&["inspect", "one"])["digest"], Value::Null);
    patient.lab.assert_sound();
    // Without the record the manifest tells it, and the digest is back.
    patient.lab.import(&patient.lab.path("only one"), "one");
}

#[test]
fn what_is_foreign_is_named_and_left_to_its_owner() {
    let patient = Patient::new();
    let store = patient.lab.store();
    let shard = patient.object("one", "own").parent().unwrap().to_owned();
    let places = [
        store.join("thesis"),
        store.join("objects/zz"),
        shard.join("evil"),
        store.join("layers/evil"),
        store.join("images/evil"),
        patient.image("one").join("evil"),
    ];
    for place in &places {
        fs::create_dir_all(place.parent().unwrap()).unwrap();
        fs::write(place, "evil").unwrap();
    }
    for told in [patient.findings(), patient.repair()["remaining"].to_string()] {
        for place in &places {
            assert!(told.contains(place.to_str().unwrap()), "{told} does not name {}", place.display());
        }
    }
    for place in &places {
        assert!(place.exists());
        fs::remove_file(place).unwrap();
    }
    patient.lab.assert_sound();
}

#[test]
fn a_byte_flipped_in_each_object_is_found() {
    let patient = Patient::new();
    let shards =
        fs::read_dir(patient.lab.store().join("objects")).unwrap().map(|shard| shard.unwrap().path());
    let objects: Vec<PathBuf> =
        shards.flat_map(|shard| fs::read_dir(shard).unwrap().map(|object| object.unwrap().path())).collect();
    assert!(objects.len() >= 6);
    for object in objects {
        let time = fs::metadata(&object).unwrap().modified().unwrap();
        let flip_in_silence = || {
            flip(&object);
            fs::File::options().write(true).open(&object).unwrap().set_modified(time).unwrap();
        };
        flip_in_silence();
        assert!(patient.findings().contains(object.to_str().unwrap()));
        flip_in_silence();
        patient.lab.assert_sound();
    }
}

#[test]
fn names_that_were_taken_away_on_purpose_stay_away() {
    let patient = Patient::new();
    let lab = &patient.lab;
    let (one, two) =
        (lab.json(&["inspect", "one"])["id"].clone(), lab.json(&["inspect", "two"])["id"].clone());
    let refs = lab.store().join("refs");
    lab.succeeds(&["tag", "one", "kept", "moved"]);
    lab.succeeds(&["remove", "one"]);
    lab.succeeds(&["tag", "two", "moved"]);
    lab.assert_sound();
    fs::remove_dir_all(&refs).unwrap();
    assert!(patient.findings().contains(refs.to_str().unwrap()));
    assert_eq!(lab.sampanctl(&["gc"]).status.code(), Some(1), "no collection without knowing the names");
    fs::create_dir(&refs).unwrap();
    assert_eq!(lab.json(&["gc"])["images"], 0, "what lost its name is not garbage");
    let explained = lab.succeeds(&["gc", "--explain"]);
    assert!(explained.contains("its name localhost/kept:latest is lost"), "{explained}");
    assert_eq!(patient.repair()["remaining"], serde_json::json!([]));
    lab.assert_sound();
    assert_eq!(lab.json(&["inspect", "kept"])["id"], one, "a tag comes back, too");
    assert_eq!(lab.json(&["inspect", "moved"])["id"], two, "to the image that had it last");
    assert!(lab.fails(&["inspect", "one"]).contains("no image"), "what was removed does not");
    lab.succeeds(&["remove", "kept"]);
    lab.succeeds(&["remove", two.as_str().unwrap()]);
    lab.assert_sound();
    assert_eq!(patient.repair()["repaired"], serde_json::json!([]));
    assert_eq!(lab.json(&["images"]).as_array().unwrap().len(), 1);
}

#[test]
fn a_tree_is_mended_where_it_is_for_a_container_may_run_from_it() {
    let mends: [fn(&Patient); 2] = [
        |it| assert_eq!(it.repair()["remaining"], serde_json::json!([])),
        |it| {
            it.lab.succeeds(&["import", "--verify", "--name=one", it.lab.path("only one").to_str().unwrap()]);
        },
    ];
    for mend in mends {
        let patient = Patient::new();
        let (rootfs, trees) = (patient.lab.rootfs("one"), patient.trees());
        let inodes = || {
            ["", "bin", "bin/tool", "bin/link"]
                .map(|name| fs::symlink_metadata(rootfs.join(name)).unwrap().ino())
        };
        let before = inodes();
        fs::write(rootfs.join("bin/stranger"), "x").unwrap();
        fs::create_dir_all(rootfs.join("strange/things")).unwrap();
        fs::remove_file(rootfs.join("bin/same")).unwrap();
        fs::remove_file(rootfs.join("own")).unwrap();
        fs::create_dir_all(rootfs.join("own/x")).unwrap();
        fs::write(rootfs.join("empty"), "no more").unwrap();
        fs::set_permissions(rootfs.join("bin"), fs::Permissions::from_mode(0o700)).unwrap();
        assert!(!patient.findings().is_empty());
        mend(&patient);
        assert_eq!(inodes(), before, "what was right stays, and directories do");
        patient.lab.assert_sound();
        assert_eq!(patient.trees(), trees);
    }
}

#[test]
fn an_object_that_a_program_runs_from_is_mended_when_its_content_is_whole() {
    let lab = Lab::new();
    let sleep = fs::read("/bin/sleep").unwrap();
    let program = layout::Entry { name: "sleep", body: &sleep, ..Default::default() };
    let layout = Layout::write(&lab.path("layout"), &[gzip(&Tar::default().entry(&program).end())]);
    lab.import(&layout.path, "one");
    let path = lab.rootfs("one").join("sleep");
    let mode = fs::metadata(&path).unwrap().permissions();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    let mut child = std::process::Command::new(&path).arg("1000").spawn().unwrap();
    lab.succeeds(&["import", "--verify", "--name=one", layout.path.to_str().unwrap()]);
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions(), mode);
    lab.assert_sound();
}
