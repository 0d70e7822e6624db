//! Output to the journal: the protocol of `/run/systemd/journal/stdout`, as sd_journal_stream_fd(3) speaks it.

use rustix::net::{
    AddressFamily, Shutdown, SocketAddrUnix, SocketFlags, SocketType, connect, shutdown, socket_with,
};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

/// `LOG_INFO`, for lines that do not say theirs by `<N>`.
const PRIORITY: u8 = 6;

/// Opens a stream of lines. Whose they are, the journal sees in the control group of the process that connects.
pub fn open(socket: &OwnedFd, identifier: &str, unit: &str) -> io::Result<OwnedFd> {
    let stream = socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    // The socket is outside of the root: only its descriptor leads there.
    connect(&stream, &SocketAddrUnix::new(format!("/proc/self/fd/{}", socket.as_raw_fd()))?)?;
    shutdown(&stream, Shutdown::Read)?;
    // Identifier, unit, priority, whether lines carry levels, and forwarding to syslog, kmsg and console.
    let header = format!("{identifier}\n{unit}\n{PRIORITY}\n1\n0\n0\n0\n");
    let mut stream = std::fs::File::from(stream);
    io::Write::write_all(&mut stream, header.as_bytes())?;
    Ok(stream.into())
}
