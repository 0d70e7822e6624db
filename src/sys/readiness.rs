//! Descriptors that are readable or writable: whether one is, and waiting for it in the event loop.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Between attempts to watch something for which nothing is left.
pub const SHORTAGE_INTERVAL: Duration = Duration::from_millis(100);

/// Whether there is something to read, or an end, without waiting for it.
///
/// # Errors
/// As poll(2).
pub fn is_readable(descriptor: impl AsFd) -> io::Result<bool> {
    Ok(poll(&mut [PollFd::new(&descriptor, PollFlags::IN)], Some(&Timespec::default()))? > 0)
}

/// Has the event loop watch what a descriptor refers to, by a copy of it. Must be called in the runtime.
///
/// # Errors
/// When it cannot be copied or watched, as a regular file.
pub fn watch(descriptor: impl AsFd) -> io::Result<AsyncFd<OwnedFd>> {
    register(descriptor.as_fd(), Interest::READABLE)
}

/// The same for what nobody else listens to: while this process or the host has no descriptor or memory left for it, it
/// waits until there is one.
///
/// # Errors
/// When it cannot be watched at any time.
pub async fn watch_in_time(descriptor: impl AsFd) -> io::Result<AsyncFd<OwnedFd>> {
    register_in_time(descriptor.as_fd(), Interest::READABLE).await
}

/// Has the event loop watch for exceptional conditions, such as of the files of control groups.
///
/// # Errors
/// As [`watch`].
pub fn watch_exceptions(descriptor: impl AsFd) -> io::Result<AsyncFd<OwnedFd>> {
    register(descriptor.as_fd(), Interest::PRIORITY)
}

/// Whether an error is one that passes when others have let go of something, errno(3).
pub fn is_shortage(error: &io::Error) -> bool {
    // epoll_ctl(2) says ENOSPC at `max_user_watches`.
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE | libc::ENOMEM | libc::ENOSPC))
}

/// Waits until a descriptor takes more. Must be called in the runtime.
///
/// # Errors
/// As [`watch_in_time`].
pub async fn until_writable(descriptor: impl AsFd) -> io::Result<()> {
    register_in_time(descriptor.as_fd(), Interest::WRITABLE).await?.writable().await.map(drop)
}

async fn register_in_time(descriptor: BorrowedFd<'_>, interest: Interest) -> io::Result<AsyncFd<OwnedFd>> {
    loop {
        match register(descriptor, interest) {
            Err(error) if is_shortage(&error) => tokio::time::sleep(SHORTAGE_INTERVAL).await,
            result => return result,
        }
    }
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
    fn what_passes_is_waited_for_and_nothing_else() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let file = std::fs::File::open("/proc/self/stat").unwrap();
        runtime.block_on(async {
            // epoll(7) does not watch files.
            let error = watch_in_time(&file).await.unwrap_err();
            assert!(!is_shortage(&error), "{error}");
        });
        assert!(is_shortage(&io::Error::from_raw_os_error(libc::EMFILE)));
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
