//! Credentials of containers on a private host: where they come from, who can read them, and where they never are.

mod support;

use std::fs;
use std::io::Write;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::UnixListener;
use support::host::Host;
use support::units::shell;

const SLEEP: &str = "trap 'exit 0' TERM; while :; do sleep 1000 & wait; done";
/// A part of every secret here.
const MARKER: &str = "Hunter2-is-a-marker";

fn inside(host: &Host, unit: &str, script: &str) -> String {
    host.succeed(&["sampanctl", "exec", unit, "sh", "-c", script])
}

fn secret(host: &Host, path: &str, name: &str) {
    host.write(path, &format!("{MARKER}-{name}"));
    host.succeed(&["chmod", "600", path]);
}

/// A secret as systemd-creds(1) encrypts it for this host.
fn encrypted(host: &Host, name: &str, what: &str) -> String {
    host.write("/run/plain", &format!("{MARKER}-{what}"));
    let name = format!("--name={name}");
    host.succeed(&["systemd-creds", "encrypt", "--with-key=host", &name, "/run/plain", "-"])
}

/// Everything that anybody could look at: arguments and variables of all processes, the journal, what Sampan and
/// systemd write, and what is told on the bus.
fn assert_told_nowhere(host: &Host, unit: &str) {
    fs::write(host.shared().join("marker"), format!("{MARKER}\n")).unwrap();
    let script = "cd /; for place in /proc/[0-9]*/environ /proc/[0-9]*/cmdline; do \
            grep -aqFf /srv/marker $place 2>/dev/null && echo $place; done; \
        journalctl --sync; journalctl --output=export | grep -aFf /srv/marker; \
        grep -raFf /srv/marker /run/sampan /var/lib/sampan /run/systemd /run/log 2>/dev/null; \
        sampanctl show $0 | grep -aFf /srv/marker; \
        sampanctl show --plan $0 | grep -aFf /srv/marker; \
        sampanctl status --full --lines=100 $0 | grep -aFf /srv/marker; \
        busctl call org.sampan1 /org/sampan1 org.sampan1.Manager GetUnitDefinitions | grep -aFf /srv/marker; \
        busctl tree --list org.sampan1 | while read -r object; do \
            busctl --json=short call org.sampan1 $object org.freedesktop.DBus.Properties GetAll s '' | grep -aFf /srv/marker; \
        done; true";
    assert_eq!(host.succeed(&["sh", "-c", script, unit]), "", "a secret is where it must not be");
}

/// Nothing of a start that failed: no launcher, no mount, no scope.
fn assert_nothing_left(host: &Host, unit: &str) {
    let script = "for name in /proc/[0-9]*/comm; do grep -sqx sampan-launch $name && echo $name; done; \
        grep -h sampan /proc/1/mountinfo | grep -v -e ' /var/lib/sampan ' -e ' /run/credentials/'; \
        systemctl list-units --all --no-legend --plain \"sampan-$0.scope\"; ls /sys/fs/cgroup/sampan.slice 2>/dev/null | grep \"sampan-$0\"; true";
    assert_eq!(host.succeed(&["sh", "-c", script, unit]), "");
}

#[test]
fn credentials_come_from_everywhere_and_are_told_nowhere() {
    let host = Host::with_images(&["hello"]);
    secret(&host, "/etc/secrets/file", "file");
    secret(&host, "/etc/secrets/all/one", "one");
    secret(&host, "/etc/secrets/all/below/two", "two");
    secret(&host, "/etc/secrets/handed", "handed");
    secret(&host, "/run/credstore/named", "named");
    secret(&host, "/etc/credstore/web.a", "web.a");
    secret(&host, "/usr/lib/credstore/web.a", "other");
    host.write("/etc/credstore.encrypted/web.b", &encrypted(&host, "web.b", "web.b"));
    host.write("/etc/secrets/sealed", &encrypted(&host, "sealed", "sealed"));
    let sealed_value = encrypted(&host, "sealed-value", "sealed-value");
    host.write(
        "/etc/systemd/system/sampand.service.d/handed.conf",
        "[Service]\nLoadCredential=handed:/etc/secrets/handed\n",
    );
    // systemd mounts credentials of services in a namespace of its own, and has them come out by propagation.
    host.succeed(&["mount", "--make-rshared", "/"]);
    host.succeed(&["systemctl", "daemon-reload"]);
    host.succeed(&["systemctl", "restart", "sampand"]);
    let listener = UnixListener::bind(host.shared().join("vault")).unwrap();
    let vault = std::thread::spawn(move || {
        let (mut stream, peer) = listener.accept().unwrap();
        write!(stream, "{MARKER}-asked").unwrap();
        String::from_utf8(peer.as_abstract_name().unwrap().to_vec()).unwrap()
    });
    let unit = format!(
        "{}user = \"33:44\"\nenvironment = {{ PASSWORD_FILE = \"%d/file\" }}\n\
         [credentials]\nfile = {{ path = \"/etc/secrets/file\" }}\nall = {{ path = \"/etc/secrets/all\" }}\n\
         asked = {{ path = \"/srv/vault\" }}\nhanded = {{}}\nother = {{ path = \"named\" }}\n\
         given = {{ value = \"{MARKER}-100%\\n\" }}\nsealed = {{ encrypted = \"/etc/secrets/sealed\" }}\n\
         optional = {{ path = \"-/etc/secrets/no\" }}\ninstead = {{ path = \"/etc/secrets/no\", value = \"{MARKER}-instead\" }}\n\
         webs = {{ import = \"web.*\" }}\n[credentials.sealed-value]\nencrypted_value = '''{sealed_value}'''\n",
        shell(SLEEP)
    );
    host.unit("web.container", &unit);
    host.succeed(&["chmod", "600", "/etc/sampan/units/web.container.toml"]);
    host.succeed(&["sampanctl", "start", "web"]);
    assert!(vault.join().unwrap().ends_with("/unit/web.container/asked"));

    let names = inside(&host, "web", "ls $CREDENTIALS_DIRECTORY");
    let expected =
        "all_below_two all_one asked file given handed instead other sealed sealed-value web.a web.b";
    assert_eq!(names.split_whitespace().collect::<Vec<_>>().join(" "), expected);
    for (name, value) in [
        ("all_below_two", "two"),
        ("all_one", "one"),
        ("asked", "asked"),
        ("file", "file"),
        ("given", "100%\n"),
        ("handed", "handed"),
        ("instead", "instead"),
        ("other", "named"),
        ("sealed", "sealed"),
        ("sealed-value", "sealed-value"),
        ("web.a", "web.a"),
        ("web.b", "web.b"),
    ] {
        let read = inside(&host, "web", &format!("cat $CREDENTIALS_DIRECTORY/{name}"));
        assert_eq!(read, format!("{MARKER}-{value}"), "{name}");
    }
    let looks = "cd $CREDENTIALS_DIRECTORY; pwd; echo $PASSWORD_FILE; stat -c '%a %u %g' . file";
    assert_eq!(
        inside(&host, "web", looks),
        "/run/host/credentials\n/run/host/credentials/file\n500 33 44\n400 33 44\n"
    );
    assert_told_nowhere(&host, "web");
    let shown = host.succeed(&["sampanctl", "show", "web"]);
    for line in ["SetCredential=given instead", "ImportCredential=web.*"] {
        assert!(shown.lines().any(|shown| shown == line), "{line}: {shown}");
    }

    // What is read is read at the next start; the old content is nowhere then.
    host.write("/etc/secrets/file", "new");
    host.succeed(&[
        "sh",
        "-c",
        "sed -i '/asked/d' /etc/sampan/units/web.container.toml; sampanctl daemon-reload",
    ]);
    assert_eq!(inside(&host, "web", "cat $PASSWORD_FILE"), format!("{MARKER}-file"));
    host.succeed(&["sampanctl", "restart", "web"]);
    assert_eq!(inside(&host, "web", "cat $PASSWORD_FILE"), "new");
    host.succeed(&["sampanctl", "stop", "web"]);
    assert_nothing_left(&host, "web");
}

#[test]
fn nobody_else_reads_them_and_nobody_changes_them() {
    let host = Host::with_images(&["hello"]);
    secret(&host, "/etc/secrets/db", "db");
    let credentials = "[credentials]\ndb = { path = \"/etc/secrets/db\" }\n";
    host.unit("web.container", &format!("{}user = \"33\"\n{credentials}", shell(SLEEP)));
    host.unit("read-only.container", &format!("{}root = \"read-only\"\n{credentials}", shell(SLEEP)));
    host.unit("other.container", &shell(SLEEP));
    host.succeed(&["sampanctl", "start", "web", "read-only", "other"]);

    let other_user =
        host.fail(1, &["sampanctl", "exec", "--user=34", "web", "cat", "/run/host/credentials/db"]);
    assert!(other_user.contains("Permission denied"), "{other_user}");
    for unit in ["web", "read-only"] {
        let write = ["sampanctl", "exec", "--user=0", unit, "sh", "-c", "echo x >>$CREDENTIALS_DIRECTORY/db"];
        let root = host.fail(1, &write);
        assert!(root.contains("Read-only file system"), "{root}");
        let mounts = inside(&host, unit, "grep /run/host/credentials /proc/mounts");
        let is_kept_in_memory = mounts.contains("noswap") || mounts.contains(" ramfs ");
        assert!(is_kept_in_memory && mounts.contains(" ro,nosuid,nodev,noexec"), "{mounts}");
    }
    assert_eq!(
        inside(&host, "other", "ls /run/host/credentials 2>/dev/null; echo $CREDENTIALS_DIRECTORY"),
        "\n"
    );
    // Of the host, only root sees into the container.
    let pid = host.property("web", "MainPID");
    let path = format!("/proc/{pid}/root/run/host/credentials/db");
    host.fail(1, &["setpriv", "--reuid=65534", "--clear-groups", "cat", &path]);
    assert_eq!(host.succeed(&["cat", &path]), format!("{MARKER}-db"));
    // Neither the manager nor what it starts leaves a core.
    let manager = host.succeed(&["systemctl", "show", "--property=MainPID", "--value", "sampand"]);
    let core = format!("grep -c . /proc/{}/environ", manager.trim());
    assert!(!host.run(&["setpriv", "--reuid=65534", "--clear-groups", "sh", "-c", &core]).status.success());

    // Who may not manage units has nothing read, whatever the text says.
    let text = format!("[container]\nimage = \"localhost/hello\"\n{credentials}");
    let start = [
        "busctl",
        "call",
        "org.sampan1",
        "/org/sampan1",
        "org.sampan1.Manager",
        "StartTransientUnit",
        "sssah",
    ];
    let words = [
        &["setpriv", "--reuid=65534", "--clear-groups"][..],
        &start,
        &["theft.container", "replace", &text, "0"],
    ];
    let refused = host.fail(1, &words.concat());
    assert!(refused.contains("authentication required"), "{refused}");
    host.fail(4, &["sampanctl", "status", "theft"]);
}

/// The last words of `status` about a unit whose start has failed.
fn failure(host: &Host, credentials: &str) -> String {
    host.unit("web.container", &format!("{}{credentials}", shell(SLEEP)));
    host.run(&["sampanctl", "reset-failed", "web"]);
    host.fail(1, &["sampanctl", "start", "web"]);
    assert_eq!(host.property("web", "ActiveState"), "failed");
    let told = host.property("web", "LaunchError");
    let status = host.answer(3, &["sampanctl", "status", "--full", "web"]);
    assert!(status.contains(&told), "{told}: {status}");
    assert_nothing_left(host, "web");
    told
}

#[test]
fn what_cannot_be_read_is_told_and_leaves_nothing() {
    let host = Host::with_images(&["hello"]);
    let sealed = encrypted(&host, "sealed", "sealed");
    host.write("/etc/secrets/sealed", &sealed);
    host.write("/etc/secrets/broken", &sealed.replace('A', "B"));
    host.write("/etc/secrets/colon/a:b", "x");
    host.succeed(&["sh", "-c", "mkfifo /etc/secrets/fifo; head -c 1048577 /dev/zero >/etc/secrets/large; head -c 600000 /dev/zero >/etc/secrets/half"]);
    drop(UnixListener::bind(host.shared().join("deaf")).unwrap());
    for (credentials, expected) in [
        (
            "a = { path = \"/etc/secrets/no\" }",
            "load credential: a: /etc/secrets/no: No such file or directory; make it, begin the path with \"-\" to do without it, or give a \"value\" in its stead",
        ),
        (
            "a = {}",
            "find credential: a: No such file or directory; it was not passed to sampand.service, and is in no credential store",
        ),
        (
            "a = { encrypted = \"b\" }",
            "find encrypted credential: a: b: No such file or directory; it is in no store of encrypted credentials: put it into /etc/credstore.encrypted",
        ),
        (
            "a = { path = \"/etc/secrets/fifo\" }",
            "load credential: a: /etc/secrets/fifo: Operation not supported; it is neither a file, a directory nor a socket",
        ),
        (
            "a = { path = \"/etc/secrets/large\" }",
            "load credential: a: /etc/secrets/large: File too large; all credentials of a unit together have 1 MiB at most",
        ),
        (
            "a = { path = \"/etc/secrets/half\" }\nb = { path = \"/etc/secrets/half\" }",
            "load credential: b: File too large; all credentials of a unit together",
        ),
        (
            "a = { path = \"/etc/secrets/colon\" }",
            "load credential: a_a:b: /etc/secrets/colon/a:b: Invalid argument; what is in a directory is named NAME_FILE",
        ),
        (
            "a = { path = \"/srv/deaf\" }",
            "load credential: a: /srv/deaf: Connection refused; nobody listens on this socket",
        ),
        (
            "a = { encrypted = \"/etc/secrets/sealed\" }",
            "decrypt credential: a: /etc/secrets/sealed: Bad message; it was encrypted for another name or another host",
        ),
        (
            "sealed = { encrypted = \"/etc/secrets/broken\" }",
            "decrypt credential: sealed: /etc/secrets/broken: Bad message; ",
        ),
    ] {
        let told = failure(&host, &format!("[credentials]\n{credentials}\n"));
        assert!(told.starts_with(expected), "{credentials}: {told}");
    }
    let told = failure(
        &host,
        "user = \"33\"\n[security]\nuser_namespace = \"1000000000:10\"\n[credentials]\na = { value = \"x\" }\n",
    );
    assert!(
        told.starts_with(
            "give credentials to user: 33: Invalid argument; security.user_namespace has no such id"
        ),
        "{told}"
    );
    // Nothing of the host decrypts.
    host.succeed(&["mv", "/usr/bin/systemd-creds", "/usr/bin/away"]);
    let told = failure(&host, "[credentials]\nsealed = { encrypted = \"/etc/secrets/sealed\" }\n");
    assert!(told.contains("No such file or directory; this host has no systemd-creds"), "{told}");

    let warned = host.run(&["sampanctl", "verify"]);
    assert!(warned.status.success());
    host.write("/etc/secrets/open", "x");
    host.unit("a.container", &format!("{}[credentials]\nopen = {{ path = \"/etc/secrets/open\" }}\nno = {{ path = \"/etc/secrets/no\" }}\nown = {{ value = \"{MARKER}\" }}\n", shell(SLEEP)));
    let warned = host.run(&["sampanctl", "verify"]);
    let warned = String::from_utf8_lossy(&[warned.stdout, warned.stderr].concat()).into_owned();
    for text in [
        "everybody can read /etc/secrets/open",
        "/etc/secrets/no does not exist: the start would fail",
        "everybody can read this file, and the secret in it",
    ] {
        assert!(warned.contains(text), "{text}: {warned}");
    }
    // Mistakes beside a secret.
    for line in
        ["own = { value = \"M\", vale = 1 }", "own = { value = \"M }", "own = \"M\"", "own = { value = M }"]
    {
        let line = line.replace('M', MARKER);
        host.write("/etc/sampan/units/a.container.toml", &format!("{}[credentials]\n{line}\n", shell(SLEEP)));
        host.run(&["sampanctl", "daemon-reload"]);
        host.run(&["sampanctl", "start", "a"]);
        assert!(!host.recent().contains(MARKER), "{line}: {}", host.recent());
        let told = host.run(&["sampanctl", "verify"]);
        let told = String::from_utf8_lossy(&[told.stdout, told.stderr].concat()).into_owned();
        assert!(told.contains("a.container.toml") && !told.contains(MARKER), "{told}");
    }
}

#[test]
fn a_start_that_waits_for_a_secret_ends_when_it_should() {
    let host = Host::with_images(&["hello"]);
    let listener = UnixListener::bind(host.shared().join("slow")).unwrap();
    let credentials = "[credentials]\na = { path = \"/srv/slow\" }\n";
    let told = {
        let silent = listener.try_clone().unwrap();
        let silent = std::thread::spawn(move || silent.accept().unwrap());
        let told = failure(&host, &format!("start_timeout = \"2s\"\n{credentials}"));
        silent.join().unwrap();
        told
    };
    assert!(told.is_empty() || told.contains("launch"), "{told}");
    assert_eq!(host.property("web", "Result"), "timeout");

    // A manager that dies meanwhile: its successor asks again, and leaves none of the first launcher behind.
    host.unit("web.container", &format!("{}{credentials}", shell(SLEEP)));
    host.succeed(&["sampanctl", "start", "--no-block", "web"]);
    let (first, _) = listener.accept().unwrap();
    host.succeed(&["systemctl", "kill", "--signal=KILL", "--kill-whom=main", "sampand"]);
    let (mut second, _) = loop {
        // A manager that had nothing written down of the start is told again, as by who asked for it.
        host.run(&["sampanctl", "start", "--no-block", "web"]);
        listener.set_nonblocking(true).unwrap();
        if let Ok(accepted) = listener.accept() {
            break accepted;
        }
    };
    second.write_all(MARKER.as_bytes()).unwrap();
    drop((first, second));
    host.succeed(&["sampanctl", "start", "web"]);
    assert_eq!(inside(&host, "web", "cat $CREDENTIALS_DIRECTORY/a"), MARKER);
    assert_told_nowhere(&host, "web");
    host.succeed(&["sampanctl", "stop", "web"]);
    assert_nothing_left(&host, "web");
}
