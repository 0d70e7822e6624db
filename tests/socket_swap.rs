//! Unmodified servers that bind by themselves, each in a network namespace of its own, serve requests that
//! are made outside: their bind(2) is answered with a socket that the test holds.
//!
//! Needs root, and the Debian packages nginx-light, redis-server and python3.

use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, Signal, kill_process};
use sampan::paths::Paths;
use sampan::socket::listen::Held;
use sampan::socket::swap::{Answer, Notifier, SwapSocket};
use sampan::sys::seccomp_notify::{Pending, Received, install_bind_listener, receive};
use sampan::unit::model::{Listen, Pass, Socket, UnixName, UnixType};
use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

/// Longest wait for anything; a test that comes near it has failed.
const PATIENCE: Duration = Duration::from_secs(20);

/// A socket of a unit with `pass = "swap"`.
fn hold(name: &str, listen: Listen, target: Option<Listen>) -> Held {
    let socket = Socket { target, ..Socket::new(listen, Pass::Swap) };
    Held::open(name, socket.into(), &Paths::default()).unwrap()
}

fn free_port() -> u16 {
    TcpListener::bind("[::]:0").unwrap().local_addr().unwrap().port()
}

fn stream(path: &Path) -> Listen {
    Listen::Unix(UnixType::Stream, UnixName::Path(path.to_owned()))
}

fn tcp(address: &str, port: u16) -> Listen {
    Listen::Tcp(format!("{address}:{port}").parse().unwrap())
}

/// Starts a command behind the filter, in a network namespace of its own.
fn spawn(command: &[&str]) -> (Child, OwnedFd) {
    let mut server = Command::new("unshare");
    server.arg("--net").args(command).stdin(Stdio::null()).stdout(Stdio::piped());
    // A filter belongs to a thread and to the processes that this thread starts.
    let starter = thread::spawn(move || {
        let listener = install_bind_listener().expect("the filter needs root");
        (server.spawn().expect("unshare is there"), listener)
    });
    starter.join().unwrap()
}

/// A server behind the filter, and a thread that answers its calls.
struct Server {
    child: Child,
    answers: Receiver<Answer>,
}

impl Server {
    fn start(command: &[&str], held: Vec<Held>) -> Self {
        let (child, listener) = spawn(command);
        let (sender, answers) = channel();
        thread::spawn(move || {
            let (notifier, received) = (Notifier::new(listener), Received::new().unwrap());
            let sockets: Vec<SwapSocket<'_>> = held
                .iter()
                .map(|held| SwapSocket { name: held.name(), socket: held.socket(), fd: held.as_fd() })
                .collect();
            loop {
                poll(&mut [PollFd::new(&notifier, PollFlags::IN)], None).unwrap();
                match notifier.answer(&received, &sockets).unwrap() {
                    Answer::Closed => break,
                    answer => drop(sender.send(answer)),
                }
            }
        });
        Self { child, answers }
    }

    fn next_answer(&self) -> Answer {
        self.answers.recv_timeout(PATIENCE).expect("the server binds")
    }

    /// The next answer for an address that is held; getaddrinfo(3) binds a netlink socket before.
    fn next_of_held(&self) -> Answer {
        loop {
            match self.next_answer() {
                Answer::Continued => {}
                answer => return answer,
            }
        }
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    fn output(mut self) -> String {
        let mut text = String::new();
        self.child.stdout.take().unwrap().read_to_string(&mut text).unwrap();
        text
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
        let _ = self.child.wait();
    }
}

fn swapped(name: &str) -> Answer {
    Answer::Swapped { name: name.to_owned() }
}

fn ask(mut stream: TcpStream, question: &str) -> String {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(question.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// No retry: the socket listens before the server exists, and the request waits in its queue.
fn get(address: &str, port: u16) -> String {
    ask(TcpStream::connect((address, port)).unwrap(), "GET / HTTP/1.0\r\n\r\n")
}

#[test]
fn nginx_serves_both_families_and_binds_more_at_a_reload() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().to_str().unwrap();
    let (first, second) = (free_port(), free_port());
    let configure = |text: &str, more: &str| {
        let configuration = format!(
            "daemon off; user root; worker_processes 2; pid {path}/pid; error_log stderr;
             events {{ worker_connections 64; }}
             http {{ access_log off; server {{ listen {first}; listen [::]:{first}; {more} return 200 {text}; }} }}"
        );
        fs::write(directory.path().join("nginx.conf"), configuration).unwrap();
    };
    configure("one", "");
    let held = vec![
        hold("dual", tcp("[::]", first), None),
        hold("target", tcp("127.0.0.1", second), Some(tcp("0.0.0.0", 80))),
    ];
    let server = Server::start(&["nginx", "-p", path, "-c", "nginx.conf"], held);
    assert!(get("127.0.0.1", first).ends_with("\r\n\r\none"));
    assert!(get("::1", first).ends_with("\r\n\r\none"));
    assert_eq!([server.next_answer(), server.next_answer()], [swapped("dual"), swapped("dual")]);

    // The second socket is served by workers of the new configuration alone.
    configure("two", "listen 80;");
    server.signal(Signal::HUP);
    assert_eq!(server.next_answer(), swapped("target"));
    assert!(get("127.0.0.1", second).ends_with("\r\n\r\ntwo"));
}

#[test]
fn redis_serves_tcp_and_a_unix_socket_whose_mode_it_sets() {
    let directory = tempfile::tempdir().unwrap();
    let port = free_port().to_string();
    let path = directory.path().to_str().unwrap();
    let (inside, outside) = (directory.path().join("inside.sock"), directory.path().join("outside.sock"));
    let held = vec![
        hold("tcp", tcp("127.0.0.1", port.parse().unwrap()), None),
        hold("unix", stream(&outside), Some(stream(&inside))),
    ];
    let command = ["redis-server", "--port", &port, "--bind", "0.0.0.0", "--save", "", "--dir", path];
    let unix = ["--unixsocket", inside.to_str().unwrap(), "--unixsocketperm", "750"];
    let server = Server::start(&[&command[..], &unix[..]].concat(), held);

    let stream = TcpStream::connect(("127.0.0.1", port.parse().unwrap())).unwrap();
    assert_eq!(ask(stream, "PING\r\nQUIT\r\n"), "+PONG\r\n+OK\r\n");
    let mut stream = UnixStream::connect(&outside).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(b"PING\r\nQUIT\r\n").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, "+PONG\r\n+OK\r\n");
    assert_eq!(fs::symlink_metadata(&inside).unwrap().permissions().mode() & 0o777, 0o750);
    assert_eq!([server.next_answer(), server.next_answer()], [swapped("tcp"), swapped("unix")]);
}

#[test]
fn pythons_http_server_serves() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("index.html"), "from python").unwrap();
    let port = free_port();
    let held = vec![hold("http", tcp("127.0.0.1", port), None)];
    let path = directory.path().to_str().unwrap();
    let server =
        Server::start(&["python3", "-m", "http.server", &port.to_string(), "--directory", path], held);
    assert!(get("127.0.0.1", port).ends_with("from python"));
    assert_eq!(server.next_of_held(), swapped("http"));
}

/// Binds from a thread, and twice; prints what the server's own flags have become.
const BINDER: &str = r#"
import socket, sys, threading, os, fcntl
port = int(sys.argv[1])
def bind(blocking, inheritable):
    s = socket.socket()
    s.setblocking(blocking)
    s.set_inheritable(inheritable)
    s.bind(("127.0.0.1", port))
    s.listen()
    print(bool(fcntl.fcntl(s, fcntl.F_GETFL) & os.O_NONBLOCK), s.get_inheritable())
    return s
kept = []
thread = threading.Thread(target=lambda: kept.append(bind(False, True)))
thread.start()
thread.join()
second = bind(True, False)
connection, peer = second.accept()
if os.fork() == 0:
    connection.sendall(b"from a child")
    os._exit(0)
os.wait()
"#;

#[test]
fn threads_second_binds_and_children_work_and_flags_stay_the_servers() {
    let port = free_port();
    let held = vec![hold("http", tcp("[::]", port), None)];
    let server = Server::start(&["python3", "-c", BINDER, &port.to_string()], held);
    assert_eq!([server.next_answer(), server.next_answer()], [swapped("http"), swapped("http")]);
    assert_eq!(ask(TcpStream::connect(("127.0.0.1", port)).unwrap(), ""), "from a child");
    assert_eq!(server.output(), "True True\nFalse False\n");
}

/// Has its socket under two numbers and in an epoll instance before it binds, and serves by all of them.
const EAGER: &str = r#"
import os, select, socket, sys
server = socket.socket()
server.setblocking(False)
other = socket.socket(fileno=os.dup(server.fileno()))
watch = select.epoll()
watch.register(server, select.EPOLLET)
server.bind(("127.0.0.1", int(sys.argv[1])))
other.listen()
watch.modify(server, select.EPOLLIN)
for accepting in [server, other]:
    print([number == server.fileno() for number, events in watch.poll()])
    connection, peer = accepting.accept()
    connection.sendall(b"from epoll")
    connection.close()
watch.unregister(server)
print(watch.poll(0))
"#;

#[test]
fn a_socket_is_replaced_wherever_the_server_has_it() {
    let port = free_port();
    let held = vec![hold("http", tcp("127.0.0.1", port), None)];
    let server = Server::start(&["python3", "-c", EAGER, &port.to_string()], held);
    assert_eq!(server.next_of_held(), swapped("http"));
    for _ in 0..2 {
        assert_eq!(ask(TcpStream::connect(("127.0.0.1", port)).unwrap(), ""), "from epoll");
    }
    assert_eq!(server.output(), "[True]\n[True]\n[]\n");
}

/// Binds what no unit declares, and what cannot be a stream socket.
const STRANGER: &str = r#"
import socket, sys
port = int(sys.argv[1])
with socket.socket() as tcp:
    tcp.bind(("0.0.0.0", port + 1))
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
    udp.bind(("0.0.0.0", port))
    print(udp.getsockname()[1] == port)
with socket.socket(socket.AF_UNIX) as unix:
    unix.bind("\0name")
"#;

#[test]
fn other_binds_are_the_kernels() {
    let port = free_port().min(65000);
    let held = vec![hold("http", tcp("[::]", port), None)];
    let server = Server::start(&["python3", "-c", STRANGER, &port.to_string()], held);
    let answers = [server.next_answer(), server.next_answer(), server.next_answer()];
    assert_eq!(answers, [Answer::Continued, Answer::Continued, Answer::Continued]);
    assert_eq!(server.output(), "True\n");
}

#[test]
fn a_unix_socket_where_the_server_may_not_write_is_refused_to_it() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("file"), "kept").unwrap();
    let (inside, outside) = (directory.path().join("file"), directory.path().join("outside.sock"));
    let held = vec![hold("unix", stream(&outside), Some(stream(&inside)))];
    let script = "import socket, sys
try: socket.socket(socket.AF_UNIX).bind(sys.argv[1])
except OSError as error: print(error.strerror)";
    let server = Server::start(&["python3", "-c", script, inside.to_str().unwrap()], held);
    let error = rustix::io::Errno::ADDRINUSE;
    assert_eq!(server.next_answer(), Answer::Refused { name: "unix".to_owned(), error });
    assert_eq!(server.output(), "Address already in use\n");
    assert_eq!(fs::read_to_string(inside).unwrap(), "kept");
}

#[test]
fn a_caller_that_died_while_it_waited_blocks_nobody() {
    let (mut child, listener) = spawn(&["python3", "-c", BINDER, "80"]);
    poll(&mut [PollFd::new(&listener, PollFlags::IN)], None).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(Notifier::new(listener).answer(&Received::new().unwrap(), &[]).unwrap(), Answer::Closed);
}

/// The kernel tells of a call once: whoever took it and died would leave the server waiting for ever.
#[test]
fn a_call_that_a_predecessor_took_is_answered_by_its_successor() {
    let (mut child, listener) = spawn(&["python3", "-c", BINDER, "80"]);
    let received = Received::new().unwrap();
    poll(&mut [PollFd::new(&listener, PollFlags::IN)], None).unwrap();
    assert!(matches!(receive(listener.as_fd(), &received).unwrap(), Pending::Request(_)));
    let kept = received.as_fd().try_clone_to_owned().unwrap();
    drop(received);

    let received = Received::adopt(kept).unwrap();
    let notifier = Notifier::new(listener);
    assert_eq!(notifier.answer(&received, &[]).unwrap(), Answer::Nothing);
    assert_eq!(notifier.answer_left(&received, &[]).unwrap(), Answer::Continued);
    assert_eq!(notifier.answer_left(&received, &[]).unwrap(), Answer::Nothing);
    child.kill().unwrap();
    child.wait().unwrap();
}
