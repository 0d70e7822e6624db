//! Volumes on a real file system, as root.

use super::*;
use crate::paths::Paths;
use rustix::fs::OFlags;
use std::sync::Barrier;

fn store() -> (tempfile::TempDir, Store) {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::create(&Paths::default().with_store(&directory.path().join("store"))).unwrap();
    (directory, store)
}

fn write(volume: &OwnedFd, name: &str, text: &str) -> Result<(), StoreError> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::CLOEXEC;
    let file = rustix::fs::openat(volume, name, flags, Mode::RUSR).unwrap();
    rustix::io::write(file, text.as_bytes()).unwrap();
    Ok(())
}

#[test]
fn a_volume_is_whole_or_not_there() {
    let (_directory, store) = store();
    let volumes = store.volumes();
    let failed = volumes.open_or_create("data", |volume| {
        write(volume, "half", "of it")?;
        Err(StoreError::Name("no".into()))
    });
    assert!(failed.is_err() && volumes.names().unwrap().is_empty());
    // What somebody who was killed has left, nobody locks.
    std::fs::create_dir_all(store.path("staging").join("boot-1-0/volume")).unwrap();
    volumes.create("data", |volume| write(volume, "file", "whole")).unwrap();
    assert!(matches!(volumes.create("data", |_| Ok(())), Err(StoreError::VolumeExists(_))));
    assert_eq!(std::fs::read_to_string(volumes.path("data").unwrap().join("file")).unwrap(), "whole");
    assert_eq!(store.list("staging").unwrap(), [""; 0]);
}

#[test]
fn of_those_who_make_a_volume_at_once_one_does() {
    let (_directory, store) = store();
    let (volumes, barrier) = (store.volumes(), Barrier::new(4));
    std::thread::scope(|scope| {
        for number in 0..4 {
            let (volumes, barrier) = (&volumes, &barrier);
            scope.spawn(move || {
                barrier.wait();
                let volume = volumes.open_or_create("data", |volume| write(volume, &number.to_string(), ""));
                let named = rustix::fs::stat(volumes.path("data").unwrap()).unwrap();
                assert_eq!(rustix::fs::fstat(volume.unwrap()).unwrap().st_ino, named.st_ino);
            });
        }
    });
    assert_eq!(usage(volumes.open("data").unwrap()).unwrap().entries, 1);
}

#[test]
fn what_somebody_holds_or_needs_is_not_removed() {
    let (_directory, store) = store();
    let volumes = store.volumes();
    let held = volumes.open_or_create("data", |_| Ok(())).unwrap();
    let busy = volumes.remove("data", || Ok::<_, StoreError>(()));
    assert!(matches!(busy, Err(StoreError::VolumeBusy(_))), "{busy:?}");
    drop(held);
    let refused = volumes.remove("data", || Err(StoreError::Name("used".into())));
    assert!(matches!(refused, Err(StoreError::Name(_))));
    volumes.remove("data", || Ok::<_, StoreError>(())).unwrap();
    assert!(matches!(volumes.open("data"), Err(StoreError::NoVolume(_))));
    assert!(store.list("staging").unwrap().is_empty() && store.list("volumes").unwrap().is_empty());
}

#[test]
fn names_lead_nowhere_else() {
    let (_directory, store) = store();
    for name in ["", ".", "..", "a/b", "../x", ".hidden", "a\0b", "a b", &"a".repeat(256)] {
        assert!(matches!(store.volumes().path(name), Err(StoreError::Name(_))), "{name}");
    }
    std::os::unix::fs::symlink("/etc", store.path("volumes").join("link")).unwrap();
    assert!(store.volumes().open("link").is_err(), "a link is no volume");
}

#[test]
fn names_of_nobodys_volumes_are_as_systemd_names_mounts() {
    let name = |path: &str| anonymous("web@1.container", Path::new(path));
    assert_eq!(name("/var/lib/mysql"), "web@1.container@var-lib-mysql");
    assert_eq!(name("/a-b"), r"web@1.container@a\x2db");
    assert_eq!(name("/.x/.y"), r"web@1.container@\x2ex-.y");
    assert!(is_name(&name("/ä/b c")));
}
