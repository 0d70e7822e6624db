//! Parts of a blob from an endpoint into a pipe: only from a server that sends parts, each resumed where it
//! broke off.

use std::io::Write;
use std::ops::Range;
use ureq::Body;
use ureq::http::{Response, StatusCode, header};

use super::blob::{Course, Step, content_range, hand_on, insist};
use super::error::{Failure, RegistryError};
use super::session::{Resource, Rest, Session, text};
use super::settings::Deadlines;
use crate::image::digest::Digest;
use crate::transfer::contract::Answer;
use crate::transfer::request::Parts;

/// Some parts of a blob on their way. The worker checks what they hold.
pub(super) struct PartsDelivery<'a, W, T> {
    blob: Digest,
    parts: Parts,
    pipe: W,
    deadlines: &'a Deadlines,
    tell: T,
    /// Bytes of all parts so far; `None` before the first answer.
    sent: Option<u64>,
}

impl<'a, W: Write, T: Fn(Step<'_>)> PartsDelivery<'a, W, T> {
    pub(super) fn new(blob: Digest, parts: Parts, pipe: W, deadlines: &'a Deadlines, tell: T) -> Self {
        Self { blob, parts, pipe, deadlines, tell, sent: None }
    }

    /// Fetches the parts, or the rest of them, from an endpoint.
    ///
    /// # Errors
    /// When they cannot be had there.
    pub(super) fn fetch(&mut self, session: &Session) -> Result<(), RegistryError> {
        insist(self, self.deadlines, session)
    }

    /// Says that the parts cannot be had; of such that have begun, their early end says so.
    pub(super) fn fail(mut self) -> std::io::Result<()> {
        if self.sent.is_some() { Ok(()) } else { Answer::Missing.write(&mut self.pipe) }
    }

    fn receive(&mut self, answer: Response<Body>, count: u64, session: &Session) -> Result<(), Failure> {
        let Self { parts, pipe, sent, tell, deadlines, .. } = self;
        if sent.is_none() {
            let total = parts.size();
            Answer::Found(total).write(pipe).map_err(RegistryError::Worker)?;
            tell(Step::Begin(total));
        }
        let sent = sent.get_or_insert(0);
        hand_on(answer.into_body(), 0..count, deadlines, session, |bytes| {
            pipe.write_all(bytes)?;
            *sent += bytes.len() as u64;
            tell(Step::Done(*sent));
            Ok(())
        })
    }

    /// What is left of the part that comes.
    fn next(&self) -> Option<Range<u64>> {
        let mut passed = self.sent.unwrap_or_default();
        self.parts.ranges().iter().find_map(|range| {
            let length = range.end - range.start;
            match passed < length {
                true => Some(range.start + passed..range.end),
                false => {
                    passed -= length;
                    None
                }
            }
        })
    }
}

impl<W: Write, T: Fn(Step<'_>)> Course for PartsDelivery<'_, W, T> {
    fn attempt(&mut self, session: &Session) -> Result<(), Failure> {
        while let Some(range) = self.next() {
            let rest = Rest { from: range.start, to: Some(range.end), etag: None };
            let answer = session.fetch(&Resource::Blob(self.blob.clone()), Some(&rest))?;
            let count = answered(&answer, &range).ok_or_else(|| {
                session.protocol(&format!("does not send the part of {} that was asked for", self.blob))
            })?;
            self.receive(answer, count, session)?;
        }
        Ok(())
    }

    fn sent(&self) -> u64 {
        self.sent.unwrap_or_default()
    }

    fn tell(&self, step: Step<'_>) {
        (self.tell)(step);
    }
}

/// How many bytes of a range an answer brings: from its start, and perhaps not all.
fn answered(answer: &Response<Body>, wanted: &Range<u64>) -> Option<u64> {
    let headers = answer.headers();
    let (range, _) = content_range(text(headers, &header::CONTENT_RANGE)?)?;
    let length: u64 = text(headers, &header::CONTENT_LENGTH)?.parse().ok()?;
    let fits = range.start == wanted.start && range.end <= wanted.end && range.end - range.start == length;
    (answer.status() == StatusCode::PARTIAL_CONTENT && fits).then_some(length)
}
