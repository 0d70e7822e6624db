//! Seccomp user notification, seccomp_unotify(2): a filter that hands each bind(2) of a process to a
//! supervisor, and the supervisor's calls, which serve filters over other system calls, too.

use super::{seccomp, seccomp_program};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{MemfdFlags, fstat, ftruncate, memfd_create};
use rustix::io::Errno;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::ptr::{NonNull, null_mut};

/// A system call that waits for an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Call {
    id: u64,
    /// The thread, as our pid namespace sees it.
    pub tid: u32,
    /// Its number in this architecture's table.
    pub number: i64,
    /// Its arguments as the registers hold them.
    pub arguments: [u64; 6],
}

impl Call {
    fn of(notification: &libc::seccomp_notif) -> Self {
        let libc::seccomp_data { nr, args: arguments, .. } = notification.data;
        Self { id: notification.id, tid: notification.pid, number: nr.into(), arguments }
    }
}

/// A bind(2) that waits for an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BindRequest {
    id: u64,
    /// The thread, as our pid namespace sees it.
    pub tid: u32,
    /// Its descriptor.
    pub fd: u32,
    /// Where its memory holds the address.
    pub address: u64,
    /// Length of the address as it says.
    pub length: u64,
}

impl From<Call> for BindRequest {
    fn from(call: Call) -> Self {
        let [fd, address, length, ..] = call.arguments;
        // The kernel takes a descriptor as an int, whatever the upper half of the register holds.
        Self { id: call.id, tid: call.tid, fd: fd as u32, address, length }
    }
}

impl BindRequest {
    /// The same call, to replace another descriptor of its caller.
    #[must_use]
    pub fn at_descriptor(self, fd: u32) -> Self {
        Self { fd, ..self }
    }
}

/// The last call that was received, in memory that outlives this process wherever its descriptor is kept: the
/// kernel tells of each call once, so that a successor could not answer one that was received and not answered.
#[derive(Debug)]
pub struct Received {
    memory: OwnedFd,
    notification: NonNull<libc::seccomp_notif>,
}

impl Received {
    /// Memory that says of no call.
    ///
    /// # Errors
    /// When memory is short.
    pub fn new() -> io::Result<Self> {
        let memory = memfd_create("received", MemfdFlags::CLOEXEC)?;
        ftruncate(&memory, size_of::<libc::seccomp_notif>() as u64)?;
        Self::adopt(memory)
    }

    /// The memory of a predecessor.
    ///
    /// # Errors
    /// When it is not that, or cannot be mapped.
    pub fn adopt(memory: OwnedFd) -> io::Result<Self> {
        let length = size_of::<libc::seccomp_notif>();
        // Beyond the end of a file a map is a SIGBUS.
        if fstat(&memory)?.st_size < length as i64 {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let fd = memory.as_raw_fd();
        // SAFETY: a new map at a place that the kernel chooses overlaps nothing.
        let map = unsafe { libc::mmap(null_mut(), length, protection, libc::MAP_SHARED, fd, 0) };
        match NonNull::new(map.cast()) {
            Some(notification) if map != libc::MAP_FAILED => Ok(Self { memory, notification }),
            _ => Err(io::Error::last_os_error()),
        }
    }

    /// The call of this listener that was received and still waits for its answer.
    pub fn unanswered(&self, listener: BorrowedFd<'_>) -> Option<BindRequest> {
        // SAFETY: the map is of this size, page-aligned, and unmapped only by drop; any bytes are valid integers.
        let request = BindRequest::from(Call::of(&unsafe { self.notification.read() }));
        still_waits(listener, &request).is_ok().then_some(request)
    }
}

impl AsFd for Received {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.memory.as_fd()
    }
}

impl Drop for Received {
    fn drop(&mut self) {
        // SAFETY: the map was made by `adopt` with this size, and nobody has a reference into it.
        unsafe { libc::munmap(self.notification.as_ptr().cast(), size_of::<libc::seccomp_notif>()) };
    }
}

/// How a listener stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pending<R = BindRequest> {
    /// A call waits.
    Request(R),
    /// Nothing waits.
    Nothing,
    /// No process with the filter is left.
    Closed,
}

/// What the caller gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reply {
    /// Success, without a system call.
    Success,
    /// This error.
    Error(Errno),
    /// The kernel performs the call.
    Continue,
}

/// Puts a filter on this thread and its later children that hands bind(2) to the listener returned. Needs
/// `no_new_privs` or `CAP_SYS_ADMIN`.
///
/// # Errors
/// When the kernel refuses the filter; `EBUSY`: this thread has a listener already.
pub fn install_bind_listener() -> io::Result<OwnedFd> {
    seccomp::install_with_listener(&seccomp_program::binds())
}

/// Takes one waiting bind(2), as [`receive_call`] does.
///
/// # Errors
/// `ENOENT` when the caller of bind(2) has gone meanwhile.
pub fn receive(listener: BorrowedFd<'_>, received: &Received) -> io::Result<Pending> {
    Ok(match receive_call(listener, received)? {
        Pending::Request(call) => Pending::Request(call.into()),
        Pending::Nothing => Pending::Nothing,
        Pending::Closed => Pending::Closed,
    })
}

/// Takes one waiting call, without ever blocking: the caller must be the only one that takes. The one before
/// must have been answered.
///
/// # Errors
/// `ENOENT` when the process has gone meanwhile.
pub fn receive_call(listener: BorrowedFd<'_>, received: &Received) -> io::Result<Pending<Call>> {
    let mut polled = [PollFd::new(&listener, PollFlags::IN)];
    poll(&mut polled, Some(&Timespec { tv_sec: 0, tv_nsec: 0 }))?;
    let ready = polled[0].revents();
    if !ready.contains(PollFlags::IN) {
        return Ok(if ready.contains(PollFlags::HUP) { Pending::Closed } else { Pending::Nothing });
    }
    let notification = received.notification;
    // SAFETY: the map is of this size, page-aligned, and nobody has a reference into it. The kernel wants zeros.
    unsafe { notification.write_bytes(0, 1) };
    // SAFETY: the request takes a pointer to one such structure; the map is alive as long as `received` is.
    let result =
        unsafe { libc::ioctl(listener.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_RECV, notification.as_ptr()) };
    check(result)?;
    // SAFETY: as above; the kernel has filled it in.
    Ok(Pending::Request(Call::of(&unsafe { notification.read() })))
}

/// Whether the caller still waits, and so is the one that `/proc/TID` tells about.
///
/// # Errors
/// `ENOENT` when it has gone.
pub fn still_waits(listener: BorrowedFd<'_>, request: &BindRequest) -> io::Result<()> {
    let id = request.id;
    // SAFETY: the request takes a pointer to one u64, which is alive.
    check(unsafe {
        libc::ioctl(listener.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_ID_VALID, std::ptr::from_ref(&id))
    })
}

/// Whether a descriptor is closed by execve(2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnExec {
    /// `O_CLOEXEC`.
    Close,
    /// It stays open.
    Keep,
}

/// Puts `socket` in place of the caller's own descriptor.
///
/// # Errors
/// `ENOENT` when the caller has gone.
pub fn replace_descriptor(
    listener: BorrowedFd<'_>,
    request: &BindRequest,
    socket: impl AsFd,
    on_exec: OnExec,
) -> io::Result<()> {
    let order = libc::seccomp_notif_addfd {
        id: request.id,
        flags: libc::SECCOMP_ADDFD_FLAG_SETFD as u32,
        srcfd: socket.as_fd().as_raw_fd().cast_unsigned(),
        newfd: request.fd,
        newfd_flags: match on_exec {
            OnExec::Close => libc::O_CLOEXEC.cast_unsigned(),
            OnExec::Keep => 0,
        },
    };
    // SAFETY: the request takes a pointer to one such structure, which is alive.
    check(unsafe {
        libc::ioctl(listener.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_ADDFD, std::ptr::from_ref(&order))
    })
}

/// Lets the caller of bind(2) go on.
///
/// # Errors
/// `ENOENT` when it has gone.
pub fn reply(listener: BorrowedFd<'_>, request: &BindRequest, reply: Reply) -> io::Result<()> {
    respond(listener, request.id, reply)
}

/// Lets the caller go on.
///
/// # Errors
/// `ENOENT` when it has gone.
pub fn answer(listener: BorrowedFd<'_>, call: &Call, reply: Reply) -> io::Result<()> {
    respond(listener, call.id, reply)
}

fn respond(listener: BorrowedFd<'_>, id: u64, reply: Reply) -> io::Result<()> {
    let (error, flags) = match reply {
        Reply::Success => (0, 0),
        Reply::Error(error) => (-error.raw_os_error(), 0),
        Reply::Continue => (0, libc::SECCOMP_USER_NOTIF_FLAG_CONTINUE as u32),
    };
    let response = libc::seccomp_notif_resp { id, val: 0, error, flags };
    // SAFETY: the request takes a pointer to one such structure, which is alive.
    check(unsafe {
        libc::ioctl(listener.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_SEND, std::ptr::from_ref(&response))
    })
}

fn check(result: i32) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;
    use std::sync::mpsc::channel;

    #[test]
    fn a_bind_waits_for_the_answer_and_gets_it() {
        let (sender, receiver) = channel();
        let binder = std::thread::spawn(move || {
            sender.send(install_bind_listener().unwrap()).unwrap();
            TcpListener::bind("127.0.0.1:0").map(|_| ())
        });
        let listener = receiver.recv().unwrap();
        poll(&mut [PollFd::new(&listener, PollFlags::IN)], None).unwrap();
        let received = Received::new().unwrap();
        assert_eq!(received.unanswered(listener.as_fd()), None);
        let Pending::Request(request) = receive(listener.as_fd(), &received).unwrap() else {
            panic!("no request")
        };
        assert_eq!(receive(listener.as_fd(), &received).unwrap(), Pending::Nothing);
        let successor = Received::adopt(received.as_fd().try_clone_to_owned().unwrap()).unwrap();
        drop(received);
        assert_eq!(successor.unanswered(listener.as_fd()), Some(request));
        still_waits(listener.as_fd(), &request).unwrap();
        reply(listener.as_fd(), &request, Reply::Error(Errno::ADDRNOTAVAIL)).unwrap();
        let error = binder.join().unwrap().unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EADDRNOTAVAIL));
        assert!(still_waits(listener.as_fd(), &request).is_err());
        assert_eq!(successor.unanswered(listener.as_fd()), None);
        poll(&mut [PollFd::new(&listener, PollFlags::IN)], None).unwrap();
        assert_eq!(receive(listener.as_fd(), &successor).unwrap(), Pending::Closed);
    }
}
