//! Descriptors in the event loop: waiting until one is readable or writable.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Has the event loop watch what a descriptor refers to, by a copy of it. Must be called in the runtime.
///
/// # Errors
/// When it cannot be copied or watched, as a regular file.
pub fn watch(descriptor: impl AsFd) -> io::Result<AsyncFd<OwnedFd>> {
    register(descriptor.as_fd(), Interest::READABLE)
}

/// Waits until a descriptor takes more. Must be called in the runtime.
///
/// # Errors
/// As [`watch`].
pub async fn until_writable(descriptor: impl AsFd) -> io::Result<()> {
    register(descriptor.as_fd(), Interest::WRITABLE)?.writable().await.map(drop)
}

fn register(descriptor: BorrowedFd<'_>, interest: Interest) -> io::Result<AsyncFd<OwnedFd>> {
    let copy = descriptor.try_clone_to_owned()?;
    // SAFETY: the loop may use the number while the value lives. It is that of an `OwnedFd`, which gives the
    // same number at each call and closes it only when it is dropped, and nobody else has this copy.
    unsafe { AsyncFd::register_with_interest(copy, interest) }.map_err(io::Error::from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;
    use std::io::Write;

    #[test]
    fn a_watched_pipe_becomes_readable() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (reader, mut writer) = io::pipe().unwrap();
            let watched = watch(&reader).unwrap();
            writer.write_all(b"x").unwrap();
            assert!(watched.readable().await.unwrap().ready().is_readable());
        });
    }

    #[test]
    fn a_full_pipe_becomes_writable_when_it_is_read() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (mut reader, mut writer) = io::pipe().unwrap();
            rustix::io::ioctl_fionbio(&writer, true).unwrap();
            while writer.write(&[0; 4096]).is_ok() {}
            let mut waiting = std::pin::pin!(until_writable(&writer));
            assert!(waiting.as_mut().now_or_never().is_none());
            io::Read::read_exact(&mut reader, &mut [0; 4096]).unwrap();
            waiting.await.unwrap();
        });
    }
}
