//! Clients that flood the bus, do not read, or leave in the middle: the daemon answers others, and does not grow.

mod support;

use std::collections::HashMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};
use support::host::Host;
use support::units::shell;
use zbus::Message;

/// What the daemon may have grown by once an attack is over, in KiB.
const GROWTH_MAX: u64 = 8 << 10;

/// Connections of the user `nobody` that send bytes over and over and read as many as they are told to. It says
/// "sent" once all is sent or the bus takes nothing more, and keeps the connections until its input ends.
const CLIENT: &str = r#"
import socket, struct, sys
clients, times, reads, descriptors = map(int, sys.argv[1:5])
data, calls = open(sys.argv[5], "rb").read(), []
while data:
    body, fields = struct.unpack_from("<4xI4xI", data.ljust(16))
    end = 16 + (fields + 7) // 8 * 8 + body
    calls, data = calls + [data[:end]], data[end:]
# The bus refuses a call with the serial number of one that is not answered yet.
serials = iter(range(2, 1 << 32))
number = lambda call: call[:8] + struct.pack("<I", next(serials)) + call[12:] if len(call) > 12 else call
def enter():
    client = socket.socket(socket.AF_UNIX)
    client.connect("/run/dbus/system_bus_socket")
    client.sendall(b"\0AUTH EXTERNAL 3635353334\r\n")
    assert client.recv(100).startswith(b"OK "), "nobody is not let in"
    client.sendall(b"NEGOTIATE_UNIX_FD\r\n")
    assert client.recv(100).startswith(b"AGREE"), "the bus passes descriptors"
    client.sendall(b"BEGIN\r\n" + open("/srv/hello", "rb").read())
    client.recv(1000)
    client.settimeout(2)
    return client
held = [enter() for _ in range(clients)]
sending = list(held)
# In turns: it also refuses a client that has more than 128 calls that are not answered yet.
for begin in range(0, times, 120):
    for client in list(sending):
        some = [number(call) for _ in range(begin, min(begin + 120, times)) for call in calls]
        try:
            for call in some if descriptors else []:
                socket.send_fds(client, [call], [1] * descriptors)
            if not descriptors:
                client.sendall(b"".join(some))
        except OSError:
            sending.remove(client)
for client in held if reads else []:
    client.recv(reads)
print("sent", flush=True)
sys.stdin.read()
"#;

/// What a flood is made of.
#[derive(Default)]
struct Flood<'a> {
    clients: usize,
    times: usize,
    reads: usize,
    messages: &'a [u8],
    /// Sent with each of them.
    descriptors: usize,
}

impl Flood<'_> {
    /// Sends all of it; the connections stay for as long as what is answered with lives.
    fn begin(&self, host: &Host) -> Flooding {
        let hello =
            Message::method_call("/org/freedesktop/DBus", "Hello").destination("org.freedesktop.DBus");
        let hello = hello.interface("org.freedesktop.DBus").build(&()).expect("a message");
        fs::write(host.shared().join("hello"), &**hello.data()).expect("the directory is there");
        fs::write(host.shared().join("messages"), self.messages).expect("the directory is there");
        let numbers =
            [self.clients, self.times, self.reads, self.descriptors].map(|number| number.to_string());
        let words =
            ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", "python3", "-c", CLIENT];
        let words = [&words[..], &numbers.each_ref().map(String::as_str), &["/srv/messages"]].concat();
        let mut command = host.command(&words);
        let mut client = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("python runs");
        let mut said = String::new();
        let output = client.stdout.take().expect("its output is a pipe");
        BufReader::new(output).read_line(&mut said).expect("it says something");
        assert_eq!(said, "sent\n");
        Flooding(client)
    }
}

/// Connections that are held.
struct Flooding(Child);

impl Drop for Flooding {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

fn call(member: &str, body: &(impl serde::Serialize + zbus::DynamicType)) -> Vec<u8> {
    let call = Message::method_call("/org/sampan1", member).destination("org.sampan1");
    call.interface("org.sampan1.Manager").build(body).expect("a message").data().to_vec()
}

fn sampand(host: &Host) -> String {
    host.succeed(&["systemctl", "show", "--value", "--property=MainPID", "sampand"]).trim().to_owned()
}

fn resident(host: &Host) -> u64 {
    let status = fs::read_to_string(host.path(&format!("/proc/{}/status", sampand(host)))).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("proc(5)");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

fn descriptors(host: &Host) -> usize {
    fs::read_dir(host.path(&format!("/proc/{}/fd", sampand(host)))).expect("it runs").count()
}

/// A host with some units, on which root is answered before, during and after what `attack` does.
fn survives(attack: impl FnOnce(&Host)) {
    let host = Host::with_images(&["hello"]);
    for number in 0..20 {
        host.write(&format!("/etc/sampan/units/unit{number}.container.toml"), &shell("exec sleep 1000"));
    }
    host.succeed(&["sampanctl", "daemon-reload"]);
    host.succeed(&["sampanctl", "start", "unit0"]);
    let (pid, before, open) = (sampand(&host), resident(&host), descriptors(&host));
    attack(&host);
    answers(&host);
    host.succeed(&["sampanctl", "restart", "unit0"]);
    assert_eq!(sampand(&host), pid, "it has not been started anew");
    let after = resident(&host);
    assert!(after <= before + GROWTH_MAX, "{before} KiB before, {after} KiB after");
    let open_after = descriptors(&host);
    assert!(open_after <= open + 4, "{open} descriptors before, {open_after} after");
}

fn answers(host: &Host) {
    let units = host.succeed(&["timeout", "100", "sampanctl", "list-units", "--no-legend"]);
    assert!(units.contains("unit0.container"), "{units}");
}

#[test]
fn ten_thousand_calls_whose_answers_nobody_reads() {
    survives(|host| {
        let list = call("ListUnitsFiltered", &(vec!["loaded"],));
        let unread = Flood { clients: 1, times: 10_000, messages: &list, ..Flood::default() }.begin(host);
        answers(host);
        let half_read =
            Flood { clients: 1, times: 1000, reads: 1000, messages: &list, ..Flood::default() }.begin(host);
        drop(half_read);
        answers(host);
        drop(unread);
    });
}

#[test]
fn ten_thousand_calls_about_images() {
    survives(|host| {
        let none = HashMap::<&str, zbus::Variant<'_>>::new();
        let calls = [
            call("ListImages", &()),
            call("ListImagesByPatterns", &(vec!["*"],)),
            call("PullImage", &("localhost:1/none:1", &none)),
            call("RemoveImage", &("hello", &none)),
        ];
        let flood = Flood { clients: 1, times: 2500, messages: &calls.concat(), ..Flood::default() };
        let flooding = flood.begin(host);
        answers(host);
        host.succeed(&["timeout", "100", "sampanctl", "tag", "hello", "hello"]);
        drop(flooding);
        assert!(host.succeed(&["sampanctl", "images"]).contains("localhost/hello:latest"));
    });
}

#[test]
fn many_that_do_not_read_at_once() {
    survives(|host| {
        let list = call("ListUnitsFiltered", &(vec!["loaded"],));
        let _unread = Flood { clients: 50, times: 500, messages: &list, ..Flood::default() }.begin(host);
        answers(host);
    });
}

#[test]
fn more_unread_answers_than_the_bus_keeps_for_us() {
    survives(|host| {
        let unit = "/org/sampan1/unit/unit0_2econtainer";
        let all = Message::method_call(unit, "GetAll").destination("org.sampan1");
        let all = all.interface("org.freedesktop.DBus.Properties").build(&("org.sampan1.Unit",));
        let all = all.expect("a message");
        let _unread =
            Flood { clients: 200, times: 120, messages: all.data(), ..Flood::default() }.begin(host);
        answers(host);
    });
}

#[test]
fn disconnects_in_the_middle_of_calls() {
    survives(|host| {
        let start = call("StartUnit", &("unit1.container", "replace"));
        for length in (1..start.len()).step_by(16) {
            let messages = [start.as_slice(), &start[..length]].concat();
            drop(Flood { clients: 1, times: 1, messages: &messages, ..Flood::default() }.begin(host));
        }
    });
}

#[test]
fn giant_arguments() {
    survives(|host| {
        let giant = "a".repeat(20 << 20);
        for member in ["LoadUnit", "GetUnit", "KillUnit", "Subscribe"] {
            let messages = call(member, &(giant.as_str(),));
            let _held = Flood { clients: 1, times: 1, messages: &messages, ..Flood::default() }.begin(host);
            answers(host);
        }
        let patterns = call("ListUnitsByPatterns", &(Vec::<&str>::new(), vec![&giant[..200 << 10]]));
        let names = call("ListUnitsByNames", &(vec!["a.container"; 10_000],));
        let messages = [patterns, names].concat();
        let _held = Flood { clients: 1, times: 20, messages: &messages, ..Flood::default() }.begin(host);
        answers(host);
    });
}

#[test]
fn thousands_of_names_that_do_not_exist() {
    survives(|host| {
        host.write("/etc/sampan/units/many@.container.toml", &shell("exec sleep 1000"));
        host.succeed(&["sampanctl", "daemon-reload"]);
        // A plain client, which reads, and is root's, so that each of the calls gets through.
        let script = "for i in $(seq 0 49); do
            set --; for j in $(seq 0 59); do set -- \"$@\" none$i-$j.container many@$i-$j.container; done
            busctl call --quiet org.sampan1 /org/sampan1 org.sampan1.Manager ListUnitsByNames as $# \"$@\"
            for name; do :; done; busctl call --quiet org.sampan1 /org/sampan1 org.sampan1.Manager LoadUnit s $name
        done";
        host.succeed(&["sh", "-ec", script]);
        let units = host.succeed(&["sampanctl", "list-units", "--all", "--no-legend"]);
        assert!(!units.contains("many@") && !units.contains("none"), "{units}");
    });
}

#[test]
fn a_thousand_subscriptions_and_questions() {
    survives(|host| {
        let messages = [call("Subscribe", &()), call("StartUnit", &("unit1.container", "replace"))].concat();
        let _one = Flood { clients: 1, times: 1000, messages: &messages, ..Flood::default() }.begin(host);
        answers(host);
        let _many = Flood { clients: 100, times: 1, messages: &messages, ..Flood::default() }.begin(host);
        host.succeed(&["sampanctl", "restart", "unit0"]);
        answers(host);
    });
}

#[test]
fn a_client_for_each_call() {
    survives(|host| {
        let list = call("ListUnits", &());
        for _ in 0..5 {
            drop(Flood { clients: 200, times: 1, messages: &list, ..Flood::default() }.begin(host));
            answers(host);
        }
    });
}

#[test]
fn programs_that_wait_for_polkit() {
    survives(|host| {
        let rule = "polkit.addRule(function(action) { polkit.spawn(['/bin/cat', '/srv/answer']); });";
        host.write("/etc/polkit-1/rules.d/10-test.rules", rule);
        host.succeed(&["mkfifo", "--mode=666", "/srv/answer"]);
        let standard = std::io::stdin();
        let stdio = [&standard; 3].map(zbus::Fd::from).into_iter().collect::<Vec<_>>();
        let exec = call("Exec", &("unit0.container", vec!["true"], Vec::<&str>::new(), "", "", stdio));
        let waiting = Flood { clients: 20, times: 20, messages: &exec, descriptors: 3, ..Flood::default() };
        let waiting = waiting.begin(host);
        answers(host);
        // Somebody reads it: polkit is being asked.
        host.succeed(&["timeout", "100", "sh", "-c", ": >/srv/answer"]);
        host.succeed(&["sampanctl", "exec", "unit0", "true"]);
        drop(waiting);
        host.succeed(&["systemctl", "stop", "polkit.service"]);
    });
}
