//! Entering and leaving namespaces, and the loopback interface of a new network namespace.

use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

/// A kind of namespace, namespaces(7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Namespace {
    /// `CLONE_NEWUSER`.
    User,
    /// `CLONE_NEWNS`.
    Mount,
    /// `CLONE_NEWPID`.
    Process,
    /// `CLONE_NEWNET`.
    Network,
    /// `CLONE_NEWUTS`.
    Hostname,
    /// `CLONE_NEWIPC`.
    Ipc,
    /// `CLONE_NEWCGROUP`.
    ControlGroup,
}

impl Namespace {
    fn flag(self) -> libc::c_int {
        match self {
            Self::User => libc::CLONE_NEWUSER,
            Self::Mount => libc::CLONE_NEWNS,
            Self::Process => libc::CLONE_NEWPID,
            Self::Network => libc::CLONE_NEWNET,
            Self::Hostname => libc::CLONE_NEWUTS,
            Self::Ipc => libc::CLONE_NEWIPC,
            Self::ControlGroup => libc::CLONE_NEWCGROUP,
        }
    }
}

fn flags(namespaces: &[Namespace]) -> libc::c_int {
    namespaces.iter().fold(0, |flags, namespace| flags | namespace.flag())
}

/// Moves the calling process into new namespaces.
///
/// # Errors
/// As unshare(2).
pub fn unshare(namespaces: &[Namespace]) -> io::Result<()> {
    // SAFETY: namespace flags change what later calls see, no memory and no descriptor of this process;
    // CLONE_FILES and CLONE_VM, which would, cannot be named by `Namespace`.
    check(unsafe { libc::unshare(flags(namespaces)) })
}

/// Moves the calling process into namespaces of the process of a pidfd (Linux 5.8), or into the one of a descriptor.
///
/// # Errors
/// As setns(2).
pub fn enter<Fd: AsFd>(process: Fd, namespaces: &[Namespace]) -> io::Result<()> {
    // SAFETY: the descriptor is borrowed for the call, which touches no memory.
    check(unsafe { libc::setns(process.as_fd().as_raw_fd(), flags(namespaces)) })
}

/// Does something in the network of the process of a pidfd, in a thread for this alone. A socket that it makes stays
/// in that network.
///
/// # Errors
/// As setns(2), or that of `work`.
pub fn in_network_of<T: Send>(
    process: BorrowedFd<'_>,
    work: impl FnOnce() -> io::Result<T> + Send,
) -> io::Result<T> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new();
        let thread = thread.spawn_scoped(scope, || {
            enter(process, &[Namespace::Network])?;
            work()
        })?;
        thread.join().unwrap_or_else(|_| Err(io::Error::other("the thread ended early")))
    })
}

/// Brings `lo` up in the network namespace of the caller.
///
/// # Errors
/// As netdevice(7).
pub fn raise_loopback() -> io::Result<()> {
    let socket = socket_with(AddressFamily::INET, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?;
    // SAFETY: ifreq is integers and a union of them, for which zero is a valid value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(b"lo") {
        *to = libc::c_char::from_ne_bytes([*from]);
    }
    request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
    // SAFETY: SIOCSIFFLAGS reads one ifreq, which lives until the call returns; its name ends in NUL.
    check(unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS as _, &raw const request) })
}

fn check(result: libc::c_int) -> io::Result<()> {
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_of_another_network_stays_there() {
        let mut child =
            std::process::Command::new("unshare").args(["--net", "sleep", "1000"]).spawn().unwrap();
        let process = crate::sys::pidfd::open(child.id()).unwrap();
        let network = || std::fs::read_link("/proc/thread-self/ns/net");
        let own = network().unwrap();
        while std::fs::read_link(format!("/proc/{}/ns/net", child.id())).unwrap() == own {
            std::thread::yield_now();
        }
        let socket = in_network_of(process.as_fd(), || std::net::TcpListener::bind("0.0.0.0:1")).unwrap();
        assert_eq!(network().unwrap(), own);
        assert!(std::net::TcpStream::connect(("127.0.0.1", 1)).is_err());
        assert_eq!(socket.local_addr().unwrap().port(), 1);
        child.kill().unwrap();
        child.wait().unwrap();
    }

    #[test]
    fn a_thread_in_a_new_network_has_a_loopback() {
        std::thread::spawn(|| {
            unshare(&[Namespace::Network]).unwrap();
            assert!(std::net::UdpSocket::bind("127.0.0.1:9").unwrap().connect("127.0.0.1:9").is_err());
            raise_loopback().unwrap();
            std::net::UdpSocket::bind("127.0.0.1:9").unwrap().connect("127.0.0.1:9").unwrap();
        })
        .join()
        .unwrap();
    }
}
