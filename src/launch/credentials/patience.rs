//! Reading from somebody who may never answer, for as long as the manager waits for the launch.

use super::Bytes;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::{Errno, read};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use zeroize::Zeroizing;

/// The manager gives a launch up by closing its end of this socket: when its time is over, or its unit is stopped.
#[derive(Debug, Clone, Copy)]
pub struct Patience<'a>(pub BorrowedFd<'a>);

impl Patience<'_> {
    /// Reads to the end, or until there is more than `limit`.
    pub fn read(&self, from: impl AsFd, limit: usize) -> io::Result<Bytes> {
        // Enough from the start: what grows leaves copies of itself behind.
        let mut bytes = Zeroizing::new(vec![0; limit + 1]);
        let mut length = 0;
        while length < bytes.len() {
            self.wait(&from)?;
            match read(&from, &mut bytes[length..]) {
                Ok(0) => break,
                Ok(more) => length += more,
                Err(Errno::INTR | Errno::AGAIN) => {}
                Err(error) => return Err(error.into()),
            }
        }
        if length > limit {
            return Err(Errno::FBIG.into());
        }
        bytes.truncate(length);
        Ok(bytes)
    }

    /// Waits until there is something to read.
    fn wait(&self, from: impl AsFd) -> io::Result<()> {
        loop {
            let mut waited = [PollFd::new(&from, PollFlags::IN), PollFd::new(&self.0, PollFlags::RDHUP)];
            match poll(&mut waited, None) {
                Err(Errno::INTR) => continue,
                result => drop(result?),
            }
            if waited[1].revents().intersects(PollFlags::RDHUP | PollFlags::HUP) {
                return Err(Errno::CANCELED.into());
            }
            if !waited[0].revents().is_empty() {
                return Ok(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::channel;
    use super::*;
    use std::io::Write;
    use std::os::unix::net::UnixStream;

    #[test]
    fn what_is_too_long_and_who_does_not_answer_is_not_waited_for() {
        let (manager, launcher) = channel::pair().unwrap();
        let patience = Patience(launcher.as_fd());
        let (mut theirs, ours) = UnixStream::pair().unwrap();
        theirs.write_all(b"four").unwrap();
        assert_eq!(patience.read(&ours, 3).unwrap_err().raw_os_error(), Some(Errno::FBIG.raw_os_error()));
        theirs.write_all(b"five").unwrap();
        drop(theirs);
        assert_eq!(&patience.read(&ours, 8).unwrap()[..], b"five");
        let (_silent, ours) = UnixStream::pair().unwrap();
        drop(manager);
        assert_eq!(patience.read(&ours, 8).unwrap_err().raw_os_error(), Some(Errno::CANCELED.raw_os_error()));
    }
}
