//! What payloads tell by sd_notify(3) beyond that they are ready: that they live, reload, need longer, and which
//! process is the main one.

mod support;

use support::host::Host;
use support::units::{python, shell};

/// Sends what is written to a pipe, and what signals and a child of its own are for. `begin` goes first.
fn speaker(begin: &str, keys: &str) -> String {
    let program = format!(
        r#"
import os, signal, socket, sys, time
manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
manager.connect(os.environ["NOTIFY_SOCKET"])
def say(text):
    manager.send(text.replace("|", "\n").encode())
def reload(*_):
    say("RELOADING=1|MONOTONIC_USEC=%%d" %% (time.monotonic_ns() // 1000))
signal.signal(signal.SIGHUP, reload)
os.mkfifo("/tmp/say")
{begin}
while True:
    for line in open("/tmp/say"):
        say(line.strip())
"#
    );
    python(&program) + "type = \"notify\"\n" + keys
}

fn say(host: &Host, text: &str) {
    host.succeed(&["sampanctl", "exec", "web", "sh", "-c", &format!("echo '{text}' >/tmp/say")]);
}

#[test]
fn one_that_no_longer_tells_that_it_lives_is_ended_and_one_that_does_is_not() {
    let host = Host::with_images(&["servers"]);
    let beats = r#"
say("READY=1")
for beat in range(8):
    say("WATCHDOG=1")
    time.sleep(0.75)
print("8 beats of", os.environ["WATCHDOG_USEC"], flush=True)
"#;
    let keys = "watchdog = \"3s\"\nrestart = \"on-watchdog\"\nrestart_delay = \"1min\"\n";
    host.unit("web.container", &speaker(beats, keys));
    host.succeed(&["sampanctl", "start", "web"]);
    let first = host.property("web", "MainPID");
    host.wait_log("web", "8 beats of 3000000");
    assert_eq!(host.property("web", "MainPID"), first, "twice the time, and it lives");
    host.wait_property("web", "SubState", "auto-restart");
    assert_eq!(host.property("web", "Result"), "watchdog");
    let status = host.succeed(&["sampanctl", "status", "web"]);
    assert!(status.contains("(Result: watchdog)") && status.contains("signal=ABRT"), "{status}");
}

#[test]
fn one_that_is_frozen_is_not_missed_and_can_be_stopped() {
    let host = Host::with_images(&["servers"]);
    let beats = r#"
say("READY=1")
while True:
    say("WATCHDOG=1")
    time.sleep(0.2)
"#;
    let keys = "watchdog = \"2s\"\nexec_stop = [[\"sh\", \"-c\", \"echo stopping\"]]\n";
    host.unit("web.container", &speaker(beats, keys));
    host.unit(
        "clock.container",
        &(shell("exec sleep 1000").replace("hello", "servers") + "runtime_max = \"3s\"\n"),
    );
    host.succeed(&["sampanctl", "start", "web"]);
    host.succeed(&["sampanctl", "freeze", "web"]);
    host.succeed(&["sampanctl", "start", "clock"]);
    host.wait_property("clock", "Result", "timeout");
    let status = host.succeed(&["sampanctl", "status", "web"]);
    assert!(status.contains("active (running) (frozen) since"), "{status}");
    let told = host.run(&["sampanctl", "exec", "web", "true"]);
    let told = String::from_utf8_lossy(&told.stderr).into_owned();
    assert!(told.contains("web.container is frozen: thaw it with \"sampanctl thaw"), "{told}");

    // It goes on where it was, and has to tell again that it lives.
    host.succeed(&["sampanctl", "thaw", "web"]);
    host.succeed(&["sampanctl", "exec", "web", "true"]);
    assert_eq!(host.property("web", "ActiveState"), "active");
    let first = host.property("web", "MainPID");
    host.succeed(&["kill", "-STOP", &first]);
    host.wait_property("web", "Result", "watchdog");

    // It stays frozen without a manager, and what is frozen is stopped in order.
    host.succeed(&["sampanctl", "start", "web"]);
    host.succeed(&["sampanctl", "freeze", "web"]);
    host.succeed(&["systemctl", "kill", "--signal=KILL", "sampand"]);
    host.succeed(&["systemctl", "start", "sampand"]);
    assert_eq!(host.property("web", "FreezerState"), "frozen");
    // A manager that comes is told over the socket that there was.
    host.succeed(&["sampanctl", "thaw", "web"]);
    host.succeed(&["sampanctl", "reset-failed", "clock"]);
    host.succeed(&["sampanctl", "start", "clock"]);
    host.wait_property("clock", "Result", "timeout");
    assert_eq!(host.property("web", "ActiveState"), "active");
    host.succeed(&["sampanctl", "freeze", "web"]);
    host.succeed(&["sampanctl", "stop", "web"]);
    host.wait_log("web", "stopping");
    let end = ["ActiveState", "SubState", "Result"].map(|name| host.property("web", name));
    assert_eq!(end, ["inactive", "dead", "success"]);
}

#[test]
fn a_reload_is_over_when_the_payload_says_so() {
    let host = Host::with_images(&["servers"]);
    host.unit("web.container", &speaker("say(\"READY=1\")", "reload_signal = \"HUP\"\n"));
    host.succeed(&["sampanctl", "start", "web"]);
    let pid = host.property("web", "MainPID");
    let mut reload = host.command(&["sampanctl", "reload", "web"]).spawn().expect("it runs");
    host.wait_property("web", "ActiveState", "reloading");
    say(&host, "STATUS=Reading");
    host.wait_property("web", "StatusText", "Reading");
    assert_eq!(host.property("web", "ActiveState"), "reloading");
    say(&host, "READY=1");
    assert!(reload.wait().expect("it ends").success());
    assert_eq!(host.property("web", "ActiveState"), "active");
    assert_eq!(host.property("web", "MainPID"), pid);
    say(&host, "ERRNO=5");
    host.wait_property("web", "StatusErrno", "5");
    let status = host.succeed(&["sampanctl", "status", "web"]);
    assert!(status.contains("Error: 5 (Input/output error)"), "{status}");

    // Whoever reloads by itself is seen doing it.
    say(&host, "RELOADING=1|MONOTONIC_USEC=0");
    say(&host, "RELOADING=1");
    say(&host, "READY=1");
    host.wait_property("web", "ActiveState", "active");
}

#[test]
fn a_command_reloads_and_a_unit_without_one_says_so() {
    let host = Host::with_images(&["hello"]);
    let command = |script: &str| {
        shell("exec sleep 1000") + &format!("reload_command = [\"/bin/sh\", \"-c\", \"{script}\"]\n")
    };
    host.unit("web.container", &command("echo read >/tmp/read"));
    host.unit("bad.container", &command("echo it is bad; exit 7"));
    host.unit("slow.container", &(command("sleep 4321; true") + "start_timeout = \"1s\"\n"));
    host.unit("plain.container", &shell("exec sleep 1000"));
    host.succeed(&["sampanctl", "start", "web", "bad", "slow", "plain"]);
    host.succeed(&["sampanctl", "reload", "web"]);
    assert_eq!(host.succeed(&["sampanctl", "exec", "web", "cat", "/tmp/read"]), "read\n");
    let error = host.fail(1, &["sampanctl", "reload", "bad"]);
    assert!(error.contains("reload_command: /bin/sh: code=exited, status=7;"), "{error}");
    host.wait_log("bad", "it is bad");
    assert_eq!(host.property("bad", "ActiveState"), "active", "one that cannot be reloaded goes on");
    assert!(host.succeed(&["sampanctl", "status", "bad"]).contains("Error: reload_command: "));
    host.succeed(&["sampanctl", "stop", "bad"]);
    let status = host.answer(3, &["sampanctl", "status", "bad"]);
    assert!(!status.contains("Error:"), "the run is over, and has ended well: {status}");
    let error = host.fail(1, &["sampanctl", "reload", "slow"]);
    assert!(error.contains("timed out: reload_command: timed out, killed."), "{error}");
    assert_eq!(host.property("slow", "ActiveState"), "active");
    host.wait_until("the command has ended", |host| {
        !host.run(&["pgrep", "--full", "sleep 4321"]).status.success()
    });
    host.succeed(&["sampanctl", "stop", "slow"]);
    let error = host.fail(3, &["sampanctl", "reload", "plain"]);
    assert!(error.contains("cannot be reloaded") && error.contains("reload_signal"), "{error}");
}

#[test]
fn a_start_that_asks_for_more_time_gets_it() {
    let host = Host::with_images(&["servers"]);
    let begin = r#"
say("EXTEND_TIMEOUT_USEC=60000000")
time.sleep(3.5)
print("still at it", flush=True)
"#;
    host.unit("web.container", &speaker(begin, "start_timeout = \"3s\"\n"));
    host.succeed(&["sampanctl", "start", "--no-block", "web"]);
    host.wait_log("web", "still at it");
    assert_eq!(host.property("web", "ActiveState"), "activating");
    say(&host, "READY=1");
    host.wait_property("web", "ActiveState", "active");
}

#[test]
fn the_main_process_is_the_one_that_the_payload_names_if_it_is_its_own() {
    let host = Host::with_images(&["servers"]);
    let begin = r#"
signal.signal(signal.SIGUSR1, lambda *_: print("heard by", os.getpid(), flush=True))
child = os.fork()
if child == 0:
    time.sleep(1000)
say("READY=1|MAINPID=%%d" %% child)
"#;
    host.unit("web.container", &speaker(begin, ""));
    host.succeed(&["sampanctl", "start", "web"]);
    let named = || {
        let pid = host.property("web", "MainPID");
        host.succeed(&["sh", "-c", &format!("grep NSpid: /proc/{pid}/status || true")])
    };
    host.wait_until("the child is the main process", |_| {
        named().split_whitespace().last().is_some_and(|inside| inside != "1")
    });
    let child = host.property("web", "MainPID");
    for other in ["MAINPID=99999", "MAINPID=0", "MAINPID=-1", "MAINPID=x"] {
        say(&host, other);
    }
    say(&host, "STATUS=All said");
    host.wait_property("web", "StatusText", "All said");
    assert_eq!(host.property("web", "MainPID"), child);
    // It is the one that a signal for the main process is sent to, and not the first.
    host.succeed(&["sampanctl", "kill", "--kill-whom=main", "--signal=SIGUSR1", "web"]);
    let inside = named().split_whitespace().last().unwrap_or_default().to_owned();
    host.wait_log("web", &format!("heard by {inside}"));
}
