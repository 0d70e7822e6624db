//! What the import worker and the fetcher say to each other.
//!
//! The worker, which has no network, sees a registry as an OCI image layout whose files come on request. A
//! request is one message on a socket pair ([`super::request`]), and with it the writing end of a pipe
//! (`SCM_RIGHTS`, unix(7)). The answer comes through that pipe: a line, and after "found" the bytes. Requests
//! know nothing of each other, so that any number of threads may ask and read at once.

use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair, sockopt};
use rustix::pipe::{PipeFlags, fcntl_setpipe_size, pipe_with};
use std::fs::File;
use std::io::{self, BufRead, Read as _, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use super::request::{MESSAGE_MAX, Request};
use crate::sys::rights;

/// Longest first line of an answer.
const LINE_MAX: u64 = 64;
/// Bytes that a pipe holds, if the system allows it, pipe(7): enough to ride out a pause of either side.
const PIPE_SIZE: usize = 1 << 20;

/// The first line of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    /// This many bytes follow.
    Found(u64),
    /// There is no such file, or it is not to be had in parts.
    Missing,
    /// The file could not be had; the fetcher tells why where people see it.
    Failed,
}

/// A channel: one end for the worker, one for the fetcher.
///
/// # Errors
/// As socketpair(2).
pub fn channel() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?)
}

/// Whether a descriptor is an end of a channel: nothing else that can be read is a socket of this type.
pub(super) fn is_channel(descriptor: BorrowedFd<'_>) -> bool {
    sockopt::socket_type(descriptor).is_ok_and(|kind| kind == SocketType::SEQPACKET)
}

/// Asks for a file. The answer is read from what is returned.
pub(super) fn ask(channel: BorrowedFd<'_>, request: &Request) -> io::Result<File> {
    let (reader, writer) = pipe_with(PipeFlags::CLOEXEC)?;
    // Not above what pipe-max-size and pipe-user-pages-soft allow; a smaller pipe only pauses more often.
    let _ = fcntl_setpipe_size(&reader, PIPE_SIZE);
    rights::send(channel, request.to_string().as_bytes(), &[writer.as_fd()])?;
    Ok(File::from(reader))
}

/// The next request and where its answer goes. `None` when the worker has gone.
pub(super) fn receive(channel: BorrowedFd<'_>) -> io::Result<Option<(Request, File)>> {
    let mut message = vec![0; MESSAGE_MAX];
    let received = rights::receive(channel, &mut message)?;
    let request = std::str::from_utf8(&message[..received.bytes]).ok().and_then(Request::parse);
    match (received.bytes, received.descriptors.into_iter().next(), request) {
        (0, None, _) => Ok(None),
        (1.., Some(descriptor), Some(request)) => Ok(Some((request, File::from(descriptor)))),
        _ => Err(io::Error::other("the worker breaks the protocol")),
    }
}

impl Answer {
    pub(super) fn write(self, pipe: &mut impl Write) -> io::Result<()> {
        let line = match self {
            Self::Found(size) => format!("found {size}\n"),
            Self::Missing => "missing\n".to_owned(),
            Self::Failed => "failed\n".to_owned(),
        };
        pipe.write_all(line.as_bytes())
    }

    /// Reads the line; the bytes follow. A pipe without a line is that of a fetcher that has ended.
    pub(super) fn read(pipe: &mut impl BufRead) -> io::Result<Self> {
        let mut line = String::new();
        pipe.take(LINE_MAX).read_line(&mut line)?;
        match line.trim_end_matches('\n').split_once(' ') {
            Some(("found", size)) => size.parse().map(Self::Found).map_err(io::Error::other),
            _ if line == "missing\n" => Ok(Self::Missing),
            _ if line == "failed\n" || line.is_empty() => Ok(Self::Failed),
            _ => Err(io::Error::other("the fetcher breaks the protocol")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::BufReader;

    #[test]
    fn requests_and_answers_come_across() {
        let (worker, fetcher) = channel().unwrap();
        assert!(is_channel(worker.as_fd()));
        let ask = |name: &str| ask(worker.as_fd(), &Request::whole(name));
        let mut first = BufReader::new(ask("index.json").unwrap());
        let mut second = BufReader::new(ask("none").unwrap());
        let mut third = BufReader::new(ask("late").unwrap());
        let (request, mut pipe) = receive(fetcher.as_fd()).unwrap().unwrap();
        assert_eq!(request, Request::whole("index.json"));
        Answer::Found(2).write(&mut pipe).unwrap();
        pipe.write_all(b"{}").unwrap();
        drop(pipe);
        Answer::Missing.write(&mut receive(fetcher.as_fd()).unwrap().unwrap().1).unwrap();
        assert_eq!(Answer::read(&mut second).unwrap(), Answer::Missing);
        assert_eq!(Answer::read(&mut first).unwrap(), Answer::Found(2));
        let mut rest = String::new();
        first.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "{}");
        drop(fetcher);
        assert_eq!(
            Answer::read(&mut third).unwrap(),
            Answer::Failed,
            "a fetcher that ends fails what was asked"
        );
        assert!(ask("more").is_err());
    }

    #[test]
    fn the_end_of_the_worker_is_the_end() {
        let (worker, fetcher) = channel().unwrap();
        drop(worker);
        assert!(receive(fetcher.as_fd()).unwrap().is_none());
        let (reader, _writer) = pipe_with(PipeFlags::CLOEXEC).unwrap();
        assert!(!is_channel(reader.as_fd()));
    }

    #[test]
    fn lines_that_are_no_answer_are_refused() {
        for line in ["found\n", "found -1\n", "found 99999999999999999999999\n", "hello\n", "missing"] {
            assert!(Answer::read(&mut line.as_bytes()).is_err(), "{line:?}");
        }
    }
}
