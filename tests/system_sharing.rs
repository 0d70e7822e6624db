//! Two images with the same Debian packages in other layers: one copy on disk, one copy in memory.

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use support::host::Host;

/// The layers of an image.
fn layers(host: &Host, image: &str) -> BTreeSet<String> {
    let text = host.succeed(&["sampanctl", "inspect", image, "--output=json"]);
    let value: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let layers = value["layers"].as_array().unwrap_or_else(|| panic!("no layers: {text}"));
    layers.iter().map(ToString::to_string).collect()
}

/// Its tree, as this machine sees it.
fn tree(host: &Host, image: &str) -> std::path::PathBuf {
    let text = host.succeed(&["sampanctl", "inspect", image, "--output=json"]);
    let value: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    host.path(value["rootfs"].as_str().expect("the path of the tree"))
}

/// Size of the pages of a file that a process has mapped, of those that others map too, and its share, in KiB.
struct Mapped {
    resident: u64,
    shared: u64,
    proportional: u64,
}

impl Mapped {
    /// Of the files whose names contain `name`.
    fn of(host: &Host, pid: &str, name: &str) -> Self {
        let text = fs::read_to_string(host.path(&format!("/proc/{pid}/smaps"))).expect("the process runs");
        let (mut mapped, mut wanted) = (Self { resident: 0, shared: 0, proportional: 0 }, false);
        for line in text.lines() {
            let words: Vec<&str> = line.split_whitespace().collect();
            match words[0] {
                "Rss:" if wanted => mapped.resident += kib(&words),
                "Pss:" if wanted => mapped.proportional += kib(&words),
                "Shared_Clean:" if wanted => mapped.shared += kib(&words),
                range if range.contains('-') => wanted = line.contains(name),
                _ => {}
            }
        }
        mapped
    }
}

fn kib(words: &[&str]) -> u64 {
    words[1].parse().expect("a number of KiB")
}

#[test]
fn equal_files_of_images_without_a_common_layer_are_one_inode_and_one_copy_in_memory() {
    let host = Host::with_images(&["web", "shop"]);
    assert!(layers(&host, "localhost/web").is_disjoint(&layers(&host, "localhost/shop")));
    let (web, shop) = (tree(&host, "localhost/web"), tree(&host, "localhost/shop"));
    let inode = |tree: &std::path::Path, path: &str| fs::metadata(tree.join(path)).expect(path).ino();
    let library = "usr/lib/x86_64-linux-gnu/libcrypto.so.3";
    for path in ["usr/sbin/nginx", library] {
        assert_eq!(inode(&web, path), inode(&shop, path), "{path}");
    }
    assert_ne!(inode(&web, "var/www/index.html"), inode(&shop, "var/www/index.html"));

    let start = |unit: &str| {
        host.unit(&format!("{unit}.container"), &format!("[container]\nimage = \"localhost/{unit}\"\n"));
        host.succeed(&["sampanctl", "start", unit]);
        host.wait_log(unit, "start worker process ");
        Mapped::of(&host, &host.property(unit, "MainPID"), "libcrypto")
    };
    let alone = start("web");
    let shop = start("shop");
    let web = Mapped::of(&host, &host.property("web", "MainPID"), "libcrypto");
    for (unit, mapped) in [("web", &web), ("shop", &shop)] {
        assert!(mapped.shared > mapped.resident / 2, "{unit}: {} of {} KiB", mapped.shared, mapped.resident);
    }
    // The first server's part of the library becomes smaller when the other container maps it too.
    let (before, after) = (alone.proportional, web.proportional);
    assert!(after < before * 3 / 4, "{before} KiB alone, {after} KiB beside the other");
}

/// The inodes of all files in a directory of the host.
fn inodes(host: &Host, directory: &str) -> BTreeSet<String> {
    let listed = host.succeed(&["find", directory, "-type", "f", "-printf", "%i\\n"]);
    listed.lines().map(str::to_owned).collect()
}

#[test]
fn a_unit_that_does_not_share_has_files_of_its_own() {
    let host = Host::with_images(&["hello"]);
    let unit = |share: bool| {
        format!(
            "[container]\nimage = \"localhost/hello\"\nentrypoint = [\"sh\", \"-c\"]\ncommand = [\"exec sleep 100000\"]\n\
             share = {share}\n[mount.\"/image\"]\ntype = \"image\"\nsource = \"localhost/hello\"\n"
        )
    };
    host.unit("own.container", &unit(false));
    host.unit("other.container", &unit(true));
    host.succeed(&["sampanctl", "start", "own", "other"]);
    let objects = inodes(&host, "/var/lib/sampan/objects");
    let copy = host.property("own", "RootFS");
    assert!(copy.starts_with("/var/lib/sampan/containers/own.container/private/"), "{copy}");
    let own = inodes(&host, &copy);
    assert!(!own.is_empty() && own.is_disjoint(&objects), "{own:?}");
    assert!(inodes(&host, &host.property("other", "RootFS")).is_subset(&objects));
    // Of the mounted image, too: what the kernel has open for a program there is no inode of the store.
    let same = ["sampanctl", "exec", "own", "sh", "-c", "stat -c %i /bin/busybox /image/bin/busybox"];
    for inode in host.succeed(&same).lines() {
        assert!(own.contains(inode) && !objects.contains(inode), "{inode}");
    }
    let whole = |copy: &str, image: &str| {
        host.succeed(&["diff", "-r", "--no-dereference", copy, image]);
        let listed = |tree: &str| {
            host.succeed(&["sh", "-c", &format!("cd {tree}; find . -printf '%p %m %U %G %T@\\n' | sort")])
        };
        assert_eq!(listed(copy), listed(image));
    };
    let image = host.property("other", "RootFS");
    whole(&copy, &image);

    host.succeed(&["sampanctl", "restart", "own"]);
    assert_eq!(inodes(&host, &copy), own, "it is copied once");

    // A launcher that was killed on the way has left half of it, and not in its place.
    host.succeed(&["sampanctl", "stop", "own"]);
    let half = format!(
        "mkdir -p /var/lib/sampan/staging/dead; mv $(dirname {copy}) /var/lib/sampan/staging/dead/private; \
         rm /var/lib/sampan/staging/dead/private/rootfs/bin/busybox"
    );
    host.succeed(&["sh", "-c", &half]);
    host.succeed(&["sampanctl", "start", "own"]);
    whole(&copy, &image);
    assert_eq!(host.succeed(&["ls", "/var/lib/sampan/staging"]), "");

    // Nothing of it stays once it is not wanted.
    let gone = |reason: &str| {
        let left = host.succeed(&["sh", "-c", "ls -d /var/lib/sampan/containers/*/private || true"]);
        assert_eq!(left, "", "{reason}");
    };
    let collected = || host.succeed(&["sampanctl", "gc"]);
    assert!(!collected().contains("private"), "it runs");
    host.unit("own.container", &unit(true));
    assert!(!collected().contains("private"), "it runs from it");
    host.succeed(&["sampanctl", "restart", "own"]);
    gone("shared from now on");
    host.unit("own.container", &unit(false));
    host.succeed(&["sampanctl", "restart", "own"]);
    host.succeed(&["sampanctl", "stop", "own"]);
    assert!(!collected().contains("private"), "its file wants it");
    host.succeed(&["rm", "/etc/sampan/units/own.container.toml"]);
    host.succeed(&["sampanctl", "daemon-reload"]);
    let explained = host.succeed(&["sampanctl", "gc", "--explain"]);
    assert!(explained.contains("the private copy of own.container of sha256:"), "{explained}");
    assert!(collected().contains("Removed 1 private copy: "));
    gone("no unit wants it");
}

#[test]
fn copies_of_an_image_are_known_beside_it() {
    let host = Host::with_images(&["hello"]);
    let unit = "[container]\nimage = \"localhost/hello\"\nentrypoint = [\"sh\", \"-c\"]\n\
                command = [\"exec sleep 100000\"]\nshare = false\n";
    host.unit("own.container", unit);
    host.succeed(&["sampanctl", "start", "own"]);
    let listed = host.succeed(&["sampanctl", "images"]);
    let row: Vec<&str> = listed.lines().nth(2).expect(&listed).split_whitespace().collect();
    let image: Vec<&str> = listed.lines().nth(1).expect(&listed).split_whitespace().collect();
    assert_eq!(row[..4], ["copy", "of", "own.container", image[1]], "{listed}");
    let size = image[image.len() - 3];
    assert_eq!(row[4..], ["-", size, "0B", size], "{listed}");
    let over_bus =
        host.succeed(&["busctl", "call", "org.sampan1", "/org/sampan1", "org.sampan1.Manager", "ListImages"]);
    assert!(over_bus.contains("1 \"own.container\""), "{over_bus}");
    let inspected = host.succeed(&["sampanctl", "inspect", "hello"]);
    assert!(inspected.contains("Copy: own.container has one of its own, "), "{inspected}");
    host.succeed(&["sampanctl", "fsck"]);

    // What is wrong with a copy is found, and the next start makes another.
    let copy = host.property("own", "RootFS");
    let damage = "cd \"$0\"; date >> bin/busybox; chmod 700 etc; rm bin/sh; echo > strange";
    host.succeed(&["sh", "-c", damage, &copy]);
    let found = host.answer(1, &["sampanctl", "fsck"]);
    for (path, what) in [
        ("bin/busybox", "has other content than the image's index says"),
        ("etc", "has other metadata than the image's index says"),
        ("bin/sh", "is missing"),
        ("strange", "is not in the image's index"),
    ] {
        assert!(found.contains(&format!("{copy}/{path} {what}\n")), "{path}: {found}");
    }
    let kept = host.answer(1, &["sampanctl", "fsck", "--repair"]);
    assert!(kept.contains("is damaged, and containers run from its image: stop them"), "{kept}");
    host.succeed(&["sampanctl", "stop", "own"]);
    let repaired = host.succeed(&["sampanctl", "fsck", "--repair"]);
    assert!(repaired.contains("the next start of own.container copies it again\n"), "{repaired}");
    assert!(!host.succeed(&["sampanctl", "images"]).contains("copy of"));
    host.succeed(&["sampanctl", "start", "own"]);
    host.succeed(&["sampanctl", "fsck"]);
    host.succeed(&["mkdir", "/var/lib/sampan/containers/own.container/private/strange"]);
    assert!(host.answer(1, &["sampanctl", "fsck"]).contains("private/strange is foreign to the store"));

    // Whoever wants another one has it made again, and whoever needs the room gets it.
    assert!(host.fail(1, &["sampanctl", "clean", "own"]).contains("is active or has a job"));
    host.succeed(&["sampanctl", "stop", "own"]);
    host.succeed(&["rmdir", "/var/lib/sampan/containers/own.container/private/strange"]);
    host.succeed(&["sampanctl", "clean", "own"]);
    assert!(!host.succeed(&["sampanctl", "images"]).contains("copy of"));
    host.succeed(&["sampanctl", "start", "own"]);

    // It goes with its image, and not before.
    host.fail(1, &["sampanctl", "remove", "--force", "hello"]);
    host.succeed(&["sampanctl", "stop", "own"]);
    host.fail(1, &["sampanctl", "remove", "hello"]);
    assert!(host.run(&["test", "-d", &copy]).status.success(), "nothing was removed");
    host.succeed(&["sampanctl", "remove", "--force", "hello"]);
    assert!(!host.run(&["test", "-e", &copy]).status.success(), "{copy} has gone with the image");
}
