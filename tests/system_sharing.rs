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
