//! The options of a held socket: those that its unit names, as systemd's `socket_apply_socket_options()` sets them.

use super::SocketError;
use crate::sys::socket::SocketOption;
use crate::unit::model::{Listen, Pass, Socket, SocketOptions};
use socket2::SockRef;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

/// Has the kernel keep where datagrams come in, which it does only where somebody has asked before they come: for a
/// server that will ask when it binds. One that does not gets what it has set itself.
pub(super) fn keep_destinations(fd: &OwnedFd, socket: &Socket) {
    if let (Listen::Udp(address), Pass::Swap) = (&socket.listen, socket.pass) {
        let ipv6 = address.is_ipv6().then_some(SocketOption::IPV6_RECVPKTINFO);
        for option in ipv6.into_iter().chain([SocketOption::IP_PKTINFO]) {
            // Without it, the first datagrams tell less.
            let _ = option.set(fd.as_fd(), 1);
        }
    }
}

/// Sets what must be there before bind(2).
pub(super) fn before_bind(fd: &OwnedFd, socket: &Socket) -> Result<(), SocketError> {
    let address = match socket.listen {
        Listen::Tcp(address) | Listen::Udp(address) => address,
        Listen::Unix(..) | Listen::Vsock(_) | Listen::Fifo(_) => return Ok(()),
    };
    let options = &socket.options;
    let set = |option: SocketOption, value| set(fd.as_fd(), socket, option, value);
    // A connection of a run before may be in TIME_WAIT, and a descriptor on its way out of systemd's store.
    if let Listen::Tcp(_) = socket.listen {
        set(SocketOption::SO_REUSEADDR, 1)?;
    }
    if options.reuse_port {
        set(SocketOption::SO_REUSEPORT, 1)?;
    }
    if address.is_ipv6() {
        set(SocketOption::IPV6_V6ONLY, socket.is_v6_only().into())?;
    }
    if options.free_bind {
        set(if address.is_ipv6() { SocketOption::IPV6_FREEBIND } else { SocketOption::IP_FREEBIND }, 1)?;
    }
    match &options.bind_to_device {
        Some(device) => SockRef::from(fd).bind_device(Some(device.as_bytes())).map_err(|source| {
            let option = "SO_BINDTODEVICE";
            SocketError::Option { address: socket.listen.clone(), option, source }
        }),
        None => Ok(()),
    }
}

/// Sets what can change at any time.
pub(super) fn apply(fd: BorrowedFd<'_>, socket: &Socket) -> Result<(), SocketError> {
    for (option, value) in settings(socket) {
        set(fd, socket, option, value)?;
    }
    let SocketOptions { receive_buffer, send_buffer, .. } = *socket.options;
    for (size, option, forced) in [
        (receive_buffer, SocketOption::SO_RCVBUF, SocketOption::SO_RCVBUFFORCE),
        (send_buffer, SocketOption::SO_SNDBUF, SocketOption::SO_SNDBUFFORCE),
    ] {
        if let Some(size) = size.and_then(|size| i32::try_from(size).ok()) {
            set(fd, socket, option, size)?;
            // The kernel doubles it, and keeps to the limit of everybody where it is not forced.
            if option.get(fd).is_ok_and(|found| found < size.saturating_mul(2)) {
                set(fd, socket, forced, size)?;
            }
        }
    }
    Ok(())
}

/// Options with their values, but for buffers.
pub(super) fn settings(socket: &Socket) -> Vec<(SocketOption, i32)> {
    let SocketOptions { keep_alive, no_delay, defer_accept, mark, .. } = &*socket.options;
    let seconds = |time: Duration| i32::try_from(time.as_secs()).unwrap_or(i32::MAX);
    let mut settings = Vec::new();
    if let Listen::Tcp(_) = socket.listen {
        settings.push((SocketOption::SO_KEEPALIVE, keep_alive.on.into()));
        settings.push((SocketOption::TCP_NODELAY, (*no_delay).into()));
        settings.extend(keep_alive.time.map(|time| (SocketOption::TCP_KEEPIDLE, seconds(time))));
        settings.extend(keep_alive.interval.map(|time| (SocketOption::TCP_KEEPINTVL, seconds(time))));
        let probes = keep_alive.probes.and_then(|probes| i32::try_from(probes).ok());
        settings.extend(probes.map(|probes| (SocketOption::TCP_KEEPCNT, probes)));
        settings.extend(defer_accept.map(|time| (SocketOption::TCP_DEFER_ACCEPT, seconds(time))));
    }
    settings.extend(mark.map(|mark| (SocketOption::SO_MARK, mark.cast_signed())));
    settings
}

fn set(fd: BorrowedFd<'_>, socket: &Socket, option: SocketOption, value: i32) -> Result<(), SocketError> {
    let failed = |source: io::Error| SocketError::Option {
        address: socket.listen.clone(),
        option: option.name(),
        source,
    };
    option.set(fd, value).map_err(failed)
}
