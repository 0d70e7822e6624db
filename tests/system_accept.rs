//! `pass = "accept"` on a private host: each connection gets a container of its own, of which nothing is left
//! afterwards.

mod support;

use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, connect, socket_with};
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::time::Duration;
use support::host::{Host, exchange};
use support::units::{python, shell};

/// Longest wait for an answer; a test that comes near it has failed.
const PATIENCE: Duration = Duration::from_secs(30);

/// Tells what it knows of its connection and itself in a line, then sends back what comes.
const ECHO: &str = r#"
import os, socket
get = os.environ.get
assert (get("LISTEN_FDS"), get("LISTEN_FDNAMES"), get("LISTEN_PID")) == ("1", "connection", str(os.getpid()))
connection = socket.socket(fileno=3)
assert connection.getblocking()
peer = connection.getpeername()
known = [get("REMOTE_ADDR"), get("REMOTE_PORT"), peer[0] if peer else None, get("INVOCATION_ID")]
connection.sendall((" ".join(map(str, known)) + "\n").encode())
while data := connection.recv(4096):
    connection.sendall(data)
"#;

fn tcp(address: &str, more: &str) -> String {
    format!("[socket.main]\nlisten = \"{address}\"\npass = \"accept\"\n{more}")
}

/// A client that has read the first line.
struct Client<S> {
    stream: BufReader<S>,
    line: String,
}

impl<S: Read + Write> Client<S> {
    #[track_caller]
    fn greet(stream: S) -> Self {
        let mut client = Self { stream: BufReader::new(stream), line: String::new() };
        client.stream.read_line(&mut client.line).expect("a line");
        assert!(client.line.ends_with('\n'), "the connection has ended: {:?}", client.line);
        client
    }

    fn words(&self) -> Vec<&str> {
        self.line.split_whitespace().collect()
    }

    /// What it sends comes back.
    fn echo(&mut self, text: &str) {
        self.stream.get_mut().write_all(text.as_bytes()).expect("it is sent");
        let mut back = vec![0; text.len()];
        self.stream.read_exact(&mut back).expect("it comes back");
        assert_eq!(String::from_utf8_lossy(&back), text);
    }

    /// Whether the other side has ended.
    fn has_ended(&mut self) -> bool {
        matches!(self.stream.read(&mut [0; 64]), Ok(0) | Err(_))
    }
}

fn connected(host: &Host, address: &str) -> TcpStream {
    let stream = host.connect(address).expect("it listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a time");
    stream
}

#[track_caller]
fn client(host: &Host, address: &str) -> Client<TcpStream> {
    Client::greet(connected(host, address))
}

/// What is left of instances, wherever one leaves something.
fn traces(host: &Host) -> String {
    let script = "sampanctl list-units --all --no-legend 'echo@*'
        systemctl list-units --all --no-legend 'sampan-echo:*'
        grep -c . /proc/self/mountinfo
        find /run/sampan /var/lib/sampan/containers -name 'echo@*'
        grep -rs 'echo@' /var/lib/sampan/ids
        systemctl show --property=NFileDescriptorStore sampand";
    host.run(&["sh", "-c", script]).stdout.iter().map(|byte| char::from(*byte)).collect()
}

fn wait_forgotten(host: &Host) {
    host.wait_property("echo", "NConnections", "0");
}

#[test]
fn each_connection_has_a_container_that_knows_its_client_and_leaves_nothing() {
    let host = Host::with_images(&["servers"]);
    let sockets = tcp("127.0.0.1:7001", "")
        + "[socket.six]\nlisten = \"[::]:7002\"\npass = \"accept\"\n"
        + "[socket.file]\nlisten = \"/run/echo.sock\"\npass = \"accept\"\n";
    host.unit("echo.container", &(python(ECHO) + &sockets));
    host.succeed(&["sampanctl", "start", "echo"]);
    assert_eq!(host.property("echo", "SubState"), "listening");
    // Once, so that all that is made once is there.
    drop(client(&host, "127.0.0.1:7001"));
    wait_forgotten(&host);
    let before = traces(&host);
    let descriptors = || {
        let pid = host.succeed(&["systemctl", "show", "--property=MainPID", "--value", "sampand"]);
        host.succeed(&["ls", &format!("/proc/{}/fd", pid.trim())]).lines().count()
    };
    let held = descriptors();

    let mut four = client(&host, "127.0.0.1:7001");
    let mut six = client(&host, "[::1]:7002");
    let mut mapped = client(&host, "127.0.0.1:7002");
    let path = host.path("/run/echo.sock");
    let mut file = Client::greet(UnixStream::connect(path).expect("it listens"));
    let port = |client: &Client<TcpStream>| {
        client.stream.get_ref().local_addr().expect("it has an address").port().to_string()
    };
    assert_eq!(four.words()[..3], ["127.0.0.1", &port(&four), "127.0.0.1"]);
    assert_eq!(six.words()[..3], ["::1", &port(&six), "::1"]);
    assert_eq!(mapped.words()[..2], ["127.0.0.1", &port(&mapped)]);
    assert_eq!(file.words()[..3], ["None", "None", "None"]);
    for number in 0..3 {
        four.echo(&format!("four {number}"));
        six.echo(&format!("six {number}"));
        mapped.echo("mapped");
        file.echo("file");
    }
    let units = host.succeed(&["sampanctl", "list-units", "--plain", "--no-legend", "echo@*"]);
    let names: Vec<&str> = units.lines().filter_map(|line| line.split_whitespace().next()).collect();
    let expected = [
        format!("echo@1-127.0.0.1:7001-127.0.0.1:{}.container", port(&four)),
        format!("echo@2-::1:7002-::1:{}.container", port(&six)),
        format!("echo@3-127.0.0.1:7002-127.0.0.1:{}.container", port(&mapped)),
    ];
    for name in &expected {
        assert!(names.contains(&name.as_str()), "{name}: {units}");
        assert_eq!(host.property(name, "SubState"), "running");
        host.fail(4, &["sampanctl", "restart", name]);
    }
    // The client's process is of no namespace that the host sees.
    assert!(names.contains(&"echo@4-0-0.container"), "{units}");
    assert_eq!(names.len(), 4, "{units}");
    let counts =
        |host: &Host| ["NConnections", "NAccepted", "NRefused"].map(|name| host.property("echo", name));
    assert_eq!(counts(&host), ["4", "5", "0"]);
    let status = host.succeed(&["sampanctl", "status", "echo"]);
    assert!(status.contains("Accepted: 5; Connected: 4"), "{status}");
    let lines = host.succeed(&["sampanctl", "list-sockets", "--no-legend"]);
    let row = lines.lines().find(|line| line.starts_with("[::]:7002")).expect("the socket");
    let row: Vec<&str> = row.split_whitespace().collect();
    assert_eq!(row[1..7], ["six", "echo.container", "accept", "listening", "2", "2"], "{lines}");
    assert_eq!(row.last(), Some(&"ago"), "the last of them: {lines}");
    host.succeed(&["sampanctl", "daemon-reload"]);
    four.echo("still there");

    drop((four, six, mapped, file));
    wait_forgotten(&host);
    assert_eq!(counts(&host), ["0", "5", "0"]);
    host.wait_until("nothing is left", |host| traces(host) == before);
    assert_eq!(descriptors(), held);
    host.succeed(&["sampanctl", "stop", "echo"]);
    assert!(host.connect("127.0.0.1:7001").is_err(), "nobody listens");
    assert!(!host.path("/run/echo.sock").exists());
}

#[test]
fn a_program_of_inetd_has_the_connection_as_its_input_and_output() {
    let host = Host::with_images(&["hello", "servers"]);
    let script = "echo \"${LISTEN_FDS-none} $REMOTE_ADDR\"; echo aside >&2; exec cat";
    let unit = shell(script) + "standard_input = \"socket\"\n";
    host.unit("echo.container", &(unit + &tcp("127.0.0.1:7001", "")));
    host.succeed(&["sampanctl", "start", "echo"]);
    let mut own = client(&host, "127.0.0.1:7001");
    assert_eq!(own.line, "none 127.0.0.1\n");
    own.echo("there and back");
    own.stream.get_ref().shutdown(Shutdown::Write).expect("it is open");
    assert!(own.has_ended(), "cat has ended");
    host.journal(&["--grep=aside"]).wait("aside");
    wait_forgotten(&host);
    // With one socket that listens it is that, as systemd has it.
    let server = "import os, socket\nassert 'LISTEN_FDS' not in os.environ\n\
                  connection, _ = socket.socket(fileno=0).accept()\nconnection.sendall(b'taken')\n";
    let unit = python(server) + "standard_input = \"socket\"\n[activation]\nstart = \"socket\"\n";
    let socket = "[socket.main]\nlisten = \"127.0.0.1:7003\"\npass = \"fd\"\n";
    host.unit("wait.container", &(unit + socket));
    host.succeed(&["sampanctl", "start", "wait"]);
    assert_eq!(exchange(connected(&host, "127.0.0.1:7003"), b"").expect("an answer"), "taken");
}

#[test]
fn fifty_clients_at_once_have_fifty_containers() {
    let host = Host::with_images(&["servers"]);
    host.unit("echo.container", &(python(ECHO) + &tcp("127.0.0.1:7001", "")));
    host.succeed(&["sampanctl", "start", "echo"]);
    let streams: Vec<TcpStream> =
        (0..50).map(|_| host.connect("127.0.0.1:7001").expect("it listens")).collect();
    let mut clients: Vec<_> = streams.into_iter().map(Client::greet).collect();
    clients.iter_mut().enumerate().for_each(|(number, client)| client.echo(&number.to_string()));
    let runs: std::collections::BTreeSet<&str> = clients.iter().map(|client| client.words()[3]).collect();
    assert_eq!(runs.len(), 50);
    assert_eq!(host.property("echo", "NConnections"), "50");
    drop(clients);
    wait_forgotten(&host);
    assert_eq!(host.succeed(&["sampanctl", "list-units", "--all", "--no-legend", "echo@*"]), "");
}

/// From an address of the client's choice.
fn from(host: &Host, own: &str, address: &str) -> TcpStream {
    let parse = |text: &str| text.parse::<SocketAddr>().expect("an address");
    let stream = host.in_network(|| {
        let socket = socket_with(AddressFamily::INET, SocketType::STREAM, SocketFlags::CLOEXEC, None);
        let socket = socket.expect("a socket");
        bind(&socket, &parse(own)).expect("an own address");
        connect(&socket, &parse(address)).expect("it listens");
        TcpStream::from(socket)
    });
    stream.set_read_timeout(Some(PATIENCE)).expect("a time");
    stream
}

#[test]
fn connections_beyond_the_limits_are_closed_and_told_of_once() {
    let host = Host::with_images(&["servers"]);
    let limits = "max_connections = 3\nmax_connections_per_source = 2\n";
    host.unit("echo.container", &(python(ECHO) + &tcp("127.0.0.1:7001", limits)));
    host.succeed(&["sampanctl", "start", "echo"]);
    let one = client(&host, "127.0.0.1:7001");
    let _two = client(&host, "127.0.0.1:7001");
    let refused = |stream: TcpStream| {
        let mut stream = Client { stream: BufReader::new(stream), line: String::new() };
        assert!(stream.has_ended(), "it is one too many");
    };
    (0..3).for_each(|_| refused(connected(&host, "127.0.0.1:7001")));
    let mut other = Client::greet(from(&host, "127.0.0.2:0", "127.0.0.1:7001"));
    assert_eq!(other.words()[0], "127.0.0.2");
    (0..3).for_each(|_| refused(from(&host, "127.0.0.3:0", "127.0.0.1:7001")));
    other.echo("served");
    assert_eq!(["NAccepted", "NRefused"].map(|name| host.property("echo", name)), ["3", "6"]);
    let status = host.succeed(&["sampanctl", "status", "echo"]);
    assert!(status.contains("Accepted: 3; Connected: 3; Refused: 6"), "{status}");
    // There is place again.
    drop(one);
    host.wait_property("echo", "NConnections", "2");
    client(&host, "127.0.0.1:7001").echo("served");
    let journal = host.succeed(&["journalctl", "--unit=sampand", "--output=cat", "--no-pager"]);
    for told in [
        "echo.container: Too many incoming connections (2) from source 127.0.0.1, dropping connection.",
        "echo.container: Too many incoming connections (3), dropping connection.",
    ] {
        assert_eq!(journal.lines().filter(|line| line.contains(told)).count(), 1, "{told}: {journal}");
    }
}

#[test]
fn more_connections_than_the_trigger_limit_fail_the_unit_and_no_instance() {
    let host = Host::with_images(&["servers"]);
    let limit = "[activation]\ntrigger_limit = { burst = 2, interval = \"1h\" }\n";
    host.unit("echo.container", &(python(ECHO) + limit + &tcp("127.0.0.1:7001", "")));
    host.succeed(&["sampanctl", "start", "echo"]);
    let mut clients = [client(&host, "127.0.0.1:7001"), client(&host, "127.0.0.1:7001")];
    let mut last = Client { stream: BufReader::new(connected(&host, "127.0.0.1:7001")), line: String::new() };
    assert!(last.has_ended());
    host.wait_property("echo", "Result", "trigger-limit-hit");
    assert!(host.connect("127.0.0.1:7001").is_err(), "nobody listens");
    clients.iter_mut().for_each(|client| client.echo("still served"));
}

#[test]
fn a_stop_ends_the_connections_and_so_does_a_restart_which_goes_on_listening() {
    let host = Host::with_images(&["servers"]);
    host.unit("echo.container", &(python(ECHO) + &tcp("127.0.0.1:7001", "")));
    host.succeed(&["sampanctl", "start", "echo"]);
    let mut own = client(&host, "127.0.0.1:7001");
    host.succeed(&["sampanctl", "restart", "echo"]);
    assert!(own.has_ended());
    let mut own = client(&host, "127.0.0.1:7001");
    own.echo("served anew");
    wait_one(&host);
    host.succeed(&["sampanctl", "stop", "echo"]);
    assert!(host.connect("127.0.0.1:7001").is_err(), "nobody listens");
    assert!(own.has_ended());
    host.wait_until("the instance is forgotten", |host| {
        host.succeed(&["sampanctl", "list-units", "--all", "--no-legend", "echo@*"]).is_empty()
    });
    assert_eq!(host.property("echo", "ActiveState"), "inactive");
}

fn wait_one(host: &Host) {
    host.wait_property("echo", "NConnections", "1");
}

fn kill(host: &Host) {
    let script = "pid=$(systemctl show --property=MainPID --value sampand)
        kill -KILL $pid
        while kill -0 $pid 2>/dev/null; do :; done";
    host.succeed(&["sh", "-c", script]);
}

#[test]
fn a_manager_that_dies_loses_no_connection() {
    let host = Host::with_images(&["servers"]);
    // A command of the host holds the launch for as long as a file is missing.
    let script = "until test -e /run/go; do sleep 0.1; done";
    let held =
        format!("exec_start_pre = [{{ command = [\"/bin/sh\", \"-c\", \"{script}\"], host = true }}]\n");
    host.unit("echo.container", &(python(ECHO) + &held + &tcp("127.0.0.1:7001", "")));
    host.succeed(&["sampanctl", "start", "echo"]);
    let waiting = connected(&host, "127.0.0.1:7001");
    wait_one(&host);
    host.wait_until("the command runs", |host| {
        host.succeed(&["sampanctl", "list-units", "--no-legend", "echo@*"]).contains("start-pre")
    });
    kill(&host);
    host.write("/run/go", "");
    let mut own = Client::greet(waiting);
    own.echo("launched by the successor");
    kill(&host);
    own.echo("while there is none");
    // It comes while there is no manager, or one that has just begun.
    let mut next = client(&host, "127.0.0.1:7001");
    next.echo("taken by the second successor");
    own.echo("and by this one left alone");
    assert_eq!(["NConnections", "NAccepted"].map(|name| host.property("echo", name)), ["2", "2"]);
    let units = host.succeed(&["sampanctl", "list-units", "--plain", "--no-legend", "echo@*"]);
    assert!(units.contains("echo@0-") && units.contains("echo@1-"), "{units}");
    drop((own, next));
    wait_forgotten(&host);
    assert_eq!(host.succeed(&["sampanctl", "list-units", "--all", "--no-legend", "echo@*"]), "");
    // Not even the record of it is needed.
    fs::remove_file(host.path("/run/go")).expect("it is there");
    let waiting = connected(&host, "127.0.0.1:7001");
    wait_one(&host);
    host.wait_until("the command runs", |host| {
        host.succeed(&["sampanctl", "list-units", "--no-legend", "echo@*"]).contains("start-pre")
    });
    host.succeed(&["sh", "-c", "rm /run/sampan/state/echo@*"]);
    kill(&host);
    host.write("/run/go", "");
    Client::greet(waiting).echo("known by the connection alone");
}

#[test]
fn payloads_that_fail_are_told_of_and_forgotten() {
    let host = Host::with_images(&["hello"]);
    host.unit("echo.container", &(shell("exit 7") + &tcp("127.0.0.1:7001", "")));
    host.unit(
        "none.container",
        &("[container]\nimage = \"localhost/none\"\npull = \"never\"\n".to_owned()
            + &tcp("127.0.0.1:7002", "")),
    );
    host.succeed(&["sampanctl", "start", "echo", "none"]);
    for (unit, address, result) in
        [("echo", "127.0.0.1:7001", "exit-code"), ("none", "127.0.0.1:7002", "resources")]
    {
        let mut own = Client { stream: BufReader::new(connected(&host, address)), line: String::new() };
        assert!(own.has_ended(), "{unit}");
        host.journal(&["--unit=sampand"]).wait(&format!("container: Failed with result '{result}'"));
        host.wait_property(unit, "NConnections", "0");
        assert_eq!(host.property(unit, "SubState"), "listening");
        let pattern = format!("{unit}@*");
        assert_eq!(host.succeed(&["sampanctl", "list-units", "--all", "--no-legend", &pattern]), "");
    }
}

#[test]
fn without_descriptors_connections_wait_until_there_are_some() {
    let host = Host::with_images(&["hello"]);
    let unit = shell("echo hello; cat") + "standard_input = \"socket\"\n";
    host.unit("echo.container", &(unit + &tcp("127.0.0.1:7001", "")));
    host.succeed(&["sampanctl", "start", "echo"]);
    let pid = host.succeed(&["systemctl", "show", "--property=MainPID", "--value", "sampand"]);
    let limit = |soft: &str| {
        let soft = format!("--nofile={soft}:");
        host.succeed(&["prlimit", "--pid", pid.trim(), &soft]);
    };
    let processor = || -> u64 {
        let stat = host.succeed(&["cat", &format!("/proc/{}/stat", pid.trim())]);
        let fields: Vec<&str> = stat.rsplit(')').next().expect("its name").split_whitespace().collect();
        fields[11..13].iter().map(|ticks| ticks.parse::<u64>().expect("a number")).sum()
    };
    let own = host.succeed(&["prlimit", "--pid", pid.trim(), "--nofile", "--noheadings", "--output=SOFT"]);
    limit("3");
    let stream = connected(&host, "127.0.0.1:7001");
    host.journal(&["--unit=sampand"]).wait("socket.main: cannot accept connections: Too many open files");
    let before = processor();
    // A second of the clock, in which a manager that spins would use a hundred ticks.
    host.succeed(&["sleep", "1"]);
    assert!(processor() - before < 20, "it does not spin");
    limit(own.trim());
    let mut own = Client::greet(stream);
    own.echo("served");
    let journal = host.succeed(&["journalctl", "--unit=sampand", "--output=cat", "--no-pager"]);
    assert_eq!(journal.matches("cannot accept connections").count(), 1, "{journal}");
}
