//! Whether something has come over a descriptor, even where another process has taken it since: polls of io_submit(2).
//!
//! epoll(7), poll(2) and io_uring(7) look again before they tell of an event, and what is gone by then is not told: a
//! connection that a quick server accepts at once. A poll of io_submit(2) ends by the event itself, unless another one
//! of its context ends at the very same instant (`aio_poll_wake()` of the kernel's fs/aio.c): then it looks again, too.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::rc::Rc;

/// Polls that can be under way at a time: all of them take from `fs.aio-max-nr`.
const MOST: libc::c_long = 1024;
/// Events that are taken at once.
const BATCH: usize = 64;

/// `IOCB_CMD_POLL` of linux/aio_abi.h.
const POLL: u16 = 5;
/// `IOCB_FLAG_RESFD`: an eventfd(2) is told, too.
const TELL_EVENT: u32 = 1;

/// struct iocb of linux/aio_abi.h.
#[repr(C)]
#[derive(Debug, Default)]
struct ControlBlock {
    data: u64,
    /// The kernel's.
    key: u32,
    flags_of_operation: u32,
    operation: u16,
    priority: i16,
    descriptor: u32,
    /// Of a poll, what is waited for.
    buffer: u64,
    length: u64,
    offset: i64,
    reserved: u64,
    flags: u32,
    event: u32,
}

/// struct io_event of linux/aio_abi.h.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
struct Completion {
    data: u64,
    block: u64,
    result: i64,
    result2: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nothing is under way.
    Slack,
    /// A poll is.
    Taut,
    /// It has ended.
    Torn,
}

/// An AIO context of this process, for any number of tripwires.
#[derive(Debug)]
pub struct Arrivals {
    context: libc::c_ulong,
    /// By a number that no other wire ever gets.
    wires: RefCell<BTreeMap<u64, State>>,
    next: Cell<u64>,
}

impl Arrivals {
    /// # Errors
    /// As io_setup(2).
    pub fn new() -> io::Result<Rc<Self>> {
        let mut context: libc::c_ulong = 0;
        // SAFETY: the kernel writes the context to the place, which is zero as io_setup(2) wants it.
        succeeded(unsafe { libc::syscall(libc::SYS_io_setup, MOST, &raw mut context) })?;
        Ok(Rc::new(Self { context, wires: RefCell::default(), next: Cell::new(0) }))
    }

    /// A tripwire across these descriptors.
    ///
    /// # Errors
    /// When they cannot be copied, or there is no descriptor left.
    pub fn across(self: &Rc<Self>, descriptors: &[BorrowedFd<'_>]) -> io::Result<Tripwire> {
        let flags = rustix::event::EventfdFlags::CLOEXEC | rustix::event::EventfdFlags::NONBLOCK;
        let event = rustix::event::eventfd(0, flags)?;
        let mut tripwire = Tripwire { arrivals: self.clone(), event, wires: Vec::new() };
        for descriptor in descriptors {
            let descriptor = descriptor.try_clone_to_owned()?;
            tripwire.wires.push(Wire::new(self, descriptor, &tripwire.event));
        }
        Ok(tripwire)
    }

    /// Takes what the kernel tells.
    fn take(&self) -> io::Result<()> {
        let mut events = [Completion::default(); BATCH];
        let at_once = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        let mut count = BATCH;
        while count == BATCH {
            // SAFETY: there is room for as many events as are asked for, and both places live through the call.
            let taken = succeeded(unsafe {
                libc::syscall(
                    libc::SYS_io_getevents,
                    self.context,
                    0 as libc::c_long,
                    BATCH,
                    events.as_mut_ptr(),
                    &raw const at_once,
                )
            })?;
            count = usize::try_from(taken).unwrap_or_default();
            for event in events.iter().take(count) {
                // One that is gone has been cancelled.
                if let Some(state) = self.wires.borrow_mut().get_mut(&event.data) {
                    *state = State::Torn;
                }
            }
        }
        Ok(())
    }

    fn state(&self, wire: &Wire) -> State {
        self.wires.borrow().get(&wire.block.data).copied().unwrap_or(State::Slack)
    }

    fn put(&self, wire: &Wire, state: State) {
        self.wires.borrow_mut().insert(wire.block.data, state);
    }
}

impl Drop for Arrivals {
    fn drop(&mut self) {
        // SAFETY: the context is this value's alone, and no tripwire is left.
        unsafe { libc::syscall(libc::SYS_io_destroy, self.context) };
    }
}

/// One descriptor.
#[derive(Debug)]
struct Wire {
    /// A copy, so that its number stays what it is.
    _descriptor: OwnedFd,
    /// The kernel knows a poll by the place of its block.
    block: Box<ControlBlock>,
}

impl Wire {
    fn new(arrivals: &Arrivals, descriptor: OwnedFd, event: &OwnedFd) -> Self {
        let data = arrivals.next.get();
        arrivals.next.set(data + 1);
        let block = ControlBlock {
            data,
            operation: POLL,
            descriptor: descriptor.as_raw_fd().cast_unsigned(),
            buffer: u64::from(libc::POLLIN.cast_unsigned()),
            flags: TELL_EVENT,
            event: event.as_raw_fd().cast_unsigned(),
            ..ControlBlock::default()
        };
        Self { _descriptor: descriptor, block: Box::new(block) }
    }
}

/// Tells of the first arrival since it was set.
#[derive(Debug)]
pub struct Tripwire {
    arrivals: Rc<Arrivals>,
    event: OwnedFd,
    wires: Vec<Wire>,
}

impl Tripwire {
    /// Sets what is neither set nor tripped. Something that waits to be taken is an arrival.
    ///
    /// # Errors
    /// As io_submit(2): `EAGAIN` when there are as many polls as can be.
    pub fn set(&mut self) -> io::Result<()> {
        self.arrivals.take()?;
        for wire in &mut self.wires {
            if self.arrivals.state(wire) != State::Slack {
                continue;
            }
            self.arrivals.put(wire, State::Taut);
            let mut block = &raw mut *wire.block;
            // SAFETY: the one block is valid, and the kernel keeps no more of it than its address. Its descriptors are
            // open as long as this value lives, and the kernel holds what they refer to.
            let submitted = succeeded(unsafe {
                libc::syscall(libc::SYS_io_submit, self.arrivals.context, 1 as libc::c_long, &raw mut block)
            });
            if let Err(error) = submitted {
                self.arrivals.put(wire, State::Slack);
                return Err(error);
            }
        }
        Ok(())
    }

    /// Whether anything has come since; then it is to be set again.
    ///
    /// # Errors
    /// As io_getevents(2).
    pub fn is_tripped(&mut self) -> io::Result<bool> {
        // It fails where nothing is to be read.
        let _ = rustix::io::read(&self.event, &mut [0; 8]);
        self.arrivals.take()?;
        let mut tripped = false;
        for wire in &self.wires {
            if self.arrivals.state(wire) == State::Torn {
                self.arrivals.put(wire, State::Slack);
                tripped = true;
            }
        }
        Ok(tripped)
    }
}

/// Readable once anything has come, until [`Tripwire::is_tripped`] is asked.
impl AsFd for Tripwire {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.event.as_fd()
    }
}

impl Drop for Tripwire {
    fn drop(&mut self) {
        for wire in &self.wires {
            let mut result = Completion::default();
            if self.arrivals.state(wire) == State::Taut {
                // SAFETY: the kernel compares the address with those of its polls, reads the block's key, and writes
                // no event but to the place given. One that has ended is not found, which is as good.
                unsafe {
                    libc::syscall(
                        libc::SYS_io_cancel,
                        self.arrivals.context,
                        &raw const *wire.block,
                        &raw mut result,
                    )
                };
            }
            self.arrivals.wires.borrow_mut().remove(&wire.block.data);
        }
    }
}

fn succeeded(result: libc::c_long) -> io::Result<libc::c_long> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::readiness::is_readable;
    use std::net::{TcpListener, TcpStream, UdpSocket};
    use std::os::unix::net::{UnixListener, UnixStream};

    fn across(descriptor: impl AsFd) -> Tripwire {
        let mut tripwire = Arrivals::new().unwrap().across(&[descriptor.as_fd()]).unwrap();
        tripwire.set().unwrap();
        assert!(!tripwire.is_tripped().unwrap());
        tripwire
    }

    /// Somebody comes and is gone again, twice.
    fn trips(mut tripwire: Tripwire, visit: impl Fn()) {
        for _ in 0..2 {
            visit();
            assert!(is_readable(&tripwire).unwrap(), "whoever waits is told");
            assert!(tripwire.is_tripped().unwrap());
            assert!(!tripwire.is_tripped().unwrap() && !is_readable(&tripwire).unwrap());
            tripwire.set().unwrap();
            tripwire.set().unwrap();
            assert!(!tripwire.is_tripped().unwrap());
        }
    }

    #[test]
    fn a_connection_that_has_been_accepted_and_closed_has_come() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        trips(across(&listener), || {
            let _client = TcpStream::connect(address).unwrap();
            drop(listener.accept().unwrap());
        });
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("socket");
        let listener = UnixListener::bind(&path).unwrap();
        trips(across(&listener), || {
            let _client = UnixStream::connect(&path).unwrap();
            drop(listener.accept().unwrap());
        });
    }

    #[test]
    fn a_server_that_waits_in_accept_takes_nothing_away() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let mut tripwire = across(&listener);
        std::thread::spawn(move || {
            for connection in listener.incoming() {
                drop(connection.unwrap());
            }
        });
        for _ in 0..1000 {
            let mut client = TcpStream::connect(address).unwrap();
            assert_eq!(io::Read::read(&mut client, &mut [0; 1]).unwrap(), 0, "it has been served");
            assert!(tripwire.is_tripped().unwrap());
            tripwire.set().unwrap();
        }
    }

    #[test]
    fn a_datagram_that_has_been_read_has_come_and_one_that_waits_has_too() {
        let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = receiver.local_addr().unwrap();
        let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
        trips(across(&receiver), || {
            sender.send_to(b"x", address).unwrap();
            receiver.recv(&mut [0; 8]).unwrap();
        });
        let mut tripwire = across(&receiver);
        sender.send_to(b"x", address).unwrap();
        for _ in 0..2 {
            assert!(tripwire.is_tripped().unwrap());
            tripwire.set().unwrap();
        }
    }

    #[test]
    fn tripwires_share_a_context_and_a_dropped_one_lets_go_of_its_socket() {
        let arrivals = Arrivals::new().unwrap();
        let kept = UdpSocket::bind("127.0.0.1:0").unwrap();
        let mut other = arrivals.across(&[kept.as_fd()]).unwrap();
        other.set().unwrap();
        // More than the context has room for: what is cancelled is given back.
        for _ in 0..10 * MOST {
            let mut tripwire = arrivals.across(&[kept.as_fd()]).unwrap();
            while tripwire.set().is_err() {}
        }
        let gone = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = gone.local_addr().unwrap();
        let mut tripwire = arrivals.across(&[gone.as_fd()]).unwrap();
        tripwire.set().unwrap();
        drop((gone, tripwire));
        // The kernel does it a moment later.
        while UdpSocket::bind(address).is_err() {}
        kept.send_to(b"x", kept.local_addr().unwrap()).unwrap();
        assert!(other.is_tripped().unwrap());
    }
}
