//! Where the server of a socket waits for clients, and whether it does.
//!
//! Nobody is accepted before: clients wait in the kernel's queue, which they do not notice. Whether somebody listens at
//! an address is asked of the kernel, sock_diag(7), without a connection that the server would see. A unix socket's
//! path is not what the kernel lists where the server has named it otherwise, so that one is connected to.

use super::configuration;
use super::header::canonical;
use crate::sys::sock_diag::{SockDiag, Transport};
use rustix::io::Errno;
use rustix::net::sockopt::set_tcp_nodelay;
use rustix::net::{
    AddressFamily, SocketAddrAny, SocketAddrUnix, SocketFlags, SocketType, bind, connect, socket_with,
};
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

/// Pauses between two looks: the first, and the longest. Each is a quarter longer than the one before, so that clients of
/// a server that is slow to come up wait a fifth longer than it takes, at most.
const PAUSE: Duration = Duration::from_millis(1);
const PAUSE_MAX: Duration = Duration::from_millis(200);

/// An address to connect to.
#[derive(Debug)]
pub(super) struct Target {
    address: SocketAddrAny,
    /// Of TCP or UDP.
    internet: Option<(SocketAddr, Transport)>,
    kind: SocketType,
}

impl Target {
    /// For clients that come on a socket of this type.
    ///
    /// # Errors
    /// `EINVAL` for a name that is too long, and for packets that keep their bounds (`SOCK_SEQPACKET`) over TCP.
    pub(super) fn new(target: &configuration::Target, kind: SocketType) -> io::Result<Self> {
        let transport = match kind {
            SocketType::STREAM => Some(Transport::Tcp),
            SocketType::DGRAM => Some(Transport::Udp),
            _ => None,
        };
        let (address, internet) = match target {
            configuration::Target::Internet(address) => {
                let internet = transport.map(|transport| (canonical(*address), transport));
                (SocketAddrAny::from(*address), Some(internet.ok_or(Errno::INVAL)?))
            }
            configuration::Target::Unix(path) => (SocketAddrUnix::new(path)?.into(), None),
            configuration::Target::Abstract(name) => {
                (SocketAddrUnix::new_abstract_name(name.as_bytes())?.into(), None)
            }
        };
        Ok(Self { address, internet, kind })
    }

    /// A socket that is not connected yet.
    ///
    /// # Errors
    /// As socket(2).
    pub(super) fn socket(&self) -> Result<OwnedFd, Errno> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(self.address.address_family(), self.kind, flags, None)?;
        match (self.internet, self.kind) {
            (Some(_), SocketType::STREAM) => set_tcp_nodelay(&socket, true)?,
            // A server answers to a name only, unix(7): the kernel gives one.
            (None, SocketType::DGRAM) => bind(&socket, &SocketAddrUnix::new_unnamed())?,
            _ => {}
        }
        Ok(socket)
    }

    /// Connects a socket, or begins to.
    ///
    /// # Errors
    /// As connect(2); `EINPROGRESS` is none.
    pub(super) fn connect(&self, socket: impl AsFd) -> Result<(), Errno> {
        match connect(socket, &self.address) {
            Err(Errno::INPROGRESS) => Ok(()),
            result => result,
        }
    }

    /// Where the kernel cannot be asked, the first client's connect(2) tells.
    fn is_listening(&self, diag: &SockDiag) -> bool {
        match self.internet {
            Some((address, transport)) => diag.addresses(transport, address.port()).map_or(true, |found| {
                found.into_iter().any(|listening| serves(canonical(listening), address))
            }),
            None => self.socket().and_then(|socket| self.connect(socket)).is_ok(),
        }
    }
}

/// Whether who listens at an address gets those who connect to another one with the same port. One that listens at all
/// v6 addresses can be for v6 alone: then connect(2) tells.
fn serves(listening: SocketAddr, target: SocketAddr) -> bool {
    let (own, wanted) = (listening.ip(), target.ip());
    own == wanted
        || own.is_unspecified() && (own.is_ipv6() || wanted.is_ipv4())
        // Connecting to it leads to the own host.
        || wanted.is_unspecified() && (own.is_loopback() && own.is_ipv4() == wanted.is_ipv4())
}

/// What is known of a target.
#[derive(Debug)]
pub(super) struct Presence {
    target: Target,
    /// When to look again; `None` while it is there.
    next: Option<Instant>,
    pause: Duration,
    seen: bool,
}

impl Presence {
    /// Of one at which nobody has looked.
    pub(super) fn of(target: Target, now: Instant) -> Self {
        Self { target, next: Some(now), pause: PAUSE, seen: false }
    }

    /// The target.
    pub(super) fn target(&self) -> &Target {
        &self.target
    }

    /// Whether the server is there, as far as is known.
    pub(super) fn is_there(&self) -> bool {
        self.next.is_none()
    }

    /// Whether it has ever been.
    pub(super) fn is_seen(&self) -> bool {
        self.seen
    }

    /// When it is to be looked at.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.next
    }

    /// It has not taken a client. Whether that is news.
    pub(super) fn lost(&mut self, now: Instant) -> bool {
        let news = self.next.is_none();
        if news {
            self.next = Some(now + self.pause);
            self.pause = longer(self.pause);
        }
        news
    }

    /// It has taken a client: should it go, it is looked at soon.
    pub(super) fn served(&mut self) {
        self.pause = PAUSE;
    }

    /// Looks, if it is time. Whether it is there now and was not before.
    pub(super) fn look(&mut self, diag: &SockDiag, now: Instant) -> bool {
        if self.next.is_none_or(|next| next > now) {
            return false;
        }
        if self.target.is_listening(diag) {
            self.next = None;
            self.seen = true;
            return true;
        }
        self.next = Some(now + self.pause);
        self.pause = longer(self.pause);
        false
    }
}

fn longer(pause: Duration) -> Duration {
    (pause * 5 / 4).min(PAUSE_MAX)
}

/// The family of a socket's own address.
pub(super) fn is_internet(family: AddressFamily) -> bool {
    matches!(family, AddressFamily::INET | AddressFamily::INET6)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_listens_at_all_addresses_serves_each_of_them() {
        let serves =
            |listening: &str, target: &str| serves(listening.parse().unwrap(), target.parse().unwrap());
        assert!(serves("127.0.0.1:1", "127.0.0.1:1") && serves("0.0.0.0:1", "127.0.0.1:1"));
        assert!(serves("[::]:1", "127.0.0.1:1") && serves("[::]:1", "[::1]:1"));
        assert!(serves("127.0.0.1:1", "0.0.0.0:1") && serves("0.0.0.0:1", "0.0.0.0:1"));
        assert!(!serves("0.0.0.0:1", "[::1]:1") && !serves("127.0.0.2:1", "127.0.0.1:1"));
    }

    #[test]
    fn pauses_grow_until_the_server_is_there_and_begin_anew_once_it_has_taken_a_client() {
        let diag = SockDiag::here().unwrap();
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = free.local_addr().unwrap();
        drop(free);
        let target = configuration::Target::Internet(address);
        let mut now = Instant::now();
        let mut presence = Presence::of(Target::new(&target, SocketType::STREAM).unwrap(), now);
        let begin = now;
        let mut looks = 0;
        while now < begin + Duration::from_secs(10) {
            assert!(!presence.look(&diag, now));
            let next = presence.deadline().unwrap();
            let longest = PAUSE_MAX.min(PAUSE + (now - begin) / 4);
            assert!(next - now <= longest, "{:?} after {:?}", next - now, now - begin);
            (now, looks) = (next, looks + 1);
        }
        assert!(looks < 80, "{looks}");
        let _server = std::net::TcpListener::bind(address).unwrap();
        assert!(
            !presence.is_seen() && presence.look(&diag, now) && presence.is_seen() && presence.is_there()
        );
        assert!(presence.lost(now) && !presence.lost(now));
        assert_eq!(presence.deadline().unwrap() - now, PAUSE_MAX);
        assert!(presence.look(&diag, now + PAUSE_MAX));
        presence.served();
        presence.lost(now);
        assert_eq!(presence.deadline().unwrap() - now, PAUSE);
    }
}
