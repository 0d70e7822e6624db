//! Packets of JSON with descriptors beside them, over `SOCK_SEQPACKET`.

use crate::sys::rights;
use rustix::net::{AddressFamily, ReturnFlags, SocketFlags, SocketType, socketpair};
use serde::{Serialize, de::DeserializeOwned};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// The longest packet: a few paths of `PATH_MAX`.
const PACKET_MAX: usize = 16 * 1024;

/// A message with the descriptors beside it.
pub type Packet<T> = (T, Vec<OwnedFd>);

/// A connected pair, close-on-exec.
pub fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?)
}

/// Sends one packet.
pub fn send<T: Serialize>(socket: impl AsFd, message: &T, descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
    rights::send(socket, &serde_json::to_vec(message)?, descriptors)?;
    Ok(())
}

/// Receives one packet; `None` when the other side is closed.
pub fn receive<T: DeserializeOwned>(socket: impl AsFd) -> io::Result<Option<Packet<T>>> {
    match receive_cut(socket)? {
        (_, Descriptors::Cut) => Err(rustix::io::Errno::MFILE.into()),
        (packet, Descriptors::Whole) => Ok(packet),
    }
}

/// Whether all descriptors of a packet have arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Descriptors {
    /// They have.
    Whole,
    /// This process, or the host, has no place for them, unix(7) `MSG_CTRUNC`: there is room for as many as a packet
    /// can have.
    Cut,
}

/// The same for who has to hear what is said also where there is no place for the descriptors beside it.
pub fn receive_cut<T: DeserializeOwned>(socket: impl AsFd) -> io::Result<(Option<Packet<T>>, Descriptors)> {
    let mut bytes = vec![0; PACKET_MAX];
    let received = loop {
        match rights::receive(&socket, &mut bytes) {
            // The other side closed without having read all of ours; its last words may still be queued.
            Err(rustix::io::Errno::INTR | rustix::io::Errno::CONNRESET) => {}
            result => break result?,
        }
    };
    if received.bytes == 0 {
        return Ok((None, Descriptors::Whole));
    }
    if received.flags.contains(ReturnFlags::TRUNC) {
        return Err(rustix::io::Errno::MSGSIZE.into());
    }
    let message = serde_json::from_slice(&bytes[..received.bytes])?;
    let cut = received.flags.contains(ReturnFlags::CTRUNC);
    Ok((Some((message, received.descriptors)), if cut { Descriptors::Cut } else { Descriptors::Whole }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::launch::protocol::{Order, Report, StepError};

    #[test]
    fn a_packet_arrives_with_its_descriptors() {
        let (ours, theirs) = pair().unwrap();
        send(&ours, &Order::Begin, &[ours.as_fd(), theirs.as_fd()]).unwrap();
        let (order, descriptors) = receive::<Order>(&theirs).unwrap().unwrap();
        assert_eq!((order, descriptors.len()), (Order::Begin, 2));
    }

    #[test]
    fn last_words_are_heard_before_the_end() {
        let (ours, theirs) = pair().unwrap();
        let error = StepError { step: "execute".into(), subject: "/x".into(), errno: 2 };
        send(&ours, &Order::Go, &[]).unwrap();
        send(&theirs, &Report::Failed(error.clone()), &[]).unwrap();
        drop(theirs);
        assert_eq!(receive::<Report>(&ours).unwrap().unwrap().0, Report::Failed(error));
        assert!(receive::<Report>(&ours).unwrap().is_none());
    }
}
