//! Mounts of a unit in real containers: what is seen inside, what is on disk, and what is said when one fails.

#[allow(dead_code)]
#[path = "launch_rig/mod.rs"]
mod rig;

use rig::{Rig, STORE, own};
use rustix::fs::XattrFlags;
use sampan::launch::step::HostTree;
use sampan::unit::model::*;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::Path;

const ENOENT: i32 = 2;
const ENOTDIR: i32 = 20;
const EISDIR: i32 = 21;
const EXDEV: i32 = 18;
const EROFS: i32 = 30;

fn volume(name: &str) -> Mount {
    Mount::new(MountSource::Volume { name: name.into(), seed: Seed::Image })
}

fn bind(source: &Path) -> Mount {
    Mount::new(MountSource::Bind(Bind::new(source.to_owned())))
}

fn bind_with(source: &Path, change: impl FnOnce(&mut Bind)) -> Mount {
    let mut bind = Bind::new(source.to_owned());
    change(&mut bind);
    Mount::new(MountSource::Bind(bind))
}

/// A directory of the host with one file of user 33.
fn shared(rig: &Rig) -> std::path::PathBuf {
    let shared = rig.directory.path().join("shared");
    fs::create_dir(&shared).unwrap();
    fs::write(shared.join("file"), "theirs\n").unwrap();
    chown(shared.join("file"), Some(33), Some(44)).unwrap();
    shared
}

/// Content of all kinds for a volume, in an image.
fn content(data: &Path) {
    fs::create_dir_all(data.join("below/deep")).unwrap();
    fs::write(data.join("file"), "content\n").unwrap();
    fs::hard_link(data.join("file"), data.join("below/link")).unwrap();
    symlink("/etc/passwd", data.join("absolute")).unwrap();
    fs::write(data.join("setuid"), "#!").unwrap();
    let sparse = fs::File::create(data.join("sparse")).unwrap();
    sparse.set_len(64 << 20).unwrap();
    std::os::unix::fs::FileExt::write_at(&sparse, b"end", 32 << 20).unwrap();
    rustix::fs::setxattr(data.join("file"), "user.note", b"kept", XattrFlags::empty()).unwrap();
    rustix::fs::mknodat(rustix::fs::CWD, data.join("pipe"), rustix::fs::FileType::Fifo, 0o600.into(), 0)
        .unwrap();
    own(data);
    chown(data, Some(STORE + 33), Some(STORE + 44)).unwrap();
    chown(data.join("setuid"), Some(STORE + 33), Some(STORE + 44)).unwrap();
    fs::set_permissions(data.join("setuid"), fs::Permissions::from_mode(0o4755)).unwrap();
    fs::set_permissions(data.join("below"), fs::Permissions::from_mode(0o1777)).unwrap();
    fs::set_permissions(data, fs::Permissions::from_mode(0o750)).unwrap();
    let old = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000);
    fs::File::open(data.join("below")).unwrap().set_modified(old).unwrap();
}

#[test]
fn a_volume_begins_as_the_image_has_it_and_then_is_its_own() {
    let mut rig = Rig::new();
    content(&rig.rootfs().join("var/lib/data"));
    // The unit reaches it by a link, as images have them.
    symlink("lib/data", rig.rootfs().join("var/data")).unwrap();
    rig.mount("/var/data", volume("data"));
    rig.script(
        "stat -c '%u:%g %a' /var/data/. /var/data/setuid /var/data/below; cat /var/data/file; readlink /var/data/absolute; \
         stat -c '%h %Y' /var/data/file /var/data/below; ls /var/data; echo changed >/var/data/file; touch /var/data/new",
    );
    let printed = rig.run().printed().to_owned();
    let lines: Vec<_> = printed.lines().collect();
    assert_eq!(lines[..5], ["33:44 750", "33:44 4755", "0:0 1777", "content", "/etc/passwd"], "{printed}");
    assert!(lines[5].starts_with("2 ") && lines[6].ends_with(" 1000000000"), "{printed}");
    assert_eq!(lines[7..], ["absolute", "below", "file", "pipe", "setuid", "sparse"], "{printed}");

    let on_disk = rig.volume("data");
    assert_eq!(on_disk.metadata().unwrap().uid(), STORE + 33, "ids are the image's, not the unit's range");
    let sparse = on_disk.join("sparse").metadata().unwrap();
    assert!(sparse.len() == 64 << 20 && sparse.blocks() * 512 < 1 << 20, "holes stay holes");
    let mut note = [0; 8];
    let length = rustix::fs::getxattr(on_disk.join("file"), "user.note", &mut note).unwrap();
    assert_eq!(&note[..length], b"kept");
    assert_eq!(fs::read_to_string(on_disk.join("below/link")).unwrap(), "changed\n", "links are one file");
    assert_eq!(fs::read_to_string(rig.rootfs().join("var/lib/data/file")).unwrap(), "content\n");
    assert_eq!(fs::read_dir(rig.facts.store.join("staging")).unwrap().count(), 0);

    // A later start, with another range, sees what the first has left.
    rig.facts.range.base += 65536;
    rig.script("cat /var/data/file; stat -c %u:%g /var/data/new /var/data/setuid");
    assert_eq!(rig.run().printed(), "changed\n0:0\n33:44\n");
    rig.container.security.user_namespace = UserNamespace::Host;
    assert_eq!(rig.run().printed(), "changed\n0:0\n33:44\n");
}

#[test]
fn a_volume_can_begin_empty() {
    let mut rig = Rig::new();
    content(&rig.rootfs().join("var/lib/data"));
    rig.mount("/var/lib/data", Mount::new(MountSource::Volume { name: "empty".into(), seed: Seed::Nothing }));
    rig.mount("/nowhere", volume("nowhere"));
    rig.script("ls /var/lib/data /nowhere; stat -c '%u:%g %a' /var/lib/data /nowhere");
    assert_eq!(rig.run().printed(), "/nowhere:\n\n/var/lib/data:\n0:0 755\n0:0 755\n");
    rig.mount("/etc/passwd", volume("file"));
    let failed = rig.run();
    assert_eq!(
        failed.failure(),
        ("volume file: read", rig.rootfs().join("etc/passwd").to_str().unwrap(), ENOTDIR)
    );
    assert!(!rig.volume("file").exists(), "no half volume");
}

#[test]
fn a_plain_directory_seeds_a_volume_with_the_ids_it_has() {
    let mut rig = Rig::new();
    content(&rig.rootfs().join("data"));
    let plain = rig.directory.path().join("plain");
    let run = |program: &str, arguments: &[&str]| {
        assert!(std::process::Command::new(program).args(arguments).status().unwrap().success());
    };
    let (from, to) = (rig.rootfs().to_str().unwrap().to_owned(), plain.to_str().unwrap());
    run("cp", &["-a", &from, to]);
    run("chown", &["-hR", "0:0", to]);
    run("chown", &["7:8", &format!("{to}/data/file")]);
    rig.facts.rootfs = HostTree { path: plain.clone(), id_base: 0 };
    rig.mount("/data", volume("data"));
    rig.script("stat -c %u:%g /data /data/file");
    assert_eq!(rig.run().printed(), "0:0\n7:8\n");
    assert_eq!(rig.volume("data").join("file").metadata().unwrap().uid(), STORE + 7);
}

#[test]
fn volumes_that_an_image_wants_outlive_the_container() {
    let mut rig = Rig::new();
    content(&rig.rootfs().join("var/lib/my-data"));
    rig.image.volumes = vec!["/var/lib/my-data".into(), "/cache/".into()];
    rig.container.root = RootMode::ReadOnly;
    rig.mount("/cache", Mount::new(MountSource::Tmpfs(Tmpfs::new(None))));
    rig.script("cat /var/lib/my-data/file; echo kept >/var/lib/my-data/file; stat -f -c %T /cache");
    assert_eq!(rig.run().printed(), "content\ntmpfs\n");
    assert!(rig.run().printed().starts_with("kept\n"));
    let names: Vec<_> = fs::read_dir(rig.facts.store.join("volumes"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(names, [r"web.container@var-lib-my\x2ddata"], "the unit has its own word about /cache");
}

#[test]
fn binds_are_as_their_options_say() {
    let mut rig = Rig::new();
    let shared = shared(&rig);
    chown(&shared, Some(33), Some(44)).unwrap();
    rig.mount("/same", bind(&shared));
    rig.mount("/root-owned", bind_with(&shared, |bind| bind.owners = BindOwners::Root));
    rig.mount("/raw", bind_with(&shared, |bind| bind.owners = BindOwners::Unmapped));
    let mut locked = bind(&shared).read_only();
    locked.restrictions = [Restriction::NoSetuid, Restriction::NoExecute].into();
    rig.mount("/locked", locked);
    symlink(&shared, rig.directory.path().join("link")).unwrap();
    rig.mount("/link", bind(&rig.directory.path().join("link")));
    fs::write(shared.join("run"), "#!/bin/sh\necho ran\n").unwrap();
    fs::set_permissions(shared.join("run"), fs::Permissions::from_mode(0o755)).unwrap();
    rig.script(
        "stat -c %u:%g /same/file /root-owned/file /raw/file; touch /root-owned/new; cat /link/file; /same/run; \
         /locked/run; touch /locked/x; grep ' /locked ' /proc/self/mountinfo | cut -d' ' -f6; touch /raw/x",
    );
    let outcome = rig.run();
    let text = &outcome.output;
    assert!(text.starts_with("33:44\n0:0\n65534:65534\ntheirs\nran\n"), "{text}");
    assert!(
        text.contains("/locked/run: Permission denied") && text.contains("/locked/x: Read-only"),
        "{text}"
    );
    assert!(text.contains("ro,nosuid,nodev,noexec,relatime"), "{text}");
    let new = shared.join("new").metadata().unwrap();
    assert_eq!((new.uid(), new.gid()), (33, 44), "root inside is the owner outside");
    assert!(text.contains("/raw/x: ") && !shared.join("x").exists(), "{text}");
}

#[test]
fn mounts_below_a_bind_come_along_and_are_as_restricted() {
    let mut rig = Rig::new();
    let shared = shared(&rig);
    let below = shared.join("below");
    fs::create_dir(&below).unwrap();
    let mount = std::process::Command::new("mount").args(["-t", "tmpfs", "none"]).arg(&below).status();
    assert!(mount.unwrap().success());
    let unmount = Unmount(&below);
    fs::write(below.join("deep"), "deep\n").unwrap();
    rig.mount("/all", bind(&shared).read_only());
    rig.mount("/one", bind_with(&shared, |bind| bind.depth = BindDepth::One));
    rig.script("cat /all/below/deep; touch /all/below/x; ls /one/below");
    let outcome = rig.run();
    assert_eq!(outcome.output, "deep\ntouch: /all/below/x: Read-only file system\n");
    drop(unmount);
}

struct Unmount<'a>(&'a Path);

impl Drop for Unmount<'_> {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg(self.0).status();
    }
}

#[test]
fn what_is_optional_may_be_missing() {
    let mut rig = Rig::new();
    let missing = rig.directory.path().join("missing");
    rig.mount("/optional", bind_with(&missing, |bind| bind.missing = IfMissing::Ignore));
    rig.script("ls -d /optional 2>&1; echo started");
    assert!(rig.run().printed().ends_with("started\n"));
    rig.mount("/optional", bind(&missing));
    let outcome = rig.run();
    assert_eq!(outcome.failure(), ("open bind", missing.to_str().unwrap(), ENOENT));
    let told = outcome.failed.unwrap().to_string();
    assert!(
        told.ends_with(
            "No such file or directory; make it, or begin the mount's source with \"-\" to do without it"
        ),
        "{told}"
    );
}

#[test]
fn a_read_only_root_gets_the_places_it_lacks() {
    let mut rig = Rig::new();
    let shared = shared(&rig);
    rig.container.root = RootMode::ReadOnly;
    rig.mount("/not/there", bind(&shared));
    rig.mount("/neither/file", bind(&shared.join("file")));
    rig.mount("/etc/passwd", bind(&shared.join("file")));
    rig.mount(
        "/mem",
        Mount::new(MountSource::Tmpfs(Tmpfs { mode: 0o700, user: 33, group: 44, size: Some(65536) })),
    );
    rig.mount("/queues", Mount::new(MountSource::Mqueue));
    // As `/var/run` is in most images, and what leads out of the image does not.
    fs::create_dir(rig.rootfs().join("real")).unwrap();
    symlink("/real", rig.rootfs().join("below")).unwrap();
    symlink("../../../../real", rig.rootfs().join("real/out")).unwrap();
    rig.mount("/below/link/file", bind(&shared.join("file")));
    rig.mount("/below/out/x", bind(&shared));
    rig.script(
        "cat /not/there/file /neither/file /etc/passwd /real/link/file /real/x/file; stat -c '%u:%g %a' /mem; stat -f -c %T /queues; \
         grep ' /mem ' /proc/self/mountinfo | cut -d' ' -f6; touch /not/here",
    );
    let text = rig.run().output;
    assert!(text.starts_with(&("theirs\n".repeat(5) + "33:44 700\n")), "{text}");
    assert!(text.contains("rw,nosuid,nodev") && text.contains("/not/here: Read-only file system"), "{text}");
}

#[test]
fn the_tree_of_another_image_can_be_mounted() {
    let mut rig = Rig::new();
    let other = rig.directory.path().join("other");
    fs::create_dir_all(other.join("share")).unwrap();
    fs::write(other.join("share/file"), "of another\n").unwrap();
    own(&other);
    rig.mount(
        "/opt/other",
        Mount::new(MountSource::Image(ImageSource::Reference("localhost/other".into()))).read_only(),
    );
    rig.facts.images.insert("/opt/other".into(), HostTree { path: other.clone(), id_base: STORE });
    rig.script("cat /opt/other/share/file; stat -c %u /opt/other/share/file; touch /opt/other/x");
    let text = rig.run().output;
    assert_eq!(text, "of another\n0\ntouch: /opt/other/x: Read-only file system\n");
}

#[test]
fn what_does_not_fit_is_said() {
    let mut rig = Rig::new();
    let shared = shared(&rig);
    rig.mount("/etc/passwd", bind(&shared));
    assert_eq!(rig.run().failure(), ("mount", "/etc/passwd", ENOTDIR));
    rig.container.mounts.clear();
    rig.mount("/etc", bind(&shared.join("file")));
    assert_eq!(rig.run().failure(), ("mount", "/etc", EISDIR));
    rig.container.mounts.clear();
    // Below something that cannot be written there is no place to make.
    rig.mount("/a", bind(&shared).read_only());
    rig.mount("/a/b", Mount::new(MountSource::Tmpfs(Tmpfs::new(None))));
    let outcome = rig.run();
    assert_eq!(outcome.failure(), ("mount", "/a/b", EROFS));
    assert!(outcome.failed.unwrap().to_string().contains("make it in the image"));
    // A file system that knows no maps.
    rig.container.mounts.clear();
    rig.mount("/kernel", bind(Path::new("/proc/sys/kernel")));
    let told = rig.run().failed.unwrap().to_string();
    assert!(
        told.starts_with("map ids of bind: /proc/sys/kernel: ") && told.contains("\"noidmap\""),
        "{told}"
    );
}

#[test]
fn links_of_an_image_lead_no_mount_astray() {
    let mut rig = Rig::new();
    let shared = shared(&rig);
    let canary = rig.directory.path().join("canary");
    fs::create_dir(&canary).unwrap();
    for (name, target) in [
        ("absolute", canary.to_str().unwrap().to_owned()),
        ("upwards", format!("../../../../../../..{}", canary.display())),
    ] {
        symlink(target, rig.rootfs().join(name)).unwrap();
        rig.mount(&format!("/{name}/in"), bind(&shared));
    }
    let outcome = rig.run();
    assert_eq!(outcome.failure(), ("mount", "/absolute/in", ENOENT), "it leads nowhere inside");
    fs::create_dir_all(rig.rootfs().join(canary.strip_prefix("/").unwrap())).unwrap();
    own(rig.rootfs());
    rig.script("cat /absolute/in/file");
    assert_eq!(rig.run().printed(), "theirs\n", "the link is followed inside of the root");
    assert_eq!(canary.read_dir().unwrap().count(), 0);
    rig.container.mounts.clear();
    for target in ["/proc/self/attr", "/proc/1/root", "/sys/kernel", "/proc/self/fd"] {
        let _ = fs::remove_file(rig.rootfs().join("trap"));
        symlink(target, rig.rootfs().join("trap")).unwrap();
        rig.mount("/trap", bind(&shared));
        let outcome = rig.run();
        let (step, subject, errno) = outcome.failure();
        assert_eq!((step, subject), ("mount", "/trap"));
        assert!([EXDEV, 40].contains(&errno), "{target}: {errno}");
    }
}

/// CVE-2021-30465: who can write a volume exchanges what a mount below it stands on while containers start.
#[test]
fn a_target_that_is_exchanged_for_a_link_leads_nowhere() {
    const STARTS: u32 = 40;
    let mut rig = Rig::new();
    let shared = shared(&rig);
    let canary = rig.directory.path().join("canary");
    fs::create_dir(&canary).unwrap();
    rig.mount("/data", volume("data"));
    rig.script("mkdir /data/place");
    rig.run().printed();
    let data = rig.volume("data");
    symlink(&canary, data.join("link")).unwrap();
    rig.mount("/data/place/deep", bind(&shared));
    rig.mount("/data/place/file", bind(&shared.join("file")));
    rig.script("cat /proc/self/mountinfo | grep -c canary; true");
    let done = std::sync::atomic::AtomicBool::new(false);
    let outcomes: Vec<_> = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                let (place, link) = (data.join("place"), data.join("link"));
                let flags = rustix::fs::RenameFlags::EXCHANGE;
                rustix::fs::renameat_with(rustix::fs::CWD, &place, rustix::fs::CWD, &link, flags).unwrap();
            }
        });
        let outcomes = (0..STARTS).map(|_| rig.run()).collect();
        done.store(true, std::sync::atomic::Ordering::Relaxed);
        outcomes
    });
    // A start fails where it meets the link, which leads to nothing inside, or it mounts in the volume.
    let started = outcomes.iter().filter(|outcome| outcome.failed.is_none());
    assert!(started.clone().all(|outcome| outcome.output == "0\n"), "{}", started.count());
    assert_eq!(canary.read_dir().unwrap().count(), 0, "nothing was made or mounted outside");
}

#[test]
fn the_host_shows_through_no_option_of_a_mount() {
    let mut rig = Rig::new();
    let image = HostTree { path: rig.rootfs().to_owned(), id_base: STORE };
    rig.facts.images.insert("/image".into(), image);
    rig.mount("/image", Mount::new(MountSource::Image(ImageSource::Reference("localhost/x".into()))));
    rig.script("cat /proc/self/mountinfo");
    let directory = rig.directory.path().to_str().unwrap().to_owned();
    for root in [RootMode::Ephemeral, RootMode::Persistent, RootMode::ReadOnly] {
        rig.container.root = root;
        let told = rig.run().printed().to_owned();
        assert!(told.contains(" - overlay sampan "), "{told}");
        assert!(!told.contains(&directory), "{root:?}: {told}");
    }
}
