//! A blob from an endpoint into a pipe: resumed where it broke off, and never waited for without end.

use std::io::{self, Read, Write};
use std::time::{Duration, Instant};
use ureq::Body;
use ureq::http::{Response, StatusCode, header};

use super::error::{Failure, RegistryError};
use super::retry::Patience;
use super::session::{Resource, Rest, Session, text};
use super::settings::Deadlines;
use crate::image::digest::Digest;
use crate::transfer::contract::Answer;

const BUFFER: usize = 128 << 10;
/// After so many bytes, attempts are counted anew.
const PROGRESS: u64 = 1 << 20;
/// Bytes per second of an endpoint that is as good as dead.
const RATE_MIN: u64 = 1024;

/// What is told while a blob comes.
pub(super) enum Step<'a> {
    /// It begins, and has this size.
    Begin(u64),
    /// So many bytes have come.
    Done(u64),
    /// It broke off, and is tried again.
    Retry(&'a RegistryError),
}

/// One blob on its way. The worker checks its digest; here it counts that all bytes come once and in order.
pub(super) struct Delivery<'a, W, T> {
    blob: Digest,
    pipe: W,
    deadlines: &'a Deadlines,
    tell: T,
    size: Option<u64>,
    sent: u64,
    etag: Option<String>,
}

impl<'a, W: Write, T: Fn(Step<'_>)> Delivery<'a, W, T> {
    pub(super) fn new(blob: Digest, pipe: W, deadlines: &'a Deadlines, tell: T) -> Self {
        Self { blob, pipe, deadlines, tell, size: None, sent: 0, etag: None }
    }

    /// Whether a part has been handed on already.
    pub(super) fn has_begun(&self) -> bool {
        self.size.is_some()
    }

    /// Fetches the blob, or the rest of it, from an endpoint.
    ///
    /// # Errors
    /// When it cannot be had there.
    pub(super) fn fetch(&mut self, session: &Session) -> Result<(), RegistryError> {
        let mut patience = Patience::new(self.deadlines.attempts);
        // A validator is good for the server that gave it; the digest in the address is good for all.
        self.etag = None;
        loop {
            let before = self.sent;
            let Err(failure) = self.attempt(session) else { return Ok(()) };
            if self.sent - before >= PROGRESS {
                patience.renew();
            }
            let (pause, error) = patience.pause(failure)?;
            (self.tell)(Step::Retry(&error));
            std::thread::sleep(pause);
        }
    }

    /// Says that the blob cannot be had; of one that has begun, its early end says so.
    pub(super) fn fail(mut self) -> io::Result<()> {
        if self.has_begun() { Ok(()) } else { Answer::Failed.write(&mut self.pipe) }
    }

    fn attempt(&mut self, session: &Session) -> Result<(), Failure> {
        let rest = (self.sent > 0).then(|| Rest { from: self.sent, etag: self.etag.clone() });
        let answer = session.fetch(&Resource::Blob(self.blob.clone()), rest.as_ref())?;
        let skip = self.begin(&answer, session)?;
        let mut body = Watched::new(answer.into_body().into_reader(), self.deadlines.stall);
        let size = self.size.unwrap_or_default();
        let mut left = skip;
        let mut buffer = vec![0; BUFFER];
        while self.sent < size {
            let room = usize::try_from(left.saturating_add(size - self.sent)).unwrap_or(BUFFER).min(BUFFER);
            let count = body.read(&mut buffer[..room]).map_err(|error| broken(session, error.to_string()))?;
            if count == 0 {
                return Err(broken(session, "it ends before its promised size".to_owned()));
            }
            let skipped = usize::try_from(left).unwrap_or(count).min(count);
            left -= skipped as u64;
            self.pipe.write_all(&buffer[skipped..count]).map_err(RegistryError::Worker)?;
            self.sent += (count - skipped) as u64;
            (self.tell)(Step::Done(self.sent));
        }
        Ok(())
    }

    /// Compares the head of an answer with what is known; returns how many bytes come again.
    fn begin(&mut self, answer: &Response<Body>, session: &Session) -> Result<u64, Failure> {
        let headers = answer.headers();
        let length = text(headers, &header::CONTENT_LENGTH).and_then(|length| length.parse::<u64>().ok());
        let length =
            length.ok_or_else(|| session.protocol(&format!("does not tell the size of {}", self.blob)))?;
        let (start, total) = match answer.status() {
            StatusCode::PARTIAL_CONTENT => text(headers, &header::CONTENT_RANGE)
                .and_then(content_range)
                .filter(|(start, total)| *start == self.sent && total - start == length)
                .ok_or_else(|| session.protocol("answers with another range than was asked for"))?,
            // A server that ignores ranges, or has another version of it: the worker's digest will tell.
            _ => (0, length),
        };
        match self.size {
            Some(size) if size != total => {
                Err(RegistryError::Changed { server: session.server(), blob: self.blob.clone() }.into())
            }
            Some(_) => Ok(self.sent - start),
            None => {
                Answer::Found(total).write(&mut self.pipe).map_err(RegistryError::Worker)?;
                self.size = Some(total);
                // A weak validator is no promise of equal bytes, RFC 9110 section 8.8.1.
                let etag = text(headers, &header::ETAG).filter(|etag| etag.starts_with('"'));
                self.etag = etag.map(str::to_owned);
                (self.tell)(Step::Begin(total));
                Ok(0)
            }
        }
    }
}

fn broken(session: &Session, reason: String) -> Failure {
    Failure::Passing(RegistryError::Connection { server: session.server(), reason }, None)
}

/// Start and total of `bytes START-END/TOTAL`, RFC 9110 section 14.4.
fn content_range(value: &str) -> Option<(u64, u64)> {
    let (range, total) = value.strip_prefix("bytes ")?.split_once('/')?;
    let (start, end) = range.split_once('-')?;
    let (start, end, total): (u64, u64, u64) = (start.parse().ok()?, end.parse().ok()?, total.parse().ok()?);
    (start <= end && end < total && end + 1 == total).then_some((start, total))
}

/// A body that must keep flowing. The library bounds each wait for bytes; a trickle is bounded here.
struct Watched<R> {
    body: R,
    span: Duration,
    waited: Duration,
    received: u64,
}

impl<R: Read> Watched<R> {
    fn new(body: R, span: Duration) -> Self {
        Self { body, span, waited: Duration::ZERO, received: 0 }
    }
}

impl<R: Read> Read for Watched<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let start = Instant::now();
        let count = self.body.read(buffer)?;
        // Only the time of waiting counts: the worker may take its own.
        self.waited += start.elapsed();
        self.received += count as u64;
        if self.waited >= self.span {
            if self.received < RATE_MIN * self.span.as_secs().max(1) {
                return Err(io::Error::new(io::ErrorKind::TimedOut, "it sends less than 1 KiB each second"));
            }
            (self.waited, self.received) = (Duration::ZERO, 0);
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_strictly() {
        assert_eq!(content_range("bytes 5-9/10"), Some((5, 10)));
        for value in ["bytes 5-8/10", "bytes 5-9/*", "bytes */10", "5-9/10", "bytes 9-5/10", "bytes 5-10/10"]
        {
            assert_eq!(content_range(value), None, "{value}");
        }
    }

    #[test]
    fn a_trickle_is_an_end() {
        struct Trickle;
        impl Read for Trickle {
            fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                buffer[0] = 0;
                Ok(1)
            }
        }
        let mut body = Watched::new(Trickle, Duration::from_nanos(1));
        assert!((0..1000).any(|_| body.read(&mut [0; 8]).is_err()));
    }
}
