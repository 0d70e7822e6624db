//! Volumes and mounts of units on a private host, through the command line.

mod support;

use serde_json::Value;
use std::fs;
use support::host::Host;
use support::image::{Layer, header, write_layout};
use support::units::shell;

const SLEEP: &str = "trap 'exit 0' TERM; while :; do sleep 1000 & wait; done";

fn inside(host: &Host, unit: &str, script: &str) -> String {
    host.succeed(&["sampanctl", "exec", unit, "sh", "-c", script])
}

fn mount(at: &str, kind: &str, source: &str, options: &str) -> String {
    let source = if source.is_empty() { String::new() } else { format!("source = \"{source}\"\n") };
    format!("[mount.\"{at}\"]\ntype = \"{kind}\"\n{source}options = [{options}]\n")
}

/// A host with `localhost/data`, which has content in /data, and wants /data and /var/lib/own as volumes.
fn host() -> Host {
    let host = Host::with_images(&["hello"]);
    let data = Layer::new().directory("data").file("data/file", 0o640, b"content\n");
    let config = serde_json::json!({
        "Entrypoint": ["/bin/sh", "-c"], "Cmd": [SLEEP], "Volumes": { "/data": {}, "/var/lib/own": {} },
    });
    write_layout(&host.shared().join("data"), vec![Layer::busybox(), data], &config);
    host.import("data", "localhost/data");
    host
}

fn volumes(host: &Host) -> Vec<String> {
    host.succeed(&["sampanctl", "volumes", "--quiet"]).lines().map(str::to_owned).collect()
}

#[test]
fn volumes_live_longer_than_containers_and_are_kept_from_whom_they_serve() {
    let host = host();
    // A volume can be at two places; it is one user nevertheless.
    let named = mount("/data", "volume", "kept", "") + &mount("/seen", "volume", "kept", "\"ro\"");
    host.unit("one.container", &format!("[container]\nimage = \"localhost/data\"\n{named}"));
    host.succeed(&["sampanctl", "start", "one"]);
    assert_eq!(volumes(&host), ["kept", "one.container@var-lib-own"]);
    assert_eq!(
        inside(&host, "one", "cat /data/file; echo changed >/data/file; echo mine >/var/lib/own/file"),
        "content\n"
    );

    let refused = host.fail(1, &["sampanctl", "volumes", "remove", "--force", "kept"]);
    assert!(refused.contains("volume \"kept\": one.container runs with it; stop first"), "{refused}");
    let gc = host.succeed(&["sampanctl", "gc"]);
    assert!(!gc.contains("kept"), "{gc}");
    host.succeed(&["sampanctl", "restart", "one"]);
    assert_eq!(inside(&host, "one", "cat /data/file /var/lib/own/file"), "changed\nmine\n");
    host.succeed(&["sampanctl", "stop", "one"]);
    let refused = host.fail(1, &["sampanctl", "volumes", "remove", "one.container@var-lib-own"]);
    assert!(
        refused.contains("one.container names it (/etc/sampan/units/one.container.toml); --force"),
        "{refused}"
    );

    let listed = host.succeed(&["sampanctl", "volumes", "list", "--output=json"]);
    let listed: Value = serde_json::from_str(&listed).expect("JSON");
    assert_eq!(listed[0]["used_by"], serde_json::json!(["one.container"]));
    assert_eq!(host.succeed(&["sampanctl", "volumes", "list", "--unused", "-q"]), "");
    let told = host.succeed(&["sampanctl", "volumes", "inspect", "kept"]);
    assert!(
        told.contains("Path: /var/lib/sampan/volumes/kept") && told.contains("Owner: 0:0, mode 0755"),
        "{told}"
    );

    fs::remove_file(host.path("/etc/sampan/units/one.container.toml")).unwrap();
    assert_eq!(host.succeed(&["sampanctl", "volumes", "list", "--unused", "-q"]).lines().count(), 2);
    let removed = host.succeed(&["sampanctl", "volumes", "remove", "kept", "one.container@var-lib-own"]);
    assert_eq!(removed, "Removed kept.\nRemoved one.container@var-lib-own.\n");
    assert!(host.fail(1, &["sampanctl", "volumes", "remove", "kept"]).contains("no volume \"kept\""));
    assert_eq!(
        host.succeed(&["ls", "/var/lib/sampan/volumes", "/var/lib/sampan/staging"]).matches("kept").count(),
        0
    );
    // No image is kept for the sake of a volume.
    host.succeed(&["sampanctl", "remove", "localhost/data"]);
    host.succeed(&["sampanctl", "fsck"]);
}

#[test]
fn a_volume_leaves_and_comes_back_as_it_was() {
    let host = host();
    let unit =
        shell(SLEEP) + &mount("/data", "volume", "first", "") + &mount("/copy", "volume", "second", "");
    host.unit("web.container", &unit);
    host.succeed(&["sampanctl", "start", "web"]);
    inside(
        &host,
        "web",
        "cd /data; echo text >file; ln file hard; ln -s /etc/passwd soft; mkfifo -m 600 pipe; mkdir -m 1777 below; \
         dd if=/dev/zero of=holes bs=1 count=0 seek=8M 2>/dev/null; chown 33:44 file below; chmod 4755 file; touch -d @1000000000 below",
    );
    let listing = "cd $0 && find . -exec stat -c '%n %F %a %u:%g %h %s %Y' {} + | sort";
    let before = host.succeed(&["sh", "-c", listing, "/var/lib/sampan/volumes/first"]);
    host.succeed(&["sampanctl", "stop", "web"]);
    host.succeed(&[
        "sh",
        "-c",
        "sampanctl volumes export first -o /srv/first.tar; tar -tvf /srv/first.tar >/srv/list",
    ]);
    let list = fs::read_to_string(host.shared().join("list")).unwrap();
    assert!(list.contains("-rwsr-xr-x 33/44") || list.contains("www-data"), "ids of the container: {list}");
    let exists = host.fail(1, &["sampanctl", "volumes", "import", "first", "/srv/first.tar"]);
    assert!(exists.contains("there is a volume \"first\" already"), "{exists}");
    host.succeed(&["sampanctl", "volumes", "remove", "--force", "second"]);
    host.succeed(&["sh", "-c", "gzip -c /srv/first.tar | sampanctl volumes import second -"]);
    let after = host.succeed(&["sh", "-c", listing, "/var/lib/sampan/volumes/second"]);
    assert_eq!(before, after);
    let blocks = host.succeed(&["stat", "-c", "%b", "/var/lib/sampan/volumes/second/holes"]);
    assert_eq!(blocks.trim(), "0", "zeros become holes");
    host.succeed(&["sampanctl", "start", "web"]);
    assert_eq!(inside(&host, "web", "cat /copy/hard; stat -c %u:%g:%a /copy/below"), "text\n33:44:1777\n");
    assert_eq!(
        host.succeed(&["sh", "-c", "sampanctl volumes export second -o - | tar -t | wc -l"]).trim(),
        "7"
    );
}

#[test]
fn an_archive_cannot_leave_its_volume_nor_make_half_of_one() {
    let host = Host::with_images(&[]);
    host.succeed(&["sh", "-c", "mkdir /srv/canary; cd /srv; mkdir t; ln -s /srv/canary t/link; tar -cf a.tar -C t link; \
        rm t/link; mkdir t/link; echo x >t/link/x; tar -rf a.tar -C t link/x; head -c 3000 /dev/urandom >t/big; \
        tar -cf b.tar -C t big; truncate -s 2000 b.tar; tar -cPf c.tar /srv/t/../canary"]);
    for (archive, reason) in [("a", "link/x"), ("b", "truncated"), ("c", "\"..\"")] {
        let error = host.fail(1, &["sampanctl", "volumes", "import", "evil", &format!("/srv/{archive}.tar")]);
        assert!(error.contains(reason), "{archive}: {error}");
    }
    assert_eq!(
        host.succeed(&["ls", "-A", "/srv/canary", "/var/lib/sampan/volumes", "/var/lib/sampan/staging"])
            .matches("evil")
            .count(),
        0
    );
    assert_eq!(fs::read_dir(host.shared().join("canary")).unwrap().count(), 0);
}

#[test]
fn devices_of_an_archive_are_left_out_under_all_their_names() {
    let host = Host::with_images(&[]);
    let mut archive = tar::Builder::new(fs::File::create(host.shared().join("d.tar")).unwrap());
    archive.append_data(&mut header(tar::EntryType::Char, 0o666), "device", std::io::empty()).unwrap();
    for (name, of) in [("more", "device"), ("again", "more")] {
        archive.append_link(&mut header(tar::EntryType::Link, 0o666), name, of).unwrap();
    }
    let mut file = header(tar::EntryType::Regular, 0o644);
    file.set_size(5);
    archive.append_data(&mut file, "file", &b"text\n"[..]).unwrap();
    archive.append_link(&mut header(tar::EntryType::Link, 0o644), "hard", "file").unwrap();
    archive.finish().unwrap();
    let imported = host.run(&["sampanctl", "volumes", "import", "plain", "/srv/d.tar"]);
    let told = String::from_utf8_lossy(&imported.stderr).into_owned();
    assert!(imported.status.success(), "{told}");
    assert_eq!(
        (told.matches("is a device").count(), told.matches("another name of a device").count()),
        (1, 2),
        "{told}"
    );
    let kept = host.succeed(&["sh", "-c", "cd /var/lib/sampan/volumes/plain && stat -c '%n %h' *"]);
    assert_eq!(kept, "file 2\nhard 2\n");
}

#[test]
fn a_killed_seeding_leaves_no_half_volume() {
    let host = Host::with_images(&[]);
    let big = vec![7u8; 32 << 20];
    let mut data = Layer::new().directory("data");
    for number in 0..4 {
        let content: Vec<u8> = big.iter().map(|byte| byte + number).collect();
        data = data.file(&format!("data/{number}"), 0o644, &content);
    }
    let config =
        serde_json::json!({ "Entrypoint": ["/bin/sh", "-c"], "Cmd": [SLEEP], "Volumes": { "/data": {} } });
    write_layout(&host.shared().join("big"), vec![Layer::busybox(), data], &config);
    host.import("big", "localhost/big");
    host.unit("web.container", "[container]\nimage = \"localhost/big\"\n");
    // As soon as there is work in progress, its maker is killed.
    host.succeed(&["sh", "-c", "sampanctl start --no-block web
        until ls -d /var/lib/sampan/staging/*/volume/* 2>/dev/null; do :; done; kill -9 $(pgrep -x sampan-launch)"]);
    host.wait_property("web", "ActiveState", "failed");
    assert_eq!(volumes(&host), [""; 0]);
    host.succeed(&["sampanctl", "start", "web"]);
    assert_eq!(inside(&host, "web", "cat /data/* | wc -c").trim(), (4 * (32 << 20)).to_string());
    assert_eq!(host.succeed(&["ls", "/var/lib/sampan/staging"]), "", "the half of before is gone");
}

#[test]
fn every_type_of_mount_works_and_says_when_it_does_not() {
    let host = host();
    host.succeed(&[
        "sh",
        "-c",
        "mkdir /srv/shared; echo theirs >/srv/shared/file; chown -R 33:33 /srv/shared",
    ]);
    let unit = shell(SLEEP)
        + &mount("/bind", "bind", "/srv/shared", "\"ro\", \"noexec\"")
        + &mount("/root", "bind", "/srv/shared", "\"rootidmap\"")
        + &mount("/gone", "bind", "-/srv/gone", "")
        + &mount("/mem", "tmpfs", "", "\"size=64K\", \"mode=0700\"")
        + &mount("/other", "image", "localhost/data", "")
        + &mount("/mq", "mqueue", "", "");
    host.unit("web.container", &unit);
    host.succeed(&["sampanctl", "start", "web"]);
    let seen = inside(
        &host,
        "web",
        "cat /bind/file /other/data/file; stat -c %u /root/file; stat -f -c %T /mem; grep -c '/mq mqueue ' /proc/mounts",
    );
    assert_eq!(seen, "theirs\ncontent\n0\ntmpfs\n1\n");
    assert!(host.run(&["sampanctl", "exec", "web", "touch", "/other/x"]).status.code() == Some(1));
    let kept = host.fail(1, &["sampanctl", "remove", "localhost/data"]);
    assert!(kept.contains("web.container runs from this image"), "{kept}");
    host.succeed(&["sampanctl", "stop", "web"]);

    host.unit("web.container", &(shell(SLEEP) + &mount("/bind", "bind", "/srv/gone", "")));
    host.fail(1, &["sampanctl", "start", "web"]);
    let status = host.answer(3, &["sampanctl", "status", "web"]);
    assert!(
        status.contains("open bind: /srv/gone: No such file or directory; make it, or begin"),
        "{status}"
    );
    host.unit("web.container", &(shell(SLEEP) + &mount("/other", "image", "localhost/none", "")));
    host.fail(1, &["sampanctl", "start", "web"]);
    let status = host.answer(3, &["sampanctl", "status", "web"]);
    assert!(status.contains("mount.\"/other\": no image \"localhost/none\" in the store"), "{status}");
    assert_eq!(
        host.succeed(&[
            "sh",
            "-c",
            "systemctl list-units --all --no-legend 'sampan-web*'; findmnt -lno TARGET | grep -c sampan; true"
        ])
        .lines()
        .last(),
        Some("1")
    );
}
