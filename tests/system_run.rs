//! `sampanctl run` on a private host: containers that no file describes, as somebody at a terminal sees them.

mod support;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::UdpSocket;
use std::process::{Command, Stdio};
use std::time::Duration;
use support::host::Host;
use support::image::{Layer, write_layout};

/// Nothing of any container is left: no unit, scope, file, directory, range of ids.
fn assert_nothing_left(host: &Host) {
    let left = "sampanctl list-units --all --no-legend 'run-*'; sampanctl volumes --quiet | grep ^run-; systemctl list-units --all --no-legend 'sampan-run-*'; find /run/sampan/transient /run/sampan/state \
                -name 'run-*'; find /var/lib/sampan/containers -mindepth 1; cat /var/lib/sampan/ids";
    host.wait_until("nothing is left", |host| host.succeed(&["sh", "-c", left]).is_empty());
}

/// Runs a command line of a shell at a terminal; what is seen there.
fn at_terminal(host: &Host, line: &str) -> String {
    host.succeed(&["script", "-qec", line, "/dev/null"])
}

fn run<'a>(words: &[&'a str]) -> Vec<&'a str> {
    [&["sampanctl", "run", "--entrypoint="], words].concat()
}

#[test]
fn a_command_runs_in_an_image_and_leaves_nothing() {
    let host = Host::with_images(&["hello"]);
    assert_eq!(host.succeed(&run(&["--rm", "hello", "sh", "-c", "printf 'a\\000b'; hostname >&2"])), "a\0b");
    assert_eq!(host.answer(7, &run(&["hello", "sh", "-c", "echo seven; exit 7"])), "seven\n");
    let failed =
        host.answer(1, &["sh", "-c", "sampanctl list-units --failed --plain --no-legend | grep -v run-"]);
    assert_eq!(failed, "");
    // That it failed is remembered until it is not wanted any more.
    let row = host.succeed(&["sampanctl", "list-units", "--failed", "--plain", "--no-legend"]);
    let unit = row.split(' ').next().unwrap();
    let status = host.answer(3, &["sampanctl", "status", unit]);
    assert!(
        status.contains(".container - hello sh -c \"echo seven; exit 7\"")
            || status.contains(" - hello sh -c"),
        "{status}"
    );
    assert!(status.contains("; transient)\n  Transient: yes\n"), "{status}");
    assert!(status.contains("code=exited, status=7/NOTRUNNING"), "{status}");
    host.succeed(&["sampanctl", "reset-failed"]);
    assert_nothing_left(&host);
    host.answer(9, &run(&["--rm", "hello", "sh", "-c", "exit 9"]));
    host.answer(
        137,
        &run(&["--rm", "hello", "sh", "-c", "sh -c 'kill -9 $PPID' & wait; kill -KILL -1; exit 137"]),
    );
    assert!(
        host.fail(127, &run(&["--rm", "hello", "/bin/nope"]))
            .contains("/bin/nope: No such file or directory")
    );
    assert!(host.fail(126, &run(&["--rm", "hello", "/etc/passwd"])).contains("Permission denied"));
    assert_nothing_left(&host);
    for keeps in [&["-d", "--rm"][..], &["-d"]] {
        let line = [keeps, &["hello", "/bin/nope"]].concat();
        let told = host.fail(127, &run(&line));
        assert!(told.contains("/bin/nope: No such file or directory"), "{told}");
        assert!(told.contains("See \"sampanctl logs run-") && !told.contains("status"), "{told}");
        host.succeed(&["sampanctl", "reset-failed"]);
        assert_nothing_left(&host);
    }
    let unit = host.succeed(&run(&["-d", "--rm", "hello", "sleep", "1000"]));
    host.succeed(&["sampanctl", "is-active", unit.trim()]);
    host.succeed(&["sampanctl", "stop", unit.trim()]);
    assert_nothing_left(&host);

    let typed = "printf 'one\\ntwo\\n' | sampanctl run --entrypoint= --rm -i hello wc -l";
    assert_eq!(host.succeed(&["sh", "-c", typed]).trim(), "2");
    let told = host.fail(1, &run(&["--name", "web", "--rm", "--cap-add", "NET_RAW", "hello"]));
    assert_eq!(
        told,
        "There is no --cap-add: use --property 'security.add_capabilities=[\"CAP_NET_ADMIN\"]'.\n"
    );
    let told = host.fail(1, &run(&["--memory", "much", "hello", "true"]));
    assert!(told.contains("memory_max = \"much\"") && told.contains("\"much\" is not a size"), "{told}");
    host.unit("web.container", "[container]\nimage = \"localhost/hello\"\n");
    assert!(
        host.fail(1, &run(&["--name", "web", "hello"])).contains("was already loaded or has a unit file")
    );
    let told = host.fail(125, &run(&["--rm", "--pull=never", "localhost/nope", "true"]));
    assert!(told.contains("localhost/nope"), "{told}");
    assert_nothing_left(&host);
}

#[test]
fn a_volume_that_the_image_wants_goes_with_the_unit_it_came_with() {
    let host = Host::start();
    let config = serde_json::json!({ "Cmd": ["/bin/true"], "Volumes": { "/data": {} } });
    write_layout(&host.shared().join("data"), vec![Layer::busybox()], &config);
    host.import("data", "localhost/data");
    host.succeed(&["sampanctl", "run", "localhost/data"]);
    assert_nothing_left(&host);
    host.unit("kept.container", "[container]\nimage = \"localhost/data\"\ntype = \"oneshot\"\n");
    host.succeed(&["sampanctl", "start", "kept"]);
    host.succeed(&["rm", "/etc/sampan/units/kept.container.toml"]);
    host.succeed(&["sampanctl", "daemon-reload"]);
    host.succeed(&["sampanctl", "run", "--name=kept", "localhost/data"]);
    host.wait_until("the unit is gone", |host| {
        host.succeed(&["sampanctl", "list-units", "--all", "--no-legend", "kept*"]).is_empty()
    });
    let volumes = host.succeed(&["sampanctl", "volumes", "--quiet"]);
    assert_eq!(volumes, "kept.container@data\n", "it was there before");
}

#[test]
fn options_are_those_of_a_unit_file() {
    let host = Host::with_images(&["hello"]);
    let line = "cd /srv && mkdir -p data && sampanctl run --entrypoint= --rm -u 33:33 -w /tmp -e A=50% -e HOME -v ./data:/data:ro \
                -v kept:/kept --tmpfs /quick:size=1M -m 64m --pids-limit 50 --read-only --hostname boat hello sh -c \
                'id -u; pwd; echo $A; hostname; touch /data/x 2>&1; grep -c \" /quick tmpfs\" /proc/mounts; touch /x 2>&1; true'";
    let seen = host.succeed(&["sh", "-c", line]);
    assert_eq!(
        seen.lines().collect::<Vec<_>>(),
        [
            "33",
            "/tmp",
            "50%",
            "boat",
            "touch: /data/x: Read-only file system",
            "1",
            "touch: /x: Read-only file system"
        ],
        "{seen}"
    );
    assert!(host.succeed(&["sampanctl", "volumes"]).contains("kept"));
    let unit = host.succeed(&run(&[
        "-d",
        "--name=job",
        "-m",
        "64M",
        "--cpus=0.5",
        "--property",
        "container.stop_timeout=5s",
        "hello",
        "sleep",
        "1000",
    ]));
    assert_eq!(unit, "job.container\n");
    assert_eq!(host.property("job", "MemoryMax"), (64 << 20).to_string());
    assert_eq!(host.property("job", "UnitFileState"), "transient");
    assert!(host.succeed(&["sampanctl", "cat", "job"]).contains("stop_timeout = \"5s\""));
    // A manager that comes finds it.
    host.succeed(&["systemctl", "kill", "--signal=KILL", "sampand"]);
    host.succeed(&["systemctl", "start", "sampand"]);
    assert_eq!(host.succeed(&["sampanctl", "is-active", "job"]), "active\n");
    host.succeed(&["sampanctl", "daemon-reload"]);
    host.succeed(&["sampanctl", "stop", "job"]);
    host.answer(4, &["sampanctl", "is-active", "job"]);
    assert_nothing_left(&host);
}

#[test]
fn a_published_port_is_served_by_a_server_that_binds_its_own() {
    let host = Host::with_images(&["web"]);
    host.succeed(&["sampanctl", "run", "-d", "--name", "site", "-p", "8080:80", "web"]);
    let answer = host.get("127.0.0.1:8080");
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    host.succeed(&["sampanctl", "stop", "site"]);
    assert!(host.connect("127.0.0.1:8080").is_err());
}

#[test]
fn a_server_of_udp_and_tcp_has_both_published() {
    let host = Host::with_images(&["names"]);
    let options = ["-d", "--init", "--name=names", "-p", "5353:53/udp", "-p", "5353:53", "names"];
    let unbound = ["/usr/sbin/unbound", "-d", "-c", "/etc/unbound.conf"];
    host.succeed(&[&["sampanctl", "run"][..], &options, &unbound].concat());
    let answer = host.in_network(|| {
        let client = UdpSocket::bind("127.0.0.1:0").expect("a port is free");
        client.set_read_timeout(Some(Duration::from_secs(30))).expect("a duration");
        client.send_to(QUESTION, "127.0.0.1:5353").expect("it is sent");
        let mut answer = [0; 512];
        let (length, from) = client.recv_from(&mut answer).expect("it answers");
        assert_eq!(from.to_string(), "127.0.0.1:5353");
        answer[..length].to_vec()
    });
    assert!(names_it(&answer), "{answer:?}");
    let mut stream = host.connect("127.0.0.1:5353").expect("the socket listens");
    let length = u16::try_from(QUESTION.len()).expect("it is short").to_be_bytes();
    stream.write_all(&[&length[..], QUESTION].concat()).expect("it is sent");
    let mut length = [0; 2];
    stream.read_exact(&mut length).expect("it answers");
    let mut answer = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut answer).expect("it answers");
    assert!(names_it(&answer), "{answer:?}");
    let rows = host.succeed(&["sampanctl", "list-sockets", "--no-legend"]);
    assert!(rows.contains("udp:0.0.0.0:5353 udp-port-5353 names.container swap running"), "{rows}");
    host.succeed(&["sampanctl", "stop", "names"]);
    assert_nothing_left(&host);
}

/// A question for the address of `host.test`, RFC 1035.
const QUESTION: &[u8] =
    b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x04host\x04test\x00\x00\x01\x00\x01";

fn names_it(answer: &[u8]) -> bool {
    answer.windows(4).any(|bytes| bytes == [192, 0, 2, 1])
}

#[test]
fn options_behind_the_image_or_the_unit_are_those_of_the_command() {
    let host = Host::with_images(&["hello"]);
    let show = |words: &[&str]| {
        let options = ["sampanctl", "run", "--rm", "--entrypoint=echo", "hello"];
        host.succeed(&[&options[..], words].concat())
    };
    assert_eq!(show(&["-h"]), "-h\n");
    assert_eq!(show(&["--version", "-d", "--rm"]), "--version -d --rm\n");
    assert_eq!(show(&["a", "-h", "--", "-b"]), "a -h -- -b\n");
    assert!(host.succeed(&["sampanctl", "run", "-h"]).contains("Usage: sampanctl run"));
    let unit = host.succeed(&["sampanctl", "run", "-d", "--rm", "--entrypoint=", "hello", "sleep", "1000"]);
    assert_eq!(host.succeed(&["sampanctl", "exec", unit.trim(), "echo", "-h", "--help"]), "-h --help\n");
    assert_eq!(host.succeed(&["sampanctl", "exec", unit.trim(), "--", "echo", "-h"]), "-h\n");
    host.succeed(&["sampanctl", "stop", unit.trim()]);
}

#[test]
fn a_terminal_is_handed_on_with_its_size_and_keys() {
    let host = Host::with_images(&["hello"]);
    let typed = "stty rows 33 cols 99; (sleep 0.5; echo 'stty size; tty; exit 7') | sampanctl run --entrypoint= --rm -it hello sh; \
                 echo code $?";
    let seen = at_terminal(&host, typed);
    assert!(seen.contains("33 99") && seen.contains("code 7"), "{seen}");
    assert!(seen.contains("Running as unit run-") && seen.contains("Press ^] three times"), "{seen}");
    let last = at_terminal(
        &host,
        "sampanctl run --entrypoint= -q --rm -t hello sh -c 'seq 3000; exit 4'; echo code $?",
    );
    assert!(
        last.contains("\n3000\r\n") && last.contains("code 4") && last.contains("1\r\n2\r\n3\r\n"),
        "{last}"
    );
    assert_nothing_left(&host);
}

#[test]
fn signals_reach_the_container_and_its_client_may_die() {
    let host = Host::with_images(&["hello"]);
    let begin = |script: &str| {
        let line = format!("echo $$; exec sampanctl run --entrypoint= --rm hello {script}");
        let mut client = host.command(&["sh", "-c", &line]).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(client.stdout.take().unwrap()).lines().map(Result::unwrap);
        let pid = lines.next().unwrap();
        (client, lines, pid)
    };
    let (mut client, mut lines, pid) =
        begin("sh -c 'trap \"echo caught; exit 9\" INT; echo up; while :; do sleep 0.1; done'");
    assert_eq!(lines.next().as_deref(), Some("up"));
    host.succeed(&["kill", "-INT", &pid]);
    assert_eq!(lines.next().as_deref(), Some("caught"));
    assert_eq!(client.wait().unwrap().code(), Some(9));

    // A first process that knows nothing of signals ends as it would outside.
    let (mut client, mut lines, pid) = begin("sh -c 'echo up; exec sleep 1000'");
    assert_eq!(lines.next().as_deref(), Some("up"));
    host.wait_until("sleep", |host| host.run(&["pgrep", "-xf", "sleep 1000"]).status.success());
    host.succeed(&["kill", "-TERM", &pid]);
    assert_eq!(client.wait().unwrap().code(), Some(143));

    let (mut client, mut lines, pid) = begin("sh -c 'echo up; exec sleep 1000'");
    assert_eq!(lines.next().as_deref(), Some("up"));
    host.succeed(&["kill", "-KILL", &pid]);
    client.wait().unwrap();
    assert_nothing_left(&host);
}

#[test]
fn a_session_outlives_the_manager() {
    let host = Host::with_images(&["hello"]);
    let mut command: Command =
        host.command(&run(&["--rm", "hello", "sh", "-c", "echo up; read x; echo $x; exit 5"]));
    let mut client = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(client.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert_eq!(lines.next().as_deref(), Some("up"));
    host.succeed(&["systemctl", "kill", "--signal=KILL", "sampand"]);
    host.succeed(&["systemctl", "start", "sampand"]);
    host.wait_until("the client holds it again", |host| {
        host.succeed(&["journalctl", "--unit=sampand", "--output=cat", "--quiet"]).contains("held again")
    });
    client.stdin.take().unwrap().write_all(b"still here\n").unwrap();
    assert_eq!(lines.next().as_deref(), Some("still here"));
    assert_eq!(client.wait().unwrap().code(), Some(5));
    assert_nothing_left(&host);
}
