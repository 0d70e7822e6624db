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
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;
use tokio::io::unix::AsyncFd;

/// How many are heard at once.
const BATCH: usize = 64;

/// What somebody does who connects: there is something to read, or an end.
const RINGS: EventFlags = EventFlags::IN.union(EventFlags::RDHUP).union(EventFlags::HUP);

/// The sockets that are watched.
#[derive(Debug)]
pub(super) struct Doorbells {
    epoll: AsyncFd<OwnedFd>,
    doors: RefCell<Doors>,
}

#[derive(Debug, Default)]
struct Doors {
    /// Units and names of their sockets, by the number of the door.
    open: BTreeMap<u64, (UnitName, String)>,
    /// Numbers are never used again: an event may be of a door that has just been closed.
    last: u64,
}

/// A socket that is watched for the first connection, until it is dropped.
#[derive(Debug)]
pub(super) struct Doorbell {
    bells: Rc<Doorbells>,
    number: u64,
    /// The kernel has a file in an epoll instance until its last descriptor is closed, and others have some.
    descriptor: OwnedFd,
}

impl Doorbells {
    pub(super) fn new() -> io::Result<Self> {
        let epoll = readiness::watch(epoll::create(CreateFlags::CLOEXEC)?)?;
        Ok(Self { epoll, doors: RefCell::default() })
    }

    /// Watches a socket of a unit.
    ///
    /// # Errors
    /// As epoll_ctl(2), and when its descriptor cannot be copied.
    pub(super) fn hang(
        self: &Rc<Self>,
        socket: impl AsFd,
        unit: &UnitName,
        name: &str,
    ) -> io::Result<Doorbell> {
        let descriptor = socket.as_fd().try_clone_to_owned()?;
        let mut doors = self.doors.borrow_mut();
        doors.last += 1;
        let number = doors.last;
        let events = EventFlags::IN | EventFlags::RDHUP | EventFlags::ET;
        epoll::add(self.epoll.get_ref(), &descriptor, EventData::new_u64(number), events)?;
        doors.open.insert(number, (unit.clone(), name.to_owned()));
        Ok(Doorbell { bells: Rc::clone(self), number, descriptor })
    }

    /// Waits until somebody has come to a socket. Each rings once.
    pub(super) async fn rung(&self) -> Vec<Event> {
        let Ok(mut ready) = self.epoll.readable().await else { return std::future::pending().await };
        let mut buffer: Vec<epoll::Event> = Vec::with_capacity(BATCH);
        let now = Timespec::default();
        let found = epoll::wait(self.epoll.get_ref(), spare_capacity(&mut buffer), Some(&now));
        // As long as there is a full batch there may be more.
        if found.unwrap_or_default() < BATCH {
            ready.clear_ready();
        }
        let rings = buffer.iter().filter(|event| RINGS.intersects(event.flags));
        let mut doors = self.doors.borrow_mut();
        let at = rings.filter_map(|event| doors.open.remove(&event.data.u64()));
        at.map(|(unit, socket)| Event::Connection { unit, socket }).collect()
    }
}

impl Drop for Doorbell {
    fn drop(&mut self) {
        self.bells.doors.borrow_mut().open.remove(&self.number);
        // It is there: nobody else removes it.
        let _ = epoll::delete(self.bells.epoll.get_ref(), &self.descriptor);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;
    use std::io::{Write, pipe};

    #[test]
    fn a_door_rings_once_and_only_while_it_is_watched() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let bells = Rc::new(Doorbells::new().unwrap());
            let unit = UnitName::parse("web.container").unwrap();
            let doors: Vec<_> = (0..BATCH + 6).map(|_| pipe().unwrap()).collect();
            let hang = |number: usize| bells.hang(&doors[number].0, &unit, &number.to_string()).unwrap();
            let mut hung: Vec<Doorbell> = (0..doors.len()).map(hang).collect();
            let ring = |number: usize| (&doors[number].1).write_all(b"x").unwrap();
            let came = |events: Vec<Event>| -> Vec<String> {
                let name = |event| match event {
                    Event::Connection { unit: found, socket } if found == unit => socket,
                    other => panic!("{other:?}"),
                };
                events.into_iter().map(name).collect()
            };

            assert!(bells.rung().now_or_never().is_none(), "nobody has come");
            ring(3);
            assert_eq!(came(bells.rung().await), ["3"]);
            ring(3);
            ring(4);
            drop(hung.remove(5));
            ring(5);
            let mut again = came(bells.rung().await);
            while again.is_empty() {
                again = came(bells.rung().await);
            }
            assert_eq!(again, ["4"], "who is awake is not asked for again, nor is who is not watched");

            drop(hung);
            assert!(bells.doors.borrow().open.is_empty());
            let _hung: Vec<Doorbell> = (0..doors.len()).map(hang).collect();
            (0..doors.len()).for_each(ring);
            let mut all = 0;
            while all < doors.len() {
                all += came(bells.rung().await).len();
            }
            assert_eq!(all, doors.len(), "more than a batch");
        });
    }
}
