//! The socket of a [`peer`](super::peer). One of zbus's own asks the name service for the groups of whoever connects, on
//! a thread that is made for it, and an answer waits for that; here the kernel has told all that counts.

use crate::sys::rights;
use async_trait::async_trait;
use rustix::net::{Shutdown, shutdown};
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::Arc;
use tokio::io::Interest;
use tokio::net::UnixStream;
use zbus::connection::socket::{ReadHalf, Socket, Split, WriteHalf};

/// A connected socket, and each of its halves.
#[derive(Debug, Clone)]
pub(super) struct PeerSocket(Arc<UnixStream>);

impl PeerSocket {
    pub(super) fn new(stream: UnixStream) -> Self {
        Self(Arc::new(stream))
    }
}

impl Socket for PeerSocket {
    type ReadHalf = Self;
    type WriteHalf = Self;

    fn split(self) -> Split<Self, Self> {
        Split::new(self.clone(), self)
    }
}

#[async_trait]
impl ReadHalf for PeerSocket {
    async fn recvmsg(&mut self, buffer: &mut [u8]) -> io::Result<(usize, Vec<OwnedFd>)> {
        // What there is no place for is missing in the message, whose reader says so.
        let received = self.0.async_io(Interest::READABLE, || Ok(rights::receive(&self.0, buffer)?)).await?;
        Ok((received.bytes, received.descriptors))
    }

    fn can_pass_unix_fd(&self) -> bool {
        true
    }
}

#[async_trait]
impl WriteHalf for PeerSocket {
    async fn sendmsg(&mut self, buffer: &[u8], descriptors: &[BorrowedFd<'_>]) -> io::Result<usize> {
        self.0.async_io(Interest::WRITABLE, || Ok(rights::send(&self.0, buffer, descriptors)?)).await
    }

    async fn close(&mut self) -> io::Result<()> {
        Ok(shutdown(&self.0, Shutdown::Both)?)
    }

    fn can_pass_unix_fd(&self) -> bool {
        true
    }
}
