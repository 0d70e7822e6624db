//! Sockets of units that sleep: one epoll(7) instance for all of them, and no task for any.

use crate::manager::machine::Event;
use crate::sys::readiness;
use crate::unit::name::UnitName;
use rustix::buffer::spare_capacity;
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;
use tokio::io::unix::AsyncFd;

/// How many are told of at once.
const BATCH: usize = 64;

/// What somebody does who connects: there is something to read, or an end.
const CAME: EventFlags = EventFlags::IN.union(EventFlags::RDHUP).union(EventFlags::HUP);

/// The sockets that are watched.
#[derive(Debug)]
pub(super) struct Sleepers {
    epoll: AsyncFd<OwnedFd>,
    watched: RefCell<Watched>,
}

#[derive(Debug, Default)]
struct Watched {
    /// Units and names of their sockets, by numbers of our own.
    sockets: BTreeMap<u64, (UnitName, String)>,
    /// Numbers are never used again: an event may be of a socket that has just been closed.
    last: u64,
}

/// A socket that is watched for the first connection, until it is dropped.
#[derive(Debug)]
pub(super) struct Sleeper {
    sleepers: Rc<Sleepers>,
    number: u64,
    /// The kernel has a file in an epoll instance until its last descriptor is closed, and others have some: it is
    /// taken out by this one.
    descriptor: Arc<OwnedFd>,
}

impl Sleepers {
    pub(super) fn new() -> io::Result<Self> {
        let epoll = readiness::watch(epoll::create(CreateFlags::CLOEXEC)?)?;
        Ok(Self { epoll, watched: RefCell::default() })
    }

    /// Watches a socket of a unit. It takes no descriptor.
    ///
    /// # Errors
    /// As epoll_ctl(2).
    pub(super) fn watch(
        self: &Rc<Self>,
        descriptor: Arc<OwnedFd>,
        unit: &UnitName,
        name: &str,
    ) -> io::Result<Sleeper> {
        let mut watched = self.watched.borrow_mut();
        watched.last += 1;
        let number = watched.last;
        let events = EventFlags::IN | EventFlags::RDHUP | EventFlags::ET;
        epoll::add(self.epoll.get_ref(), &descriptor, EventData::new_u64(number), events)?;
        watched.sockets.insert(number, (unit.clone(), name.to_owned()));
        Ok(Sleeper { sleepers: Rc::clone(self), number, descriptor })
    }

    /// Waits until somebody has come to a socket. Each is told of once.
    pub(super) async fn woken(&self) -> Vec<Event> {
        let Ok(mut ready) = self.epoll.readable().await else { return std::future::pending().await };
        let mut buffer: Vec<epoll::Event> = Vec::with_capacity(BATCH);
        let now = Timespec::default();
        let found = epoll::wait(self.epoll.get_ref(), spare_capacity(&mut buffer), Some(&now));
        // As long as there is a full batch there may be more.
        if found.unwrap_or_default() < BATCH {
            ready.clear_ready();
        }
        let came = buffer.iter().filter(|event| CAME.intersects(event.flags));
        let mut watched = self.watched.borrow_mut();
        let at = came.filter_map(|event| watched.sockets.remove(&event.data.u64()));
        at.map(|(unit, socket)| Event::Connection { unit, socket }).collect()
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        self.sleepers.watched.borrow_mut().sockets.remove(&self.number);
        // It is there: nobody else removes it.
        let _ = epoll::delete(self.sleepers.epoll.get_ref(), &self.descriptor);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;
    use std::io::{Write, pipe};

    #[test]
    fn a_client_is_told_of_once_and_only_while_the_socket_is_watched() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let sleepers = Rc::new(Sleepers::new().unwrap());
            let unit = UnitName::parse("web.container").unwrap();
            let (readers, writers): (Vec<_>, Vec<_>) = (0..BATCH + 6)
                .map(|_| pipe().unwrap())
                .map(|(reader, writer)| (Arc::new(OwnedFd::from(reader)), writer))
                .unzip();
            let watch =
                |number: usize| sleepers.watch(readers[number].clone(), &unit, &number.to_string()).unwrap();
            let mut watched: Vec<Sleeper> = (0..readers.len()).map(watch).collect();
            let come = |number: usize| (&writers[number]).write_all(b"x").unwrap();
            let names = |events: Vec<Event>| -> Vec<String> {
                let name = |event| match event {
                    Event::Connection { unit: found, socket } if found == unit => socket,
                    other => panic!("{other:?}"),
                };
                events.into_iter().map(name).collect()
            };

            assert!(sleepers.woken().now_or_never().is_none(), "nobody has come");
            come(3);
            assert_eq!(names(sleepers.woken().await), ["3"]);
            come(3);
            come(4);
            drop(watched.remove(5));
            come(5);
            let mut again = names(sleepers.woken().await);
            while again.is_empty() {
                again = names(sleepers.woken().await);
            }
            assert_eq!(again, ["4"], "who is awake is not asked for again, nor is who is not watched");

            drop(watched);
            assert!(sleepers.watched.borrow().sockets.is_empty());
            let _watched: Vec<Sleeper> = (0..readers.len()).map(watch).collect();
            (0..readers.len()).for_each(come);
            let mut all = 0;
            while all < readers.len() {
                all += names(sleepers.woken().await).len();
            }
            assert_eq!(all, readers.len(), "more than a batch");
        });
    }
}
