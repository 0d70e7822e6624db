//! Descriptors beside the bytes of a message: `SCM_RIGHTS` of unix(7).

use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// `SCM_MAX_FD` of the kernel.
const DESCRIPTORS_MAX: usize = 253;

/// What came with one recvmsg(2).
#[derive(Debug)]
pub struct Received {
    /// How many bytes; 0 at the end.
    pub bytes: usize,
    /// All that this process has a place for.
    pub descriptors: Vec<OwnedFd>,
    /// Whether bytes or descriptors are missing.
    pub flags: ReturnFlags,
}

/// Sends bytes with descriptors beside them. Nobody gets SIGPIPE.
///
/// # Errors
/// `ETOOMANYREFS` for more descriptors than a message holds, else as sendmsg(2).
pub fn send(socket: impl AsFd, bytes: &[u8], descriptors: &[BorrowedFd<'_>]) -> Result<usize, Errno> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let fits = match descriptors {
        [] => true,
        some => some.len() <= DESCRIPTORS_MAX && control.push(SendAncillaryMessage::ScmRights(some)),
    };
    if !fits {
        return Err(Errno::TOOMANYREFS);
    }
    sendmsg(socket, &[IoSlice::new(bytes)], &mut control, SendFlags::NOSIGNAL)
}

/// Receives what one message or the stream has, with the descriptors beside it, close-on-exec.
///
/// # Errors
/// As recvmsg(2).
pub fn receive(socket: impl AsFd, buffer: &mut [u8]) -> Result<Received, Errno> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let received = recvmsg(socket, &mut [IoSliceMut::new(buffer)], &mut control, RecvFlags::CMSG_CLOEXEC)?;
    let rights = control.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(rights) => Some(rights),
        _ => None,
    });
    let descriptors = rights.flatten().collect();
    Ok(Received { bytes: received.bytes, descriptors, flags: received.flags })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::io::{FdFlags, fcntl_getfd};
    use std::os::unix::net::{UnixDatagram, UnixStream};

    #[test]
    fn descriptors_come_with_their_bytes_and_close_with_a_program() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        assert_eq!(send(&ours, b"two", &[ours.as_fd(), theirs.as_fd()]).unwrap(), 3);
        let mut buffer = [0; 8];
        let received = receive(&theirs, &mut buffer).unwrap();
        assert_eq!((&buffer[..received.bytes], received.descriptors.len()), (&b"two"[..], 2));
        for descriptor in received.descriptors {
            assert_eq!(fcntl_getfd(&descriptor).unwrap(), FdFlags::CLOEXEC);
        }
    }

    #[test]
    fn more_than_a_message_holds_are_refused_and_a_short_buffer_is_told() {
        let (ours, theirs) = UnixDatagram::pair().unwrap();
        let many = vec![ours.as_fd(); DESCRIPTORS_MAX + 1];
        assert_eq!(send(&ours, b"many", &many).unwrap_err(), Errno::TOOMANYREFS);
        send(&ours, b"long", &[]).unwrap();
        let received = receive(&theirs, &mut [0; 2]).unwrap();
        assert!(received.flags.contains(ReturnFlags::TRUNC));
        assert!(received.descriptors.is_empty());
    }
}
