//! Options of sockets whose value is one number, socket(7), ip(7), ipv6(7), tcp(7), udp(7), and who is at the other end
//! of a unix socket.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// One option, with the name that the manual pages give it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SocketOption {
    name: &'static str,
    level: i32,
    number: i32,
}

macro_rules! options {
    ($($name:ident of $level:ident),* $(,)?) => {
        $(
            #[doc = concat!("`", stringify!($name), "`")]
            pub const $name: Self =
                Self { name: stringify!($name), level: libc::$level, number: libc::$name };
        )*
    };
}

impl SocketOption {
    options!(
        SO_BROADCAST of SOL_SOCKET,
        SO_KEEPALIVE of SOL_SOCKET,
        SO_MARK of SOL_SOCKET,
        SO_PASSCRED of SOL_SOCKET,
        SO_PRIORITY of SOL_SOCKET,
        SO_RCVBUF of SOL_SOCKET,
        SO_RCVBUFFORCE of SOL_SOCKET,
        SO_RCVLOWAT of SOL_SOCKET,
        SO_REUSEADDR of SOL_SOCKET,
        SO_REUSEPORT of SOL_SOCKET,
        SO_SNDBUF of SOL_SOCKET,
        SO_SNDBUFFORCE of SOL_SOCKET,
        SO_TIMESTAMP of SOL_SOCKET,
        SO_TIMESTAMPNS of SOL_SOCKET,
        IP_FREEBIND of IPPROTO_IP,
        IP_MTU_DISCOVER of IPPROTO_IP,
        IP_PKTINFO of IPPROTO_IP,
        IP_RECVERR of IPPROTO_IP,
        IP_RECVORIGDSTADDR of IPPROTO_IP,
        IP_RECVTOS of IPPROTO_IP,
        IP_RECVTTL of IPPROTO_IP,
        IP_TOS of IPPROTO_IP,
        IP_TTL of IPPROTO_IP,
        IPV6_FREEBIND of IPPROTO_IPV6,
        IPV6_MTU_DISCOVER of IPPROTO_IPV6,
        IPV6_RECVERR of IPPROTO_IPV6,
        IPV6_RECVHOPLIMIT of IPPROTO_IPV6,
        IPV6_RECVPKTINFO of IPPROTO_IPV6,
        IPV6_RECVTCLASS of IPPROTO_IPV6,
        IPV6_TCLASS of IPPROTO_IPV6,
        IPV6_UNICAST_HOPS of IPPROTO_IPV6,
        IPV6_V6ONLY of IPPROTO_IPV6,
        TCP_DEFER_ACCEPT of IPPROTO_TCP,
        TCP_FASTOPEN of IPPROTO_TCP,
        TCP_KEEPCNT of IPPROTO_TCP,
        TCP_KEEPIDLE of IPPROTO_TCP,
        TCP_KEEPINTVL of IPPROTO_TCP,
        TCP_NODELAY of IPPROTO_TCP,
        TCP_USER_TIMEOUT of IPPROTO_TCP,
    );

    /// `SO_REUSEADDR`
    pub fn name(self) -> &'static str {
        self.name
    }

    /// Its value.
    ///
    /// # Errors
    /// As getsockopt(2).
    pub fn get(self, socket: BorrowedFd<'_>) -> io::Result<i32> {
        let mut value: i32 = 0;
        let mut length = LENGTH;
        // SAFETY: the kernel writes at most `length` bytes, the size of `value`, which lives through the call.
        let result = unsafe {
            libc::getsockopt(
                socket.as_raw_fd(),
                self.level,
                self.number,
                (&raw mut value).cast(),
                &raw mut length,
            )
        };
        if result == 0 { Ok(value) } else { Err(io::Error::last_os_error()) }
    }

    /// Gives it a value.
    ///
    /// # Errors
    /// As setsockopt(2).
    pub fn set(self, socket: BorrowedFd<'_>, value: i32) -> io::Result<()> {
        // SAFETY: the kernel reads `LENGTH` bytes, the size of `value`, which lives through the call.
        let result = unsafe {
            libc::setsockopt(socket.as_raw_fd(), self.level, self.number, (&raw const value).cast(), LENGTH)
        };
        if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }
}

const LENGTH: libc::socklen_t = size_of::<i32>() as libc::socklen_t;

/// A process that has connected to a unix socket, as it was then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeerProcess {
    /// Its number; 0 where it is of no process namespace that can be seen from here.
    pub process: i32,
    /// Its user.
    pub user: u32,
}

/// Who is at the other end of a unix socket, unix(7) `SO_PEERCRED`.
///
/// # Errors
/// As getsockopt(2).
pub fn peer_process(socket: BorrowedFd<'_>) -> io::Result<PeerProcess> {
    let mut found = libc::ucred { pid: 0, uid: 0, gid: 0 };
    let mut length = size_of::<libc::ucred>() as libc::socklen_t;
    // SAFETY: the kernel writes at most `length` bytes, the size of `found`, which lives through the call.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERCRED,
            (&raw mut found).cast(),
            &raw mut length,
        )
    };
    if result == 0 {
        Ok(PeerProcess { process: found.pid, user: found.uid })
    } else {
        Err(io::Error::last_os_error())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, UdpSocket};
    use std::os::fd::AsFd;

    #[test]
    fn what_is_set_is_there() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        for (option, value) in
            [(SocketOption::TCP_NODELAY, 1), (SocketOption::TCP_KEEPIDLE, 77), (SocketOption::IP_TOS, 0x10)]
        {
            assert_ne!(option.get(listener.as_fd()).unwrap(), value);
            option.set(listener.as_fd(), value).unwrap();
            assert_eq!(option.get(listener.as_fd()).unwrap(), value, "{}", option.name());
        }
    }

    #[test]
    fn who_has_connected_is_known() {
        let (own, _other) = std::os::unix::net::UnixStream::pair().unwrap();
        let user = rustix::process::getuid().as_raw();
        let process = i32::try_from(std::process::id()).unwrap();
        assert_eq!(peer_process(own.as_fd()).unwrap(), PeerProcess { process, user });
        let file = std::fs::File::open("/dev/null").unwrap();
        assert_eq!(peer_process(file.as_fd()).unwrap_err().raw_os_error(), Some(libc::ENOTSOCK));
    }

    #[test]
    fn an_option_of_another_kind_is_an_error() {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        SocketOption::TCP_NODELAY.set(socket.as_fd(), 1).unwrap_err();
        SocketOption::IPV6_TCLASS.get(socket.as_fd()).unwrap_err();
        let file = std::fs::File::open("/dev/null").unwrap();
        let error = SocketOption::SO_KEEPALIVE.get(file.as_fd()).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ENOTSOCK));
    }
}
