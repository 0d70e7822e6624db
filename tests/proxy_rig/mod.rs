//! Runs `sampan-proxy` on sockets of a test, and servers for it.

use rustix::io::{FdFlags, fcntl_dupfd_cloexec, fcntl_setfd};
use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, kill_process, setrlimit};
use sampan::proxy::configuration::{Configuration, Lifetime, Socket, Target};
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::process::{Child, ChildStderr, ChildStdout, Command, ExitStatus, Stdio};
use std::thread;
use std::time::Duration;

/// Longest wait for anything; a test that comes near it has failed.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A socket to a target, with no limit that a test comes near.
pub fn socket(target: Target) -> Socket {
    Socket {
        name: "main".to_owned(),
        target,
        proxy_protocol: None,
        max_connections: 100_000,
        max_connections_per_source: None,
        connect_timeout: PATIENCE,
        idle_timeout: Duration::from_secs(60),
    }
}

/// A proxy that runs.
pub struct Proxy {
    pub child: Child,
    report: BufReader<ChildStdout>,
    notices: BufReader<ChildStderr>,
}

impl Proxy {
    /// On one socket.
    pub fn start(listener: impl AsFd, socket: Socket) -> Self {
        Self::start_with("", &[(listener.as_fd(), socket)])
    }

    /// On several, after commands of a shell.
    pub fn start_with(before: &str, sockets: &[(BorrowedFd<'_>, Socket)]) -> Self {
        Self::start_for(before, sockets, None)
    }

    /// The same for a container, which is named by a pidfd.
    pub fn start_for(
        before: &str,
        sockets: &[(BorrowedFd<'_>, Socket)],
        container: Option<BorrowedFd<'_>>,
    ) -> Self {
        // Out of the way of those that the proxy gets. Each test has a process of its own, which starts no other
        // program meanwhile.
        let passed = sockets.iter().map(|(fd, _)| *fd).chain(container);
        let passed: Vec<_> = passed.map(|fd| fcntl_dupfd_cloexec(fd, 100).unwrap()).collect();
        let mut script = format!("{before}\nexec \"$0\"");
        for (index, fd) in passed.iter().enumerate() {
            fcntl_setfd(fd, FdFlags::empty()).unwrap();
            script += &format!(" {}<&{fd} {fd}<&-", index + 3, fd = fd.as_raw_fd());
        }
        let mut command = Command::new("bash");
        command.arg("-c").arg(script).arg(env!("CARGO_BIN_EXE_sampan-proxy"));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let sockets = sockets.iter().map(|(_, socket)| socket.clone()).collect();
        let lifetime = if container.is_some() { Lifetime::Container } else { Lifetime::Own };
        let configuration = serde_json::to_vec(&Configuration { sockets, lifetime }).unwrap();
        child.stdin.take().unwrap().write_all(&configuration).unwrap();
        let report = BufReader::new(child.stdout.take().unwrap());
        let notices = BufReader::new(child.stderr.take().unwrap());
        Self { child, report, notices }
    }

    /// Waits until it has seen its targets listen.
    pub fn until_listening(&mut self) {
        let mut line = String::new();
        self.report.read_line(&mut line).unwrap();
        assert_eq!(line, "listening\n");
    }

    /// The next line to the administrator.
    pub fn notice(&mut self) -> String {
        let mut line = String::new();
        self.notices.read_line(&mut line).unwrap();
        line
    }

    pub fn terminate(&self) {
        kill_process(self.pid(), Signal::TERM).unwrap();
    }

    /// Does something while it stands still.
    pub fn meanwhile(&self, work: impl FnOnce()) {
        kill_process(self.pid(), Signal::STOP).unwrap();
        while !self.status("State").starts_with('T') {}
        work();
        kill_process(self.pid(), Signal::CONT).unwrap();
    }

    pub fn wait(&mut self) -> ExitStatus {
        self.child.wait().unwrap()
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// A line of proc_pid_status(5).
    pub fn status(&self, name: &str) -> String {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.unwrap().trim().to_owned()
    }

    /// Kibibytes of such a line.
    pub fn memory(&self, name: &str) -> u64 {
        self.status(name).trim_end_matches(" kB").parse().unwrap()
    }

    pub fn descriptors(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.child.id())).unwrap().count()
    }

    /// Time on a processor so far, proc(5) schedstat.
    pub fn processor_time(&self) -> Duration {
        let text = fs::read_to_string(format!("/proc/{}/schedstat", self.child.id())).unwrap();
        Duration::from_nanos(text.split(' ').next().unwrap().parse().unwrap())
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A listener on a port of its own.
pub fn listen(address: &str) -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind(address).unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// An address at which nobody listens.
pub fn nobody() -> SocketAddr {
    listen("127.0.0.1:0").1
}

pub fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Sends back what comes, and ends when the client does.
pub fn echo(mut stream: TcpStream) {
    let mut buffer = [0; 16 * 1024];
    while let Ok(length @ 1..) = stream.read(&mut buffer) {
        if stream.write_all(&buffer[..length]).is_err() {
            return;
        }
    }
}

/// A server that echoes, in threads that end with the test.
pub fn serve_echo(listener: TcpListener) {
    thread::spawn(move || {
        for stream in listener.incoming() {
            let thread = thread::Builder::new().stack_size(64 * 1024);
            thread.spawn(move || echo(stream.unwrap())).unwrap();
        }
    });
}

/// Sends a text and gets it back.
pub fn exchange(stream: &mut TcpStream, text: &str) {
    stream.write_all(text.as_bytes()).unwrap();
    let mut back = vec![0; text.len()];
    stream.read_exact(&mut back).unwrap();
    assert_eq!(String::from_utf8(back).unwrap(), text);
}

/// As many descriptors as this process may have.
pub fn raise_descriptors() {
    let maximum = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).unwrap();
}
