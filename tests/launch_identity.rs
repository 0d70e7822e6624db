//! What a container is told of itself and of its host, whatever its image has in the place of it.

#[allow(dead_code)]
#[path = "launch_rig/mod.rs"]
mod rig;

use rig::{Rig, own};
use rustix::process::Signal;
use sampan::launch::plan::Command;
use sampan::sys::pidfd::{self, Exit};
use sampan::unit::model::*;
use std::fs;
use std::os::unix::fs::symlink;

const ID: uuid::Uuid = uuid::uuid!("01234567-89ab-4def-8123-456789abcdef");
const ROOTS: [RootMode; 3] = [RootMode::Ephemeral, RootMode::Persistent, RootMode::ReadOnly];
const HOSTS: &str = "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n127.0.1.1 boat\n";

fn rig() -> Rig {
    let mut rig = Rig::new();
    rig.facts.identity.machine_id = Some(ID);
    rig.facts.identity.os_release = "ID=debian\n".into();
    rig
}

/// Gives a name below `/etc` of the image a file, a link or a directory.
fn lie(rig: &Rig, lie: impl Fn(&std::path::Path)) {
    for name in ["hostname", "hosts", "machine-id", "resolv.conf"] {
        lie(&rig.rootfs().join("etc").join(name));
    }
    own(&rig.rootfs().join("etc"));
}

#[test]
fn files_of_the_image_do_not_lie() {
    let lies: [&dyn Fn(&std::path::Path); 5] = [
        &|path| fs::write(path, "from the image\n").unwrap(),
        &|path| symlink("/nowhere/at/all", path).unwrap(),
        &|path| symlink("/etc/passwd", path).unwrap(),
        &|path| symlink(path.file_name().unwrap(), path).unwrap(),
        &|path| rustix::fs::mkfifoat(rustix::fs::CWD, path, 0o644.into()).unwrap(),
    ];
    let mut rig = rig();
    rig.script("cat /etc/hostname /etc/hosts /etc/machine-id; wc -l < /etc/passwd");
    let expected = format!("boat\n{HOSTS}0123456789ab4def8123456789abcdef\n2\n");
    for root in ROOTS {
        rig.container.root = root;
        assert_eq!(rig.run().printed(), expected, "of an image without them");
    }
    for (number, one) in lies.iter().enumerate() {
        lie(&rig, one);
        for root in ROOTS {
            rig.container.root = root;
            assert_eq!(rig.run().printed(), expected, "lie {number} with {root:?}");
        }
        for name in ["hostname", "hosts", "machine-id", "resolv.conf"] {
            let _ = fs::remove_file(rig.rootfs().join("etc").join(name));
        }
    }
}

#[test]
fn what_cannot_be_the_file_is_left_alone() {
    let mut rig = rig();
    lie(&rig, |path| fs::create_dir(path).unwrap());
    for root in ROOTS {
        rig.container.root = root;
        rig.script("ls -d /etc/hostname /etc/hosts/ /etc/machine-id/; cat /proc/sys/kernel/hostname");
        assert_eq!(rig.run().printed(), "/etc/hostname\n/etc/hosts/\n/etc/machine-id/\nboat\n");
    }
    // Where /etc leads to the kernel's files, into itself, or is no directory at all.
    let etc = rig.rootfs().join("etc");
    fs::remove_dir_all(&etc).unwrap();
    for target in ["proc/sys/kernel", "etc", "nowhere", "bin/busybox"] {
        symlink(target, &etc).unwrap();
        for root in ROOTS {
            rig.container.root = root;
            rig.container.user = Some("0:0".into());
            rig.script("cat /proc/sys/kernel/hostname; grep -c hostname /proc/self/mountinfo");
            let printed = rig.run();
            assert!(printed.output.starts_with("boat\n0\n") || printed.failed.is_some(), "{target} {root:?}");
            if let Some(failed) = &printed.failed {
                assert_eq!(failed.step, "resolve user", "{target} {root:?}: {failed}");
            }
        }
        fs::remove_file(&etc).unwrap();
    }
}

#[test]
fn the_units_own_files_are_not_covered() {
    let mut rig = rig();
    let own = rig.directory.path().join("hosts");
    fs::write(&own, "10.0.0.1 db\n").unwrap();
    rig.mount("/etc/hosts", Mount::new(MountSource::Bind(Bind::new(own))));
    rig.script("cat /etc/hosts /etc/hostname");
    assert_eq!(rig.run().printed(), "10.0.0.1 db\nboat\n");
    let directory = rig.directory.path().join("etc");
    fs::create_dir(&directory).unwrap();
    fs::write(directory.join("passwd"), "root:x:0:0:root:/root:/bin/sh\n").unwrap();
    rig.container.mounts.clear();
    rig.mount("/etc", Mount::new(MountSource::Bind(Bind::new(directory.clone()))));
    rig.script("ls /etc");
    assert_eq!(rig.run().printed(), "passwd\n");
    assert_eq!(directory.read_dir().unwrap().count(), 1, "the host's directory has got a file");
}

#[test]
fn the_host_is_told_as_the_interface_of_systemd_says() {
    const TELL: &str = "cd /run/host; cat container-manager container-uuid os-release; echo $container $container_uuid; \
        touch x container-uuid; rm container-uuid; echo y > /etc/machine-id; echo y >> /etc/hosts; tail -n 1 /etc/hosts";
    let mut rig = rig();
    rig.image.environment = vec!["container_uuid=lie".into(), "container=lie".into()];
    for root in ROOTS {
        rig.container.root = root;
        let outcome = rig.script(TELL).run();
        let told = outcome.printed();
        assert!(told.starts_with(&format!("sampan\n{ID}\nID=debian\nsampan {ID}\n")), "{told}");
        assert_eq!(told.matches("Read-only file system").count(), 4, "{told}");
        assert!(told.ends_with("\ny\n"), "/etc/hosts can be written, as with other engines: {told}");
    }
    let running = rig.script("exec sleep 1000").start(&[]);
    let words = ["sh", "-c", "echo $container_uuid"].map(str::to_owned).into();
    let (output, _) = rig.join(&running, &Command { words, ..Command::default() });
    assert_eq!(output, format!("{ID}\n"));
    pidfd::signal(running.process(), Signal::KILL).unwrap();
    drop(rig.finish(running));
}

#[test]
fn on_the_network_of_the_host_its_names_are_known() {
    let mut rig = rig();
    rig.container.network = NetworkMode::Host;
    let resolver = rig.directory.path().join("resolv.conf");
    fs::write(&resolver, "nameserver 10.0.0.53\n").unwrap();
    rig.facts.identity.resolver = Some(resolver);
    rig.facts.identity.hosts = "127.0.0.1 localhost\n10.0.0.1 db\n".into();
    symlink("../run/systemd/resolve/stub-resolv.conf", rig.rootfs().join("etc/resolv.conf")).unwrap();
    for root in ROOTS {
        rig.container.root = root;
        rig.script("cat /etc/resolv.conf /etc/hosts");
        let expected = "nameserver 10.0.0.53\n127.0.1.1 boat\n127.0.0.1 localhost\n10.0.0.1 db\n";
        assert_eq!(rig.run().printed(), expected);
    }
}

/// What hides the file that says who a user is hides it from the payload, not from who starts it.
#[test]
fn a_user_is_known_where_its_file_is_hidden() {
    for hidden in ["/etc/passwd", "/etc"] {
        let mut rig = Rig::new();
        rig.container.user = Some("web".into());
        rig.container.security.mask_paths = [hidden.into()].into();
        rig.script(
            "id -G; cat /etc/passwd; trap 'exit 0' TERM; touch /tmp/up; while true; do sleep 0.05; done",
        );
        let running = rig.start(&[]);
        let words = ["sh", "-c", "until test -e /tmp/up; do sleep 0.01; done; id -u"];
        let command = Command { words: words.map(str::to_owned).to_vec(), ..Command::default() };
        assert_eq!(rig.join(&running, &command), ("33\n".to_owned(), Ok(Exit::Code(0))), "{hidden}");
        pidfd::signal(running.process(), Signal::TERM).unwrap();
        let output = rig.finish(running).output;
        assert!(output.contains("44 4\n") && !output.contains("root:"), "{hidden}: {output}");
    }
}

/// In a user namespace the file of this setting is the host's.
#[test]
fn the_name_of_the_domain_is_the_containers() {
    let mut rig = Rig::new();
    rig.container.security.sysctl.insert("kernel/domainname".into(), "harbour".into());
    rig.script("cat /proc/sys/kernel/domainname");
    assert_eq!(rig.run().printed(), "harbour\n");
    rig.container.security.user_namespace = UserNamespace::Host;
    assert_eq!(rig.run().printed(), "harbour\n");
}

/// In the words of the kernel, proc(5). Nobody in the container can trace the init.
#[test]
fn processes_of_others_are_seen_as_the_unit_says() {
    let mut rig = Rig::new();
    rig.container.init = Init::Minimal;
    rig.script(
        "test -d /proc/1 && echo there; cat /proc/1/comm /proc/1/stat | wc -l; cat /proc/$$/comm; true",
    );
    for (protect, expected) in [
        (ProtectProc::Default, &["there", "2", "sh"][..]),
        (ProtectProc::Noaccess, &["there", "0", "sh"]),
        (ProtectProc::Invisible, &["0", "sh"]),
        (ProtectProc::Ptraceable, &["0", "sh"]),
    ] {
        rig.container.security.protect_proc = protect;
        for user in ["0:0", "33:44"] {
            rig.container.user = Some(user.into());
            let output = rig.run().output;
            let seen: Vec<&str> = output.lines().filter(|line| !line.starts_with("cat: ")).collect();
            assert_eq!(seen, expected, "{protect:?} {user}: {output}");
        }
    }
}

#[test]
fn a_unit_can_have_processes_alone_in_proc() {
    let mut rig = Rig::new();
    rig.container.security.proc_subset = ProcSubset::Pid;
    rig.container.security.sysctl.insert("kernel/domainname".into(), "harbour".into());
    rig.script("ls /proc | grep -v '^[0-9]'; cat /proc/self/comm; ls /proc/meminfo /proc/sys; umount /proc");
    let output = rig.run().output;
    assert!(output.starts_with("self\nthread-self\ncat\n"), "{output}");
    assert_eq!(output.matches("No such file or directory").count(), 2, "{output}");
    assert!(output.contains("umount: "), "{output}");
    rig.container.security.protect_proc = ProtectProc::Invisible;
    rig.container.init = Init::Minimal;
    rig.container.user = Some("33:44".into());
    rig.script("ls -d /proc/1");
    assert!(rig.run().output.contains("/proc/1: No such file or directory"));
}
