//! `pass = "swap"`: a server that binds by itself gets the socket that listens already.
//!
//! Its bind(2) waits in the kernel, seccomp_unotify(2). Where the address is one that the unit declares, the
//! held socket is put in place of the server's descriptor and bind(2) returns success; the listen(2) that
//! follows only changes the backlog. Every other bind(2) is performed by the kernel, in the container's own
//! network namespace. What is read from the server is checked to be of the one that still waits, and each
//! call is answered, whatever happens on our side: a server never hangs.

use super::elsewhere::{Elsewhere, on_exec};
use super::stand_in::{StandIn, StandIns, duplicate};
use super::{carry, unix_node};
use crate::sys::process::{descriptor_flags, read_memory, status};
use crate::sys::seccomp_notify::{self as notify, BindRequest, OnExec, Pending, Received, Reply};
use crate::unit::model::{Listen, Socket, UnixName, UnixType};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl, fstat};
use rustix::io::Errno;
use rustix::net::sockopt::{socket_acceptconn, socket_domain, socket_protocol, socket_type};
use rustix::net::{AddressFamily, SocketType, ipproto};
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
    /// What the unit says of it.
    pub socket: &'a Socket,
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
    /// The unit declares the address, but this server could not answer by its socket, which is of the other version
    /// of IP. The kernel performs it.
    Unfit {
        /// The socket's name in the unit.
        name: String,
        /// Where the server binds.
        address: SocketAddr,
    },
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
    Swap(Swap<'a>),
    Refuse(&'a SwapSocket<'a>, Errno),
    Unfit(&'a SwapSocket<'a>, SocketAddr),
    Continue,
}

/// How a held socket takes the place of the server's own.
struct Swap<'a> {
    socket: &'a SwapSocket<'a>,
    on_exec: OnExec,
    process: u32,
    elsewhere: Option<Elsewhere>,
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
            Decision::Swap(swap) => match swap.carry_out(self.as_fd(), request) {
                Ok(()) => (Reply::Success, Answer::Swapped { name: swap.socket.name.to_owned() }),
                Err(error) => refused(swap.socket, Errno::from_io_error(&error).unwrap_or(Errno::IO)),
            },
            Decision::Refuse(socket, error) => refused(socket, error),
            Decision::Unfit(socket, address) => {
                (Reply::Continue, Answer::Unfit { name: socket.name.to_owned(), address })
            }
            Decision::Continue => (Reply::Continue, Answer::Continued),
        };
        notify::reply(self.as_fd(), request, reply)?;
        Ok(answer)
    }

    fn decide<'a>(&self, request: &BindRequest, held: &'a [SwapSocket<'a>]) -> io::Result<Decision<'a>> {
        let Some(address) = read_address(request)? else { return Ok(Decision::Continue) };
        let is_meant = |socket: &SwapSocket<'_>| {
            address.is_named_by(socket.bound()) || address.is_named_by(&socket.socket.listen)
        };
        if !held.iter().any(is_meant) {
            return Ok(Decision::Continue);
        }
        let flags = descriptor_flags(request.tid, request.fd)?;
        let process = status(request.tid)?.process;
        let own = duplicate(process, request.fd)?;
        // All of the above was asked by number; only now it is known that no number was used again meanwhile.
        notify::still_waits(self.as_fd(), request)?;
        let Some(listen) = classify(&own, address)? else { return Ok(Decision::Continue) };
        let Some(socket) = choose(held, &listen) else { return Ok(Decision::Continue) };
        if is_ours(&own, socket)? {
            return Ok(Decision::Continue);
        }
        if let Listen::Udp(address) = listen
            && !is_same_version(&socket.socket.listen, address)
        {
            return Ok(Decision::Unfit(socket, address));
        }
        if let Listen::Unix(_, UnixName::Path(path)) = &listen
            && let Err(error) = unix_node::leave(request.tid, path)
        {
            return Ok(Decision::Refuse(socket, error));
        }
        carry::carry(&own, socket.socket, socket.fd)?;
        let status = fcntl_getfl(socket.fd)?.difference(OFlags::NONBLOCK);
        fcntl_setfl(socket.fd, status | flags.intersection(OFlags::NONBLOCK))?;
        let on_exec = on_exec(flags);
        let elsewhere = Elsewhere::find(request, process, &own)?;
        if let (Listen::Tcp(address), Listen::Tcp(SocketAddr::V6(_))) = (&listen, &socket.socket.listen) {
            let mut stand_ins = self.stand_ins.lock().unwrap_or_else(PoisonError::into_inner);
            if address.is_ipv4() {
                let (fd, address) = (request.fd, *address);
                stand_ins.remember(StandIn { process, fd, on_exec, own, address });
            } else {
                stand_ins.give_back(self.as_fd(), request, (process, address.port()), socket.fd);
            }
        }
        Ok(Decision::Swap(Swap { socket, on_exec, process, elsewhere }))
    }
}

impl Swap<'_> {
    fn carry_out(&self, listener: BorrowedFd<'_>, request: &BindRequest) -> io::Result<()> {
        notify::replace_descriptor(listener, request, self.socket.fd, self.on_exec)?;
        if let Some(elsewhere) = &self.elsewhere {
            elsewhere.replace(listener, request, self.process, self.socket.fd);
        }
        Ok(())
    }
}

impl SwapSocket<'_> {
    /// The address that the server binds.
    fn bound(&self) -> &Listen {
        self.socket.target.as_ref().unwrap_or(&self.socket.listen)
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

/// What bind(2) is told: the socket tells what it is the address of.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Name {
    Internet(SocketAddr),
    Unix(UnixName),
}

impl Name {
    /// Whether a socket that a unit declares may be meant.
    fn is_named_by(&self, declared: &Listen) -> bool {
        match (self, declared) {
            (Self::Internet(own), Listen::Tcp(address) | Listen::Udp(address)) => {
                own.port() == address.port()
            }
            (Self::Unix(own), Listen::Unix(_, name)) => own == name,
            _ => false,
        }
    }
}

/// The address in the caller's memory; `None` for a family that no unit can declare.
fn read_address(request: &BindRequest) -> io::Result<Option<Name>> {
    let mut buffer = [0; ADDRESS_MAX];
    let length =
        usize::try_from(request.length & u64::from(u32::MAX)).unwrap_or(ADDRESS_MAX).min(ADDRESS_MAX);
    let read = read_memory(request.tid, request.address, &mut buffer[..length])?;
    Ok(parse_address(&buffer[..read]))
}

/// `struct sockaddr_in`, `sockaddr_in6` and `sockaddr_un`: ip(7), ipv6(7), unix(7).
fn parse_address(raw: &[u8]) -> Option<Name> {
    let family = AddressFamily::from_raw(u16::from_ne_bytes(bytes(raw, 0)?));
    let port = || Some(u16::from_be_bytes(bytes(raw, 2)?));
    match family {
        AddressFamily::INET => {
            Some(Name::Internet(SocketAddr::from((Ipv4Addr::from(bytes::<4>(raw, 4)?), port()?))))
        }
        AddressFamily::INET6 => {
            Some(Name::Internet(SocketAddr::from((Ipv6Addr::from(bytes::<16>(raw, 8)?), port()?))))
        }
        AddressFamily::UNIX => match raw.get(2..)? {
            [] => None,
            [0, name @ ..] => Some(Name::Unix(UnixName::Abstract(String::from_utf8(name.to_vec()).ok()?))),
            path => {
                let path = path.split(|byte| *byte == 0).next()?;
                Some(Name::Unix(UnixName::Path(Path::new(OsStr::from_bytes(path)).to_owned())))
            }
        },
        _ => None,
    }
}

fn bytes<const N: usize>(raw: &[u8], at: usize) -> Option<[u8; N]> {
    raw.get(at..at + N)?.try_into().ok()
}

/// What the server binds, by the kind of its own socket; `None` for a kind that no unit can declare.
fn classify(own: &OwnedFd, name: Name) -> rustix::io::Result<Option<Listen>> {
    let (domain, kind) = (socket_domain(own)?, socket_type(own)?);
    Ok(match name {
        Name::Internet(address) => {
            let same_version = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
            // A server that asks for MPTCP does with TCP what it would do with it.
            match (kind, socket_protocol(own)?) {
                _ if domain != same_version => None,
                (SocketType::STREAM, Some(ipproto::TCP | ipproto::MPTCP)) => Some(Listen::Tcp(address)),
                (SocketType::DGRAM, Some(ipproto::UDP)) => Some(Listen::Udp(address)),
                _ => None,
            }
        }
        Name::Unix(_) if domain != AddressFamily::UNIX => None,
        Name::Unix(name) => match kind {
            SocketType::STREAM => Some(Listen::Unix(UnixType::Stream, name)),
            SocketType::DGRAM => Some(Listen::Unix(UnixType::Datagram, name)),
            SocketType::SEQPACKET => Some(Listen::Unix(UnixType::SequentialPacket, name)),
            _ => None,
        },
    })
}

/// The socket that the unit declares for an address: any local address with its port, of the same version of IP
/// where there is one.
fn choose<'a>(held: &'a [SwapSocket<'a>], address: &Listen) -> Option<&'a SwapSocket<'a>> {
    let (Listen::Tcp(wanted) | Listen::Udp(wanted)) = address else {
        return held.iter().find(|socket| socket.bound() == address || socket.socket.listen == *address);
    };
    let with_port = |socket: &&SwapSocket<'_>| match (socket.bound(), address) {
        (Listen::Tcp(bound), Listen::Tcp(_)) | (Listen::Udp(bound), Listen::Udp(_)) => {
            bound.port() == wanted.port()
        }
        _ => false,
    };
    let candidates = held.iter().filter(with_port);
    let same_version = candidates.clone().find(|socket| is_same_version(&socket.socket.listen, *wanted));
    same_version.or_else(|| candidates.into_iter().next())
}

fn is_same_version(listen: &Listen, address: SocketAddr) -> bool {
    matches!(listen, Listen::Tcp(own) | Listen::Udp(own) if own.is_ipv4() == address.is_ipv4())
}

/// Whether the server has the held socket already, or one that listens.
fn is_ours(own: &OwnedFd, socket: &SwapSocket<'_>) -> rustix::io::Result<bool> {
    let (there, here) = (fstat(own)?, fstat(socket.fd)?);
    Ok(socket_acceptconn(own)? || (there.st_dev, there.st_ino) == (here.st_dev, here.st_ino))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::unit::model::Pass;
    use crate::unit::value::Written;

    fn inet(port: u16, address: [u8; 4]) -> Vec<u8> {
        let family = AddressFamily::INET.as_raw().to_ne_bytes();
        [&family[..], &port.to_be_bytes(), &address, &[0; 8]].concat()
    }

    fn unix(path: &[u8]) -> Vec<u8> {
        [&AddressFamily::UNIX.as_raw().to_ne_bytes()[..], path].concat()
    }

    #[test]
    fn addresses_are_read_as_the_kernel_reads_them() {
        let path = |path: &str| Some(Name::Unix(UnixName::Path(path.into())));
        assert_eq!(
            parse_address(&inet(80, [10, 0, 0, 1])),
            Some(Name::Internet("10.0.0.1:80".parse().unwrap()))
        );
        assert_eq!(parse_address(&inet(80, [10, 0, 0, 1])[..7]), None);
        assert_eq!(parse_address(&unix(b"/run/a.sock\0rest")), path("/run/a.sock"));
        assert_eq!(parse_address(&unix(b"/run/a.sock")), path("/run/a.sock"));
        assert_eq!(parse_address(&unix(b"\0name")), Some(Name::Unix(UnixName::Abstract("name".into()))));
        assert_eq!(parse_address(&unix(b"")), None);
        assert_eq!(parse_address(&[]), None);
    }

    fn socket(listen: &str, target: Option<&str>) -> Socket {
        let read = |text| Listen::read(text).unwrap();
        Socket { target: target.map(read), ..Socket::new(read(listen), Pass::Swap) }
    }

    #[test]
    fn the_declared_port_is_taken_whatever_the_local_address() {
        let null = std::fs::File::open("/dev/null").unwrap();
        let sockets = [
            ("v6", socket("80", None)),
            ("v4", socket("0.0.0.0:80", None)),
            ("other", socket("80", Some("0.0.0.0:8080"))),
            ("udp", socket("udp:80", None)),
            ("packets", socket("seqpacket:/run/x", None)),
        ];
        let held: Vec<_> =
            sockets.iter().map(|(name, socket)| SwapSocket { name, socket, fd: null.as_fd() }).collect();
        let chosen = |address: &str| choose(&held, &Listen::read(address).unwrap()).map(|socket| socket.name);
        assert_eq!(chosen("127.0.0.1:80"), Some("v4"));
        assert_eq!(chosen("[::1]:80"), Some("v6"));
        assert_eq!(chosen("0.0.0.0:8080"), Some("other"));
        assert_eq!(chosen("0.0.0.0:81"), None);
        assert_eq!((chosen("udp:127.0.0.1:80"), chosen("udp:8080")), (Some("udp"), None));
        assert_eq!((chosen("seqpacket:/run/x"), chosen("/run/x")), (Some("packets"), None));
    }

    #[test]
    fn what_is_bound_is_known_by_the_socket() {
        use rustix::net::{Protocol, SocketFlags, socket_with};
        let address: SocketAddr = "0.0.0.0:80".parse().unwrap();
        let of = |family, kind, protocol: Option<Protocol>| {
            let own = socket_with(family, kind, SocketFlags::CLOEXEC, protocol).unwrap();
            classify(&own, Name::Internet(address)).unwrap()
        };
        let (tcp, udp) = (Some(Listen::Tcp(address)), Some(Listen::Udp(address)));
        assert_eq!(of(AddressFamily::INET, SocketType::STREAM, None), tcp);
        assert_eq!(of(AddressFamily::INET, SocketType::STREAM, Some(ipproto::MPTCP)), tcp);
        assert_eq!(of(AddressFamily::INET, SocketType::DGRAM, None), udp);
        // The kernel knows what to say to these.
        assert_eq!(of(AddressFamily::INET6, SocketType::STREAM, None), None);
        assert_eq!(of(AddressFamily::INET, SocketType::RAW, Some(ipproto::ICMP)), None);
        assert_eq!(of(AddressFamily::UNIX, SocketType::STREAM, None), None);
    }
}
