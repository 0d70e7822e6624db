//! What an administrator is told while the proxy runs.

use super::configuration::Target;
use super::sources::Source;
use rustix::io::Errno;
use std::collections::HashMap;
use std::fmt;
use std::mem::{Discriminant, discriminant};
use std::time::{Duration, Instant};

/// Of one kind, no more than one in this time: clients could fill the journal.
const INTERVAL: Duration = Duration::from_secs(10);

/// One notice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// The server of a socket has stopped to take clients.
    Lost {
        /// The name of the socket.
        socket: String,
        /// Where it was.
        target: Target,
    },
    /// All connections that a socket may have are there.
    Full {
        /// The name of the socket.
        socket: String,
        /// How many that are.
        connections: u32,
    },
    /// All that one source may have are there.
    SourceFull {
        /// The name of the socket.
        socket: String,
        /// An address or a user.
        source: String,
    },
    /// Descriptors or memory are missing.
    Shortage(Errno),
}

impl fmt::Display for Notice {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lost { socket, target } => {
                write!(formatter, "socket.{socket}: {target} takes no clients; they wait until it does")
            }
            Self::Full { socket, connections } => {
                write!(formatter, "socket.{socket}: {connections} connections (max_connections); more wait")
            }
            Self::SourceFull { socket, source } => {
                write!(formatter, "socket.{socket}: refused {source}, which has max_connections_per_source")
            }
            Self::Shortage(error) => {
                write!(formatter, "cannot take more clients: {}", std::io::Error::from(*error))
            }
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(ip) => ip.fmt(formatter),
            Self::User(user) => write!(formatter, "user {user}"),
        }
    }
}

/// Tells notices, and few of them.
pub(super) struct Notices {
    tell: Box<dyn FnMut(&Notice)>,
    told: HashMap<Discriminant<Notice>, Instant>,
}

impl Notices {
    pub(super) fn new(tell: Box<dyn FnMut(&Notice)>) -> Self {
        Self { tell, told: HashMap::new() }
    }

    pub(super) fn tell(&mut self, now: Instant, notice: Notice) {
        let kind = discriminant(&notice);
        if self.told.get(&kind).is_none_or(|told| now.duration_since(*told) >= INTERVAL) {
            self.told.insert(kind, now);
            (self.tell)(&notice);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;
    use std::rc::Rc;

    #[test]
    fn a_notice_is_not_told_again_and_again() {
        let told = Rc::new(RefCell::new(Vec::new()));
        let sink = told.clone();
        let mut notices = Notices::new(Box::new(move |notice| sink.borrow_mut().push(notice.to_string())));
        let now = Instant::now();
        let full = || Notice::Full { socket: "http".into(), connections: 2 };
        notices.tell(now, full());
        notices.tell(now, full());
        notices.tell(now, Notice::Shortage(Errno::MFILE));
        notices.tell(now + INTERVAL, full());
        let told = told.borrow();
        assert_eq!(
            (told.len(), told[0].as_str()),
            (3, "socket.http: 2 connections (max_connections); more wait")
        );
    }
}
