//! `pass = "swap"`: a server that binds by itself gets the socket that listens already.
//!
//! Its bind(2) waits in the kernel, seccomp_unotify(2). Where the address is one that the unit declares, the
//! held socket is put in place of the server's descriptor and bind(2) returns success; the listen(2) that
//! follows only changes the backlog. Every other bind(2) is performed by the kernel, in the container's own
//! network namespace. What is read from the server is checked to be of the one that still waits, and each
//! call is answered, whatever happens on our side: a server never hangs.

use super::stand_in::{StandIn, StandIns, duplicate};
use super::unix_node;
use crate::sys::process::{descriptor_flags, read_memory, status};
use crate::sys::seccomp_notify::{self as notify, BindRequest, OnExec, Pending, Received, Reply};
use crate::unit::model::Listen;
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::io::Errno;
use rustix::net::sockopt::{socket_acceptconn, socket_domain, socket_type};
use rustix::net::{AddressFamily, SocketType};
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

/// Longest address, `struct sockaddr_storage`.
const ADDRESS_MAX: usize = 128;

/// The seccomp listener of one container.
#[derive(Debug)]
pub struct Notifier {
    listener: OwnedFd,
    stand_ins: Mutex<StandIns>,
}

/// A held socket that may take the place of a server's own.
#[derive(Debug, Clone, Copy)]
pub struct SwapSocket<'a> {
    /// Its name in the unit.
    pub name: &'a str,
    /// Its address on the host.
    pub listen: &'a Listen,
    /// The address that the server binds, where it is another.
    pub target: Option<&'a Listen>,
    /// The socket.
    pub fd: BorrowedFd<'a>,
}

/// What became of one bind(2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The server has the socket of this name now.
    Swapped {
        /// The socket's name in the unit.
        name: String,
    },
    /// The kernel performs it.
    Continued,
    /// The unit declares the address, but the server may not bind there.
    Refused {
        /// The socket's name in the unit.
        name: String,
        /// The error that the server sees, errno(3).
        error: Errno,
    },
    /// The caller died before the answer.
    CallerGone,
    /// No call waited.
    Nothing,
    /// No process of the container is left: nothing will come any more.
    Closed,
}

enum Decision<'a> {
    Swap(&'a SwapSocket<'a>, OnExec),
    Refuse(&'a SwapSocket<'a>, Errno),
    Continue,
}

impl Notifier {
    /// Supervises the processes behind a seccomp listener. Nobody else may read from it.
    pub fn new(listener: OwnedFd) -> Self {
        Self { listener, stand_ins: Mutex::default() }
    }

    /// Answers one waiting bind(2); to be called when the descriptor is readable. Never blocks.
    ///
    /// # Errors
    /// When the listener itself fails.
    pub fn answer(&self, received: &Received, held: &[SwapSocket<'_>]) -> io::Result<Answer> {
        match notify::receive(self.as_fd(), received) {
            Ok(Pending::Nothing) => Ok(Answer::Nothing),
            Ok(Pending::Closed) => Ok(Answer::Closed),
            Ok(Pending::Request(request)) => or_gone(self.carry_out(&request, held)),
            Err(error) => or_gone(Err(error)),
        }
    }

    /// Addresses of version 4 that servers have bound alone, and for which they have a socket of every address.
    pub fn bound_alone(&self) -> BTreeSet<SocketAddr> {
        self.stand_ins.lock().unwrap_or_else(PoisonError::into_inner).addresses().collect()
    }

    /// Answers the bind(2) that a predecessor has received and not answered any more.
    ///
    /// # Errors
    /// When the listener itself fails.
    pub fn answer_left(&self, received: &Received, held: &[SwapSocket<'_>]) -> io::Result<Answer> {
        match received.unanswered(self.as_fd()) {
            Some(request) => or_gone(self.carry_out(&request, held)),
            None => Ok(Answer::Nothing),
        }
    }

    fn carry_out(&self, request: &BindRequest, held: &[SwapSocket<'_>]) -> io::Result<Answer> {
        // An error here is about the caller: it died, or its address is rubbish. The kernel knows better.
        let decision = self.decide(request, held).unwrap_or(Decision::Continue);
        let refused = |socket: &SwapSocket<'_>, error| {
            (Reply::Error(error), Answer::Refused { name: socket.name.to_owned(), error })
        };
        let (reply, answer) = match decision {
            Decision::Swap(socket, on_exec) => {
                match notify::replace_descriptor(self.as_fd(), request, socket.fd, on_exec) {
                    Ok(()) => (Reply::Success, Answer::Swapped { name: socket.name.to_owned() }),
                    Err(error) => refused(socket, Errno::from_io_error(&error).unwrap_or(Errno::IO)),
                }
            }
            Decision::Refuse(socket, error) => refused(socket, error),
            Decision::Continue => (Reply::Continue, Answer::Continued),
        };
        notify::reply(self.as_fd(), request, reply)?;
        Ok(answer)
    }

    fn decide<'a>(&self, request: &BindRequest, held: &'a [SwapSocket<'a>]) -> io::Result<Decision<'a>> {
        let Some(address) = read_address(request)? else { return Ok(Decision::Continue) };
        let Some(socket) = choose(held, &address) else { return Ok(Decision::Continue) };
        let flags = descriptor_flags(request.tid, request.fd)?;
        let process = status(request.tid)?.process;
        let own = duplicate(process, request.fd)?;
        // All of the above was asked by number; only now it is known that no number was used again meanwhile.
        notify::still_waits(self.as_fd(), request)?;
        if !fits(&own, socket)? {
            return Ok(Decision::Continue);
        }
        if let Listen::Unix(path) = &address
            && let Err(error) = unix_node::leave(request.tid, path)
        {
            return Ok(Decision::Refuse(socket, error));
        }
        let status = fcntl_getfl(socket.fd)?.difference(OFlags::NONBLOCK);
        fcntl_setfl(socket.fd, status | flags.intersection(OFlags::NONBLOCK))?;
        let on_exec = if flags.contains(OFlags::CLOEXEC) { OnExec::Close } else { OnExec::Keep };
        if let (Listen::Tcp(address), Listen::Tcp(SocketAddr::V6(_))) = (&address, socket.listen) {
            let mut stand_ins = self.stand_ins.lock().unwrap_or_else(PoisonError::into_inner);
            if address.is_ipv4() {
                let (fd, address) = (request.fd, *address);
                stand_ins.remember(StandIn { process, fd, on_exec, own, address });
            } else {
                stand_ins.give_back(self.as_fd(), request, (process, address.port()), socket.fd);
            }
        }
        Ok(Decision::Swap(socket, on_exec))
    }
}

impl AsFd for Notifier {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }
}

impl AsRawFd for Notifier {
    fn as_raw_fd(&self) -> i32 {
        self.listener.as_raw_fd()
    }
}

fn or_gone(result: io::Result<Answer>) -> io::Result<Answer> {
    match result {
        Err(error) if error.raw_os_error() == Some(Errno::NOENT.raw_os_error()) => Ok(Answer::CallerGone),
        result => result,
    }
}

/// The address in the caller's memory; `None` for a family that no unit can declare.
fn read_address(request: &BindRequest) -> io::Result<Option<Listen>> {
    let mut buffer = [0; ADDRESS_MAX];
    let length =
        usize::try_from(request.length & u64::from(u32::MAX)).unwrap_or(ADDRESS_MAX).min(ADDRESS_MAX);
    let read = read_memory(request.tid, request.address, &mut buffer[..length])?;
    Ok(parse_address(&buffer[..read]))
}

/// `struct sockaddr_in`, `sockaddr_in6` and `sockaddr_un`: ip(7), ipv6(7), unix(7).
fn parse_address(raw: &[u8]) -> Option<Listen> {
    let family = AddressFamily::from_raw(u16::from_ne_bytes(bytes(raw, 0)?));
    let port = || Some(u16::from_be_bytes(bytes(raw, 2)?));
    match family {
        AddressFamily::INET => {
            Some(Listen::Tcp(SocketAddr::from((Ipv4Addr::from(bytes::<4>(raw, 4)?), port()?))))
        }
        AddressFamily::INET6 => {
            Some(Listen::Tcp(SocketAddr::from((Ipv6Addr::from(bytes::<16>(raw, 8)?), port()?))))
        }
        AddressFamily::UNIX => match raw.get(2..)? {
            [] => None,
            [0, name @ ..] => Some(Listen::Abstract(String::from_utf8(name.to_vec()).ok()?)),
            path => {
                let path = path.split(|byte| *byte == 0).next()?;
                Some(Listen::Unix(Path::new(OsStr::from_bytes(path)).to_owned()))
            }
        },
        _ => None,
    }
}

fn bytes<const N: usize>(raw: &[u8], at: usize) -> Option<[u8; N]> {
    raw.get(at..at + N)?.try_into().ok()
}

/// The socket that the unit declares for an address: any local address with its port, of the same family
/// where there is one.
fn choose<'a>(held: &'a [SwapSocket<'a>], address: &Listen) -> Option<&'a SwapSocket<'a>> {
    match address {
        Listen::Tcp(address) => {
            let with_port = |socket: &&SwapSocket<'_>| {
                matches!(socket.target.unwrap_or(socket.listen),
                    Listen::Tcp(wanted) if wanted.port() == address.port())
            };
            let same_family = |socket: &&SwapSocket<'_>| matches!(socket.listen, Listen::Tcp(listen) if listen.is_ipv4() == address.is_ipv4());
            let candidates = held.iter().filter(with_port);
            candidates.clone().find(same_family).or_else(|| candidates.into_iter().next())
        }
        Listen::Unix(_) | Listen::Abstract(_) => {
            held.iter().find(|socket| socket.target == Some(address) || socket.listen == address)
        }
    }
}

/// Only a stream socket of the same kind can be replaced, and none that listens: that is ours already.
fn fits(theirs: &OwnedFd, socket: &SwapSocket<'_>) -> rustix::io::Result<bool> {
    let unix = socket_domain(theirs)? == AddressFamily::UNIX;
    let wants_unix = !matches!(socket.listen, Listen::Tcp(_));
    Ok(socket_type(theirs)? == SocketType::STREAM && unix == wants_unix && !socket_acceptconn(theirs)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inet(port: u16, address: [u8; 4]) -> Vec<u8> {
        let family = AddressFamily::INET.as_raw().to_ne_bytes();
        [&family[..], &port.to_be_bytes(), &address, &[0; 8]].concat()
    }

    fn unix(path: &[u8]) -> Vec<u8> {
        [&AddressFamily::UNIX.as_raw().to_ne_bytes()[..], path].concat()
    }

    #[test]
    fn addresses_are_read_as_the_kernel_reads_them() {
        assert_eq!(
            parse_address(&inet(80, [10, 0, 0, 1])),
            Some(Listen::Tcp("10.0.0.1:80".parse().unwrap()))
        );
        assert_eq!(parse_address(&inet(80, [10, 0, 0, 1])[..7]), None);
        assert_eq!(parse_address(&unix(b"/run/a.sock\0rest")), Some(Listen::Unix("/run/a.sock".into())));
        assert_eq!(parse_address(&unix(b"/run/a.sock")), Some(Listen::Unix("/run/a.sock".into())));
        assert_eq!(parse_address(&unix(b"\0name")), Some(Listen::Abstract("name".into())));
        assert_eq!(parse_address(&unix(b"")), None);
        assert_eq!(parse_address(&[]), None);
    }

    #[test]
    fn the_declared_port_is_taken_whatever_the_local_address() {
        let (v4, v6): (Listen, Listen) =
            (Listen::Tcp("0.0.0.0:80".parse().unwrap()), Listen::Tcp("[::]:80".parse().unwrap()));
        let target = Listen::Tcp("0.0.0.0:8080".parse().unwrap());
        let null = std::fs::File::open("/dev/null").unwrap();
        let fd = null.as_fd();
        let held = [
            SwapSocket { name: "v6", listen: &v6, target: None, fd },
            SwapSocket { name: "v4", listen: &v4, target: None, fd },
            SwapSocket { name: "other", listen: &v6, target: Some(&target), fd },
        ];
        let chosen =
            |address: &str| choose(&held, &Listen::Tcp(address.parse().unwrap())).map(|socket| socket.name);
        assert_eq!(chosen("127.0.0.1:80"), Some("v4"));
        assert_eq!(chosen("[::1]:80"), Some("v6"));
        assert_eq!(chosen("0.0.0.0:8080"), Some("other"));
        assert_eq!(chosen("0.0.0.0:81"), None);
    }
}
