//! Clients whom nobody serves: connections that stay in the queue of a held socket.

use super::connections;
use crate::sys::sock_diag::State;
use crate::unit::model::Listen;
use std::collections::BTreeSet;
use std::io;

/// The connections to an address at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Queue {
    waiting: Waiting,
    /// Whether one is open that has been accepted.
    served: bool,
}

/// The connections that nobody has accepted yet.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Waiting {
    /// The kernel lists each of them, by a number that no other socket ever gets.
    Each(BTreeSet<u64>),
    /// The kernel tells how many there are.
    Count(u32),
}

impl Queue {
    /// Of an address of the host; empty where nobody connects: datagrams, FIFOs, and vsock(7), which is not listed.
    ///
    /// # Errors
    /// When the kernel cannot be asked.
    pub fn of(listen: &Listen) -> io::Result<Self> {
        Ok(match listen {
            Listen::Tcp(address) => {
                let mut open = connections::tcp_in(*address, State::Established)?;
                // A client that has given up leaves its connection in the queue.
                open.extend(connections::tcp_in(*address, State::CloseWait)?);
                let (waiting, served): (Vec<_>, Vec<_>) =
                    open.into_iter().partition(|socket| socket.inode == 0);
                let waiting = Waiting::Each(waiting.iter().map(|socket| socket.cookie).collect());
                Self { waiting, served: !served.is_empty() }
            }
            Listen::Unix(kind, name) if listen.connects() => {
                let sockets = connections::unix_of(*kind, name)?;
                let waiting = Waiting::Count(sockets.iter().map(|socket| socket.queue).sum());
                let served = sockets.iter().any(|socket| socket.state == State::Established);
                Self { waiting, served }
            }
            Listen::Unix(..) | Listen::Udp(_) | Listen::Vsock(_) | Listen::Fifo(_) => {
                Self { waiting: Waiting::Count(0), served: false }
            }
        })
    }

    /// Whether there was a queue at an earlier look, all of it is here still, and nobody is being served.
    pub fn is_stuck_since(&self, before: &Self) -> bool {
        let waits = match (&before.waiting, &self.waiting) {
            (Waiting::Each(before), Waiting::Each(now)) => !before.is_empty() && before.is_subset(now),
            (Waiting::Count(before), Waiting::Count(now)) => *before > 0 && now >= before,
            _ => false,
        };
        waits && !self.served
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::unit::model::{UnixName, UnixType};
    use std::net::{TcpListener, TcpStream};
    use std::os::unix::net::{UnixListener, UnixStream};

    #[test]
    fn a_connection_that_nobody_accepts_is_stuck() {
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = server.local_addr().unwrap();
        let queue = || Queue::of(&Listen::Tcp(address)).unwrap();
        let empty = queue();
        assert!(!queue().is_stuck_since(&empty));
        let _first = TcpStream::connect(address).unwrap();
        let before = queue();
        let _second = TcpStream::connect(address).unwrap();
        assert!(queue().is_stuck_since(&before));
        let both = queue();
        let _served = server.accept().unwrap();
        assert!(!queue().is_stuck_since(&before) && !queue().is_stuck_since(&both), "the first is served");
    }

    #[test]
    fn connections_to_a_unix_socket_are_counted() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("server.sock");
        let server = UnixListener::bind(&path).unwrap();
        let listen = Listen::Unix(UnixType::Stream, UnixName::Path(path.clone()));
        let queue = || Queue::of(&listen).unwrap();
        let empty = queue();
        assert!(!queue().is_stuck_since(&empty));
        let _clients = [&path, &path].map(|path| UnixStream::connect(path).unwrap());
        let before = queue();
        assert!(queue().is_stuck_since(&before) && !queue().is_stuck_since(&empty));
        let _served = server.accept().unwrap();
        assert!(!queue().is_stuck_since(&before));
    }
}
