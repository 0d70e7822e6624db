//! A blob from an endpoint into a pipe: resumed where it broke off, and never waited for without end.

use std::io::{self, Read, Write};
use std::ops::Range;
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
    /// Its size, as its manifest has it.
    promised: Option<u64>,
    pipe: W,
    deadlines: &'a Deadlines,
    tell: T,
    /// The same, as its first server has it.
    size: Option<u64>,
    sent: u64,
    etag: Option<String>,
}

impl<'a, W: Write, T: Fn(Step<'_>)> Delivery<'a, W, T> {
    pub(super) fn new(
        blob: Digest,
        promised: Option<u64>,
        pipe: W,
        deadlines: &'a Deadlines,
        tell: T,
    ) -> Self {
        Self { blob, promised, pipe, deadlines, tell, size: None, sent: 0, etag: None }
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
        // A validator is good for the server that gave it; the digest in the address is good for all.
        self.etag = None;
        insist(self, self.deadlines, session)
    }

    /// Says that the blob cannot be had; of one that has begun, its early end says so.
    pub(super) fn fail(mut self) -> io::Result<()> {
        if self.has_begun() { Ok(()) } else { Answer::Failed.write(&mut self.pipe) }
    }

    /// Compares the head of an answer with what is known; returns how many bytes come again.
    fn begin(&mut self, answer: &Response<Body>, session: &Session) -> Result<u64, Failure> {
        let headers = answer.headers();
        let length = text(headers, &header::CONTENT_LENGTH).and_then(|length| length.parse::<u64>().ok());
        let (start, total) = match answer.status() {
            StatusCode::PARTIAL_CONTENT => text(headers, &header::CONTENT_RANGE)
                .and_then(content_range)
                .filter(|(range, total)| range.start == self.sent && range.end == *total)
                .filter(|(range, _)| length.is_none_or(|length| range.end - range.start == length))
                .map(|(range, total)| (range.start, total))
                .ok_or_else(|| session.protocol("answers with another range than was asked for"))?,
            // A server that ignores ranges, or has another version of it: the worker's digest will tell.
            // One that packs or passes on as it reads does not know the length, RFC 9112 section 7.1.
            _ => length
                .or(self.promised)
                .map(|total| (0, total))
                .ok_or_else(|| session.protocol(&format!("does not tell the size of {}", self.blob)))?,
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

impl<W: Write, T: Fn(Step<'_>)> Course for Delivery<'_, W, T> {
    fn attempt(&mut self, session: &Session) -> Result<(), Failure> {
        let rest = (self.sent > 0).then(|| Rest { from: self.sent, to: None, etag: self.etag.clone() });
        let answer = session.fetch(&Resource::Blob(self.blob.clone()), rest.as_ref())?;
        let skip = self.begin(&answer, session)?;
        let left = self.size.unwrap_or_default() - self.sent;
        let Self { pipe, sent, tell, deadlines, .. } = self;
        hand_on(answer.into_body(), skip..skip.saturating_add(left), deadlines, session, |bytes| {
            pipe.write_all(bytes)?;
            *sent += bytes.len() as u64;
            tell(Step::Done(*sent));
            Ok(())
        })
    }

    fn sent(&self) -> u64 {
        self.sent
    }

    fn tell(&self, step: Step<'_>) {
        (self.tell)(step);
    }
}

/// What comes over a connection that may break off, and is gone on with.
pub(super) trait Course {
    /// Fetches what is left of it.
    fn attempt(&mut self, session: &Session) -> Result<(), Failure>;
    /// Bytes that have been handed on.
    fn sent(&self) -> u64;
    /// Tells of a step.
    fn tell(&self, step: Step<'_>);
}

/// Tries until all has come, or too many attempts in a row brought nothing.
pub(super) fn insist(
    course: &mut impl Course,
    deadlines: &Deadlines,
    session: &Session,
) -> Result<(), RegistryError> {
    let mut patience = Patience::new(deadlines.attempts);
    loop {
        let before = course.sent();
        let Err(failure) = course.attempt(session) else { return Ok(()) };
        if course.sent() - before >= PROGRESS {
            patience.renew();
        }
        let (pause, error) = patience.pause(failure)?;
        course.tell(Step::Retry(&error));
        std::thread::sleep(pause);
    }
}

/// Hands on a part of an answer's body, which must keep flowing and be whole.
pub(super) fn hand_on(
    body: Body,
    part: Range<u64>,
    deadlines: &Deadlines,
    session: &Session,
    mut take: impl FnMut(&[u8]) -> io::Result<()>,
) -> Result<(), Failure> {
    let broken = |reason: String| {
        Failure::Passing(RegistryError::Connection { server: session.server(), reason }, None)
    };
    let mut body = Watched::new(body.into_reader(), deadlines.stall);
    let mut buffer = vec![0; BUFFER];
    let mut position = 0;
    while position < part.end {
        let room = usize::try_from(part.end - position).unwrap_or(BUFFER).min(BUFFER);
        let count = body.read(&mut buffer[..room]).map_err(|error| broken(error.to_string()))?;
        if count == 0 {
            return Err(broken("it ends before its promised size".to_owned()));
        }
        let skipped = usize::try_from(part.start.saturating_sub(position)).unwrap_or(count).min(count);
        if skipped < count {
            take(&buffer[skipped..count]).map_err(RegistryError::Worker)?;
        }
        position += count as u64;
    }
    Ok(())
}

/// Range and total of `bytes START-END/TOTAL`, RFC 9110 section 14.4.
pub(super) fn content_range(value: &str) -> Option<(Range<u64>, u64)> {
    let (range, total) = value.strip_prefix("bytes ")?.split_once('/')?;
    let (start, last) = range.split_once('-')?;
    let (start, last, total): (u64, u64, u64) =
        (start.parse().ok()?, last.parse().ok()?, total.parse().ok()?);
    (start <= last && last < total).then_some((start..last + 1, total))
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
        assert_eq!(content_range("bytes 5-9/10"), Some((5..10, 10)));
        assert_eq!(content_range("bytes 5-8/10"), Some((5..9, 10)));
        for value in ["bytes 5-9/*", "bytes */10", "5-9/10", "bytes 9-5/10", "bytes 5-10/10"] {
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
