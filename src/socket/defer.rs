//! New connections that have to wait, without anybody being refused: while a server that nobody uses is stopped, it
//! could still accept one and close it unserved.
//!
//! A filter of the listening socket drops the segments that begin a connection. The client's kernel sends them again
//! after a second, tcp(7) `tcp_syn_retries`, by when there is a new server, or one is about to start.

use rustix::io::{Errno, Result};
use socket2::{SockFilter, SockRef};
use std::os::fd::AsFd;

/// `BPF_RET | BPF_K`, socket(7) `SO_ATTACH_FILTER`: keep no byte.
const DROP: SockFilter = SockFilter::new((libc::BPF_RET | libc::BPF_K) as u16, 0, 0, 0);

/// Has TCP connections that are not there yet wait; sockets of other kinds stay as they are.
///
/// # Errors
/// As setsockopt(2).
pub fn defer(socket: impl AsFd) -> Result<()> {
    let socket = SockRef::from(&socket);
    if socket.protocol().map_err(number)? == Some(socket2::Protocol::TCP) {
        socket.attach_filter(&[DROP]).map_err(number)?;
    }
    Ok(())
}

/// Lets them in.
///
/// # Errors
/// As setsockopt(2).
pub fn admit(socket: impl AsFd) -> Result<()> {
    match SockRef::from(&socket).detach_filter().map_err(number) {
        // It has none, or is no socket.
        Err(Errno::NOENT | Errno::NOTSOCK) => Ok(()),
        result => result,
    }
}

fn number(error: std::io::Error) -> Errno {
    Errno::from_io_error(&error).unwrap_or(Errno::IO)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::net::{TcpListener, TcpStream};
    use std::sync::mpsc::channel;
    use std::time::Duration;

    #[test]
    fn a_client_waits_and_is_not_refused() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let _before = TcpStream::connect(address).unwrap();
        listener.accept().unwrap();
        defer(&listener).unwrap();
        let refused = TcpStream::connect_timeout(&address, Duration::from_millis(100)).unwrap_err();
        assert_eq!(refused.kind(), std::io::ErrorKind::TimedOut);
        listener.set_nonblocking(true).unwrap();
        assert!(listener.accept().is_err(), "nobody has come through");
        let (connected, served) = channel();
        let client = std::thread::spawn(move || {
            let mut stream = TcpStream::connect(address).unwrap();
            connected.send(()).unwrap();
            stream.read(&mut [0]).unwrap()
        });
        assert!(served.recv_timeout(Duration::from_millis(100)).is_err());
        admit(&listener).unwrap();
        served.recv_timeout(Duration::from_secs(10)).expect("its kernel tries again");
        drop(listener.accept().unwrap());
        assert_eq!(client.join().unwrap(), 0);
        admit(&listener).unwrap();
    }

    #[test]
    fn what_is_established_is_not_disturbed() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut served, _) = listener.accept().unwrap();
        defer(&listener).unwrap();
        std::io::Write::write_all(&mut served, b"x").unwrap();
        client.read_exact(&mut [0]).unwrap();
    }
}
