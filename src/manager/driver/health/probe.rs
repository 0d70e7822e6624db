//! One check: a command in the container, a connection, a question.

use super::verdict::Outcome;
use crate::launch::spawn::Launcher;
use crate::launch::step::Join;
use crate::manager::driver::exec::{ExecTask, Started};
use crate::manager::machine::Exit;
use crate::sys::{errno, namespace, readiness};
use crate::unit::model::{Container, Endpoint, HttpCheck, Listen, NetworkMode, Socket};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};
use rustix::pipe::{PipeFlags, pipe_with};
use std::cell::RefCell;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd as _, OwnedFd};
use std::rc::Rc;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

/// What is kept of what a check says, as Docker does.
const OUTPUT_MAX: usize = 4096;
/// Enough for the first line of an answer.
const ANSWER_MAX: u64 = 512;

/// What a check does.
pub(super) enum Probe {
    Command(Box<Exec>),
    Tcp(Target),
    Http(HttpCheck, Target),
}

/// A command that is run in a container.
pub(super) struct Exec {
    pub(super) join: Join,
    pub(super) launcher: Rc<Launcher>,
    pub(super) container: OwnedFd,
}

/// Where to connect to.
pub(super) struct Target {
    addresses: Vec<SocketAddr>,
    /// The container whose network it is in; `None`: our own.
    container: Option<OwnedFd>,
}

impl Target {
    /// A port at which the unit's own socket listens is reached as clients reach it: it is in the host's network, the
    /// server inside has only its descriptor.
    fn of(endpoint: Endpoint, container: &Container, pidfd: OwnedFd) -> Self {
        let own = container.sockets.values().find_map(|socket| own(socket, endpoint.port));
        if let Some(address) = own {
            return Self { addresses: vec![address], container: None };
        }
        let local: [IpAddr; 2] = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
        let addresses = endpoint.address.map_or(local.to_vec(), |address| vec![address]);
        let addresses =
            addresses.into_iter().map(|address| SocketAddr::new(address, endpoint.port)).collect();
        let container = (container.network != NetworkMode::Host).then_some(pidfd);
        Self { addresses, container }
    }

    /// Of several addresses that nobody answers at, the first one tells why: who means localhost means that one.
    async fn connect(&self) -> Result<TcpStream, String> {
        let mut first = None;
        for address in &self.addresses {
            let connection = match self.socket(*address) {
                Ok(socket) => socket.connect(*address).await,
                Err(error) => Err(error),
            };
            match connection {
                Ok(stream) => return Ok(stream),
                Err(error) => first = first.or_else(|| Some(format!("{address}: {}", errno::words(&error)))),
            }
        }
        Err(first.unwrap_or_default())
    }

    fn socket(&self, address: SocketAddr) -> io::Result<TcpSocket> {
        let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let make = || Ok(socket_with(family, SocketType::STREAM, flags, None)?);
        let socket = match &self.container {
            Some(container) => namespace::in_network_of(container.as_fd(), make)?,
            None => make()?,
        };
        Ok(TcpSocket::from_std_stream(socket.into()))
    }
}

/// The address on the host of a socket that stands for a port of the server.
fn own(socket: &Socket, port: u16) -> Option<SocketAddr> {
    let bound = socket.target.as_ref().unwrap_or(&socket.listen);
    let (Listen::Tcp(bound), Listen::Tcp(listen)) = (bound, &socket.listen) else { return None };
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    (bound.port() == port).then(|| SocketAddr::new(ip, listen.port()))
}

impl Probe {
    pub(super) fn tcp(endpoint: Endpoint, container: &Container, pidfd: OwnedFd) -> Self {
        Self::Tcp(Target::of(endpoint, container, pidfd))
    }

    pub(super) fn http(check: HttpCheck, container: &Container, pidfd: OwnedFd) -> Self {
        let target = Target::of(check.endpoint, container, pidfd);
        Self::Http(check, target)
    }

    /// Does it. Nothing of it is left when this returns, or is dropped.
    pub(super) async fn perform(&self, timeout: Duration) -> Outcome {
        let said = RefCell::new(Vec::new());
        let late = || Outcome::Bad(format!("no answer after {} s", timeout.as_secs_f64()));
        let outcome = match self {
            Self::Command(exec) => tokio::time::timeout(timeout, exec.perform(&said)).await,
            Self::Tcp(target) => tokio::time::timeout(timeout, connect(target)).await,
            Self::Http(check, target) => tokio::time::timeout(timeout, ask(check, target)).await,
        };
        outcome.unwrap_or_else(|_| late())
    }
}

async fn connect(target: &Target) -> Outcome {
    match target.connect().await {
        Ok(_) => Outcome::Good(String::new()),
        Err(error) => Outcome::Bad(error),
    }
}

/// RFC 9112: one question, and the status line of the answer.
async fn ask(check: &HttpCheck, target: &Target) -> Outcome {
    let answer = async {
        let mut stream = target.connect().await?;
        let request = format!(
            "GET {} HTTP/1.1\r\nHost: {}\r\nUser-Agent: sampan\r\nAccept: */*\r\nConnection: close\r\n\r\n",
            check.path, check.host
        );
        stream.write_all(request.as_bytes()).await.map_err(|error| errno::words(&error))?;
        let mut answer = Vec::new();
        while !answer.contains(&b'\n') && (answer.len() as u64) < ANSWER_MAX {
            if stream.read_buf(&mut answer).await.map_err(|error| errno::words(&error))? == 0 {
                break;
            }
        }
        Ok::<_, String>(answer)
    };
    match answer.await {
        Ok(answer) => {
            let line = answer.split(|byte| *byte == b'\n').next().unwrap_or_default();
            let line = text(line);
            match is_good(&line) {
                true => Outcome::Good(line),
                false if line.is_empty() => {
                    Outcome::Bad("the connection was closed without an answer".to_owned())
                }
                false => Outcome::Bad(line),
            }
        }
        Err(error) => Outcome::Bad(error),
    }
}

/// `HTTP/1.1 200 OK`
fn is_good(line: &str) -> bool {
    let mut words = line.split(' ');
    words.next().is_some_and(|version| version.starts_with("HTTP/1."))
        && words
            .next()
            .and_then(|status| status.parse().ok())
            .is_some_and(|status| (200..400).contains(&status))
}

impl Exec {
    async fn perform(&self, said: &RefCell<Vec<u8>>) -> Outcome {
        match self.start().await {
            Ok((started, output)) => {
                let exit = tokio::select! {
                    exit = started.wait() => exit,
                    () = listen(&output, said) => started.wait().await,
                };
                // What was written last is there when the writer has ended.
                drain(&output, said);
                let output = text(&said.borrow());
                match exit {
                    Exit::Code(0) => Outcome::Good(output),
                    exit if output.is_empty() => Outcome::Bad(exit.to_string()),
                    _ => Outcome::Bad(output),
                }
            }
            Err(message) => Outcome::Bad(message),
        }
    }

    async fn start(&self) -> Result<(Started, OwnedFd), String> {
        let failed = |error: io::Error| errno::words(&error);
        let (reader, writer) = pipe_with(PipeFlags::CLOEXEC).map_err(|error| failed(error.into()))?;
        rustix::io::ioctl_fionbio(&reader, true).map_err(|error| failed(error.into()))?;
        let null = std::fs::File::open("/dev/null").map_err(failed)?;
        let stdio = [null.into(), writer.try_clone().map_err(failed)?, writer];
        let container = self.container.try_clone().map_err(failed)?;
        let task = ExecTask {
            join: self.join.clone(),
            launcher: self.launcher.clone(),
            container,
            stdio,
            leash: None,
        };
        let started = task.start().await.map_err(|failure| failure.message)?;
        Ok((started, reader))
    }
}

/// Reads on, so that a command that says much never waits for us; keeps the beginning.
async fn listen(output: &OwnedFd, said: &RefCell<Vec<u8>>) {
    let Ok(readiness) = readiness::watch(output) else { return };
    while let Ok(mut ready) = readiness.readable().await {
        if drain(output, said) == End::Closed {
            return;
        }
        ready.clear_ready();
    }
}

#[derive(PartialEq, Eq)]
enum End {
    Nothing,
    Closed,
}

fn drain(output: &OwnedFd, said: &RefCell<Vec<u8>>) -> End {
    let mut buffer = [0; OUTPUT_MAX];
    loop {
        match rustix::io::read(output, &mut buffer) {
            Ok(0) => return End::Closed,
            Ok(count) => {
                let mut said = said.borrow_mut();
                let room = OUTPUT_MAX.saturating_sub(said.len()).min(count);
                said.extend_from_slice(&buffer[..room]);
            }
            Err(_) => return End::Nothing,
        }
    }
}

/// What was said, for people.
fn text(said: &[u8]) -> String {
    String::from_utf8_lossy(said).trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_line_tells() {
        for line in ["HTTP/1.1 200 OK", "HTTP/1.0 204", "HTTP/1.1 302 Found"] {
            assert!(is_good(line), "{line}");
        }
        for line in
            ["HTTP/1.1 503 Service Unavailable", "HTTP/1.1 404", "", "200", "SSH-2.0-x 200", "HTTP/1.1"]
        {
            assert!(!is_good(line), "{line}");
        }
    }
}
