//! What the proxy waits for, epoll(7).

use super::table::Key;
use rustix::buffer::spare_capacity;
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::io::Errno;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

/// Events that are taken at once: between two looks at the clock.
const BATCH: usize = 256;
/// Milliseconds that are waited at once.
const LONGEST: i64 = 3_600_000;

/// An end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Client,
    Server,
}

/// What an event is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Subject {
    /// The signal to end.
    Termination,
    /// The end of the container.
    Container,
    /// A client waits to be accepted, or has sent a datagram.
    Listener(usize),
    /// One end of a connection.
    Connection(Key, End),
    /// The server's end of a flow of datagrams.
    Flow(Key),
}

impl Subject {
    const KIND: u32 = 56;

    fn data(self) -> EventData {
        let (kind, number) = match self {
            Self::Termination => (0, 0),
            Self::Listener(index) => (1, index as u64),
            Self::Connection(key, End::Client) => (2, key.number()),
            Self::Connection(key, End::Server) => (3, key.number()),
            Self::Flow(key) => (4, key.number()),
            Self::Container => (5, 0),
        };
        EventData::new_u64(kind << Self::KIND | number)
    }

    /// What an event is about.
    pub(super) fn of(data: EventData) -> Self {
        let number = data.u64() & ((1 << Self::KIND) - 1);
        match data.u64() >> Self::KIND {
            1 => Self::Listener(usize::try_from(number).unwrap_or(usize::MAX)),
            2 => Self::Connection(Key::of_number(number), End::Client),
            3 => Self::Connection(Key::of_number(number), End::Server),
            4 => Self::Flow(Key::of_number(number)),
            5 => Self::Container,
            _ => Self::Termination,
        }
    }
}

/// All that is watched.
#[derive(Debug)]
pub(super) struct Watch {
    epoll: OwnedFd,
}

impl Watch {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self { epoll: epoll::create(CreateFlags::CLOEXEC)? })
    }

    /// Tells of a descriptor as long as it is readable.
    pub(super) fn readable(&self, descriptor: impl AsFd, subject: Subject) -> Result<(), Errno> {
        epoll::add(&self.epoll, descriptor, subject.data(), EventFlags::IN)
    }

    /// Tells once of each change of a descriptor.
    pub(super) fn changes(&self, descriptor: impl AsFd, subject: Subject) -> Result<(), Errno> {
        let flags = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::PRI | EventFlags::ET;
        epoll::add(&self.epoll, descriptor, subject.data(), flags)
    }

    /// Tells nothing more of a descriptor.
    pub(super) fn forget(&self, descriptor: impl AsFd) -> Result<(), Errno> {
        epoll::delete(&self.epoll, descriptor)
    }

    /// Waits for events, for no longer than a time, and gives them in place of those in `events`.
    pub(super) fn wait(&self, longest: Option<Duration>, events: &mut Vec<Event>) -> io::Result<()> {
        // Up to whole milliseconds: what is to be done at a time must not find that it is not yet that time.
        let whole = |time: Duration| time.saturating_add(Duration::from_micros(999)).as_millis();
        let longest = longest.map(|time| i64::try_from(whole(time)).unwrap_or(i64::MAX).min(LONGEST));
        let longest = longest.map(|time| Timespec { tv_sec: time / 1000, tv_nsec: time % 1000 * 1_000_000 });
        events.clear();
        events.reserve(BATCH);
        match epoll::wait(&self.epoll, spare_capacity(events), longest.as_ref()) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

/// Whether a listener is watched: not while nobody can be accepted.
#[derive(Debug, Default)]
pub(super) struct Gate {
    is_open: bool,
}

impl Gate {
    /// Opens it.
    ///
    /// # Errors
    /// As epoll_ctl(2); it is closed then.
    pub(super) fn open(&mut self, watch: &Watch, listener: impl AsFd, subject: Subject) -> Result<(), Errno> {
        if !self.is_open {
            watch.readable(listener, subject)?;
            self.is_open = true;
        }
        Ok(())
    }

    /// Closes it.
    pub(super) fn close(&mut self, watch: &Watch, listener: impl AsFd) {
        // It fails for what is not watched, which is as good.
        let _ = self.is_open.then(|| watch.forget(listener));
        self.is_open = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy::table::Table;

    #[test]
    fn an_event_tells_its_subject() {
        let mut table = Table::default();
        let old = table.insert(());
        table.remove(old);
        let key = table.insert(());
        let subjects = [
            Subject::Termination,
            Subject::Listener(7),
            Subject::Connection(key, End::Client),
            Subject::Connection(key, End::Server),
            Subject::Flow(key),
        ];
        for subject in subjects {
            assert_eq!(Subject::of(subject.data()), subject);
        }
    }
}
