//! Payloads that never stop: messages to the manager, and lines to the journal. The manager answers others meanwhile, and
//! does not grow; what others log arrives.

mod support;

use std::fs;
use support::host::Host;
use support::units::{python, shell};

/// What the daemon may grow by while it is flooded, in KiB.
const GROWTH_MAX: u64 = 8 << 10;

/// Four processes send as fast as they can. `NOTIFY_SOCKET` is where.
const TALKER: &str = r#"
import os, socket, time
manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
manager.connect(os.environ["NOTIFY_SOCKET"])
manager.send(b"READY=1")
held = [os.open("/dev/null", os.O_RDONLY) for _ in range(200)]
def send(message, descriptors=[]):
    try:
        socket.send_fds(manager, [message], descriptors)
    except OSError:
        time.sleep(0.001)
def talk(messages, descriptors=[]):
    if os.fork() == 0:
        while True:
            for message in messages:
                send(message, descriptors)
talk([b"STATUS=" + b"x" * 4000, b"STATUS=y\nERRNO=5", b"READY=1\n" * 500, b"WATCHDOG=1", b""])
talk([b"x" * 150000, b"\xff" * 4096, b"=" * 4097, b"STATUS=\n" * 500])
talk([b"FDSTORE=1\nFDNAME=stolen", b"BARRIER=1"], held)
talk([b"MAINPID=77777", b"MAINPID=1", b"EXTEND_TIMEOUT_USEC=1", b"WATCHDOG_USEC=0"])
print("talking", flush=True)
time.sleep(1000)
"#;

fn sampand(host: &Host) -> String {
    host.succeed(&["systemctl", "show", "--value", "--property=MainPID", "sampand"]).trim().to_owned()
}

/// Its memory in KiB, and how many descriptors it has.
fn size(host: &Host) -> (u64, usize) {
    let process = host.path(&format!("/proc/{}", sampand(host)));
    let status = fs::read_to_string(process.join("status")).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("proc(5)");
    let memory = line.trim().trim_end_matches(" kB").parse().expect("a number");
    (memory, fs::read_dir(process.join("fd")).expect("it runs").count())
}

/// What others want of the manager, each of it done in time.
fn answers(host: &Host) {
    for _ in 0..5 {
        for words in [&["start", "other"][..], &["status", "other"], &["list-units"], &["stop", "other"]] {
            host.succeed(&[&["timeout", "30", "sampanctl", "--no-pager"], words].concat());
        }
    }
}

/// A host on which all is as before when the flood is over.
fn survives(flood: impl FnOnce(&Host)) {
    let host = Host::with_images(&["servers", "hello"]);
    let often = "start_limit = { burst = 1000, interval = \"1s\" }\n";
    host.unit("other.container", &(shell("exec sleep 1000") + often));
    answers(&host);
    let (pid, (memory, descriptors)) = (sampand(&host), size(&host));
    flood(&host);
    let (memory_after, descriptors_after) = size(&host);
    assert!(memory_after <= memory + GROWTH_MAX, "{memory} KiB before, {memory_after} KiB after");
    assert!(
        descriptors_after <= descriptors + 16,
        "{descriptors} descriptors before, {descriptors_after} after"
    );
    host.succeed(&["timeout", "60", "sampanctl", "stop", "flood"]);
    answers(&host);
    assert_eq!(sampand(&host), pid, "it has not been started anew");
}

#[test]
fn a_payload_that_never_stops_talking_to_the_manager() {
    survives(|host| {
        let keys = "type = \"notify\"\nstop_timeout = \"1s\"\n";
        host.unit("flood.container", &(python(TALKER) + keys));
        host.succeed(&["timeout", "60", "sampanctl", "start", "flood"]);
        host.wait_log("flood", "talking");
        answers(host);
        let stored = host.succeed(&["systemctl", "show", "--value", "-p", "NFileDescriptorStore", "sampand"]);
        assert!(stored.trim().parse::<u32>().expect("a number") < 16, "{stored}: none of them is kept");
    });
}

/// A line without an end, binary, and lines by the name `/dev/stdout`, which the manager moves.
#[test]
fn a_payload_that_never_stops_logging() {
    survives(|host| {
        let script = "cat /dev/zero & cat /dev/urandom >/dev/stdout & exec yes 'a line of the flood'";
        host.unit("flood.container", &(shell(script) + "stop_timeout = \"1s\"\n"));
        let quiet = "n=0; while :; do n=$((n + 1)); echo quiet $n; sleep 1; done";
        host.unit("quiet.container", &shell(quiet));
        host.succeed(&["sampanctl", "start", "quiet"]);
        host.succeed(&["timeout", "60", "sampanctl", "start", "flood"]);
        answers(host);
        // The journal is one process for all, and has its own pace.
        host.succeed(&["timeout", "60", "sampanctl", "stop", "flood"]);
        host.wait_log("quiet", "quiet 20");
        let said = host.succeed(&["journalctl", "--quiet", "--output=cat", "--unit=sampan-quiet.scope"]);
        for number in 1..=20 {
            assert!(said.lines().any(|line| line == format!("quiet {number}")), "{number} is lost: {said}");
        }
    });
}
