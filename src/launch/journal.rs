//! Output to the journal: the protocol of `/run/systemd/journal/stdout`, as sd_journal_stream_fd(3) speaks it.

use rustix::net::{
    AddressFamily, Shutdown, SocketAddrUnix, SocketFlags, SocketType, connect, shutdown, socket_with,
};
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

/// `LOG_INFO`, for lines that do not say theirs by `<N>`.
const PRIORITY: u8 = 6;

/// Opens a stream of lines of a unit. The journal believes the name of the unit only to root of the host, and needs
/// it for lines of processes that have ended before it looks for their control group.
///
/// # Errors
/// When there is no journal, or it does not take another stream.
pub fn open(socket: &Path, identifier: &str, unit: &str) -> io::Result<OwnedFd> {
    let stream = socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    connect(&stream, &SocketAddrUnix::new(socket)?)?;
    shutdown(&stream, Shutdown::Read)?;
    // Identifier, unit, priority, whether lines carry levels, and forwarding to syslog, kmsg and console.
    let header = format!("{identifier}\n{unit}\n{PRIORITY}\n1\n0\n0\n0\n");
    let mut stream = std::fs::File::from(stream);
    io::Write::write_all(&mut stream, header.as_bytes())?;
    Ok(stream.into())
}
