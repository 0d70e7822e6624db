//! Entering and leaving namespaces, and the loopback interface of a new network namespace.

use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};
use std::io;
use std::os::fd::{AsFd, AsRawFd};

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

/// Moves the calling process into namespaces of the process of a pidfd (Linux 5.8).
///
/// # Errors
/// As setns(2).
pub fn enter<Fd: AsFd>(process: Fd, namespaces: &[Namespace]) -> io::Result<()> {
    // SAFETY: the descriptor is borrowed for the call, which touches no memory.
    check(unsafe { libc::setns(process.as_fd().as_raw_fd(), flags(namespaces)) })
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
