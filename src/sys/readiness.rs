//! Descriptors in the event loop: waiting until one is readable.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Has the event loop watch what a descriptor refers to, by a copy of it. Must be called in the runtime.
///
/// # Errors
/// When it cannot be copied or watched, as a regular file.
pub fn watch(descriptor: impl AsFd) -> io::Result<AsyncFd<OwnedFd>> {
    let copy = descriptor.as_fd().try_clone_to_owned()?;
    // SAFETY: the loop may use the number while the value lives. It is that of an `OwnedFd`, which gives the
    // same number at each call and closes it only when it is dropped, and nobody else has this copy.
    unsafe { AsyncFd::register_with_interest(copy, Interest::READABLE) }.map_err(io::Error::from)
}

#[cfg(test)]
mod tests {
    use super::*;
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
}
